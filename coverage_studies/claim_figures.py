"""The figures of the page on auditing claims: one audit per kind of claim.

    python -m coverage_studies.claim_figures [--only NAME] [--out docs/figures] [--html FOLDER]

Each figure is ``report.plot()`` of an audit below, as `docs/auditing-claims.md` shows it; with
``--html`` the page of each report is written too.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

from rsverify import (
    audit,
    audit_bets,
    audit_capital,
    audit_e_value,
    audit_multiple_testing,
    audit_prediction_set,
    audit_test,
)
from rsverify.auditing.estimand import two_proportions
from rsverify.auditing.report import AuditReport

DOCS = Path(__file__).parents[1] / "docs" / "figures"


def wald_mean(x: Any, alpha: float) -> Any:
    return x.mean(axis=1) - norm.isf(alpha) * x.std(axis=1) / np.sqrt(x.shape[1])


def wald_difference(counts: Any, alpha: float) -> Any:
    n, m = counts[:, :2].sum(axis=1), counts[:, 2:].sum(axis=1)
    p, q = counts[:, 0] / n, counts[:, 2] / m
    return p - q - norm.isf(alpha) * np.sqrt(p * (1 - p) / n + q * (1 - q) / m)


def pooled(counts: Any) -> Any:
    n, m = counts[:, :2].sum(axis=1), counts[:, 2:].sum(axis=1)
    p = (counts[:, 0] + counts[:, 2]) / (n + m)
    spread = np.sqrt(p * (1 - p) * (1 / n + 1 / m))
    gap = counts[:, 0] / n - counts[:, 2] / m
    return np.where(spread > 0, norm.sf(gap / np.where(spread > 0, spread, 1)), 1.0)


def wealth(x: Any) -> Any:
    return np.cumprod(1 + (x - 0.5), axis=1)


def maximum(x: Any) -> Any:
    return np.maximum.accumulate(wealth(x), axis=1)


def one_too_few(x: Any, y: Any, x_new: Any, alpha: float) -> Any:
    del x, x_new
    k = int(np.ceil(y.shape[1] * (1 - alpha)))
    q = np.sort(np.abs(y), axis=1)[:, k - 1]
    return np.column_stack([-q, q])


def benjamini_hochberg(p: Any, alpha: float) -> Any:
    n = p.shape[1]
    order = np.sort(p, axis=1)
    k = ((order <= alpha * np.arange(1, n + 1) / n) * np.arange(1, n + 1)).max(axis=1)
    cut = np.where(k > 0, order[np.arange(len(p)), np.maximum(k, 1) - 1], -1.0)
    return p <= cut[:, None]


def peeking(x: Any, m: float, alpha: float) -> Any:
    """Bet by the observation itself, from the eighth on."""
    del alpha
    before = np.cumsum(x, axis=1)[:, :-1]  # a difference of sums would already change its last bits
    mean = (0.5 + np.pad(before, ((0, 0), (1, 0)))) / np.arange(1, x.shape[1] + 1)
    return np.where(np.arange(x.shape[1]) < 7, mean - m, x - m)


def peeking_capital(x: Any, m: float, alpha: float) -> Any:
    del alpha
    return np.cumprod(1 + np.abs(x - m) / 2, axis=1)


AUDITS: dict[str, Callable[[], AuditReport]] = {
    "mean": lambda: audit(wald_mean, n=30, alpha=0.05),
    "test": lambda: audit_test(
        pooled, null=(None, 0), estimand="two-proportion-difference", n=20, alpha=0.05
    ),
    "e-value": lambda: audit_e_value(maximum, null=(None, 0.5), n=8),
    "prediction-set": lambda: audit_prediction_set(one_too_few, n=20, alpha=0.2),
    "procedure": lambda: audit_multiple_testing(
        benjamini_hochberg, controls="FDR", n=10, alpha=0.05
    ),
    "two-proportions": lambda: audit(
        wald_difference, estimand=two_proportions("difference", second=12), n=20, alpha=0.05
    ),
    "bets": lambda: audit_bets(peeking, n=30, alpha=0.05),
    "capital": lambda: audit_capital(peeking_capital, n=10, alpha=0.05),
}


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=AUDITS)
    parser.add_argument("--out", type=Path, default=DOCS)
    parser.add_argument("--html", type=Path)
    args = parser.parse_args(argv)
    for name, make in AUDITS.items():
        if args.only not in (None, name):
            continue
        report = make()
        report.plot(args.out / f"audit-{name}.png", force=True)
        print(f"{name}: {report.conclusion}")
        if args.html is not None:
            report.to_html(args.html / f"{name}.html", force=True)


if __name__ == "__main__":
    main()
