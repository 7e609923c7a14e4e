"""From scores to a certificate of the soft classifier: its class has the largest mean score.

A vote counts which class wins; a score says by how much. The two smooth different functions:
votes give the classifier x ↦ argmax_k P(model predicts k), scores x ↦ argmax_k E[F_k].
The second is certified here. Its radius can be stated with fewer samples where the scores vary
little, and its R1 uses a Lipschitz constant of the network itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_choice,
    check_integer,
    check_level,
    check_scale,
    share_of_alpha,
    shown,
)
from rsverify._core.types import MeanBoundName, RadiusName, ScoreMethodName
from rsverify.bounds.score_margin import (
    DEFAULT_BOX,
    DEFAULT_RUNNERS_UP,
    MEAN_BOUNDS,
    RunnerUpPlan,
    check_runners_up,
    check_scores,
    column_margin_lower,
    plan_runners_up,
    renamed_rivals,
    runner_up_columns,
)
from rsverify.certificates.abstention import Status
from rsverify.certificates.assumptions import warn_of_level, warn_of_selection
from rsverify.certificates.certificate import ABSTAIN, Certificate
from rsverify.certificates.display import certificate_html, guarantee_of
from rsverify.certificates.margins import level_of_bound
from rsverify.certificates.parts import Claim, Evidence, evidence_of
from rsverify.certificates.radius import (
    ESTIMANDS,
    certified_radius_r1,
    certified_radius_r2,
    round_down_digits,
)

__all__ = ["ScoreCertificate", "certify_scores"]

SCORE_BOUNDS = tuple(MEAN_BOUNDS)
"""The bounds of one mean from which score certificates are made."""


@dataclass(frozen=True, kw_only=True, repr=False)
class ScoreCertificate(Certificate):
    """A certificate of the class with the largest mean score.

    Unpacks as ``prediction, radius`` like any other. ``counts`` and ``selection_counts`` say
    how often each class had the largest score; they are not what is certified here.

    *Guarantee*: over the random draw of the scores, the probability that the certificate
    states a radius within which `prediction` does not always have the largest mean score is
    at most `alpha`. It assumes independent draws and a class `y` and slopes fixed before.
    """

    mean_scores: tuple[float, ...]
    """Mean score of each class in the estimation sample."""
    method: ScoreMethodName
    """How the margin was bounded: see `score_margin_lower`."""

    def __str__(self) -> str:
        if self.status is not Status.CERTIFIED:
            return f"abstained ({self.status}): {self.reason}"
        return (
            f"class {self.prediction} within radius {round_down_digits(self.radius, 4)} "
            f"({self.radius_kind}, {self.bound} bound, mean score {self.mean_scores[self.y]:.4f} "
            f"of {self.n}, alpha={self.alpha:g}, sigma={self.sigma:g})"
        )

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        others = [(mean, c) for c, mean in enumerate(self.mean_scores) if c != self.y]
        most, runner_up = max(others)
        answer = [
            (
                f"mean score of class {self.y}",
                f"{self.mean_scores[self.y]:.4f}, of {self.n:,} samples",
            ),
            (f"mean score of the runner-up, class {runner_up}", f"{most:.4f}"),
        ]
        return certificate_html(self, answer, guarantee_of(self), [("method", self.method)])


class ScoreColumns(NamedTuple):
    """What is kept of a sample of n rows of scores over m classes."""

    first: FloatArray
    """Scores of the class certified, shape (n,)."""
    runners_up: FloatArray
    """Scores of the other classes, the largest of those left out in the last row, shape (k, n)."""
    mean: FloatArray
    """Mean scores, shape (m,)."""
    votes: IntArray
    """How often each class had the largest score, shape (m,)."""


class ScoreOptions(NamedTuple):
    """Checked options of a score certificate."""

    sigma: float
    alpha: float
    """Total failure probability."""
    level: float
    """What of it a bound may spend."""
    noise_excess: float
    """What of it the noise's own error has."""
    bound: MeanBoundName
    radius: RadiusName
    lipschitz: float | None


def check_options(
    *,
    sigma: float,
    alpha: float,
    bound: MeanBoundName,
    radius: RadiusName,
    lipschitz: float | None,
    noise_excess: float = 0.0,
) -> ScoreOptions:
    """Return checked options, or raise."""
    deviation, total = check_scale("sigma", sigma), check_level(alpha)
    level = float(level_of_bound(total, noise_excess))
    constant = None if lipschitz is None else check_scale("lipschitz", lipschitz)
    # The least share that a bound spends: better refused here than after sampling.
    share_of_alpha(level, DEFAULT_BOX * (1.0 - 1e-14))
    name = check_choice("bound", bound, SCORE_BOUNDS)
    kind = check_choice("radius", radius, ESTIMANDS)
    if constant is not None and radius != "R1":
        raise ValueError(
            f"lipschitz={constant} must be None for radius='{radius}': only R1 has one"
        )
    return ScoreOptions(deviation, total, level, noise_excess, name, kind, constant)


def certify_scores(
    scores: npt.ArrayLike,
    *,
    sigma: float,
    alpha: float,
    y: int | None = None,
    selection: npt.ArrayLike | None = None,
    bound: MeanBoundName = "betting",
    radius: RadiusName = "R2",
    lipschitz: float | None = None,
    runners_up: int = DEFAULT_RUNNERS_UP,
    rivals: int | None = None,
) -> ScoreCertificate:
    r"""Return a certificate of the class with the largest mean score.

    Parameters
    ----------
    scores : array of float, shape (n, m)
        Scores of n noisy copies of an input, in the order drawn; see `score_margin_lower`.
    sigma : float
        Standard deviation of the noise in input units, positive.
    alpha : float
        Total failure probability, in (0, 1).
    y : int, optional
        The class to certify, 0 to m - 1, fixed before `scores` were drawn. Without it the
        class of the largest mean of `selection`.
    selection : array of float, shape (n0, m), optional
        Scores of separate copies. They choose the class, unless `y` does, and how the other classes
        are bounded. One of `y` and `selection` is needed, both are allowed.
    bound : str
        The bound of one mean: a name that `score_margin_lower` takes.
    radius : {"R2", "R1"}
        R2 = σ/2 · (Φ⁻¹(μ_1) - Φ⁻¹(μ_2)) or R1 = (μ_1 - μ_2)/(√2 · L).
    lipschitz : float, optional
        For R1: an ℓ2 Lipschitz constant of the scores in the input, used if better than the
        smoothing's own. See `rsverify.certificates.simplex.scores_lipschitz`.
    runners_up : int
        How many other classes are bounded one by one, see `score_margin_lower`.
    rivals : int, optional
        The old name of `runners_up`; it warns and goes in the next version.

    Returns
    -------
    ScoreCertificate
        With ``prediction == ABSTAIN`` and radius 0 where nothing can be certified.

    Raises
    ------
    TypeError, ValueError
        As `score_margin_lower`, and if neither `y` nor `selection` is given.

    Notes
    -----
    *Guarantee*: as `ScoreCertificate`, for scores of independent noise N(0, σ²I); for any
    number of classes and without knowing the runner-up.

    Examples
    --------
    >>> import numpy as np
    >>> from rsverify.certificates.scores import certify_scores
    >>> scores = np.random.default_rng(0).dirichlet([12, 2, 1], size=2100)
    >>> options = {"sigma": 0.25, "alpha": 0.001, "selection": scores[:100]}
    >>> for bound in ("betting", "empirical-bernstein"):
    ...     print(f"{certify_scores(scores[100:], bound=bound, **options).radius:.4f}")
    0.2394
    0.2298
    """
    options = check_options(
        sigma=sigma, alpha=alpha, bound=bound, radius=radius, lipschitz=lipschitz
    )
    table = _table("scores", scores)
    chosen = None if selection is None else _table("selection", selection)
    if chosen is not None and chosen.shape[1] != table.shape[1]:
        raise ValueError(
            f"selection of shape {chosen.shape} must have the {table.shape[1]} classes of scores"
        )
    warn_of_level(options.alpha)
    if np.ptp(table, axis=0).any():  # else each input is scored alike, and samples agree
        warn_of_selection(table, chosen)
    label, plan = choose_class(
        chosen, y, table.shape[1], runners_up=renamed_rivals(rivals, runners_up)
    )
    first, columns = runner_up_columns(table, label, plan)
    votes = winners(table)
    sample = ScoreColumns(first, columns, table.mean(axis=0), votes)
    evidence = evidence_of(votes, None if chosen is None else winners(chosen))
    return columns_stated(sample, label, plan, options)(evidence)


def choose_class(
    selection: FloatArray | None,
    y: int | None,
    classes: int,
    *,
    runners_up: int = DEFAULT_RUNNERS_UP,
) -> tuple[int, RunnerUpPlan]:
    """Return the class to certify and the plan for the other classes."""
    count = check_runners_up(runners_up)
    if y is None and selection is None:
        raise ValueError(
            "y=None and selection=None: one must be given, as the guarantee holds for a class "
            "that is fixed before the scores are seen"
        )
    if y is None:
        label = int(np.asarray(selection).mean(axis=0).argmax())
    else:
        value = check_integer("y", y)
        if value.ndim or not 0 <= value < classes:
            raise ValueError(f"y={shown(y)} must be a class between 0 and {classes - 1}")
        label = int(value)
    return label, plan_runners_up(selection, label, classes, runners_up=count)


def columns_stated(
    sample: ScoreColumns, y: int, plan: RunnerUpPlan, options: ScoreOptions
) -> Callable[[Evidence], ScoreCertificate]:
    """Return what the columns that matter say; see `certify_scores`."""
    estimand = ESTIMANDS[options.radius]

    def margin_of(first: FloatArray, runners_up: FloatArray) -> float:
        return float(
            column_margin_lower(
                first,
                runners_up,
                options.level,
                estimand=estimand,
                slopes=plan.slopes[: len(runners_up)],
                mean_bound=options.bound,
            )
        )

    margin = margin_of(sample.first, sample.runners_up)
    status, reason = Status.CERTIFIED, ""
    n = sample.first.size
    if margin <= 0:
        unanimous = margin_of(np.ones(n), np.zeros(sample.runners_up.shape))
        status, reason = _why_abstain(sample, y, margin, unanimous, options)
    if options.radius == "R1":
        value = certified_radius_r1(margin, lipschitz=options.lipschitz, sigma=options.sigma)
    else:
        value = certified_radius_r2(margin, options.sigma)
    claim = Claim(
        prediction=y if status is Status.CERTIFIED else ABSTAIN,
        radius=float(value),
        status=status,
        reason=reason,
        y=y,
        alpha=options.alpha,
        bound=options.bound,
        ordering=None,
        radius_kind=options.radius,
        estimand=estimand,
        margin=margin,
        sigma=options.sigma,
        lipschitz=options.lipschitz,
        noise_excess=options.noise_excess,
    )
    return partial(
        ScoreCertificate,
        claim,
        mean_scores=tuple(sample.mean.tolist()),
        method="tangent" if estimand == "probit" else "union",
    )


def _why_abstain(
    sample: ScoreColumns, y: int, margin: float, unanimous: float, options: ScoreOptions
) -> tuple[Status, str]:
    """Return the kind of abstention and a sentence with its cause and remedy."""
    others = np.where(np.arange(sample.mean.size) == y, -1.0, sample.mean)
    other, n = int(others.argmax()), sample.first.size
    lead = (
        f"class {y} has mean score {sample.mean[y]:.4g} and class {other} {others[other]:.4g} "
        f"over {n} samples"
    )
    if sample.mean[y] <= others[other]:
        return Status.RUNNER_UP_AHEAD, (
            f"{lead}: more samples help only if this is a random fluctuation; a classifier trained "
            "with noise of this sigma, or a smaller sigma, can separate the classes"
        )
    if unanimous <= 0:
        return Status.TOO_FEW_SAMPLES, (
            f"n={n} cannot certify anything at alpha={options.level:g}, not even if all scores "
            "are 1: use a larger n or a larger alpha"
        )
    return Status.MARGIN_NOT_POSITIVE, (
        f"{lead}, too little for alpha={options.level:g}: the margin's lower limit is "
        f"{margin:.4g}; a larger n narrows it"
    )


def _table(name: str, scores: npt.ArrayLike) -> FloatArray:
    table = check_scores(name, scores)
    if table.ndim != 2:
        raise ValueError(f"{name} of shape {table.shape} must have shape (n, m)")
    return table


def winners(scores: FloatArray) -> IntArray:
    """Return how often each class has the largest score."""
    return np.bincount(scores.argmax(axis=1), minlength=scores.shape[1]).astype(np.int64)
