"""What a certificate is composed of: what is claimed, and the evidence that produced it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from rsverify._core.check import IntArray
from rsverify._core.equal import EqualNaN
from rsverify._core.types import MarginName, OrderingName, RadiusName
from rsverify.bounds.margin import Taylor
from rsverify.certificates.abstention import Status
from rsverify.noise import Noise, Norm


@dataclass(frozen=True, kw_only=True, eq=False)
class Claim(EqualNaN):
    """What is claimed: each field is what the property of that name of `Certificate` says."""

    prediction: int
    radius: float
    status: Status
    reason: str
    y: int
    alpha: float
    bound: str
    ordering: OrderingName | Taylor | None
    radius_kind: RadiusName
    estimand: MarginName
    margin: float
    sigma: float
    lipschitz: float | None
    noise: Noise | None = None
    norm: Norm = "l2"
    dimension: int | None = None
    ignored: tuple[int, ...] = ()
    top_k: int = 1
    top_others: tuple[int, ...] = ()
    noise_excess: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What produced it: the votes, and how they were drawn; fields as of `Certificate`."""

    counts: tuple[int, ...]
    selection_counts: tuple[int, ...] | None = None
    seed: int | tuple[int, ...] | None = None
    seconds: float | None = field(default=None, compare=False)
    probed: str = field(default="", compare=False)

    @property
    def n(self) -> int:
        """Size of the estimation sample."""
        return sum(self.counts)

    @property
    def n0(self) -> int:
        """Size of the selection sample; 0 where there was none."""
        return sum(self.selection_counts or ())


def evidence_of(
    votes: IntArray,
    selected: IntArray | None = None,
    *,
    seed: int | tuple[int, ...] | None = None,
    seconds: float | None = None,
    probed: str = "",
) -> Evidence:
    """Return the evidence that votes of an estimation and a selection sample are."""
    return Evidence(
        counts=tuple(np.asarray(votes).tolist()),
        selection_counts=None if selected is None else tuple(np.asarray(selected).tolist()),
        seed=seed,
        seconds=seconds,
        probed=probed,
    )
