"""Replications a second and core of a simulated audit, beside a straightforward loop.

    python -m coverage_studies.throughput

The loop is what one writes first: a sample drawn, its bound by numpy and scipy, a comparison
with the truth, for one replication after the other (``tests/support/plain_loops.py``). Both
are run in turn, in processor time, so that neither other processes nor the second core count.
Means: n = 100, Bernoulli(0.3); counts: n = 1000, smaller where the loop takes seconds. The
table goes to ``results/throughput.tsv``.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from rsverify import __version__
from rsverify.auditing.company import PROBE_ROWS, prepare
from rsverify.auditing.design import Design
from rsverify.auditing.estimand import ESTIMANDS
from rsverify.auditing.registry import named_bound
from rsverify.auditing.scenario import Scenario
from rsverify.auditing.simulation.blocks import run_block
from rsverify.bounds import confidence_sequences as anytime
from tests.support import plain_loops as plain

RESULTS = Path(__file__).parent / "results" / "throughput.tsv"
ALPHA = 0.05
ROUNDS = 5
LAW = ("points", (0.0, 1.0), (0.7, 0.3))
CHANCES = (0.6, 0.3, 0.1)
SCORES = ("dirichlet", (6.0, 3.0, 1.0))


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
    n: int = 100
    exact: bool = True
    """Whether the loop is the same formula, and not the strategy as published."""


def sample(name: str, loop: Any, wanted: float, rows: int, loop_rows: int, **more: Any) -> Case:
    """Return a bound of samples by its name, after a comma its strategy."""
    call, _, strategy = name.partition(", ")
    bound, estimand, _ = named_bound(call, "mean")
    bound = partial(bound.args[0], strategy=strategy) if strategy else bound
    return Case(name, estimand, bound, loop, wanted, rows, loop_rows, **more)


def samples() -> list[Case]:
    """Return the bounds of a mean."""
    portfolio = plain.mixture(*anytime.MIXTURES["portfolio"])
    kt = plain.mixture(*anytime.MIXTURES["kt"])
    plugin = partial(plain.shares_of_the_mean, size=plain.plugin_size)
    agrapa = partial(plain.shares_of_the_mean, size=plain.agrapa_size)
    other = {"exact": False}
    return [
        sample("hoeffding_lower", plain.hoeffding, 5, 50_000, 300),
        sample("bernstein_lower", plain.bernstein, 5, 50_000, 300),
        sample("empirical_bernstein_lower", plain.empirical_bernstein, 5, 20_000, 300),
        sample("plugin_hoeffding_lower", plain.plugin_hoeffding, 5, 20_000, 300),
        sample("plugin_bernstein_lower", plain.plugin_bernstein, 5, 20_000, 300),
        sample("betting_lower, star", plain.betting_star, 20, 5000, 15, **other),
        sample("betting_lower, plugin", plain.betting_plugin, 20, 20_000, 300),
        sample("betting_lower, agrapa", plain.betting_agrapa, 20, 20_000, 300, **other),
        sample("plugin_hoeffding_sequence", plain.plugin_hoeffding_path, 5, 20_000, 300),
        sample("plugin_bernstein_sequence", plain.plugin_bernstein_path, 5, 20_000, 300),
        sample("betting_sequence, portfolio", plain.running(portfolio), 20, 1000, 3),
        sample("betting_sequence, kt", plain.running(kt), 20, 1000, 3),
        sample("betting_sequence, plugin", plain.running(plugin), 20, 1000, 3),
        sample("betting_sequence, agrapa", plain.running(agrapa), 20, 1000, 3, **other),
        sample("kt_mixture_sequence", plain.beta_mixture_path, 5, 5000, 10),
        sample("clopper_pearson_sequence", plain.clopper_pearson_path, 5, 20_000, 30),
    ]


def count(name: str, estimand: str, loop: Any, rows: int = 50_000, **more: Any) -> Case:
    """Return a bound of votes by its name."""
    bound, target, _ = named_bound(name, estimand)
    more = {"loop_rows": 1000, "n": 1000} | more
    return Case(f"{name}, {estimand}", target, bound, loop, 5.0, rows, **more)


def counts() -> list[Case]:
    """Return the bounds of votes, and of scores."""
    few = {"loop_rows": 3, "n": 60, "exact": False}
    out = [
        count("clopper_pearson_lower", "proportion", plain.first_lower),
        count("randomized_clopper_pearson_lower", "proportion", plain.randomized, loop_rows=100),
    ]
    for estimand in ("difference", "probit"):
        loops = (plain.bonferroni, plain.cohen, plain.exact_margin, plain.margin_path)
        plain_loops = [partial(loop, estimand=estimand) for loop in (*loops, plain.score_margin)]
        out += [
            count("bonferroni_margin_lower", estimand, plain_loops[0]),
            count("cohen_margin_lower", estimand, plain_loops[1]),
            count("exact_margin_lower", estimand, plain_loops[2], **few),
            count("margin_sequence", estimand, plain_loops[3], 500, loop_rows=2, n=20),
            count("score_margin_lower", estimand, plain_loops[4], 2000, **few),
        ]
    return out


def cases() -> list[Case]:
    """Return the built-in bounds; upper ones and intervals are the lower ones, mirrored."""
    return samples() + counts()


def parameters(case: Case) -> dict[str, Any]:
    if "mean" in case.estimand:
        return {"law": LAW}
    if "proportion" in case.estimand:
        return {"p": 0.7}
    return {"law": SCORES} if "score" in case.estimand else {"p": CHANCES}


def draw(case: Case, rng: np.random.Generator, rows: int) -> Any:
    return ESTIMANDS[case.estimand].draw(rng, rows, case.n, **parameters(case))


def auditor(case: Case) -> Callable[[], int]:
    """Return a function that simulates blocks and returns their replications."""
    thing = ESTIMANDS[case.estimand]
    first = draw(case, np.random.default_rng(0), PROBE_ROWS)
    side = "two-sided" if case.name == "kt_mixture_sequence" else "lower"
    caller = prepare(case.bound, first, ALPHA, side, thing)
    design = Design(case.name, case.estimand, side, case.n, ALPHA, replications=case.rows)
    law = Scenario("", parameters(case))

    def run() -> int:
        runs = block = 0
        while runs < case.rows:
            runs += run_block(caller, thing, law, design, block).runs
            block += 1
        return runs

    return run


def looper(case: Case) -> Callable[[], int]:
    """Return a function that does the loop's replications and returns their number."""
    truth = ESTIMANDS[case.estimand].truth(**parameters(case))
    rng = np.random.default_rng(0)

    def run() -> int:
        missed = 0
        for _ in range(case.loop_rows):
            missed += bool(np.max(case.loop(draw(case, rng, 1)[0])) > truth)
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
    lines = ["bound\tn\taudit_per_second\tloop_per_second\tratio\twanted\tversion"]
    for case in cases():
        ours, theirs, ratio = compare(case)
        rates = f"{ours:.0f}", f"{theirs:.3g}", f"{ratio:.1f}", f"{case.wanted:.0f}"
        lines.append("\t".join([case.name, str(case.n), *rates, __version__]))
        print(lines[-1], flush=True)
    RESULTS.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
