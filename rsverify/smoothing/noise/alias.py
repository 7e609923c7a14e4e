"""The alias method [1]_ in integers: a distribution whose probabilities are integers over 2⁶³.

2ᵐ columns share the words 0 … 2⁶³ − 1 evenly. A word's leading m bits name its column; the
column's own outcome comes below its threshold and one other at and above it. Everything is
integer arithmetic, so that uniform words give every outcome its probability exactly.

References
----------
.. [1] Walker, *An efficient method for generating discrete random variables with general
   distributions*, ACM Transactions on Mathematical Software 3, 1977.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache, reduce
from operator import and_, or_

import torch

WORD_BITS = 63
"""How many uniform bits a word has."""

# On these torch fills an int64 with 63 bits (ATen/core/TransformationHelper.h, `uniform_int`);
# of others nothing is said, and MPS draws 32 bits for any integer.
_WHOLE_WORDS = ("cpu", "cuda")
_PART_BITS = 21
_CHECKED_WORDS = 256


def fill_words(words: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Fill an int64 tensor with words that are uniform on 0 … 2⁶³ − 1."""
    check_bits(words.device)
    return _fill(words, generator)


def _fill(words: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    if words.device.type in _WHOLE_WORDS:
        return words.random_(generator=generator)
    words.random_(0, 2**_PART_BITS, generator=generator)
    part = torch.empty_like(words)
    for _ in range(WORD_BITS // _PART_BITS - 1):
        part.random_(0, 2**_PART_BITS, generator=generator)
        words.mul_(2**_PART_BITS).add_(part)
    return words


@lru_cache(maxsize=16)
def check_bits(device: torch.device) -> None:
    """Raise where a word's 63 bits do not each come as 0 and as 1 on a device, or its sign does.

    Fair bits pass but with probability 2 · 63 · 2⁻²⁵⁶.
    """
    drawn = torch.empty(_CHECKED_WORDS, device=device, dtype=torch.int64)
    words = _fill(drawn, torch.Generator(device=device).manual_seed(0)).tolist()
    always, ever = reduce(and_, words), reduce(or_, words)
    if always != 0 or ever != 2**WORD_BITS - 1:
        stuck = bin(always | (ever ^ (2**WORD_BITS - 1))).count("1")
        raise ValueError(
            f"random_ on {device} leaves {stuck} of {WORD_BITS} bits always the same, with torch "
            f"{torch.__version__}: discrete noise cannot be drawn there; use device='cpu'"
        )


@dataclass(frozen=True, eq=False)
class AliasTable:
    """Thresholds of 2ᵐ columns and the two outcomes of each, on one device."""

    shift: int
    """63 − m."""
    thresholds: torch.Tensor
    """int64, shape (2ᵐ,): from this word on the column gives its second outcome."""
    outcomes: torch.Tensor
    """Floating, shape (2 · 2ᵐ,): first and second outcome of each column."""

    @classmethod
    def of(
        cls,
        weights: Sequence[int],
        outcomes: Sequence[float],
        *,
        device: torch.device,
        dtype: torch.dtype,
    ) -> AliasTable:
        """Return the table of the distribution with probabilities weights[i]/2⁶³."""
        if sum(weights) != 2**WORD_BITS or min(weights) < 0:
            raise ValueError("weights must be nonnegative integers that sum to 2**63")
        columns = (len(weights) - 1).bit_length()
        capacity = 2 ** (WORD_BITS - columns)
        first, second = list(range(2**columns)), list(range(2**columns))
        left = [*weights, *[0] * (2**columns - len(weights))]
        poor = [i for i, weight in enumerate(left) if weight < capacity]
        rich = [i for i, weight in enumerate(left) if weight > capacity]
        thresholds = [i * capacity for i in range(2**columns)]
        while poor:
            column, giver = poor.pop(), rich[-1]
            thresholds[column] += left[column]
            second[column] = giver
            left[giver] -= capacity - left[column]
            if left[giver] <= capacity:
                rich.pop()
                if left[giver] < capacity:
                    poor.append(giver)
        # A column never poor holds its own outcome alone, which then is its second one too.
        values = [*outcomes, *[0.0] * (2**columns - len(weights))]
        pairs = [values[i] for pair in zip(first, second, strict=True) for i in pair]
        return cls(
            shift=WORD_BITS - columns,
            thresholds=torch.tensor(thresholds, dtype=torch.int64, device="cpu").to(device),
            outcomes=torch.tensor(pairs, dtype=dtype, device="cpu").to(device),
        )

    def look_up(self, words: torch.Tensor) -> torch.Tensor:
        """Return the outcomes of uniform words, in their shape."""
        flat = words.flatten()
        columns = flat >> self.shift
        second = flat >= self.thresholds.index_select(0, columns)
        return self.outcomes.index_select(0, columns.mul_(2).add_(second)).view(words.shape)
