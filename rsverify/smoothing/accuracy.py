"""Runs that stop over inputs: certified accuracy at a radius is known within a width."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from rsverify._core.check import check_level, check_number, check_scale, shown
from rsverify._core.errors import DataError
from rsverify.bounds.finite_population import population_share_interval
from rsverify.smoothing.sampling.asked import Finished
from rsverify.tables.schema import field

_ORDER = 7
"""Ends the seed of the order of inputs: no input's noise is drawn from it."""


@dataclass(frozen=True, kw_only=True)
class AccuracyGoal:
    """When to stop: the certified accuracy of all inputs at a radius is known so well."""

    within: float
    """Largest width of the interval, in (0, 1)."""
    radius: float
    """Where the certified accuracy is wanted."""
    alpha: float
    """Failure probability of the interval, at whichever time it stops."""

    def known(self, hits: int, done: int, population: int) -> bool:
        """Return whether the interval after so many inputs is narrow enough."""
        lower, upper = population_share_interval(hits, done, population, self.alpha)
        return float(upper - lower) <= self.within

    def configuration(self) -> dict[str, float]:
        """Return what must be the same on a resume."""
        return {
            "accuracy_within": self.within,
            "accuracy_radius": self.radius,
            "accuracy_alpha": self.alpha,
        }


def accuracy_goal(
    within: float | None, radius: float | None, alpha: float, target: object
) -> AccuracyGoal | None:
    """Return the goal that a user names, None where there is none, or raise."""
    level = check_level(alpha, "accuracy_alpha")
    if within is None:
        if radius is not None:
            raise ValueError(
                f"accuracy_radius={shown(radius)} must be None without accuracy_within"
            )
        return None
    width = check_number("accuracy_within", within)
    if not 0.0 < width < 1.0:
        raise ValueError(f"accuracy_within={shown(within)} must be in (0, 1)")
    if radius is None:
        if not isinstance(target, float | int):
            raise ValueError(
                "accuracy_radius must be given with accuracy_within, or one target_radius"
            )
        radius = float(target)
    reach = float(check_number("accuracy_radius", radius))
    if reach != 0.0:
        reach = check_scale("accuracy_radius", reach)
    return AccuracyGoal(within=float(width), radius=reach, alpha=level)


def random_order(population: range, seed: Sequence[int]) -> list[int]:
    """Return all inputs in the order that follows from the seed."""
    order = np.random.default_rng([*seed, _ORDER]).permutation(len(population))
    return [population[int(i)] for i in order]


class Prefix:
    """The inputs done so far, as a prefix of the random order: what is known from them.

    Inputs are done out of order, the easy ones first, and then only those without a gap before them
    may count: which of the others are done depends on what was found.
    """

    def __init__(self, goal: AccuracyGoal, order: list[int], population: int) -> None:
        self.goal, self.order, self.population = goal, order, population
        self.done = self.hits = 0
        self._waiting: dict[int, Finished] = {}

    @property
    def known(self) -> bool:
        """Whether the accuracy is known as well as asked."""
        return self.goal.known(self.hits, self.done, self.population)

    def count(self, correct: int, radius: float) -> None:
        """Count the next input of the order."""
        # As the table has it, and as whoever reads it finds it: rounded down.
        written = float(field("radius", radius))
        self.hits += int(correct == 1 and written >= self.goal.radius)
        self.done += 1

    def resume(self, rows: Mapping[int, Mapping[str, str]]) -> None:
        """Count the rows of a table that is continued."""
        for place, idx in enumerate(self.order[: len(rows)], start=1):
            row = rows.get(idx)
            stated = None if row is None else (row.get("position"), row.get("population"))
            if row is None or stated != (str(place), str(self.population)):
                raise DataError(
                    f"input {idx} must be in the table as number {place} of {self.population} of "
                    "its random order: rows are missing or edited, and those that are there are "
                    "no random sample"
                )
            self.count(int(row["correct"]), float(row["radius"]))

    def in_order(self, finished: Iterable[Finished]) -> Iterator[Finished]:
        """Yield what is done in the order of the inputs; stop when enough is known."""
        if self.known:
            return
        for done in finished:
            item, certificate = done.asked.item, done.certificate
            assert item is not None, "of a data set"
            self._waiting[item.idx] = done
            while self.done < len(self.order) and self.order[self.done] in self._waiting:
                done = self._waiting.pop(self.order[self.done])
                item, certificate = done.asked.item, done.certificate
                assert item is not None, "of a data set"
                right = int(certificate.prediction == item.label != -1)
                self.count(right, certificate.radius)
                yield done
                if self.known:
                    return
