"""What a row of a table, or a certificate, claims: exact numbers, and where it contradicts itself.

A radius is claimed as it is printed: whoever reads 0.486 relies on 0.486. All numbers are taken as
the exact decimals, or binary fractions, that they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from flint import arb, fmpq

from rsverify._core.errors import DataError
from rsverify._core.types import MarginName
from rsverify.verification.tails import Ball

if TYPE_CHECKING:
    from rsverify.certificates.certificate import Certificate

ABSTAIN = -1
MARGINS: dict[str, MarginName] = {"R1": "difference", "R2": "probit"}
FLOAT_STEPS = Fraction(1, 2**48)
"""Share of a radius that computing it in float64, rounded down, may lose."""


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A radius, and what it is said to follow from."""

    certifies: bool
    radius: Fraction
    unit: Fraction
    """What one unit of the last digit printed is worth; 0 for a float."""
    k1: int
    k2: int | None
    """Votes of the runner-up; None where only those of the class are known."""
    n: int
    alpha: Fraction
    noise_excess: Fraction
    bound: str
    ordering: str
    radius_kind: str
    sigma: Fraction
    lipschitz: Fraction | None
    margin: Fraction | None
    """The margin stated beside the radius, if any."""
    early: bool
    """Whether sampling could stop as soon as the votes had decided."""
    flaws: tuple[str, ...]
    """Contradictions between the numbers of the row."""

    @property
    def level(self) -> Fraction:
        """What of alpha is left to the bound."""
        return self.alpha - self.noise_excess

    @property
    def estimand(self) -> MarginName:
        """The margin that the radius is computed from."""
        return MARGINS[self.radius_kind]

    def slope(self) -> Ball:
        """Return the radius of a margin of 1: radii are proportional to margins."""
        if self.radius_kind == "R2":
            return ball(self.sigma) / 2
        smoothing = ball(self.sigma) * (arb.pi() / 2).sqrt()
        if self.lipschitz is None:
            return smoothing
        return smoothing.max(1 / (arb(2).sqrt() * ball(self.lipschitz)))


def ball(value: Fraction) -> Ball:
    """Return a ball around a rational number."""
    return arb(fmpq(value.numerator, value.denominator))


def claim_of_certificate(certificate: Certificate) -> Claim:
    """Return what a certificate claims; its floats are the numbers that they are."""
    c = certificate
    fields: dict[str, object] = {name: getattr(c, name) for name in c.__dataclass_fields__}
    fields |= {"predict": c.prediction, "target_radius": fields.get("target_radius")}
    fields |= {f"count_{i}": k for i, k in enumerate(c.counts)}
    fields |= {f"selected_{i}": k for i, k in enumerate(c.selection_counts or ())}
    return claim_of_fields({k: v for k, v in fields.items() if v is not None and v == v})


def claim_of_fields(fields: Mapping[str, object]) -> Claim:
    """Return what a row claims; `fields` has text as printed, or numbers.

    Raises
    ------
    DataError
        If the row lacks something that a claim needs, or holds no number where it must.
    """
    get = _Fields(fields)
    counts, selected = get.counts("count_"), get.counts("selected_")
    y, n, predict = get.integer("y", 0), get.integer("n"), get.integer("predict")
    flaws: list[str] = []
    if counts:
        if not 0 <= y < len(counts):
            raise DataError(f"y={y} must be a class from 0 to {len(counts) - 1}")
        k1 = counts[y]
        k2: int | None = max(counts[:y] + counts[y + 1 :])
        if sum(counts) != n:
            flaws.append(f"n={n} is not the sum of the votes, {sum(counts)}")
        n = sum(counts)
    else:
        k1, k2 = get.integer("votes"), None
    if min([k1, *counts]) < 0 or not k1 <= n or n < 1:
        raise DataError(f"votes={k1} of n={n} must be nonnegative, at most n, and n at least 1")
    if sum(selected) and y != selected.index(max(selected)):
        flaws.append(f"y={y} is not the winner of the selection sample")
    if predict not in (ABSTAIN, y) and counts:
        flaws.append(f"predict={predict} is not the class put to the test, y={y}")
    radius, unit = get.number("radius"), get.unit("radius")
    kind = get.text("radius_kind")
    claim = Claim(
        certifies=predict != ABSTAIN,
        radius=radius,
        unit=unit,
        k1=k1,
        k2=k2,
        n=n,
        alpha=get.number("alpha"),
        noise_excess=get.maybe("noise_excess") or Fraction(0),
        bound=get.text("bound"),
        ordering=get.text("ordering", "likelihood-ratio"),
        radius_kind=kind,
        sigma=get.number("sigma"),
        lipschitz=get.maybe("lipschitz"),
        margin=get.maybe("margin"),
        early=get.text("target_radius", "") != "" or get.text("bound") == "anytime",
        flaws=(),
    )
    flaws += _flaws_of_numbers(claim)
    return Claim(**vars(claim) | {"flaws": tuple(flaws)})


def _flaws_of_numbers(claim: Claim) -> list[str]:
    """Return what is wrong between the radius, the margin and the levels of a claim."""
    for name, wrong in (
        ("alpha", not 0 < claim.alpha < 1),
        ("sigma", claim.sigma <= 0),
        ("lipschitz", claim.lipschitz is not None and claim.lipschitz <= 0),
        ("radius", claim.radius < 0),
    ):
        if wrong:
            raise DataError(f"{name}={float(getattr(claim, name)):g} is out of its range")
    flaws = []
    if not 0 <= claim.noise_excess < claim.alpha:
        flaws.append(f"noise_excess={float(claim.noise_excess):g} must be from 0 to below alpha")
    if not claim.certifies and claim.radius > 0:
        flaws.append("an abstention has no radius")
    if claim.margin is None or claim.radius_kind not in MARGINS:
        return flaws
    if not claim.certifies:
        return flaws + (["an abstention has no positive margin"] if claim.margin > 0 else [])
    implied = claim.slope() * ball(max(claim.margin, Fraction(0)))
    lost = ball(max(claim.unit, claim.radius * FLOAT_STEPS))
    if ball(claim.radius) > implied:
        flaws.append(f"the margin stated gives a radius of {float(implied.mid()):.10g} only")
    elif ball(claim.radius) + lost < implied:
        flaws.append(f"the margin stated gives a radius of {float(implied.mid()):.10g}")
    return flaws


class _Fields:
    """The fields of a row, as the types that a claim needs."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        self.fields = {name: value for name, value in fields.items() if value != ""}

    def text(self, name: str, default: str | None = None) -> str:
        """Return a field as text; it must be there where there is no default."""
        if name in self.fields:
            return str(self.fields[name])
        if default is None:
            raise DataError(f"{name} is missing: a certificate cannot be proved without it")
        return default

    def number(self, name: str) -> Fraction:
        """Return the exact number that a field states."""
        value = self.fields[name] if name in self.fields else self.text(name)
        try:
            return Fraction(value if isinstance(value, int | float) else str(value))
        except (ValueError, OverflowError, ZeroDivisionError):
            raise DataError(f"{name}={value!r} must be a finite number") from None

    def maybe(self, name: str) -> Fraction | None:
        """Return the number of a field, None where it is empty or -inf."""
        if self.text(name, "-inf") == "-inf":
            return None
        return self.number(name)

    def integer(self, name: str, default: int | None = None) -> int:
        """Return a field as an integer."""
        if default is not None and name not in self.fields:
            return default
        value = self.number(name)
        if value.denominator != 1:
            raise DataError(f"{name}={self.text(name)} must be an integer")
        return int(value)

    def counts(self, prefix: str) -> list[int]:
        """Return the fields prefix0, prefix1, ... as far as there are any."""
        found: list[int] = []
        while f"{prefix}{len(found)}" in self.fields:
            found.append(self.integer(f"{prefix}{len(found)}"))
        return found

    def unit(self, name: str) -> Fraction:
        """Return what one unit of the last digit printed is worth, 0 for a float."""
        if not isinstance(self.fields.get(name), str):
            return Fraction(0)
        exponent = Decimal(self.text(name)).as_tuple().exponent
        return Fraction(10) ** int(exponent)
