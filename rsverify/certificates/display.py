"""Certificates as a notebook shows them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR
from typing import TYPE_CHECKING

from rsverify._core import notebook
from rsverify._core.decimals import fixed
from rsverify._core.margin import Margin
from rsverify._core.text import number_text
from rsverify.certificates.abstention import Status
from rsverify.certificates.radius import round_down_digits

if TYPE_CHECKING:
    from rsverify.certificates.certificate import Certificate

Facts = Sequence[tuple[str, str]]
"""Names and values."""


def certificate_html(c: Certificate, answer: Facts, guarantee: str, more: Facts = ()) -> str:
    """Return a certificate as HTML.

    `answer` is what it was computed from, `more` what is to be known beside what all certificates
    have.
    """
    return notebook.facts(_headline(c), [*answer, *_facts(c), *more], c.reason, guarantee)


def _headline(c: Certificate) -> str:
    if c.status is not Status.CERTIFIED:
        return f"Abstained: {c.status}"
    among = f" among the {c.top_k} most probable" if c.top_k > 1 else ""
    within = f"within radius {round_down_digits(c.radius, 4)}"
    if c.noise is not None and c.noise.integer:
        within = f"for up to {c.radius:.0f} changes"
    return f"Class {c.prediction}{among}, certified {within}"


def votes_of(c: Certificate) -> list[tuple[str, str]]:
    """Return the votes that a certificate rests on."""
    out = {c.y, *c.ignored, *c.top_others}
    most, other = max((k, -i) for i, k in enumerate(c.counts) if i not in out)
    rows = [
        (f"votes for class {c.y}", f"{c.counts[c.y]:,} of {c.n:,}"),
        (f"votes for the runner-up, class {-other}", f"{most:,}"),
    ]
    if c.selection_counts is not None:
        chosen = f"{c.selection_counts[c.y]:,} of {c.n0:,}"
        rows.append((f"separate votes that chose class {c.y}", chosen))
    return rows


def guarantee_of(c: Certificate) -> str:
    """Return what a certificate promises, in a sentence; nothing where it abstains."""
    if c.status is not Status.CERTIFIED:
        return ""
    return (
        f"Wrong with probability at most {number_text(c.alpha)} over the votes, if they are "
        "independent and their number and the class were fixed beforehand."
    )


def _facts(c: Certificate) -> list[tuple[str, str]]:
    """Return what it was computed with."""
    wanted = Margin.named(c.estimand).text
    ordering = f", ordering {c.ordering}" if c.ordering else ""
    kind = f"radius {c.radius_kind}" if c.noise is None else f"radius in {c.norm}"
    rows = [
        (f"lower limit of {wanted}", limit_text(c.margin)),
        (kind, radius_text(c.radius)),
        ("bound", f"{c.bound}{ordering}"),
        ("alpha", f"{number_text(c.alpha)}"),
        ("sigma", f"{number_text(c.sigma)}") if c.noise is None else ("noise", c.noise.brief),
    ]
    optional = {
        "Lipschitz constant": None if c.lipschitz is None else f"{number_text(c.lipschitz)}",
        "classes that are no runner-up": ", ".join(map(str, c.ignored)),
        "classes that may be ahead": ", ".join(map(str, c.top_others)),
        "part of alpha that the noise has": f"{c.noise_excess:.3g}" if c.noise_excess else None,
        "time": None if c.seconds is None else f"{c.seconds:.1f} s",
        "checked of the model": c.probed,
    }
    return [*rows, *((name, value) for name, value in optional.items() if value)]


def radius_text(radius: float) -> str:
    """Return six decimals that are not above a radius."""
    if math.isinf(radius):
        return "∞"
    return round_down_digits(radius, 6).rstrip("0").rstrip(".")


def limit_text(limit: float, *, upper: bool = False) -> str:
    """Return six decimals that are not above a lower limit, or not below an upper one."""
    if math.isinf(limit):
        return "∞" if limit > 0 else "−∞"
    rounding = ROUND_CEILING if upper else ROUND_FLOOR
    return fixed(limit, 6, rounding).replace("-", "−")
