"""What a bound is: a function, and what its limits are limits of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy.typing as npt

from rsverify._core.check import check_choice
from rsverify._core.types import DataKind, EstimandName, Side
from rsverify.bounds.interval import Interval

__all__ = ["Bound"]

Limits = npt.ArrayLike | Interval


@dataclass(frozen=True)
class Bound:
    """A confidence bound, and what it is a bound of.

    Parameters
    ----------
    name : str
        What reports, certificates and tables call it.
    function : callable
        By `data`: ``function(k1, k2, n, alpha)`` for votes, ``function(k, n, alpha)`` for counts,
        ``function(x, alpha)`` for samples of shape (..., n). One that bounds several estimands
        takes ``estimand=`` too.
    estimand : str or tuple of str
        What it bounds: "proportion", "mean", "difference", "probit".
    side : {"lower", "upper", "two-sided"}, default "lower"
        On which side of the estimand its limits are.
    data : str, default "votes"
        What the limits are computed from.
    time_uniform : bool, default False
        Whether there is a limit for each observation and all hold at once.
    reference : str, optional
        ``module:function`` of its reference implementation in `rsverify.reference`.

    Notes
    -----
    *Guarantee*: none of its own; that of `function` is stated there. A function of votes must not
    rise with k2: the runner-up is read off the same votes.

    Examples
    --------
    >>> from rsverify import Bound, certify_counts, clopper_pearson_lower
    >>> def first_class_only(k1, k2, n, alpha):
    ...     return 2 * clopper_pearson_lower(k1, n, alpha) - 1
    >>> own = Bound("first class only", first_class_only, estimand="difference")
    >>> certificate = certify_counts(
    ...     [900, 50, 50], sigma=0.25, alpha=0.001, y=0, bound=own, radius="R1"
    ... )
    >>> certificate.bound, certificate.prediction
    ('first class only', 0)
    """

    name: str
    function: Callable[..., Limits]
    estimand: EstimandName | tuple[EstimandName, ...]
    side: Side = "lower"
    data: DataKind = "votes"
    time_uniform: bool = False
    reference: str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise ValueError(f"name={self.name!r} must be a text that is not empty")
        if not callable(self.function):
            raise TypeError(f"function={self.function!r} must be callable")

    @property
    def estimands(self) -> tuple[EstimandName, ...]:
        """All that it bounds."""
        return self.estimand if isinstance(self.estimand, tuple) else (self.estimand,)

    def limits_of(self, estimand: EstimandName) -> Callable[..., Limits]:
        """Return the function for one estimand, without the option that says which."""
        check_choice("estimand", estimand, self.estimands)
        if isinstance(self.estimand, tuple):
            return partial(self.function, estimand=estimand)
        return self.function
