"""Evidence -> verdict, with its error probability stated.

Failures to cover are Bernoulli with unknown probability p. Two e-processes watch them, one against
p <= alpha, one against p > alpha (1 + tolerance). Each is a mixture of likelihood ratios, a
nonnegative supermartingale of start 1 under what it tests, so by Ville's inequality the probability
that it ever reaches 1/delta is at most delta: one may look after every block and stop.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import bdtrc, betaln, logsumexp, xlog1py, xlogy

from rsverify._core.check import FloatArray
from rsverify._core.types import VerdictName

Verdict = VerdictName

TOLERANCE = 0.2
FALSE_ALARM = 1e-3
INTERVAL_LEVEL = 0.95
DETECTION = 0.95
MOST_RUNS = 10**12


@dataclass(frozen=True)
class Witness:
    """A distribution at which the bound fails to cover too often: `outcomes`, `probability`."""

    parameters: dict[str, str]
    truth: float
    outcomes: str
    probability: float
    rational: bool
    """Whether `probability` was rounded from exact rational arithmetic."""
    event: str = "fail to cover"
    """What the outcomes do."""
    quantity: str = "probability"
    """What `probability` is."""

    def __str__(self) -> str:
        law = ", ".join(f"{k}={v}" for k, v in self.parameters.items())
        how = "exact rational arithmetic" if self.rational else "floating-point sum"
        return (
            f"at {law} the true value is {self.truth:.10g}, and the outcomes that {self.event}, "
            f"{self.outcomes}, have {self.quantity} {self.probability:.10g} ({how})"
        )


def _log_mixture(misses: int, runs: int, null: float, others: FloatArray) -> float:
    """Return the log of the mean likelihood ratio of `others` to `null`."""
    hits = runs - misses
    ratio = xlogy(misses, others) + xlog1py(hits, -others)
    return float(
        logsumexp(ratio) - math.log(others.size) - xlogy(misses, null) - xlog1py(hits, -null)
    )


def log_e_above(misses: int, runs: int, alpha: float) -> float:
    """Return the log of the e-process against p <= `alpha`."""
    # Odds from 1.02 times those of alpha to 1000 times. Neighboring excesses differ by a factor
    # of 1.6, so that some alternative is near any excess, and evidence grows against all above 1 %.
    odds = alpha / (1.0 - alpha) * (1.0 + np.geomspace(0.02, 999.0, 24))
    return _log_mixture(misses, runs, alpha, odds / (1.0 + odds))


def log_e_below(misses: int, runs: int, limit: float) -> float:
    """Return the log of the e-process against p >= `limit`, with 0 < limit < 1."""
    shares = np.append(1.0 - np.geomspace(0.02, 0.8, 15), 0.0)
    return _log_mixture(misses, runs, limit, limit * shares)


def decide(
    misses: int, runs: int, alpha: float, tolerance: float, false_alarm: float, scenarios: int
) -> Verdict:
    """Return the verdict on one of `scenarios` scenarios.

    Refuted at level false_alarm / scenarios, so that all scenarios together raise a false
    alarm with probability at most `false_alarm`. Supported at level `false_alarm` each, which
    needs no correction: an audit is supported only if every scenario is.
    """
    if runs == 0:
        return "inconclusive"
    if log_e_above(misses, runs, alpha) >= math.log(scenarios / false_alarm):
        return "refuted"
    limit = alpha * (1.0 + tolerance)
    if limit >= 1.0 or log_e_below(misses, runs, limit) >= -math.log(false_alarm):
        return "supported"
    return "inconclusive"


def miscoverage_interval(misses: int, runs: int) -> tuple[float, float]:
    """Return a 95 % interval for the miscoverage that holds time-uniformly.

    Inverts the Beta(1/2, 1/2) mixture against the likelihood; wider than Clopper-Pearson, but
    valid when the audit stops because of what it saw.
    """
    if runs == 0:
        return 0.0, 1.0
    evidence = float(betaln(misses + 0.5, runs - misses + 0.5) - betaln(0.5, 0.5))

    def excess(p: float) -> float:
        likelihood = xlogy(misses, p) + xlog1py(runs - misses, -p)
        return float(evidence - likelihood) + math.log(1.0 - INTERVAL_LEVEL)

    estimate = misses / runs
    low = 0.0 if misses == 0 else float(brentq(excess, 1e-300, estimate, xtol=1e-15))
    high = 1.0 if misses == runs else float(brentq(excess, estimate, 1.0 - 1e-16, xtol=1e-15))
    return low, high


def miscoverage_error(misses: int, runs: int) -> float:
    """Return the Monte Carlo standard error of the miscoverage seen.

    Of (misses + 1)/(runs + 2), so that no failure to cover at all does not look like certainty.
    """
    p = (misses + 1.0) / (runs + 2.0)
    return math.sqrt(p * (1.0 - p) / (runs + 2.0))


def detectable(
    runs: int, alpha: float, tolerance: float, false_alarm: float, scenarios: int
) -> float:
    """Return a miscoverage from which on `runs` replications refute with probability 95 %.

    The least p >= alpha (1 + tolerance) at which the evidence of all `runs` alone is enough
    with probability 95 % + false_alarm: at such a p, support ends a scenario before its time
    with probability at most `false_alarm`. Earlier looks only add.
    """
    limit = alpha * (1.0 + tolerance)
    threshold = math.log(scenarios / false_alarm)
    low, high = math.ceil(alpha * runs), runs + 1
    while low < high:  # the e-value rises with the failures to cover beyond alpha * runs
        middle = (low + high) // 2
        if log_e_above(min(middle, runs), runs, alpha) >= threshold:
            high = middle
        else:
            low = middle + 1
    if low > runs or limit >= 1.0:
        return 1.0

    def power(p: float) -> float:
        return float(bdtrc(low - 1, runs, p)) - DETECTION - false_alarm

    if power(limit) >= 0.0:
        return limit
    return float(brentq(power, limit, 1.0, xtol=1e-9)) if power(1.0) > 0.0 else 1.0


def runs_to_detect(
    excess: float, alpha: float, tolerance: float, false_alarm: float, scenarios: int
) -> int | None:
    """Return replications by which a miscoverage of alpha + excess is refuted, None if never."""
    if excess < alpha * tolerance or alpha + excess > 1.0:
        return None

    def enough(runs: int) -> bool:
        return detectable(runs, alpha, tolerance, false_alarm, scenarios) <= alpha + excess

    high = 1000
    while not enough(high):
        if high > MOST_RUNS:
            return None
        high *= 2
    low = high // 2
    while high - low > max(1, low // 100):
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle, high)
    return high


def runs_to_settle(
    misses: int, runs: int, alpha: float, tolerance: float, false_alarm: float, scenarios: int
) -> int | None:
    """Return how many replications decide it at the rate seen, or None."""
    if runs == 0:
        return None

    def settled(total: int) -> bool:
        seen = round(misses / runs * total)
        return decide(seen, total, alpha, tolerance, false_alarm, scenarios) != "inconclusive"

    low, high = runs, 2 * runs
    while not settled(high):
        if high > MOST_RUNS:
            return None
        low, high = high, 2 * high
    while high - low > max(1, low // 100):  # to a percent; the rate itself is less certain
        middle = (low + high) // 2
        low, high = (low, middle) if settled(middle) else (middle, high)
    return high


def combine(verdicts: list[Verdict]) -> Verdict:
    """Return the verdict of the whole: one refuted refutes, all supported support."""
    if "refuted" in verdicts:
        return "refuted"
    return "supported" if verdicts and set(verdicts) == {"supported"} else "inconclusive"
