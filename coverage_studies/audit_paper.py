"""Which formulas of the paper, as printed, keep their promise: each audited, with a witness.

    python coverage_studies/audit_paper.py

The verdicts go to ``results/audit_paper.json`` with version and seed.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from rsverify import Estimand, __version__
from rsverify.audit import audit
from rsverify.bounds.as_printed import printed_selected_runner_up_lower
from rsverify.bounds.as_printed_soft import (
    printed_empirical_bernstein_lower,
    printed_plugin_bernstein_lower,
    printed_taylor_margin_lower,
)
from rsverify.probit import probit

SEED = 0


def selected_runner_up(data, alpha):
    m = data.shape[1] // 2
    return printed_selected_runner_up_lower(
        data[:, :m], data[:, m:], alpha, y=0, estimand="difference"
    )


SELECTED = Estimand(
    draw=lambda rng, rows, n, p: np.hstack(
        [rng.multinomial(1, p, rows), rng.multinomial(n, p, rows)]
    ),
    truth=lambda p: p[0] - max(p[1:]),
    scenarios={"p = (0.5, 0.3, 0.2), one selection vote": {"p": (0.5, 0.3, 0.2)}},
    space=(-1, 1),
    name="difference",
)

SCORES = Estimand(
    draw=lambda rng, rows, n: np.where(
        rng.random((rows, n, 1)) < 0.5, [[[0.99, 0.01]]], [[[0.15, 0.2]]]
    ),
    truth=lambda: float(probit(0.57) - probit(0.105)),
    scenarios={"(0.99, 0.01) or (0.15, 0.2), half each": {}},
    name="probit of mean scores",
)


def taylor_of_scores(scores, alpha):
    return printed_taylor_margin_lower(scores[..., 0], scores[..., 1], alpha)


def plugin_bernstein(x, alpha):
    with np.errstate(all="ignore"):  # its NaN is counted as a miss, not warned about
        return printed_plugin_bernstein_lower(x, alpha)


AUDITS = {
    "(4)-(6) Bonferroni, difference": (
        "printed_bonferroni_lower",
        {"estimand": "difference", "n": 30, "alpha": 0.05},
    ),
    "(4)-(6) Bonferroni, probit": (
        "printed_bonferroni_lower",
        {"estimand": "probit", "n": 30, "alpha": 0.05},
    ),
    "(7), (8), difference": (
        "printed_margin_lower",
        {"estimand": "difference", "n": 5, "alpha": 0.05},
    ),
    "(7), (8), probit": ("printed_margin_lower", {"estimand": "probit", "n": 5, "alpha": 0.05}),
    "4.3 two steps": ("printed_two_step_lower", {"estimand": "probit", "n": 5, "alpha": 0.1}),
    "3.3 runner-up from other data": (
        selected_runner_up,
        {"estimand": SELECTED, "n": 500, "alpha": 0.05},
    ),
    "Proposition 2, ln(1/delta)": (printed_empirical_bernstein_lower, {"n": 50, "alpha": 0.05}),
    "(15) plug-in": (plugin_bernstein, {"n": 50, "alpha": 0.05}),
    "5.3 Taylor margin of scores": (
        taylor_of_scores,
        {"estimand": SCORES, "n": 5000, "alpha": 0.05, "replications": 400},
    ),
}


def main() -> None:
    results = {}
    for name, (bound, options) in AUDITS.items():
        report = audit(bound, seed=SEED, **options)
        print(f"{report.verdict:12} {name}: worst {report.worst.miscoverage:.4g}", end="")
        print(f" ({report.worst.scenario})")
        if report.verdict == "refuted" and report.witness is not None:
            print(f"    {report.witness}")
        for failure in report.failures[:2]:
            print(f"    {failure.kind} {failure.count} times, first at {failure.example[:5]}...")
        results[name] = json.loads(report.to_json())
    out = Path(__file__).parent / "results" / "audit_paper.json"
    out.parent.mkdir(exist_ok=True)
    record = {"version": __version__, "seed": SEED, "audits": results}
    out.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    print(f"written to {out}", file=sys.stderr)


if __name__ == "__main__":
    main()
