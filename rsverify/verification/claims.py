"""What a row of a table, or a certificate, claims: exact numbers, and where it contradicts itself.

A radius is claimed as it is printed: whoever reads 0.486 relies on 0.486. All numbers are taken as
the exact decimals, or binary fractions, that they are.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from flint import arb, fmpq

from rsverify._core.errors import DataError
from rsverify._core.types import MarginName, RadiusName
from rsverify.verification.tails import Ball

ABSTAIN = -1
MARGINS: dict[str, MarginName] = {"R1": "difference", "R2": "probit"}
FLOAT_STEPS = Fraction(1, 2**48)
"""Share of a radius that computing it in float64, rounded down, may lose."""


_UNKNOWN = ("", "NA", "N/A", "NaN", "nan", "None", "null", "<NA>")
"""What is written where there is no value, by R, pandas and others too."""
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?")
_TRUTH = {"1": True, "0": False, "1.0": True, "0.0": False, "True": True, "False": False}
_CLASSES = re.compile(r" *(?:[0-9]+(?:\.0+)? *(?:, *|$))*")


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
    shares: int
    """How many classes share alpha: 1 where y was fixed beforehand."""
    bound: str
    ordering: str
    radius_kind: str
    sigma: Fraction
    lipschitz: Fraction | None
    margin: Fraction | None
    """The margin stated beside the radius, if any."""
    margin_unit: Fraction
    """What one unit of its last digit is worth, by which it may have been rounded."""
    unchecked: str
    """What about the row has no checker, if anything."""
    flaws: tuple[str, ...]
    """Contradictions between the numbers of the row."""

    @property
    def level(self) -> Fraction:
        """What of alpha is left to the bound."""
        return (self.alpha - self.noise_excess) / self.shares

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


class CertificateLike(Protocol):
    """What is read of a `Certificate`; the rest of its fields too, where there are any."""

    @property
    def prediction(self) -> int:
        """The class, or -1."""

    @property
    def radius(self) -> float:
        """What is claimed."""

    @property
    def radius_kind(self) -> RadiusName:
        """How it follows from the margin."""

    @property
    def counts(self) -> tuple[int, ...]:
        """The votes."""

    @property
    def selection_counts(self) -> tuple[int, ...] | None:
        """The votes that chose the class."""


READ = (
    "radius", "radius_kind", "y", "n", "alpha", "noise_excess", "bound", "ordering", "sigma",
    "lipschitz", "margin", "noise", "norm", "ignored", "top_k", "top_others", "target_radius",
    "target_radii", "radius_upper",
)  # fmt: skip
"""Fields of certificates and columns of tables that a claim is made of, beside the votes."""


def claim_of_certificate(certificate: CertificateLike) -> Claim:
    """Return what a certificate claims; its floats are the numbers that they are."""
    c = certificate
    read = {name: getattr(c, name, None) for name in READ}
    fields: dict[str, object] = {k: v for k, v in read.items() if v is not None and v == v}
    for name in ("ignored", "top_others", "target_radii"):
        fields[name] = ",".join(map(str, fields.get(name, ()) or ()))  # type: ignore[call-overload]
    fields["predict"] = c.prediction
    fields |= {f"count_{i}": k for i, k in enumerate(c.counts)}
    fields |= {f"selected_{i}": k for i, k in enumerate(c.selection_counts or ())}
    return claim_of_fields(fields)


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
        left_out = {y, *get.classes("ignored"), *get.classes("top_others")}
        k2: int | None = max((k for i, k in enumerate(counts) if i not in left_out), default=0)
        if sum(counts) != n:
            flaws.append(f"n={n} is not the sum of the votes, {sum(counts)}")
        if selected and get.integer("n0", sum(selected)) != sum(selected):
            flaws.append(f"n0={get.integer('n0')} is not the sum of the selection votes")
        n = sum(counts)
    else:
        k1, k2 = get.integer("votes"), None
    if min([k1, *counts]) < 0 or not k1 <= n or n < 1:
        raise DataError(f"votes={k1} of n={n} must be nonnegative, at most n, and n at least 1")
    flaws += _flaws_of_classes(get, y, selected) + get.flaws_of_correct(predict)
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
        shares=get.integer("alpha_shares", 1),
        bound=get.text("bound"),
        ordering=get.text("ordering", "likelihood-ratio"),
        radius_kind=kind,
        sigma=Fraction(1) if get.unchecked() else get.number("sigma"),
        lipschitz=get.maybe("lipschitz"),
        margin=get.maybe("margin"),
        margin_unit=get.unit("margin"),
        unchecked=get.unchecked(),
        flaws=(),
    )
    flaws += _flaws_of_numbers(claim)
    return Claim(**vars(claim) | {"flaws": tuple(flaws)})


def _flaws_of_classes(get: _Fields, y: int, selected: list[int]) -> list[str]:
    """Return what is wrong with the class, and with those that are no runner-up."""
    ignored, ahead, top_k = get.classes("ignored"), get.classes("top_others"), get.top_k()
    flaws = []
    if y in ignored:
        flaws.append(f"y={y} is ignored")
    if len(ahead) != top_k - 1:
        flaws.append(f"{len(ahead)} classes may be ahead, and top_k={top_k}")
    if not sum(selected):
        return flaws
    allowed = [k if i not in ignored else -1 for i, k in enumerate(selected)]
    if top_k == 1:
        if y != allowed.index(max(allowed)):
            flaws.append(f"y={y} is not the winner of the selection sample")
        return flaws
    others = [i for i in range(len(allowed)) if i != y]
    most = sorted(others, key=lambda i: (-allowed[i], i))[: top_k - 1]
    if set(ahead) != set(most):
        flaws.append("top_others are not the classes with the most votes of the selection sample")
    return flaws


def _flaws_of_numbers(claim: Claim) -> list[str]:
    """Return what is wrong between the radius, the margin and the levels of a claim."""
    for name, wrong in (
        ("alpha", not 0 < claim.alpha < 1),
        ("sigma", claim.sigma <= 0),
        ("shares", claim.shares < 1),
        ("lipschitz", claim.lipschitz is not None and claim.lipschitz <= 0),
        ("radius", claim.radius < 0),
    ):
        if wrong:
            value: Fraction = getattr(claim, name)
            shown = f"{Decimal(value.numerator) / value.denominator:.6g}"
            raise DataError(f"{name}={shown} is out of its range")
    flaws = []
    if not 0 <= claim.noise_excess < claim.alpha:
        flaws.append(f"noise_excess={float(claim.noise_excess):g} must be from 0 to below alpha")
    if not claim.certifies and claim.radius > 0:
        flaws.append("an abstention has no radius")
    if claim.margin is None or claim.radius_kind not in MARGINS or claim.unchecked:
        return flaws
    if not claim.certifies:
        return flaws + (["an abstention has no positive margin"] if claim.margin > 0 else [])
    low, high = (
        claim.slope() * ball(max(claim.margin + step, Fraction(0)))
        for step in (-claim.margin_unit, claim.margin_unit)
    )
    lost = ball(max(claim.unit, claim.radius * FLOAT_STEPS))
    if ball(claim.radius) > high:
        flaws.append(f"the margin stated gives a radius of {float(high.mid()):.10g} only")
    elif ball(claim.radius) + lost < low:
        flaws.append(f"the margin stated gives a radius of {float(low.mid()):.10g}")
    return flaws


class _Fields:
    """The fields of a row, as the types that a claim needs."""

    def __init__(self, fields: Mapping[str, object]) -> None:
        self.named = fields
        self.fields = {k: v for k, v in fields.items() if v is not None and v not in _UNKNOWN}

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
        if isinstance(value, int | float) and math.isfinite(value):
            return Fraction(value)
        if not _NUMBER.fullmatch(str(value)):
            raise DataError(f"{name}={value!r} must be a finite number, its decimal point a point")
        return Fraction(str(value))

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

    def classes(self, name: str) -> list[int]:
        """Return the classes that a field lists, separated by commas."""
        text = self.text(name, "")
        if not _CLASSES.fullmatch(text):
            raise DataError(f"{name}={text!r} must list classes")
        # Other software writes a single class as 2.0, where there are rows without one.
        return [int(float(part)) for part in text.split(",") if part.strip()]

    def flaws_of_correct(self, predict: int) -> list[str]:
        """Return a contradiction between class, label and `correct`, where all are there."""
        label, said = self.text("label", ""), self.text("correct", "").capitalize()
        if not label or said not in _TRUTH:
            return []
        correct = predict != ABSTAIN and predict == self.integer("label")
        if _TRUTH[said] == correct:
            return []
        return [f"correct={self.text('correct')} contradicts predict={predict} and label={label}"]

    def top_k(self) -> int:
        """Return among how many most probable classes the class is said to be."""
        return self.integer("top_k", 1)

    def other_noise(self) -> bool:
        """Return whether the noise named is not the Gaussian one of the sigma stated."""
        if "noise" not in self.fields:
            return False
        kind, _, text = self.text("noise").partition(":")
        sigma, *rest = text.split(",")
        if {"gaussian": 0, "discrete": 1}.get(kind) != len(rest) or "sigma" not in self.fields:
            return True
        try:
            return float(sigma) != float(self.number("sigma"))
        except ValueError:
            return True

    def unchecked(self) -> str:
        """Return what about the row has no checker; empty where there is nothing."""
        stopping = ("target_radius", "target_radii", "radius_upper", "decision")
        if self.text("bound") == "anytime" or any(
            name in stopping or name.startswith("decision_") for name in self.fields
        ):
            return (
                "no independent checker for sampling that stops early: the evidence may have come "
                "at an earlier look, which a row does not hold"
            )
        if self.text("norm", "l2") != "l2":
            return f"no independent checker for norm={self.text('norm')!r}"
        if self.other_noise():
            return f"no independent checker for noise={self.text('noise')}"
        if self.top_k() > 1 and not sum(self.counts("selected_")):
            return "top_k needs the votes of the selection sample, which say what may be ahead"
        if self.text("radius_kind") not in MARGINS:
            return f"no independent checker for radius_kind={self.text('radius_kind')!r}"
        return ""

    def counts(self, prefix: str) -> list[int]:
        """Return the fields prefix0, prefix1, ...: all of them, or none where all are empty."""
        named = [name for name in self.named if re.fullmatch(f"{prefix}[0-9]+", name)]
        if not any(name in self.fields for name in named):
            return []
        return [self.integer(f"{prefix}{i}") for i in range(len(named))]

    def unit(self, name: str) -> Fraction:
        """Return what one unit of the last digit printed is worth, 0 for a float."""
        if not isinstance(self.fields.get(name), str) or not _NUMBER.fullmatch(self.text(name)):
            return Fraction(0)
        exponent = Decimal(self.text(name)).as_tuple().exponent
        return Fraction(10) ** int(exponent)
