"""Lower confidence bounds for the margin of a class over its runner-up, from scores.

A row of scores is what a soft classifier gives one noisy input: m numbers in the simplex.
With mu_k the mean score of class k, the margin of class y is that of mu_y over the largest
of the others, mu_y - mu_j (``estimand="difference"``) or probit(mu_y) - probit(mu_j)
(``estimand="probit"``).

The runner-up need not be known. With B_j a lower bound at level alpha of the margin over
class j, min_j B_j is at most the bound over the true runner-up, and fails only if that one
does: no share of alpha is lost to the other classes. The same holds for the largest of the
upper bounds of the mu_j. (It would not for a runner-up picked and then bounded alone.)
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_alpha,
    check_choice,
    check_fraction,
    check_integer,
    check_real,
    check_single,
    check_size,
    share_of_alpha,
    shown,
)
from rsverify._core.margin import Margin
from rsverify._core.rows import map_rows, sealed
from rsverify._core.types import MeanBoundName, ScoreMarginName, ScoreMethodName
from rsverify.bounds import betting
from rsverify.bounds import mean as means
from rsverify.bounds.bound import Bound, Limits
from rsverify.kernels.margin.tangent import best_slope, limit_rows, line_rows, score_line

__all__ = ["MeanBound", "score_margin_lower"]

MeanBound = Callable[[FloatArray, FloatArray], Limits]
"""Samples (..., n) in [0, 1] and levels (...) to lower bounds of their means (...)."""

# Every lower bound of the mean of a sample, by its name without the ending, and one variant.
MEAN_BOUNDS: dict[MeanBoundName, MeanBound] = {
    cast(MeanBoundName, bound.name.removesuffix("_lower").replace("_", "-")): bound.function
    for bound in (*betting.BOUNDS, *means.BOUNDS)
    if bound.side == "lower" and bound.data == "sample"
} | {"betting-plugin": partial(betting.betting_lower, strategy="plugin")}
METHODS: dict[ScoreMarginName, tuple[ScoreMethodName, ...]] = {
    "difference": ("union", "coupled", "bonferroni"),
    "probit": ("tangent", "bonferroni"),
}
SIMPLEX_TOLERANCE = 1e-6
SMALLEST_SLOPE = 2.0**-10
DEFAULT_RUNNERS_UP = 9
DEFAULT_BOX = 0.05
# So many numbers at a time go through the bounds of means: 32 MB.
_CHUNK_NUMBERS = 2**22
# What the mean of float64 observations may differ from the exact one by: five roundings of
# numbers up to 1, each of 1.2e-16 at most, and as much again.
_OBSERVATION_ERROR = 1e-15


class RunnerUpPlan(NamedTuple):
    """Which classes are bounded one by one, and the slope of the line for each of them.

    The last slope belongs to the column of the largest of all classes left out; it is there
    even where none is.
    """

    runners_up: IntArray
    slopes: FloatArray


def score_margin_lower(
    scores: npt.ArrayLike,
    y: npt.ArrayLike,
    alpha: npt.ArrayLike,
    *,
    estimand: ScoreMarginName,
    selection: npt.ArrayLike | None = None,
    method: ScoreMethodName | None = None,
    mean_bound: MeanBoundName | MeanBound = "betting",
    runners_up: int = DEFAULT_RUNNERS_UP,
    box: float = DEFAULT_BOX,
    rivals: int | None = None,
) -> FloatArray | float:
    r"""Return a lower confidence bound for the margin of a class from its scores.

    Parameters
    ----------
    scores : array of float, shape (..., n, m)
        n observations of m >= 2 classes, in an order fixed before they were seen. Each row
        must lie on the simplex within 1e-6; it is clipped to [0, 1] and divided by its sum.
    y : int or array of int
        The class of each sample, 0 to m - 1, fixed before the scores were seen; broadcasts
        with the shape (...), like `alpha`.
    alpha : float or array of float
        Failure probability, in (0, 1).
    estimand : {"difference", "probit"}
        The margin bounded.
    selection : array of float, shape (..., n0, m), optional
        Scores independent of `scores`. They choose which other classes are bounded one by one, and
        the slopes of the tangents. None: all other classes one by one, and slope 1.
    method : str, optional
        - ``"union"`` (difference, the default there): the smallest of the bounds of
          E[X_y - X_j], each at alpha.
        - ``"coupled"`` (difference): the bound of E[X_y - max_j X_j].
        - ``"tangent"`` (probit, the default there): the smallest over j of the least margin
          above a line: E[X_y - a_j X_j] is bounded at (1 - box) alpha and mu_j at box alpha.
        - ``"bonferroni"``: a lower bound of mu_y against the largest of the upper bounds of the
          mu_j, both at alpha/2. The baseline.
    mean_bound : str or callable, default "betting"
        The bound of one mean: ``"betting"``, ``"betting-plugin"``, ``"plugin-bernstein"``,
        ``"empirical-bernstein"``, ``"hoeffding"``, or a function of samples (..., n) in
        [0, 1] and levels (...) that returns lower bounds (...).
    runners_up : int, default 9
        With `selection`: how many of the likeliest other classes are bounded one by one. The rest
        share one column, the largest of their scores, whose mean is at least each of
        theirs. More is tighter and takes time and memory, n numbers each.
    box : float, default 0.05
        Share of alpha that bounds mu_j for the tangent, in (0, 1), at least 1.2e-16.
    rivals : int, optional
        The old name of `runners_up`; it warns and goes in the next version.

    Returns
    -------
    float or array of float
        Lower bounds, of the shape to which (...) , `y` and `alpha` broadcast; in [-1, 1] for
        ``"difference"``, below 80 and possibly -inf for ``"probit"``. Rounded down.

    Raises
    ------
    TypeError
        If an argument is not of its type.
    ValueError
        If a row is not on the simplex, an argument is out of its range, a share of `alpha` is
        below the normal float64 numbers, or the shapes do not broadcast.

    Notes
    -----
    *Guarantee.* P(bound > margin) <= alpha, for n rows with conditional mean (mu_1, ..., mu_m)
    given the earlier ones (independent rows in particular), n and the class fixed beforehand
    and `selection` independent of them; for any number of classes and without knowing the
    runner-up [1]_, provided that `mean_bound` is a valid lower bound for them:
    ``"empirical-bernstein"`` is one for independent rows only, and where columns are merged
    or coupled in rows that are not identically distributed, it must hold for conditional means
    that vary below the one bounded (as all of the names do).

    References
    ----------
    .. [1] R. L. Berger, Multiparameter hypothesis testing and acceptance sampling,
       *Technometrics* 24 (1982) 295-300: the intersection-union test, whose level is not
       divided. Proofs: ``docs/theory-scores.md``.

    Examples
    --------
    >>> import numpy as np
    >>> from rsverify.bounds.score_margin import score_margin_lower
    >>> rng = np.random.default_rng(0)
    >>> scores = rng.dirichlet([12, 5, 3], size=1100)
    >>> for method in ("tangent", "bonferroni"):
    ...     bound = score_margin_lower(scores[100:], 0, 0.001, estimand="probit",
    ...                                selection=scores[:100], method=method)
    ...     print(f"{method} {bound:.3f}")
    tangent 0.880
    bonferroni 0.870
    """
    Margin.of_scores(estimand)
    table = check_scores("scores", scores)
    batch, classes = table.shape[:-2], table.shape[-1]
    label = check_integer("y", y)
    bad = (label < 0) | (label >= classes)
    if bad.any():
        raise ValueError(f"y={label[bad].flat[0]} must be a class between 0 and {classes - 1}")
    level = check_alpha(alpha)
    chosen = None if selection is None else check_scores("selection", selection)
    if chosen is not None and chosen.shape[-1] != classes:
        raise ValueError(
            f"selection of shape {chosen.shape} must have the {classes} classes of scores"
        )
    count = check_runners_up(renamed_rivals(rivals, runners_up))
    try:
        batch = np.broadcast_shapes(
            batch, label.shape, level.shape, () if chosen is None else chosen.shape[:-2]
        )
    except ValueError:
        raise ValueError(
            f"scores of shape {table.shape}, selection, y of shape {label.shape} and alpha of "
            f"shape {level.shape} must broadcast"
        ) from None
    plans: dict[tuple[int, tuple[int, ...]], RunnerUpPlan] = {}
    shared = chosen is None or chosen.ndim == 2  # then one plan a class serves all samples
    table = np.broadcast_to(table, (*batch, *table.shape[-2:]))
    label, level = np.broadcast_to(label, batch), np.broadcast_to(level, batch)
    if chosen is not None:
        chosen = np.broadcast_to(chosen, (*batch, *chosen.shape[-2:]))
    out = np.empty(batch).reshape(-1)
    rows = list(np.ndindex(batch))
    size = max(1, _CHUNK_NUMBERS // (table.shape[-2] * classes))
    for start in range(0, len(rows), size):
        columns = []
        for i in rows[start : start + size]:
            key = int(label[i]), () if shared else i
            if key not in plans:
                past = None if chosen is None else chosen[i]
                plans[key] = plan_runners_up(past, key[0], classes, runners_up=count)
            plan = plans[key]
            one, many = runner_up_columns(table[i], key[0], plan)
            columns.append((one, many, plan.slopes[: len(many)]))
        first, others, slopes = (np.array(part) for part in zip(*columns, strict=True))
        out[start : start + size] = column_margin_lower(
            first,
            others,
            level.reshape(-1)[start : start + size],
            estimand=estimand,
            slopes=slopes,
            method=method,
            mean_bound=mean_bound,
            box=box,
        )
    return out.reshape(batch) if batch else np.float64(out[0])


def check_scores(name: str, value: npt.ArrayLike) -> FloatArray:
    """Return rows clipped to [0, 1] and divided by their sums, or raise naming a bad row."""
    scores = check_real(name, value)
    if scores.ndim < 2 or 0 in scores.shape or scores.shape[-1] < 2:
        raise ValueError(
            f"{name} of shape {scores.shape} must have shape (..., n, m) with n >= 1 "
            "observations of m >= 2 classes"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        total = scores.sum(axis=-1)
    outside = ((scores < -SIMPLEX_TOLERANCE) | (scores > 1.0 + SIMPLEX_TOLERANCE)).any(axis=-1)
    bad = outside | ~(np.abs(total - 1.0) <= SIMPLEX_TOLERANCE)
    if bad.any():
        row = tuple(int(i) for i in np.argwhere(bad)[0])
        values = scores[row]
        raise ValueError(
            f"{name}: row {row if len(row) > 1 else row[0]} has values from {values.min():.9g} "
            f"to {values.max():.9g} and sum {total[row]:.9g}; it must be on the simplex "
            f"(values in [0, 1] that sum to 1) within {SIMPLEX_TOLERANCE:g}"
        )
    clipped = np.clip(scores, 0.0, 1.0)
    normalized: FloatArray = np.minimum(clipped / clipped.sum(axis=-1, keepdims=True), 1.0)
    return normalized


def plan_runners_up(
    selection: FloatArray | None, y: int, classes: int, *, runners_up: int = DEFAULT_RUNNERS_UP
) -> RunnerUpPlan:
    """Choose other classes and slopes from a selection sample (n0, m) of normalized scores."""
    others = np.delete(np.arange(classes, dtype=np.int64), y)
    if selection is None:
        return RunnerUpPlan(others, np.ones(classes))
    mean = selection.mean(axis=0)
    order = others[np.argsort(-mean[others], kind="stable")]
    kept, rest = order[:runners_up], order[runners_up:]
    merged = selection[:, rest].max(axis=1).mean() if rest.size else 0.0
    n0 = len(selection)
    # Half an observation of 1 and half of 0 keep another class that was never seen off 0.
    p, *q = (np.array([mean[y], *mean[kept], merged]) * n0 + 0.5) / (n0 + 1.0)
    slopes = [best_slope(p, value, SMALLEST_SLOPE, 1.0 / SMALLEST_SLOPE) for value in q]
    return RunnerUpPlan(kept, np.array(slopes))


def runner_up_columns(
    scores: FloatArray, y: int, plan: RunnerUpPlan
) -> tuple[FloatArray, FloatArray]:
    """Return the scores (n,) of y and (k, n) of the other classes, the rest merged in the last."""
    columns = list(scores[:, plan.runners_up].T)
    rest = np.ones(scores.shape[1], dtype=bool)
    rest[plan.runners_up] = rest[y] = False
    if rest.any():
        columns.append(scores[:, rest].max(axis=1))
    return np.ascontiguousarray(scores[:, y]), np.array(columns)


def column_margin_lower(
    first: FloatArray,
    runners_up: FloatArray,
    alpha: npt.ArrayLike,
    *,
    estimand: ScoreMarginName,
    slopes: FloatArray,
    method: ScoreMethodName | None = None,
    mean_bound: MeanBoundName | MeanBound = "betting",
    box: float = DEFAULT_BOX,
) -> FloatArray:
    """Return `score_margin_lower` of samples, from the columns that matter.

    Parameters
    ----------
    first : array of float, shape (..., n)
        Scores of the class certified, in [0, 1].
    runners_up : array of float, shape (..., k, n)
        Scores of the other classes, or of the largest of several; each plus `first` at most 1. All
        classes but the one certified must be in one of them.
    alpha : float or array of float, shape (...)
        Failure probability.
    estimand, method, mean_bound, box
        As `score_margin_lower`.
    slopes : array of float, shape (..., k)
        Slopes of the tangents, fixed before the scores were seen; positive.

    Returns
    -------
    array of float, shape (...)

    Raises
    ------
    TypeError, ValueError
        If an option is none of those allowed, or a bound returns NaN or more than 1.

    Notes
    -----
    *Guarantee.* As `score_margin_lower`.
    """
    code = int(Margin.of_scores(estimand))
    name = check_choice(
        "method", METHODS[estimand][0] if method is None else method, METHODS[estimand]
    )
    lower = _mean_bound(mean_bound)
    level = np.broadcast_to(alpha, first.shape[:-1])
    if name == "bonferroni":
        half = share_of_alpha(level, 0.5)
        low = lower(first, half)
        every = np.broadcast_to(half[..., np.newaxis], runners_up.shape[:-1])
        high = _upper(lower, runners_up, every).max(axis=-1)
        return np.asarray(map_rows(limit_rows, constants=(code,), p=low, u=high))
    if name == "coupled":
        runners_up = runners_up.max(axis=-2, keepdims=True)
    each = np.broadcast_to(level[..., np.newaxis], runners_up.shape[:-1])
    slope = slopes if name == "tangent" else np.ones(each.shape)
    share, largest = 1.0, np.ones(each.shape)
    if name == "tangent":
        share = 1.0 - check_box(box)
        largest = _upper(lower, runners_up, share_of_alpha(each, (1.0 - share) * (1.0 - 1e-15)))
    line = np.empty(runners_up.shape)
    n = runners_up.shape[-1]
    score_line(
        sealed(first[..., np.newaxis, :], runners_up.shape).reshape(-1, n),
        sealed(runners_up, runners_up.shape).reshape(-1, n),
        sealed(slope, each.shape).reshape(-1),
        line.reshape(-1, n),
    )
    mean = lower(line, share_of_alpha(each, share)) - _OBSERVATION_ERROR
    margins = map_rows(line_rows, constants=(code,), mean=mean, slope=slope, largest=largest)
    least: FloatArray = np.asarray(margins).min(axis=-1)
    return least


def check_box(box: float) -> float:
    """Return the share of alpha that bounds another class, or raise where it is not one number."""
    share = check_fraction("box", box)
    check_single("box", share)
    # The rest, 1 - box, must not be rounded to 1: all of alpha would be spent twice.
    if not 1.0 - share < 1.0:
        raise ValueError(f"box={shown(box)} must be between 1.2e-16 and 1")
    return float(share)


def _mean_bound(value: MeanBoundName | MeanBound) -> Callable[[FloatArray, FloatArray], FloatArray]:
    bound = (
        value if callable(value) else MEAN_BOUNDS[check_choice("mean_bound", value, MEAN_BOUNDS)]
    )

    def checked(x: FloatArray, alpha: FloatArray) -> FloatArray:
        limits = np.asarray(bound(x, alpha), dtype=np.float64)
        if limits.shape != alpha.shape:
            raise ValueError(
                f"mean_bound returned shape {limits.shape} for {alpha.size} samples; "
                f"it must be {alpha.shape}"
            )
        if not (limits <= 1.0).all():
            raise ValueError("mean_bound returned NaN or a bound above 1 for a mean in [0, 1]")
        return np.maximum(limits, 0.0)

    return checked


def _upper(
    lower: Callable[[FloatArray, FloatArray], FloatArray], x: FloatArray, alpha: FloatArray
) -> FloatArray:
    """Return upper bounds of the means: one minus the lower bounds of the mirrored samples."""
    return np.minimum(1.0 - lower(1.0 - x, alpha) + _OBSERVATION_ERROR, 1.0)


def renamed_rivals(rivals: int | None, runners_up: int) -> int:
    """Return `runners_up`, or, with a warning, what was given under its old name."""
    if rivals is None:
        return runners_up
    warnings.warn("rivals= is now runners_up=", DeprecationWarning, stacklevel=3)
    return rivals


def check_runners_up(runners_up: int) -> int:
    """Return how many other classes are bounded one by one, or raise where it is not one number."""
    return check_size("runners_up", runners_up)


BOUNDS = (
    Bound(
        "score_margin_lower",
        score_margin_lower,
        ("difference", "probit"),
        data="scores",
        reference="score_margin:score_margin_lower",
    ),
)
"""The bounds of this file."""
