"""What a sampling session is given about an input, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from rsverify.certificates.certificate import Certificate
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


class Finished(NamedTuple):
    """What is certified about an input, and what the model says of it without noise."""

    asked: Asked
    certificate: Certificate
    base_predict: int | None
