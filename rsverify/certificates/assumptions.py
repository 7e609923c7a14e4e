"""Warnings about counts and levels that are allowed, and look like a mistake."""

from __future__ import annotations

import warnings

from rsverify._core.check import FloatArray, IntArray


class AssumptionWarning(UserWarning):
    """What a guarantee assumes seems not to hold, or what it says is next to nothing."""


def warn_of_level(alpha: float, *, stacklevel: int = 2) -> None:
    """Warn of a failure probability above one half: it may have been meant as a confidence."""
    if alpha > 0.5:
        warnings.warn(
            f"alpha={alpha:g} is the probability of failure, and above 1/2 a certificate says next "
            f"to nothing: for a confidence of {alpha:g}, give alpha={1 - alpha:.6g}",
            AssumptionWarning,
            stacklevel=stacklevel + 1,
        )


def warn_of_selection(
    votes: IntArray | FloatArray, selection: IntArray | FloatArray | None, *, stacklevel: int = 2
) -> None:
    """Warn of a selection sample that has the counts of the estimation sample.

    Samples of an input that is always answered alike agree; others do so only by chance.
    """
    if selection is None or selection.shape != votes.shape or (votes > 0).sum() < 2:
        return
    if (votes == selection).all():
        warnings.warn(
            "selection is identical to counts: a class that is chosen by the votes that then "
            "certify it is wrong more often than alpha says, so choose it by a sample of its own, "
            "drawn from another seed",
            AssumptionWarning,
            stacklevel=stacklevel + 1,
        )
