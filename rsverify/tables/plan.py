"""What a plan says: the votes that are needed, what they will certify, and what they cost."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from rsverify._core.check import check_size
from rsverify._core.files import write_file
from rsverify._core.types import VoteBoundName

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Cost", "EarlyVotes", "ExpectedShare", "NeededVotes", "Plan"]


@dataclass(frozen=True, kw_only=True)
class NeededVotes:
    """How many votes certify a radius with the probability that was asked for."""

    bound: VoteBoundName
    """Which bound."""
    radius: float
    """The radius to certify."""
    n: int | None
    """Votes of the estimation sample; None where no number up to a million is enough."""
    probability: float | None
    """What it is at this n, computed; None where there is none."""
    reason: str
    """Why there is none; else empty."""


@dataclass(frozen=True, kw_only=True)
class ExpectedShare:
    """What share of the inputs is expected to be certified, correct where labels are known."""

    bound: VoteBoundName
    """Which bound."""
    radius: float
    """Within which radius."""
    n: int
    """From how many votes."""
    alpha: float
    """At which level of each certificate."""
    share: float
    """In [0, 1]; of one input its probability."""


@dataclass(frozen=True, kw_only=True)
class EarlyVotes:
    """What a run takes that stops each input when its target radii are decided."""

    votes: float
    """Votes of the estimation sample, the mean over inputs."""
    passes: float
    """Forward passes per input: these, the selection sample, and those drawn ahead in batches."""
    decided: tuple[float, ...]
    """Share of the inputs that are decided within n votes, for each target radius; of a precision
    the share of those that are known so well."""
    looks: float
    """How often votes are looked at, per input."""
    simulated: int
    """How many runs on one input were simulated."""


@dataclass(frozen=True, kw_only=True)
class Cost:
    """How fast a device is, as measured or stated."""

    device: str
    """Which."""
    passes_per_second: float
    """Forward passes, noise and votes included."""
    seconds_per_input: float
    """What each input takes beside them at a fixed n: loading it, and its bound."""
    seconds_per_early_input: float
    """The same with early decisions: all looks at its votes."""
    setup: float
    """Seconds before the first vote of a run: trying and probing the model."""
    batch_size: int | None
    """Noisy inputs per forward pass, where known."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How many votes a certification needs, what it will certify, and how long it takes.

    *Guarantee*: none, a plan is an estimate. With assumed probabilities of up to three inputs all
    probabilities are computed, for others simulated. Of a pilot the vote shares are drawn from
    their posterior, and its inputs stand for those to come.
    """

    source: str
    """What it was made from."""
    inputs: int
    """How many inputs the run has."""
    target_radii: tuple[float, ...]
    """The radii in question, rising."""
    noise: str
    """Noise and norm."""
    alpha: float
    """Failure probability of each certificate."""
    n: int
    """Votes of the estimation sample that the run would draw."""
    n0: int
    """Votes of the selection sample; 0 where the class is given."""
    probability: float
    """With which `needed` is to certify."""
    reachable: tuple[float, ...]
    """Share of the inputs whose radius reaches each target at all, however many the votes."""
    needed: tuple[NeededVotes, ...]
    """Votes for each bound and target radius."""
    expected: tuple[ExpectedShare, ...]
    """What is certified, by bound, radius, n and alpha."""
    early: EarlyVotes | None
    """What early decisions would take; None where they were not asked for."""
    cost: Cost | None
    """How fast it runs; None where that is not known."""
    clean: bool = False
    """Whether the model is also asked about each input without noise, as of a data set."""

    @property
    def passes_per_input(self) -> int:
        """Forward passes per input at the fixed n."""
        return self.n + self.n0 + int(self.clean)

    @property
    def passes(self) -> int:
        """Forward passes of the whole run at the fixed n."""
        return self.inputs * self.passes_per_input

    @property
    def early_passes(self) -> int | None:
        """Forward passes of the whole run with early decisions."""
        return None if self.early is None else math.ceil(self.inputs * self.early.passes)

    @property
    def saved(self) -> float | None:
        """Share of the forward passes that early decisions save."""
        return None if self.early is None else 1.0 - self.early.passes / self.passes_per_input

    def seconds(self, devices: int = 1, *, early: bool = False) -> float | None:
        """Return how long the run takes, in seconds, on some devices like the one measured.

        None where the speed, or for `early` the votes, are not known.
        """
        count = check_size("devices", devices)
        passes = self.early_passes if early else self.passes
        if self.cost is None or passes is None:
            return None
        busy = passes / self.cost.passes_per_second
        each = self.cost.seconds_per_early_input if early else self.cost.seconds_per_input
        busy += self.inputs * each
        share = math.ceil(self.inputs / count) / self.inputs  # inputs are not divided
        return self.cost.setup + busy * max(share, 1 / count)

    def with_cost(self, cost: Cost) -> Plan:
        """Return the plan on another device."""
        return replace(self, cost=cost)

    def __str__(self) -> str:
        from rsverify.tables.plan_view import summary

        return summary(self)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from rsverify.tables.plan_view import plan_html

        return plan_html(self)

    def to_dict(self) -> dict[str, object]:
        """Return all fields as JSON types, and the totals that follow from them."""
        content: dict[str, object] = {
            **asdict(self),
            "passes": self.passes,
            "early_passes": self.early_passes,
            "saved": self.saved,
            "seconds": self.seconds(),
            "early_seconds": self.seconds(early=True),
        }
        for name in ("needed", "expected", "target_radii", "reachable"):
            content[name] = list(content[name])  # type: ignore[call-overload]
        if self.early is not None:
            content["early"] = {**asdict(self.early), "decided": list(self.early.decided)}
        return content

    def to_json(self, path: str | os.PathLike[str] | None = None, *, force: bool = False) -> str:
        """Return the plan as JSON, and write it to `path` if one is given.

        A file that is there is replaced only with ``force=True``; else FileExistsError.
        """
        text = json.dumps(self.to_dict(), indent=1, allow_nan=False)
        if path is not None:
            write_file(path, text + "\n", force=force)
        return text

    def plot(
        self, path: str | os.PathLike[str] | None = None, *, title: str = "", force: bool = False
    ) -> Figure:
        """Draw what is certified against n, and the votes needed; into a file if one is named."""
        from rsverify.tables.plan_view import plot_plan

        return plot_plan(self, path, title=title, force=force)
