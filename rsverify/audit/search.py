"""Worst-case search: look for the law at which a bound misses most, then ask it afresh.

Candidates of a family of laws are compared on few replications; the better quarter survives,
is joined by its neighbours and compared on four times as many, and so on. The miscoverage
seen on the way is biased upwards, as a maximum is; the verdict comes from an audit of the
last candidates with randomness that the search has not seen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from rsverify._check import FloatArray, check_alpha, check_choice, check_trials
from rsverify.audit.estimand import Estimand, find_estimand
from rsverify.audit.evaluate import PROBE_ROWS, SIDES, prepare
from rsverify.audit.names import named_bound
from rsverify.audit.report import AuditReport
from rsverify.audit.run import LARGEST_N, audit
from rsverify.audit.scenario import Scenario
from rsverify.audit.simulate import Design, generator, run_block

Family = Callable[[FloatArray], Mapping[str, Any]]

SEARCH_KEY = 1 << 21  # blocks of the search are keyed from here on, those of audits from 0
CANDIDATES = 64
ROUNDS = 4
FIRST_REPLICATIONS = 200
FINALISTS = 3


def two_point_laws(u: FloatArray) -> dict[str, Any]:
    """Return the sample law that takes one of two values, for `u` in the unit cube.

    The low value is u[0]^2, the high one between it and 1 by u[1]; the chance of the high one
    has log-odds from -9 to 9 by u[2].
    """
    low = float(u[0]) ** 2
    high = 1.0 - (1.0 - low) * float(u[1]) ** 2
    share = float(1.0 / (1.0 + np.exp(9.0 - 18.0 * u[2])))
    return {"law": ("points", (low, high), (1.0 - share, share))}


def three_class_laws(u: FloatArray) -> dict[str, Any]:
    """Return class probabilities for `u` in the unit square: q3 = u[0]^2, the rest split."""
    rest = 1.0 - float(u[0]) ** 2
    share = float(1.0 / (1.0 + np.exp(9.0 - 18.0 * u[1])))
    return {"p": (rest * share, rest * (1.0 - share), 1.0 - rest)}


def bernoulli_laws(u: FloatArray) -> dict[str, Any]:
    """Return a proportion for `u` in the unit interval, of log-odds from -9 to 9."""
    return {"p": float(1.0 / (1.0 + np.exp(9.0 - 18.0 * u[0])))}


FAMILIES: dict[str, tuple[Family, int]] = {
    "mean": (two_point_laws, 3),
    "proportion": (bernoulli_laws, 1),
    "difference": (three_class_laws, 2),
    "probit": (three_class_laws, 2),
}


def search_worst(
    bound: Callable[..., Any] | str,
    *,
    estimand: str | Estimand = "mean",
    n: int,
    alpha: float,
    side: str = "lower",
    family: tuple[Family, int] | None = None,
    seed: int = 0,
    **options: Any,
) -> AuditReport:
    """Search a family of laws for the worst miscoverage and audit what was found.

    Parameters
    ----------
    bound, estimand, n, alpha, side, seed
        As `rsverify.audit.run.audit`.
    family : (callable, int), optional
        A function from the unit cube of that dimension to the parameters of the estimand's
        `draw`. Default: two-point laws for "mean", log-odds for "proportion", three classes
        for "difference" and "probit".
    **options
        Further options of the audit of the finalists: `replications`, `tolerance` and so on.

    Returns
    -------
    AuditReport
        Of the three worst laws found, simulated with fresh randomness.

    Raises
    ------
    TypeError, ValueError
        As `audit`; ValueError if there is no family for the estimand.

    Notes
    -----
    *Guarantee.* That of a simulated audit, for the finalists: the search only chooses them.

    Examples
    --------
    >>> from rsverify.audit.search import search_worst
    >>> def normal(x, alpha):
    ...     return x.mean(axis=1) - 1.645 * x.std(axis=1) / x.shape[1] ** 0.5
    >>> print(search_worst(normal, n=20, alpha=0.05, replications=2000).verdict)
    refuted
    """
    check_choice("side", side, SIDES)
    size, level = int(check_trials(n, LARGEST_N)), float(check_alpha(alpha))
    if isinstance(bound, str):
        target = estimand if isinstance(estimand, str) else estimand.name
        bound, estimand, side = named_bound(bound, target)
    thing = find_estimand(estimand)
    if family is None:
        if thing.name.split(":")[0] not in FAMILIES:
            raise ValueError(f"family=None must be given for estimand={thing.name!r}")
        family = FAMILIES[thing.name.split(":")[0]]
    laws, dimensions = family
    rng = generator(seed, SEARCH_KEY, 0)
    points = rng.random((CANDIDATES, dimensions))
    first = thing.draw(rng, PROBE_ROWS, size, **laws(points[0]))
    caller = prepare(bound, first, level, side, thing)
    for turn in range(ROUNDS):
        rows = FIRST_REPLICATIONS * 4**turn
        design = Design(level, size, seed, rows, 1.0, 0.5, rows)
        key = SEARCH_KEY + 1 + turn * CANDIDATES
        rates = [
            run_block(caller, thing, Scenario("", laws(u)), design, key + i, 0).misses
            for i, u in enumerate(points)
        ]
        best = points[np.argsort(rates, kind="stable")[::-1][: max(len(points) // 4, FINALISTS)]]
        # A neighbour of each survivor, nearer in every round.
        steps = rng.normal(0.0, 0.15 / 2**turn, best.shape)
        points = np.concatenate([best, np.clip(best + steps, 0.0, 1.0)])
    finalists = {f"found {i + 1}: {laws(u)}": laws(u) for i, u in enumerate(best[:FINALISTS])}
    return audit(
        bound,
        estimand=thing,
        n=n,
        alpha=alpha,
        side=side,
        scenarios=finalists,
        seed=seed,
        **options,
    )
