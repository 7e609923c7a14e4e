"""Numbers as they are shown: never rounded to what they are not."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rsverify import certify_counts
from rsverify._core.text import complement_text, number_text
from tests.support.screens import folder_of_files, show


@given(st.floats(allow_nan=False))
def test_a_text_is_read_as_the_number(value: float) -> None:
    assert float(number_text(value)) == value
    assert number_text(np.float64(value)) == number_text(value)


@pytest.mark.parametrize(
    ("value", "text"), [(0.25, "0.25"), (2.0, "2"), (1e-7, "1e-07"), (0.1 + 0.2, repr(0.1 + 0.2))]
)
def test_no_more_digits_than_are_needed(value: float, text: str) -> None:
    assert number_text(value) == text


@given(st.floats(1e-18, 0.5, exclude_min=True))
def test_a_complement_is_exact(alpha: float) -> None:
    written = Fraction(number_text(alpha))
    assert Fraction(complement_text(alpha)) == 1 - written < 1
    assert Fraction(complement_text(alpha, of=100)) == 100 - 100 * written


def test_no_screen_promises_certainty() -> None:
    """1 − 1e-7 is not 1, nor is a limit at that level one of 100 %."""
    with folder_of_files():
        out = show("bound 60 25 --y 0 --alpha 1e-7 --sigma 0.123456789").out
        assert "with probability at least 0.9999999. Use one" in out.replace("\n", " ")
        out = show("analyze strict.tsv --alpha 1e-7 --radii 0.1234567,0.1234568").out
        assert "with 99.99999 % confidence intervals" in out
        assert "with probability 0.9999999 separately" in out.replace("\n", " ")
        assert "at 0.1234567 " in out
        assert "at 0.1234568 " in out
        out = show(
            "plan --probabilities 0.9,0.1 --sigma 0.123456789 --target-radius 0.1234567 "
            "--n 100 --alpha 0.00123456789"
        ).out
        for number in ("0.1234567", "gaussian:0.123456789", "alpha=0.00123456789"):
            assert number in out


def test_a_certificate_shows_its_own_level_and_noise() -> None:
    found = certify_counts([990, 10], sigma=0.123456789, alpha=0.00123456789, y=0, bound="cohen")
    for text in (str(found), found._repr_html_()):
        assert "0.00123456789" in text
        assert "0.123456789" in text
