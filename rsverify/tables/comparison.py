"""Two tables of the same inputs, compared input by input.

Inputs differ far more from each other than two ways to certify them do. Compared input by
input that variation drops out, and a difference shows that two separate intervals hide.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass

from rsverify._core.check import (
    FloatArray,
    check_level,
    shown,
)
from rsverify.tables.analysis import Analysis, Estimate, correct_radii
from rsverify.tables.limits import mean_interval

__all__ = ["Comparison", "NotComparableError", "compare"]


class NotComparableError(ValueError):
    """Two tables are not of the same inputs."""


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
    abstentions counted as 0; no limits where a largest radius is not known."""
    larger: int
    """Inputs whose radius, so counted, is larger in `second`."""
    smaller: int
    """Inputs whose radius is smaller in `second`."""
    equal: int
    """Inputs whose radii are equal as written."""
    notes: tuple[str, ...]
    """What a reader of the figures must know."""

    def to_dict(self) -> dict[str, object]:
        """Return all fields as JSON types."""
        return asdict(self) | {"notes": list(self.notes)}


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
        If the tables share no idx, or an input has different labels in them.

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
    change = (both["radius_second"] - both["radius_first"]).to_numpy()
    return Comparison(
        first=first.name,
        second=second.name,
        inputs=len(both),
        alpha=level,
        difference=_difference(change, first, second, level),
        larger=int((change > 0).sum()),
        smaller=int((change < 0).sum()),
        equal=int((change == 0).sum()),
        notes=tuple(_notes(first, second, len(both))),
    )


def _difference(change: FloatArray, first: Analysis, second: Analysis, alpha: float) -> Estimate:
    value = float(change.mean())
    least, most = first.largest_radius, second.largest_radius
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
    levels = [", ".join(map("{:g}".format, a.settings.get("alpha", ()))) for a in (first, second)]
    if all(levels) and levels[0] != levels[1]:
        yield (
            f"certificates of {first.name} fail with probability at most {levels[0]}, those of "
            f"{second.name} at most {levels[1]}: radii at a larger alpha are larger; compare at "
            "one alpha (rsverify recertify)"
        )
