"""The options of a certificate that do not depend on the input: names, defaults, choices, help.

This is the one list of them. `rsverify.smoothing.request.Request` checks them, the command line's
options are made from it, and a test holds the signatures of the public functions against it.
Nothing heavy is imported, so that a command line can be parsed at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, NamedTuple, cast, get_args

from rsverify._core.types import (
    Auto,
    BoundName,
    MeanBoundName,
    OrderingName,
    RadiusName,
    ScoreMapName,
    VoteBoundName,
)

if TYPE_CHECKING:
    from rsverify.bounds.margin import Taylor
    from rsverify.noise import Norm

Choices = tuple[str, ...]
Kind = type[int] | type[float] | type[str]
VOTE_BOUNDS: tuple[VoteBoundName, ...] = get_args(VoteBoundName)
SCORE_BOUNDS: tuple[MeanBoundName, ...] = get_args(MeanBoundName)


def _listed(names: Choices) -> str:
    return ", ".join(names)


class Option(NamedTuple):
    """One option, as a command line needs it."""

    name: str
    default: object
    kind: Kind
    """What is read from a command line; None is what is not given."""
    choices: Choices
    """All that a text may be; empty where it is a number, or may be something else too."""
    help: str
    unset: str
    """What None stands for, where that is a value."""
    several: bool
    """Whether it may be given more than once."""


def _shown(
    help: str,
    *,
    kind: Kind | None = None,
    choices: Choices = (),
    unset: str = "",
    several: bool = False,
) -> dict[str, object]:
    return {"help": help, "kind": kind, "choices": choices, "unset": unset, "several": several}


@dataclass(frozen=True, kw_only=True)
class RequestOptions:
    """The options of `SmoothedClassifier.certify`, as they are given."""

    n0: int = field(default=100, metadata=_shown("Separate votes that choose the class."))
    n: int = field(default=100_000, metadata=_shown("Votes that estimate the margin."))
    alpha: float = field(
        default=1e-3, metadata=_shown("Total failure probability of one certificate.")
    )
    bound: BoundName = field(
        default="exact",
        metadata=_shown(
            f"Of votes: {_listed(VOTE_BOUNDS)}; of scores: {_listed(SCORE_BOUNDS)}.",
            choices=(*VOTE_BOUNDS, *SCORE_BOUNDS),
        ),
    )
    radius: RadiusName = field(
        default="R2", metadata=_shown("R2 or R1.", choices=get_args(RadiusName))
    )
    norm: Norm | None = field(
        default=None,
        metadata=_shown(
            "How an attack is measured: l0, l1, l2, linf, lp:POWER, mahalanobis or edit.",
            kind=str,
            unset="the one the noise is made for",
        ),
    )
    lipschitz: float | Auto | None = field(
        default=None,
        metadata=_shown("For R1 of scores: auto, or a Lipschitz constant of the scores.", kind=str),
    )
    ordering: OrderingName | Taylor | None = field(
        default=None,
        metadata=_shown(
            f"Ordering of the exact bound: {_listed(get_args(OrderingName))} or taylor:ORDER.",
            kind=str,
            unset="likelihood-ratio",
        ),
    )
    scores: ScoreMapName = field(
        default="softmax",
        metadata=_shown(
            "For a bound of scores, from the model's output to scores: "
            f"{_listed(get_args(ScoreMapName))}.",
            choices=get_args(ScoreMapName),
        ),
    )
    temperature: float = field(
        default=1.0,
        metadata=_shown("For a bound of scores: the model's output is divided by it first."),
    )
    target_radius: float | Sequence[float] | None = field(
        default=None,
        metadata=_shown(
            "Only find out whether the radius reaches this; may be given several times.",
            kind=float,
            several=True,
        ),
    )
    precision: float | None = field(
        default=None,
        metadata=_shown("Stop when the radius is known within this width.", kind=float),
    )
    relative_precision: float | None = field(
        default=None,
        metadata=_shown("Stop when the radius is known within this share of it.", kind=float),
    )
    futility: float = field(
        default=0.1,
        metadata=_shown(
            "Stop for futility at this probability of a decision within N votes; 0: never."
        ),
    )
    ignore: Sequence[int] = field(
        default=(),
        metadata=_shown(
            "A class fixed beforehand that is no runner-up; may be given several times.",
            kind=int,
            unset="none",
            several=True,
        ),
    )
    top_k: int = field(
        default=1,
        metadata=_shown("Certify that the class stays among so many most probable ones."),
    )


def request_options() -> Mapping[str, Option]:
    """Return every option of a request by its name."""
    return {
        f.name: Option(
            f.name,
            f.default,
            cast(Kind, f.metadata["kind"] or type(f.default)),
            f.metadata["choices"],
            f.metadata["help"],
            f.metadata["unset"],
            f.metadata["several"],
        )
        for f in fields(RequestOptions)
    }
