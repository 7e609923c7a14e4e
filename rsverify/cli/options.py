"""The options of a command that are those of a request: made from the one list of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, Optional

import typer

from rsverify.certificates.options import Option, request_options

if TYPE_CHECKING:
    from rsverify.noise import Noise, Norm

Given = Mapping[str, object]
"""Options of a request as they were read from a command line."""

_PANELS = {
    "scores": "Scores instead of votes",
    "temperature": "Scores instead of votes",
    "lipschitz": "Scores instead of votes",
    "target_radius": "Early stopping",
    "precision": "Early stopping",
    "relative_precision": "Early stopping",
    "futility": "Early stopping",
    "ignore": "Which classes count",
    "top_k": "Which classes count",
}
"""Heading in the help of those options that are for one kind of certificate only."""


def with_request_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the options of a request in the place of its parameter `request`."""
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name == "request":
            parameters += [_parameter(option) for option in request_options().values()]
        elif hasattr(parameter.annotation, "__metadata__"):  # others are for other commands
            parameters.append(parameter)

    def run(**values: object) -> None:
        request = {name: values.pop(name) for name in request_options()}
        command(**values, request=request)

    keyword = inspect.Parameter.KEYWORD_ONLY
    # All by keyword, so that an option without a default may follow one that has one.
    signature = inspect.Signature([p.replace(kind=keyword) for p in parameters])
    annotations = {p.name: p.annotation for p in parameters}
    functools.update_wrapper(run, command)
    for name, value in (("__signature__", signature), ("__annotations__", annotations)):
        setattr(run, name, value)
    return run


def with_options_of(
    other: Callable[..., None], *, without: tuple[str, ...]
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return what gives a command the options of another one, in the place of `certifying`."""
    theirs = inspect.signature(other).parameters

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True).parameters
        taken = [p for name, p in theirs.items() if name not in {*without, *own}]
        parameters: list[inspect.Parameter] = []
        for name, parameter in own.items():
            parameters += taken if name == "certifying" else [parameter]

        def run(**values: object) -> None:
            certifying = {p.name: values.pop(p.name) for p in taken}
            command(**values, certifying=certifying)

        keyword = inspect.Parameter.KEYWORD_ONLY
        functools.update_wrapper(run, command)
        signature = inspect.Signature([p.replace(kind=keyword) for p in parameters])
        annotations = {p.name: p.annotation for p in parameters}
        for name, value in (("__signature__", signature), ("__annotations__", annotations)):
            setattr(run, name, value)
        return run

    return decorate


def _parameter(option: Option) -> inspect.Parameter:
    read: object = Literal[option.choices] if option.choices else option.kind
    if option.several:
        read = list[option.kind]  # type: ignore[name-defined]
    kind = read if option.default is not None else Optional[read]  # noqa: UP045
    shown = typer.Option(
        help=option.help,
        show_default=option.unset or True,
        rich_help_panel=_PANELS.get(option.name, "Certificate"),
    )
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=option.default,
        annotation=Annotated[kind, shown],
    )


OutOption = Annotated[
    Path | None,
    typer.Option("--out", "-o", help="The same as OUT.", rich_help_panel="Output"),
]


def one_out(argument: Path | None, option: Path | None) -> Path | None:
    """Return the one file to write, which is given as an argument or by ``-o``."""
    if argument is not None and option is not None and argument != option:
        raise ValueError(f"--out {option} must be left out: OUT={argument} is given already")
    return option if argument is None else argument


NoiseOption = Annotated[
    str | None,
    typer.Option(
        metavar="NAME:PARAMETERS",
        help="Instead of --sigma, the noise as a table writes it: gaussian:0.5, uniform:0.5, "
        "splitting:0.5, laplace:0.5, ablation:45,784 (kept, of), deletion:0.97.",
    ),
]
NormOption = Annotated[
    str | None,
    typer.Option(
        help="How an attack is measured: l0, l1, l2, linf, lp:POWER, mahalanobis or edit.",
        show_default="the one NOISE is made for",
    ),
]
DimensionOption = Annotated[
    int | None,
    typer.Option(help="How many numbers each input has, for norms that need it, as linf does."),
]


def noise_and_norm(noise: str | None, norm: str | None) -> tuple[Noise | None, Norm | None]:
    """Return the noise and the norm of an attack, as a command line names them."""
    from rsverify.noise import parse_noise, parse_norm

    return (
        None if noise is None else parse_noise(noise),
        None if norm is None else parse_norm(norm),
    )
