"""Gaussian noise, in floating point or on a lattice."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from rsverify._core.check import FloatArray, check_scale
from rsverify.noise.base import Noise, with_all_digits
from rsverify.noise.norms import Norm, power_of

__all__ = ["DiscreteGaussian", "Gaussian"]


@dataclass(frozen=True)
class Gaussian(Noise):
    r"""N(0, σ²) noise on every number of the input, independently.

    Parameters
    ----------
    sigma : float or sequence of float
        Standard deviation in input units, positive; or one for each number of the input, in
        the order of its flattened form (a covariance with this diagonal, squared).

    Raises
    ------
    ValueError
        If a standard deviation is not positive and finite, or there are none.
    TypeError
        If a standard deviation is not a number.

    Notes
    -----
    With m the margin Φ⁻¹(p_y) − Φ⁻¹(p_j), radii are σ/2·m in ℓ2, and in ℓ1 too, whose ball lies
    inside; σ/2·m·d^(1/p − 1/2) in ℓp, p ≥ 2 [1]_. With one σ_i for each number, m/2 in the norm
    ‖(δ_i/σ_i)‖₂ (``"mahalanobis"``), and the largest balls of the others inside that ellipsoid.

    References
    ----------
    .. [1] Cohen, Rosenfeld and Kolter, *Certified adversarial robustness via randomized
       smoothing*, ICML 2019, theorem 1, and norm inequalities.

    Examples
    --------
    >>> from rsverify.noise import Gaussian
    >>> print(f"{Gaussian(0.5).radius(3.1):.4f}")
    0.7750
    >>> print(f"{Gaussian(0.5).radius(3.1, norm='linf', dimension=784):.6f}")
    0.027679
    """

    name = "gaussian"
    norms = ("l2", "l1", "linf", "mahalanobis")
    every_power = True
    margin = "probit"

    sigma: float | tuple[float, ...]

    def __init__(self, sigma: float | Sequence[float]) -> None:
        if isinstance(sigma, (str, bytes)) or np.ndim(sigma) == 0:
            object.__setattr__(self, "sigma", check_scale("sigma", sigma))
            return
        values = tuple(check_scale("sigma", s) for s in np.ravel(np.asarray(sigma)))
        if not values:
            raise ValueError("sigma=() must hold one standard deviation for each number")
        object.__setattr__(self, "sigma", values)

    @property
    def parameters(self) -> tuple[float, ...]:
        """The standard deviations."""
        return self.sigma if isinstance(self.sigma, tuple) else (self.sigma,)

    def check_dimension(self, dimension: int) -> None:
        """Raise where there is not one standard deviation for each number."""
        if isinstance(self.sigma, tuple) and len(self.sigma) != dimension:
            raise ValueError(
                f"dimension={dimension} must be {len(self.sigma)}, the number of standard "
                "deviations in sigma"
            )

    def needs_dimension(self, norm: Norm) -> bool:
        """Return True beyond ℓ2, where there is one standard deviation for all."""
        return not isinstance(self.sigma, tuple) and norm != "mahalanobis" and power_of(norm) > 2.0

    def _radius(self, margin: FloatArray, norm: Norm, dimension: int) -> FloatArray:
        half: FloatArray = 0.5 * margin
        if norm == "mahalanobis":
            return half
        power = power_of(norm)
        if not isinstance(self.sigma, tuple):
            shrink = 1.0 if power <= 2.0 else float(float(dimension) ** (1.0 / power - 0.5))
            return half * with_all_digits(self.sigma * shrink)
        if power <= 2.0:
            return half * min(self.sigma)
        # The largest value of Σ(δ_i/σ_i)² on the ℓp ball is the ℓ_(p/(p−2)) norm of 1/σ_i².
        # Against the smallest σ, so that no square overflows.
        smallest = min(self.sigma)
        conjugate = 1.0 if math.isinf(power) else power / (power - 2.0)
        total = math.fsum((smallest / s) ** (2.0 * conjugate) for s in self.sigma)
        return half * with_all_digits(float(smallest / total ** (0.5 / conjugate)))


@dataclass(frozen=True)
class DiscreteGaussian(Noise):
    """N(0, σ²) noise rounded to the multiples of a lattice: exact on a computer.

    Parameters
    ----------
    sigma : float
        Standard deviation before rounding, in input units, positive.
    lattice : Fraction or float
        Step of the lattice on which inputs lie, positive: ``1/255`` for images of 8 bits.

    Raises
    ------
    ValueError
        If an argument is not positive and finite.
    TypeError
        If an argument is not a number.

    Notes
    -----
    Its radii are those of `Gaussian`, for the classifier that rounds to the lattice first. Its
    own error of at most 10⁻¹² in total variation (`excess`) is paid out of alpha.

    Examples
    --------
    >>> from rsverify.noise import DiscreteGaussian
    >>> print(f"{DiscreteGaussian(0.25, 1 / 255).radius(2.0):.4f}")
    0.2500
    """

    name = "discrete"
    norms = ("l2", "l1", "linf")
    every_power = True
    margin = "probit"
    excess = 1e-12

    sigma: float
    lattice: float

    def __init__(self, sigma: float, lattice: Fraction | float) -> None:
        object.__setattr__(self, "sigma", check_scale("sigma", sigma))
        object.__setattr__(self, "lattice", check_scale("lattice", float(lattice)))

    @property
    def parameters(self) -> tuple[float, ...]:
        """Standard deviation and lattice."""
        return (self.sigma, self.lattice)

    def needs_dimension(self, norm: Norm) -> bool:
        """Return True beyond ℓ2."""
        return power_of(norm) > 2.0

    def _radius(self, margin: FloatArray, norm: Norm, dimension: int) -> FloatArray:
        return Gaussian(self.sigma)._radius(margin, norm, dimension)
