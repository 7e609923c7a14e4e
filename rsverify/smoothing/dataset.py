"""Certifying a whole data set: one table, a row an input, that can be stopped and continued."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from rsverify._core.progress import InputProgress
from rsverify._core.types import OrderingName
from rsverify.bounds.margin import Taylor
from rsverify.smoothing.classifier import SmoothedClassifier
from rsverify.smoothing.data.fingerprint import model_hash
from rsverify.smoothing.data.inputs import Seed, check_seed, check_size
from rsverify.smoothing.data.items import Items
from rsverify.smoothing.device import DeviceContext, check_placement, device_facts
from rsverify.smoothing.distributed import (
    Group,
    is_first_process,
    joined_processes,
    merge_shards,
    shard_path,
)
from rsverify.smoothing.noise.gaussian import SEEDING
from rsverify.smoothing.request import Request
from rsverify.smoothing.sampling.session import Engine, Execution
from rsverify.tables.reader import read_metadata, read_table, write_metadata
from rsverify.tables.writer import TableWriter, check_same_configuration, complete_lines


def certify_dataset(
    classifier: SmoothedClassifier,
    dataset: Any,
    out: str | os.PathLike[str],
    *,
    resume: bool = True,
    n0: int = 100,
    n: int = 100_000,
    alpha: float = 1e-3,
    bound: str = "exact",
    radius: str = "R2",
    lipschitz: float | str | None = None,
    ordering: OrderingName | Taylor | None = None,
    scores: str = "softmax",
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
    origin: Mapping[str, Any] | None = None,
) -> pd.DataFrame:
    r"""Certify the inputs of a data set and write a table, one row as soon as it is known.

    A run that was stopped, by a kill too, goes on where it stopped when it is called again.
    Under ``torchrun`` each process certifies a share, and the first one merges the shares.

    Parameters
    ----------
    classifier : SmoothedClassifier
        What is certified. Under torchrun with GPUs, each process's own, on its own device.
    dataset : map-style dataset, array, or pair of arrays
        Items are inputs, or tuples of an input and its true class; or inputs along the first
        axis of an array, alone or with an array of classes. All inputs have one shape and
        are floating. A class of −1 is not known.
    out : path-like
        The tab-separated table; its JSON takes the same name with the ending ``.json``.
    resume : bool
        Continue a table that is there. Its configuration, weights of the model, inputs,
        device and versions must be the ones of now.
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
        Refuse inputs with a value outside: (0, 1) finds images given in 0 to 255.
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
        If the table exists and `resume` is false.
    ValueError
        If an option is out of range, the model does not return scores of the right shape,
        or a table is resumed with anything else than it was begun with; all before any
        work. If an input is not finite or within `input_range`, or the model returns NaN:
        named by its index, when the rows of those before it are written.
    TypeError
        If an argument or an item of the data set has the wrong type.
    OSError
        If the table cannot be written, or another process of the run has ended or is silent.
        Rows that are there stay.

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
        n0=check_size("n0", n0),
        n=check_size("n", n),
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
    if request.of_scores and (autocast is not None or compile or channels_last):
        raise ValueError(
            f"autocast, compile and channels_last must be left out for bound={bound!r}, which "
            "is of scores"
        )
    items = Items(dataset, classifier.num_classes, input_range=input_range, workers=workers)
    wanted = range(0, len(items), check_size("skip", skip))
    if max_inputs is not None:
        wanted = wanted[: check_size("max_inputs", max_inputs)]
    example = next(items.load(wanted[:1])).x
    request = classifier.resolve(request, example, progress=progress and is_first_process())
    request.check(classifier.num_classes, classifier.noise, 0 if certify_label else None)
    run = _Run(
        classifier=classifier,
        request=request,
        execution=Execution(autocast=autocast, compiled=compile, channels_last=channels_last),
        certify_label=certify_label,
        items=items,
        skip=skip,
        out=Path(out),
        batch_size=None if batch_size is None else check_size("batch_size", batch_size),
        record_time=record_time,
        progress=progress,
        origin=None if origin is None else dict(origin),
    )
    device = classifier.placement(example.dtype)[0]
    check_placement(classifier.model, device)
    with joined_processes() as group, DeviceContext(device).active():
        group.check_same("device", device_facts(device))
        entropy = group.first_does(lambda: run.entropy(seed, resume))
        group.first_does(lambda: run.prepare(entropy, resume))
        done = run.unchanged(group)
        run.certify([i for i in wanted if i not in done], entropy, example, group)
        group.first_does(lambda: merge_shards(run.out, run.configuration(entropy)))
    return read_table(out)


Entropy = int | tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class _Run:
    """One call, its arguments checked, in one of the processes that make it."""

    classifier: SmoothedClassifier
    request: Request
    execution: Execution
    certify_label: bool
    items: Items
    skip: int
    out: Path
    batch_size: int | None
    record_time: bool
    progress: bool
    origin: dict[str, Any] | None

    def configuration(self, entropy: Entropy) -> dict[str, Any]:
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
            "skip": self.skip,
            "seed": entropy,
            "seeding": SEEDING,
        }

    def entropy(self, seed: Seed, resume: bool) -> Entropy:
        """Return the seed: as given, else the one of the table that is continued, else fresh."""
        if seed is None and resume and self.out.exists():
            seed = read_metadata(self.out).get("configuration", {}).get("seed")
        return check_seed(seed)

    def prepare(self, entropy: Entropy, resume: bool) -> None:
        """Raise where what is there cannot be continued; take in shards of a stopped run."""
        if self.out.exists():
            if not resume:
                raise FileExistsError(f"{self.out} exists already")
            check_same_configuration(self.out, self.configuration(entropy))
        self.out.parent.mkdir(parents=True, exist_ok=True)
        merge_shards(self.out, self.configuration(entropy))

    def unchanged(self, group: Group) -> set[int]:
        """Return the indices of the rows that are there, their inputs being as they were."""
        header, rows = complete_lines(self.out) if self.out.exists() else ("", [])
        columns = header.split("\t")
        mine = rows[group.rank :: group.world]
        with InputProgress("comparing inputs", len(mine), shown=self._shown(group)) as bar:
            items = self.items.load([idx for idx, _ in mine])
            for item, (_, line) in zip(items, mine, strict=True):
                row = dict(zip(columns, line.split("\t"), strict=True))
                for name, now in (("input", item.hash), ("label", str(item.label))):
                    if row[name] != now:
                        raise ValueError(
                            f"{name} {item.idx} of the data set is {now!r} and was {row[name]!r} "
                            f"when its row of {self.out} was written: resume with the same data"
                        )
                bar.advance(1)
        return {idx for idx, _ in rows}

    def certify(
        self, todo: Sequence[int], entropy: Entropy, example: torch.Tensor, group: Group
    ) -> None:
        """Write the rows of this process's share of `todo`."""
        if not todo:
            return
        parts = (entropy,) if isinstance(entropy, int) else entropy
        engine = Engine(
            self.classifier, self.request, self.execution, parts, self.certify_label, example
        )
        before = read_metadata(self.out).get("execution", {}).get("batch_size")
        size = min(group.gather(engine.try_batch_size(self.batch_size or before)))
        how = {
            "batch_size": size,
            "processes": group.world,
            "threads": torch.get_num_threads(),
            "origin": self.origin,
        }
        configuration = self.configuration(entropy)
        if group.rank == 0:
            write_metadata(self.out, configuration, how)
        share = todo[group.rank :: group.world]
        shard = shard_path(self.out, group)
        with (
            TableWriter(shard, configuration=configuration, resume=True, execution=how) as writer,
            InputProgress("certifying", len(share), shown=self._shown(group)) as bar,
        ):
            for done, inputs, samples in engine.run(self.items.load(share), size):
                for item, certificate, base in done:
                    stated = certificate if self.record_time else replace(certificate, seconds=None)
                    extra = {"base_predict": base, "input": item.hash}
                    writer.write(item.idx, item.label, stated, **extra)
                bar.advance(inputs, samples)
            writer.sort()
        group.meet()

    def _shown(self, group: Group) -> bool:
        return self.progress and group.rank == 0
