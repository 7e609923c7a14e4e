"""What a table says about how it was made, and what goes wrong with one without an error.

A table can be read, and its figures still mean something else than they seem to: rows are
missing, radii are larger than the stated settings allow, or the classifier answers the same
whatever it sees. Each such finding is one sentence for whoever reads the figures.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import bdtr

from rsverify._core.check import (
    IntArray,
    check_integer,
    check_level,
    check_scale,
    check_size,
)
from rsverify._core.errors import DataError
from rsverify._core.types import Json
from rsverify.bounds.proportion import LARGEST_TRIALS
from rsverify.certificates.case import case_of_counts, terms_given
from rsverify.certificates.certificate import ABSTAIN
from rsverify.certificates.counts import claim_of_case
from rsverify.certificates.margins import BOUNDS
from rsverify.tables.printed import largest_printed
from rsverify.tables.reader import count_columns
from rsverify.tables.recertify_radii import InconsistentRadiiError, printed_radii, recertify_radii
from rsverify.tables.rows import check_any_rows, check_table, check_unique_indices
from rsverify.tables.settings import check_settings, rows_of_other_totals
from rsverify.tables.threats import said_of_threats

__all__ = ["findings", "largest_possible_radius", "misfits", "smoothed_predictions"]

SETTINGS = ("sigma", "n", "alpha", "bound", "ordering", "radius_kind", "lipschitz")
"""The columns that say how a row was certified."""

SWALLOWED = 0.8
"""Predictions collapse to a class that is predicted for this share of other classes' inputs."""

_NEEDED = ("idx", "label", "predict", "radius", "correct")
# Fewer inputs of other classes than this say nothing about such a class.
_FEW = 10
# Fewer right answers than independent ones would have, at this probability, have a reason.
_UNLIKELY = 1e-4
# Where nearly all steps between indices are equal, the others are gaps.
_REGULAR = 0.9
# The bounds' last digits: two ways to the radius of all votes may differ by less.
_LAST_DIGITS = 1e-6


def ordered_rows(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows by idx, or raise where a column or every row is missing, or one is twice."""
    check_table(table)
    missing = [name for name in _NEEDED if name not in table.columns]
    if missing:
        raise ValueError(f"table has no column {missing[0]!r}; it must have {_NEEDED}")
    check_any_rows(table)
    for name in ("idx", "label", "predict", "correct"):
        check_integer(name, table[name].to_numpy())
    rows = table.sort_values("idx", ignore_index=True)
    check_unique_indices(rows)
    bad = ~(np.isfinite(rows["radius"]) & (rows["radius"] >= 0))
    if bad.any():
        radius, idx = rows["radius"][bad].iloc[0], rows["idx"][bad].iloc[0]
        remedy = ": `rsverify recertify` finds a finite one" if radius == np.inf else ""
        raise DataError(f"radius={radius} must be finite and not negative, at idx={idx}{remedy}")
    return rows


def with_settings(
    rows: pd.DataFrame,
    *,
    n: int | None = None,
    sigma: float | None = None,
    stated_alpha: float | None = None,
) -> pd.DataFrame:
    """Return a table of radii only with columns for what it does not say.

    Where all three are given its certificates are taken to be Cohen's.
    """
    given: Json = {}
    if n is not None:
        given["n"] = check_size("n", n, largest=LARGEST_TRIALS)
    if sigma is not None:
        given["sigma"] = check_scale("sigma", sigma)
    if stated_alpha is not None:
        given["alpha"] = check_level(stated_alpha, "stated_alpha")
    check_settings(rows, given)
    if len(given) == 3 and "bound" not in rows:
        given |= {"bound": "cohen", "radius_kind": "R2"}
    return rows.assign(**given)


def with_base(rows: pd.DataFrame, base: npt.ArrayLike) -> pd.DataFrame:
    """Return the rows with a column `base_predict`: the entry of `base` at place idx."""
    classes = check_integer("base", base)
    if "base_predict" in rows:
        raise ValueError("base is for tables that do not say it; this one has 'base_predict'")
    idx = rows["idx"].to_numpy()
    if classes.ndim != 1 or idx.min() < 0 or idx.max() >= classes.size:
        raise ValueError(
            f"base of shape {classes.shape} must hold one class per input, {idx.max() + 1} or more"
        )
    return rows.assign(base_predict=classes[idx])


def settings_of(rows: pd.DataFrame) -> dict[str, tuple[object, ...]]:
    """Return the different known values of each column of `SETTINGS` and of threats, sorted."""
    found = {c: sorted(rows[c].dropna().unique().tolist()) for c in SETTINGS if c in rows}
    own = {c: tuple(v for v in values if v != "") for c, values in found.items() if any(values)}
    return own | said_of_threats(rows)


def all_rows_say(rows: pd.DataFrame, column: str) -> bool:
    """Return whether a column is there and known in every row."""
    return column in rows and not (rows[column].isna() | (rows[column] == "")).any()


def largest_possible_radius(rows: pd.DataFrame) -> float | None:
    """Return what no radius exceeds at the settings of the rows; None where they do not say.

    That is Cohen's radius of n of n votes, whichever bound on votes was used. A valid bound B
    states a margin for n unanimous votes that is wrong at all distributions with less; their
    probability of unanimity, p_1^n, must be at most alpha; so B is at most the margin at p_1 =
    alpha^(1/n) and p_2 = 1 - p_1, which is Cohen's, and unanimous votes state the most.
    """
    settings = settings_of(rows)
    single: Json = {c: v[0] for c, v in settings.items() if len(v) == 1 and all_rows_say(rows, c)}
    if not {"sigma", "n", "alpha", "bound", "radius_kind"} <= single.keys():
        return None
    if single["bound"] not in BOUNDS:
        return None
    if "norm" in rows and (rows["norm"] == "mahalanobis").any():
        return None  # in units of sigma: no radius of those below
    lipschitz = None
    if "lipschitz" in settings:
        if "lipschitz" not in single:
            return None
        lipschitz = single["lipschitz"]
    terms = terms_given(
        sigma=single["sigma"],
        alpha=single["alpha"],
        y=0,
        radius=single["radius_kind"],
        lipschitz=lipschitz,
    )
    unanimous = claim_of_case(case_of_counts([single["n"], 0], None, terms), "cohen")
    if count_columns(rows):  # written here, rounded down
        return unanimous.radius * (1.0 + _LAST_DIGITS)
    return largest_printed(unanimous.radius, *printed_radii(rows), single["sigma"])


def smoothed_predictions(table: pd.DataFrame) -> IntArray:
    """Return the class with the most votes of each row, of tied ones the lowest.

    Where there are no vote counts: `predict`, which is −1 where abstained. Of a certificate of
    scores the votes say how often each class had the largest score.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsverify.tables.checks import smoothed_predictions
    >>> table = pd.DataFrame({"predict": [1, -1], "count_0": [10, 480], "count_1": [990, 520]})
    >>> smoothed_predictions(table).tolist()
    [1, 1]
    """
    votes = count_columns(table)
    if not votes:
        return check_integer("predict", table["predict"].to_numpy())
    return np.asarray(table[votes].to_numpy().argmax(axis=1), dtype=np.int64)


def _largest_target(rows: pd.DataFrame) -> float:
    """Return the largest radius at which sampling was to stop; 0 where there was none."""
    names = map(str, rows.columns)
    several = [name.removeprefix("decision_") for name in names if name.startswith("decision_")]
    alone = rows["target_radius"].max() if "target_radius" in rows else 0.0
    return float(max([*map(float, several), 0.0 if np.isnan(alone) else alone]))


def findings(rows: pd.DataFrame, largest_radius: float | None) -> Iterator[str]:
    """Yield a sentence on each thing that is wrong with the rows, which are in order of idx."""
    label, predict = rows["label"].to_numpy(), rows["predict"].to_numpy()
    unknown = int((label == ABSTAIN).sum())
    if unknown:
        yield f"{unknown} of {len(rows)} labels are unknown (-1); these inputs count as not correct"
    correct = (predict == label) & (predict != ABSTAIN)
    wrong = int((correct != (rows["correct"].to_numpy() == 1)).sum())
    if wrong:
        yield f"'correct' contradicts 'predict' and 'label' in {wrong} of {len(rows)} rows"
    if wrong := rows_of_other_totals(rows).sum():
        yield (
            f"'n' contradicts the votes in {wrong} of {len(rows)} rows: a column of counts may be "
            "missing"
        )
    if largest_target := _largest_target(rows):
        yield (
            f"sampling stopped once the radius was known to reach {largest_target:g} or not: the "
            "average radius, and certified accuracy beyond that, are lower than they "
            "would be with all votes"
        )
    yield from _missing_rows(rows["idx"].to_numpy())
    yield from _collapse(smoothed_predictions(rows), label)
    yield from _shifted(smoothed_predictions(rows), label)
    yield from _assumptions(rows)
    if largest_radius is not None and rows["radius"].max() > largest_radius:
        yield (
            f"radius {rows['radius'].max():g} is above {largest_radius:.4g}, the largest possible "
            "one: something stated about the table is wrong, and its average radius has no limits"
        )


def _missing_rows(idx: IntArray) -> Iterator[str]:
    steps, times = np.unique(np.diff(idx), return_counts=True)
    if steps.size < 2 or times.max() < _REGULAR * times.sum():
        return
    step = int(steps[times.argmax()])
    if (steps % step == 0).all():
        missing = int(((steps // step - 1) * times).sum())
        yield (
            f"{missing} rows seem to be missing: indices go from {idx[0]} to {idx[-1]} in steps "
            f"of {step}, with gaps; figures are those of the rows that are there"
        )


def _collapse(predictions: IntArray, label: IntArray) -> Iterator[str]:
    """Yield a warning where one class is predicted whatever the input.

    A class may be frequent because its label is. So what counts, where labels are known, is
    how often it is predicted for inputs of other classes.
    """
    answered = predictions != ABSTAIN
    if not answered.any():
        return
    classes, times = np.unique(predictions[answered], return_counts=True)
    top, most, total = int(classes[times.argmax()]), int(times.max()), int(answered.sum())
    known = answered & (label != ABSTAIN)
    others = predictions[known & (label != top)] if known.any() else predictions[answered]
    if others.size < _FEW or (others == top).mean() < SWALLOWED:
        return
    share = f"; its label is that of {int((label[known] == top).sum())} of {int(known.sum())}"
    yield (
        f"predictions collapse to class {top}: it is predicted for {most} of {total} inputs"
        f"{share if known.any() else ''}. A classifier that always answers the same never "
        "abstains and has large radii, which then mean nothing"
    )


def _shifted(predictions: IntArray, label: IntArray) -> Iterator[str]:
    """Yield a warning where labels seem to name other classes than predictions do.

    What counts is how often the two would agree if they were independent: a classifier that
    knows nothing agrees about that often, and far less has a reason.
    """
    known = (predictions != ABSTAIN) & (label != ABSTAIN)
    answer, truth = predictions[known], label[known]
    if answer.size < _FEW or np.unique(answer).size < 2:
        return
    shifts, times = np.unique(answer - truth, return_counts=True)
    hits = int(times[shifts == 0].sum())
    by, most = int(shifts[times.argmax()]), int(times.max())
    found = ""
    if by and most >= answer.size / 2 and most > 2 * answer.size * _agreement(answer, truth + by):
        found = f"; the class predicted is the label {by:+d} in {most} of them"
    if found or bdtr(hits, answer.size, _agreement(answer, truth)) < _UNLIKELY:
        yield (
            f"labels look shifted, or in another order than the classes: {hits} of {answer.size} "
            f"predictions are right, fewer than by chance{found}. Labels must count classes from "
            "0, in the order of the scores"
        )


def _agreement(a: IntArray, b: IntArray) -> float:
    """Return how often two columns would agree if they were independent."""
    classes, times = np.unique(a, return_counts=True)
    return float(sum(k * (b == c).sum() for c, k in zip(classes, times, strict=True)) / a.size**2)


def _assumptions(rows: pd.DataFrame) -> Iterator[str]:
    """Yield a warning on each thing that certificates assume and rows contradict."""
    sigmas = settings_of(rows).get("sigma", ())
    if len(sigmas) > 1:
        yield (
            f"rows have {len(sigmas)} different sigma ({', '.join(f'{s:g}' for s in sigmas[:5])}): "
            "where each input keeps the better of several, its certificate is wrong with up to "
            "the sum of their alpha, so fix sigma before sampling, or certify each at alpha / "
            f"{len(sigmas)}"
        )
    if "alpha" in rows and (rows["alpha"] > 0.5).any():
        yield (
            f"alpha={rows['alpha'].max():g} is the probability that a certificate is wrong: above "
            "1/2 it says next to nothing"
        )
    votes = count_columns(rows)
    selected = [f"selected_{name.removeprefix('count_')}" for name in votes]
    if votes and set(selected) <= set(rows.columns):
        counts = rows[votes].to_numpy()
        same = (counts == rows[selected].to_numpy()).all(axis=1) & ((counts > 0).sum(axis=1) > 1)
        if same.any():
            yield (
                f"selection votes are identical to the estimation votes in {int(same.sum())} of "
                f"{len(rows)} rows: a class chosen by the votes that then certify it is wrong "
                "more often than alpha says"
            )


def misfits(rows: pd.DataFrame) -> Iterator[str]:
    """Yield a warning where radii cannot have come from the settings stated for them."""
    try:
        recertify_radii(
            rows,
            n=int(rows["n"].iloc[0]),
            sigma=float(rows["sigma"].iloc[0]),
            stated_alpha=float(rows["alpha"].iloc[0]),
        )
    except InconsistentRadiiError as error:
        yield error.misfit.message
