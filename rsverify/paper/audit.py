"""The formulas of the paper as printed, audited: which of them fail, and where.

The errata (``docs/paper-errata.md``) say why; here each formula meets the auditor.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray
from rsverify.auditing.api import audit
from rsverify.auditing.estimand import Estimand
from rsverify.auditing.report import AuditReport
from rsverify.bounds.bound import Bound
from rsverify.paper.as_printed import printed_selected_runner_up_lower
from rsverify.paper.as_printed_scores import printed_plugin_bernstein_lower
from rsverify.paper.formulas import FORMULAS, taylor_margin_of_scores


@dataclass(frozen=True)
class Formula:
    """A formula of the paper, its error if it has one, and the audit that it is given."""

    place: str
    error: str
    bound: Callable[..., object] | Bound
    options: dict[str, Any]


def _draw_selection(
    rng: np.random.Generator, rows: int, n: int, p: tuple[float, ...]
) -> npt.NDArray[np.int64]:
    """Draw one vote that selects the runner-up, and beside it the n votes of the bound."""
    return np.hstack([rng.multinomial(1, p, rows), rng.multinomial(n, p, rows)])


def _selected_margin(p: tuple[float, ...]) -> float:
    return p[0] - max(p[1:])


def _selected_runner_up(data: npt.NDArray[np.int64], alpha: float) -> object:
    m = data.shape[1] // 2
    return printed_selected_runner_up_lower(
        data[:, :m], data[:, m:], alpha, y=0, estimand="difference"
    )


def _plugin_bernstein(x: FloatArray, alpha: float) -> object:
    with np.errstate(all="ignore"):  # its NaN is counted as a failure to cover, not warned about
        return printed_plugin_bernstein_lower(x, alpha)


_SELECTED = Estimand(
    draw=_draw_selection,
    truth=_selected_margin,
    scenarios={"p = (0.5, 0.3, 0.2), one selection vote": {"p": (0.5, 0.3, 0.2)}},
    space=(-1.0, 1.0),
    name="difference to the runner-up",
    sequential=False,
)
_TWO_ROWS = ((0.99, 0.01, 0.0), (0.15, 0.2, 0.65))
_SCORES = {
    "(0.99, 0.01, 0) or (0.15, 0.2, 0.65), half each": {"law": ("points", _TWO_ROWS, (0.5, 0.5))}
}

PRINTED = (
    Formula(
        "(4)-(6) Bonferroni, difference",
        "",
        FORMULAS["printed_bonferroni_lower"],
        {"estimand": "difference", "n": 30, "alpha": 0.05},
    ),
    Formula(
        "(4)-(6) Bonferroni, probit",
        "",
        FORMULAS["printed_bonferroni_lower"],
        {"estimand": "probit", "n": 30, "alpha": 0.05},
    ),
    Formula(
        "(7), (8) difference",
        "the observed outcome is missing from its own tail: > for >=",
        FORMULAS["printed_margin_lower"],
        {"estimand": "difference", "n": 5, "alpha": 0.05},
    ),
    Formula(
        "(7), (8) probit",
        "the same; and every outcome with x2 = 0 < x1 claims an infinite margin",
        FORMULAS["printed_margin_lower"],
        {"estimand": "probit", "n": 5, "alpha": 0.05},
    ),
    Formula(
        "(7), (8) with (11), order 10",
        "the same; below 1/2 the polynomial is above the probit",
        FORMULAS["printed_taylor_lower"],
        {"estimand": "probit", "n": 2, "alpha": 0.05},
    ),
    Formula(
        "4.3 two steps, order 10",
        "(7) again, in its second step",
        FORMULAS["printed_two_step_lower"],
        {"estimand": "probit", "n": 5, "alpha": 0.1},
    ),
    Formula(
        "3.3 runner-up from other data",
        "another class of smaller probability has the larger margin",
        _selected_runner_up,
        {"estimand": _SELECTED, "n": 500, "alpha": 0.05},
    ),
    Formula(
        "Proposition 2",
        "ln(1/δ) for ln(2/δ): not proved, but too loose to be caught",
        FORMULAS["printed_empirical_bernstein_lower"],
        {"n": 50, "alpha": 0.05},
    ),
    Formula(
        "(15) plug-in Bernstein",
        "a square root and a 2 too many, a bet of 1: the bound is NaN",
        _plugin_bernstein,
        {"n": 50, "alpha": 0.05},
    ),
    Formula(
        "5.3 Taylor margin of scores",
        "the mean of a convex function is not the function of the mean",
        taylor_margin_of_scores,
        {
            "estimand": "score-probit",
            "n": 5000,
            "alpha": 0.05,
            "replications": 400,
            "scenarios": _SCORES,
        },
    ),
)


def audit_paper(*, seed: int = 0, n_jobs: int = 1) -> Iterator[tuple[Formula, AuditReport]]:
    """Yield each formula of the paper with the report of its audit."""
    for formula in PRINTED:
        yield formula, audit(formula.bound, seed=seed, n_jobs=n_jobs, **formula.options)


def summary(formula: Formula, report: AuditReport) -> str:
    """Return the verdict on a formula as a few lines, with its witness."""
    n, alpha = formula.options["n"], formula.options["alpha"]
    lines = [f"{report.verdict:12} {formula.place} (n = {n}, α = {alpha:g})"]
    if formula.error:
        lines.append(f"error: {formula.error}")
    worst = report.worst
    if report.verdict == "refuted" and report.witness is not None:
        lines.append(f"witness: {report.witness}")
    elif worst.replications:
        lines.append(
            f"worst: {worst.uncovered:,} of {worst.replications:,} replications fail to cover, "
            f"in [{worst.low:.3g}, {worst.high:.3g}]; scenario: {worst.scenario}"
        )
    else:
        lines.append(
            f"worst: {worst.miscoverage:.4g}, at most {worst.high:.4g} over all distributions"
        )
    lines += [
        f"{f.kind} {f.count:,} times, first at {_start(f.example)}" for f in report.failures[:1]
    ]
    return "\n             ".join(lines)


def _start(example: object) -> str:
    values = list(np.ravel(np.asarray(example, dtype=object)))
    shown = ", ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values[:5])
    return f"({shown}, …) of {len(values)}" if len(values) > 5 else f"({shown})"
