"""One run over a data set to its table: begun or continued, alone or with other processes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from rsverify._core.errors import DataError, cause_of
from rsverify._core.files import Interrupted, check_free, remove_file
from rsverify._core.lock import locked
from rsverify._core.progress import InputProgress, ProgressOption
from rsverify._core.types import Json
from rsverify.certificates.certificate import ABSTAIN
from rsverify.smoothing.accuracy import Prefix, random_order
from rsverify.smoothing.classifier import SmoothedClassifier
from rsverify.smoothing.data.fingerprint import model_hash
from rsverify.smoothing.data.inputs import check_seed
from rsverify.smoothing.data.items import NO_LABEL, Item, Items
from rsverify.smoothing.device import DeviceContext, device_facts, is_out_of_memory
from rsverify.smoothing.distributed import (
    Group,
    joined_processes,
    merge_shards,
    shard_path,
    shards_of,
)
from rsverify.smoothing.models.answers import record_answers, same_answers
from rsverify.smoothing.noise.gaussian import SEEDING
from rsverify.smoothing.request import Request
from rsverify.smoothing.run_options import RunOptions
from rsverify.smoothing.sampling.asked import Asked, Entropy, Finished
from rsverify.smoothing.sampling.session import Session
from rsverify.smoothing.stored_rows import check_stored
from rsverify.smoothing.timing import Timing
from rsverify.tables.lines import complete_lines
from rsverify.tables.metadata import (
    as_json,
    check_same_configuration,
    metadata_path,
    read_metadata,
    resumable_metadata,
    write_metadata,
)
from rsverify.tables.writer import TableWriter, sort_table


@dataclass(frozen=True, kw_only=True)
class TableRun:
    """One call, its arguments checked, in one of the processes that make it."""

    classifier: SmoothedClassifier
    request: Request
    options: RunOptions
    items: Items
    wanted: range
    example: torch.Tensor
    out: Path

    def complete(self) -> None:
        """Make the table, or what is missing of it; one run at a time."""
        self.out.parent.mkdir(parents=True, exist_ok=True)
        device = self.classifier.placement(self.example.dtype)[0]
        with (
            joined_processes() as group,
            DeviceContext(device).active(),
            ExitStack() as held,
            self._told_how_far(),
        ):
            group.check_same("device", device_facts(device))
            group.first_does(lambda: self.hold(held))
            entropy = group.first_does(lambda: self.begin())
            done = self.unchanged(entropy, group)
            prefix = self.prefix(entropy, group, done)
            todo = [idx for idx in prefix.order if idx not in done] if prefix else []
            if prefix is None:
                todo = [idx for idx in self.wanted if idx not in done]
            elif prefix.known:
                todo = []
            session, how = self.try_model(group, rows=bool(done))
            if todo:
                self.estimate(session, how, len(todo), group)
                with self._cleared_if_empty(group):
                    group.first_does(lambda: self.start(entropy, how))
                    self.certify(todo, session, entropy, how, group, prefix)
            group.first_does(lambda: self.finish(entropy, prefix))

    def configuration(self, entropy: Entropy) -> Json:
        """Return what decides the rows, of JSON types: it must be the same on a resume."""
        model, noise = self.classifier, self.classifier.noise.distribution
        device, dtype = model.placement(torch.get_default_dtype())
        return {
            **({} if self.options.accuracy is None else self.options.accuracy.configuration()),
            **asdict(self.request),
            "alpha": float(self.request.alpha),
            "temperature": float(self.request.temperature),
            "certify_label": self.options.certify_label,
            "model": model_hash(model.model),
            "preprocess": model_hash(model.preprocess),
            "num_classes": model.num_classes,
            "sigma": model.noise.sigma,
            "noise": str(noise),
            "norm": str(noise.check_norm(self.request.norm)),
            "dimension": self.example.numel(),
            "lattice": str(getattr(model.noise, "lattice", "")),
            **model.noise.details(),
            **device_facts(device),
            "dtype": str(dtype),
            "autocast": None if self.options.autocast is None else str(self.options.autocast),
            "compile": self.options.compile,
            "channels_last": self.options.channels_last,
            "inputs": len(self.items),
            "skip": self.options.skip,
            "seed": entropy,
            "seeding": SEEDING,
        }

    def prefix(self, entropy: Entropy, group: Group, done: set[int]) -> Prefix | None:
        """Return the inputs in random order, with what is known of them; None in their own order.

        The order is that of all inputs of the data set; how many may be done does not change it.
        """
        if self.options.accuracy is None:
            return None
        if group.world > 1:
            raise ValueError(
                f"accuracy_within={self.options.accuracy.within:g} needs one process: which input "
                f"is the last one depends on all of them, and there are {group.world} processes"
            )
        population = range(0, len(self.items), self.options.skip)
        order = random_order(population, _parts(entropy))[: len(self.wanted)]
        found = Prefix(self.options.accuracy, order, len(population))
        if done:
            lines = complete_lines(self.out)
            found.resume({idx: lines.fields(idx) for idx in lines.rows})
        return found

    def hold(self, held: ExitStack) -> None:
        """Take the lock of the table, to the end of the run."""
        held.enter_context(locked(self.out))

    def begin(self) -> Entropy:
        """Return the seed, or raise where what is there cannot be continued.

        The seed is the given one, else that of the table that is continued, else fresh. Takes
        in the shards of a stopped run.
        """
        seed = self.options.seed
        if self.options.force:
            return check_seed(seed)
        if not self.options.resume:
            for path in (self.out, metadata_path(self.out), *shards_of(self.out)):
                check_free(path)
        before = self._begun_with()
        entropy = check_seed(before.get("seed") if seed is None else seed)
        if self.out.exists():
            check_same_configuration(self.out, self.configuration(entropy))
        elif before != as_json(self.configuration(entropy)):
            entropy = check_seed(seed)
        merge_shards(self.out, self.configuration(entropy))
        return entropy

    def _begun_with(self) -> Json:
        """Return the configuration of a run before this one, empty where there was none."""
        if self.out.exists():
            content = resumable_metadata(self.out)
        else:
            try:
                content = read_metadata(self.out)
            except ValueError as error:
                raise FileExistsError(
                    f"{error}; name another table, or give --force (force=True)"
                ) from None
        before: Json = content.get("configuration", {})
        return before

    def unchanged(self, entropy: Entropy, group: Group) -> set[int]:
        """Return the indices of the rows that are there, their inputs being as they were."""
        if self.options.force:
            return set()
        lines = complete_lines(self.out)
        possible = range(0, len(self.items), self.options.skip)
        for idx in lines.rows:
            if idx not in possible:
                raise ValueError(f"idx={idx} of {self.out} must be one of the inputs certified")
        mine = list(lines.rows)[group.rank :: group.world]
        with InputProgress(
            "comparing inputs", len(mine), shown=self._shown(group), patience=1.0
        ) as bar:
            for idx, item in zip(mine, self.items.load(mine), strict=True):
                self._check_unchanged(lines.fields(idx), item, entropy)
                bar.advance(1)
        return set(lines.rows)

    def _check_unchanged(self, row: dict[str, str], item: Item, entropy: Entropy) -> None:
        """Raise where a row is not of this input, or not what its votes give."""
        for name, now in (("input", item.hash), ("label", str(item.label))):
            if row.get(name) != now:
                raise ValueError(
                    f"{name} {item.idx} of the data set is {now!r} and was {row.get(name)!r} "
                    f"when its row of {self.out} was written: resume with the same data"
                )
        check_stored(
            row,
            request=self.request,
            noise=self.classifier.noise,
            dimension=self.example.numel(),
            certify_label=self.options.certify_label,
            entropy=_parts(entropy),
            path=self.out,
        )

    def try_model(self, group: Group, *, rows: bool) -> tuple[Session, Json]:
        """Return what certifies, and how: the batch size and the like.

        Its model is tried and probed, and is the one of the rows that there are, if any.
        """
        session = Session(self.classifier, self.example, self.options.execution)
        before = {} if self.options.force else read_metadata(self.out).get("execution", {})
        wanted = self.options.batch_size or before.get("batch_size")
        size = min(group.gather(session.try_batch_size(wanted)))
        how = {
            "batch_size": size,
            "probed": session.probe(size),
            "answers": self.answers(before.get("answers") if rows else None, size, group),
            "processes": group.world,
            "threads": torch.get_num_threads(),
            "origin": None if self.options.origin is None else dict(self.options.origin),
        }
        return session, how

    def estimate(self, session: Session, how: Json, inputs: int, group: Group) -> None:
        """Tell what the run will take, from a few batches, where somebody wants to know."""
        if self.options.estimated is not None and group.rank == 0:
            timing = Timing(
                session, self.request, self.example, how["batch_size"], 0, first=self.wanted[0]
            )
            self.options.estimated(timing.estimate(inputs, self._samples_each(), group.world))

    def start(self, entropy: Entropy, how: Json) -> None:
        """Write the JSON of a new table: the first thing that is written at all."""
        beside = metadata_path(self.out)
        if self.options.force:
            for shard in shards_of(self.out):
                remove_file(shard)
                remove_file(metadata_path(shard))
            remove_file(self.out)
            remove_file(beside)
        # What a run that was killed before its first row said of its model vouches for none.
        if not complete_lines(self.out).rows:
            write_metadata(self.out, self.configuration(entropy), how)

    def certify(
        self,
        todo: Sequence[int],
        session: Session,
        entropy: Entropy,
        how: Json,
        group: Group,
        prefix: Prefix | None,
    ) -> None:
        """Write the rows of this process's share of `todo`."""
        share = todo[group.rank :: group.world]
        writer = TableWriter(
            shard_path(self.out, group),
            configuration=self.configuration(entropy),
            resume=True,
            execution=how,
            held=group.world == 1,
        )
        request, seed = self.request, _parts(entropy)
        early, size = request.stops_early, self._samples_each()

        def told(samples: int) -> None:
            bar.advance(0 if early else samples / size, samples)

        with (
            writer,
            InputProgress(
                "certifying",
                len(share),
                shown=self._shown(group),
                samples_each=size,
                early=early,
            ) as bar,
        ):
            asked = (self._asked(item, seed) for item in self.items.load(share))
            finished = session.run(
                request, asked, how["batch_size"], told, timed=self.options.record_time
            )
            for done in finished if prefix is None else prefix.in_order(finished):
                self._write(writer, done, prefix)
                if early:
                    bar.advance(1)
        group.meet()

    def _samples_each(self) -> int:
        """Return how often the model is asked about an input, at most."""
        return 1 + self.request.most_samples(given=self.options.certify_label)

    def _asked(self, item: Item, seed: tuple[int, ...]) -> Asked:
        if self.options.certify_label and item.label == ABSTAIN:
            raise DataError(f"input {item.idx} {NO_LABEL}")
        given = item.label if self.options.certify_label else None
        return Asked(item.x, (*seed, item.idx), given, item)

    def _write(self, writer: TableWriter, done: Finished, prefix: Prefix | None) -> None:
        item, certificate = done.asked.item, done.certificate
        assert item is not None, "of a data set"
        extra: Json = {"base_predict": done.base_predict, "input": item.hash}
        if prefix is not None:
            extra |= {"position": prefix.done, "population": prefix.population}
        writer.write(item.idx, item.label, certificate, **extra)

    def answers(
        self,
        before: Mapping[str, object] | None,
        batch_size: int,
        group: Group,
    ) -> Json:
        """Return what the table keeps of its model; raise where it was begun with another one."""
        own = self._recorded_answers(batch_size)
        return same_answers(before, group.gather(own), f"when {self.out} was begun")

    def _recorded_answers(self, batch_size: int) -> dict[str, object]:
        """Ask the model, in smaller batches where memory has become scarce."""
        try:
            return record_answers(self.classifier, self.example, batch_size, self.options.execution)
        except Exception as error:
            if not is_out_of_memory(error) or batch_size == 1:
                raise
        return self._recorded_answers((batch_size + 1) // 2)

    def finish(self, entropy: Entropy, prefix: Prefix | None) -> None:
        """Merge what the processes have written, in the order of the inputs; miss no row."""
        wanted = self.wanted if prefix is None else prefix.order[: prefix.done]
        merge_shards(self.out, self.configuration(entropy))
        sort_table(self.out)
        missing = set(wanted) - complete_lines(self.out).rows.keys()
        if missing:
            raise OSError(
                f"{self.out} has lost the row idx={min(missing)}: another program changed it "
                "while it was written; run the same again"
            )

    @contextmanager
    def _told_how_far(self) -> Iterator[None]:
        """Say what is there when the user stops the run, and why it stops where a worker died."""
        try:
            yield
        except RuntimeError as error:
            # Raised wherever this process is at the time, since it hears of it by a signal.
            if not self.options.workers or "DataLoader worker" not in str(error):
                raise
            raise DataError(
                f"a process that loads the dataset has ended ({cause_of(error)}): workers=0 shows "
                "why, and the same call goes on from the rows that are written"
            ) from error
        except KeyboardInterrupt:
            raise Interrupted(self._how_far()) from None

    def _how_far(self) -> str:
        try:
            parts = [complete_lines(path).rows for path in (self.out, *shards_of(self.out))]
        except (OSError, ValueError) as error:
            return f"interrupted; {error}"
        done = set(self.wanted) & set[int]().union(*parts)
        if not done:
            return f"interrupted: no row of {self.out} is written yet; run the same again"
        return (
            f"interrupted: {len(done)} of {len(self.wanted)} rows are in {self.out}; the same "
            "call or command goes on from there"
        )

    @contextmanager
    def _cleared_if_empty(self, group: Group) -> Iterator[None]:
        """Leave nothing behind of a run that fails before its first row."""
        try:
            yield
        except BaseException:
            if group.world == 1:
                with suppress(OSError, ValueError):  # the error of the run is what counts
                    if not complete_lines(self.out).rows:
                        remove_file(self.out)
                        remove_file(metadata_path(self.out))
            raise

    def _shown(self, group: Group) -> ProgressOption:
        return self.options.progress if group.rank == 0 else False


def _parts(entropy: Entropy) -> tuple[int, ...]:
    return (entropy,) if isinstance(entropy, int) else entropy
