"""Inputs as a plan sees them: shares of the votes, and votes that are simulated from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, IntArray, share_of_alpha
from rsverify._core.types import MarginName, VoteBoundName
from rsverify.bounds.margin_decision import Answer, decide_margin
from rsverify.certificates.anytime import DECISION_SHARE, weights_of_others
from rsverify.certificates.looks import FIRST_LOOK, look_after
from rsverify.certificates.margins import limits_of_votes
from rsverify.certificates.planning import margin_of
from rsverify.tables.plan import EarlyVotes

ROWS = 1000
"""About so many inputs are simulated, those of a pilot several times where it has fewer."""
_MOST_TIMES = 50
# Of votes of a pilot: the class certified has half a vote more, and all others together.
_PRIOR = 0.5
AHEAD, LOOKED_AT = 0.25, 0.05
"""Shares of the votes so far: drawn ahead at most, and new when they are looked at."""


@dataclass(frozen=True)
class Inputs:
    """Vote shares of inputs, known or drawn from what a pilot leaves possible."""

    shares: FloatArray
    """Shape (N, m): the probability of a vote for each class."""
    y: IntArray
    """Shape (N,): the class that is certified."""
    right: npt.NDArray[np.bool_]
    """Whether it is the true class; true where that is not known."""
    estimand: MarginName
    """Which margin is in question."""

    def __len__(self) -> int:
        return len(self.y)

    def margins(self) -> FloatArray:
        """Return the margin of each input."""
        return margin_of(*leading_shares(self.shares, self.y), self.estimand)

    def some(self, count: int) -> Inputs:
        """Return at most so many, evenly spaced."""
        if len(self) <= count:
            return self
        return self.at(np.linspace(0, len(self) - 1, count).astype(np.int64))

    def at(self, rows: IntArray) -> Inputs:
        """Return those of some rows."""
        return Inputs(self.shares[rows], self.y[rows], self.right[rows], self.estimand)

    def margins_reached(
        self,
        n: int,
        alpha: float,
        bounds: tuple[VoteBoundName, ...],
        wanted: FloatArray,
        seed: int,
    ) -> dict[VoteBoundName, FloatArray]:
        """Return for each bound which of the margins each input certifies, in simulated votes.

        Shape (margins, inputs), 1 or 0. The votes are the same for all bounds.
        """
        rng = np.random.default_rng([seed, n])
        votes = rng.multinomial(n, self.shares)
        k1 = np.take_along_axis(votes, self.y[:, np.newaxis], axis=1)[:, 0]
        np.put_along_axis(votes, self.y[:, np.newaxis], -1, axis=1)
        k2 = votes.max(axis=1)
        found = {}
        for bound in bounds:
            limits = _limits(k1, k2, n, alpha, bound, self.estimand, wanted)
            found[bound] = (limits >= wanted[:, np.newaxis]).astype(np.float64) * self.right
        return found


def _limits(
    k1: IntArray,
    k2: IntArray,
    n: int,
    alpha: float,
    bound: VoteBoundName,
    estimand: MarginName,
    wanted: FloatArray,
) -> FloatArray:
    """Return limits of rows of votes, or numbers on the same side of each margin that is wanted.

    No limit is above what the votes themselves show, and the exact one not below Bonferroni's; it
    is computed where these leave open which of the margins it reaches.
    """
    shown = margin_of(k1 / n, k2 / n, estimand)
    limits = np.full(k1.shape, -np.inf)
    if bound == "exact":
        limits = _limits(k1, k2, n, alpha, "bonferroni", estimand, wanted)
    edges = np.sort(wanted)
    reached, possible = (np.searchsorted(edges, x, side="right") for x in (limits, shown))
    todo = np.flatnonzero((reached < possible) & (k1 > 0))
    if todo.size:
        pairs, place = np.unique(np.stack([k1[todo], k2[todo]]), axis=1, return_inverse=True)
        first, second = (np.ascontiguousarray(row) for row in pairs)
        count, level = np.full_like(first, n), np.full(first.shape, alpha)
        values = limits_of_votes(
            first, second, count, level, estimand=estimand, bound=bound, ordering=None
        )
        limits[todo] = np.asarray(values)[place.reshape(-1)]
    return limits


def leading_shares(shares: FloatArray, y: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the share of class y of each row, and the largest of the others."""
    first = np.take_along_axis(shares, y[:, np.newaxis], axis=1)[:, 0]
    others = shares.copy()
    np.put_along_axis(others, y[:, np.newaxis], -1.0, axis=1)
    return first, others.max(axis=1)


def posterior_shares(
    counts: IntArray, y: IntArray, rng: np.random.Generator
) -> tuple[FloatArray, IntArray]:
    """Return shares drawn from what the votes of a pilot leave possible, and whose they are.

    The prior is Jeffreys' of the class certified against all others, whose half vote is divided
    equally. About `ROWS` are drawn in all.
    """
    kept = repeated(len(counts))
    prior = np.full(counts.shape, _PRIOR / (counts.shape[1] - 1))
    np.put_along_axis(prior, y[:, np.newaxis], _PRIOR, axis=1)
    drawn = rng.standard_gamma((counts + prior)[kept])
    return drawn / drawn.sum(axis=1, keepdims=True), kept


def repeated(count: int, rows: int = ROWS) -> IntArray:
    """Return rows of `count` inputs that make about so many, each input as often as any other.

    Otherwise some inputs would weigh twice as much as others.
    """
    if count > rows:
        return np.linspace(0, count - 1, rows).astype(np.int64)
    return np.repeat(np.arange(count), min(_MOST_TIMES, max(round(rows / count), 1)))


@dataclass(frozen=True)
class Sampling:
    """How a run draws the votes of an input."""

    n: int
    """Votes of the estimation sample, at most."""
    n0: int
    """Votes of the selection sample."""
    batch_size: int = 64
    """Noisy inputs per forward pass."""
    clean: bool = False
    """Whether the model is also asked about the input without noise."""


def simulate_decisions(
    inputs: Inputs,
    margins: FloatArray,
    how: Sampling,
    alpha: float,
    *,
    futility: float,
    seed: int,
) -> EarlyVotes:
    """Return what it takes to decide target margins, of a simulated run on each input.

    Of several margins these are the votes of the one that takes the most alone, which is a
    twentieth less than together (``coverage_studies/all_radii.py``) and far sooner found.
    """
    rng = np.random.default_rng([seed, 1])
    steps = np.diff(schedule(how.n), prepend=0)
    votes = np.empty((margins.size, len(inputs)), dtype=np.int64)
    verdict = np.empty_like(votes)
    for i in range(len(inputs)):
        path = rng.multinomial(steps, inputs.shares[i]).cumsum(axis=0)
        selected = rng.multinomial(how.n0, inputs.shares[i]) if how.n0 else None
        for k, margin in enumerate(margins):
            found = decide_margin(
                path,
                int(inputs.y[i]) if selected is None else int(selected.argmax()),
                float(margin),
                share_of_alpha(alpha, DECISION_SHARE),
                estimand=inputs.estimand,
                weights=None if selected is None else weights_of_others(selected),
                prior=selected,
                horizon=how.n,
                futility=futility,
            )
            votes[k, i], verdict[k, i] = found.votes, found.verdict
    decided = np.isin(verdict, (Answer.AT_LEAST, Answer.BELOW))
    return summed_up(votes.max(axis=0), decided, how)


def summed_up(votes: IntArray, decided: npt.NDArray[np.bool_], how: Sampling) -> EarlyVotes:
    """Return the means over simulated runs, and what such votes take to draw."""
    drawn = np.array([drawn_for(int(v), how.n, how.batch_size) for v in votes])
    return EarlyVotes(
        votes=float(votes.mean()),
        passes=float(drawn[:, 0].mean()) + how.n0 + int(how.clean),
        looks=float(drawn[:, 1].mean()),
        decided=tuple(decided.mean(axis=1).tolist()),
        simulated=len(votes),
    )


def schedule(n: int) -> IntArray:
    """Return the numbers of votes at which a run of n looks for a decision."""
    looks = [min(FIRST_LOOK, n)]
    while looks[-1] < n:
        looks.append(min(n, look_after(looks[-1])))
    return np.array(looks, dtype=np.int64)


def drawn_for(votes: int, n: int, batch_size: int) -> tuple[int, int]:
    """Return about how many votes are drawn, and how often they are looked at, to see `votes`.

    A run asks for a quarter more than it has, 50 at least, gets no more than a batch holds, and
    looks when a twentieth has come.
    """
    drawn = seen = looks = 0
    while drawn < votes:
        drawn = min(n, drawn + min(batch_size, max(FIRST_LOOK, int(AHEAD * drawn))))
        if drawn >= FIRST_LOOK and drawn - seen >= LOOKED_AT * seen:
            seen, looks = drawn, looks + 1
    return drawn, looks
