"""What a sampling session is given about an input, and what it gives back."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple

from rsverify._core.check import IntArray
from rsverify.certificates.certificate import Certificate, Stated
from rsverify.certificates.parts import evidence_of
from rsverify.smoothing.data.inputs import Input
from rsverify.smoothing.data.items import Item

Entropy = int | tuple[int, ...]
Told = Callable[[int], None]
"""Told after each batch how many noisy inputs it had."""


class Asked(NamedTuple):
    """One input to certify."""

    x: Input
    seed: Entropy
    """What its noise is drawn from."""
    y: int | None
    """The class to certify; None where a selection sample chooses it."""
    item: Item | None = None
    """What it is of a data set; the model is then also asked about the input without noise."""
    started: float | None = None
    """When it was begun, on the clock `time.perf_counter`, where its time is that of the whole
    call; else it is its share of the batches."""


class Found(NamedTuple):
    """What the votes of an input say, and the votes: a certificate in all but its origin."""

    asked: Asked
    stated: Stated
    votes: IntArray
    selected: IntArray | None
    base_predict: int | None
    seconds: float

    def finished(self, probed: str, *, timed: bool) -> Finished:
        """Return it with its certificate: made here, once, with all it holds."""
        started = self.asked.started
        seconds = self.seconds if started is None else time.perf_counter() - started
        evidence = evidence_of(
            self.votes,
            self.selected,
            seed=self.asked.seed,
            seconds=seconds if timed else None,
            probed=probed,
        )
        return Finished(self.asked, self.stated(evidence), self.base_predict)


class Finished(NamedTuple):
    """What is certified about an input, and what the model says of it without noise."""

    asked: Asked
    certificate: Certificate
    base_predict: int | None
