r"""Gaussian and Laplace noise rounded to a lattice, drawn by integers: sound on a computer.

Let h be the step of a lattice, Q rounding to it, and f any function of lattice points. The
classifier f∘Q smoothed by exact noise is g(x) = argmax_k P(f(Q(x + ε)) = k), a smoothed
classifier like any other: radii hold for it at all real x. At a lattice point hj,
Q(hj + ε) = h(j + K), where the K are independent integers with

    P(K = k) = F((k + ½)h/σ) − F((k − ½)h/σ),

whatever j is; F is the distribution function of the noise of scale 1. So K is drawn as an
integer, j + K is exact, and the model is given float(h(j + K)), a function of that integer
alone. No step rests on the distribution or the rounding of floating-point noise, which a
classifier can tell apart by its low bits [1]_.

**Exactness.** The distribution of K is split into integers over 2⁶³, each at most 2⁶³ P(K = k), and
a rest ρ of 10⁻¹⁸ to 10⁻¹⁵. An alias table draws the former exactly from 63 fair bits; where the
rest is hit, K comes from the conditional distribution of the rest, from one further word a draw.
What remains is that a draw hits the rest twice, and the rounding of the rest's own table: together
less than `EXCESS` in total variation for a whole sample, or sampling refuses to start. What
is assumed is that the generator's bits are fair and independent.

References
----------
.. [1] Voráček and Hein, *Sound randomized smoothing in floating-point arithmetic*, ICLR 2023.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from numbers import Rational
from typing import ClassVar, Literal

import mpmath
import torch

from rsverify import noise
from rsverify._core.check import check_scale, shown
from rsverify.smoothing.noise.alias import WORD_BITS, AliasTable, fill_words
from rsverify.smoothing.noise.sampler import Sampler, draws_per_block

__all__ = ["DiscreteGaussian", "DiscreteLaplace", "total_variation"]

EXCESS = 1e-12
"""Total variation between the distribution of a whole sample and the exact one, at most."""

# Outcomes end at so many scales: beyond lies less than 2e-38 a coordinate.
_REACH = {"gaussian": 13, "laplace": 88}
# At most two seconds of erfc, and of exp, in 40 digits.
_LARGEST_OUTCOME = {"gaussian": 2**15, "laplace": 2**17}
_DIGITS = 40

LawName = Literal["gaussian", "laplace"]


class _OnLattice(Sampler):
    """Noise of one scale rounded to the multiples of a lattice."""

    law: ClassVar[LawName]
    parameter: ClassVar[str]
    excess = EXCESS

    def __init__(self, scale: float, lattice: Fraction | float) -> None:
        self._scale = check_scale(self.parameter, scale)
        self.lattice = _fraction(lattice)
        steps = Fraction(self._scale) / self.lattice
        most = _LARGEST_OUTCOME[self.law] // _REACH[self.law]
        if steps * _REACH[self.law] > _LARGEST_OUTCOME[self.law]:
            shown_steps = float(min(steps, Fraction(10**18)))  # more might be beyond all floats
            raise ValueError(
                f"{self.parameter}={self._scale:g} is {shown_steps:.0f} steps of "
                f"lattice={self.lattice}; it must be at most {most}: choose a coarser lattice"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.parameter}={self._scale:g}, lattice={self.lattice})"

    def center(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return x in steps, integers held in `dtype`, or raise where it is off the lattice.

        A value counts as on the lattice if it is a lattice point but for the rounding of its
        own type or of float32, as ``k / 255`` and ``k * (1 / 255)`` are.
        """
        step, values = float(self.lattice), x.double()
        steps = (values / step).round()
        size = 1.5 * values.abs().clamp(min=step)
        own = size * torch.finfo(x.dtype).eps
        single = (size * torch.finfo(torch.float32).eps).clamp(max=step / 256)
        if bool((own > step / 2).any()):
            raise ValueError(
                f"x of dtype {x.dtype} is too coarse to tell points of lattice={self.lattice} "
                "apart; give it in a wider type"
            )
        off = (steps * step - values).abs() > torch.maximum(own, single)
        if bool(off.any()):
            raise ValueError(
                f"x holds {float(values[off][0])!r}, which is not a multiple of "
                f"lattice={self.lattice}; round it first: torch.round(x / h) * h with h={step!r}"
            )
        # The largest integer below which all are exact, with room for the numerator.
        largest = (2 / torch.finfo(dtype).eps) / self.lattice.numerator
        reach = float(steps.abs().max()) + _table(self._scale, self.lattice, self.law).largest
        if reach > largest:
            raise ValueError(
                f"x reaches {reach:.0f} steps of lattice={self.lattice} from 0 with its noise, "
                f"more than the {largest:.0f} that {dtype} holds exactly; use dtype=torch.float64"
            )
        return steps.to(dtype)

    def blocks(
        self,
        shape: Sequence[int],
        n: int,
        *,
        generator: torch.Generator,
        dtype: torch.dtype,
    ) -> Iterator[torch.Tensor]:
        r"""Yield `n` draws of K of the given shape, as integers held in `dtype`.

        The sizes of the blocks follow from `shape`, `n` and the kind of device alone. The
        draws depend on the model of a GPU too; see `seeded_generator`.

        Yields
        ------
        Tensor of shape (b, \*shape)
        """
        numbers, device = math.prod(shape), generator.device
        _check_excess(self, numbers, n)
        main, rest = _on_device(self._scale, self.lattice, device, dtype, self.law)
        per_block = draws_per_block(numbers, n, device)
        words = torch.empty((per_block, *shape), device=device, dtype=torch.int64)
        spares = torch.empty((per_block, *[1] * len(shape)), device=device, dtype=torch.int64)
        for start in range(0, n, per_block):
            draws = main.look_up(fill_words(words[: n - start], generator))
            spare = rest.look_up(fill_words(spares[: n - start], generator))
            yield torch.where(draws.isnan(), spare, draws)

    def add(self, center: torch.Tensor, draws: torch.Tensor, out: torch.Tensor) -> None:
        """Write float(h(j + K)) to `out`: the float nearest to the lattice point."""
        torch.add(center, draws, out=out)
        if self.lattice.numerator != 1:
            out.mul_(self.lattice.numerator)
        # By a tensor: by a plain number, CUDA multiplies with a rounded reciprocal.
        out.div_(out.new_full((), self.lattice.denominator))


class DiscreteGaussian(_OnLattice):
    """N(0, sigma²) noise rounded to the multiples of `lattice`.

    Parameters
    ----------
    sigma : float
        Standard deviation of the Gaussian before rounding, in input units.
    lattice : Fraction or float
        Step of the lattice that inputs lie on, in input units: ``1/255`` for images of 8
        bits in [0, 1]. A float stands for the simplest fraction that it is the nearest float
        of. A finer lattice that contains the inputs, ``1 / (255 * 16)`` say, will do as well.

    Raises
    ------
    ValueError
        If an argument is out of range, `lattice` is not a fraction with numerator and
        denominator of at most 2²⁰, or sigma is more than 2,520 steps.
    TypeError
        If an argument has the wrong type.

    Examples
    --------
    >>> from rsverify.smoothing.noise.discrete import DiscreteGaussian
    >>> DiscreteGaussian(0.25, 1 / 255)
    DiscreteGaussian(sigma=0.25, lattice=1/255)
    """

    law = "gaussian"
    parameter = "sigma"

    def __init__(self, sigma: float, lattice: Fraction | float) -> None:
        super().__init__(sigma, lattice)

    @property
    def sigma(self) -> float:
        """The standard deviation before rounding."""
        return self._scale

    @property
    def distribution(self) -> noise.Gaussian:
        """The noise before rounding."""
        return noise.Gaussian(self._scale)


class DiscreteLaplace(_OnLattice):
    """Laplace noise rounded to the multiples of `lattice`.

    Parameters
    ----------
    scale : float
        Scale of the Laplace noise before rounding, in input units, at most 1,489 steps.
    lattice : Fraction or float
        As for `DiscreteGaussian`.

    Raises
    ------
    ValueError, TypeError
        As `DiscreteGaussian`.

    Examples
    --------
    >>> from rsverify.smoothing.noise.discrete import DiscreteLaplace
    >>> DiscreteLaplace(0.25, 1 / 255)
    DiscreteLaplace(scale=0.25, lattice=1/255)
    """

    law = "laplace"
    parameter = "scale"

    @property
    def distribution(self) -> noise.Laplace:
        """The noise before rounding."""
        return noise.Laplace(self._scale)


def _fraction(lattice: object) -> Fraction:
    """Return the lattice's step as a fraction of small denominator."""
    if isinstance(lattice, Rational):
        step = Fraction(lattice)
    elif isinstance(lattice, float):
        if not math.isfinite(lattice):
            raise ValueError(f"lattice={lattice} must be a positive number")
        step = Fraction(lattice).limit_denominator(2**20)
        if float(step) != lattice:
            raise ValueError(
                f"lattice={shown(lattice)} must be a fraction of denominator at most 2**20; give "
                "a fractions.Fraction"
            )
    else:
        raise TypeError(f"lattice={shown(lattice)} must be a fraction or a float, such as 1/255")
    if step <= 0:
        raise ValueError(f"lattice={lattice} must be a positive number")
    if max(step.numerator, step.denominator) > 2**20:
        raise ValueError(f"lattice={step} must have numerator and denominator of at most 2**20")
    return step


@dataclass(frozen=True)
class _Table:
    """The distribution of K as integers over 2⁶³ for k = 0 … largest, and what they leave."""

    largest: int
    main: tuple[int, ...]
    """The integers; the distribution is symmetric."""
    rest: tuple[int, ...]
    """The distribution of what is left, as integers that sum to 2⁶³ over all k."""
    spare: int
    """What is left in all, over 2⁶³."""


@lru_cache(maxsize=8)
def _table(sigma: float, lattice: Fraction, law: LawName = "gaussian") -> _Table:
    largest = math.ceil(_REACH[law] * Fraction(sigma) / lattice)
    with mpmath.workdps(_DIGITS):
        scale = mpmath.mpf(2) ** WORD_BITS
        ratio = mpmath.mpf(lattice.numerator) / lattice.denominator / mpmath.mpf(sigma)
        # Beyond k − ½, k = 0 … largest + 1; what lies beyond is less than 2e-38.
        beyond = [_beyond((k - 0.5) * ratio, law) for k in range(largest + 2)]
        exact = [scale * (a - b) for a, b in pairwise(beyond)]
        # The margin keeps each integer at or below the exact value despite the rounding of mpmath.
        main = [max(0, int(mpmath.floor(p - mpmath.mpf(2) ** -20))) for p in exact]
        left = [p - weight for p, weight in zip(exact, main, strict=True)]
        spare = 2**WORD_BITS - _mirrored_sum(main)
        rest = [int(mpmath.nint(scale * p / spare)) for p in left]
    # Rounding leaves the sum a little off; the likeliest of the rest takes the difference.
    rest[0] += 2**WORD_BITS - _mirrored_sum(rest)
    return _Table(largest, tuple(main), tuple(rest), spare)


def _beyond(place: mpmath.mpf, law: LawName) -> mpmath.mpf:
    """Return the probability that noise of scale 1 is larger than a place."""
    if law == "gaussian":
        # At 1000 erfc is 1e-434297; mpmath has none of 1e200.
        return mpmath.erfc(min(max(place / mpmath.sqrt(2), -1000), 1000)) / 2
    # At 2000 the exponential is 1e-869.
    half = mpmath.exp(-min(abs(place), 2000)) / 2
    return half if place >= 0 else 1 - half


def _mirrored_sum(half: Sequence[int]) -> int:
    return 2 * sum(half) - half[0]


def _mirrored(half: Sequence[int]) -> list[int]:
    return [*reversed(half[1:]), *half]


@lru_cache(maxsize=8)
def _on_device(
    sigma: float,
    lattice: Fraction,
    device: torch.device,
    dtype: torch.dtype,
    law: LawName = "gaussian",
) -> tuple[AliasTable, AliasTable]:
    """Return the alias tables of the main part, whose NaN stands for the rest, and of the rest."""
    table = _table(sigma, lattice, law)
    ks = [float(k) for k in range(-table.largest, table.largest + 1)]
    main = AliasTable.of(
        [*_mirrored(table.main), table.spare], [*ks, math.nan], device=device, dtype=dtype
    )
    return main, AliasTable.of(_mirrored(table.rest), ks, device=device, dtype=dtype)


def total_variation(drawn: _OnLattice, numbers: int, n: int) -> float:
    """Return a bound on the total variation of n draws from their exact distribution.

    A draw is exact unless two of its numbers hit the rest, of probability at most
    (numbers · ρ)²/2, or one does and the rest's own table is off. Its 2 · largest + 1 integers
    over 2⁶³ are within ½ of exact, but for the one that takes up their sum: together less
    than (2 · largest + 1)/2⁶³ in total variation.
    """
    table = _table(drawn._scale, drawn.lattice, drawn.law)
    hit = numbers * table.spare / 2.0**WORD_BITS
    outcomes = 2 * table.largest + 1
    tail = 1e-37 * numbers
    # Evaluated in floats: a relative 1e-9 covers their rounding.
    return n * (hit * hit / 2 + hit * outcomes / 2.0**WORD_BITS + tail) * (1 + 1e-9)


def _check_excess(drawn: _OnLattice, numbers: int, n: int) -> None:
    error = total_variation(drawn, numbers, n)
    if error > EXCESS:
        raise ValueError(
            f"n={n} draws of {numbers} numbers on lattice={drawn.lattice} are exact within "
            f"{error:.2g} only, beyond {EXCESS:g}; take a coarser lattice or a smaller n"
        )
