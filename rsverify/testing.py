"""For other people's test suites: assert that a bound covers, and draw its inputs.

`assert_covers` needs nothing but this package; the strategies need hypothesis.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Required, TypedDict, Unpack, cast

import numpy as np
import numpy.typing as npt

from rsverify._core.check import check_positive
from rsverify._core.types import AuditEstimandName, AuditKindName, AuditMethodName, Side
from rsverify.auditing.api import audit as run_audit
from rsverify.auditing.design import Progress
from rsverify.auditing.estimand import Estimand, Parameters
from rsverify.auditing.report import AuditReport
from rsverify.auditing.simulation.search import Family
from rsverify.auditing.verdict import runs_to_detect
from rsverify.bounds.bound import Bound

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

__all__ = ["AuditOptions", "assert_covers", "bounded_samples", "counts", "simplex_points"]


class AuditOptions(TypedDict, total=False):
    """The options of `rsverify.audit`."""

    estimand: AuditEstimandName | Estimand
    n: Required[int]
    alpha: Required[float]
    side: Side | None
    kind: AuditKindName | None
    scenarios: Mapping[str, Parameters] | None
    method: AuditMethodName
    family: Family | None
    replications: int | None
    tolerance: float
    false_alarm: float
    seed: int
    n_jobs: int
    store: str | os.PathLike[str] | None
    resume: bool
    progress: Progress | None


def assert_covers(
    bound: Callable[..., object] | Bound | str,
    *,
    conclusive: bool = False,
    excess: float | None = None,
    **options: Unpack[AuditOptions],
) -> AuditReport:
    """Raise AssertionError with the audit's report where a bound is found not to cover.

    Parameters
    ----------
    bound : callable or str
        As `rsverify.audit` takes it.
    conclusive : bool, default False
        Whether "inconclusive" is an error too.
    excess : float, optional
        Make sure of the power of the test: an excess of the miscoverage over alpha that has to be
        found. Where the audit finds only larger ones, the test fails and says how many
        replications find it.
    **options
        Of `rsverify.audit`: `estimand`, `n`, `alpha`, `seed` and so on.

    Returns
    -------
    AuditReport
        The report, where nothing is raised. Its `power` says in words, and `smallest_excess` as
        a number, how much miscoverage above alpha would have been found.

    Raises
    ------
    AssertionError
        If the verdict is "refuted" (with `conclusive`, also "inconclusive"), or the audit would
        not have found an `excess`. What the test's traceback shows ends at this call.
    TypeError, ValueError
        If an argument is out of its range.

    Notes
    -----
    *Guarantee.* For a bound that covers, the test fails with probability at most `false_alarm`
    (1e-3 by default) over all scenarios where the audit simulates, and never where it is
    exact. The seed is fixed, so a test that passes goes on passing. A bound whose miscoverage in
    a scenario of the table is `smallest_excess` or more above alpha fails it with probability at
    least 95 %, or with certainty where the audit is exact.

    Examples
    --------
    >>> from rsverify.testing import assert_covers
    >>> report = assert_covers("clopper_pearson_lower", estimand="proportion", n=50, alpha=0.05)
    >>> report.verdict
    'supported'
    >>> print(report.power)
    every excess over alpha would have been found: the miscoverage was enclosed
    >>> round(assert_covers("hoeffding_lower", n=50, alpha=0.05).smallest_excess, 4)
    0.0109
    """
    __tracebackhide__ = True  # pytest's traceback ends where the test calls
    wanted = None if excess is None else float(check_positive("excess", excess))
    report = run_audit(bound, **options)
    if report.verdict == "refuted" or (conclusive and report.verdict != "supported"):
        raise AssertionError(f"{report}\n{report.power}")
    if wanted is not None and not report.smallest_excess <= wanted * (1.0 + 1e-9):
        raise AssertionError(_too_weak(report, wanted))
    return report


def _too_weak(report: AuditReport, excess: float) -> str:
    """Return what it takes to find an excess over alpha."""
    d = report.design
    text = f"excess={excess:g} would not have been found: {report.power}"
    drawn = sum(r.replications > 0 for r in report.rows)
    if not drawn:
        return text
    alpha, tolerance, false_alarm = (
        cast(float, d[name]) for name in ("alpha", "tolerance", "false_alarm")
    )
    if excess < alpha * tolerance:
        return f"{text}; tolerance={tolerance:g} must be at most {excess / alpha:.3g} for that"
    runs = runs_to_detect(excess, alpha, tolerance, false_alarm, drawn)
    return text if runs is None else f"{text}; replications={runs} finds it"


def counts(classes: int = 3, *, largest_n: int = 1000) -> SearchStrategy[npt.NDArray[np.int64]]:
    """Return a strategy for votes of `classes` classes with a sum of 1 to `largest_n`.

    Empty classes, ties and unanimous votes are as likely as anything else.
    """
    from hypothesis import strategies as st

    _check_classes(classes, 2)

    def build(n: int, cuts: list[int]) -> npt.NDArray[np.int64]:
        edges = np.sort([min(c, n) for c in cuts])
        return np.diff(np.concatenate([[0], edges, [n]])).astype(np.int64)

    cut = st.integers(0, largest_n)
    cuts = st.lists(cut, min_size=classes - 1, max_size=classes - 1)
    return st.builds(build, st.integers(1, largest_n), cuts)


def simplex_points(classes: int = 3) -> SearchStrategy[npt.NDArray[np.float64]]:
    """Return a strategy for probability vectors of `classes` classes, edges included."""
    from hypothesis import strategies as st

    _check_classes(classes, 1)

    def normalize(weights: list[float]) -> npt.NDArray[np.float64]:
        w = np.asarray(weights)
        # No weight at all: the first class has it all.
        point: npt.NDArray[np.float64] = w / w.sum() if w.sum() > 0 else np.eye(len(w))[0]
        return point

    weight = st.one_of(st.just(0.0), st.floats(1e-12, 1.0))
    return st.lists(weight, min_size=classes, max_size=classes).map(normalize)


def bounded_samples(*, largest_n: int = 200) -> SearchStrategy[npt.NDArray[np.float64]]:
    """Return a strategy for samples in [0, 1]: any values, 0/1 only, constant, or sorted."""
    from hypothesis import strategies as st

    def sample(values: SearchStrategy[float]) -> SearchStrategy[npt.NDArray[np.float64]]:
        return st.lists(values, min_size=1, max_size=largest_n).map(lambda x: np.array(x, float))

    unit = st.floats(0.0, 1.0)
    constant = st.builds(np.full, st.integers(1, largest_n), unit)
    return st.one_of(
        sample(unit), sample(st.sampled_from([0.0, 1.0])), constant, sample(unit).map(np.sort)
    )


def _check_classes(classes: int, least: int) -> None:
    if classes < least:
        raise ValueError(f"classes={classes} must be at least {least}")
