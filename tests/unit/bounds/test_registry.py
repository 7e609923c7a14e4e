"""Every bound is registered, and a registered bound lacks nothing that it needs."""

from __future__ import annotations

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


@pytest.mark.parametrize("name", BOUNDS)
def test_a_registered_bound_has_all_that_it_needs(name: str) -> None:
    bound = BOUNDS[name]
    assert bound.reference is not None
    module, _, function = bound.reference.partition(":")
    assert callable(getattr(importlib.import_module(f"rsverify.reference.{module}"), function))
    text = inspect.getdoc(bound.function) or ""
    assert "*Guarantee" in text
    assert ">>> " in text
    for estimand in bound.estimands:  # an audit knows how to call it
        assert callable(audited(bound, estimand).function)
    family = name.rpartition("_")[0]  # one side is derived from the other
    assert name in PROPERTIES or f"{family}_lower" in PROPERTIES, "it has no property test"
    assert name in PAGES or f"{family}_lower" in PAGES, "no page of the docs mentions it"


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
