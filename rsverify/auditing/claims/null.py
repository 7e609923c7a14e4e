"""Null hypotheses: a region of an estimand, and the distributions in it that are tried."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast, get_args

from rsverify._core.check import FloatArray, check_number, shown
from rsverify._core.types import MarginName
from rsverify.auditing.claims.levels import as_sequence
from rsverify.auditing.counts import Region
from rsverify.auditing.draws import real_sample
from rsverify.auditing.estimand import Estimand, Parameters
from rsverify.auditing.laws import check_drawn
from rsverify.auditing.scenario import MOVED, Law, Scenario, default_scenarios
from rsverify.auditing.simulation.search import Family, find_family
from rsverify.auditing.suites import (
    counts_at,
    law_at_mean,
    law_at_variance,
    law_in_words,
    votes_at,
)

SLACK = 1e-9  # of an estimand, that is attributed to rounding
AT = "at the end of the null: "
DIGITS = 12  # of points and probabilities, by which distributions are told apart

Null = float | tuple[float | None, float | None]
"""A point, or the ends of an interval that belong to it; None where it has no end."""


def check_null(null: Null, space: Region) -> Region:
    """Return the ends of a null, or raise where it is empty or misses the parameter space."""
    pair = as_sequence(null)
    if pair is None:
        ends = [check_number("null", cast(float, null))] * 2
    else:
        if len(pair) != 2:
            raise ValueError(f"null={shown(null)} must be a number or a pair (low, high)")
        ends = [
            default if end is None else check_number("null", cast(float, end))
            for end, default in zip(pair, (-math.inf, math.inf), strict=True)
        ]
    low, high = ends
    if low > high:
        raise ValueError(f"null={shown(null)} must have its lower end first: ({high:g}, {low:g})")
    if low > space[1] or high < space[0]:
        raise ValueError(
            f"null={shown(null)} must hold values of the estimand, which are in "
            f"[{space[0]:g}, {space[1]:g}]"
        )
    return low, high


def within(value: float, region: Region) -> bool:
    """Return whether a value is in the null, up to rounding."""
    slack = SLACK * max(1.0, abs(value)) if math.isfinite(value) else 0.0
    return region[0] - slack <= value <= region[1] + slack


def null_scenarios(
    estimand: Estimand,
    region: Region,
    n: int,
    alpha: float,
    scenarios: Mapping[str, Parameters] | None,
) -> dict[str, Parameters]:
    """Return distributions in the null: the caller's, or those built in, some at its ends."""
    if scenarios is not None:
        return _checked(estimand, region, n, scenarios)
    suite = default_scenarios(estimand, n, alpha, "two-sided")
    found: dict[str, Parameters] = {
        s.name: s.parameters for s in suite if within(estimand.truth(**s.parameters), region)
    }
    for end in sorted({v for v in region if math.isfinite(v)}):
        # Those at an end are the dangerous ones, and come first.
        found = {**_moved(estimand, suite, end, region, n), **found}
    found = {k: p for k, p in found.items() if within(estimand.truth(**p), region)}
    if not found:
        raise ValueError(
            f"scenarios=None must hold a distribution whose estimand is in null={region}: none of "
            f"{estimand.name!r} is; give scenarios"
        )
    return found


def _checked(
    estimand: Estimand, region: Region, n: int, scenarios: Mapping[str, Parameters]
) -> dict[str, Parameters]:
    if not isinstance(scenarios, Mapping) or not scenarios:
        raise ValueError(f"scenarios={shown(scenarios)} must map names to parameters of draw")
    for name, p in scenarios.items():
        if not isinstance(p, Mapping):
            raise TypeError(f"scenarios[{shown(name)}]={shown(p)} must map parameters to values")
        check_drawn(estimand, str(name), p, n)
        value = float(estimand.truth(**p))
        if not within(value, region):
            raise ValueError(
                f"scenarios[{name!r}] must be in null=({region[0]:g}, {region[1]:g}): its "
                f"estimand is {value:.6g}"
            )
    return {str(name): dict(p) for name, p in scenarios.items()}


def _moved(
    estimand: Estimand, suite: list[Scenario], end: float, region: Region, n: int
) -> dict[str, Parameters]:
    """Return distributions like those of a suite whose estimand is `end`."""
    if estimand.scenarios:  # the caller's own: nothing is known about how to move them
        return {}
    if estimand.model is not None:
        # That of the null: rates of events are cut off far above its own ends only.
        model = replace(estimand.model(n), region=region)
        return {AT + name: p for name, p in counts_at(model, end).items()}
    base, _, _ = estimand.name.partition(":")
    if base.removeprefix("path-") in get_args(MarginName):
        votes = votes_at(base.removeprefix("path-"), end)
        return {AT + name: {"p": p} for name, p in votes.items()}
    if base.startswith("score-"):
        corners = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
        votes = votes_at(base.removeprefix("score-"), end)
        return {AT + name: {"law": ("points", corners, p)} for name, p in votes.items()}
    move = mover(estimand)
    if move is None:
        return {}
    found: dict[str, Parameters] = {}
    seen: set[Law] = set()
    for scenario in suite:
        own = cast(Law, scenario.parameters["law"])
        law = move(own, end)
        if law is None or (known := _rounded(law)) in seen:
            continue  # Bernoulli distributions, moved, are one
        seen.add(known)
        found[AT + scenario.name + _as_moved(own, law, estimand)] = {"law": law}
    return found


def _rounded(law: Law) -> Law:
    """Return a distribution as one with others that differ from it by rounding or in order."""
    if law[0] != "points":
        return law
    pairs = zip(*law[1:3], strict=True)
    return tuple(sorted((round(v, DIGITS), round(w, DIGITS)) for v, w in pairs))


def _as_moved(own: Law, law: Law, estimand: Estimand) -> str:
    """Return what has become of a distribution, to follow the name that it had."""
    if law == own:
        return ""
    if estimand.draw is real_sample:
        by = estimand.truth(law=law) - estimand.truth(law=own)
        return f"{MOVED}shifted by {by:.4g}"
    return MOVED + law_in_words(law)


def mover(estimand: Estimand) -> Callable[[Law, float], Law | None] | None:
    """Return how a distribution of samples is moved to an estimand, None where that is unknown."""
    if estimand.name in ("mean", "binary-mean", "mean-known-variance"):
        return law_at_mean
    if estimand.name == "variance":
        return law_at_variance
    if estimand.draw is real_sample:
        return lambda law, end: _shifted(law, end - estimand.truth(law=law))
    return None


def _shifted(law: Law, by: float) -> Law | None:
    """Return a distribution of real numbers shifted by a number."""
    if law[0] == "points":
        return ("points", tuple(v + by for v in law[1]), law[2])
    if law[0] == "beta":
        return ("beta", law[1], law[2], by)
    if law[0] == "lognorm":
        return ("lognorm", law[1], by)
    return (law[0], law[1] + by, *law[2:])


def null_family(estimand: Estimand, region: Region, family: Family | None) -> Family:
    """Return a family of distributions that are all in the null, for a search."""
    if family is not None:
        return family
    laws, dimensions = find_family(None, estimand)
    move = mover(estimand)
    ends = [v for v in region if math.isfinite(v)]
    if move is None or not ends:
        raise ValueError(
            f"family=None must be given for estimand={estimand.name!r}: a function from the unit "
            "cube to parameters of distributions in the null"
        )

    def moved(u: FloatArray) -> Parameters:
        law = cast(Law, laws(u)["law"])
        if within(estimand.truth(law=law), region):
            return {"law": law}
        for end in ends:
            other = move(law, end)
            if other is not None:
                return {"law": other}
        return {"law": ("points", (ends[0],), (1.0,))}

    return moved, dimensions


def restricted(estimand: Estimand, region: Region, fixed: float | None = None) -> Estimand:
    """Return the estimand with the model of its counts restricted to the null."""
    model = estimand.model
    if model is None:
        return estimand
    return replace(estimand, model=lambda n: replace(model(n), region=region, fixed=fixed))
