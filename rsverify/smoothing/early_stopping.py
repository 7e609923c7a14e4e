"""Sampling that stops once the votes have answered whether the radius reaches a target."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch

from rsverify._check import IntArray
from rsverify.early_certificate import EarlyCertificate, decide_counts, first_decision
from rsverify.smoothing.sampler import Scores, count_votes

FIRST_LOOK = 50
"""Fewer votes than this are not looked at."""
GROWTH = 1.02
"""A look comes at the first batch that makes the votes this much more than at the last."""


def sample_until_decided(
    scores_of: Scores,
    batches: Iterable[torch.Tensor],
    num_classes: int,
    device: torch.device,
    question: dict[str, Any],
    progress: Callable[[int], None] | None = None,
) -> EarlyCertificate:
    """Return the answer of `decide_counts` to `question` at the first look that has one.

    A look waits for the device and costs some 50 microseconds; looks are a factor of 1.02
    apart. What is not needed is not drawn.

    Raises
    ------
    ValueError, TypeError
        As `count_votes` and `decide_counts`.
    """
    counts: IntArray | None = None
    next_look = float(FIRST_LOOK)
    for batch in batches:
        new = count_votes(scores_of, [batch], num_classes, device, progress)
        counts = new if counts is None else counts + new
        votes = int(counts.sum())
        if votes < next_look:
            continue
        if first_decision([counts], **question) is not None:
            break
        next_look = votes * GROWTH
    assert counts is not None, "there is at least one batch"
    return decide_counts(counts, **question)
