"""The command line and Python have the same options: names, defaults, choices."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any, get_args

import pytest
import typer

torch = pytest.importorskip("torch")

from rsverify import (  # noqa: E402
    SmoothedClassifier,
    audit,
    certify_dataset,
    certify_table,
    recertify,
    recertify_radii,
)
from rsverify._core import types  # noqa: E402
from rsverify.auditing.estimand import ESTIMANDS  # noqa: E402
from rsverify.certificates.options import RequestOptions, request_options  # noqa: E402
from rsverify.certificates.scores import SCORE_BOUNDS  # noqa: E402
from rsverify.cli.app import app  # noqa: E402
from rsverify.smoothing.request import Request  # noqa: E402
from rsverify.smoothing.score_maps import SCORE_MAPS  # noqa: E402

NOT_GIVEN = inspect.Parameter.empty


def command_options(name: str) -> dict[str, Any]:
    """Return the options of a command by their long names, with `_`, and their defaults."""
    command = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    return {
        option.opts[0].removeprefix("--").replace("-", "_"): option
        for option in command.params
        if option.opts[0].startswith("--")
    }


def python_options(function: Any) -> dict[str, Any]:
    """Return the keyword options of a function, and their defaults."""
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def differences(
    command: str, options: dict[str, Any], renamed: dict[str, str], only_python: set[str]
) -> dict[str, tuple[Any, Any]]:
    """Return the options whose defaults differ, or which the command lacks."""
    there = command_options(command)
    found = {}
    for name, default in options.items():
        option = there.get(renamed.get(name, name))
        if name in only_python:
            assert option is None, name
        elif option is None:
            found[name] = (default, "no option")
        elif option.default != default and not (default is NOT_GIVEN and option.required):
            found[name] = (default, option.default)
    return found


def test_a_request_is_its_list_of_options() -> None:
    assert [f.name for f in fields(Request)] == list(request_options())
    assert Request() == Request(**{o.name: o.default for o in request_options().values()})


def test_every_option_is_checked_as_its_choices_say() -> None:
    for option in request_options().values():
        assert option.help.endswith("."), option
        for choice in option.choices:
            assert getattr(Request(**{option.name: choice}), option.name) == choice
        if option.choices:
            with pytest.raises(ValueError, match=option.name):
                Request(**{option.name: "typo"})


@pytest.mark.parametrize("function", [SmoothedClassifier.certify, certify_dataset])
def test_public_functions_have_every_option_of_a_request(function: Any) -> None:
    given = inspect.signature(function).parameters
    listed = inspect.signature(RequestOptions).parameters
    assert {n: (given[n].default, given[n].annotation) for n in listed} == {
        n: (p.default, p.annotation) for n, p in listed.items()
    }


def test_certify_has_the_options_of_python() -> None:
    options = python_options(certify_dataset)
    found = differences(
        "certify",
        options,
        renamed={"max_inputs": "max", "record_time": "time"},
        only_python={"progress", "origin"},  # always shown on a terminal; the command says it
    )
    # A command that is given twice gives the same table twice.
    assert found == {"seed": (None, 0)}


def test_certify_shows_the_help_of_the_list() -> None:
    there = command_options("certify")
    for name, option in request_options().items():
        assert there[name].help == option.help, name
        assert there[name].default == option.default, name


def test_audit_has_the_options_of_python() -> None:
    found = differences(
        "audit",
        python_options(audit),
        renamed={"n_jobs": "jobs"},
        only_python={"scenarios", "family", "progress"},  # functions and laws
    )
    assert found == {
        "alpha": (NOT_GIVEN, 0.05),
        "kind": (None, "coverage"),
    }


@pytest.mark.parametrize("function", [recertify, recertify_radii])
def test_recertify_has_the_options_of_python(function: Any) -> None:
    options = python_options(function)
    # Progress is always shown on a terminal, and the store is beside OUT.
    found = differences("recertify", options, renamed={}, only_python={"store", "progress"})
    needed = {name for name, default in options.items() if default is NOT_GIVEN}
    assert found == dict.fromkeys(needed, (NOT_GIVEN, None))  # of tables of radii alone


def test_certify_counts_has_the_options_of_python() -> None:
    options = python_options(certify_table)
    only_python = {"store", "progress", "selection"}  # the last from its columns
    found = differences("certify-counts", options, renamed={}, only_python=only_python)
    assert found == {"alpha": (NOT_GIVEN, 0.001), "ignore": ((), None)}  # None is none


def test_names_are_those_of_what_they_name() -> None:
    assert set(get_args(types.AuditEstimandName)) == set(ESTIMANDS)
    assert set(get_args(types.ScoreMapName)) == set(SCORE_MAPS)
    assert set(get_args(types.MeanBoundName)) == set(SCORE_BOUNDS)
