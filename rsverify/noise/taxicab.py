"""Noise made for ℓ1: uniform, splitting and Laplace noise."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rsverify._core.check import FloatArray, check_scale
from rsverify.noise.base import Noise, with_all_digits
from rsverify.noise.norms import Norm, power_of

__all__ = ["Laplace", "Splitting", "Uniform"]


@dataclass(frozen=True)
class Uniform(Noise):
    r"""Uniform noise on [−λ, λ] on every number of the input, independently.

    Parameters
    ----------
    half_width : float
        λ in input units, positive.

    Raises
    ------
    ValueError
        If `half_width` is not positive and finite.
    TypeError
        If `half_width` is not a number.

    Notes
    -----
    With L the difference p_y − p_j: λ·L in ℓ1, and −2λ·expm1(log1p(−L/2)/d) in ℓ∞ [1]_. In ℓp
    the larger of λ·L·d^(1/p − 1) and the ℓ∞ radius, whose ball holds that of ℓp.

    References
    ----------
    .. [1] Yang, Duan, Hu, Salman, Razenshteyn and Li, *Randomized smoothing of all shapes and
       sizes*, ICML 2020, for p_y alone.

    Examples
    --------
    >>> from rsverify.noise import Uniform
    >>> print(f"{Uniform(0.5).radius(0.8):.4f}")
    0.4000
    >>> print(f"{Uniform(0.5).radius(0.8, norm='linf', dimension=784):.7f}")
    0.0006514
    """

    name = "uniform"
    norms = ("l1", "l2", "linf")
    every_power = True
    margin = "difference"

    half_width: float

    def is_proportional(self, norm: Norm) -> bool:
        """Return False beyond ℓ1."""
        return power_of(norm) == 1.0

    def __init__(self, half_width: float) -> None:
        object.__setattr__(self, "half_width", check_scale("half_width", half_width))

    @property
    def parameters(self) -> tuple[float, ...]:
        """The half-width."""
        return (self.half_width,)

    def needs_dimension(self, norm: Norm) -> bool:
        """Return True beyond ℓ1."""
        return power_of(norm) > 1.0

    def _radius(self, margin: FloatArray, norm: Norm, dimension: int) -> FloatArray:
        power = power_of(norm)
        taxicab = self.half_width * margin
        if power == 1.0:
            return taxicab
        lost = np.expm1(np.log1p(-0.5 * margin) / dimension)
        box: FloatArray = -2.0 * lost * self.half_width
        if math.isinf(power):
            return box
        larger: FloatArray = np.maximum(box, taxicab * float(dimension) ** (1.0 / power - 1.0))
        return larger


@dataclass(frozen=True)
class Splitting(Noise):
    r"""Splitting noise: each number of an input in [0, 1] is replaced by the middle of its cell.

    A shift s of every number, uniform on [0, 2λ), cuts [0, 1] at s, s ± 2λ, s ± 4λ, …; the model
    sees the middle of the cell that the number fell in. The shifts of different numbers may
    depend on each other.

    Parameters
    ----------
    half_width : float
        λ, half the distance between two cuts, in input units, positive.

    Raises
    ------
    ValueError
        If `half_width` is not positive and finite.
    TypeError
        If `half_width` is not a number.

    Notes
    -----
    λ·(p_y − p_j) in ℓ1 [1]_, for inputs and attacks in [0, 1].

    References
    ----------
    .. [1] Levine and Feizi, *Improved, deterministic smoothing for ℓ1 certified robustness*,
       ICML 2021, theorem 2.

    Examples
    --------
    >>> from rsverify.noise import Splitting
    >>> print(f"{Splitting(2.0).radius(0.8):.4f}")
    1.6000
    """

    name = "splitting"
    norms = ("l1",)
    margin = "difference"

    half_width: float

    def __init__(self, half_width: float) -> None:
        object.__setattr__(self, "half_width", check_scale("half_width", half_width))

    @property
    def parameters(self) -> tuple[float, ...]:
        """The half-width."""
        return (self.half_width,)

    def _radius(self, margin: FloatArray, norm: Norm, dimension: int) -> FloatArray:  # noqa: ARG002
        return self.half_width * margin


@dataclass(frozen=True)
class Laplace(Noise):
    r"""Laplace noise of density exp(−|z|/λ)/2λ on every number of the input, independently.

    Parameters
    ----------
    scale : float
        λ in input units, positive; the standard deviation is √2·λ.

    Raises
    ------
    ValueError
        If `scale` is not positive and finite.
    TypeError
        If `scale` is not a number.

    Notes
    -----
    λ/2·(Q(p_y) − Q(p_j)) in ℓ1, where Q(p) = log 2p up to ½ and −log 2(1 − p) above is the
    quantile function of the standard Laplace distribution. This is never less than the larger of
    −λ·log(1 − p_y + p_j) and λ/2·log(p_y/p_j), and with p_j = 1 − p_y it is the
    −λ·log 2(1 − p_y) of [1]_. In ℓp it is that times d^(1/p − 1).

    References
    ----------
    .. [1] Teng, Lee and Yuan, *ℓ1 adversarial robustness certificates: a randomized smoothing
       approach*, 2019; the growth rate is Yang et al., ICML 2020, theorem 4.

    Examples
    --------
    >>> from rsverify.noise import Laplace
    >>> print(f"{Laplace(0.5).radius(3.0):.4f}")
    0.7500
    """

    name = "laplace"
    norms = ("l1", "l2", "linf")
    every_power = True
    margin = "laplace"

    scale: float

    def __init__(self, scale: float) -> None:
        object.__setattr__(self, "scale", check_scale("scale", scale))

    @property
    def parameters(self) -> tuple[float, ...]:
        """The scale."""
        return (self.scale,)

    def needs_dimension(self, norm: Norm) -> bool:
        """Return True beyond ℓ1."""
        return power_of(norm) > 1.0

    def _radius(self, margin: FloatArray, norm: Norm, dimension: int) -> FloatArray:
        shrink = float(dimension) ** (1.0 / power_of(norm) - 1.0)
        radius: FloatArray = 0.5 * margin * with_all_digits(self.scale * shrink)
        return radius
