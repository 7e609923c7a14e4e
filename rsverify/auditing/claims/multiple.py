"""`audit_multiple_testing`: does a procedure control FWER or FDR over several hypotheses."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import cast, get_args

import numpy as np

from rsverify._core.check import (
    FloatArray,
    check_choice,
    check_level,
    check_named_callables,
    check_takes,
    shown,
)
from rsverify._core.types import AnyArray, DependenceName, ErrorRateName, GivenName
from rsverify.auditing.caller import name_of
from rsverify.auditing.claims.hypotheses import Hypotheses, estimates_suite, p_values_suite
from rsverify.auditing.claims.levels import Options, Words, at_levels
from rsverify.auditing.design import FLOAT_ERRORS, Progress, Record, check_told
from rsverify.auditing.estimand import Data, Estimand, Generator
from rsverify.auditing.one_sample import made_for_one
from rsverify.auditing.report import AuditReport
from rsverify.auditing.task import Task, answered
from rsverify.auditing.verdict import FALSE_ALARM, TOLERANCE

__all__ = ["audit_multiple_testing"]

RATES: tuple[ErrorRateName, ...] = get_args(ErrorRateName)
GIVEN: tuple[GivenName, ...] = get_args(GivenName)
DEPENDENCE: tuple[DependenceName, ...] = get_args(DependenceName)
BUDGET = 4
LARGEST_NUMBER = 1000
MANY = 50  # hypotheses, from which on fewer rows are tried
ROUNDING = 1e-12  # of a mean, by which a bound may be above it
WORDS = Words(
    "procedure",
    "procedure",
    "a false discovery",
    "whether the procedure controls its error rate",
    "error rate",
    "are counted",
    numbers=False,
)
CLAUSES = {
    ("FWER", "p-values"): "the procedure rejects a true null",
    ("FDR", "p-values"): "the expected share of false rejections is",
    ("FWER", "estimates"): "a bound is above its value",
    ("FDR", "estimates"): "the expected share of bounds above their values is",
}
MEASURES = {
    ("FWER", "p-values"): "P(a true null is rejected)",
    ("FDR", "p-values"): "E[share of false rejections]",
    ("FWER", "estimates"): "P(a bound is above its value)",
    ("FDR", "estimates"): "E[share of bounds too high]",
}


@FLOAT_ERRORS
def audit_multiple_testing(
    procedure: Callable[..., object],
    *,
    controls: ErrorRateName,
    n: int,
    alpha: float,
    given: GivenName = "p-values",
    dependence: DependenceName = "any",
    scenarios: Mapping[str, Hypotheses] | None = None,
    replications: int | None = None,
    tolerance: float = TOLERANCE,
    false_alarm: float = FALSE_ALARM,
    seed: int = 0,
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> AuditReport:
    """Find out whether a procedure for several hypotheses controls FWER or FDR.

    Parameters
    ----------
    procedure : callable
        Given p-values: ``procedure(p, alpha)`` returns which of the n hypotheses are rejected,
        truth values (R, n), of `p` (R, n). Given estimates, normal with variance 1:
        ``procedure(z, alpha)`` returns lower bounds (R, n) of their means, minus infinity for those
        of which nothing is claimed. A function of a single replication is called row by row.
    controls : {"FWER", "FDR"}
        The probability that any true null is rejected (any bound is above its value), or the
        expectation of the share of these among all that are rejected (claimed).
    n : int
        The number of hypotheses, at most 1000.
    alpha : float
        In (0, 1), what the error rate must not be above.
    given : {"p-values", "estimates"}, default "p-values"
        What the procedure gets.
    dependence : {"any", "positive", "independent"}, default "any"
        Under which dependence it claims to control the error rate. "positive": independent or
        with normal estimates of equal positive correlations. "any" adds negative dependence and,
        for p-values, the distributions at which step-up procedures err most.
    scenarios : mapping of str to callable, optional
        Name to ``draw(rng, replications, n, alpha)``, which returns p-values (or estimates) and
        which nulls are true (or the means), both (R, n).
    replications : int, optional
        Maximum replications per scenario. Default: about 4000/alpha, at least 80,000.
    tolerance : float, default 0.2
        "supported" means an error rate of at most alpha (1 + tolerance).
    false_alarm : float, default 1e-3
        The probability of a false verdict, over all scenarios together.
    seed : int, default 0
        Of the random numbers.
    n_jobs : int, default 1
        Processes, through joblib.
    progress : callable, optional
        ``progress(done, total)``.

    Returns
    -------
    AuditReport
        Under `miscoverage` its rows have the error rate.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or out of its range, or the procedure fails on every
        call.

    Notes
    -----
    *Guarantee.* A procedure that controls its error rate in every scenario is refuted with
    probability at most `false_alarm`; one whose error rate is above alpha (1 + tolerance) in
    some scenario is supported with probability at most `false_alarm`. A share V of false
    rejections is counted where V >= U, with U uniform: that has probability E[V], so FDR is
    judged as a probability. Errors and NaN count as false rejections. In the built-in scenarios
    all, half, one or all but one of the nulls are true, and false ones are easy or hard to see
    [1]_ [2]_.

    References
    ----------
    .. [1] Y. Benjamini and D. Yekutieli, The control of the false discovery rate in multiple
       testing under dependency, *Annals of Statistics* 29 (2001) 1165-1188.
    .. [2] W. Guo and M. B. Rao, On control of the false discovery rate under no assumption of
       dependency, *Journal of Statistical Planning and Inference* 138 (2008) 3176-3188.

    Examples
    --------
    >>> import numpy as np
    >>> from rsverify import audit_multiple_testing
    >>> def bonferroni(p, alpha):
    ...     return p <= alpha / p.shape[-1]
    >>> def each(p, alpha):
    ...     return p <= alpha
    >>> asked = {"controls": "FWER", "n": 10, "alpha": 0.05}
    >>> print(audit_multiple_testing(bonferroni, **asked).verdict)
    supported
    >>> print(audit_multiple_testing(each, **asked).verdict)
    refuted
    """
    if not callable(procedure):
        raise TypeError(f"procedure={shown(procedure)} must be a callable")
    check_takes(name_of(procedure), procedure, ("p", "alpha"))
    check_choice("controls", controls, RATES)
    check_choice("given", given, GIVEN)
    check_choice("dependence", dependence, DEPENDENCE)
    level = check_level(alpha)
    check_named_callables("scenarios", scenarios, "how p-values are drawn")
    progress = check_told(progress)
    options = Options(n, replications, tolerance, false_alarm, seed, n_jobs, progress)
    kind = f"{controls} of {given}, dependence: {dependence}"
    design = options.design(name_of(procedure), kind, level, 1.0, BUDGET)
    if design.n > LARGEST_NUMBER:
        raise ValueError(f"n={design.n} must be at most {LARGEST_NUMBER} hypotheses")
    if _takes_one(procedure, design.n, level, given):
        procedure = _OneByOne(procedure)
    built_in = p_values_suite if given == "p-values" else estimates_suite
    suite = scenarios or built_in(design.n, level, dependence)
    bound = _Erring(procedure, controls, given, level)
    words = replace(
        WORDS,
        event=MEASURES[controls, given],
        measure=MEASURES[controls, given],
        clause=CLAUSES[controls, given],
        expectation=controls == "FDR",
    )

    def audited(_level: float, _share: float) -> AuditReport:
        task = Task(
            bound,
            replace(_claim(suite, level), name=kind),
            design,
            "simulation",
            n_jobs=n_jobs,
            progress=progress,
        )
        return answered(task)

    record: Record = {"controls": controls, "given": given, "dependence": dependence}
    return at_levels((level,), audited, words, record)


def _takes_one(procedure: Callable[..., object], n: int, level: float, given: GivenName) -> bool:
    """Return whether a procedure is made for one replication, though several do not make it fail.

    What it returns has the shape of what it gets, so that a function of p-values that uses their
    number, ``len(p)``, takes a table too, and gets its number of rows.
    """
    rng = np.random.default_rng(n)
    rows = 4 * n + 3 if n <= MANY else n // 5  # far from n
    u = rng.random((rows, n))
    # Spread evenly over all orders of size where thresholds are.
    values = 2.0 * level * (16.0 * n) ** -u if given == "p-values" else 8.0 * u - 2.0

    def asked(some: Data) -> FloatArray | None:
        try:
            result = np.asarray(procedure(some.copy(), level), dtype=np.float64)
        except Exception:  # found again, and told, by the audit
            return None
        return result if result.shape == some.shape else None

    return made_for_one(asked, asked, values)


class _OneByOne:
    """A procedure for one replication as one for several."""

    def __init__(self, procedure: Callable[..., object]) -> None:
        self.procedure = procedure

    def __call__(self, values: FloatArray, alpha: float) -> object:
        if values.ndim == 1:
            return self.procedure(values, alpha)
        return np.array([self.procedure(row, alpha) for row in values])


def _claim(suite: Mapping[str, Hypotheses], level: float) -> Estimand:
    """Return the estimand whose data are p-values, which nulls are true, and a uniform number."""

    def draw(rng: Generator, replications: int, n: int, hypotheses: str) -> Data:
        drawn = suite[hypotheses](rng, replications, n, level)
        values, truth = _checked(drawn, (replications, n), hypotheses)
        u = 1.0 - rng.random((replications, 1))
        return np.concatenate([values, truth, u], axis=1)

    names = {name: {"hypotheses": name} for name in suite}
    return Estimand(draw, lambda **_: 0.0, names, sequential=False)


def _checked(drawn: object, shape: tuple[int, int], name: str) -> tuple[FloatArray, FloatArray]:
    """Return what a scenario drew, or raise where it has another shape."""
    found = [np.shape(part) for part in drawn] if isinstance(drawn, tuple | list) else []
    if found != [shape, shape]:
        raise ValueError(
            f"scenarios[{name!r}] must return two arrays of shape {shape}, for so many "
            f"replications; it returned {found or type(drawn).__name__}"
        )
    values, truth = cast(tuple[FloatArray, FloatArray], drawn)
    return np.asarray(values, dtype=np.float64), np.asarray(truth, dtype=np.float64)


class _Erring:
    """A procedure as a lower limit, of the truth 0: positive where it errs."""

    def __init__(
        self,
        procedure: Callable[..., object],
        controls: ErrorRateName,
        given: GivenName,
        level: float,
    ) -> None:
        self.procedure, self.controls, self.given, self.level = procedure, controls, given, level

    def __call__(self, data: Data, alpha: float) -> FloatArray:
        del alpha
        n = (data.shape[-1] - 1) // 2
        values, truth, u = data[..., :n], data[..., n : 2 * n], data[..., -1]
        result = _as_array(self.procedure(values.copy(), self.level), values.shape)
        if self.given == "p-values":
            if result.dtype.kind not in "biu" or not np.isin(result, (0, 1)).all():
                raise TypeError(
                    f"rejections of type {result.dtype} must be truth values: of adjusted p-values "
                    "return whether they are at most alpha"
                )
            claimed = result.astype(bool)
            wrong = claimed & (truth > 0.0)
        else:
            limits = result.astype(np.float64)
            if np.isnan(limits).any():
                raise ValueError("a bound is NaN: where nothing is claimed it is minus infinity")
            claimed, wrong = limits > -np.inf, limits > truth + ROUNDING
        share = wrong.sum(axis=-1) / np.maximum(claimed.sum(axis=-1), 1)
        # By its size the limit tells what is claimed apart: that must not depend on other rows.
        told = 1.0 + claimed @ _codes(n)
        if self.controls == "FWER":
            return np.asarray(np.where(share > 0.0, told, -told))
        return np.asarray(np.where((share > 0.0) & (share >= u), told, -told))


def _as_array(result: object, shape: tuple[int, ...]) -> AnyArray:
    """Return what a procedure returned as an array of that shape, or raise."""
    remedy = ""
    if isinstance(result, tuple):
        remedy = f"; of a tuple of {len(result)} return the part that has it"
    try:
        array = np.asarray(result)
    except ValueError:  # of parts of several shapes
        raise ValueError(f"result must have the shape {shape}{remedy}") from None
    if array.shape != shape:
        raise ValueError(f"result of shape {array.shape} must have the shape {shape}{remedy}")
    return array


def _codes(n: int) -> FloatArray:
    """Return numbers whose sums tell subsets apart."""
    return np.random.default_rng(n).random(n)
