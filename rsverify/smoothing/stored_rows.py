"""Rows of a table that is continued: each must be what its own votes give.

A checksum finds what a disk damages. This finds the rest: rows that were edited, checksum
and all, or written by a version that computed something else.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

import numpy as np

from rsverify._core.errors import DataError
from rsverify.certificates.certificate import ABSTAIN
from rsverify.certificates.parts import evidence_of
from rsverify.certificates.radius import certified_radius_r1, certified_radius_r2
from rsverify.smoothing.noise.sampler import Sampler
from rsverify.smoothing.request import Request
from rsverify.tables.schema import field, row_fields, table_row

# What another machine's last digits may change: the last printed digit of a radius, which is
# rounded down, and as little of a margin.
_LAST_DIGIT = {"radius": 1.5e-6, "margin": 1e-9, "radius_upper": 1e-9}


def check_stored(
    row: Mapping[str, str],
    *,
    request: Request,
    noise: Sampler,
    dimension: int,
    certify_label: bool,
    entropy: tuple[int, ...],
    path: str | os.PathLike[str],
) -> None:
    """Raise where a row of the table `path` is not what is asked and its votes give.

    Parameters
    ----------
    row : mapping
        The text of each field, by its column.
    request, noise, dimension, certify_label, entropy
        What was asked when the table was begun, of inputs of how many numbers, and how its noise
        is seeded.
    path : path-like
        For the message.

    Raises
    ------
    ValueError
        Naming the file, the row and the column.

    Notes
    -----
    *Guarantee*: of a row that passes, class and radius are those of `certify_counts` (with a
    target radius, of `decide_counts`) of the votes in it, up to one unit in the last of six
    decimals. Of a bound of scores the scores are not in the table: there only the radius, the
    prediction and the options are checked, against the margin.
    """
    try:
        wanted = (
            _of_scores(row, request, noise)
            if request.of_scores
            else _of_votes(row, request, noise, dimension, certify_label, entropy)
        )
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise DataError(f"row idx={row.get('idx')} of {path} is damaged: {error}") from error
    for column, text in wanted.items():
        if not _same(column, row.get(column, ""), text):
            raise DataError(
                f"{column}={row.get(column)!r} of idx={row['idx']} in {path} must be {text!r}, "
                "which its votes give: it was edited, or written by another version"
            )


def _of_votes(
    row: Mapping[str, str],
    request: Request,
    noise: Sampler,
    dimension: int,
    certify_label: bool,
    entropy: tuple[int, ...],
) -> dict[str, str]:
    """Return the row that the votes in it give."""
    idx, label = int(row["idx"]), int(row["label"])
    votes, chosen = _counts(row, "count_"), _counts(row, "selected_")
    total = int(votes.sum())
    if total > request.n or (not request.stops_early and total != request.n):
        raise ValueError(f"it has {total} votes and must have {request.n}")
    question = request.question(noise, label if certify_label else None, dimension)
    selected = chosen if request.needs_selection(given=certify_label) else None
    evidence = evidence_of(votes, selected, seed=(*entropy, idx))
    certificate = question.finish(votes, selected)(evidence)
    given = ("base_predict", "input", "position", "population")  # the last two of a random order
    kept = {name: row[name] for name in given if name in row}
    fields = row_fields(table_row(idx, label, certificate, **kept))
    return {column: text for column, text in fields.items() if column != "time"}


def _counts(row: Mapping[str, str], prefix: str) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.array([int(k) for name, k in row.items() if name.startswith(prefix)], dtype=np.int64)


def _of_scores(row: Mapping[str, str], request: Request, noise: Sampler) -> dict[str, str]:
    """Return what the margin in a row says of its other fields."""
    margin, y = float(row["margin"]), int(row["y"])
    assert noise.sigma is not None, "scores are bounded under Gaussian noise alone"
    if request.radius == "R1":
        slope = None if request.lipschitz is None else float(request.lipschitz)
        radius = certified_radius_r1(margin, lipschitz=slope, sigma=noise.sigma)
    else:
        radius = certified_radius_r2(margin, noise.sigma)
    predict = y if margin > 0 else ABSTAIN
    stated = {
        "predict": predict,
        "radius": float(radius),
        "correct": int(predict == int(row["label"]) != ABSTAIN),
        "n": request.n,
        "alpha": float(request.alpha),
        "bound": request.bound,
        "radius_kind": request.radius,
        "sigma": noise.sigma,
    }
    return {column: field(column, value) for column, value in stated.items()}


def _same(column: str, stored: str, wanted: str) -> bool:
    if stored == wanted or column not in _LAST_DIGIT:
        return stored == wanted
    try:
        difference = abs(float(stored) - float(wanted))
    except ValueError:
        return False
    return difference <= _LAST_DIGIT[column] * max(1.0, abs(float(wanted)))
