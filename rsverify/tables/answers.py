"""What a table keeps of its model: the scores of a fixed noisy batch, compared with others'."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Answers = Mapping[str, Any]
"""Scores and by how much rounding changes them, of JSON types: see `smoothing.models.answers`."""
RESUME = "resume with the same model, preprocessing included, or begin another table"


def check_answers(before: Answers, now: Answers, where: str, remedy: str = RESUME) -> None:
    """Raise where a model does not answer as the one that `before` was recorded of did.

    `where` says whose answers those were, such as ``"when table.tsv was begun"``.

    Raises
    ------
    ValueError
        If it is another model, or another first input, or what was kept is damaged.
    """
    if before.get("input") != now["input"]:
        raise ValueError(
            f"the first input is {now['input']} and was {before.get('input')} {where}: the data "
            "must be the same"
        )
    old, tolerance = _kept(before, where)
    new, _ = _kept(now, "now")
    if old.shape != new.shape:
        raise ValueError(
            f"the model gives {new.shape[-1]} scores and gave {old.shape[-1]} {where}: it must be "
            "the same"
        )
    same = (old == new) | (np.isnan(old) & np.isnan(new))
    with np.errstate(invalid="ignore"):
        apart = np.where(same, 0.0, np.abs(old - new))
    worst = int(np.nanargmax(np.where(np.isnan(apart), np.inf, apart)))
    if apart.flat[worst] <= tolerance:
        return
    raise ValueError(
        f"the model is another one than {where}: of {len(old)} noisy copies of the first input it "
        f"gives one the score {new.flat[worst]:.6g} where it was {old.flat[worst]:.6g}, which "
        f"rounding does not explain (it changes scores by {tolerance:.2g} at most); {remedy}"
    )


def _kept(answers: Answers, where: str) -> tuple[npt.NDArray[np.float64], float]:
    try:
        content = base64.b64decode(answers["scores"], validate=True)
        scores = np.frombuffer(content, dtype="<f8").reshape(answers["shape"]).astype(np.float64)
        tolerance = float(answers["tolerance"])
        if scores.ndim != 2 or not 0 <= tolerance < np.inf or scores.size == 0:
            raise ValueError(f"shape {scores.shape}, tolerance {tolerance}")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"the model's answers {where} cannot be read from the table's JSON: {error}"
        ) from None
    return scores, tolerance
