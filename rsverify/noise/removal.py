"""Noise that hides entries or drops tokens: radii in numbers of changes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import mpmath

from rsverify._core.check import check_fraction, check_number, check_size
from rsverify.noise.base import Noise

__all__ = ["Ablation", "Deletion"]

_NEAR = 1e-14  # relative: two logarithms and a division in floats are off by less
_DIGITS = 60
_LARGEST_EXACT = 10_000  # the exact numbers of more may have too many digits to be quick
_MOST_TIES = 1100


@dataclass(frozen=True)
class Ablation(Noise):
    r"""All but `keep` of `of` entries, chosen uniformly, are hidden from the model.

    Parameters
    ----------
    keep : int
        How many entries the model sees, 1 to `of` − 1.
    of : int
        How many entries an input has. Entries are what an attack changes at a time: pixels (not
        their three colors), words.

    Raises
    ------
    ValueError
        If a number is out of range.
    TypeError
        If a number is not an integer.

    Notes
    -----
    The largest ρ with 2(1 − C(d − ρ, k)/C(d, k)) < p_y − p_j, k of d entries kept [1]_, in exact
    integers. An attack may change any ρ entries to anything. What the model sees in the place of
    hidden entries must not depend on them; a value that no entry takes tells it which they are.

    References
    ----------
    .. [1] Levine and Feizi, *Robustness certificates for sparse adversarial attacks by randomized
       ablation*, AAAI 2020.

    Examples
    --------
    >>> from rsverify.noise import Ablation
    >>> Ablation(keep=45, of=784).radius([0.2, 0.95])
    array([ 1, 10])
    """

    name = "ablation"
    norms = ("l0",)
    integer = True
    margin = "difference"

    keep: int
    of: int

    def __init__(self, keep: int, of: int) -> None:
        total = int(check_size("of", of, 2, 10**7))
        object.__setattr__(self, "of", total)
        object.__setattr__(self, "keep", int(check_size("keep", keep, 1, total - 1)))

    @property
    def parameters(self) -> tuple[float, ...]:
        """How many are kept, of how many."""
        return (self.keep, self.of)

    def _changes(self, margin: float) -> int:
        low, high = 0, self.of  # at `of` changes nothing of the input is left: 2 > margin
        while high - low > 1:
            middle = (low + high) // 2
            if self._is_certified(middle, margin):
                low = middle
            else:
                high = middle
        return low

    def _is_certified(self, changed: int, margin: float) -> bool:
        """Return whether so many changes are seen with a probability below half the margin."""
        if self.of > _LARGEST_EXACT:
            with mpmath.workdps(_DIGITS):
                apart = 1 - mpmath.mpf(margin) / 2 - _unseen(self.keep, self.of, changed)
                if abs(apart) > mpmath.mpf(10) ** (20 - _DIGITS):
                    return bool(apart < 0)
        numerator, denominator = margin.as_integer_ratio()
        lost, total = _seen(self.keep, self.of, changed)
        return 2 * lost * denominator < numerator * total


def _unseen(keep: int, of: int, changed: int) -> mpmath.mpf:
    """Return the probability that no changed entry is seen, at the precision of the caller."""
    if changed > of - keep:
        return mpmath.mpf(0)
    parts = (of - changed, of - keep), (of - changed - keep, of)
    above, below = (sum(mpmath.loggamma(k + 1) for k in part) for part in parts)
    return mpmath.exp(above - below)


@lru_cache(maxsize=4096)
def _seen(keep: int, of: int, changed: int) -> tuple[int, int]:
    """Return a fraction: of how many choices a changed entry is seen."""
    # C(of - changed, keep) / C(of, keep), the same with `keep` and `changed` swapped.
    few, many = sorted((keep, changed))
    total = math.prod(range(of - few + 1, of + 1))
    return total - math.prod(range(of - many - few + 1, of - many + 1)), total


@dataclass(frozen=True)
class Deletion(Noise):
    r"""Each token of a sequence is dropped with the same probability, independently.

    Parameters
    ----------
    probability : float
        With which a token is dropped, in (0, 1).

    Raises
    ------
    ValueError
        If `probability` is outside (0, 1).
    TypeError
        If `probability` is not a number.

    Notes
    -----
    The largest r with probability^r > 1 − (p_y − p_j)/2, in edit distance: insertions,
    deletions and substitutions [1]_.

    References
    ----------
    .. [1] Huang, Marchant, Lucas, Bauer, Ohrimenko and Rubinstein, *RS-Del: edit distance
       robustness certificates for sequence classifiers via randomized deletion*, NeurIPS 2023.

    Examples
    --------
    >>> from rsverify.noise import Deletion
    >>> Deletion(0.97).radius([0.2, 0.95])
    array([ 3, 21])
    """

    name = "deletion"
    norms = ("edit",)
    integer = True
    margin = "difference"

    probability: float

    def __init__(self, probability: float) -> None:
        value = float(check_number("probability", check_fraction("probability", probability)))
        object.__setattr__(self, "probability", value)

    @property
    def parameters(self) -> tuple[float, ...]:
        """The probability of dropping a token."""
        return (self.probability,)

    def _changes(self, margin: float) -> int:
        quotient = math.log1p(-0.5 * margin) / math.log(self.probability)
        if abs(quotient - round(quotient)) > _NEAR * quotient:
            return math.ceil(quotient) - 1
        return _edits(self.probability, margin)


def _edits(probability: float, margin: float) -> int:
    """Return the largest r with probability^r > 1 − margin/2, exactly.

    Radii are claimed from below and, where sampling stops early, from above: a whole number too few
    would make "radius < target" wrong.
    """
    with mpmath.workdps(_DIGITS):
        quotient = mpmath.log1p(mpmath.mpf(-margin) / 2) / mpmath.log(mpmath.mpf(probability))
        whole = int(mpmath.nint(quotient))
        if abs(quotient - whole) > quotient * mpmath.mpf(10) ** (10 - _DIGITS):
            return int(mpmath.ceil(quotient)) - 1
    # The fractions in lowest terms are equal only where their powers of two are, which for
    # a float's margin end at 2^1075.
    kept = whole <= _MOST_TIES and Fraction(probability) ** whole > 1 - Fraction(margin) / 2
    return max(0, whole if kept else whole - 1)
