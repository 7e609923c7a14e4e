"""Vote counts of many inputs at once, to a table of certificates."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_alpha,
    check_choice,
    check_flag,
    check_ignored,
    check_integer,
    check_positive,
    check_size,
    shown,
)
from rsverify._core.errors import DataError
from rsverify._core.progress import ProgressOption, check_progress
from rsverify._core.types import AnyArray, OrderingName, RadiusName, VoteBoundName
from rsverify.bounds.bound import Bound
from rsverify.bounds.margin import Taylor
from rsverify.certificates.assumptions import AssumptionWarning, warn_of_level
from rsverify.certificates.certificate import ABSTAIN
from rsverify.certificates.margins import BOUNDS, DEFAULT_ORDERING, level_of_bound, name_of
from rsverify.certificates.radius import ESTIMANDS
from rsverify.certificates.threat import check_threat
from rsverify.noise import Noise, Norm
from rsverify.tables.count_columns import check_rows, check_shape, given_columns
from rsverify.tables.counts import classes_of, counts_of_frame, integers_of
from rsverify.tables.outcome import Outcomes, level_of_class, outcomes_of_rows
from rsverify.tables.rows import check_unique_indices
from rsverify.tables.schema import COMMON_COLUMNS, ORIGIN_COLUMNS, count_columns
from rsverify.tables.threats import (
    COLUMNS,
    TableThreat,
    columns_of_threat,
    top_others_of_rows,
)

__all__ = ["certify_table"]

# What a table of certificates says of each row; `idx` and `label` may come with the counts,
# and what says the settings, as logs of experiments do, must agree with them.
_SAID = ("n", "n0", "sigma", "alpha")
_MADE = ({*COMMON_COLUMNS, *ORIGIN_COLUMNS} - {"idx", "label", "y", *_SAID}) | {
    "alpha_shares",
    *COLUMNS,
}


def certify_table(
    counts: npt.ArrayLike | pd.DataFrame,
    *,
    alpha: npt.ArrayLike,
    sigma: npt.ArrayLike | None = None,
    noise: Noise | None = None,
    norm: Norm | None = None,
    dimension: int | None = None,
    y: npt.ArrayLike | None = None,
    selection: npt.ArrayLike | pd.DataFrame | None = None,
    winner: bool = False,
    label: npt.ArrayLike | None = None,
    ignore: Sequence[int] = (),
    top_k: int = 1,
    bound: VoteBoundName | Bound = "exact",
    radius: RadiusName = "R2",
    lipschitz: npt.ArrayLike | None = None,
    ordering: OrderingName | Taylor | None = None,
    columns: Sequence[str | int] | None = None,
    store: str | os.PathLike[str] | None = None,
    progress: ProgressOption = None,
) -> pd.DataFrame:
    """Return what the vote counts of many inputs certify, one row per input.

    Parameters
    ----------
    counts : array_like of int or DataFrame, shape (N, m)
        Votes of m ≥ 2 classes of each input. Of a DataFrame, also one of polars, the columns that
        `read_counts` takes for counts; its other columns are kept, and `n`, `sigma` and `alpha`
        among them must say what is used. Integers may be of any type, also nullable ones.
    alpha : float or array_like of float, shape (N,)
        Total failure probability of each row, in (0, 1).
    sigma : float or array_like of float, shape (N,), optional
        Standard deviation of Gaussian noise in input units, positive. Exactly one of `sigma` and
        `noise` must be given.
    noise, norm, dimension
        As `certify_counts`, for all rows.
    y : int, array_like of int, shape (N,), or str, optional
        The class of each row, 0 to m − 1, fixed without looking at `counts`, such as the true
        one; or the name of a column that holds it. A column `y` is it where no class is given
        otherwise.
    selection : array_like of int or DataFrame, shape (N, m), optional
        Votes of a separate sample, whose winner is the class; of tied classes the lowest. Columns
        ``selected_0, selected_1, …`` of a DataFrame are it where no class is given otherwise.
    winner : bool
        Certify the class with the most votes of `counts` themselves. Each of the m classes then has
        an equal share of alpha. Exactly one of `y`, `selection` and `winner` says the class.
    label : int, array_like of int, shape (N,), or str, optional
        The true class of each row or the name of its column, −1 where unknown; the column `label`
        of a DataFrame where not given.
    ignore, top_k
        As `certify_counts`, for all rows; a `top_k` above 1 needs `selection`, by which each row
        has its own classes that may be ahead.
    bound, radius, ordering
        As `certify_counts`.
    lipschitz : float or array_like of float, shape (N,), optional
        As `certify_counts`.
    columns : sequence of str or int, optional
        The columns of counts, in the order of the classes, where their names do not tell; as
        `read_counts`.
    store : path-like, optional
        A file that limits are kept in as they are computed, so that the same call goes on after an
        interruption. It may serve several tables; remove it when you are done.
    progress : bool, callable or object, optional
        Where to tell how many different rows are done and how long the rest takes; where not
        given, of runs of more than a few seconds: see `rsverify.certify_dataset`.

    Returns
    -------
    DataFrame
        As `read_table` returns tables: `idx label predict radius correct time`, what produced each
        row, other columns, and the counts. With `winner`, a column `alpha_shares` says m.

    Raises
    ------
    ValueError
        If a count is negative or not an integer, or a row empty, of which it names row and column;
        if a class, label or option is out of range; or if it is not said, or said twice, which
        class to certify.
    TypeError
        If an argument has the wrong type.
    KeyboardInterrupt
        On Ctrl-C, with what is kept.

    Notes
    -----
    *Guarantee*: that of `certify_counts`, for each row separately, under its assumptions: each row
    states a wrong radius with probability at most its alpha. With `winner`: for each class c fixed
    beforehand, the limit at alpha/m exceeds the margin of c with probability at most alpha/m; so
    with probability at least 1 − alpha none of the m limits does, whichever class the votes choose.

    Equal rows are computed once, all others on all cores.

    Examples
    --------
    >>> from rsverify import certify_table
    >>> table = certify_table([[900, 60, 40], [400, 350, 250]], sigma=0.25, alpha=0.001, y=[0, 0],
    ...                       label=[0, 1], bound="cohen")
    >>> table[["predict", "radius", "correct", "status"]].round(4).values.tolist()
    [[0, 0.2786, 1, 'certified'], [-1, 0.0, 0, 'margin not positive']]
    """
    check_flag("winner", winner)
    frame, votes, others = _columns_of(counts, columns)
    ignored = check_ignored(ignore, votes.shape[1])
    classes, selected = _classes(votes, others, y, selection, winner, ignored)
    if not isinstance(bound, Bound):
        check_choice("bound", bound, BOUNDS)
    kind = check_choice("radius", radius, ESTIMANDS)
    if lipschitz is not None and kind != "R1":
        raise ValueError(f"lipschitz={shown(lipschitz)} must be None for radius={kind!r}")
    threat = _threat(sigma, noise, norm, dimension, kind)
    ahead = check_size("top_k", top_k, 1, votes.shape[1] - 1)
    if "y" in others and (integers_of(others[["y"]], "counts")[:, 0] != classes).any():
        raise ValueError("counts has a column 'y' that says other classes: give y='y', or drop it")
    rows = len(votes)
    levels = _per_row("alpha", check_alpha(alpha), rows)
    warn_of_level(float(levels.max()))
    shares = votes.shape[1] if winner else 1
    deviation = np.full(rows, np.nan)
    if threat is None:
        assert sigma is not None, "one of the two is given"
        deviation = _per_row("sigma", check_positive("sigma", sigma), rows)
    constant = None
    if lipschitz is not None:
        constant = _per_row("lipschitz", check_positive("lipschitz", lipschitz), rows)
    left_out = _left_out(votes, classes, selected, ignored, ahead)
    excess = 0.0 if threat is None else threat.noise.excess
    found = outcomes_of_rows(
        votes,
        classes,
        level_of_class(level_of_bound(levels, excess), shares),
        sigma=deviation,
        lipschitz=constant,
        kind=kind,
        bound=bound,
        ordering=ordering,
        store=store,
        progress=check_progress(progress),
        threat=threat,
        left_out=left_out,
    )
    made = {
        "status": found.status,
        "y": classes,
        "n": found.votes.n,
        "n0": 0 if selected is None else selected.sum(axis=1),
        "alpha": levels,
        "bound": name_of(bound),
        "ordering": (ordering or DEFAULT_ORDERING) if bound == "exact" else None,
        "radius_kind": kind,
        "lipschitz": np.nan if constant is None else constant,
        "sigma": deviation,
        "margin": found.margin,
        "seed": None,
        **({"alpha_shares": shares} if winner else {}),
        **({"noise_excess": excess} if excess else {}),
        **columns_of_threat(threat, left_out, ignored, ahead),
    }
    _check_said(others, made, has_selection=selected is not None)
    return _table(frame, others, _labels(others, label, votes.shape), found, made, selected)


def _columns_of(
    counts: npt.ArrayLike | pd.DataFrame, columns: Sequence[str | int] | None
) -> tuple[pd.DataFrame, IntArray, pd.DataFrame]:
    """Return the table of counts, its votes, and its other columns."""
    frame = counts_of_frame(_as_frame("counts", counts), "counts", given_columns(columns))
    others = frame.drop(columns=count_columns(frame))
    taken = [name for name in others if name in _MADE]
    if taken:
        raise DataError(
            f"counts has a column {taken[0]!r}, which certifying makes: drop it (recertify is for "
            "tables of certificates)"
        )
    return frame, frame[count_columns(frame)].to_numpy(), others


def _check_said(others: pd.DataFrame, made: Mapping[str, Any], *, has_selection: bool) -> None:
    """Raise where a column that comes with the counts says another setting than is used."""
    for name in _SAID:
        if name not in others or (name == "n0" and not has_selection):
            continue
        texts = others[name].astype(object)
        said = pd.to_numeric(texts, errors="coerce").to_numpy(dtype=np.float64)
        used = np.broadcast_to(np.asarray(made[name], dtype=np.float64), said.shape)
        empty = texts.isna().to_numpy() | (texts.astype(str).str.strip() == "").to_numpy()
        # Float32 settings are those of float64.
        bad = ~(empty | np.isclose(said, used, rtol=1e-6, atol=0.0))
        if not bad.any():
            continue
        row = int(bad.argmax())
        right = "empty" if np.isnan(used[row]) else f"{used[row]:.10g}"
        why = "the votes of the row" if name in ("n", "n0") else "as given"
        raise DataError(
            f"column {name!r} of counts must be {right} in row {row}, {why}, not "
            f"{texts.iloc[row]}: give other columns (columns=) or options, or drop it"
        )


def _threat(
    sigma: npt.ArrayLike | None,
    noise: Noise | None,
    norm: Norm | None,
    dimension: int | None,
    kind: RadiusName,
) -> TableThreat | None:
    """Return noise and norm, None for Gaussian noise and ℓ2, or raise where they do not fit."""
    if noise is None and norm is None and dimension is None and sigma is not None:
        return None
    one = None if sigma is None else float(_per_row("sigma", check_positive("sigma", sigma), 1)[0])
    found = check_threat(
        sigma=one, noise=noise, norm=norm, dimension=dimension, radius=kind, lipschitz=None
    )
    return TableThreat(found.noise, found.norm, found.dimension)


def _left_out(
    votes: IntArray,
    y: IntArray,
    selected: IntArray | None,
    ignored: tuple[int, ...],
    top_k: int,
) -> npt.NDArray[np.bool_] | None:
    """Return which classes of each row are no runner-up; None where none is left out."""
    if not ignored and top_k == 1:
        return None
    if np.isin(y, ignored).any():
        raise ValueError(f"y={y[np.isin(y, ignored)][0]} must not be one of ignore={ignored}")
    if len(ignored) + top_k >= votes.shape[1]:
        raise ValueError(
            f"ignore={ignored} and top_k={top_k} must leave a runner-up of the {votes.shape[1]} "
            "classes"
        )
    out = np.zeros(votes.shape, dtype=bool)
    if top_k > 1:
        if selected is None:
            raise ValueError(
                f"top_k={top_k} needs selection: which classes may be ahead of y must be fixed by "
                "votes that do not certify it"
            )
        out = top_others_of_rows(selected, y, top_k, ignored)
    out[:, list(ignored)] = True
    return out


def _as_frame(name: str, counts: npt.ArrayLike | pd.DataFrame) -> pd.DataFrame:
    if isinstance(counts, pd.DataFrame):
        return counts
    convert = getattr(counts, "to_pandas", None)  # of polars and pyarrow
    if callable(convert) and isinstance(frame := convert(), pd.DataFrame):
        return frame
    if isinstance(counts, str | os.PathLike):
        raise TypeError(f"{name}={shown(counts)} must be counts: a file's are read_counts(…) of it")
    if isinstance(counts, Mapping):
        raise TypeError(f"{name} is a {type(counts).__name__}: give pandas.DataFrame(…) of it")
    if isinstance(counts, pd.Series):
        raise TypeError(f"{name} is a Series: it must have one row per input, one column per class")
    try:
        array = counts if isinstance(counts, np.ndarray) else np.asarray(counts, dtype=object)
    except Exception:  # of an object of another package
        array = np.empty(0)
    if isinstance(array, np.ma.MaskedArray) or array.ndim != 2 or array.dtype.kind not in "iufO":
        # Says what is wrong with it.
        array = check_integer(name, counts)
    check_shape(array, name)
    return pd.DataFrame(array)


def _per_row(name: str, values: FloatArray, rows: int) -> FloatArray:
    if values.shape not in ((), (1,), (rows,)):
        raise ValueError(f"{name} of shape {values.shape} must be one number, or one per row")
    return np.broadcast_to(values, (rows,)).copy()


def _integers_per_row(
    name: str, values: npt.ArrayLike, others: pd.DataFrame, rows: int
) -> IntArray:
    if isinstance(values, str):
        if values not in others:
            raise ValueError(
                f"{name}={values!r} must be the number of a class, from 0, or a column beside the "
                f"counts: {', '.join(map(str, others)) or '(none)'}"
            )
        return classes_of(others, values, "counts")
    classes = check_integer(name, values)
    if classes.shape not in ((), (1,), (rows,)):
        raise ValueError(f"{name} of shape {classes.shape} must be one class, or one per row")
    return np.broadcast_to(classes, (rows,)).copy()


def _classes(
    votes: IntArray,
    others: pd.DataFrame,
    y: npt.ArrayLike | None,
    selection: npt.ArrayLike | pd.DataFrame | None,
    winner: bool,
    ignored: tuple[int, ...],
) -> tuple[IntArray, IntArray | None]:
    """Return the class of each row, and the selection votes that chose it."""
    named = [f"selected_{i}" for i in range(votes.shape[1])]
    given = [
        n
        for n, is_given in (
            ("y", y is not None),
            ("selection", selection is not None),
            ("winner", winner),
        )
        if is_given
    ]
    if not given and set(named) <= set(others):
        selection, given = others[named], ["selection"]
    elif not given and "y" in others:
        y, given = "y", ["y"]
    if len(given) != 1:
        said = f"{' and '.join(given)} are both given" if given else "the class is not said"
        raise ValueError(
            f"{said}: give one of y (--y, --certify-label: fixed without these counts, as the true "
            "class is), selection (columns selected_0, …: votes of another sample) and winner=True "
            "(--winner: the winner of these counts, at alpha/m)"
        )
    if y is not None:
        return _integers_per_row("y", y, others, len(votes)), None
    if winner:
        return _most_voted(votes, ignored), None
    assert selection is not None, "one of the three is given"
    selected = _selected(_as_frame("selection", selection), votes)
    return _most_voted(selected, ignored), selected


def _most_voted(votes: IntArray, ignored: tuple[int, ...]) -> IntArray:
    """Return the class with the most votes of each row, of those that are not ignored."""
    allowed = votes.copy()
    allowed[:, list(ignored)] = -1
    chosen: IntArray = allowed.argmax(axis=1).astype(np.int64)
    return chosen


def _selected(frame: pd.DataFrame, votes: IntArray) -> IntArray:
    selected = integers_of(frame, "selection")
    if selected.shape != votes.shape:
        raise ValueError(
            f"selection of shape {selected.shape} must have the shape of counts {votes.shape}"
        )
    check_rows(selected, "selection")
    same = (votes == selected).all(axis=1) & ((votes > 0).sum(axis=1) > 1)
    if same.any():
        warnings.warn(
            f"selection is identical to counts in {int(same.sum())} of {len(votes)} rows: a class "
            "that is chosen by the votes that then certify it is wrong more often than alpha says, "
            "so choose it by a sample of its own, or give winner=True",
            AssumptionWarning,
            stacklevel=4,
        )
    return selected


def _labels(others: pd.DataFrame, label: npt.ArrayLike | None, shape: tuple[int, ...]) -> IntArray:
    if label is None and "label" not in others:
        return np.full(shape[0], ABSTAIN, dtype=np.int64)
    labels = _integers_per_row("label", "label" if label is None else label, others, shape[0])
    bad = (labels < ABSTAIN) | (labels >= shape[1])
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(
            f"label={labels[row]} of row {row} must be a class between 0 and {shape[1] - 1}, or −1"
        )
    return labels


def _table(
    frame: pd.DataFrame,
    others: pd.DataFrame,
    label: IntArray,
    found: Outcomes,
    made: dict[str, object],
    selected: IntArray | None,
) -> pd.DataFrame:
    """Return the columns of a table in the order of its files."""
    index = pd.RangeIndex(len(frame))
    first: dict[str, AnyArray | float] = {
        "idx": others["idx"].to_numpy() if "idx" in others else np.arange(len(frame)),
        "label": label,
        "predict": found.predict,
        "radius": found.radius,
        "correct": ((found.predict == label) & (label != ABSTAIN)).astype(np.int64),
        "time": np.nan,
    }
    left = pd.DataFrame({**first, **made}, index=index)
    check_unique_indices(left)
    kept = [n for n in others if n not in {*left.columns} and not str(n).startswith("selected_")]
    parts = [left, others[kept], frame[count_columns(frame)]]
    if selected is not None:
        names = [f"selected_{i}" for i in range(selected.shape[1])]
        parts.append(pd.DataFrame(selected, columns=names))
    return pd.concat(parts, axis=1)
