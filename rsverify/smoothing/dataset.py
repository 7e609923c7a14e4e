"""Certifying a whole data set: one table, a row an input, that can be stopped and continued."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence

import pandas as pd
import torch

from rsverify._core.check import shown
from rsverify._core.progress import ProgressOption
from rsverify._core.types import Auto, BoundName, OrderingName, RadiusName, ScoreMapName
from rsverify.bounds.margin import Taylor
from rsverify.noise import Norm
from rsverify.smoothing.accuracy import accuracy_goal
from rsverify.smoothing.classifier import SmoothedClassifier
from rsverify.smoothing.data.inputs import Seed
from rsverify.smoothing.data.items import Items
from rsverify.smoothing.device import check_placement
from rsverify.smoothing.distributed import check_not_a_shard, is_first_process
from rsverify.smoothing.request import Request
from rsverify.smoothing.run_options import RunOptions
from rsverify.smoothing.table_run import TableRun
from rsverify.tables.metadata import check_table_free, check_table_name
from rsverify.tables.reader import read_table

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
    norm: Norm | None = None,
    lipschitz: float | Auto | None = None,
    ordering: OrderingName | Taylor | None = None,
    scores: ScoreMapName = "softmax",
    temperature: float = 1.0,
    target_radius: float | Sequence[float] | None = None,
    precision: float | None = None,
    relative_precision: float | None = None,
    futility: float = 0.1,
    ignore: Sequence[int] = (),
    top_k: int = 1,
    certify_label: bool = False,
    seed: Seed = None,
    skip: int = 1,
    max_inputs: int | None = None,
    share: tuple[int, int] | None = None,
    accuracy_within: float | None = None,
    accuracy_radius: float | None = None,
    accuracy_alpha: float = 0.05,
    input_range: tuple[float, float] | None = None,
    batch_size: int | None = None,
    autocast: torch.dtype | None = None,
    compile: bool = False,
    channels_last: bool = False,
    workers: int = 0,
    record_time: bool = True,
    progress: ProgressOption = True,
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
    n0, n, alpha, bound, radius, norm, lipschitz, ordering, scores, temperature, futility, ignore,
    top_k
        As for `SmoothedClassifier.certify`.
    target_radius, precision, relative_precision
        As for `SmoothedClassifier.certify`: of several targets the table has a column each,
        ``decision_0.25`` and so on; of a precision the column `radius_upper`, the upper end, and
        `precise`, 1 where the ends are as close as asked. Undecided inputs share batches.
    certify_label : bool
        Certify the true class instead of the one that a selection sample chooses.
    seed : int or sequence of int, optional
        Input i draws its noise from ``(seed, i)``. Where None, fresh entropy, kept in the
        JSON and used again on a resume.
    skip : int
        Certify every skip-th input.
    max_inputs : int, optional
        Certify at most this many; may be raised on a resume.
    share : pair of int, optional
        ``(i, of)``: of those inputs only the i-th of `of` equal shares, i from 1, for jobs that
        know nothing of each other. Each share is a table of its own and needs the same `seed`;
        `merge_tables` makes one table of them, equal to that of a single run.
    accuracy_within : float, optional
        Stop over inputs: they are certified in random order, which follows from `seed`, until the
        certified accuracy of the data set at `accuracy_radius` is in an interval of at most this
        width. The columns `position` and `population` say which of how many a row is. In one
        process, and without `share`; `max_inputs` is the most that are certified.
    accuracy_radius : float, optional
        The radius; the target radius where that is one number.
    accuracy_alpha : float
        Failure probability of the interval, in (0, 1).
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
    progress : bool, callable or object, optional
        True shows how far the run is, how fast, and how long it still takes, on standard error: a
        bar on a terminal, else log lines of runs of more than 5 seconds; in a notebook, a line.
        As for `SmoothedClassifier.counts`.
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

    With `accuracy_within`, the share of *all* inputs that would be certified correct at the radius
    is in the interval of `population_share_interval` with probability at least 1 - accuracy_alpha,
    whenever the run stops: for a seed that was chosen without looking at the data. It is a
    statement about the table that all inputs would give.

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
        norm=norm,
        lipschitz=lipschitz,
        ordering=ordering,
        scores=scores,
        temperature=temperature,
        target_radius=target_radius,
        precision=precision,
        relative_precision=relative_precision,
        futility=futility,
        ignore=ignore,
        top_k=top_k,
    )
    options = RunOptions(
        resume=resume,
        force=force,
        certify_label=certify_label,
        seed=seed,
        skip=skip,
        max_inputs=max_inputs,
        share=share,
        accuracy=accuracy_goal(
            accuracy_within, accuracy_radius, accuracy_alpha, request.target_radius
        ),
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
    return certify_request(classifier, dataset, out, request, options)


def certify_request(
    classifier: SmoothedClassifier,
    dataset: object,
    out: str | os.PathLike[str],
    request: Request,
    options: RunOptions,
) -> pd.DataFrame:
    """Return what `certify_dataset` does, for a request and options that are made already."""
    if not isinstance(out, str | os.PathLike):
        raise TypeError(f"out={shown(out)} must be a path")
    if not isinstance(classifier, SmoothedClassifier):
        raise TypeError(f"classifier={shown(classifier)} must be a SmoothedClassifier")
    place = check_table_name(out)
    check_not_a_shard(place)
    if not options.resume:
        check_table_free(place, force=options.force)
    options.check_with(request)
    items = Items(
        dataset,
        classifier.num_classes,
        input_range=options.input_range,
        workers=options.workers,
        tokens=classifier.noise.takes_tokens,
    )
    wanted = options.wanted(len(items))
    items.check_labels(wanted, required=options.certify_label)
    example = next(items.load(wanted[:1])).x  # one for all shares, which are probed alike
    wanted = options.of_share(wanted)
    request = classifier.resolve(
        request,
        example,
        batch_size=options.batch_size,
        progress=options.progress is not False and is_first_process(),
    )
    given = 0 if options.certify_label else None
    request.check(classifier.num_classes, classifier.noise, given, example.numel())
    check_placement(classifier.model, classifier.placement(example.dtype)[0])
    run = TableRun(
        classifier=classifier,
        request=request,
        options=options,
        items=items,
        wanted=wanted,
        example=example,
        out=place,
    )
    run.complete()
    return read_table(place)
