"""The command ``rsverify bound``: counts of votes to every lower limit, side by side."""

from __future__ import annotations

import math
from decimal import ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING, Annotated, NamedTuple, get_args

import typer

from rsverify._core.types import MarginName, OrderingName, RadiusName, VoteBoundName
from rsverify.cli.console import (
    FormatOption,
    print_json,
    print_note,
    print_table,
    working,
)

if TYPE_CHECKING:
    from rsverify.bounds.margin import Taylor

_ORDERINGS = ("likelihood-ratio", "difference", "bonferroni", "taylor:5")
_HEADINGS: dict[MarginName, str] = {"difference": "p1 − p2", "probit": "Φ⁻¹(p1) − Φ⁻¹(p2)"}


class _Method(NamedTuple):
    """A bound, by the name that is printed, and what it found."""

    name: str
    bound: VoteBoundName
    ordering: OrderingName | Taylor | None
    limits: dict[MarginName, float]
    radii: dict[str, float]


def bound(
    counts: Annotated[
        list[int], typer.Argument(metavar="COUNTS", help="Votes of each class; their sum is n.")
    ],
    y: Annotated[int, typer.Option(help="Class to certify, chosen without these counts; from 0.")],
    alpha: Annotated[
        float, typer.Option(help="Total failure probability of one certificate.")
    ] = 0.001,
    sigma: Annotated[
        float | None, typer.Option(help="Standard deviation of the noise: adds the radii.")
    ] = None,
    format: FormatOption = "text",
) -> None:
    """Bound the margin of class Y from vote COUNTS, by every method side by side."""
    if not 0 <= y < len(counts):
        raise ValueError(f"y={y} must be a class between 0 and {len(counts) - 1}")
    with working("bounding"):
        methods = [
            _found(name, bound, ordering, counts, y, alpha, sigma)
            for name, bound, ordering in _methods()
        ]
    if format == "json":
        print_json(_content(methods, counts, y, alpha, sigma))
    else:
        _print(methods, counts, y, alpha)


def _methods() -> list[tuple[str, VoteBoundName, OrderingName | Taylor | None]]:
    from rsverify.bounds.margin import find_ordering

    return [
        ("Cohen", "cohen", None),
        ("Bonferroni", "bonferroni", None),
        *((f"exact ({o})", "exact", find_ordering(o)) for o in _ORDERINGS),
    ]


def _found(
    name: str,
    bound: VoteBoundName,
    ordering: OrderingName | Taylor | None,
    counts: list[int],
    y: int,
    alpha: float,
    sigma: float | None,
) -> _Method:
    from rsverify.certificates.counts import certify_counts
    from rsverify.certificates.margins import margin_lower_bounds

    limits = {
        e: float(margin_lower_bounds(counts, y, alpha, estimand=e, bound=bound, ordering=ordering))
        for e in _HEADINGS
    }
    radii = {}
    if sigma is not None:
        for kind in get_args(RadiusName):
            certificate = certify_counts(
                counts, sigma=sigma, alpha=alpha, y=y, bound=bound, radius=kind, ordering=ordering
            )
            radii[kind] = float(certificate.radius)
    return _Method(name, bound, ordering, limits, radii)


def _print(methods: list[_Method], counts: list[int], y: int, alpha: float) -> None:
    from rsverify.certificates.radius import round_down_digits

    kinds = list(methods[0].radii)
    print_table(
        f"Class {y}: {counts[y]} of {sum(counts)} votes, alpha = {alpha:g}",
        ["lower limit", *(_HEADINGS[e] for e in methods[0].limits), *kinds],
        [
            [
                m.name,
                *map(_down, m.limits.values()),
                *(round_down_digits(r, 5) if r > 0 else "—" for r in m.radii.values()),
            ]
            for m in methods
        ],
    )
    print_note(
        f"Each limit is at most the true value with probability at least {1 - alpha:g}. "
        "Use one, chosen in advance: the largest of several has no such guarantee."
    )


def _content(
    methods: list[_Method], counts: list[int], y: int, alpha: float, sigma: float | None
) -> dict[str, object]:
    return {
        "counts": counts,
        "n": sum(counts),
        "y": y,
        "alpha": alpha,
        "sigma": sigma,
        "bounds": [
            {
                "bound": m.bound,
                "ordering": None if m.ordering is None else str(m.ordering),
                "lower_limit": {e: _finite(limit) for e, limit in m.limits.items()},
                "radius": m.radii,
            }
            for m in methods
        ],
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _down(value: float) -> str:
    """Return five decimals, rounded down whatever the sign."""
    if value == -math.inf:
        return "−∞"
    return f"{Decimal(value).quantize(Decimal('0.00001'), rounding=ROUND_FLOOR):f}"
