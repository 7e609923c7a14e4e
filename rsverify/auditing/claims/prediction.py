"""`audit_prediction_set`: hand it a procedure that predicts, learn whether its sets cover."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal, cast, get_args

import numpy as np

from rsverify._core.check import (
    FloatArray,
    check_choice,
    check_level,
    check_named_callables,
    check_takes,
    shown,
)
from rsverify._core.types import PredictionClaimName, TargetName
from rsverify.auditing.caller import name_of
from rsverify.auditing.claims.exchangeable import (
    LABELS,
    TRAINING,
    Points,
    labels_suite,
    numbers_suite,
)
from rsverify.auditing.claims.levels import Options, Words, at_levels
from rsverify.auditing.design import FLOAT_ERRORS, Progress, Record, check_told
from rsverify.auditing.draws import probability_within, real_sample
from rsverify.auditing.estimand import Data, Estimand, Generator
from rsverify.auditing.laws import check_law
from rsverify.auditing.report import AuditReport
from rsverify.auditing.scenario import Law
from rsverify.auditing.task import Task, answered
from rsverify.auditing.verdict import FALSE_ALARM, TOLERANCE

__all__ = ["audit_prediction_set"]

CLAIMS: tuple[PredictionClaimName, ...] = get_args(PredictionClaimName)
TARGETS: tuple[TargetName, ...] = get_args(TargetName)
EXTRA = 64  # points drawn for one that is in a group
GROUPS = (0, 1)
SLACK = 1e-12  # of a coverage, that is attributed to rounding
ROUNDING = 1e-12  # of y, by which it may be outside its set
FARTHEST = 1e100
BUDGET = 4
WORDS = Words(
    "prediction set",
    "prediction set",
    "Y outside its set",
    "whether the set fails to hold the next Y with probability at most alpha",
    "P(Y outside its set)",
    "are outside",
    "the next y is outside its set",
    argument="predict",
    numbers=False,
)
GROUP_WORDS = replace(
    WORDS,
    measure="P(Y outside its set | group)",
    clause="the next y of a group is outside its set",
)
TRAINING_WORDS = replace(
    WORDS,
    event="a set of too small coverage",
    aim="whether the coverage given the calibration data is below 1 - alpha with probability at "
    "most delta",
    measure="P(coverage given data < 1 - alpha)",
    clause="the coverage given the calibration data is too small",
)


@FLOAT_ERRORS
def audit_prediction_set(
    predict: Callable[..., object],
    *,
    n: int,
    alpha: float,
    target: TargetName = "numbers",
    claim: PredictionClaimName = "marginal",
    delta: float | None = None,
    scenarios: Mapping[str, Points] | None = None,
    replications: int | None = None,
    tolerance: float = TOLERANCE,
    false_alarm: float = FALSE_ALARM,
    seed: int = 0,
    n_jobs: int = 1,
    progress: Progress | None = None,
) -> AuditReport:
    """Find out whether prediction sets cover the next observation, with a stated error.

    Parameters
    ----------
    predict : callable
        ``predict(x, y, x_new, alpha)`` returns a set for the y that belongs to `x_new`, from n
        calibration pairs: `x` (R, n, d), `y` (R, n), `x_new` (R, d). For numbers the set is an
        interval, (R, 2) or a pair of arrays, its ends included; for labels it is (R, 3) of truth
        values, whether a label is in the set. A function of a single replication, x (n, d), is
        called row by row. Column 0 of x is a group, 0 or 1; the others are a feature for
        numbers, the scores of three classes for labels.
    n : int
        Calibration pairs.
    alpha : float
        The probability in (0, 1) with which the set may fail to hold y.
    target : {"numbers", "labels"}, default "numbers"
        What y is.
    claim : {"marginal", "group", "training"}, default "marginal"
        Of what kind the coverage is: on average over calibration data and new pair; given the
        group of the new pair; or, of intervals that do not use x, given the calibration
        data, at least 1 - alpha but for a probability of `delta` (tolerance limits).
    delta : float, optional
        In (0, 1), for ``claim="training"`` only.
    scenarios : mapping of str to callable, optional
        Name to ``draw(rng, replications, size)``, which returns x (R, size, d) and y (R, size),
        exchangeable along the second axis; for ``claim="training"`` name to the distribution
        of y, as ("norm", 0.0, 1.0) by scipy's names, or ("points", values, probabilities).
        Default: a built-in suite, with ties, heavy tails, groups, shared shifts.
    replications : int, optional
        Maximum replications per scenario. Default: about 4000/alpha, at least 80,000.
    tolerance : float, default 0.2
        "supported" means a probability of at most (1 + tolerance) times what is claimed.
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
        Under `miscoverage` its rows have the probability that `measure` names.

    Raises
    ------
    TypeError, ValueError
        If an argument is not of its type or out of its range, or `predict` fails on every call.

    Notes
    -----
    *Guarantee.* A procedure that covers as claimed in every scenario is refuted with probability
    at most `false_alarm`; one that fails to with more than (1 + tolerance) times the probability
    claimed, in some scenario, is supported with probability at most `false_alarm`. No claim is
    made for other distributions. NaN, errors and empty sets fail to cover. The y to be
    predicted is not among what `predict` gets.

    Examples
    --------
    >>> import numpy as np
    >>> from rsverify import audit_prediction_set
    >>> def conformal(x, y, x_new, alpha):
    ...     n = y.shape[1]
    ...     k = int(np.ceil((n + 1) * (1 - alpha)))
    ...     q = np.sort(np.abs(y), axis=1)[:, k - 1] if k <= n else np.full(len(y), np.inf)
    ...     return np.column_stack([-q, q])
    >>> print(audit_prediction_set(conformal, n=19, alpha=0.1).verdict)
    supported
    >>> def plain(x, y, x_new, alpha):
    ...     q = np.quantile(np.abs(y), 1 - alpha, axis=1)
    ...     return np.column_stack([-q, q])
    >>> print(audit_prediction_set(plain, n=19, alpha=0.1).verdict)
    refuted
    """
    if not callable(predict):
        raise TypeError(f"predict={shown(predict)} must be a callable")
    check_takes(name_of(predict), predict, ("x", "y", "x_new", "alpha"))
    check_choice("target", target, TARGETS)
    check_choice("claim", claim, CLAIMS)
    level = check_level(alpha)
    if (delta is None) == (claim == "training"):
        raise ValueError(
            f"delta={shown(delta)} must be given for claim='training', and for it only"
        )
    if claim == "training" and target != "numbers":
        raise ValueError("target='labels' must be 'numbers' for claim='training'")
    if claim != "training":
        check_named_callables("scenarios", scenarios, "how pairs are drawn")
    elif scenarios is not None and (not isinstance(scenarios, Mapping) or not scenarios):
        raise ValueError(f"scenarios={shown(scenarios)} must map names to distributions")
    else:
        for name, law in (scenarios or {}).items():
            check_law(f"scenarios[{name!r}]={shown(law)}", law, "real")
    progress = check_told(progress)
    options = Options(n, replications, tolerance, false_alarm, seed, n_jobs, progress)
    asked = level if delta is None else check_level(delta, "delta")
    design = options.design(name_of(predict), f"{target}, {claim}", asked, 1.0, budget=BUDGET)
    words = {"marginal": WORDS, "group": GROUP_WORDS, "training": TRAINING_WORDS}[claim]
    if claim == "training":
        laws = TRAINING if scenarios is None else cast(Mapping[str, Law], scenarios)
        bound: Callable[..., FloatArray] = _TooSmall(predict, list(laws.values()), level)
        thing = _training(laws)
    else:
        suite = scenarios or (numbers_suite(level) if target == "numbers" else labels_suite())
        bound = _Outside(predict, target, level)
        thing = _pairs(suite, by_group=claim == "group")
    record: Record = {"claim": claim, "target": target, "delta": delta}

    def audited(_level: float, _share: float) -> AuditReport:
        task = Task(
            bound,
            replace(thing, name=design.estimand),
            design,
            "simulation",
            n_jobs=n_jobs,
            progress=progress,
        )
        return answered(task)

    return at_levels((asked,), audited, words, record)


def _pairs(suite: Mapping[str, Points], *, by_group: bool) -> Estimand:
    """Return the estimand whose data are n + 1 pairs, y in the last column."""

    def draw(
        rng: Generator, replications: int, n: int, points: str, group: int | None = None
    ) -> Data:
        size = n + (1 if group is None else EXTRA)
        x, y = _drawn(suite[points](rng, replications, size), (replications, size), points)
        data = np.concatenate([x, y[..., None]], axis=2)
        if group is None:
            return data
        # The next pair of that group: the first of those drawn beyond the calibration data.
        found = data[:, n:, 0] == group
        place = n + np.argmax(found, axis=1)
        last = data[np.arange(replications), place]
        last[~found.any(axis=1), -1] = np.nan  # none was drawn: nothing is claimed
        return np.concatenate([data[:, :n], last[:, None]], axis=1)

    names: dict[str, dict[str, object]] = {}
    for name in suite:
        if by_group:
            for g in GROUPS:
                names[f"{name}, group {g}"] = {"points": name, "group": g}
        else:
            names[name] = {"points": name}
    return Estimand(draw, lambda **_: 0.0, names, sequential=False)


def _drawn(pairs: object, shape: tuple[int, int], name: str) -> tuple[FloatArray, FloatArray]:
    """Return the pairs that a scenario drew, or raise where they have another shape."""
    found = [np.shape(part) for part in pairs] if isinstance(pairs, tuple | list) else []
    if len(found) != 2 or found[0][:2] != shape or len(found[0]) != 3 or found[1] != shape:
        rows, size = shape
        raise ValueError(
            f"scenarios[{name!r}] must return x of shape ({rows}, {size}, d) and y of shape "
            f"{shape}, for so many replications; it returned {found or type(pairs).__name__}"
        )
    x, y = cast(tuple[FloatArray, FloatArray], pairs)
    return np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)


def _training(laws: Mapping[str, Law]) -> Estimand:
    """Return the estimand whose data are n numbers y, and the number of their distribution."""
    numbers = {name: i for i, name in enumerate(laws)}

    def draw(rng: Generator, replications: int, n: int, number: int) -> Data:
        y = real_sample(rng, replications, n, list(laws.values())[number])
        return np.concatenate([y, np.full((replications, 1), float(number))], axis=1)

    suite = {name: {"number": i} for name, i in numbers.items()}
    return Estimand(draw, lambda **_: 0.0, suite, sequential=False)


class _Intervals:
    """Calls a procedure whose sets are intervals; knows whether it returns rows or a pair."""

    def __init__(self, predict: Callable[..., object]) -> None:
        self.predict = predict
        self.layout: Literal["rows", "pair"] = "rows"

    def ends(self, *arguments: object, rows: int | None) -> tuple[FloatArray, FloatArray]:
        """Return lower and upper ends, of `rows` replications or of a single one."""
        value = np.asarray(self.predict(*arguments), dtype=np.float64)
        if rows is None:
            if value.shape != (2,):
                raise ValueError(f"interval of shape {value.shape} must have the shape (2,)")
            return value[0], value[1]
        if rows != 2 and value.shape in ((rows, 2), (2, rows)):
            self.layout = "rows" if value.shape == (rows, 2) else "pair"
        if value.shape == (rows, 2) and self.layout == "rows":
            return value[:, 0], value[:, 1]
        if value.shape == (2, rows):
            return value[0], value[1]
        raise ValueError(f"intervals of shape {value.shape} must have the shape ({rows}, 2)")


class _Outside:
    """A prediction set as a lower limit, of the truth 0: positive where y is outside."""

    def __init__(self, predict: Callable[..., object], target: TargetName, level: float) -> None:
        self.predict, self.target, self.level = predict, target, level
        self.intervals = _Intervals(predict)

    def __call__(self, data: Data, alpha: float) -> FloatArray:
        del alpha
        single = data.ndim == 2
        x, y = data[..., :-1, :-1], data[..., :-1, -1]
        new, truth = data[..., -1, :-1], np.asarray(data[..., -1, -1], dtype=np.float64)
        rows = None if single else len(data)
        if self.target == "numbers":
            low, high = self.intervals.ends(x.copy(), y.copy(), new.copy(), self.level, rows=rows)
            limit = np.maximum(low - truth, truth - high)
            # Ends computed as center and width are rounded, in proportion to y itself.
            limit = np.where(limit > ROUNDING * np.abs(truth), limit, np.minimum(limit, 0.0))
        else:
            limit = self._labels(x, y.astype(np.int64), new, truth)
        # Where no pair of the group was drawn nothing can be wrong; NaN of the procedure stays.
        limit = np.where(np.isnan(truth), -1.0, limit)
        return np.asarray(np.clip(limit, -FARTHEST, FARTHEST))

    def _labels(self, x: Data, y: Data, new: Data, truth: FloatArray) -> FloatArray:
        value = np.asarray(self.predict(x.copy(), y.copy(), new.copy(), self.level))
        shape = (*truth.shape, LABELS)
        whole = value.dtype.kind in "biu" and bool(np.isin(value, (0, 1)).all())
        if value.shape != shape or not whole:
            raise ValueError(
                f"sets of shape {value.shape} and type {value.dtype} must be truth values "
                f"(or 0 and 1) of shape {shape}"
            )
        held = value.astype(bool)
        picked = np.nan_to_num(truth).astype(np.int64)[..., None]
        inside = np.take_along_axis(held, picked, axis=-1)[..., 0]
        # By its size the limit tells sets apart: one must not depend on other replications.
        shape_of_set = 1.0 + held @ (0.5 ** np.arange(1, LABELS + 1))
        return np.asarray(np.where(inside, -shape_of_set, shape_of_set))


class _TooSmall:
    """An interval as a lower limit, of the truth 0: how much of the coverage is lacking."""

    def __init__(self, predict: Callable[..., object], laws: list[Law], level: float) -> None:
        self.laws, self.level = laws, level
        self.intervals = _Intervals(predict)

    def __call__(self, data: Data, alpha: float) -> FloatArray:
        del alpha
        single = data.ndim == 1
        y, number = data[..., :-1].copy(), np.atleast_1d(data[..., -1]).astype(np.int64)
        x = np.zeros((*y.shape, 1))
        new = x[..., 0, :].copy()
        rows = None if single else len(data)
        low, high = map(np.atleast_1d, self.intervals.ends(x, y, new, self.level, rows=rows))
        coverage = np.empty(len(number))
        for i in np.unique(number):
            here = number == i
            coverage[here] = probability_within(self.laws[i], low[here], high[here])
        coverage[np.isnan(low) | np.isnan(high)] = math.nan
        limit = 1.0 - self.level - coverage
        limit = np.where(limit > SLACK, limit, np.minimum(limit, 0.0))
        return np.asarray(limit[0] if single else limit)
