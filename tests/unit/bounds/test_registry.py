"""Every bound is registered, and a registered bound lacks nothing that it needs."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import get_args

import pytest

import rsverify.bounds
from rsverify import Bound, certify_counts
from rsverify._core.types import MeanBoundName
from rsverify.auditing.registry import NOT_BY_NAME, audited
from rsverify.bounds.registry import BOUNDS, bounds_of
from rsverify.bounds.score_margin import MEAN_BOUNDS

ROOT = Path(__file__).parents[3]
ENDINGS = ("_lower", "_upper", "_interval", "_sequence")
INTERNAL = {"column_margin_lower"}  # of columns that a caller has prepared
PROPERTIES = "\n".join(
    path.read_text(encoding="utf-8")
    for folder in ("property", "support", "statistical")
    for path in (ROOT / "tests" / folder).rglob("*.py")
)
PAGES = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md"))


def public_functions() -> dict[str, str]:
    """Return name -> module of the functions of `rsverify.bounds` that are named like bounds."""
    found = {}
    for info in pkgutil.iter_modules(rsverify.bounds.__path__, "rsverify.bounds."):
        for name, value in vars(importlib.import_module(info.name)).items():
            own = inspect.isfunction(value) and value.__module__ == info.name
            if own and not name.startswith("_") and name.endswith(ENDINGS):
                found[name] = info.name
    return found


def test_every_bound_is_registered_or_says_why_not() -> None:
    functions = public_functions()
    assert len(functions) > 20
    for name in functions:
        assert name in BOUNDS or name in NOT_BY_NAME or name in INTERNAL, name
    for name, bound in BOUNDS.items():
        assert bound.name == name
        assert bound.function.__name__ == name


def lacks(bound: Bound) -> list[str]:
    """Return what a registered bound must have and has not."""
    found = []
    module, _, function = (bound.reference or "").partition(":")
    try:
        if not callable(getattr(importlib.import_module(f"rsverify.reference.{module}"), function)):
            found.append("reference")
    except (ImportError, AttributeError):
        found.append("reference")
    text = inspect.getdoc(bound.function) or ""
    found += [
        name
        for name, mark in (("guarantee", "*Guarantee"), ("example", ">>> "))
        if mark not in text
    ]
    for estimand in bound.estimands:  # an audit knows how to call it
        try:
            assert callable(audited(bound, estimand).function)
        except (ValueError, KeyError):
            found.append("audit")
    names = {bound.name, f"{bound.name.rpartition('_')[0]}_lower"}  # one side is derived
    for what, where in (("property test", PROPERTIES), ("page", PAGES)):
        if not any(name in where for name in names):
            found.append(what)
    return found


@pytest.mark.parametrize("name", BOUNDS)
def test_a_registered_bound_has_all_that_it_needs(name: str) -> None:
    assert lacks(BOUNDS[name]) == []


def undocumented(k: object, n: object, alpha: object) -> object:
    return k, n, alpha


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"reference": None}, ["reference"]),
        ({"reference": "proportion:no_such_function"}, ["reference"]),
        ({"reference": "no_such_module:clopper_pearson_lower"}, ["reference"]),
        ({"function": undocumented}, ["guarantee", "example"]),
        ({"name": "unheard_of" + "_upper"}, ["property test", "page"]),
    ],
)
def test_a_bound_that_is_incompletely_registered_fails(
    change: dict[str, object], what: list[str]
) -> None:
    whole = BOUNDS["clopper_pearson_lower"]
    assert lacks(whole) == []
    assert lacks(dataclasses.replace(whole, **change)) == what  # type: ignore[arg-type]


def test_bounds_of_margins_of_scores_are_made_from_every_lower_bound_of_a_mean() -> None:
    assert set(MEAN_BOUNDS) == set(get_args(MeanBoundName))
    fixed = bounds_of("mean", side="lower", data="sample", time_uniform=False)
    assert len(MEAN_BOUNDS) == len(fixed) + 1  # betting in two ways


def test_bounds_are_found_by_what_they_are() -> None:
    assert "clopper_pearson_lower" in bounds_of("proportion", side="lower")
    assert set(bounds_of("probit", data="votes")) == {
        "bonferroni_margin_lower",
        "exact_margin_lower",
    }
    assert all(b.time_uniform for b in bounds_of(time_uniform=True).values())


def test_a_bound_says_what_is_wrong_with_it() -> None:
    with pytest.raises(ValueError, match="name=''"):
        Bound("", len, "mean")
    with pytest.raises(TypeError, match="function=3"):
        Bound("three", 3, "mean")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="estimand='mean' must be one of 'difference', 'probit'"):
        BOUNDS["exact_margin_lower"].limits_of("mean")


def minus_one(*_votes_and_level: object) -> float:
    return -1.0


def test_certificates_take_a_bound_of_ones_own() -> None:
    own = Bound("mine", minus_one, "difference")
    certificate = certify_counts([9, 1], sigma=1, alpha=0.05, y=0, bound=own, radius="R1")
    assert certificate.bound == "mine"
    assert certificate.margin == -1.0
    assert certificate.prediction == -1
    with pytest.raises(ValueError, match=r"radius=.R2. needs .probit."):
        certify_counts([9, 1], sigma=1, alpha=0.05, y=0, bound=own, radius="R2")
    with pytest.raises(ValueError, match="data='votes'"):
        certify_counts(
            [9, 1], sigma=1, alpha=0.05, y=0, bound=Bound("x", len, "mean", data="sample")
        )
