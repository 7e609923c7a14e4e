r"""Uniform and splitting noise, drawn in integers: exact on a computer, on a fine lattice.

Let λ be the half-width and h = λ·2⁻⁴⁰ the step of a lattice, to which an input is rounded first:
each of its numbers moves by at most h/2, and by nothing if λ is a power of two and the input was
computed in float32 and is no finer than h. Certificates are about the rounded input hj; at all
real points around it. Nothing is paid out of alpha.

**Uniform.** Let Q be rounding to the lattice, and f the model on lattice points. The classifier
smoothed by exact uniform noise is g(x) = argmax_k P(f(Q(x + U)) = k). At x = hj, with L = 2⁴⁰,

    Q(hj + U) = h(j + K),   P(K = k) = 1/(2L) for |k| < L, and 1/(4L) for k = ±L,

so K = ⌊(R + 1)/2⌋ − L, where R has the 42 leading bits of a word. The model is given
float(h(j + K)), a function of the integer j + K alone.

**Splitting.** A shift s, uniform on [0, 2λ), cuts the line at s + 2λi. Which cell x = hj lies in is
the same for all s in [ih, (i + 1)h), if cells hold their right ends alone, so that s = ih with i
of 41 bits gives the cells their exact probabilities. The model is given the middle of the cell,
cut to [0, 1], a function of i and the cell alone.

Floats that are drawn and added have neither: ``torch.rand`` is on a grid of 2⁻²⁴, and the sum with
an input is on another grid for each input, so that a model which sees low bits tells inputs apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from rsverify.noise import Splitting, Uniform
from rsverify.smoothing.device import has_float64
from rsverify.smoothing.noise.alias import WORD_BITS
from rsverify.smoothing.noise.sampler import Sampler
from rsverify.smoothing.noise.words import blocks_of_words

_BITS = 40
"""A half-width has two to this many steps of the lattice."""
_REACH = 2.0**20  # half-widths: then all integers are below 2^61


class _OnFineLattice(Sampler):
    """Noise whose half-width is 2⁴⁰ steps of a lattice."""

    def __init__(self, half_width: float) -> None:
        self._half_width = half_width
        self._step = math.ldexp(half_width, -_BITS)
        if not 1e-30 <= half_width <= 1e30:
            raise ValueError(
                f"half_width={half_width:g} must be between 1e-30 and 1e30 to be drawn: give "
                "inputs in another unit"
            )

    def center(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return `x` in `dtype`, or raise where it is too far from 0."""
        farthest = float(x.abs().max())
        if not farthest <= _REACH * self._half_width:
            raise ValueError(
                f"x reaches {farthest:g}; it must be within {_REACH:g} half-widths, "
                f"{_REACH * self._half_width:g}, of 0"
            )
        return x.to(dtype)

    def _steps(self, center: torch.Tensor) -> torch.Tensor:
        """Return the input in steps of the lattice, int64."""
        return (center.to(_widest(center.device)) / self._step).round().to(torch.int64)

    def _in_units(self, steps: torch.Tensor) -> torch.Tensor:
        """Return integers times the step."""
        return steps.to(_widest(steps.device)).mul_(self._step)


class UniformSampler(_OnFineLattice):
    """Uniform noise on [−λ, λ], rounded to λ·2⁻⁴⁰."""

    def __init__(self, distribution: Uniform) -> None:
        super().__init__(distribution.half_width)
        self._distribution = distribution

    @property
    def distribution(self) -> Uniform:
        """The noise before rounding."""
        return self._distribution

    def blocks(
        self,
        shape: Sequence[int],
        n: int,
        *,
        generator: torch.Generator,
        dtype: torch.dtype,  # noqa: ARG002 - integers
    ) -> Iterator[torch.Tensor]:
        """Yield `n` draws of K, in steps."""
        for words in blocks_of_words(shape, n, generator):
            halves = words.bitwise_right_shift_(WORD_BITS - _BITS - 2)
            yield halves.add_(1).bitwise_right_shift_(1).sub_(2**_BITS)

    def add(self, center: torch.Tensor, draws: torch.Tensor, out: torch.Tensor) -> None:
        """Write float(h(j + K)) to `out`."""
        out.copy_(self._in_units(self._steps(center) + draws))


class SplittingSampler(_OnFineLattice):
    """Splitting noise: the middle of the cell in which each number falls."""

    def __init__(self, distribution: Splitting) -> None:
        super().__init__(distribution.half_width)
        if distribution.half_width < 2.0**-20:
            raise ValueError(
                f"half_width={distribution.half_width:g} must be at least 2**-20, about 1e-6"
            )
        self._distribution = distribution

    @property
    def distribution(self) -> Splitting:
        """The noise."""
        return self._distribution

    def center(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return `x` in `dtype`, or raise where it is outside [0, 1]."""
        if float(x.min()) < 0.0 or float(x.max()) > 1.0:
            raise ValueError(
                f"x from {float(x.min()):g} to {float(x.max()):g} must be in [0, 1] for splitting "
                "noise, whose cells are cut there: scale it"
            )
        return x.to(dtype)

    def blocks(
        self,
        shape: Sequence[int],
        n: int,
        *,
        generator: torch.Generator,
        dtype: torch.dtype,  # noqa: ARG002 - integers
    ) -> Iterator[torch.Tensor]:
        """Yield `n` draws of the shifts, in steps."""
        for words in blocks_of_words(shape, n, generator):
            yield words.bitwise_right_shift_(WORD_BITS - _BITS - 1)

    def add(self, center: torch.Tensor, draws: torch.Tensor, out: torch.Tensor) -> None:
        """Write the middles of the cells to `out`."""
        cell = (self._steps(center) - draws).sub_(1).bitwise_right_shift_(_BITS + 1)
        lower = cell.bitwise_left_shift_(_BITS + 1).add_(draws)
        upper = self._in_units(lower + 2 ** (_BITS + 1)).clamp_(max=1.0)
        out.copy_(self._in_units(lower).clamp_(min=0.0).add_(upper).mul_(0.5))

    def clean(self, center: torch.Tensor, out: torch.Tensor) -> None:
        """Write the input to `out`."""
        out.copy_(center)


def _widest(device: torch.device) -> torch.dtype:
    return torch.float64 if has_float64(device) else torch.float32
