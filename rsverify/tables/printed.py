"""Which real numbers a printed radius can stand for.

A text such as ``0.120`` says more than the number 0.12: it was printed with three decimals.
What is known of a whole table is kept as a `RadiusFormat`, so that it survives the
conversion to numbers; the interval of one radius follows from it and from its own digits.
Every step of the last digit used here is at least as large as the one that was printed
with, so the intervals may be too wide but not too narrow.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy.special import bdtrc

from rsverify._core.check import FloatArray
from rsverify._core.decimals import EXACT

FORMAT_KEY = "radius_format"
"""Where a table that was read keeps its `RadiusFormat`, among `DataFrame.attrs`."""

_NUMBER = re.compile(r"\s*\+?(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d+))?\s*")
# Fewer rows than this do not tell whether a short number is one whose zeros were dropped.
_ROWS_THAT_TELL = 30
# Of numbers that drop zeros one in ten is short by a digit: below this probability another
# tool, with fewer digits, printed some of them.
_UNLIKELY = 1e-4
# Below this one radii were rounded before they were printed.
_ROUNDED_BEFORE = 1e-8
# Float32 values print with at most 9 digits; with more, they are printed as float64.
_FLOAT32_DIGITS = 9
_FLOAT32_BITS = 24
# So close to a number of so many digits, in units in the last place of a float64, is one of a
# few thousand others by chance; then more is lost of it than need be.
_SHORT_DIGITS = 10
_ULPS = 32
# bfloat16 and float16; their values are short in binary and long in decimal.
_SHORT_BITS = (8, 11)
_LONG_DIGITS = 6
_LEAST_FLOAT16 = 2.0**-24  # the step of the smallest ones
# Relative error of a radius as others compute it, with scipy's beta and normal quantiles.
_COMPUTED = 1e-9


@dataclass(frozen=True)
class RadiusFormat:
    """How the radii of a table were printed, as far as all of its texts tell."""

    decimals: int = 0
    """Every radius shows at least so many decimals."""
    digits: int = 1
    """Every radius shows at least so many significant digits."""
    full: tuple[int, int] | None = None
    """Most decimals and most significant digits, where shorter radii are shorter only because
    their last zeros were dropped; None where that is not known."""

    @classmethod
    def of_texts(cls, texts: Iterable[str]) -> Self:
        """Return the format of a table from the texts of its positive, finite radii."""
        shown = [_shown(_first_text(text)) for text in dict.fromkeys(texts)]
        shown = [s for s in shown if s.digits > 0]
        if not shown:
            return cls()
        decimals = [s.decimals for s in shown]
        digits = [s.digits for s in shown]
        full = (max(decimals), max(digits)) if _drop_zeros(shown) else None
        return cls(decimals=min(decimals), digits=min(digits), full=full)

    @classmethod
    def of_numbers(cls, radii: FloatArray) -> Self:
        """Return the format of positive radii whose texts are lost, but for zeros at the end."""
        return cls.of_texts(map(repr, radii.tolist()))

    @classmethod
    def from_attributes(cls, attributes: Mapping[object, object]) -> Self | None:
        """Return the format that was kept among the attributes of a table, or None."""
        kept = attributes.get(FORMAT_KEY)
        if not isinstance(kept, Mapping):
            return None
        full = kept["full"]
        return cls(kept["decimals"], kept["digits"], None if full is None else tuple(full))

    def to_attributes(self) -> dict[str, object]:
        """Return what `from_attributes` reads, of JSON types."""
        kept = asdict(self)
        return {FORMAT_KEY: kept | {"full": None if self.full is None else list(self.full)}}


def printed_intervals(
    radii: FloatArray, shown: RadiusFormat, sigma: float, digits: int | None = None
) -> tuple[FloatArray, FloatArray]:
    """Return the smallest and largest real that prints as each radius.

    Parameters
    ----------
    radii : ndarray of float64
        Positive and finite.
    shown : RadiusFormat
        How the table was printed that they are from.
    sigma : float
        Noise of the radii, whose smallest ones are inaccurate relative to it.
    digits : int, optional
        Significant digits, where they are known; at least as many as each radius shows.

    Returns
    -------
    low, high : ndarray of float64
        Each holds the reals that print as the radius to nearest and rounded down, computed in
        float64 or float32, or in a shorter float where the radii tell that they are.
        0 < low < high.

    Raises
    ------
    ValueError
        If a radius shows more than `digits` digits.
    """
    exact = [Decimal(_first_text(repr(r))).normalize(EXACT) for r in radii.tolist()]
    length = np.array([len(r.as_tuple().digits) for r in exact], dtype=np.int64)
    if digits is not None and digits < length.max(initial=1):
        raise ValueError(
            f"digits={digits} must be at least {length.max(initial=1)}, the digits of a radius"
        )
    # adjusted() is the exponent of the leading digit.
    leading = np.array([r.adjusted() for r in exact], dtype=np.int64)
    if digits is None:
        printed = _last_place(leading, length, shown)
        exponent = _last_that_tells(radii, leading, leading - length + 1, printed)
    else:
        exponent = leading - digits + 1
    step = 10.0**exponent
    error = np.maximum(_storage_error(radii, length), _COMPUTED * np.maximum(radii, sigma))
    low = np.maximum(radii - 0.5 * step - error, np.finfo(np.float64).smallest_subnormal)
    high = radii + step + error
    own_step = np.asarray(10.0 ** (leading - length + 1), dtype=np.float64)
    for bits in _SHORT_BITS:
        short = _short_float_interval(radii, own_step, bits)
        if short is not None:
            return np.minimum(low, short[0]), np.maximum(high, short[1])
    return low, high


def _short_float_interval(
    radii: FloatArray, step: FloatArray, bits: int
) -> tuple[FloatArray, FloatArray] | None:
    """Return the reals that a short float stands for, None unless all radii tell that they are.

    The shortest texts of such floats have fewer digits than they stand for: 0.5103 is all of
    0.5100 to 0.5105 in float16. Other radii fall beside one by chance, each with probability
    step/unit, so that a few of them tell nothing.
    """
    unit = np.maximum(np.ldexp(1.0, np.frexp(radii)[1] - bits), _LEAST_FLOAT16)
    stored = np.rint(radii / unit) * unit
    if not (np.abs(stored - radii) <= 0.5 * step * (1 + 1e-9)).all():
        return None
    _, first = np.unique(radii, return_index=True)
    if np.minimum(step[first] / unit[first], 1.0).prod() > _UNLIKELY:
        return None
    low = np.maximum(stored - 0.5 * unit * (1 + 1e-6), np.finfo(np.float64).smallest_subnormal)
    return low, stored + unit


def largest_printed(radius: float, radii: FloatArray, shown: RadiusFormat, sigma: float) -> float:
    """Return what no printed radius exceeds where none of those computed exceeds `radius`.

    Of those given, the largest that could have been printed of a radius not above.
    """
    candidates = radii[np.isfinite(radii) & (radii > radius)]
    low, _ = printed_intervals(candidates, shown, sigma)
    return float(candidates[low <= radius].max(initial=radius * (1.0 + _COMPUTED)))


def _last_place(
    leading: npt.NDArray[np.int64], length: npt.NDArray[np.int64], shown: RadiusFormat
) -> npt.NDArray[np.int64]:
    """Return the exponent of the last digit that was printed of each radius, or a larger one."""
    own = leading - length + 1
    last: npt.NDArray[np.int64] = np.minimum(own, -shown.decimals)
    last = np.minimum(last, leading - shown.digits + 1)
    if shown.full is not None:
        decimals, digits = shown.full
        last = np.minimum(last, np.maximum(-decimals, leading - digits + 1))
    return last


def _last_that_tells(
    radii: FloatArray,
    leading: npt.NDArray[np.int64],
    own: npt.NDArray[np.int64],
    printed: npt.NDArray[np.int64],
) -> npt.NDArray[np.int64]:
    """Return the exponent of the last digit that tells something, as radii may be rounded twice.

    Of digits that tell something one in ten is a zero at the end, one in a hundred are two, …
    Where more are, some of the radii were rounded before they were printed, and nobody knows
    which, nor whether to decimals or to digits: all are taken to be, to what is usual of both.
    """
    _, first = np.unique(radii, return_index=True)
    last, lost, digits = printed, 0, 0
    while _have_more_zeros((own - last)[first], _ROUNDED_BEFORE):
        lost += 1
        short = first[(own - printed)[first] >= lost]
        last = np.maximum(printed + lost, _usual(own[short]))
        digits = _usual((leading - own)[short])
    # One place more for the numbers that have a digit more before the point.
    return last if lost == 0 else np.maximum(last, np.minimum(leading - digits, last + 1))


def _usual(numbers: npt.NDArray[np.int64]) -> int:
    values, times = np.unique(numbers, return_counts=True)
    return int(values[times.argmax()])


def _storage_error(radii: FloatArray, length: npt.NDArray[np.int64]) -> FloatArray:
    """Return how far each number may be from the radius that was computed, before printing."""
    mantissa, exponent = np.frexp(radii)
    single = np.ldexp(1.0, exponent - _FLOAT32_BITS)
    is_single = np.ldexp(mantissa, _FLOAT32_BITS) % 1 == 0
    # A few digits may be those of a float32 next to the radius. Of many digits those of a
    # float32 tell themselves: they are rounded to its width, half a step away.
    error = np.where(is_single, 0.5 * single * (1 + 1e-6), 0.0)
    error = np.where(length > _FLOAT32_DIGITS, error, single)
    if length.max(initial=0) >= _LONG_DIGITS:
        for bits in _SHORT_BITS:
            if (np.ldexp(mantissa, bits) % 1 == 0).all():
                step = np.maximum(np.ldexp(1.0, exponent - bits), _LEAST_FLOAT16)
                return np.asarray(np.maximum(error, step))
    return np.asarray(error)


@dataclass(frozen=True)
class _Shown:
    """What one text shows: decimals, significant digits, whether it ends in a kept zero."""

    decimals: int
    digits: int
    keeps_zero: bool


def _first_text(text: str) -> str:
    """Return the text of a number before it became a float32, or a product, printed in full.

    1.1790000200271606 is what a float64 shows of the float32 that is nearest to 1.179, and
    0.9590000000000001 is 959 · 0.001.
    """
    value = float(text)
    if len(re.sub(r"[eE].*|\D", "", text).strip("0")) > _FLOAT32_DIGITS:
        with np.errstate(over="ignore"):
            single = np.float32(value)
        if float(single) == value:
            return str(single)
        short = f"{value:.{_SHORT_DIGITS}g}"
        if abs(float(short) - value) <= _ULPS * np.spacing(value):
            return short
    return text


def _shown(text: str) -> _Shown:
    found = _NUMBER.fullmatch(text)
    if found is None:
        raise ValueError(f"radius={text!r} must be a decimal number")
    whole, fraction, exponent = found[1], found[2] or "", int(found[3] or 0)
    # A single zero after the point is how Python shows a whole number.
    if fraction == "0":
        fraction = ""
    significant = (whole + fraction).lstrip("0")
    return _Shown(
        decimals=len(fraction) - exponent,
        digits=len(significant),
        keeps_zero=len(fraction) > 1 and fraction.endswith("0"),
    )


def _drop_zeros(shown: Sequence[_Shown]) -> bool:
    """Return whether radii are short about as often as zeros at the end are dropped."""
    if len(shown) < _ROWS_THAT_TELL or any(s.keeps_zero for s in shown):
        return False
    return any(
        _are_short_by_chance(np.array(lengths))
        for lengths in ([s.digits for s in shown], [s.decimals for s in shown])
    )


def _are_short_by_chance(lengths: npt.NDArray[np.int64]) -> bool:
    missing = lengths.max() - lengths
    return not _have_more_zeros(missing, _UNLIKELY, most=3)


def _have_more_zeros(
    zeros: npt.NDArray[np.int64], unlikely: float, most: int | None = None
) -> bool:
    """Return whether numbers of zeros at the end are more than digits end in by chance."""
    largest = int(zeros.max(initial=0)) if most is None else most
    whole = (zeros >= 0).sum()  # others have digits beyond
    return any(
        bdtrc((zeros >= k).sum() - 1, whole, 10.0**-k) < unlikely for k in range(1, largest + 1)
    )
