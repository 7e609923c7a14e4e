"""The command ``rsverify certify``: a model and data, from files or functions -> a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from rsverify._core.text import number_text
from rsverify._core.types import PrecisionName
from rsverify.cli.console import (
    Format,
    FormatOption,
    err_console,
    print_json,
    print_written,
    working,
)
from rsverify.cli.options import (
    Given,
    NoiseOption,
    OutOption,
    one_out,
    with_request_options,
)
from rsverify.cli.planned import print_plan
from rsverify.cli.sources import Reading, Source, dataset_of
from rsverify.cli.summary import print_summary, summary_content

if TYPE_CHECKING:
    import pandas as pd

    from rsverify.tables.plan import Plan


_MODEL, _DATA, _RUN, _OUTPUT = "Model", "Data", "Run", "Output"
_PLANNED = Path("planned.tsv")  # stands for a table that is not written


class Planning(NamedTuple):
    """What a run that is only planned is asked, and who takes the plan."""

    taken: Callable[[Plan], None]
    probability: float = 0.9
    seconds: float = 5.0


@with_request_options
def certify(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="Saved module, .onnx, MODULE:FACTORY or FILE.py:FACTORY, timm:NAME, "
            "torchvision:NAME, or hf:DIRECTORY.",
        ),
    ],
    data: Annotated[
        str,
        typer.Argument(
            metavar="DATA",
            help=".npy of inputs, .npz of x and y, MODULE:FACTORY of a dataset, or a folder of "
            "images, one folder per class.",
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
    noise: NoiseOption = None,
    num_classes: Annotated[int | None, typer.Option(help="Number of classes.")] = None,
    lattice: Annotated[
        str | None,
        typer.Option(help="Draw discrete noise, for inputs on multiples of this, as 1/255."),
    ] = None,
    mask: Annotated[
        str | None,
        typer.Option(
            help="Of ablation: what the model sees in the place of hidden entries, one number or "
            "one per channel. Of deletion: the token that fills up, or FILE.py:FUNCTION.",
        ),
    ] = None,
    channel_axis: Annotated[
        int | None,
        typer.Option(help="Of ablation: axis along which numbers are hidden together, as 0."),
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(
            help="Weights to load into the module of MODEL's factory.", rich_help_panel=_MODEL
        ),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            help="Entry of the checkpoint that holds the weights, as ema or state_dict.backbone.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    allow_global: Annotated[
        list[str] | None,
        typer.Option(
            help="Class that the checkpoint may use beside tensors, as pathlib.PosixPath. "
            "Repeatable.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    model_arg: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Argument of MODEL's factory. Repeatable.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    output: Annotated[
        str | None,
        typer.Option(
            help="Which part of MODEL's output: 0, logits, heads.1, …", rich_help_panel=_MODEL
        ),
    ] = None,
    label: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Label to certify of a multi-label model and its data; 0 for one logit.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(
            help="Normalize inputs: subtract this, one number or one per channel, as 0.5,0.4,0.3.",
            rich_help_panel=_MODEL,
        ),
    ] = None,
    std: Annotated[
        str | None, typer.Option(help="Normalize inputs: divide by this.", rich_help_panel=_MODEL)
    ] = None,
    preprocess: Annotated[
        str | None,
        typer.Option(
            help="From noisy inputs to what MODEL takes: FILE.py:FUNCTION, auto for what MODEL was "
            "trained with, or a folder with preprocessor_config.json.",
            rich_help_panel=_MODEL,
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
            help="Given to DATA's factory; of an .npz, x_SPLIT and y_SPLIT, or the like.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    x: Annotated[
        str | None,
        typer.Option(
            help="Entry of an item, or array of an .npz, that is the input.", rich_help_panel=_DATA
        ),
    ] = None,
    y: Annotated[
        str | None,
        typer.Option(
            help="Entry of an item, or array of an .npz, that is the class.", rich_help_panel=_DATA
        ),
    ] = None,
    scale: Annotated[
        str | None,
        typer.Option(
            help="Multiply inputs by this: 1/255 for images in bytes.", rich_help_panel=_DATA
        ),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            min=1, help="Resize and cut images of a folder to this square.", rich_help_panel=_DATA
        ),
    ] = None,
    hwc: Annotated[
        bool,
        typer.Option("--hwc", help="Inputs are height × width × channels.", rich_help_panel=_DATA),
    ] = False,
    skip: Annotated[
        int, typer.Option(min=1, help="Certify every SKIP-th input.", rich_help_panel=_DATA)
    ] = 1,
    max_inputs: Annotated[
        int | None,
        typer.Option(
            "--max", min=1, help="Certify at most this many inputs.", rich_help_panel=_DATA
        ),
    ] = None,
    share: Annotated[
        str | None,
        typer.Option(
            metavar="I/OF",
            help="Certify one share of the inputs, as 3/8, for jobs that run apart; merge makes "
            "one table of theirs.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    accuracy_within: Annotated[
        float | None,
        typer.Option(
            help="Certify inputs in random order, until certified accuracy at a radius is known "
            "within this width.",
            rich_help_panel=_DATA,
        ),
    ] = None,
    accuracy_radius: Annotated[
        float | None,
        typer.Option(help="That radius.", show_default="the target radius", rich_help_panel=_DATA),
    ] = None,
    accuracy_alpha: Annotated[
        float,
        typer.Option(help="Failure probability of its interval.", rich_help_panel=_DATA),
    ] = 0.05,
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
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Draw votes for a few seconds, and print what the run would take and certify; "
            "no OUT.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    format: FormatOption = "text",
    planning: Planning | None = None,
) -> None:
    """Certify the inputs in DATA with MODEL, and write a table to OUT.

    A FACTORY is called, with what --model-arg gives, and returns a module, a callable on batches,
    a fitted scikit-learn classifier, or a SmoothedClassifier, which has its own sigma, number of
    classes and noise.

    A run that was stopped is continued by the same command; --dry-run says what it would take. To
    share the inputs between processes or GPUs, run
    torchrun --nproc-per-node=2 -m rsverify -- certify …
    or, where jobs run apart, give each its --share.
    """
    from rsverify._core.optional import need

    need("torch")
    with working("loading torch"):
        import torch

    from rsverify.smoothing.accuracy import accuracy_goal
    from rsverify.smoothing.data.inputs import check_precision
    from rsverify.smoothing.dataset import certify_request
    from rsverify.smoothing.device import DeviceContext, choose_device
    from rsverify.smoothing.distributed import check_not_a_shard, is_first_process
    from rsverify.smoothing.planning import plan_request
    from rsverify.smoothing.request import Request
    from rsverify.smoothing.run_options import RunOptions
    from rsverify.smoothing.sampling.session import Execution
    from rsverify.tables.metadata import check_table_free, check_table_name

    # Before a model is loaded, which may take long.
    if noise is not None and sigma:
        raise ValueError(
            f"sigma={number_text(sigma[0])} must be left out with --noise {noise}: it is short for "
            f"--noise gaussian:{number_text(sigma[0])}"
        )
    if dry_run and planning is None:
        planning = Planning(taken=lambda plan: print_plan(plan, format))
    tables = _tables(_PLANNED if planning else one_out(out, into), sigma)
    for table in tables if planning is None else ():
        check_not_a_shard(check_table_name(table))
        _check_apart(table, [model, data, *([] if checkpoint is None else [checkpoint])])
        if not resume:
            check_table_free(table, force=force)

    asked = Request.given(dict(request) | {"lipschitz": _constant(request["lipschitz"])})
    part = _share(share)
    precision = None if autocast is None else check_precision(autocast)
    place = choose_device(device)
    source = Source(
        model=model,
        loading={
            "checkpoint": checkpoint,
            "key": key,
            "output": output,
            "label": label,
            "allow_globals": allow_global or [],
            "allow_pickle": allow_pickle,
        },
        arguments=model_arg or [],
        num_classes=num_classes,
        noise=noise,
        lattice=lattice,
        mask=mask,
        channel_axis=channel_axis,
        mean=mean,
        std=std,
        preprocess=preprocess,
        device=str(place),
    )
    reading: Reading = {
        "x": x,
        "y": y,
        "label": label,
        "scale": scale,
        "size": image_size,
        "hwc": hwc,
    }
    # A factory may put its model on the current GPU.
    with working("loading the model and the data"), DeviceContext(place).active():
        dataset = dataset_of(data, split, reading)
        classifiers = source.classifiers(list(tables.values()))
    found = {}
    for table, classifier in zip(tables, classifiers, strict=True):
        if channels_last and isinstance(classifier.model, torch.nn.Module):
            classifier.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if planning is not None:
            planning.taken(
                plan_request(
                    classifier,
                    dataset,
                    asked,
                    certify_label=certify_label,
                    probability=planning.probability,
                    seconds=planning.seconds,
                    seed=seed,
                    skip=skip,
                    max_inputs=max_inputs,
                    input_range=input_range,
                    batch_size=batch_size,
                    execution=Execution(
                        autocast=precision, compiled=compiled, channels_last=channels_last
                    ),
                )
            )
            continue
        options = RunOptions(
            resume=resume,
            force=force,
            certify_label=certify_label,
            seed=seed,
            skip=skip,
            max_inputs=max_inputs,
            share=part,
            accuracy=accuracy_goal(
                accuracy_within, accuracy_radius, accuracy_alpha, asked.target_radius
            ),
            input_range=input_range,
            batch_size=batch_size,
            autocast=precision,
            compile=compiled,
            channels_last=channels_last,
            workers=workers,
            record_time=record_time,
            progress=True,
            estimated=_print_estimate,
            origin={"command": "certify", "model": model, "data": data, "split": split},
        )
        found[table] = certify_request(classifier, dataset, table, asked, options)
    if planning is None and is_first_process():
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

    named = {
        bound if sigma is None or len(found) == 1 else f"sigma {number_text(sigma)}": found[path]
        for path, sigma in tables.items()
        if path in found
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


def _print_estimate(text: str) -> None:
    err_console.print(f"estimate: {text}", soft_wrap=True)


def _share(given: str | None) -> tuple[int, int] | None:
    """Return the share that ``3/8`` names."""
    if given is None:
        return None
    found = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", given)
    if found is None:
        raise ValueError(f"share={given!r} must be a share such as 3/8: the third of eight")
    return int(found[1]), int(found[2])


def _constant(given: object) -> object:
    """Return ``"auto"``, None or a number."""
    if given is None or given == "auto":
        return given
    try:
        return float(str(given))
    except ValueError:
        raise ValueError(f"lipschitz={given!r} must be 'auto' or a number") from None
