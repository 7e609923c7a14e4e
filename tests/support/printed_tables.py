"""Tables of certificates as other tools compute and print them, from votes that are known."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import ROUND_FLOOR, Decimal

import numpy as np
from scipy.stats import beta, norm


def _down(radius: float, decimals: int) -> str:
    step = Decimal(1).scaleb(-decimals)
    return f"{Decimal(float(radius)).quantize(step, rounding=ROUND_FLOOR):f}"


def _down_digits(radius: float, digits: int) -> str:
    exact = Decimal(float(radius))
    step = Decimal(1).scaleb(exact.adjusted() - digits + 1)
    return str(exact.quantize(step, rounding=ROUND_FLOOR))


FORMATS: dict[str, Callable[[float], str]] = {
    "two decimals": lambda r: f"{r:.2f}",
    "three decimals": lambda r: f"{r:.3f}",
    "four decimals": lambda r: f"{r:.4f}",
    "five decimals": lambda r: f"{r:.5f}",
    "six decimals": lambda r: f"{r:.6f}",
    "eight decimals": lambda r: f"{r:.8f}",
    "two digits": lambda r: f"{r:.2g}",
    "three digits": lambda r: f"{r:.3g}",
    "three digits, Python": lambda r: f"{float(r):.3}",
    "three digits, zeros kept": lambda r: f"{r:#.3g}",
    "four digits": lambda r: f"{r:.4g}",
    "four digits, scientific": lambda r: f"{r:.3e}",
    "six digits": lambda r: f"{r:.6g}",
    "seven digits": lambda r: f"{r:.7g}",
    "rounded to two": lambda r: repr(round(float(r), 2)),
    "rounded to three": lambda r: repr(round(float(r), 3)),
    "rounded to four": lambda r: repr(round(float(r), 4)),
    "down to two decimals": lambda r: _down(r, 2),
    "down to three decimals": lambda r: _down(r, 3),
    "down to four decimals": lambda r: _down(r, 4),
    "down to six decimals": lambda r: _down(r, 6),
    "down to three digits": lambda r: _down_digits(r, 3),
    "down to four digits": lambda r: _down_digits(r, 4),
    "float64": lambda r: repr(float(r)),
    "savetxt": lambda r: f"{r:.18e}",
    "float32": lambda r: str(np.float32(r)),
    "float32 as float64": lambda r: repr(float(np.float32(r))),
    "float32, four decimals": lambda r: f"{np.float32(r):.4f}",
    "float32, six decimals": lambda r: f"{np.float32(r):.6f}",
    "float32 of three decimals, as float64": lambda r: repr(float(np.round(np.float32(r), 3))),
    "float32 rounded down to four, as float64": lambda r: repr(float(np.float32(_down(r, 4)))),
    "float16 as float64": lambda r: repr(float(np.float16(r))),
}
"""How tools print a positive radius."""


@dataclass(frozen=True)
class PrintedTable:
    """Rows of a table and what they were printed from."""

    votes: np.ndarray
    texts: list[str]
    """The printed radii, ``0.0`` where abstained."""
    certified: np.ndarray

    def content(self, separator: str = "\t", end: str = "\n", time: str = "16.6") -> str:
        """Return the file."""
        rows = [["idx", "label", "predict", "radius", "correct", "time"]]
        for i, (text, certified) in enumerate(zip(self.texts, self.certified, strict=True)):
            rows.append([str(20 * i), "3", "3" if certified else "-1", text, "1", time])
        return "".join(separator.join(row) + end for row in rows)

    @property
    def printed_as_zero(self) -> np.ndarray:
        """Which of the certificates were printed as zero."""
        return self.certified & (np.array([float(t) for t in self.texts]) == 0)


def tool_radii(votes: np.ndarray, n: int, sigma: float, alpha: float) -> np.ndarray:
    """Return radii as others compute them, with scipy's quantiles; 0 where abstained."""
    at_least_one = np.maximum(votes, 1)
    lower = np.where(votes > 0, beta.ppf(alpha, at_least_one, n - at_least_one + 1), 0.0)
    return np.where(lower >= 0.5, sigma * norm.ppf(np.maximum(lower, 0.5)), 0.0)


def printed_table(
    rng: np.random.Generator, rows: int, n: int, sigma: float, alpha: float, how: str
) -> PrintedTable:
    """Return a table of random votes: many nearly unanimous, some hardly a majority."""
    kind = rng.integers(4, size=rows)
    p = np.choose(
        kind,
        [
            1 - 10 ** rng.uniform(-6, -0.3, rows),
            np.ones(rows),
            rng.uniform(0.4, 1, rows),
            0.5 + 10 ** rng.uniform(-4, -0.31, rows),
        ],
    )
    votes = rng.binomial(n, p)
    radii = tool_radii(votes, n, sigma, alpha)
    texts = [FORMATS[how](r) if r > 0 else "0.0" for r in radii]
    return PrintedTable(votes, texts, radii > 0)
