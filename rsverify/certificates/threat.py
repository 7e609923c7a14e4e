"""What a certificate is about: the noise of the votes, the norm of attacks, and the radius."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_choice,
    check_scale,
    check_size,
    shown,
)
from rsverify._core.types import MarginName, RadiusName
from rsverify.certificates.radius import ESTIMANDS, certified_radius_r1, certified_radius_r2
from rsverify.noise import DiscreteGaussian, Gaussian, Noise, Norm

__all__ = ["Threat"]

LARGEST_DIMENSION = 10**9


class Threat(NamedTuple):
    """Noise, norm and kind of radius, which have been found to fit each other."""

    noise: Noise
    norm: Norm
    dimension: int | None
    """How many numbers each input has, where that was given."""
    kind: RadiusName
    """``"R1"`` or ``"R2"``; without meaning for other noise than Gaussian."""
    lipschitz: float | None
    """The Lipschitz constant given for R1."""

    @property
    def is_plain(self) -> bool:
        """Whether this is Gaussian noise of one sigma, and ℓ2."""
        return self.norm == "l2" and self.sigma is not None

    @property
    def sigma(self) -> float | None:
        """The standard deviation of Gaussian noise, where there is one for all numbers."""
        if isinstance(self.noise, DiscreteGaussian):
            return self.noise.sigma
        if isinstance(self.noise, Gaussian) and not isinstance(self.noise.sigma, tuple):
            return self.noise.sigma
        return None

    @property
    def is_proportional(self) -> bool:
        """Whether the radius is a multiple of the margin."""
        return self.noise.is_proportional(self.norm)

    @property
    def estimand(self) -> MarginName:
        """The margin that the radius follows from."""
        if self.sigma is not None:
            return ESTIMANDS[self.kind]
        return self.noise.margin

    def radius(self, margin: npt.ArrayLike) -> FloatArray | IntArray | float | int:
        """Return the radius of a lower limit of the margin, rounded down."""
        if self.sigma is not None and self.norm in ("l1", "l2"):
            if self.kind == "R1":
                return certified_radius_r1(margin, lipschitz=self.lipschitz, sigma=self.sigma)
            if self.norm == "l2":
                return certified_radius_r2(margin, self.sigma)
        return self.noise.radius(margin, norm=self.norm, dimension=self.dimension)


def check_threat(
    *,
    sigma: float | None,
    noise: Noise | None,
    norm: Norm | None,
    dimension: int | None,
    radius: RadiusName,
    lipschitz: float | None,
) -> Threat:
    """Return what a user asks about, or raise where the parts do not fit each other.

    Raises
    ------
    ValueError
        If not exactly one of `sigma` and `noise` is given, the noise has no radius in this norm
        (the message lists those it has), `dimension` is missing, or R1 or a Lipschitz constant is
        asked of other noise than Gaussian.
    TypeError
        If an argument has the wrong type.
    """
    if noise is not None and not isinstance(noise, Noise):
        raise TypeError(f"noise={shown(noise)} must be a noise of rsverify.noise")
    if (sigma is None) == (noise is None):
        raise ValueError(
            f"sigma={shown(sigma)} and noise={noise and noise.brief}: exactly one must be given; "
            "sigma is short for noise=Gaussian(sigma)"
        )
    if noise is None:
        assert sigma is not None, "one of the two is given"
        noise = Gaussian(check_scale("sigma", sigma))
    kind = check_choice("radius", radius, ESTIMANDS)
    constant = None if lipschitz is None else check_scale("lipschitz", lipschitz)
    if constant is not None and kind != "R1":
        raise ValueError(f"lipschitz={constant} must be None for radius='{kind}': only R1 has one")
    chosen = noise.check_norm(norm)
    size = None
    if dimension is not None:
        size = check_size("dimension", dimension, 1, LARGEST_DIMENSION)
    threat = Threat(noise, chosen, size, kind, constant)
    if kind == "R1" and (threat.sigma is None or chosen not in ("l1", "l2")):
        raise ValueError(
            f"radius='R1' must be 'R2' for noise={noise.brief} and norm={str(chosen)!r}: R1 is a "
            "radius in ℓ2 under Gaussian noise"
        )
    noise.radius(0.0, norm=chosen, dimension=size)  # says whether a dimension is missing
    return threat


def others_first(
    selected: IntArray | None, y: int, top_k: int, ignore: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the classes that may be ahead of y: the top_k − 1 most voted others of the selection.

    Raises
    ------
    ValueError
        If `top_k` needs a selection sample and there is none, or leaves no runner-up.
    """
    if top_k == 1:
        return ()
    if selected is None:
        raise ValueError(
            f"top_k={top_k} needs selection: which classes may be ahead of y must be fixed by "
            "votes that do not certify it"
        )
    votes = selected.copy()
    votes[[y, *ignore]] = -1
    order = np.argsort(-votes, kind="stable")[: top_k - 1]
    return tuple(sorted(int(c) for c in order))
