"""From tables of certificates to figures of the whole data set, with their limits.

What each limit is a limit of: `rsverify.tables.limits`. What a reader of the figures must
know beside them is in the notes, from `rsverify.tables.checks`.
"""

from __future__ import annotations

import math
import os
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pandas as pd

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_level,
    check_real,
    check_scale,
    shown,
)
from rsverify._core.types import Json
from rsverify.certificates.certificate import ABSTAIN
from rsverify.tables.abstentions import Abstentions, abstentions
from rsverify.tables.checks import (
    all_rows_say,
    findings,
    largest_possible_radius,
    misfits,
    ordered_rows,
    settings_of,
    smoothed_predictions,
    with_base,
    with_settings,
)
from rsverify.tables.input_limits import (
    Estimate,
    Sampled,
    limits_of,
    population_of,
    sampled_inputs,
)
from rsverify.tables.level_claims import LevelClaims, level_claims
from rsverify.tables.limits import robust_lower, wrong_certificates_upper
from rsverify.tables.reader import average_certified_radius, count_columns
from rsverify.tables.vote_limits import VoteLimits, vote_limits

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Analysis", "analyze", "default_radii"]

# More than covers the rounding of the three operations that it is applied to.
_ROUNDED_DOWN = 1.0 - 1e-15
# Less than any table shows.
_NO_RADIUS = 1e-12


@dataclass(frozen=True, kw_only=True)
class Analysis:
    """The figures of one table.

    Of a table whose run stopped over inputs, when enough was known, limits are time-uniform.

    *Guarantee*: for inputs drawn independently from one distribution and certified with
    independent noise, each pair of limits fails with probability at most `alpha`, and so does
    each `Estimate.robust`; `wrong_certificates` does for any inputs. Each by itself: that all
    hold at once is not claimed. It assumes that each row's certificate fails with probability
    at most its alpha.
    """

    name: str
    """Of the table."""
    inputs: int
    """Rows of the table."""
    alpha: float
    """Failure probability of the limits, not of the certificates."""
    settings: dict[str, tuple[object, ...]]
    """How rows were certified: column to its different values, where known."""
    smoothed: Estimate
    """Accuracy of the class with the most votes, abstained or not; without vote counts of
    `predict`, where an abstention is wrong."""
    has_votes: bool
    """Whether there are vote counts."""
    base: Estimate | None
    """Accuracy of the base model without noise; None where its answers are not known."""
    abstained: Estimate
    """Rate of abstentions."""
    reasons: tuple[Abstentions, ...]
    """Why inputs abstain, and about how many votes would do; the most frequent reason first."""
    radii: tuple[float, ...]
    """Where `certified` is given."""
    certified: tuple[Estimate, ...]
    """Certified accuracy at each of `radii`, and limits of the robust accuracy."""
    average_radius: Estimate
    """Average certified radius, 0 where wrong or abstained, and a limit of the average robust
    radius."""
    largest_radius: float | None
    """What no radius of these settings exceeds; None where they are not known."""
    wrong_certificates: int | None
    """Upper limit of the number of wrong certificates among the rows."""
    claims: LevelClaims | None
    """What the level of each certificate buys for all of them; None where it is not known."""
    vote_limits: VoteLimits | None
    """The distribution of lower limits of p_y; None where there are no votes of a fixed number."""
    sampled: Sampled | None
    """Of a run that stopped over inputs: how far it came; else None."""
    predictions: dict[int, int]
    """How often each class is predicted, from what `smoothed` is; −1 is an abstention."""
    labels: dict[int, int]
    """How often each label occurs; −1 is an unknown one."""
    notes: tuple[str, ...]
    """What a reader of the figures must know."""
    table: pd.DataFrame = field(repr=False, compare=False)
    """The rows, by idx."""

    def to_dict(self) -> dict[str, object]:
        """Return all fields but the rows as JSON types."""
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "table"}
        for name in ("smoothed", "base", "abstained", "average_radius"):
            kept[name] = None if kept[name] is None else asdict(kept[name])
        for name in ("claims", "sampled"):
            kept[name] = None if kept[name] is None else asdict(kept[name])
        if self.vote_limits is not None:
            kept["vote_limits"] = {
                k: list(v) if isinstance(v, tuple) else v
                for k, v in asdict(self.vote_limits).items()
            }
        if self.sampled is not None:
            kept["sampled"] = asdict(self.sampled) | {
                "certified": [
                    {"radius": r, "lower": lo, "upper": up}
                    for r, (lo, up) in zip(self.radii, self.sampled.certified, strict=True)
                ]
            }
        kept["certified"] = [{"radius": r, **asdict(e)} for r, e in self.at_radii()]
        kept["reasons"] = [asdict(a) for a in self.reasons]
        kept["settings"] = {name: list(values) for name, values in self.settings.items()}
        for name in ("predictions", "labels"):
            kept[name] = {str(class_): times for class_, times in kept[name].items()}
        return kept | {"radii": list(self.radii), "notes": list(self.notes)}

    def plot(
        self, path: str | os.PathLike[str] | None = None, *, title: str = "", force: bool = False
    ) -> Figure:
        """Draw certified accuracy and predictions, into a file if one is named.

        See `rsverify.tables.plot.plot_analyses`.
        """
        from rsverify.tables.plot import plot_analyses

        return plot_analyses([self], path, title=title, force=force)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from rsverify.tables.notebook_view import analysis_html

        return analysis_html(self)

    def at_radii(self) -> list[tuple[float, Estimate]]:
        """Return the radii with their certified accuracies."""
        return list(zip(self.radii, self.certified, strict=True))


def default_radii(sigma: float | None, largest: float) -> tuple[float, ...]:
    """Return zero and up to eight round radii.

    They reach to 3.9 sigma, about what 100,000 votes can certify; to the largest radius seen
    where sigma is not known.

    Examples
    --------
    >>> from rsverify.tables.analysis import default_radii
    >>> default_radii(0.25, largest=0.9)
    (0.0, 0.25, 0.5, 0.75)
    >>> default_radii(1.0, largest=3.1)
    (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5)
    """
    reach = largest if sigma is None else 3.9 * sigma
    if reach < _NO_RADIUS:
        return (0.0,)
    decade = 10.0 ** math.floor(math.log10(reach / 8))
    step = next(s * decade for s in (1.0, 2.5, 5.0, 10.0) if 8 * s * decade >= reach)
    return tuple(float(f"{i * step:.6g}") for i in range(math.floor(reach / step) + 1))


def analyze(
    table: pd.DataFrame,
    *,
    name: str = "table",
    radii: npt.ArrayLike | None = None,
    alpha: float = 0.05,
    n: int | None = None,
    sigma: float | None = None,
    stated_alpha: float | None = None,
    largest_radius: float | None = None,
    base: npt.ArrayLike | None = None,
) -> Analysis:
    """Return the figures of a table of certificates, with their limits.

    Parameters
    ----------
    table : DataFrame
        As `read_table` returns it, with at least the columns `idx`, `label`, `predict`,
        `radius` and `correct`. A column `base_predict` holds the class that the base model
        answers without noise.
    name : str
        Of the table, for those who read the figures.
    radii : array_like of float, optional
        Where the certified accuracy is wanted; `default_radii` where not given.
    alpha : float
        Failure probability of each pair of limits, in (0, 1).
    n, sigma, stated_alpha : optional
        Of a table of radii only, which does not say them: votes, noise and failure
        probability of each of its certificates, which are taken to be Cohen's.
    largest_radius : float, optional
        What no radius can exceed, known without looking at the table. Where not given it
        follows from n, sigma and alpha, if all rows share them and the bound.
    base : array_like of int, optional
        Class that the base model answers without noise, for the input of index i at place i.

    Returns
    -------
    Analysis

    Raises
    ------
    ValueError
        If the table is empty, lacks a column or has an index twice, or an argument is out of
        range or contradicts the table.

    Notes
    -----
    *Guarantee*: that of `Analysis`. The result does not depend on the order of the rows.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsverify.tables.analysis import analyze
    >>> table = pd.DataFrame({"idx": range(60), "label": [0, 1] * 30, "predict": [0, 1] * 30,
    ...                       "radius": [0.5, 0.7] * 30, "correct": 1})
    >>> result = analyze(table, radii=[0.6], sigma=0.25, stated_alpha=0.001)
    >>> found = result.certified[0]
    >>> print(f"{found.value:.3f} [{found.lower:.3f}, {found.upper:.3f}]")
    0.500 [0.368, 0.632]
    >>> print(f"{found.robust:.3f} {result.wrong_certificates}")
    0.387 1
    """
    level = check_level(alpha)
    rows = with_settings(ordered_rows(table), n=n, sigma=sigma, stated_alpha=stated_alpha)
    is_stated = "bound" in rows and "bound" not in table
    notes = list(misfits(rows)) if is_stated else []
    if base is not None:
        rows = with_base(rows, base)
    settings = settings_of(rows)
    known: Json = dict(settings)
    # Where the rows' levels differ, the largest holds for all; one that is not known may be any.
    failing = max(known["alpha"]) if all_rows_say(rows, "alpha") else None
    if largest_radius is None:
        largest_radius = largest_possible_radius(rows)
    else:
        largest_radius = check_scale("largest_radius", largest_radius)
    notes = [*findings(rows, largest_radius), *notes]
    if radii is None:
        radii = default_radii(max(known.get("sigma", [None])), float(rows["radius"].max()))
    asked = np.unique(check_real("radii", radii)) + 0.0  # a zero without a sign
    if not np.isfinite(asked).all():
        raise ValueError(f"radii={shown(radii)} must be finite")
    if (asked < 0).any():
        raise ValueError(f"radii={asked[asked < 0].flat[0]} must not be negative")

    predictions, label = smoothed_predictions(rows), rows["label"].to_numpy()
    limits = limits_of(rows)
    base_answers = rows["base_predict"].to_numpy() if "base_predict" in rows else None
    return Analysis(
        name=name,
        inputs=len(rows),
        alpha=level,
        settings=settings,
        smoothed=limits.share(_hits(predictions, label), level),
        has_votes=bool(count_columns(rows)),
        base=None if base_answers is None else limits.share(_hits(base_answers, label), level),
        abstained=limits.share(rows["predict"].to_numpy() == ABSTAIN, level),
        reasons=abstentions(rows),
        radii=tuple(asked.tolist()),
        certified=tuple(certified_estimates(rows, asked, level, failing)),
        average_radius=_average_radius(rows, level, failing, largest_radius),
        claims=level_claims(rows["alpha"].to_numpy(), level) if failing is not None else None,
        vote_limits=vote_limits(rows),
        sampled=sampled_inputs(rows, asked, level),
        largest_radius=largest_radius,
        wrong_certificates=(
            None
            if failing is None
            else wrong_certificates_upper(population_of(rows), failing, level)
        ),
        predictions=_frequencies(predictions),
        labels=_frequencies(label),
        notes=tuple(notes),
        table=rows,
    )


def _hits(classes: IntArray, label: IntArray) -> npt.NDArray[np.bool_]:
    hit: npt.NDArray[np.bool_] = (classes == label) & (label != ABSTAIN)
    return hit


def _frequencies(classes: IntArray) -> dict[int, int]:
    values, times = np.unique(classes, return_counts=True)
    return dict(zip(values.tolist(), times.tolist(), strict=True))


def certified_estimates(
    rows: pd.DataFrame, radii: FloatArray, alpha: float, certificate_alpha: float | None
) -> list[Estimate]:
    """Return the certified accuracy at each radius, with limits at level `alpha`."""
    limits = limits_of(rows)
    radius, right = rows["radius"].to_numpy(), rows["correct"].to_numpy() == 1
    found = []
    for r in radii:
        hit = right & (radius >= r)
        estimate = limits.share(hit, alpha)
        if certificate_alpha is not None:
            # One-sided, so that all of alpha is spent on it.
            lower = limits.share_lower(hit, alpha)
            estimate = replace(estimate, robust=float(robust_lower(lower, certificate_alpha)))
        found.append(estimate)
    return found


def correct_radii(rows: pd.DataFrame) -> FloatArray:
    """Return the radius of each row, 0 where its answer is wrong."""
    return np.where(rows["correct"].to_numpy() == 1, rows["radius"].to_numpy(), 0.0)


def _average_radius(
    rows: pd.DataFrame, alpha: float, certificate_alpha: float | None, largest: float | None
) -> Estimate:
    value = average_certified_radius(rows)
    if largest is None or rows["radius"].max() > largest:
        return Estimate(value=value)
    if largest == 0.0:
        return Estimate(value=0.0, lower=0.0, upper=0.0, robust=0.0)
    radii = correct_radii(rows)
    limits = limits_of(rows)
    lower, upper = limits.mean(radii, alpha, largest)
    robust = None
    if certificate_alpha is not None:
        share = limits.mean_lower(radii, alpha, largest) / largest
        robust = float(robust_lower(share, certificate_alpha)) * largest * _ROUNDED_DOWN
    return Estimate(value=value, lower=float(lower), upper=float(upper), robust=robust)
