"""Numbers as decimals, exactly: whatever decimal context, traps included, the caller has set."""

from __future__ import annotations

from decimal import MAX_EMAX, MIN_EMIN, ROUND_FLOOR, Context, Decimal

# More digits than a sum of two floats has, written out.
EXACT = Context(prec=2500, rounding=ROUND_FLOOR, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[])


def exactly(value: float) -> Decimal:
    """Return the decimal that a float is."""
    return Decimal.from_float(float(value))


def fixed(value: float, places: int, rounding: str = ROUND_FLOOR) -> str:
    """Return so many decimal places of a finite number, rounded as asked; no negative zero.

    Parameters
    ----------
    value : float
        A finite number.
    places : int
        Number of decimal places, not negative.
    rounding : str
        One of the constants of `decimal`.

    Examples
    --------
    >>> from decimal import ROUND_CEILING
    >>> from rsverify._core.decimals import fixed
    >>> fixed(0.123456, 3), fixed(0.123456, 3, ROUND_CEILING), fixed(1e23, 1), fixed(-0.0, 1)
    ('0.123', '0.124', '99999999999999991611392.0', '0.0')
    """
    step = Decimal((0, (1,), -places))
    found = exactly(value + 0.0).quantize(step, rounding=rounding, context=EXACT)
    return f"{found if found else found.copy_abs():f}"
