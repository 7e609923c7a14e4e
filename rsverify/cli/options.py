"""The options of a command that are those of a request: made from the one list of them."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Annotated

import typer

from rsverify.certificates.options import Option, request_options

Given = Mapping[str, object]
"""Options of a request as they were read from a command line."""


def with_request_options(command: Callable[..., None]) -> Callable[..., None]:
    """Return the command with the options of a request in the place of its parameter `request`."""
    signature = inspect.signature(command, eval_str=True)
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.name == "request":
            parameters += [_parameter(option) for option in request_options().values()]
        else:
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


def _parameter(option: Option) -> inspect.Parameter:
    kind = option.kind if option.default is not None else option.kind | None
    shown = typer.Option(help=option.help, show_default=option.unset or True)
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=option.default,
        annotation=Annotated[kind, shown],
    )
