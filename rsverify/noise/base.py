"""What every noise has: its norms, its margin, its radius rounded down."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, IntArray, check_real, check_size
from rsverify._core.text import number_text
from rsverify.noise.norms import Lp, Norm, NormName, parse_norm

__all__ = ["Noise", "NoiseMargin"]

NoiseMargin = Literal["difference", "probit", "laplace"]
"""p_1 − p_2; Φ⁻¹(p_1) − Φ⁻¹(p_2); or the same with the quantiles of the Laplace distribution."""

_LARGEST_SIZE = 10**9
_SHOWN = 4
# Each formula takes at most six roundings and three library functions, each good to two units
# in the last place, of well-conditioned terms: 12 units of 2^-53 are less than this.
_SHRINK = 1.0 - 4e-15
# Far above the numbers that have fewer digits, whose roundings are larger than that.
_LEAST = 1e-290


class Noise(ABC):
    """What is done to an input before a vote, and what votes under it certify."""

    name: ClassVar[str]
    """What tables and the command line call it."""
    norms: ClassVar[tuple[NormName, ...]]
    """The norms it has a radius for, the one it is made for first."""
    every_power: ClassVar[bool] = False
    """Whether it has a radius for every `Lp` too."""
    integer: ClassVar[bool] = False
    """Whether radii are whole numbers of changes, which are certified *up to and including* the
    radius; else every input *closer* than the radius is."""
    margin: ClassVar[NoiseMargin]
    """Which margin the radius follows from."""
    excess: ClassVar[float] = 0.0
    """What the noise's own error adds to the failure probability of a sample."""

    @property
    @abstractmethod
    def parameters(self) -> tuple[float, ...]:
        """The numbers that follow the name where the noise is written as text."""

    def __str__(self) -> str:
        return f"{self.name}:{','.join(map(number_text, self.parameters))}"

    @property
    def brief(self) -> str:
        """The noise as messages show it: its text, cut short where it has many parameters."""
        numbers = self.parameters
        if len(numbers) <= _SHOWN:
            return str(self)
        first, last = number_text(numbers[0]), number_text(numbers[-1])
        return f"{self.name}:{first},…,{last} ({len(numbers)} numbers)"

    def check_norm(self, norm: object = None) -> Norm:
        """Return the norm that a user named, by default that the noise is made for, or raise.

        Raises
        ------
        ValueError
            If this noise has no radius in that norm; the message lists those it has.
        TypeError
            If `norm` is not a string.
        """
        if norm is None:
            return self.norms[0]
        chosen = parse_norm(norm)
        if isinstance(chosen, Lp):
            if self.every_power:
                return chosen
        elif chosen in self.norms:
            return chosen
        listed = [repr(n) for n in self.norms] + ["Lp(p)"] * self.every_power
        raise ValueError(
            f"norm={str(chosen)!r} must be one of {', '.join(listed)} for {self.name} noise"
            + "".join(f"; {_hint(n, chosen)}" for n in Noise.__subclasses__() if _hint(n, chosen))
        )

    def needs_dimension(self, norm: Norm) -> bool:  # noqa: ARG002 - for those that do
        """Return whether a radius in this norm depends on how many numbers each input has."""
        return False

    def is_proportional(self, norm: Norm) -> bool:  # noqa: ARG002 - for those that do
        """Return whether the radius in this norm is a multiple of the margin."""
        return not self.integer

    def check_dimension(self, dimension: int) -> None:  # noqa: B027 - most take any
        """Raise where inputs of so many numbers are none that this noise is made for."""

    def radius(
        self,
        margin: npt.ArrayLike,
        *,
        norm: Norm | None = None,
        dimension: int | None = None,
    ) -> FloatArray | IntArray | float | int:
        """Return the radius that a lower limit of the margin certifies, rounded down.

        Parameters
        ----------
        margin : float or array of float
            Lower limit of the noise's own margin (`Noise.margin`) of the certified class over
            its runner-up; −∞ is allowed.
        norm : str or Lp, optional
            How an attack is measured; by default the norm that the noise is made for.
        dimension : int, optional
            How many numbers each input has (a 3×32×32 image: 3,072), for norms that need it.

        Returns
        -------
        float or int, or an array of them
            0 where the margin is not positive; whole numbers if `Noise.integer`.

        Raises
        ------
        ValueError
            If there is no radius in this norm, `dimension` is missing or out of range, or
            `margin` is NaN, ∞, or a difference above 1.
        TypeError
            If an argument has the wrong type.

        Notes
        -----
        *Guarantee.* Where `margin` is at most the true margin at x, the smoothed classifier
        gives the same class at every input closer to x than the radius (at most that far, for
        whole numbers). Never above the formula's exact value.
        """
        chosen = self.check_norm(norm)
        limits = check_real("margin", margin)
        largest = 1.0 if self.margin == "difference" else float(np.finfo(np.float64).max)
        bad = limits > largest
        if bad.any():
            raise ValueError(f"margin={limits[bad].flat[0]} must be at most {largest:g}")
        size = 1
        if dimension is not None:
            size = check_size("dimension", dimension, 1, _LARGEST_SIZE)
            self.check_dimension(size)
        elif self.needs_dimension(chosen):
            raise ValueError(
                f"dimension=None must be given for norm={str(chosen)!r} under {self.name} noise: "
                "how many numbers each input has"
            )
        positive = np.where(limits >= _LEAST, limits, 0.0)
        if self.integer:
            whole = np.array([self._changes(float(m)) for m in positive.ravel()], dtype=np.int64)
            counts: IntArray = whole.reshape(positive.shape)
            return counts if counts.ndim else int(counts)
        with np.errstate(over="ignore", under="ignore", divide="ignore"):
            raw = self._radius(positive, chosen, size)
            # The largest finite number stands for an overflow; zero stays zero.
            down: FloatArray = np.nextafter(
                np.minimum(raw, np.finfo(np.float64).max) * _SHRINK, 0.0
            )
        down = np.where((positive > 0.0) & (raw >= _LEAST), down, 0.0)
        return down if down.ndim else float(down)

    def _radius(self, margin: FloatArray, norm: Norm, dimension: int) -> FloatArray:
        """Return the radius of margins that are not negative, in nearly exact arithmetic."""
        raise NotImplementedError

    def _changes(self, margin: float) -> int:
        """Return the radius of a noise whose radii are whole numbers."""
        raise NotImplementedError


def with_all_digits(scale: float) -> float:
    """Return a scale of the noise, 0 where it is so small that it has lost digits."""
    return scale if scale >= _LEAST else 0.0


def _hint(noise: type[Noise], norm: Norm) -> str:
    """Return that another noise has a radius in this norm, or nothing."""
    fits = noise.every_power if isinstance(norm, Lp) else norm in noise.norms
    return f"{noise.__name__} has one" if fits else ""
