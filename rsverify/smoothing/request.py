"""What is asked about an input: checked before anything is sampled, then put to its votes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from rsverify._core.check import (
    IntArray,
    check_choice,
    check_ignored,
    check_level,
    check_scale,
    check_size,
    shown,
)
from rsverify.bounds.margin import check_ordering_range, find_ordering
from rsverify.bounds.margin_decision import check_futility
from rsverify.certificates.anytime import check_target
from rsverify.certificates.assumptions import warn_of_level
from rsverify.certificates.case import Terms, case_of_counts, terms_of
from rsverify.certificates.certificate import Stated
from rsverify.certificates.counts import stated
from rsverify.certificates.early import (
    TargetQuestion,
    decision_stated,
    first_decision,
    target_question,
)
from rsverify.certificates.interval import (
    Precision,
    check_precision,
    first_precise,
    interval_stated,
)
from rsverify.certificates.margins import BOUNDS, level_of_bound
from rsverify.certificates.options import RequestOptions
from rsverify.certificates.radius import ESTIMANDS
from rsverify.certificates.scores import (
    SCORE_BOUNDS,
    ScoreOptions,
    check_options,
    choose_class,
)
from rsverify.certificates.several import are_several, check_targets
from rsverify.certificates.threat import Threat, check_threat
from rsverify.noise import parse_norm
from rsverify.smoothing.data.inputs import LARGEST_CLASSES
from rsverify.smoothing.noise.sampler import Sampler
from rsverify.smoothing.score_maps import SCORE_MAPS, ScoreMap, score_map


class Question(NamedTuple):
    """What is asked of counts of an estimation and, if there is one, a selection sample."""

    finish: Callable[[IntArray, IntArray | None], Stated]
    """What counts say."""
    first: Callable[[IntArray, IntArray | None], int | None] | None = None
    """Which of several looks at counts, shape (T, m), is enough; None where all are wanted."""


def level_of(alpha: float, noise: Sampler) -> float:
    """Return what `alpha` leaves to a bound once the noise's own error is paid for."""
    return float(level_of_bound(check_level(alpha), noise.excess))


@dataclass(frozen=True, kw_only=True)
class Request(RequestOptions):
    """The arguments of `SmoothedClassifier.certify` that do not depend on the input."""

    @classmethod
    def given(cls, options: Mapping[str, object]) -> Request:
        """Return a request from options as a command line has them, or raise."""
        given = dict[str, Any](options)
        radii = given.get("target_radius")
        if isinstance(radii, list) and len(radii) == 1:  # which may be given several times
            given["target_radius"] = radii[0]
        return cls(**given)

    @property
    def of_scores(self) -> bool:
        """Whether the bound is one of scores; else it counts votes."""
        return self.bound in SCORE_BOUNDS

    @property
    def of_precision(self) -> bool:
        """Whether sampling stops when the radius is known within a width."""
        return self.precision is not None or self.relative_precision is not None

    @property
    def stops_early(self) -> bool:
        """Whether sampling stops as soon as the votes answer."""
        return self.target_radius is not None or self.of_precision

    def most_samples(self, *, given: bool = False) -> int:
        """Return how many noisy inputs are drawn, at most; of a class given no selection sample."""
        return self.n + (self.n0 if self.needs_selection(given=given) or self.of_scores else 0)

    def needs_selection(self, *, given: bool) -> bool:
        """Whether votes of a selection sample are drawn: to choose the class, or those ahead."""
        return not given or self.top_k > 1

    @property
    def constant(self) -> float | None:
        """The Lipschitz constant, which ``"auto"`` has become before anything is certified."""
        assert not isinstance(self.lipschitz, str), "resolved"
        return self.lipschitz

    def __post_init__(self) -> None:
        """Take each option for what it is, or raise."""
        checked: dict[str, object] = {
            "n0": check_size("n0", self.n0),
            "n": check_size("n", self.n),
            "alpha": check_level(self.alpha),
            "bound": check_choice("bound", self.bound, (*BOUNDS, *SCORE_BOUNDS)),
            "radius": check_choice("radius", self.radius, ESTIMANDS),
            "scores": check_choice("scores", self.scores, SCORE_MAPS),
            "temperature": check_scale("temperature", self.temperature),
            "futility": check_futility(self.futility),
            "ignore": check_ignored(self.ignore, LARGEST_CLASSES),
            "top_k": check_size("top_k", self.top_k),
        }
        if self.norm is not None:
            checked["norm"] = parse_norm(self.norm)
        if self.lipschitz is not None and not isinstance(self.lipschitz, str):
            checked["lipschitz"] = check_scale("lipschitz", self.lipschitz)
        elif self.lipschitz is not None:
            check_choice("lipschitz", self.lipschitz, ["auto"])
        if self.ordering is not None:
            checked["ordering"] = find_ordering(self.ordering)
        if self.target_radius is not None:
            several = are_several(self.target_radius)
            check = check_targets if several else check_target
            checked["target_radius"] = check(self.target_radius)  # type: ignore[arg-type]
        wanted = check_precision(self.precision, self.relative_precision)
        checked |= {"precision": wanted.absolute, "relative_precision": wanted.relative}
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    def batch_sizes(self, batch_size: int | None) -> tuple[int, ...]:
        """Return the sizes of batches that both samples are drawn in, where they are sizes."""
        if not isinstance(batch_size, int) or batch_size < 1:
            return ()
        totals = [t for t in (self.n, self.n0) if isinstance(t, int) and t > 0]
        sizes = {min(batch_size, t) for t in totals} | {t % batch_size for t in totals}
        return tuple(sorted(sizes - {0}))

    def check(self, num_classes: int, noise: Sampler, y: int | None, dimension: int) -> None:
        """Raise where a certificate would, before anything is sampled.

        `dimension` is how many numbers each input has.
        """
        noise.distribution.check_norm(self.norm)
        warn_of_level(level_of(self.alpha, noise))
        if self.target_radius is not None and self.of_precision:
            raise ValueError(
                f"target_radius={shown(self.target_radius)} must be None with precision or "
                "relative_precision: ask for one or the other"
            )
        check_ordering_range(self.ordering, np.array(self.n), np.array(self.alpha))
        if self.stops_early and (self.bound != "exact" or self.ordering is not None):
            name = "target_radius" if self.target_radius is not None else "a precision"
            raise ValueError(
                f"bound={self.bound!r} and ordering={self.ordering!r} must be left out with "
                f"{name}: the bound is then the anytime one"
            )
        if self.of_scores:
            if self.ignore or self.top_k > 1:
                raise ValueError(
                    f"ignore={list(self.ignore)} and top_k={self.top_k} must be left out for "
                    f"bound={self.bound!r}: they are for votes"
                )
            if self.ordering is not None:
                raise ValueError(
                    f"ordering={self.ordering!r} must be None for bound={self.bound!r}"
                )
            if y is not None:
                choose_class(None, y, num_classes)  # raises where y is not a class
            self.score_options(noise)
            return
        if self.scores != "softmax" or self.temperature != 1.0:
            raise ValueError(
                f"scores={self.scores!r} and temperature={self.temperature!r} must be left out "
                f"for bound={self.bound!r}, which counts votes"
            )
        unanimous = np.zeros(num_classes, dtype=np.int64)
        unanimous[0] = self.n
        chosen = unanimous if self.needs_selection(given=y is not None) else None
        self.question(noise, y, dimension).finish(unanimous, chosen)

    def question(self, noise: Sampler, y: int | None, dimension: int | None = None) -> Question:
        """Return what is asked of the votes, of class y or of the one that is selected.

        `dimension` is how many numbers each input has, which some norms need.
        """
        terms = self._terms(noise, y, dimension)
        if self.of_precision:
            return self._of_precision(terms)
        if self.target_radius is not None:
            asked = target_question(self.target_radius, self.n, self.futility)
            return self._of_target(terms, asked)
        bound = check_choice("bound", self.bound, BOUNDS)

        def finish(votes: IntArray, chosen: IntArray | None) -> Stated:
            return stated(case_of_counts(votes, chosen, terms), bound, self.ordering)

        return Question(finish)

    def _terms(self, noise: Sampler, y: int | None, dimension: int | None) -> Terms:
        threat = self.threat(noise, dimension)
        return terms_of(
            threat,
            alpha=float(self.alpha),
            y=y,
            ignore=self.ignore,
            top_k=self.top_k,
            noise_excess=noise.excess,
        )

    def threat(self, noise: Sampler, dimension: int | None) -> Threat:
        """Return noise and norm; of a noise on a lattice, that before rounding."""
        distribution = noise.distribution
        norm = distribution.check_norm(self.norm)
        return check_threat(
            sigma=None,
            noise=distribution,
            norm=norm,
            dimension=dimension if distribution.needs_dimension(norm) else None,
            radius=self.radius,
            lipschitz=self.constant,
        )

    def _of_target(self, terms: Terms, asked: TargetQuestion) -> Question:
        def finish(votes: IntArray, chosen: IntArray | None) -> Stated:
            return decision_stated(case_of_counts(votes, chosen, terms), asked)

        def first(looks: IntArray, chosen: IntArray | None) -> int | None:
            return first_decision(looks, chosen, terms, asked)

        return Question(finish, first)

    def _sigma(self, noise: Sampler) -> float:
        """Return sigma, or raise where noise or norm is another one than the plain ones."""
        norm = noise.distribution.check_norm(self.norm)
        if noise.sigma is None or norm != "l2":
            raise ValueError(
                f"noise={noise.distribution.brief} and norm={str(norm)!r} must be Gaussian noise "
                f"of one sigma and 'l2' for bound={self.bound!r}: leave it out"
            )
        return noise.sigma

    def _of_precision(self, terms: Terms) -> Question:
        wanted = Precision(self.precision, self.relative_precision)

        def finish(votes: IntArray, chosen: IntArray | None) -> Stated:
            return interval_stated(case_of_counts(votes, chosen, terms), wanted)

        def first(looks: IntArray, chosen: IntArray | None) -> int | None:
            return first_precise(looks, chosen, terms, wanted)

        return Question(finish, first)

    def score_options(self, noise: Sampler) -> tuple[ScoreOptions, ScoreMap]:
        """Return the options of a bound of scores, and the map from outputs to scores."""
        options = check_options(
            sigma=self._sigma(noise),
            alpha=float(self.alpha),
            bound=check_choice("bound", self.bound, SCORE_BOUNDS),
            radius=self.radius,
            lipschitz=self.constant,
            noise_excess=noise.excess,
        )
        return options, score_map(self.scores, self.temperature)
