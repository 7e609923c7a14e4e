"""Two tables of the same inputs, compared input by input.

Inputs differ far more from each other than two ways to certify them do. Compared input by
input that variation drops out, and a difference shows that two separate intervals hide. Where both
tables certify the same votes, nothing is left but the bounds: then the distribution of what one
gains over the other says all.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rsverify._core.check import (
    FloatArray,
    check_level,
    shown,
)
from rsverify.tables.analysis import Analysis, correct_radii
from rsverify.tables.input_limits import Estimate, stopped
from rsverify.tables.limits import mean_interval
from rsverify.tables.reader import count_columns

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Comparison", "Gains", "NotComparableError", "compare"]

# Beside the votes, what certificates that differ by their bounds alone have in common.
_SAME = ("y", "n", "alpha", "sigma", "radius_kind")
# What the radii are about; tables without these columns are of Gaussian noise and ℓ2.
_THREAT = ("noise", "norm", "ignored", "top_k")
# Of bounds that are equal, to the last digits of a root search.
_LAST_DIGITS = 1e-9
_DEFAULT = "likelihood-ratio"


class NotComparableError(ValueError):
    """Two tables are not of the same inputs."""


@dataclass(frozen=True, kw_only=True)
class Gains:
    """How the radii of two certificates of the same votes differ: the distribution over inputs.

    Changes of the radius, wrong answers and abstentions counted as 0.
    """

    smallest: float
    tenth: float
    """What nine of ten inputs gain at least."""
    median: float
    nine_tenths: float
    """What one of ten inputs gains at least."""
    largest: float
    newly_certified: int
    """Inputs that only the second table certifies right."""
    no_longer_certified: int
    """Inputs that only the first one does."""
    said: str
    """What certificates of the same votes tell of each other."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What changes from the table `first` to the table `second`, on the inputs of both.

    *Guarantee*: for inputs drawn independently from one distribution, the expected difference
    of the certified radii is within the limits of `difference` with probability at least
    1 − `alpha`. Certificates of one input may depend on each other, such as those of two
    bounds from the same votes; those of different inputs may not.
    """

    first: str
    """Name of the table that is compared with."""
    second: str
    """Name of the table that is compared."""
    inputs: int
    """Inputs in both tables."""
    alpha: float
    """Failure probability of the limits."""
    difference: Estimate
    """Average certified radius of `second` less that of `first`, wrong answers and
    abstentions counted as 0; no limits where a largest radius is not known, nor of certificates
    of the same votes."""
    larger: int
    """Inputs whose radius, so counted, is larger in `second`."""
    smaller: int
    """Inputs whose radius is smaller in `second`."""
    equal: int
    """Inputs whose radii are equal as written."""
    gains: Gains | None
    """Of tables that certify the same votes of the same classes at the same level, where nothing
    but the bounds differs: the distribution of what one gains over the other. Else None."""
    notes: tuple[str, ...]
    """What a reader of the figures must know."""
    changes: FloatArray = field(repr=False, compare=False)
    """The change of the radius of each input in both, by idx, so counted."""

    def to_dict(self) -> dict[str, object]:
        """Return all fields but the single changes as JSON types."""
        kept = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "changes"}
        kept |= {"difference": asdict(self.difference), "notes": list(self.notes)}
        return kept | {"gains": None if self.gains is None else asdict(self.gains)}

    def plot(
        self, path: str | os.PathLike[str] | None = None, *, title: str = "", force: bool = False
    ) -> Figure:
        """Draw the changes of all inputs, into a file if one is named: see `plot_comparison`."""
        from rsverify.tables.plot import plot_comparison

        return plot_comparison(self, path, title=title, force=force)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from rsverify.tables.notebook_view import comparison_html

        return comparison_html(self)


def compare(first: Analysis, second: Analysis, *, alpha: float = 0.05) -> Comparison:
    """Return what changes from one table to another, on the inputs that are in both.

    Parameters
    ----------
    first, second : Analysis
        Of tables of the same inputs: an idx stands for the same input in both.
    alpha : float
        Failure probability of the limits, in (0, 1).

    Returns
    -------
    Comparison

    Raises
    ------
    NotComparableError
        If the tables share no idx, an input has different labels in them, or their radii are in
        different norms.

    Notes
    -----
    *Guarantee*: that of `Comparison`.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsverify.tables.analysis import analyze
    >>> from rsverify.tables.comparison import compare
    >>> columns = {"idx": range(50), "label": 1, "predict": 1, "correct": 1}
    >>> old = analyze(pd.DataFrame(columns | {"radius": [0.2, 0.4] * 25}), largest_radius=0.5)
    >>> new = analyze(pd.DataFrame(columns | {"radius": [0.3, 0.4] * 25}), largest_radius=0.5)
    >>> found = compare(old, new)
    >>> found.larger, found.smaller, found.equal
    (25, 0, 25)
    >>> print(f"{found.difference.value:.3f}")
    0.050
    """
    level = check_level(alpha)
    for name, analysis in (("first", first), ("second", second)):
        if not isinstance(analysis, Analysis):
            raise TypeError(f"{name}={shown(analysis)} must be what rsverify.analyze returns")
    norms = [a.settings.get("norm", ("l2",)) for a in (first, second)]
    if norms[0] != norms[1]:
        raise NotComparableError(
            f"radii of {first.name} are in {norms[0][0]} and those of {second.name} in "
            f"{norms[1][0]}: choose one norm (rsverify recertify --norm)"
        )
    columns = ["idx", "label"]
    left = first.table[columns].assign(radius=correct_radii(first.table))
    right = second.table[columns].assign(radius=correct_radii(second.table))
    both = left.merge(right, on="idx", suffixes=("_first", "_second"))
    if len(both) == 0:
        raise NotComparableError(f"{first.name} and {second.name} have no idx in common")
    differ = both["label_first"] != both["label_second"]
    if differ.any():
        raise NotComparableError(
            f"{first.name} and {second.name} have different labels for {int(differ.sum())} of "
            f"{len(both)} inputs, such as idx={both['idx'][differ].iloc[0]}: not the same data"
        )
    change = np.array(both["radius_second"] - both["radius_first"])
    gains = None
    about = [[a.settings.get(name) for name in _THREAT] for a in (first, second)]
    if about[0] == about[1] and _same_votes(first.table, second.table):
        change[np.abs(change) <= _LAST_DIGITS] = 0.0
        radii = (both["radius_first"].to_numpy(), both["radius_second"].to_numpy())
        gains = _gains(*radii, change, said=_told(first, second, change))
    return Comparison(
        first=first.name,
        second=second.name,
        inputs=len(both),
        alpha=level,
        difference=(
            _difference(change, first, second, level)
            if gains is None
            else Estimate(value=float(change.mean()))
        ),
        larger=int((change > 0).sum()),
        smaller=int((change < 0).sum()),
        equal=int((change == 0).sum()),
        gains=gains,
        notes=tuple(_notes(first, second, len(both))),
        changes=change,
    )


def _same_votes(first: pd.DataFrame, second: pd.DataFrame) -> bool:
    """Return whether inputs of both tables have the same votes for the same class at one level.

    Then all but the bound and its ordering is the same, and every difference is the bounds'.
    """
    votes = count_columns(first)
    shared = [*votes, *_SAME]
    if not votes or not set(shared) <= set(first) & set(second) or count_columns(second) != votes:
        return False
    left, right = first.set_index("idx")[shared], second.set_index("idx")[shared]
    both = left.index.intersection(right.index)
    return bool((left.loc[both] == right.loc[both]).all(axis=None))


def _gains(first: FloatArray, second: FloatArray, change: FloatArray, said: str) -> Gains:
    quantiles = np.quantile(change, [0.0, 0.1, 0.5, 0.9, 1.0], method="lower")
    names = ("smallest", "tenth", "median", "nine_tenths", "largest")
    return Gains(
        **dict(zip(names, quantiles.tolist(), strict=True)),
        newly_certified=int(((second > 0) & (first <= 0)).sum()),
        no_longer_certified=int(((first > 0) & (second <= 0)).sum()),
        said=said,
    )


def _told(first: Analysis, second: Analysis, change: FloatArray) -> str:
    """Return what two certificates of the same votes say of each other."""
    said = (
        f"{second.name} certifies the same votes as {first.name} at the same alpha: nothing but "
        "the bounds differs"
    )
    bounds = [a.settings.get("bound", ()) for a in (first, second)]
    orderings = [*first.settings.get("ordering", ()), *second.settings.get("ordering", ())]
    exact = next((i for i in (0, 1) if bounds[i] == ("exact",)), None)
    others = {"cohen", "bonferroni"}
    if exact is None or not set(bounds[1 - exact]) <= others or set(orderings) - {_DEFAULT}:
        return said
    lower = (change > 0) if exact == 0 else (change < 0)
    if lower.any():
        return f"{said}, and the exact radius is smaller for {int(lower.sum())} inputs"
    return f"{said}, and the exact radius is never smaller, here as for all votes ever tried"


def _difference(change: FloatArray, first: Analysis, second: Analysis, alpha: float) -> Estimate:
    value = float(change.mean())
    least, most = first.largest_radius, second.largest_radius
    if stopped(first.table) or stopped(second.table):
        return Estimate(value=value)  # how many inputs there are depends on what was found
    if least is None or most is None or change.min() < -least or change.max() > most:
        return Estimate(value=value)
    if least + most == 0:
        return Estimate(value=value, lower=0.0, upper=0.0)
    lower, upper = mean_interval(change, alpha, low=-least, high=most)
    return Estimate(value=value, lower=float(lower), upper=float(upper))


def _notes(first: Analysis, second: Analysis, both: int) -> Iterator[str]:
    if not first.inputs == second.inputs == both:
        yield (
            f"{first.name} has {first.inputs} inputs and {second.name} {second.inputs}: they are "
            f"compared on the {both} of both, and their other figures are of different inputs"
        )
    for name, what in (("ignored", "ignored classes"), ("top_k", "top_k")):
        said = [", ".join(map(str, a.settings.get(name, ("none",)))) for a in (first, second)]
        if said[0] != said[1]:
            yield (
                f"{what} of {first.name}: {said[0]}, of {second.name}: {said[1]}; their "
                "certificates do not say the same of a class"
            )
    levels = [", ".join(map("{:g}".format, a.settings.get("alpha", ()))) for a in (first, second)]
    if all(levels) and levels[0] != levels[1]:
        yield (
            f"certificates of {first.name} fail with probability at most {levels[0]}, those of "
            f"{second.name} at most {levels[1]}: radii at a larger alpha are larger; compare at "
            "one alpha (rsverify recertify)"
        )
