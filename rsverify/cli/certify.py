"""The command ``rsverify certify``: a model and data, from files or functions -> a table."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from rsverify._core.arrays import read_npy, read_npz
from rsverify._core.errors import DataError, cause_of
from rsverify._core.load_function import load_function
from rsverify._core.types import NoiseName, PrecisionName
from rsverify.cli.console import Format, FormatOption, print_json, print_written
from rsverify.cli.options import Given, OutOption, one_out, with_request_options
from rsverify.cli.summary import print_summary, summary_content

if TYPE_CHECKING:
    import pandas as pd

    from rsverify.smoothing.classifier import SmoothedClassifier


_MODEL, _DATA, _RUN, _OUTPUT = "Model", "Data", "Run", "Output"


class _Loading(TypedDict):
    """Options of `load_model` and `as_model`."""

    checkpoint: Path | None
    output: str | None
    allow_pickle: bool


@with_request_options
def certify(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL", help="Saved module, .onnx, or MODULE:FACTORY or FILE.py:FACTORY."
        ),
    ],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA", help=".npy of inputs, .npz of x and y, or MODULE:FACTORY of a dataset."
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Argument(
            metavar="OUT",
            help="Table to write, or by -o; its JSON goes beside it.",
            show_default=False,
        ),
    ] = None,
    sigma: Annotated[
        list[float] | None,
        typer.Option(
            help="Standard deviation of the noise, input units. Repeatable: a table each, named "
            "OUT_SIGMA."
        ),
    ] = None,
    num_classes: Annotated[int | None, typer.Option(help="Number of classes.")] = None,
    lattice: Annotated[
        str | None,
        typer.Option(help="Draw discrete noise, for inputs on multiples of this, as 1/255."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Weights to load into the module of MODEL's factory.", rich_help_panel=_MODEL
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            help="Which part of MODEL's output: 0, logits, heads.1, …", rich_help_panel=_MODEL
        ),
    ] = None,
    allow_pickle: Annotated[
        bool,
        typer.Option(
            "--allow-pickle",
            help="Load a saved program (pickled module, .pt2, TorchScript): it can run any code.",
            rich_help_panel=_MODEL,
        ),
    ] = False,
    *,
    request: Given,
    certify_label: Annotated[
        bool,
        typer.Option(
            "--certify-label",
            help="Certify the true class; no N0 votes.",
            rich_help_panel="Certificate",
        ),
    ] = False,
    seed: Annotated[
        int,
        typer.Option(help="Of the noise; input i uses (seed, i).", rich_help_panel="Certificate"),
    ] = 0,
    split: Annotated[
        str | None,
        typer.Option(
            help="Given to DATA's factory; of an .npz, x_SPLIT and y_SPLIT.", rich_help_panel=_DATA
        ),
    ] = None,
    skip: Annotated[
        int, typer.Option(min=1, help="Certify every SKIP-th input.", rich_help_panel=_DATA)
    ] = 1,
    max_inputs: Annotated[
        int | None,
        typer.Option(
            "--max", min=1, help="Certify at most this many inputs.", rich_help_panel=_DATA
        ),
    ] = None,
    input_range: Annotated[
        tuple[float, float] | None,
        typer.Option(help="Reject inputs outside this range.", rich_help_panel=_DATA),
    ] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that load inputs.", rich_help_panel=_DATA)
    ] = 0,
    device: Annotated[
        str, typer.Option(help="cpu, cuda, cuda:1, auto, …", rich_help_panel=_RUN)
    ] = "cpu",
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Noisy copies per forward pass.", show_default="what fits", rich_help_panel=_RUN
        ),
    ] = None,
    autocast: Annotated[
        PrecisionName | None,
        typer.Option(
            help="Lower precision of the forward pass.", show_default="none", rich_help_panel=_RUN
        ),
    ] = None,
    compiled: Annotated[
        bool, typer.Option("--compile", help="Use torch.compile.", rich_help_panel=_RUN)
    ] = False,
    channels_last: Annotated[
        bool,
        typer.Option(
            "--channels-last", help="Memory format of model and batches.", rich_help_panel=_RUN
        ),
    ] = False,
    into: OutOption = None,
    resume: Annotated[
        bool, typer.Option(help="Continue a table that is there.", rich_help_panel=_OUTPUT)
    ] = True,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Begin anew, and replace what is there.", rich_help_panel=_OUTPUT
        ),
    ] = False,
    record_time: Annotated[
        bool,
        typer.Option("--time/--no-time", help="Fill the time column.", rich_help_panel=_OUTPUT),
    ] = True,
    format: FormatOption = "text",
) -> None:
    """Certify the inputs in DATA with MODEL, and write a table to OUT.

    A FACTORY is called without arguments, and returns a module, a callable on batches, a fitted
    scikit-learn classifier, or a SmoothedClassifier, which has its own sigma, number of classes
    and noise.

    A run that was stopped is continued by the same command. To share the inputs between processes
    or GPUs, run
    torchrun --nproc-per-node=2 -m rsverify -- certify …
    """
    from rsverify._core.optional import need

    need("torch")
    import torch

    from rsverify.smoothing.data.inputs import check_precision
    from rsverify.smoothing.dataset import certify_request
    from rsverify.smoothing.device import DeviceContext, choose_device
    from rsverify.smoothing.distributed import check_not_a_shard, is_first_process
    from rsverify.smoothing.request import Request
    from rsverify.tables.metadata import check_table_free, check_table_name

    # Before a model is loaded, which may take long.
    tables = _tables(one_out(out, into), sigma)
    for table in tables:
        check_not_a_shard(check_table_name(table))
        _check_apart(table, [model, data, *([] if checkpoint is None else [checkpoint])])
        if not resume:
            check_table_free(table, force=force)

    asked = Request.given(dict(request) | {"lipschitz": _constant(request["lipschitz"])})
    precision = None if autocast is None else check_precision(autocast)
    place = choose_device(device)
    loading: _Loading = {"checkpoint": checkpoint, "output": output, "allow_pickle": allow_pickle}
    with DeviceContext(place).active():  # a factory may put its model on the current GPU
        dataset = _dataset(data, split)
        classifiers = _classifiers(
            model, num_classes, list(tables.values()), str(place), lattice, loading
        )
    found = {}
    for table, classifier in zip(tables, classifiers, strict=True):
        if channels_last and isinstance(classifier.model, torch.nn.Module):
            classifier.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        found[table] = certify_request(
            classifier,
            dataset,
            table,
            asked,
            resume=resume,
            force=force,
            certify_label=certify_label,
            seed=seed,
            skip=skip,
            max_inputs=max_inputs,
            input_range=input_range,
            batch_size=batch_size,
            autocast=precision,
            compile=compiled,
            channels_last=channels_last,
            workers=workers,
            record_time=record_time,
            progress=True,
            origin={"command": "certify", "model": model, "data": data, "split": split},
        )
    if is_first_process():
        _print(found, tables, "anytime" if asked.stops_early else asked.bound, format)


def _tables(out: Path | None, sigmas: Sequence[float] | None) -> dict[Path, float | None]:
    """Return each table to write with its noise; OUT_SIGMA where there are several."""
    if out is None:
        raise ValueError("out must be given: the table to write, as the third argument or by -o")
    if not sigmas:
        return {out: None}
    if len(set(sigmas)) < len(sigmas):
        raise ValueError(f"sigma={list(sigmas)} must be different values: each has its own table")
    if len(sigmas) == 1:
        return {out: sigmas[0]}
    return {out.with_name(f"{out.stem}_{sigma:.12g}{out.suffix}"): sigma for sigma in sigmas}


def _print(
    found: dict[Path, pd.DataFrame], tables: dict[Path, float | None], bound: str, format: Format
) -> None:
    from rsverify.tables.metadata import metadata_path

    several = len(found) > 1
    named = {
        f"sigma {tables[path]:g}" if several else bound: table for path, table in found.items()
    }
    written = [str(p) for path in found for p in (path, metadata_path(path))]
    if format == "json":
        print_json({**summary_content(named), "written": written})
    else:
        print_summary(named)
        print_written(written)


def _check_apart(out: Path, inputs: Sequence[str | Path]) -> None:
    """Raise where the table or its JSON would replace what it is made from, force or not."""
    from rsverify.tables.metadata import metadata_path

    for name in inputs:
        # Of FILE.py:FACTORY the file.
        for path in (Path(name), Path(str(name).rpartition(":")[0])):
            if path.is_file() and path.resolve() in {
                out.resolve(),
                metadata_path(out).resolve(),
            }:
                raise ValueError(f"out={str(out)!r} would replace {path}; name another table")


def _constant(given: object) -> object:
    """Return ``"auto"``, None or a number."""
    if given is None or given == "auto":
        return given
    try:
        return float(str(given))
    except ValueError:
        raise ValueError(f"lipschitz={given!r} must be 'auto' or a number") from None


def _classifiers(
    model: str,
    num_classes: int | None,
    sigmas: Sequence[float | None],
    device: str,
    lattice: str | None,
    loading: _Loading,
) -> list[SmoothedClassifier]:
    """Return a classifier of the one model for each sigma."""
    from rsverify.smoothing.classifier import SmoothedClassifier
    from rsverify.smoothing.models.load import as_model, load_model, names_a_function

    step = None if lattice is None else _step(lattice)
    if names_a_function(model):
        made = _call(model)
        if isinstance(made, SmoothedClassifier):
            for sigma in sigmas:
                given = {"num_classes": num_classes, "sigma": sigma, "lattice": step}
                _check_agreement(made, model, {**given, **loading})
            return [made]
        network = as_model(made, name=model, device=device, **loading)
    else:
        network = load_model(model, device=device, **loading)
    if num_classes is None or None in sigmas:
        name = "--num-classes" if num_classes is None else "--sigma"
        raise ValueError(f"{name} must be given: {model} does not say it")
    noise: NoiseName = "gaussian" if step is None else "discrete"
    return [
        SmoothedClassifier(network, num_classes, sigma, device=device, noise=noise, lattice=step)
        for sigma in sigmas
        if sigma is not None
    ]


def _check_agreement(made: SmoothedClassifier, model: str, given: dict[str, object]) -> None:
    """Raise where an option says something else than the classifier that a factory made."""
    for name, value in given.items():
        owner = made.noise if name == "lattice" else made
        own = getattr(owner, name, None)
        if value not in (None, False, own):
            has = f" with {name}={own}" if own is not None else ""
            raise ValueError(f"{name}={value} must be left out: {model} returns a classifier{has}")


def _step(lattice: str) -> Fraction:
    try:
        return Fraction(lattice)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"lattice={lattice!r} must be a fraction such as 1/255") from None


def _dataset(data: str, split: str | None) -> object:
    """Return a dataset made by a factory, or arrays from a file."""
    if Path(data).suffix not in {".npy", ".npz"}:
        if ":" not in data:
            raise ValueError(f"data={data!r} must end in .npy or .npz, or be MODULE:FACTORY")
        return _call(data) if split is None else _call(data, split)
    if Path(data).suffix == ".npy":
        if split is not None:
            raise ValueError(f"split={split!r} must be left out: {data} holds one array")
        return read_npy(Path(data), mapped=True)
    ending = "" if split is None else f"_{split}"
    arrays, names = read_npz(Path(data), f"x{ending}", f"y{ending}")
    if f"x{ending}" not in arrays:
        raise DataError(
            f"{data} holds {', '.join(names) or 'nothing'}; it must hold x{ending}, and "
            f"y{ending} if it is known{_splits(names)}"
        )
    x, y = arrays[f"x{ending}"], arrays.get(f"y{ending}")
    return x if y is None else (x, y)


def _splits(names: Iterable[str]) -> str:
    found = sorted(name.removeprefix("x_") for name in names if name.startswith("x_"))
    return f"; --split can be {' or '.join(found)}" if found else ""


def _call(target: str, *arguments: str) -> object:
    factory = load_function(target)
    try:
        return factory(*arguments)
    except (Exception, SystemExit) as error:  # code of the user raises errors of all kinds
        raise ValueError(f"{target} failed: {cause_of(error)}") from error
