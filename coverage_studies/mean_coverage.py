"""Miscoverage of the bounds for one mean: audited by simulation, exact for 0/1 sequences.

Every bound is handed to the auditor, at alpha = 0.05 and 0.001, on samples of 100 observations
from twelve laws; bounds that claim to hold at all times are judged over their whole path. The
auditor stops a law when its evidence is settled, after at most 1000/alpha replications. For
0/1 samples the probability that a sequence ever misses is also summed exactly: what it claims
at time t depends on the number of ones alone.

Run as ``python -m coverage_studies.mean_coverage``; writes results/mean_coverage.json after
every row, and goes on from there when it is started again. Some 40 minutes on one core.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np

import rsverify
from rsverify import Estimand
from rsverify.auditing.api import audit
from rsverify.bounds import betting, mean
from rsverify.bounds import confidence_sequences as anytime

SEED, N, N_EXACT = 30, 100, 200
ALPHAS = (0.05, 0.001)
CHANCES = (0.001, 0.01, 0.1, 0.5, 0.9, 0.99)
RESULTS = Path(__file__).parent / "results"
OUT = RESULTS / "mean_coverage.json"
NODES, WEIGHTS = np.polynomial.hermite_e.hermegauss(200)

# Name -> kind and its parameters. "logistic": scores of a softmax of two classes, 1/(1 +
# exp(-z)) with z normal of that mean and deviation.
LAWS: dict[str, tuple[Any, ...]] = {
    **{f"Bernoulli({p})": ("two", 0.0, 1.0, p) for p in CHANCES},
    "two points, 0.1 rarely, else 0.8": ("two", 0.1, 0.8, 0.95),
    "Beta(10, 30)": ("beta", 10.0, 30.0),
    "Beta(0.1, 0.02)": ("beta", 0.1, 0.02),
    "Beta(1000, 1000)": ("beta", 1000.0, 1000.0),
    "softmax scores, confident": ("logistic", 2.0, 1.5),
    "softmax scores, undecided": ("logistic", 0.0, 4.0),
}


def draw(rng: np.random.Generator, rows: int, n: int, law: tuple[Any, ...]) -> Any:
    """Return samples, a row each."""
    kind, *parameters = law
    if kind == "two":
        low, high, chance = parameters
        return np.where(rng.random((rows, n)) < chance, high, low)
    if kind == "beta":
        return rng.beta(*parameters, (rows, n))
    center, deviation = parameters
    return 1.0 / (1.0 + np.exp(-(center + deviation * rng.normal(size=(rows, n)))))


def draw_with_u(rng: np.random.Generator, rows: int, n: int, law: tuple[Any, ...]) -> Any:
    """Return samples with the uniform variate of the last step in one more column."""
    return np.column_stack([draw(rng, rows, n, law), 1.0 - rng.random(rows)])


def truth(law: tuple[Any, ...]) -> float:
    """Return the mean of a law."""
    kind, *parameters = law
    if kind == "two":
        low, high, chance = parameters
        return low + (high - low) * chance
    if kind == "beta":
        return parameters[0] / (parameters[0] + parameters[1])
    center, deviation = parameters
    values = 1.0 / (1.0 + np.exp(-(center + deviation * NODES)))
    return float(np.sum(WEIGHTS * values) / np.sum(WEIGHTS))


SCENARIOS = {name: {"law": law} for name, law in LAWS.items()}
SAMPLES = Estimand(draw, truth, SCENARIOS, (0.0, 1.0), "mean")
WITH_U = Estimand(draw_with_u, truth, SCENARIOS, (0.0, 1.0), "mean, one more uniform")


def _betting(strategy: str) -> Any:
    return lambda x, alpha: betting.betting_lower(x, alpha, strategy=strategy)


def _path(strategy: str) -> Any:
    return lambda x, alpha: anytime.betting_sequence(x, alpha, strategy=strategy)


BOUNDS: dict[str, tuple[Any, Estimand]] = {
    **{f"betting_lower, {name}": (_betting(name), SAMPLES) for name in betting.STRATEGIES},
    "empirical_bernstein_lower": (mean.empirical_bernstein_lower, SAMPLES),
    "plugin_bernstein_lower": (mean.plugin_bernstein_lower, SAMPLES),
    "plugin_hoeffding_lower": (mean.plugin_hoeffding_lower, SAMPLES),
    **{
        f"betting_sequence, {name}": (_path(name), SAMPLES)
        for name in (*anytime.MIXTURES, *anytime.PREDICTABLE)
    },
    "plugin_bernstein_sequence": (anytime.plugin_bernstein_sequence, SAMPLES),
    "plugin_hoeffding_sequence": (anytime.plugin_hoeffding_sequence, SAMPLES),
    "betting_lower, star, with u": (
        lambda data, alpha: betting.betting_lower(data[:, :-1], alpha, u=data[:, -1]),
        WITH_U,
    ),
}


def with_ones(t: int, first: float) -> Any:
    """Return the samples of size t with 0..t ones, those equal to `first` first, a row each."""
    ones = np.arange(t + 1)[:, None]
    place = np.arange(t)
    return ((place >= t - ones) if first == 0.0 else (place < ones)).astype(float)


def one_sided(sequence: Any) -> Any:
    """Return the limits (lower, upper) at time t for every number of ones, of a lower sequence."""
    # Ones last: the running maximum is then at the end, the claim at time t itself.
    return lambda t, alpha: (sequence(with_ones(t, 0.0), alpha)[:, -1], np.ones(t + 1))


def kt_limits(t: int, alpha: float) -> Any:
    """Return the limits of the two-sided mixture; each side with the order that suits it."""
    lower = anytime.kt_mixture_sequence(with_ones(t, 0.0), alpha).lower
    upper = anytime.kt_mixture_sequence(with_ones(t, 1.0), alpha).upper
    return lower[:, -1], upper[:, -1]


EXACT = {
    **{f"betting_sequence, {name}": one_sided(_path(name)) for name in anytime.MIXTURES},
    # A level of an earlier look is larger, so that a row may claim what an earlier look of
    # this order claimed: that can only add to the miscoverage below.
    "clopper_pearson_sequence": one_sided(anytime.clopper_pearson_sequence),
    "kt_mixture_sequence, two-sided": kt_limits,
}


def chance_of_missing(limits: list[Any], p: float) -> float:
    """Return the probability that some limits[t - 1] = (lower, upper) misses p, over paths."""
    alive, missed = np.ones(1), 0.0
    for lower, upper in limits:
        alive = np.r_[alive * (1.0 - p), 0.0] + np.r_[0.0, alive * p]
        out = (lower > p) | (upper < p)
        missed += alive[out].sum()
        alive[out] = 0.0
    return float(missed)


def kept() -> dict[str, Any]:
    """Return the table on disk, or an empty one for another version or seed."""
    head = {"study": "mean_coverage", "version": rsverify.__version__, "seed": SEED}
    if OUT.exists():
        table: dict[str, Any] = json.loads(OUT.read_text())
        if {key: table[key] for key in head} == head:
            return table
    return head | {"exact": {}, "simulated": {}}


def audited(bound: Any, estimand: Estimand, alpha: float) -> dict[str, Any]:
    """Return the verdict of the auditor and its evidence, law by law."""
    report = audit(bound, estimand=estimand, n=N, alpha=alpha, seed=SEED)
    laws = {
        row.scenario: {
            "verdict": row.verdict,
            "misses": row.uncovered,
            "replications": row.replications,
            "interval": [row.low, row.high],
        }
        for row in report.rows
    }
    largest = report.worst.miscoverage
    return {"verdict": report.verdict, "n": N, "largest_share": largest / alpha, "laws": laws}


def summed(limits_at: Any, alpha: float) -> dict[str, Any]:
    """Return the exact miscoverage of a sequence over its path, for each chance of a one."""
    limits = [limits_at(t, alpha) for t in range(1, N_EXACT + 1)]
    chances = {str(p): chance_of_missing(limits, p) for p in CHANCES}
    return {"n": N_EXACT, "largest_share": max(chances.values()) / alpha, "miscoverage": chances}


def main() -> None:
    """Run what is not yet in the table, and write it after every row."""
    table = kept()
    RESULTS.mkdir(exist_ok=True)
    for alpha in ALPHAS:
        jobs = [("exact", name, summed, (limits_at,)) for name, limits_at in EXACT.items()]
        jobs += [("simulated", name, audited, bound) for name, bound in BOUNDS.items()]
        for kind, name, function, arguments in jobs:
            key = f"{name}, alpha={alpha}"
            if key in table[kind]:
                continue
            begin = time.perf_counter()
            row = table[kind][key] = function(*arguments, alpha)
            OUT.write_text(json.dumps(table, indent=1) + "\n")
            print(
                f"{kind}: {key}: {row.get('verdict', 'summed')}, largest miscoverage"
                f" {row['largest_share']:.3f} alpha, {time.perf_counter() - begin:.0f} s",
                flush=True,
            )


if __name__ == "__main__":
    main()
