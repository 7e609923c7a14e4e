"""Certificates again at another level or bound, without sampling again.

From a table with vote counts, anything can be computed anew. From published radii only,
the votes of the certified class are recovered first: the fewest that the printed digits
allow. Where the possible radii lie wider apart than the printed digits, they also tell at
which alpha they were computed, which is sometimes not the stated one. See
`rsverify.tables.published_radii`.
"""

from __future__ import annotations

import os
import warnings

import numpy as np
import pandas as pd

from rsverify._core.check import FloatArray, check_alpha, check_choice, check_positive
from rsverify._core.progress import ProgressOption, check_progress
from rsverify._core.types import OrderingName, VoteBoundName
from rsverify.bounds.margin import Taylor
from rsverify.certificates.assumptions import warn_of_level
from rsverify.certificates.margins import BOUNDS
from rsverify.certificates.radius import ESTIMANDS
from rsverify.noise import Norm
from rsverify.tables.count_columns import check_rows
from rsverify.tables.counts import integers_of
from rsverify.tables.outcome import levels_of_rows, outcomes_of_rows
from rsverify.tables.reader import count_columns
from rsverify.tables.recertify_radii import IMPOSSIBLE_RADIUS as IMPOSSIBLE_RADIUS
from rsverify.tables.recertify_radii import PRINTED_AS_ZERO as PRINTED_AS_ZERO
from rsverify.tables.recertify_radii import InconsistentRadiiError as InconsistentRadiiError
from rsverify.tables.recertify_radii import InconsistentRadiiWarning as InconsistentRadiiWarning
from rsverify.tables.recertify_radii import InfiniteRadiusWarning as InfiniteRadiusWarning
from rsverify.tables.recertify_radii import recertify_radii as recertify_radii
from rsverify.tables.rows import check_any_rows, check_table, check_unique_indices, with_outcome
from rsverify.tables.settings import check_totals
from rsverify.tables.threats import in_another_norm, left_out_of_table

__all__ = ["recertify"]

SHOWN_DIGITS = 2e-6
"""Radii of tables are rounded down in their last digit, and differ by that alone."""


class NotNestedWarning(UserWarning):
    """Two levels of the default bound give some votes the larger radius at the smaller alpha."""


def recertify(
    table: pd.DataFrame,
    *,
    alpha: float | None = None,
    bound: VoteBoundName | None = None,
    ordering: OrderingName | Taylor | None = None,
    norm: Norm | None = None,
    dimension: int | None = None,
    store: str | os.PathLike[str] | None = None,
    progress: ProgressOption = None,
) -> pd.DataFrame:
    """Return a table's certificates at another alpha, bound or norm, from its vote counts.

    Parameters
    ----------
    table : DataFrame
        As `read_table` returns it, with the columns `y`, `sigma`, `radius_kind`, `count_0`, ….
    alpha : float, optional
        Total failure probability of each row, in (0, 1); the table's own where not given. A
        column `noise_excess`, of tables of discrete noise, says what of it is the noise's, and
        `alpha_shares` how many classes share it, one of which the votes themselves chose.
    bound : {"exact", "bonferroni", "cohen"}, optional
        The table's own where not given.
    ordering : str, optional
        Ordering of the exact bound, ``"likelihood-ratio"`` where not given.
    norm : str or Lp, optional
        Another norm of attacks that the table's noise has radii in; the table's own where not
        given.
    dimension : int, optional
        How many numbers each input has, for norms that need it.
    store : path-like, optional
        A file that limits are kept in as they are computed, so that the same call goes on after an
        interruption. It may serve several tables; remove it when you are done.
    progress : bool, callable or object, optional
        Where to tell how many different rows are done and how long the rest takes; where not
        given, of runs of more than a few seconds: see `rsverify.certify_dataset`.

    Returns
    -------
    DataFrame
        A copy with `predict`, `radius`, `correct`, `status`, `alpha`, `bound`, `ordering` and
        `margin` anew, and of another norm `noise`, `norm` and `dimension`. `time` stays that
        of the sampling.

    Raises
    ------
    ValueError
        If the table has no vote counts (see `recertify_radii`), if its noise has no radius in
        `norm` (the message lists those it has), if its rows disagree about a
        bound or radius that is to be kept, or if an option is out of range. If sampling
        stopped at a target radius: these bounds are for a number of votes that is fixed
        beforehand, and such counts are the ones at which sampling was stopped.
    KeyboardInterrupt
        On Ctrl-C, with what is kept.

    Notes
    -----
    *Guarantee*: that of `certify_counts`, at a level and bound chosen without looking at the
    counts. The smallest of several bounds' failures is not bounded by any one alpha: choosing
    for each row the bound that certifies most costs the sum of their levels.

    The default ordering depends on alpha: at another level that is close by, a few rows may have
    the larger radius at the smaller alpha, of which a `NotNestedWarning` tells. Both are valid;
    ``ordering="nested"`` at both levels rules it out.

    Equal rows are computed once, all others on all cores.

    Certificates of scores become those of votes, for the same class. A Lipschitz constant of
    their scores says nothing about votes, so R1 then rests on the smoothing's own.

    Examples
    --------
    >>> from rsverify import certify_counts
    >>> from rsverify.tables.recertify import recertify
    >>> from rsverify.tables.reader import table_row
    >>> import pandas as pd
    >>> certificate = certify_counts([900, 100], sigma=0.25, alpha=0.001, y=0, bound="cohen")
    >>> table = pd.DataFrame([table_row(0, 0, certificate)])
    >>> recertify(table, alpha=0.05)["radius"].round(4).tolist()
    [0.2975]
    """
    check_table(table)
    counts_of = count_columns(table)
    missing = [name for name in ("y", "sigma", "radius_kind") if name not in table.columns]
    if not counts_of or missing:
        raise ValueError(
            f"table has no column {'count_0' if not counts_of else missing[0]!r}: only its radii "
            "can be recertified, which needs n, sigma and the alpha that they were computed at"
        )
    check_any_rows(table)
    check_unique_indices(table)
    _check_fixed_votes(table)
    bound = check_choice("bound", _one("bound", table) if bound is None else bound, BOUNDS)
    given = table["alpha"].to_numpy() if alpha is None else alpha
    level = check_alpha(given)
    if level.shape not in ((), (1,), (len(table),)):
        raise ValueError(f"alpha of shape {level.shape} must be one number, or one per row")
    totals = np.broadcast_to(level, (len(table),))
    warn_of_level(float(totals.max()))
    levels = levels_of_rows(table, totals)
    kind = check_choice("radius_kind", _one("radius_kind", table), ESTIMANDS)
    if bound == "exact" and ordering is None:
        ordering = "likelihood-ratio"

    counts = integers_of(table[counts_of], "table")
    y = integers_of(table[["y"]], "table")[:, 0]
    check_rows(counts, "table")
    check_totals(table, counts)
    table = _without_constants_of_scores(table)
    table, threat = in_another_norm(table, norm, dimension, kind)
    if threat is None:
        sigma = check_positive("sigma", table["sigma"].to_numpy())
    else:
        sigma = np.full(len(table), np.nan)
    found = outcomes_of_rows(
        counts,
        y,
        levels,
        sigma=sigma,
        lipschitz=_lipschitz(table),
        kind=kind,
        bound=bound,
        ordering=ordering,
        store=store,
        progress=check_progress(progress),
        threat=threat,
        left_out=left_out_of_table(table, counts.shape[1]),
    )
    # Radii in another norm are not compared.
    if bound == "exact" and ordering == "likelihood-ratio" and norm is None and dimension is None:
        _warn_of_levels(table, found.radius, totals)
    return with_outcome(
        table,
        predict=found.predict,
        radius=found.radius,
        status=found.status,
        alpha=totals,
        bound=bound,
        ordering=ordering,
        margin=found.margin,
    )


def _one(name: str, table: pd.DataFrame) -> object:
    """Return the value that all rows of a column share."""
    values = table[name].unique()
    if len(values) != 1:
        raise ValueError(f"{name} differs between the rows of the table: {list(values)}; give one")
    value: object = values[0]
    return value


def _warn_of_levels(table: pd.DataFrame, radius: FloatArray, alpha: FloatArray) -> None:
    """Warn where the default ordering gives the larger radius at the smaller of two alphas."""
    if not {"radius", "alpha", "bound", "ordering"} <= set(table.columns):
        return
    same = (table["bound"] == "exact") & (table["ordering"] == "likelihood-ratio")
    before = np.where(same, table["radius"].to_numpy(dtype=np.float64), np.nan)
    change = np.sign(alpha - table["alpha"].to_numpy(dtype=np.float64))
    against = int(np.count_nonzero((radius - before) * change < -SHOWN_DIGITS))
    if against:
        warnings.warn(
            f"{against} rows have the larger radius at the smaller alpha: both are valid, as the "
            "default ordering depends on alpha; ordering='nested' at both rules it out",
            NotNestedWarning,
            stacklevel=3,
        )


def _check_fixed_votes(table: pd.DataFrame) -> None:
    """Raise where the number of votes of a row followed from the votes themselves."""
    stopped = "target_radius" in table.columns and table["target_radius"].notna().any()
    if stopped or ("bound" in table.columns and (table["bound"] == "anytime").any()):
        raise ValueError(
            "table holds rows whose sampling stopped as soon as their votes had decided about "
            "target_radius: no bound for a fixed number of votes holds for them; certify anew, "
            "without a target"
        )


def _without_constants_of_scores(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with Lipschitz constants of votes alone."""
    if not {"lipschitz", "bound"} <= set(table.columns):
        return table
    return table.assign(lipschitz=table["lipschitz"].where(table["bound"].isin(BOUNDS)))


def _lipschitz(table: pd.DataFrame) -> FloatArray | None:
    """Return the given Lipschitz constants; None where no row has one."""
    if "lipschitz" not in table.columns or table["lipschitz"].isna().all():
        return None
    return table["lipschitz"].fillna(np.inf).to_numpy(dtype=np.float64)
