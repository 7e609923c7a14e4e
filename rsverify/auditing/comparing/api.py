"""`compare_bounds`: several bounds on the same data."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple, get_args

import numpy as np

from rsverify._core.check import (
    check_choice,
    check_flag,
    check_level,
    check_seed_number,
    check_size,
    check_takes,
    shown,
)
from rsverify._core.types import AuditEstimandName, MarginName, Side
from rsverify.auditing.caller import SIDES, Caller, Failure, merge_failures, name_of
from rsverify.auditing.company import COMPANY, prepare
from rsverify.auditing.comparing.limits import known_limit
from rsverify.auditing.comparing.measure import (
    Measured,
    error_of,
    exact_outcomes,
    simulate_all,
    sum_up,
)
from rsverify.auditing.comparing.result import BoundComparison, ComparedBound
from rsverify.auditing.comparing.speed import Speed, measure_speed
from rsverify.auditing.comparing.suites import comparison_suite
from rsverify.auditing.design import FLOAT_ERRORS, LARGEST_N, Design, Progress, check_told
from rsverify.auditing.estimand import Data, Estimand, Parameters, find_estimand, renamed
from rsverify.auditing.exact.proportion import ROUNDING
from rsverify.auditing.fitting import probe
from rsverify.auditing.registry import audited, find_bound
from rsverify.auditing.report import plain
from rsverify.auditing.scenario import Scenario, check_scenarios
from rsverify.auditing.verdict import FALSE_ALARM, log_e_above
from rsverify.bounds.bound import Bound
from rsverify.bounds.registry import BOUNDS

__all__ = ["compare_bounds"]

REPLICATIONS = 2000
LARGEST_REPLICATIONS = 10_000_000
PROBE = "how the bound is called"

Compared = Callable[..., object] | Bound | str
Function = Callable[..., object]


class _Asked(NamedTuple):
    """A bound to compare: how it is called, on data of which estimand, and its side."""

    name: str
    function: Function
    estimand: Estimand
    side: Side | None  # None: whatever is asked for
    steady: bool


@FLOAT_ERRORS
def compare_bounds(
    bounds: Sequence[Compared] | Mapping[str, Compared],
    estimand: AuditEstimandName | Estimand,
    n: int,
    alpha: float,
    *,
    side: Side | None = None,
    scenarios: Mapping[str, Parameters] | None = None,
    replications: int = REPLICATIONS,
    limit: bool = True,
    timing: bool = True,
    seed: int = 0,
    progress: Progress | None = None,
) -> BoundComparison:
    """Compare confidence bounds: coverage, mean gap on the same data, limit of any bound, speed.

    Parameters
    ----------
    bounds : sequence or mapping
        The bounds, each as `rsverify.audit` takes it: a function ``bound(data, alpha)``, a `Bound`,
        or the name of one of this package (``rsverify bounds`` lists them). A mapping gives them
        names. The first is what the others are compared with.
    estimand : str or Estimand
        What is bounded, as `rsverify.audit` takes it (``rsverify estimands`` lists them).
    n : int
        Sample size per replication.
    alpha : float
        Failure probability that the bounds claim, in (0, 1).
    side : {"lower", "upper", "two-sided"}, optional
        Which side the functions claim. Default: that of the bounds given by name, else "lower".
    scenarios : mapping of str to mapping, optional
        Name to the parameters of the estimand's `draw`. Default: a few ordinary distributions.
    replications : int, default 2000
        Per distribution, where data are simulated. Where they are counts of few outcomes and no
        bound is random, every outcome is summed instead, and nothing has an error.
    limit : bool, default True
        Compute the least mean gap of any valid bound, where it is known: proportions, Poisson
        rates, means of numbers in [0, 1] (n up to 10,000), margins of votes (lower, n up to 1,000).
    timing : bool, default True
        Measure processor time, at n/4, n and 4n.
    seed : int, default 0
        Of the random numbers.
    progress : callable, optional
        ``progress(done, total)`` after each distribution.

    Returns
    -------
    BoundComparison
        ``print`` shows it; `rows`, `speeds`, `to_pandas()`, `to_json()`, `to_html()`, `plot()`.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or out of its range, if bounds are of different sides or
        take different data, or if one fails on every call.

    Notes
    -----
    *Guarantee.* Exact expectations where `replications` of a row is 0, else means with their
    standard errors; a bound that covers is marked as not covering with probability at most 0.001
    over the whole comparison. Distributions that are not in the table are not looked at.

    The limit of any valid bound: see *How far from the limit* in the documentation.

    Examples
    --------
    >>> from rsverify import compare_bounds
    >>> names = ["clopper_pearson_lower", "randomized_clopper_pearson_lower"]
    >>> found = compare_bounds(names, "proportion", 100, 0.05, timing=False, replications=4000)
    >>> row = found.of("p = 0.5", "randomized_clopper_pearson_lower")
    >>> row.difference < 0 and row.share > 0.95
    True
    """
    progress = check_told(progress)
    if side is not None:
        check_choice("side", side, SIDES)
    asked, thing, claimed = _common(
        [_asked(name, bound, estimand) for name, bound in _named(bounds)], side
    )
    names = [each.name for each in asked]
    check_flag("limit", limit)
    check_flag("timing", timing)
    design = Design(
        bound=", ".join(names),
        estimand=thing.name,
        side=claimed,
        n=check_size("n", n, largest=LARGEST_N),
        alpha=check_level(alpha),
        seed=check_seed_number(seed),
        replications=check_size("replications", replications, largest=LARGEST_REPLICATIONS),
    )
    if scenarios is None:
        suite = comparison_suite(thing, design.n, design.alpha, claimed)
    else:
        suite = check_scenarios(scenarios, thing, design.n, design.alpha, claimed)
    callers = [_caller(each, thing, suite, design) for each in asked]
    found = _measured(callers, thing, suite, design, progress)
    rows = []
    for scenario, measured in zip(suite, found, strict=True):
        least = None
        if limit:
            least = known_limit(thing, scenario.parameters, design.n, design.alpha, claimed)
        truth = float(thing.truth(**scenario.parameters))
        rows += _rows(scenario, measured, names, truth, design, least, len(suite) * len(names))
    speeds: list[Speed] = []
    if timing:
        middle = suite[len(suite) // 2]
        speeds = [
            measure_speed(each.name, caller, thing, middle, design)
            for each, caller in zip(asked, callers, strict=True)
        ]
    record = {
        "version": design.record()["version"],
        "bounds": names,
        "estimand": thing.name,
        "side": claimed,
        "n": design.n,
        "alpha": design.alpha,
        "replications": design.replications,
        "seed": design.seed,
        "scenarios": plain({s.name: s.parameters for s in suite}),
    }
    return BoundComparison(rows, speeds, _failures(names, callers, found), record)


def _named(bounds: Sequence[Compared] | Mapping[str, Compared]) -> list[tuple[str, Compared]]:
    """Return the bounds with their names, each name once."""
    if isinstance(bounds, str | Bound) or not isinstance(bounds, Sequence | Mapping):
        raise TypeError(f"bounds={shown(bounds)} must be a list of bounds, or map names to them")
    if not bounds:
        raise ValueError(f"bounds={shown(bounds)} must hold a bound")
    if isinstance(bounds, Mapping):
        return [(str(name), bound) for name, bound in bounds.items()]
    found: list[tuple[str, Compared]] = []
    for bound in bounds:
        own = bound if isinstance(bound, str) else name_of(bound)
        own = bound.name if isinstance(bound, Bound) else own
        same = sum(name.partition(" (")[0] == own for name, _ in found)
        found.append((own if not same else f"{own} ({same + 1})", bound))
    return found


def _asked(name: str, bound: Compared, estimand: AuditEstimandName | Estimand) -> _Asked:
    """Return how a bound is called, and on which data."""
    if isinstance(bound, str | Bound):
        known = find_bound(bound) if isinstance(bound, str) else bound
        target = renamed(estimand) if isinstance(estimand, str) else find_estimand(estimand).name
        function, full, own = audited(known, target)
        return _Asked(name, function, find_estimand(full), own, BOUNDS.get(known.name) is known)
    if not callable(bound):
        raise TypeError(f"bounds={shown(bound)} must be a callable or the name of a bound")
    check_takes(name, bound, ("data", "alpha"))
    return _Asked(name, bound, find_estimand(estimand), None, False)


def _first_columns(data: Data) -> Data:
    return data[:, :2].astype(np.int64)


def _all_but_the_last(data: Data) -> Data:
    return data[:, :-1]


def _as_it_is(data: Data) -> Data:
    return data


_PARTS: dict[tuple[str, str], Callable[[Data], Data]] = {
    ("randomized-proportion", "proportion"): _first_columns,
    ("mean-known-variance", "mean"): _all_but_the_last,
    ("binary-mean", "mean"): _as_it_is,
    **{(f"{m}:first", m): _as_it_is for m in get_args(MarginName)},
}
"""(drawn, what a bound takes) -> the part of the data that it gets."""


def _common(asked: list[_Asked], side: Side | None) -> tuple[list[_Asked], Estimand, Side]:
    """Return the bounds as functions of the same data, what is drawn, and the side of all."""
    names = list(dict.fromkeys(each.estimand.name for each in asked))
    fitting = [d for d in names if all(d == own or (d, own) in _PARTS for own in names)]
    if not fitting:
        raise ValueError(
            f"bounds={shown([each.name for each in asked])} take different data, of "
            f"{' and '.join(names)}: compare those of one estimand"
        )
    drawn = next(each.estimand for each in asked if each.estimand.name == fitting[0])
    sides = {each.side for each in asked if each.side is not None}
    if len(sides) > 1:
        raise ValueError(
            f"bounds={shown([each.name for each in asked])} must be of one side, and are "
            f"{' and '.join(sorted(sides))}"
        )
    claimed: Side = next(iter(sides)) if sides else side or "lower"
    if side not in (None, claimed):
        raise ValueError(f"side={side!r} must be {claimed!r} for the bounds given by name")
    parts = [
        each
        if each.estimand.name == drawn.name
        else each._replace(function=_on_part(each.function, _PARTS[drawn.name, each.estimand.name]))
        for each in asked
    ]
    return parts, drawn, claimed


def _on_part(function: Function, part: Callable[[Data], Data]) -> Function:
    def on_part(data: Data, alpha: float) -> object:
        return function(part(data), alpha)

    return on_part


def _caller(each: _Asked, thing: Estimand, suite: list[Scenario], design: Design) -> Caller:
    return prepare(
        each.function,
        probe(thing, design, suite, COMPANY, PROBE),
        design.alpha,
        design.side,
        thing,
        name=each.name,
        steady=each.steady,
    )


def _measured(
    callers: list[Caller],
    thing: Estimand,
    suite: list[Scenario],
    design: Design,
    progress: Progress | None,
) -> list[Measured]:
    """Return what the bounds did under each distribution: summed if none is random, else drawn."""
    functions = all(caller.chunk is None and not caller.alone for caller in callers)
    outcomes = exact_outcomes(thing, suite, design) if functions else None
    if outcomes is not None:
        return sum_up(callers, outcomes, thing, suite, design)
    found = []
    for scenario in suite:
        found.append(simulate_all(callers, thing, scenario, design))
        if progress is not None:
            progress(len(found), len(suite))
    return found


def _rows(
    scenario: Scenario,
    found: Measured,
    names: list[str],
    truth: float,
    design: Design,
    limit: float | None,
    cells: int,
) -> list[ComparedBound]:
    """Return the rows of one distribution."""
    rows = []
    for i, name in enumerate(names):
        if found.replications:
            evidence = log_e_above(found.misses[i], found.replications, design.alpha)
            covers = evidence < math.log(cells / FALSE_ALARM)
        else:
            covers = found.miscoverage[i] <= design.alpha * (1.0 + ROUNDING)
        rows.append(
            ComparedBound(
                scenario.name,
                name,
                truth,
                found.miscoverage[i],
                error_of(found.misses[i], found.replications),
                covers,
                found.gap[i],
                found.gap_error[i],
                found.difference[i],
                found.difference_error[i],
                limit,
                found.replications,
                found.failed[i],
            )
        )
    return rows


def _failures(
    names: list[str], callers: list[Caller], found: list[Measured]
) -> dict[str, list[Failure]]:
    """Return what went wrong when each bound was called, of those of which something did."""
    failures: dict[str, list[Failure]] = {}
    for i, (name, caller) in enumerate(zip(names, callers, strict=True)):
        own = merge_failures(
            [f for each in {id(m.failures[i]): m for m in found}.values() for f in each.failures[i]]
        )
        if caller.mixed is not None:
            own.append(caller.mixed)
        if own:
            failures[name] = own
    return failures
