"""Decimals are exact whatever decimal context the caller has set."""

from __future__ import annotations

import decimal
from decimal import Context, localcontext
from fractions import Fraction

import pandas as pd
import pytest

from rsverify import certify_counts
from rsverify._core.decimals import fixed
from rsverify._core.text import complement_text, number_text
from rsverify.certificates.display import limit_text
from rsverify.certificates.radius import round_down_digits
from rsverify.tables.recertify_radii import InconsistentRadiiWarning, recertify_radii
from rsverify.tables.schema import table_row

CONTEXTS = {
    "two digits": Context(prec=2),
    "one digit, up": Context(prec=1, rounding=decimal.ROUND_UP),
    "floats trapped": Context(traps=[decimal.FloatOperation]),
    "all trapped": Context(traps=list(decimal.getcontext().flags)),
    "small exponents": Context(Emax=2, Emin=-2),
    "nothing trapped": Context(prec=3, traps=[]),
}


def everything() -> list[object]:
    """Return what passes through decimals."""
    table = pd.DataFrame({"label": 0, "predict": 0, "radius": ["0.1234", "0.234567", "1.1438"]})
    with pytest.warns(InconsistentRadiiWarning):
        found = recertify_radii(table, n=100_000, sigma=0.5, stated_alpha=0.0007, force=True)
    certificate = certify_counts([900, 100], sigma=0.25, alpha=0.001, y=0)
    return [
        found[["votes", "radius"]].to_numpy().tolist(),
        str(certificate),
        table_row(0, 0, certificate)["radius"],
        round_down_digits(0.123456789, 7),
        limit_text(0.123456789),
        limit_text(123456.789, upper=True),
        complement_text(1e-7),
        complement_text(0.05, of=100),
    ]


@pytest.mark.parametrize("name", CONTEXTS)
def test_the_context_of_the_caller_makes_no_difference(name: str) -> None:
    plain = everything()
    with localcontext(CONTEXTS[name]) as context:
        context.clear_flags()
        assert everything() == plain
        assert not any(context.flags.values())


@pytest.mark.parametrize("value", [0.0, 1e23, 1.7e308, 5e-324, 0.1, 2 / 3, 123456.789012345])
@pytest.mark.parametrize("places", [0, 3, 6, 40])
def test_limits_of_every_size_are_rounded_outward(value: float, places: int) -> None:
    for number in (value, -value):
        low, high = (
            Fraction(fixed(number, places, rounding))
            for rounding in (decimal.ROUND_FLOOR, decimal.ROUND_CEILING)
        )
        assert low <= Fraction(number) <= high
        assert high - low <= Fraction(1, 10**places)
    text = limit_text(value).replace("−", "-")
    assert 0 <= Fraction(value) - Fraction(text) < Fraction(1, 10**6)


@pytest.mark.parametrize("alpha", [1e-30, 1e-100, 5e-324, 0.999999])
def test_no_digit_of_a_level_is_lost(alpha: float) -> None:
    assert 1 - Fraction(complement_text(alpha)) == Fraction(number_text(alpha))
    assert 100 - Fraction(complement_text(alpha, of=100)) == 100 * Fraction(number_text(alpha))
