"""The command ``rsverify bound``: counts of votes to every lower limit, side by side."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, NamedTuple, get_args

import typer

from rsverify._core.decimals import fixed
from rsverify._core.text import complement_text, number_text
from rsverify._core.types import MarginName, OrderingName, RadiusName, VoteBoundName
from rsverify.cli.console import (
    FormatOption,
    print_json,
    print_note,
    print_table,
    working,
)
from rsverify.cli.options import DimensionOption, NoiseOption, NormOption, noise_and_norm

if TYPE_CHECKING:
    from rsverify.bounds.margin import Taylor
    from rsverify.noise import Noise, Norm

_ORDERINGS = ("likelihood-ratio", "difference", "bonferroni", "taylor:5")
_PLAIN: tuple[MarginName, ...] = ("difference", "probit")
"""The margins of which a radius under Gaussian noise follows."""


class _Method(NamedTuple):
    """A bound, by the name that is printed, and what it found."""

    name: str
    bound: VoteBoundName
    ordering: OrderingName | Taylor | None
    limits: dict[MarginName, float]
    radii: dict[str, float]


class _Asked(NamedTuple):
    """What is bounded, under which noise."""

    counts: list[int]
    y: int
    alpha: float
    sigma: float | None
    noise: Noise | None
    norm: Norm | None
    dimension: int | None
    ignore: list[int]


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
    noise: NoiseOption = None,
    norm: NormOption = None,
    dimension: DimensionOption = None,
    ignore: Annotated[
        list[int] | None,
        typer.Option(
            metavar="CLASS",
            help="A class that is no runner-up, as unknown may be; from 0. Repeatable.",
        ),
    ] = None,
    format: FormatOption = "text",
) -> None:
    """Bound the margin of class Y from vote COUNTS, by every method side by side."""
    if not 0 <= y < len(counts):
        raise ValueError(f"y={y} must be a class between 0 and {len(counts) - 1}")
    if y in (ignore or ()):
        raise ValueError(f"y={y} must not be one of ignore={ignore}: it is what is bounded")
    if noise is None and (norm is not None or dimension is not None):
        given = f"norm={norm!r}" if norm is not None else f"dimension={dimension}"
        raise ValueError(f"{given} must come with --noise: its radii are measured so")
    if noise is not None and sigma is not None:
        raise ValueError(
            f"sigma={number_text(sigma)} must be left out with noise={noise!r}: it is short for "
            f"--noise gaussian:{number_text(sigma)}"
        )
    asked = _Asked(
        counts, y, alpha, sigma, *noise_and_norm(noise, norm), dimension, sorted(set(ignore or ()))
    )
    with working("bounding"):
        methods = [_found(name, bound, ordering, asked) for name, bound, ordering in _methods()]
    if format == "json":
        print_json(_content(methods, asked))
    else:
        _print(methods, asked)


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
    asked: _Asked,
) -> _Method:
    from rsverify.certificates.counts import certify_counts
    from rsverify.certificates.margins import margin_lower_bounds

    counts, y, alpha, sigma, noise, norm, dimension, ignore = asked
    if noise is not None:
        found = certify_counts(
            counts,
            noise=noise,
            norm=norm,
            dimension=dimension,
            alpha=alpha,
            y=y,
            bound=bound,
            ordering=ordering,
            ignore=ignore,
        )
        return _Method(
            name, bound, ordering, {found.estimand: found.margin}, {str(found.norm): found.radius}
        )
    limits: dict[MarginName, float] = {
        e: float(
            margin_lower_bounds(
                counts, y, alpha, estimand=e, bound=bound, ordering=ordering, ignore=ignore
            )
        )
        for e in _PLAIN
    }
    radii = {}
    if sigma is not None:
        for kind in get_args(RadiusName):
            certificate = certify_counts(
                counts,
                sigma=sigma,
                alpha=alpha,
                y=y,
                bound=bound,
                radius=kind,
                ordering=ordering,
                ignore=ignore,
            )
            radii[kind] = float(certificate.radius)
    return _Method(name, bound, ordering, limits, radii)


def _print(methods: list[_Method], asked: _Asked) -> None:
    from rsverify._core.margin import Margin
    from rsverify.certificates.radius import round_down_digits

    whole = asked.noise is not None and asked.noise.integer
    kinds = list(methods[0].radii)
    if asked.noise is not None:
        kinds = [f"{'changes' if whole else 'radius'} in {kind}" for kind in kinds]
    votes = f"{asked.counts[asked.y]} of {sum(asked.counts)} votes"
    under = "" if asked.noise is None else f", {asked.noise}"
    left_out = f", class {', '.join(map(str, asked.ignore))} ignored" if asked.ignore else ""
    print_table(
        f"Class {asked.y}: {votes}, alpha = {number_text(asked.alpha)}{under}{left_out}",
        ["lower limit", *(Margin.named(e).text for e in methods[0].limits), *kinds],
        [
            [
                m.name,
                *map(_down, m.limits.values()),
                *(
                    (f"{r:.0f}" if whole else round_down_digits(r, 5)) if r > 0 else "—"
                    for r in m.radii.values()
                ),
            ]
            for m in methods
        ],
    )
    print_note(
        "Each limit is at most the true value with probability at least "
        f"{complement_text(asked.alpha)}. Use one, chosen in advance: the largest of several "
        "has no such guarantee."
    )


def _content(methods: list[_Method], asked: _Asked) -> dict[str, object]:
    content: dict[str, object] = {
        "counts": asked.counts,
        "n": sum(asked.counts),
        "y": asked.y,
        "alpha": asked.alpha,
        "sigma": asked.sigma,
    }
    if asked.noise is not None:
        norm = asked.noise.check_norm(asked.norm)
        content |= {"noise": str(asked.noise), "norm": str(norm), "dimension": asked.dimension}
    if asked.ignore:
        content["ignore"] = asked.ignore
    content["bounds"] = [
        {
            "bound": m.bound,
            "ordering": None if m.ordering is None else str(m.ordering),
            "lower_limit": {e: _finite(limit) for e, limit in m.limits.items()},
            "radius": m.radii,
        }
        for m in methods
    ]
    return content


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _down(value: float) -> str:
    """Return five decimals, rounded down whatever the sign."""
    if value == -math.inf:
        return "−∞"
    return fixed(value, 5)
