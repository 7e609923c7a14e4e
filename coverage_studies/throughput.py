"""Replications a second and core of a simulated audit, beside a straightforward loop.

    python coverage_studies/throughput.py

The loop is what one writes first: a sample drawn, its bound by numpy and scipy, a comparison
with the truth, for one replication after the other. Both are run in turn, in processor time,
so that neither other processes nor the second core count. Means: n = 100, Bernoulli(0.3);
counts: n = 1000. The table goes to ``results/throughput.tsv``.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from scipy.special import ndtri
from scipy.stats import beta

from rsverify import __version__
from rsverify.audit.estimand import ESTIMANDS
from rsverify.audit.evaluate import prepare
from rsverify.audit.names import named_bound
from rsverify.audit.scenario import Scenario
from rsverify.audit.simulate import Design, block_span, run_block
from rsverify.bounds import anytime, betting, mean

RESULTS = Path(__file__).parent / "results" / "throughput.tsv"
ALPHA = 0.05
ROUNDS = 5
SAMPLES, VOTES = 100, 1000
LAW = ("points", (0.0, 1.0), (0.7, 0.3))
CHANCES = (0.6, 0.3, 0.1)


def hoeffding(x: Any) -> float:
    return x.mean() - math.sqrt(math.log(1 / ALPHA) / (2 * x.size))


def empirical_bernstein(x: Any) -> float:
    n, log_term = x.size, math.log(2 / ALPHA)
    spread = math.sqrt(2 * x.var(ddof=1) * log_term / n)
    return x.mean() - spread - 7 * log_term / (3 * (n - 1))


def plugin_variances(x: Any) -> Any:
    """Return the means and variances before each observation, with priors 1/2 and 1/4."""
    t = np.arange(1, x.size + 1)
    means = (0.5 + np.cumsum(x)) / (t + 1)
    spread = 0.25 + np.cumsum((x - means) ** 2)
    return np.r_[0.5, means[:-1]], np.r_[0.25, spread[:-1]] / t


def plugin_bernstein(x: Any, horizon: Any = None, running: bool = False) -> float:
    means, variances = plugin_variances(x)
    horizon = x.size if horizon is None else horizon
    bets = np.minimum(np.sqrt(2 * math.log(1 / ALPHA) / (horizon * variances)), 0.5)
    price = (x - means) ** 2 * (-np.log1p(-bets) - bets)
    limits = (np.cumsum(bets * x) - math.log(1 / ALPHA) - np.cumsum(price)) / np.cumsum(bets)
    return float(limits.max()) if not running else np.maximum.accumulate(limits)


def plugin_bernstein_path(x: Any) -> Any:
    t = np.arange(1, x.size + 1)
    return plugin_bernstein(x, t * np.log1p(t), running=True)


def bisection(rejects: Callable[[float], bool]) -> float:
    low, high = 0.0, 1.0
    for _ in range(36):
        m = (low + high) / 2
        low, high = (m, high) if rejects(m) else (low, m)
    return low


def betting_plugin(x: Any) -> float:
    goal = math.log(1 / ALPHA)
    bets = np.sqrt(2 * goal / (x.size * plugin_variances(x)[1]))

    def rejects(m: float) -> bool:
        capital = np.cumsum(np.log1p(np.minimum(bets, 0.5 / m) * (x - m)))
        return bool(capital.max() >= goal)

    return bisection(rejects)


def betting_star(x: Any) -> float:
    """STaR-Bets as published: the bet depends on the capital so far, step by step."""
    n, goal = x.size, math.log(1 / ALPHA)

    def rejects(m: float) -> bool:
        wealth, spread = 0.0, 0.0
        for t in range(n):
            doubt = 10 * goal * n / t**2 if t else math.inf
            v = min(spread / max(t, 1) + doubt, 1.0, m * (1 - m))
            bet = min(math.sqrt(2 * (goal - wealth) / ((n - t) * v)), 0.99 / m)
            wealth += math.log1p(bet * (x[t] - m))
            if wealth >= goal:
                return True
            spread += (x[t] - m) ** 2
        return False

    return bisection(rejects)


def betting_agrapa(x: Any) -> float:
    means, variances = plugin_variances(x)

    def rejects(m: float) -> bool:
        gap = means - m
        bets = np.clip(gap / (variances + gap**2), 0, 0.5 / m)
        return bool(np.cumsum(np.log1p(bets * (x - m))).max() >= math.log(1 / ALPHA))

    return bisection(rejects)


def betting_portfolio(x: Any) -> Any:
    """Return the running bound of a mixture of twelve constant shares, by bisection at each t."""
    shares = 0.99 / 2.0 ** np.arange(12)
    weights = 1 / (np.arange(12) + 1.0)
    weights /= weights.sum()
    out, best = np.zeros(x.size), 0.0
    for t in range(x.size):
        seen = x[: t + 1]

        def rejects(m: float, seen: Any = seen) -> bool:
            logs = np.log1p(shares[:, None] * (seen / m - 1)).sum(axis=1)
            return bool(weights @ np.exp(np.minimum(logs, 700)) >= 1 / ALPHA)

        best = max(best, bisection(rejects))
        out[t] = best
    return out


def clopper_pearson(k: int, n: int, alpha: float = ALPHA) -> float:
    return float(beta.ppf(alpha, k, n - k + 1)) if k else 0.0


def bonferroni(counts: Any, estimand: str) -> float:
    n = counts.sum()
    low = clopper_pearson(counts[0], n, ALPHA / 2)
    high = min(1 - clopper_pearson(n - counts[1], n, ALPHA / 2), 1 - low)
    return low - high if estimand == "difference" else float(ndtri(low) - ndtri(high))


def cohen(counts: Any, estimand: str) -> float:
    low = clopper_pearson(counts[0], counts.sum())
    return 2 * low - 1 if estimand == "difference" else 2 * float(ndtri(low))


@dataclass(frozen=True)
class Case:
    """A bound of the package, the loop's version of it, and what they are compared on."""

    name: str
    estimand: str
    bound: Callable[..., Any]
    loop: Callable[[Any], Any]
    wanted: float
    """How many times the loop the audit should be."""
    rows: int
    loop_rows: int


def _mean(name: str, bound: Any, loop: Any, wanted: float, rows: int = 20_000) -> Case:
    return Case(name, "mean", bound, loop, wanted, rows, 300)


def _count(name: str, estimand: str, loop: Any) -> Case:
    bound, target, _ = named_bound(name, estimand)
    return Case(f"{name}, {estimand}", target, bound, loop, 5.0, 50_000, 1000)


def cases() -> list[Case]:
    """Return the built-in bounds that a straightforward loop can be written for."""
    lower = betting.betting_lower
    out = [
        _mean("hoeffding_lower", mean.hoeffding_lower, hoeffding, 5.0, 50_000),
        _mean("empirical_bernstein_lower", mean.empirical_bernstein_lower, empirical_bernstein, 5),
        _mean("plugin_bernstein_lower", mean.plugin_bernstein_lower, plugin_bernstein, 5.0),
        _mean("betting_lower, plugin", partial(lower, strategy="plugin"), betting_plugin, 20.0),
        _mean("betting_lower, agrapa", partial(lower, strategy="agrapa"), betting_agrapa, 20.0),
        Case("betting_lower, star", "mean", lower, betting_star, 20.0, 5000, 15),
        _mean(
            "plugin_bernstein_sequence",
            anytime.plugin_bernstein_sequence,
            plugin_bernstein_path,
            5.0,
        ),
        Case(
            "betting_sequence, portfolio",
            "mean",
            anytime.betting_sequence,
            betting_portfolio,
            20.0,
            1000,
            3,
        ),
        _count("clopper_pearson_lower", "proportion", lambda c: clopper_pearson(int(c[0]), VOTES)),
    ]
    for estimand in ("difference", "probit"):
        out.append(
            _count("bonferroni_margin_lower", estimand, partial(bonferroni, estimand=estimand))
        )
        out.append(_count("cohen_margin_lower", estimand, partial(cohen, estimand=estimand)))
    return out


def parameters(case: Case) -> dict[str, Any]:
    return {
        "mean": {"law": LAW},
        "proportion": {"p": 0.7},
        "difference:first": {"p": CHANCES},
        "probit:first": {"p": CHANCES},
    }[case.estimand]


def auditor(case: Case) -> Callable[[], int]:
    """Return a function that audits one block and returns its replications."""
    thing = ESTIMANDS[case.estimand]
    n = SAMPLES if case.estimand == "mean" else VOTES
    law = parameters(case)
    first = thing.draw(np.random.default_rng(0), 7, n, **law)
    caller = prepare(case.bound, first, ALPHA, "lower", thing.space)
    rows = block_span(n, case.rows, 0)[1]
    design = Design(ALPHA, n, 0, rows, 0.2, 1e-3)
    return lambda: run_block(caller, thing, Scenario("", law), design, 0, 0).runs


def looper(case: Case) -> Callable[[], int]:
    """Return a function that does the loop's replications and returns their number."""
    thing = ESTIMANDS[case.estimand]
    n = SAMPLES if case.estimand == "mean" else VOTES
    law = parameters(case)
    truth = thing.truth(**law)
    rng = np.random.default_rng(0)

    def draw() -> Any:
        if case.estimand == "mean":
            return (rng.random(n) < 0.3).astype(float)
        if case.estimand == "proportion":
            return [rng.binomial(n, law["p"])]
        return rng.multinomial(n, law["p"])

    def run() -> int:
        missed = 0
        for _ in range(case.loop_rows):
            missed += bool(np.max(case.loop(draw())) > truth)
        return case.loop_rows

    return run


def rate(work: Callable[[], int]) -> float:
    """Return replications a second of processor time."""
    begin = time.process_time()
    runs = work()
    return runs / max(time.process_time() - begin, 1e-9)


def compare(case: Case) -> tuple[float, float, float]:
    """Return the rates of the audit and of the loop, and the median of their ratios by turns."""
    fast, slow = auditor(case), looper(case)
    with joblib.parallel_config(n_jobs=1), np.errstate(all="ignore"):
        fast(), slow()  # compiles, and warms caches
        pairs = [(rate(fast), rate(slow)) for _ in range(ROUNDS)]
    ours, theirs = np.median(pairs, axis=0)
    return float(ours), float(theirs), float(np.median([a / b for a, b in pairs]))


def main() -> None:
    lines = ["bound\taudit_per_second\tloop_per_second\tratio\twanted\tversion"]
    for case in cases():
        ours, theirs, ratio = compare(case)
        cells = (case.name, f"{ours:.0f}", f"{theirs:.0f}", f"{ratio:.1f}", f"{case.wanted:.0f}")
        lines.append("\t".join([*cells, __version__]))
        print(lines[-1], flush=True)
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
