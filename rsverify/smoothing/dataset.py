"""Certifying a whole data set: one table, a row an input, that can be stopped and continued."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from rsverify._core.check import check_flag, shown
from rsverify._core.files import Interrupted, check_free, remove_file
from rsverify._core.lock import locked
from rsverify._core.progress import InputProgress
from rsverify._core.types import Auto, BoundName, Json, OrderingName, RadiusName, ScoreMapName
from rsverify.bounds.margin import Taylor
from rsverify.smoothing.classifier import SmoothedClassifier
from rsverify.smoothing.data.fingerprint import model_hash
from rsverify.smoothing.data.inputs import (
    Seed,
    check_autocast,
    check_batch_size,
    check_origin,
    check_seed,
    check_size,
)
from rsverify.smoothing.data.items import Item, Items
from rsverify.smoothing.device import DeviceContext, check_placement, device_facts, is_out_of_memory
from rsverify.smoothing.distributed import (
    Group,
    check_not_a_shard,
    is_first_process,
    joined_processes,
    merge_shards,
    shard_path,
    shards_of,
)
from rsverify.smoothing.models.answers import record_answers, same_answers
from rsverify.smoothing.noise.gaussian import SEEDING
from rsverify.smoothing.request import Request
from rsverify.smoothing.sampling.session import Engine, Execution
from rsverify.smoothing.stored_rows import check_stored
from rsverify.tables.lines import complete_lines
from rsverify.tables.metadata import (
    as_json,
    check_same_configuration,
    check_table_free,
    check_table_name,
    metadata_path,
    read_metadata,
    resumable_metadata,
    write_metadata,
)
from rsverify.tables.reader import read_table
from rsverify.tables.writer import TableWriter, sort_table

__all__ = ["certify_dataset"]


def certify_dataset(
    classifier: SmoothedClassifier,
    dataset: object,
    out: str | os.PathLike[str],
    *,
    resume: bool = True,
    force: bool = False,
    n0: int = 100,
    n: int = 100_000,
    alpha: float = 1e-3,
    bound: BoundName = "exact",
    radius: RadiusName = "R2",
    lipschitz: float | Auto | None = None,
    ordering: OrderingName | Taylor | None = None,
    scores: ScoreMapName = "softmax",
    temperature: float = 1.0,
    target_radius: float | None = None,
    futility: float = 0.1,
    certify_label: bool = False,
    seed: Seed = None,
    skip: int = 1,
    max_inputs: int | None = None,
    input_range: tuple[float, float] | None = None,
    batch_size: int | None = None,
    autocast: torch.dtype | None = None,
    compile: bool = False,
    channels_last: bool = False,
    workers: int = 0,
    record_time: bool = True,
    progress: bool = True,
    origin: Mapping[str, object] | None = None,
) -> pd.DataFrame:
    r"""Certify the inputs of a data set and write a table, one row as soon as it is known.

    A run that was stopped, by a kill too, goes on where it stopped when it is called again.
    Under ``torchrun`` each process certifies a share, and the first one merges the shares.

    Parameters
    ----------
    classifier : SmoothedClassifier
        What is certified. Under torchrun with GPUs, each process's own, on its own device.
    dataset : data set, iterable, array, pair of arrays, or Inputs
        Items are inputs, tuples of an input and its true class, or dictionaries of them; or
        inputs along the first axis of an array, alone or with an array of classes. `Inputs`
        says how others are read. All inputs have one shape and are floating, or images of
        Pillow. A class of −1 is not known.
    out : path-like
        The tab-separated table. Its JSON is beside it: ``table.json`` of ``table.tsv``, of any
        other name all of it and ``.meta.json``.
    resume : bool
        Continue a table that is there. Its configuration, weights of the model, inputs,
        device and versions must be the ones of now, and each row what its own votes give.
    force : bool
        Begin anew: replace a table, its JSON and its shards, whosever they are.
    n0, n, alpha, bound, radius, lipschitz, ordering, scores, temperature, target_radius, futility
        As for `SmoothedClassifier.certify`.
    certify_label : bool
        Certify the true class instead of the one that a selection sample chooses.
    seed : int or sequence of int, optional
        Input i draws its noise from ``(seed, i)``. Where None, fresh entropy, kept in the
        JSON and used again on a resume.
    skip : int
        Certify every skip-th input.
    max_inputs : int, optional
        Certify at most this many; may be raised on a resume.
    input_range : pair of float, optional
        Reject inputs outside this range: (0, 1) finds images given in 0 to 255.
    batch_size : int, optional
        Noisy inputs per forward pass; halved where they do not fit into memory. By default
        64 on a CPU, elsewhere the most of 4096, 2048, … that fit and can be indexed, and on
        a resume as before.
    autocast : torch.dtype, optional
        Run the model in this precision where ``torch.autocast`` finds it safe. What is
        certified is then the model as computed so.
    compile : bool
        Run the model through ``torch.compile``.
    channels_last : bool
        Give the model batches in this memory format, for inputs of three dimensions. Pays
        on GPUs in half precision, for models converted to it.
    workers : int
        Processes that load inputs ahead.
    record_time : bool
        Fill the column `time`: the input's share of the run's seconds. Without, the same
        arguments give the same file to the byte.
    progress : bool
        Show progress on standard error, if that is a terminal.
    origin : mapping, optional
        Where model and data come from, of JSON types: kept in the JSON, never compared.

    Returns
    -------
    DataFrame
        The table, as `read_table` reads it. `base_predict` is the class that the model gives
        the input without noise, `input` a hash of the input.

    Raises
    ------
    FileExistsError
        If the table or its JSON exists and both `resume` and `force` are false.
    ValueError
        If an option is out of range, the model does not return scores of the right shape, lets
        rows of a batch depend on each other or does not repeat its answers,
        or a table is resumed with anything else than it was begun with; all before any
        work. If an input is not finite or within `input_range`, or the model returns NaN:
        named by its index, when the rows of those before it are written.
    TypeError
        If an argument or an item of the data set has the wrong type.
    OSError
        If the table cannot be written, or another process is writing it, or changes it. If
        another process of the run has ended or is silent. Rows that are there stay.
    KeyboardInterrupt
        When the user stops it: the message says how many rows there are and how to go on.

    Notes
    -----
    *Guarantee*: each row is the certificate that ``certify(x, seed=(seed, idx), …)`` states,
    with its guarantee; of N rows at most N·alpha are wrong on average. The noise of a row
    depends on seed, index, n, the shape and the model of the device alone. So the table is the
    same, its times aside, whatever shares a batch, in whichever order and by however many
    processes inputs are done, and however often it was stopped, as long as the model
    computes a row of a batch in the same way wherever it stands in a batch of one shape:
    seen to hold for dense and convolutional nets on CPUs, not proven by their libraries.
    Another batch size or number of threads may round scores differently, and then tip a
    vote where the two largest are within rounding of each other.

    Examples
    --------
    >>> import tempfile, pathlib, torch
    >>> from rsverify import SmoothedClassifier, certify_dataset
    >>> def halves(batch):  # class 1 where the first coordinate is positive
    ...     return torch.stack([-batch[:, 0], batch[:, 0]], dim=1)
    >>> smoothed = SmoothedClassifier(halves, num_classes=2, sigma=0.5)
    >>> data = torch.tensor([[1.0, 0.0], [-0.5, 0.0], [0.1, 0.0]]), torch.tensor([1, 1, 1])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     out = pathlib.Path(folder) / "table.tsv"
    ...     table = certify_dataset(smoothed, data, out, n=1000, seed=0)
    >>> table[["idx", "label", "predict", "correct"]].to_numpy().tolist()
    [[0, 1, 1, 1], [1, 1, 0, 0], [2, 1, 1, 1]]
    """
    request = Request(
        n0=n0,
        n=n,
        alpha=alpha,
        bound=bound,
        radius=radius,
        lipschitz=lipschitz,
        ordering=ordering,
        scores=scores,
        temperature=temperature,
        target_radius=target_radius,
        futility=futility,
    )
    return certify_request(
        classifier,
        dataset,
        out,
        request,
        resume=resume,
        force=force,
        certify_label=certify_label,
        seed=seed,
        skip=skip,
        max_inputs=max_inputs,
        input_range=input_range,
        batch_size=batch_size,
        autocast=autocast,
        compile=compile,
        channels_last=channels_last,
        workers=workers,
        record_time=record_time,
        progress=progress,
        origin=origin,
    )


def certify_request(
    classifier: SmoothedClassifier,
    dataset: object,
    out: str | os.PathLike[str],
    request: Request,
    *,
    resume: bool,
    force: bool,
    certify_label: bool,
    seed: Seed,
    skip: int,
    max_inputs: int | None,
    input_range: tuple[float, float] | None,
    batch_size: int | None,
    autocast: torch.dtype | None,
    compile: bool,
    channels_last: bool,
    workers: int,
    record_time: bool,
    progress: bool,
    origin: Mapping[str, object] | None,
) -> pd.DataFrame:
    """Return what `certify_dataset` does, for a request that is made already."""
    if not isinstance(out, str | os.PathLike):
        raise TypeError(f"out={shown(out)} must be a path")
    if not isinstance(classifier, SmoothedClassifier):
        raise TypeError(f"classifier={shown(classifier)} must be a SmoothedClassifier")
    for name, value in (
        ("resume", resume),
        ("force", force),
        ("certify_label", certify_label),
        ("compile", compile),
        ("channels_last", channels_last),
        ("record_time", record_time),
        ("progress", progress),
    ):
        check_flag(name, value)
    check_autocast(autocast)
    check_origin(origin)
    place = check_table_name(out)
    check_not_a_shard(place)
    if not resume:
        check_table_free(place, force=force)
    if request.of_scores and (autocast is not None or compile or channels_last):
        raise ValueError(
            "autocast, compile and channels_last must be left out for "
            f"bound={request.bound!r}, which is of scores"
        )
    items = Items(dataset, classifier.num_classes, input_range=input_range, workers=workers)
    wanted = range(0, len(items), check_size("skip", skip))
    if max_inputs is not None:
        wanted = wanted[: check_size("max_inputs", max_inputs)]
    example = next(items.load(wanted[:1])).x
    request = classifier.resolve(
        request, example, batch_size=batch_size, progress=progress and is_first_process()
    )
    request.check(classifier.num_classes, classifier.noise, 0 if certify_label else None)
    check_placement(classifier.model, classifier.placement(example.dtype)[0])
    run = _Run(
        classifier=classifier,
        request=request,
        execution=Execution(
            autocast=autocast, compiled=bool(compile), channels_last=bool(channels_last)
        ),
        certify_label=bool(certify_label),
        items=items,
        wanted=wanted,
        example=example,
        out=place,
        force=force,
        batch_size=None if batch_size is None else check_batch_size(batch_size),
        record_time=record_time,
        progress=progress,
        origin=None if origin is None else dict(origin),
    )
    run.complete(seed, resume)
    return read_table(place)


Entropy = int | tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One call, its arguments checked, in one of the processes that make it."""

    classifier: SmoothedClassifier
    request: Request
    execution: Execution
    certify_label: bool
    items: Items
    wanted: range
    example: torch.Tensor
    out: Path
    force: bool
    batch_size: int | None
    record_time: bool
    progress: bool
    origin: Json | None

    def complete(self, seed: Seed, resume: bool) -> None:
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
            entropy = group.first_does(lambda: self.begin(seed, resume))
            done = self.unchanged(entropy, group)
            todo = [idx for idx in self.wanted if idx not in done]
            engine, how = self.try_model(entropy, group, rows=bool(done))
            if todo:
                with self._cleared_if_empty(group):
                    group.first_does(lambda: self.start(entropy, how))
                    self.certify(todo, engine, entropy, how, group)
            group.first_does(lambda: self.finish(entropy))

    def configuration(self, entropy: Entropy) -> Json:
        """Return what decides the rows, of JSON types: it must be the same on a resume."""
        model = self.classifier
        device, dtype = model.placement(torch.get_default_dtype())
        return {
            **asdict(self.request),
            "alpha": float(self.request.alpha),
            "temperature": float(self.request.temperature),
            "certify_label": self.certify_label,
            "model": model_hash(model.model),
            "preprocess": model_hash(model.preprocess),
            "num_classes": model.num_classes,
            "sigma": model.sigma,
            "noise": type(model.noise).__name__,
            "lattice": str(getattr(model.noise, "lattice", "")),
            **device_facts(device),
            "dtype": str(dtype),
            "autocast": None if self.execution.autocast is None else str(self.execution.autocast),
            "compile": self.execution.compiled,
            "channels_last": self.execution.channels_last,
            "inputs": len(self.items),
            "skip": self.wanted.step,
            "seed": entropy,
            "seeding": SEEDING,
        }

    def hold(self, held: ExitStack) -> None:
        """Take the lock of the table, to the end of the run."""
        held.enter_context(locked(self.out))

    def begin(self, seed: Seed, resume: bool) -> Entropy:
        """Return the seed, or raise where what is there cannot be continued.

        The seed is the given one, else that of the table that is continued, else fresh. Takes
        in the shards of a stopped run.
        """
        if self.force:
            return check_seed(seed)
        if not resume:
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
        if self.force:
            return set()
        lines = complete_lines(self.out)
        possible = range(0, len(self.items), self.wanted.step)
        for idx in lines.rows:
            if idx not in possible:
                raise ValueError(f"idx={idx} of {self.out} must be one of the inputs certified")
        mine = list(lines.rows)[group.rank :: group.world]
        with InputProgress("comparing inputs", len(mine), shown=self._shown(group)) as bar:
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
            certify_label=self.certify_label,
            entropy=_parts(entropy),
            path=self.out,
        )

    def try_model(self, entropy: Entropy, group: Group, *, rows: bool) -> tuple[Engine, Json]:
        """Return what certifies, and how: the batch size and the like.

        Its model is tried and probed, and is the one of the rows that there are, if any.
        """
        engine = Engine(
            self.classifier,
            self.request,
            self.execution,
            _parts(entropy),
            self.certify_label,
            self.example,
        )
        before = {} if self.force else read_metadata(self.out).get("execution", {})
        wanted = self.batch_size or before.get("batch_size")
        size = min(group.gather(engine.try_batch_size(wanted)))
        how = {
            "batch_size": size,
            "probed": engine.probe(size),
            "answers": self.answers(before.get("answers") if rows else None, size, group),
            "processes": group.world,
            "threads": torch.get_num_threads(),
            "origin": self.origin,
        }
        return engine, how

    def start(self, entropy: Entropy, how: Json) -> None:
        """Write the JSON of a new table: the first thing that is written at all."""
        beside = metadata_path(self.out)
        if self.force:
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
        engine: Engine,
        entropy: Entropy,
        how: Json,
        group: Group,
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
        with (
            writer,
            InputProgress("certifying", len(share), shown=self._shown(group)) as bar,
        ):
            for done, inputs, samples in engine.run(self.items.load(share), how["batch_size"]):
                for item, certificate, base in done:
                    stated = certificate if self.record_time else replace(certificate, seconds=None)
                    extra = {"base_predict": base, "input": item.hash}
                    writer.write(item.idx, item.label, stated, **extra)
                bar.advance(inputs, samples)
        group.meet()

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
            return record_answers(self.classifier, self.example, batch_size, self.execution)
        except Exception as error:
            if not is_out_of_memory(error) or batch_size == 1:
                raise
        return self._recorded_answers((batch_size + 1) // 2)

    def finish(self, entropy: Entropy) -> None:
        """Merge what the processes have written, in the order of the inputs; miss no row."""
        merge_shards(self.out, self.configuration(entropy))
        sort_table(self.out)
        missing = set(self.wanted) - complete_lines(self.out).rows.keys()
        if missing:
            raise OSError(
                f"{self.out} has lost the row idx={min(missing)}: another program changed it "
                "while it was written; run the same again"
            )

    @contextmanager
    def _told_how_far(self) -> Iterator[None]:
        """Say what is there when the user stops the run."""
        try:
            yield
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

    def _shown(self, group: Group) -> bool:
        return self.progress and group.rank == 0


def _parts(entropy: Entropy) -> tuple[int, ...]:
    return (entropy,) if isinstance(entropy, int) else entropy
