"""Published certificates at another level, where a table holds radii only.

The votes behind each radius are recovered first: the fewest that its printed digits allow
(`rsverify.tables.printed`) on the lattice of possible radii
(`rsverify.tables.published_radii`). Radii that fit no number of votes tell that the level, the
number of votes or the noise is another than the stated one.
"""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import pandas as pd

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_flag,
    check_level,
    check_scale,
    check_size,
)
from rsverify.bounds.proportion import LARGEST_TRIALS
from rsverify.certificates.abstention import Status
from rsverify.certificates.certificate import ABSTAIN
from rsverify.tables.cells import Places, parse_radii
from rsverify.tables.printed import RadiusFormat, printed_intervals
from rsverify.tables.published_radii import (
    Misfit,
    cohen_radius,
    find_misfit,
    fit_lattice,
    least_certifying_votes,
)
from rsverify.tables.rows import check_any_rows, check_table, check_unique_indices, with_outcome
from rsverify.tables.settings import check_cohens, check_settings

__all__ = [
    "IMPOSSIBLE_RADIUS",
    "PRINTED_AS_ZERO",
    "InconsistentRadiiError",
    "InconsistentRadiiWarning",
    "InfiniteRadiusWarning",
    "recertify_radii",
]

IMPOSSIBLE_RADIUS = "impossible radius"
"""Status of a published radius that no vote count gives at the stated alpha."""
PRINTED_AS_ZERO = "radius printed as zero"
"""Status of a published certificate whose printed radius is zero: it certifies nothing."""


class InconsistentRadiiWarning(UserWarning):
    """Radii cannot have come from the stated alpha, and `force` asked to go on."""


class InconsistentRadiiError(ValueError):
    """Radii cannot have come from the stated alpha."""

    def __init__(self, message: str, misfit: Misfit) -> None:
        super().__init__(message)
        self.misfit = misfit
        """What is wrong, and which settings would be right."""


class InfiniteRadiusWarning(UserWarning):
    """Published radii are infinite, which no number of votes gives."""


def recertify_radii(
    table: pd.DataFrame,
    *,
    n: int,
    sigma: float,
    stated_alpha: float,
    alpha: float | None = None,
    digits: int | None = None,
    force: bool = False,
) -> pd.DataFrame:
    """Return published certificates at another alpha, from their radii only.

    The printed digits of each radius are an interval of reals: those that print so to nearest
    or rounded down, computed in float64 or float32. The radius is inverted to the smallest
    number of votes in that interval at `stated_alpha`; the Cohen bound of those votes is then
    computed anew. No other bound is possible, as the votes of the runner-up are not known.
    Abstentions stay abstentions, and a certificate that was printed as zero becomes one.

    Parameters
    ----------
    table : DataFrame
        With the columns `label`, `predict` and `radius`. As `read_table` returns it, it knows
        how its radii were printed; of a table of other origin, zeros at the end of a number
        are lost, and each radius may have been printed with its own digits only. A column
        `radius` of text keeps them.
    n : int
        Size of the estimation sample behind each radius.
    sigma : float
        Standard deviation of the noise in input units, positive.
    stated_alpha : float
        The level that the radii were computed at, in (0, 1): that of a one-sided limit, so
        half of that of two-sided ones.
    alpha : float, optional
        The new level; `stated_alpha` where not given, which still rounds the radii down.
    digits : int, optional
        Significant digits of the printed radii, where they are known and some show fewer.
    force : bool
        Go on where radii cannot have come from `stated_alpha`, with a warning; those that
        cannot become abstentions.

    Returns
    -------
    DataFrame
        A copy with `predict`, `radius`, `correct` anew and the columns `votes` (recovered; 0
        where abstained), `n`, `sigma`, `alpha`, `bound`, `radius_kind` and `status`.

    Raises
    ------
    InconsistentRadiiError
        If some radii cannot have come from `stated_alpha` and `force` is false; the message
        names the likeliest of `rsverify.tables.published_radii.CANDIDATE_ALPHAS` and of half
        and twice `stated_alpha`, or other votes or noise where they explain the radii. A
        ValueError.
    ValueError
        If an argument is out of range, an index occurs twice, a radius is negative or NaN, or
        has more than `digits` digits; if a column says another `n`, `sigma` or alpha, another
        bound than Cohen's, or another noise or norm.

    Warns
    -----
    InconsistentRadiiWarning
        The same, where `force` is true.
    InfiniteRadiusWarning
        If a radius is infinite. Its votes are taken to be those of the largest finite radius.

    Notes
    -----
    *Guarantee*: if the radii were computed by Cohen's method at `n`, `sigma` and
    `stated_alpha`, grow with the votes where they are infinite, and were printed by one tool,
    to nearest or rounded down, each new radius is at most the one that the true votes give at
    `alpha`, so it has the guarantee of a certificate at that level. Checked: that each radius
    is one that some number of votes gives. Not checkable: the rest.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsverify.tables.recertify import recertify_radii
    >>> table = pd.DataFrame({"label": [3, 1], "predict": [3, -1], "radius": ["0.486", "0.0"]})
    >>> new = recertify_radii(table, n=100_000, sigma=0.5, stated_alpha=0.001, alpha=0.01)
    >>> new[["votes", "radius"]].round(4).values.tolist()
    [[83786.0, 0.4873], [0.0, 0.0]]
    """
    check_table(table)
    stated = check_level(stated_alpha, "stated_alpha")
    if stated < 1e-300:
        raise ValueError(f"stated_alpha={stated} must be at least 1e-300")
    level = stated if alpha is None else check_level(alpha)
    trials = check_size("n", n, largest=LARGEST_TRIALS)
    deviation = check_scale("sigma", sigma)
    places = None if digits is None else check_size("digits", digits)
    check_flag("force", force)
    check_any_rows(table)
    check_unique_indices(table)
    check_cohens(table)
    check_settings(table, {"n": trials, "sigma": deviation, "alpha": stated})
    printed, shown = printed_radii(table)
    certified = table["predict"].to_numpy() != ABSTAIN
    _check_radii(table, printed, certified)
    finite = certified & (printed > 0) & np.isfinite(printed)
    radii = printed[finite]
    low, high = printed_intervals(radii, shown, deviation, places)

    fit = fit_lattice(low, high, trials, deviation, stated)
    misfit = find_misfit(radii, low, high, fit, n=trials, sigma=deviation, stated=stated)
    if misfit is not None:
        _refuse_or_warn(misfit, force=force)
    votes = np.zeros(len(table), dtype=np.int64)
    votes[finite] = np.where(fit.possible, fit.votes, 0)
    infinite = certified & np.isinf(printed)
    if infinite.any():
        votes[infinite] = _votes_of_infinite(votes, trials, deviation, stated)
        _warn_of_infinite(radii, int(infinite.sum()))

    radius = np.zeros(len(table))
    recovered = votes > 0
    radius[recovered] = cohen_radius(votes[recovered], trials, deviation, level)
    status = np.full(len(table), "abstained in the published table", dtype=object)
    status[certified] = IMPOSSIBLE_RADIUS
    status[certified & (printed == 0)] = PRINTED_AS_ZERO
    status[recovered] = str(Status.CERTIFIED)
    status[recovered & (radius <= 0)] = str(Status.MARGIN_NOT_POSITIVE)
    return with_outcome(
        table,
        predict=np.where(radius > 0, table["predict"], ABSTAIN),
        radius=radius,
        votes=votes,
        n=trials,
        sigma=deviation,
        alpha=level,
        bound="cohen",
        radius_kind="R2",
        status=status,
    )


def printed_radii(table: pd.DataFrame) -> tuple[FloatArray, RadiusFormat]:
    """Return the radii as numbers, and how they were printed."""
    column = table["radius"]
    if pd.api.types.is_numeric_dtype(column):
        # A float32 that becomes a float64 shows that it was one by its digits.
        radii = column.to_numpy(dtype=np.float64)
        shown = RadiusFormat.from_attributes(table.attrs)
        if shown is None:
            shown = RadiusFormat.of_numbers(radii[np.isfinite(radii) & (radii > 0)])
        return radii, shown
    texts = [str(text).strip() for text in column]
    radii = parse_radii(texts, "radius", Places("the table", range(1, len(texts) + 1)))
    positive = np.isfinite(radii) & (radii > 0)
    return radii, RadiusFormat.of_texts(t for t, p in zip(texts, positive, strict=True) if p)


def _check_radii(
    table: pd.DataFrame, printed: FloatArray, certified: npt.NDArray[np.bool_]
) -> None:
    bad = certified & ~(printed >= 0)
    if bad.any():
        row = int(bad.argmax())
        which = f"idx={table['idx'].iloc[row]}" if "idx" in table.columns else f"place {row}"
        raise ValueError(
            f"radius={printed[row]} of the certified row at {which} must not be negative or NaN"
        )


def _refuse_or_warn(misfit: Misfit, *, force: bool) -> None:
    lost = f"the rows that do not fit ({misfit.impossible}) become abstentions"
    if force:
        # To where recertify_radii was called.
        warnings.warn(f"{misfit.message}; {lost}", InconsistentRadiiWarning, stacklevel=3)
        return
    right = misfit.explanation
    remedy = ""
    if right is not None:
        remedy = f"n={right.n}, sigma={right.sigma:g}, stated_alpha={right.alpha:g}, or "
    message = f"{misfit.message}: give {remedy}force=True, with which {lost}"
    raise InconsistentRadiiError(message, misfit)


def _votes_of_infinite(votes: IntArray, n: int, sigma: float, stated: float) -> int:
    """Return a number of votes that a row with an infinite radius has at least, or 0.

    As radii grow with votes, those of the largest finite radius; without one, as many as
    certify anything, which the row did.
    """
    if votes.any():
        return int(votes.max())
    least = least_certifying_votes(n, sigma, stated)
    return least if least <= n else 0


def _warn_of_infinite(radii: FloatArray, rows: int) -> None:
    known = (
        f"taken to have the votes of the largest finite radius, {radii.max():g}"
        if radii.size
        else "taken to have as few votes as certify anything"
    )
    warnings.warn(
        f"{rows} radii are infinite, which no number of votes gives; they are {known}",
        InfiniteRadiusWarning,
        stacklevel=3,
    )
