"""Plans of certifications, from assumed probabilities or from the votes of a pilot."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import ndtri

from rsverify._core.check import (
    FloatArray,
    check_choice,
    check_flag,
    check_integer,
    check_level,
    check_positive,
    check_seed_number,
    check_size,
    shown,
)
from rsverify._core.errors import DataError
from rsverify._core.types import RadiusName, VoteBoundName
from rsverify.bounds.margin import LARGEST_EXACT_TRIALS
from rsverify.bounds.margin_decision import check_futility
from rsverify.certificates.planning import (
    certifying_probability,
    check_probabilities,
    margin_of,
    margin_variance,
    selecting_probability,
)
from rsverify.certificates.threat import Threat, check_threat
from rsverify.noise import Gaussian, Noise, Norm
from rsverify.tables.counts import counts_of_frame
from rsverify.tables.plan import Cost, EarlyVotes, ExpectedShare, NeededVotes, Plan
from rsverify.tables.plan_draws import (
    Inputs,
    Sampling,
    leading_shares,
    posterior_shares,
    repeated,
    simulate_decisions,
)
from rsverify.tables.schema import count_columns
from rsverify.tables.settings import check_settings

__all__ = ["plan_samples"]

VOTE_BOUNDS: tuple[VoteBoundName, ...] = get_args(VoteBoundName)
# Of so few assumed inputs every probability is computed, of more it is simulated.
_FEW = 3
_STEPS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
_CLOSE = 1.01  # two numbers of votes that are not told apart
_LEAST_N = 10
EVERY_RIVAL = (
    ", any other class taken for a runner-up (where ignore or top_k leave some out, fewer votes do)"
)
"""What is added to where a plan comes from, where the run certifies more than is planned."""
_FEWEST_RUNS = 400  # with early decisions
LARGEST_MARGIN = 80.0
"""No number of votes shows so much of quantiles."""


def plan_samples(
    *,
    probabilities: npt.ArrayLike | None = None,
    pilot: npt.ArrayLike | pd.DataFrame | None = None,
    target_radius: float | Sequence[float] | FloatArray,
    alpha: float,
    sigma: float | None = None,
    noise: Noise | None = None,
    norm: Norm | None = None,
    dimension: int | None = None,
    radius: RadiusName = "R2",
    lipschitz: float | None = None,
    y: int | None = None,
    n: int = 100_000,
    n0: int = 100,
    inputs: int | None = None,
    probability: float = 0.9,
    bounds: Sequence[VoteBoundName] = VOTE_BOUNDS,
    early: bool = True,
    futility: float = 0.1,
    passes_per_second: float | None = None,
    seed: int = 0,
) -> Plan:
    """Return how many votes certify a radius, what a run would certify, and what it costs.

    Parameters
    ----------
    probabilities : array_like of float, shape (m,) or (N, m), optional
        Assumed probabilities of a vote for each of m classes, of one or N inputs.
    pilot : array_like of int or DataFrame, shape (N, m), optional
        Votes that were drawn; a table of certificates, or counts as `read_counts` gives them.
        Exactly one of the two must be given.
    target_radius : float or sequence of float
        The radii in question, in input units.
    alpha : float
        Failure probability of each certificate, in (0, 1).
    sigma, noise, norm, dimension, radius, lipschitz
        As `certify_counts`.
    y : int, optional
        The class certified. Where not given, that of a pilot's column `y`, else the class with the
        largest share.
    n : int
        Votes of the run in question, 1 to 1,000,000; early decisions draw this many at most.
    n0 : int
        Votes of the selection sample; 0 where the class is given.
    inputs : int, optional
        How many inputs the run has; those given, where it is not said.
    probability : float
        With which probability `Plan.needed` is to certify, in (0, 1): of several inputs the mean
        over those whose radius reaches the target at all.
    bounds : sequence of str
        Any of ``"exact"``, ``"bonferroni"``, ``"cohen"``.
    early : bool
        Simulate early decisions too.
    futility : float
        As `SmoothedClassifier.certify`, of early decisions.
    passes_per_second : float, optional
        Speed of the model, for times; `plan_dataset` measures it.
    seed : int
        Of what is simulated.

    Returns
    -------
    Plan

    Raises
    ------
    ValueError
        If an argument is out of its range, or not exactly one of `probabilities` and `pilot` is
        given.
    TypeError
        If an argument has the wrong type.

    Notes
    -----
    *Guarantee*: none of the run to come. With probabilities of up to three inputs, each stated
    probability is that of `certifying_probability` and `selecting_probability`; the n needed is
    the smallest one within 1 % at which it is reached, as it does not quite rise with n. Of more
    inputs, or of a pilot, about 1,000 inputs are simulated, whose shares are drawn from the
    posterior of the pilot's votes (Jeffreys' prior of the class certified against the others).

    Examples
    --------
    >>> from rsverify import plan_samples
    >>> plan = plan_samples(probabilities=[0.8, 0.15, 0.05], target_radius=0.2, sigma=0.25,
    ...                     alpha=0.001, n=10_000)
    >>> [(v.bound, v.n) for v in plan.needed]
    [('exact', 1952), ('bonferroni', 2261), ('cohen', 21332)]
    """
    threat = check_threat(
        sigma=sigma,
        noise=noise,
        norm=norm,
        dimension=dimension,
        radius=radius,
        lipschitz=lipschitz,
    )
    radii = np.unique(check_positive("target_radius", target_radius).ravel())
    if threat.noise.integer and (radii != np.floor(radii)).any():
        part = radii[radii != np.floor(radii)][0]
        raise ValueError(
            f"target_radius={part:g} must be a whole number for norm={str(threat.norm)!r}"
        )
    level = check_level(alpha)
    size = check_size("n", n, 1, LARGEST_EXACT_TRIALS)
    first = check_size("n0", n0, 0, LARGEST_EXACT_TRIALS)
    if isinstance(bounds, str):
        raise TypeError(f"bounds={shown(bounds)} must be a list of names")
    chosen = tuple(check_choice("bounds", b, VOTE_BOUNDS) for b in bounds)
    if not chosen or len(set(chosen)) < len(chosen):
        raise ValueError(f"bounds={shown(bounds)} must be one or more different ones")
    share = check_level(probability, "probability")
    check_futility(futility)
    given, source, exact, count = _inputs(probabilities, pilot, y, threat, check_seed_number(seed))
    wanted = np.array([margin_of_radius(threat, float(r)) for r in radii])
    asked = _Asked(given, threat, radii, wanted, level, first, share, chosen, exact, seed)
    cost = None
    if passes_per_second is not None:
        speed = float(check_positive("passes_per_second", passes_per_second))
        cost = Cost(
            device="a device as fast as stated",
            passes_per_second=speed,
            seconds_per_input=0.0,
            seconds_per_early_input=0.0,
            setup=0.0,
            batch_size=None,
        )
    decided = None
    if check_flag("early", early):
        decided = early_votes(
            given, wanted, Sampling(n=size, n0=first), level, futility=futility, seed=seed
        )
    return Plan(
        source=source,
        inputs=count if inputs is None else check_size("inputs", inputs),
        target_radii=tuple(radii.tolist()),
        noise=str(threat.noise) + ("" if threat.norm == "l2" else f", {threat.norm}"),
        alpha=level,
        n=size,
        n0=first,
        probability=share,
        reachable=tuple(asked.reachable().tolist()),
        needed=asked.needed(),
        expected=asked.expected(size),
        early=decided,
        cost=cost,
    )


def early_votes(
    inputs: Inputs,
    wanted: FloatArray,
    how: Sampling,
    alpha: float,
    *,
    futility: float,
    seed: int,
) -> EarlyVotes | None:
    """Return what early decisions take of inputs; None where a margin cannot be decided."""
    if not (wanted < (1.0 if inputs.estimand == "difference" else np.inf)).all():
        return None
    if len(inputs) < _FEWEST_RUNS:  # few that are assumed
        inputs = inputs.at(np.repeat(np.arange(len(inputs)), -(-_FEWEST_RUNS // len(inputs))))
    return simulate_decisions(inputs, wanted, how, alpha, futility=futility, seed=seed)


def margin_of_radius(threat: Threat, target: float) -> float:
    """Return the smallest margin whose radius is at least the target, ∞ where none is."""
    low, high = 0.0, 1.0 if threat.estimand == "difference" else LARGEST_MARGIN
    if float(threat.radius(high)) < target:
        return math.inf
    while True:
        middle = 0.5 * (low + high)
        if not low < middle < high:
            return high
        if float(threat.radius(middle)) >= target:
            high = middle
        else:
            low = middle


def _inputs(
    probabilities: npt.ArrayLike | None,
    pilot: npt.ArrayLike | pd.DataFrame | None,
    y: int | None,
    threat: Threat,
    seed: int,
) -> tuple[Inputs, str, bool, int]:
    """Return inputs, where they come from, whether all is computed, and how many were given."""
    if (probabilities is None) == (pilot is None):
        raise ValueError("exactly one of probabilities and pilot must be given")
    if probabilities is not None:
        rows = np.atleast_2d(np.asarray(probabilities, dtype=np.float64))
        shares = np.array([check_probabilities(row) for row in rows])
        label = _classes(y, shares)
        count = len(shares)
        right = np.ones(count, dtype=bool)
        given = Inputs(shares, label, right, threat.estimand)
        if count > _FEW:
            given = given.at(repeated(count))
        return given, "assumed probabilities", count <= _FEW, count
    assert pilot is not None, "one of the two is given"
    return *pilot_inputs(pilot, y, threat, seed), False, _rows(pilot)


def _rows(pilot: npt.ArrayLike | pd.DataFrame) -> int:
    return len(pilot) if isinstance(pilot, pd.DataFrame) else len(np.atleast_2d(np.asarray(pilot)))


def pilot_inputs(
    pilot: npt.ArrayLike | pd.DataFrame, y: int | None, threat: Threat, seed: int
) -> tuple[Inputs, str]:
    """Return inputs drawn from what a pilot's votes leave possible, and what it was."""
    frame = pilot if isinstance(pilot, pd.DataFrame) else pd.DataFrame(_array(pilot))
    if not isinstance(pilot, pd.DataFrame):
        frame.columns = [f"count_{i}" for i in range(frame.shape[1])]
    others = frame
    if not count_columns(frame):
        frame = counts_of_frame(frame, "pilot", None)
        others = frame
    _check_noise(others, threat)
    votes = check_integer("pilot", frame[count_columns(frame)].to_numpy())
    total = votes.sum(axis=1)
    if len(votes) == 0 or votes.shape[1] < 2 or (votes < 0).any() or (total == 0).any():
        raise ValueError("pilot must hold rows of votes of two or more classes, none of them empty")
    label = _classes(y, votes / total[:, np.newaxis])
    if y is None and "y" in others:
        label = check_integer("y", others["y"].to_numpy())
    truth = check_integer("label", others["label"].to_numpy()) if "label" in others else None
    right = np.ones(len(votes), dtype=bool)
    if truth is not None and (truth != -1).any():
        right = label == truth
    shares, kept = posterior_shares(votes, label, np.random.default_rng([seed, 2]))
    few, most = int(total.min()), int(total.max())
    each = f"{few:,}" if few == most else f"{few:,} to {most:,}"
    source = f"a pilot of {each} votes on {len(votes):,} input{'s' * (len(votes) > 1)}"
    if {"ignored", "top_others"} & set(others):
        source += EVERY_RIVAL
    return Inputs(shares, label[kept], right[kept], threat.estimand), source


def _check_noise(pilot: pd.DataFrame, threat: Threat) -> None:
    """Raise where a pilot says that its votes were drawn under other noise than is planned for."""
    for text in pd.unique(pilot["noise"].dropna().astype(str)) if "noise" in pilot else ():
        if ":" in text and text != str(threat.noise):
            raise DataError(
                f"noise={text} of the pilot must be {threat.noise}, which is planned for: votes "
                "under other noise do not tell"
            )
    if isinstance(threat.noise, Gaussian) and not isinstance(threat.noise.sigma, tuple):
        check_settings(pilot, {"sigma": threat.noise.sigma})


def _array(pilot: npt.ArrayLike) -> FloatArray:
    votes = np.atleast_2d(np.asarray(pilot))
    if votes.ndim != 2:
        raise ValueError(f"pilot of shape {votes.shape} must have one row per input")
    return votes


def _classes(y: int | None, shares: FloatArray) -> npt.NDArray[np.int64]:
    if y is None:
        return np.asarray(shares.argmax(axis=1), dtype=np.int64)
    return np.full(len(shares), check_size("y", y, 0, shares.shape[1] - 1), dtype=np.int64)


@dataclass(frozen=True)
class _Asked:
    """What a plan is asked, and the inputs it is asked of."""

    inputs: Inputs
    threat: Threat
    radii: FloatArray
    wanted: FloatArray
    """The margin of each radius."""
    alpha: float
    n0: int
    probability: float
    bounds: tuple[VoteBoundName, ...]
    exact: bool
    seed: int

    def reachable(self) -> FloatArray:
        """Return the share of inputs whose margin is above that of each radius."""
        above = self.inputs.margins() > self.wanted[:, np.newaxis]
        return np.asarray((above & self.inputs.right).mean(axis=1))

    def shares(self, n: int, alpha: float) -> dict[VoteBoundName, FloatArray]:
        """Return for each bound what share is certified at each radius."""
        return {b: self.share_of(b, n, alpha) for b in self.bounds}

    def share_of(self, bound: VoteBoundName, n: int, alpha: float) -> FloatArray:
        """Return what share of the inputs a bound certifies at each radius."""
        if not self.exact:
            found = self.inputs.margins_reached(n, alpha, (bound,), self.wanted, self.seed)
            return np.asarray(found[bound].mean(axis=1))
        return np.array([self._computed(bound, n, alpha, float(m)) for m in self.wanted])

    def _computed(self, bound: VoteBoundName, n: int, alpha: float, margin: float) -> float:
        if not math.isfinite(margin):
            return 0.0
        total = 0.0
        for p, y in zip(self.inputs.shares, self.inputs.y, strict=True):
            total += selecting_probability(p, self.n0, y=int(y)) * certifying_probability(
                p,
                n,
                margin=margin,
                alpha=alpha,
                estimand=self.inputs.estimand,
                bound=bound,
                y=int(y),
            )
        return total / len(self.inputs)

    def expected(self, n: int) -> tuple[ExpectedShare, ...]:
        """Return what is certified at numbers of votes about n, and at n for other alpha."""
        sizes = {min(max(round(n * s), _LEAST_N), LARGEST_EXACT_TRIALS) for s in _STEPS} | {n}
        pairs = [(k, self.alpha) for k in sorted(sizes)]
        pairs += [(n, a) for a in (self.alpha * 10, self.alpha / 10) if 1e-12 <= a < 0.5]
        return tuple(
            ExpectedShare(bound=bound, radius=float(r), n=k, alpha=a, share=float(s))
            for k, a in pairs
            for bound, found in self.shares(k, a).items()
            for r, s in zip(self.radii, found, strict=True)
        )

    def needed(self) -> tuple[NeededVotes, ...]:
        """Return the votes that each bound needs for each radius."""
        return tuple(
            self._needed(bound, place) for place in range(len(self.radii)) for bound in self.bounds
        )

    def _needed(self, bound: VoteBoundName, place: int) -> NeededVotes:
        radius, reachable = float(self.radii[place]), float(self.reachable()[place])
        ceiling = self._ceiling(bound, float(self.wanted[place]))

        def none(reason: str) -> NeededVotes:
            return NeededVotes(bound=bound, radius=radius, n=None, probability=None, reason=reason)

        if reachable == 0.0:
            return none(
                "the radius is not reached at any number of votes, as the largest of these "
                f"probabilities is {self.largest_radius():.4g}: ask for less"
            )
        goal = self.probability * reachable
        if ceiling < goal:
            why = "without a majority of the votes it does not certify, and "
            rest = f"at most {ceiling / reachable:.3f} of those reachable are certified"
            return none((why if bound == "cohen" else "") + rest)

        def reached(n: int) -> float:
            return float(self.share_of(bound, n, self.alpha)[place])

        n = smallest_n(reached, goal, self._start(place))
        if n is None:
            return none(f"more than {LARGEST_EXACT_TRIALS:,} votes would be needed")
        return NeededVotes(
            bound=bound, radius=radius, n=n, probability=reached(n) / reachable, reason=""
        )

    def largest_radius(self) -> float:
        """Return the largest radius of an input whose class is right; 0 where there is none."""
        margins = self.inputs.margins()[self.inputs.right]
        largest = float(margins.max(initial=0.0))
        return float(self.threat.radius(min(largest, LARGEST_MARGIN)))

    def _ceiling(self, bound: VoteBoundName, wanted: float) -> float:
        """Return what is certified as n grows beyond all limits."""
        inputs = self.inputs
        margins = inputs.margins()
        if bound == "cohen":
            first, _ = leading_shares(inputs.shares, inputs.y)
            margins = margin_of(first, 1 - first, inputs.estimand)
        above = (margins > wanted) & inputs.right
        if not self.exact:
            return float(above.mean())
        chosen = [
            selecting_probability(p, self.n0, y=int(y))
            for p, y in zip(inputs.shares, inputs.y, strict=True)
        ]
        return float((above * np.array(chosen)).mean())

    def _start(self, place: int) -> int:
        """Return a number of votes to begin the search with, by a normal approximation."""
        inputs = self.inputs
        first, second = leading_shares(inputs.shares, inputs.y)
        gap = inputs.margins() - self.wanted[place]
        above = (gap > 0) & inputs.right & np.isfinite(gap)
        if not above.any():
            return 1000
        p1, p2 = np.minimum(first[above], 1 - 1e-9), np.maximum(second[above], 1e-9)
        gap = gap[above]
        z = -ndtri(self.alpha) - ndtri(1 - self.probability)
        variance = margin_variance(p1, p2, inputs.estimand)
        needed = z**2 * variance / gap**2
        typical = float(np.quantile(needed, self.probability))
        return int(min(max(typical, _LEAST_N), LARGEST_EXACT_TRIALS))


def smallest_n(reached: Callable[[int], float], goal: float, start: int) -> int | None:
    """Return the smallest number of votes, within 1 %, at which what is reached is the goal.

    What is reached rises with n but for small steps back. None above a million votes.
    """
    low, high = 0, start
    while reached(high) < goal:
        if high >= LARGEST_EXACT_TRIALS:
            return None
        low, high = high, min(max(high + 1, int(1.4 * high)), LARGEST_EXACT_TRIALS)
    while not low and high > 1:
        lower = int(high / 1.4)
        if lower < 1 or reached(lower) < goal:
            low = max(lower, 0)
            break
        high = lower
    while high - low > 1 and high > _CLOSE * low:
        middle = max(low + 1, min(high - 1, round(math.sqrt(max(low, 1) * high))))
        if reached(middle) < goal:
            low = middle
        else:
            high = middle
    return high
