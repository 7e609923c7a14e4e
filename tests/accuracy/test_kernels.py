"""Every kernel against its reference table; the worst row of each regime is reported.

Run with ``-rP`` to read the worst rows of passing regimes.
"""

from __future__ import annotations

import math
import runpy
from pathlib import Path
from typing import NamedTuple

import mpmath as mp
import pytest

from rsverify.kernels import binomial, special

HERE = Path(__file__).parent
ULP = 2.0**-52


class Row(NamedTuple):
    table: str
    function: str
    regime: str
    args: tuple[float, ...]
    value: mp.mpf


def _number(text: str) -> float:
    return int(text) if text.isdigit() else float(text)


def _read(table: str) -> list[Row]:
    rows = []
    for line in (HERE / f"{table}.tsv").read_text(encoding="utf-8").splitlines():
        function, regime, numbers, value = line.split("\t")
        with mp.workdps(35):
            rows.append(
                Row(table, function, regime, tuple(map(_number, numbers.split())), mp.mpf(value))
            )
    return rows


ROWS = [row for table in ("normal", "binomial", "beta", "limits") for row in _read(table)]

# A tolerance is (c, d): an error of c + d·|log value| units of 2^-52, relative.
# Logarithms: an exponent of size D is itself rounded, to D/2 units at least.
FEW_ULP = (4.0, 0.0)  # compositions of three to five roundings
SADDLE = (12.0, 4.0)  # one exponent of relative error four roundings, two Stirling errors
TOLERANCES = {
    ("norm_pdf", "center"): FEW_ULP,
    ("norm_pdf", "tail"): FEW_ULP,
    ("norm_cdf", "center"): FEW_ULP,
    ("norm_cdf", "tail"): FEW_ULP,
    ("norm_sf", "center"): FEW_ULP,
    ("norm_sf", "tail"): FEW_ULP,
    # The rational functions of AS 241 are good to 1e-16 and evaluated in twenty roundings.
    ("norm_ppf", "center"): FEW_ULP,
    ("norm_ppf", "tail"): FEW_ULP,
    ("norm_isf", "center"): FEW_ULP,
    ("norm_isf", "tail"): FEW_ULP,
    # Half-integers below 15 come down from 15 by one logarithm of absolute error ½ ulp each.
    ("stirling_error", "any"): (8.0, 0.0),  # absolute, see _error
    # The series is entered by v = (x − mean)/(x + mean), squared; the logarithm, beyond
    # |v| = ¼, loses a factor of up to 5 to cancellation.
    ("deviance_term", "any"): (8.0, 0.0),
    ("binomial_pmf", "n to 1e4"): SADDLE,
    ("binomial_pmf", "n to 1e7"): SADDLE,
    ("binomial_pmf", "extreme p"): SADDLE,
    ("binomial_upper_tail", "n to 1e4"): SADDLE,
    ("binomial_upper_tail", "n to 1e7"): SADDLE,
    ("binomial_upper_tail", "extreme p"): SADDLE,
    ("binomial_lower_tail", "n to 1e4"): SADDLE,
    ("binomial_lower_tail", "n to 1e7"): SADDLE,
    ("binomial_lower_tail", "extreme p"): SADDLE,
    # a + b of real arguments is rounded, which the exponent feels a + b ≤ 2000 times.
    ("beta_lower", "real a, b to 1e3"): (30.0, 4.0),
    ("beta_upper", "real a, b to 1e3"): (30.0, 4.0),
    ("beta_lower", "extreme x"): SADDLE,
    ("beta_upper", "extreme x"): SADDLE,
}
# An inverse: the error of the tail's logarithm, about 12 + 2·|log p| units, divided by its
# slope in logit x, which is at least about ½; then a few roundings. |log p| is 18 at most,
# 690 at most, and (of 1 − p) 28 at most in the three regimes. The aim is 1e-12, 4,500 units.
for _inverse in ("beta_lower_inverse", "beta_upper_inverse"):
    for _suffix in ("", "_rest"):
        TOLERANCES[_inverse + _suffix, "alpha above 1e-8"] = (60.0, 0.0)
        TOLERANCES[_inverse + _suffix, "alpha to 1e-300"] = (1500.0, 0.0)
        TOLERANCES[_inverse + _suffix, "alpha near 1"] = (60.0, 0.0)


def _kernel(row: Row) -> float:
    name, rest = row.function.removesuffix("_rest"), row.function.endswith("_rest")
    module = binomial if hasattr(binomial, name) and not hasattr(special, name) else special
    result = getattr(module, name)(*row.args)
    return result[int(rest)] if name.endswith("_inverse") else result


def _error(row: Row) -> float:
    """Return the signed error in units of 2^-52 of the value (absolute for stirling_error)."""
    with mp.workdps(35):
        difference = mp.mpf(float(_kernel(row))) - row.value
        if row.function == "stirling_error":
            return float(difference) / ULP
        if row.value == 0:
            return 0.0 if difference == 0 else math.inf
        return float(difference / abs(row.value)) / ULP


def _rows(function: str, regime: str) -> list[Row]:
    return [row for row in ROWS if (row.function, row.regime) == (function, regime)]


def test_every_row_is_checked() -> None:
    regimes = {(r.function, r.regime) for r in ROWS if r.table != "limits"}
    assert regimes == set(TOLERANCES)


@pytest.mark.parametrize(("function", "regime"), TOLERANCES)
def test_kernel_is_accurate(function: str, regime: str) -> None:
    constant, per_log = TOLERANCES[function, regime]
    worst, worst_row, allowed_there = -1.0, None, 0.0
    for row in _rows(function, regime):
        log_value = abs(float(mp.log(abs(row.value)))) if row.value else 0.0
        allowed = constant + per_log * log_value
        share = abs(_error(row)) / allowed
        if share > worst:
            worst, worst_row, allowed_there = share, row, allowed
    assert worst_row is not None
    report = (
        f"{function}, {regime}: worst of {len(_rows(function, regime))} rows is off by "
        f"{abs(_error(worst_row)):.2f} ulp, {allowed_there:.1f} allowed, at {worst_row.args}"
    )
    print(report)
    assert worst <= 1.0, report


@pytest.mark.parametrize("regime", ["alpha above 1e-8", "alpha to 1e-300", "alpha near 1"])
@pytest.mark.parametrize("side", ["lower", "upper"])
def test_limit_is_on_the_safe_side_and_close(side: str, regime: str) -> None:
    """Lower limits never above the reference, upper ones never below, 3e-12 apart at most."""
    sign = 1.0 if side == "lower" else -1.0
    rows = _rows(f"clopper_pearson_{side}", regime)
    errors = [sign * _error(row) for row in rows]
    over, under = max(errors), min(errors)
    at = rows[errors.index(under)].args
    print(f"{side}, {regime}: {len(rows)} rows, {over:.3g} to {under:.3g} ulp, farthest at {at}")
    assert over <= 0.0, rows[errors.index(over)]
    assert under * ULP >= -3e-12, rows[errors.index(under)]


@pytest.mark.parametrize("row", ROWS[::61], ids=lambda row: f"{row.function}{row.args}")
def test_table_is_what_its_generator_writes(row: Row) -> None:
    """A sample of rows, recomputed at both precisions."""
    value = runpy.run_path(str(HERE / "generate.py"))["reference"](row.function, row.args)
    with mp.workdps(35):
        assert abs(value - row.value) <= abs(row.value) * mp.mpf("1e-28")
