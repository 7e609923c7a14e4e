"""What a comparison of bounds found: a table, pandas, JSON, a figure, a page."""

from __future__ import annotations

import json
import math
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rsverify._core.equal import EqualNaN
from rsverify._core.files import write_file
from rsverify._core.html_page import write_page
from rsverify.auditing.caller import Failure
from rsverify.auditing.comparing.speed import Speed
from rsverify.auditing.design import FIGURES, Record
from rsverify.auditing.report import plain

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["BoundComparison", "ComparedBound"]

TABLES = (".json", ".csv", ".html")
WIDTH = 80


@dataclass(frozen=True, eq=False)
class ComparedBound(EqualNaN):
    """One bound under one distribution.

    Attributes
    ----------
    scenario, bound : str
        Their names.
    truth : float
        The value of the estimand.
    miscoverage, miscoverage_error : float
        Probability of not covering the truth, and its Monte Carlo standard error; 0 where every
        outcome was summed.
    covers : bool
        False where the miscoverage is above alpha: exactly, or by a sequential test whose
        probability of a false alarm is at most 0.1 % over the whole comparison.
    gap, gap_error : float
        Mean distance of the limit from the truth, on the side where it covers; of an interval,
        its mean width. Limits are cut to the parameter space, and lower limits of margins to 0.
    difference, difference_error : float
        Mean gap less that of the first bound, on the same data.
    limit : float or None
        The least mean gap of any valid bound at this distribution, where it is known.
    replications : int
        How many were drawn; 0 where every outcome was summed.
    failed : int
        Replications or outcomes without a usable limit; they count as not covered, and the gap is
        a mean over the others.
    """

    scenario: str
    bound: str
    truth: float
    miscoverage: float
    miscoverage_error: float
    covers: bool
    gap: float
    gap_error: float
    difference: float
    difference_error: float
    limit: float | None
    replications: int
    failed: int = 0

    @property
    def share(self) -> float:
        """The limit over the gap: what part of the gap no valid bound can avoid. NaN: unknown."""
        if self.limit is None or not self.gap > 0.0:
            return math.nan
        return self.limit / self.gap

    @property
    def too_near(self) -> bool:
        """Whether the gap is below what any valid bound has: then this bound is not valid.

        By five standard errors, and 2 % for the integral of the limit. It may cover here, and
        fails to cover at another distribution.
        """
        if self.limit is None or math.isnan(self.gap) or self.failed:
            return False
        return self.gap + 5.0 * self.gap_error < 0.98 * self.limit


@dataclass(frozen=True)
class BoundComparison:
    """What a comparison of bounds found.

    *Guarantee*: gaps and differences are exact expectations where `replications` is 0, else means
    with their Monte Carlo standard errors. No valid bound has a mean gap below `limit`, up to the
    error of an integral of some 0.3 %. That a bound is not seen to fail to cover at these
    distributions does not show that it covers: `rsverify.audit` looks for the worst ones.

    Attributes
    ----------
    rows : list of ComparedBound
        Scenario by scenario, each with the bounds in the order given.
    speeds : list of Speed
        Processor time per replication; empty where it was not measured.
    failures : dict of str to list of Failure
        Bound -> what went wrong when it was called.
    design : dict
        Everything that produced the comparison.
    """

    rows: list[ComparedBound]
    speeds: list[Speed]
    failures: dict[str, list[Failure]]
    design: Record
    notes: list[str] = field(default_factory=list)

    @property
    def bounds(self) -> list[str]:
        """The names of the bounds, in the order given."""
        return list(dict.fromkeys(row.bound for row in self.rows))

    @property
    def scenarios(self) -> list[str]:
        """The names of the distributions."""
        return list(dict.fromkeys(row.scenario for row in self.rows))

    def of(self, scenario: str, bound: str) -> ComparedBound:
        """Return the row of a bound under a distribution; KeyError if there is none."""
        for row in self.rows:
            if (row.scenario, row.bound) == (scenario, bound):
                return row
        raise KeyError(f"scenario={scenario!r}, bound={bound!r} is not in this comparison")

    @property
    def measure(self) -> str:
        """What a gap is: "mean gap", or "mean width" of intervals."""
        return "mean width" if self.design["side"] == "two-sided" else "mean gap"

    @property
    def conclusion(self) -> str:
        """What was found, in a sentence."""
        from rsverify.auditing.comparing.text import conclusion

        return conclusion(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a table."""
        import pandas as pd

        return pd.DataFrame([{**asdict(row), "share": row.share} for row in self.rows])

    def to_json(self, path: str | os.PathLike[str] | None = None, *, force: bool = False) -> str:
        """Return the comparison as JSON, and write it to `path` if one is given.

        A file that is there is replaced only with ``force=True``; else FileExistsError.
        """
        record = {
            "conclusion": self.conclusion,
            "design": self.design,
            "rows": [{**asdict(row), "share": row.share} for row in self.rows],
            "speeds": [asdict(speed) for speed in self.speeds],
            "failures": {k: [asdict(f) for f in v] for k, v in self.failures.items()},
            "notes": self.notes,
        }
        text = json.dumps(plain(record), indent=1)
        if path is not None:
            write_file(path, text + "\n", force=force)
        return text

    def to_html(self, path: str | os.PathLike[str] | None = None, *, force: bool = False) -> str:
        """Return the comparison as one self-contained page, and write it to `path` if given.

        Without matplotlib (``pip install 'rsverify[plot]'``) it has no figure, and says so. A
        file that is there is replaced only with ``force=True``; else FileExistsError.
        """
        from rsverify.auditing.comparing.page import comparison_page

        return write_page(comparison_page(self), path, force=force)

    def plot(self, path: str | os.PathLike[str] | None = None, *, force: bool = False) -> Figure:
        """Draw every mean gap, over the limit of any valid bound where all are known.

        Parameters
        ----------
        path : path-like, optional
            Where to write it: ``.png``, ``.pdf`` or ``.svg``.
        force : bool
            Replace a file that is there.

        Returns
        -------
        matplotlib.figure.Figure
            The figure.

        Raises
        ------
        FileExistsError
            If the file exists and `force` is false.
        """
        from rsverify._core.figure import finish_figure
        from rsverify.auditing.comparing.figure import draw_comparison

        return finish_figure(draw_comparison(self), path, force=force)

    def write(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the comparison to a file whose ending says how.

        ``.json``, ``.csv`` (the rows), ``.html``, or a figure (``.png``, ``.pdf``, ``.svg``).
        """
        ending = check_ending(path)
        if ending == ".json":
            self.to_json(path, force=force)
        elif ending == ".csv":
            write_file(path, self.to_pandas().to_csv(index=False), force=force)
        elif ending == ".html":
            self.to_html(path, force=force)
        else:
            self.plot(path, force=force)

    def __str__(self) -> str:
        from rsverify.auditing.comparing.text import as_text

        return as_text(self, WIDTH)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from rsverify.auditing.comparing.page import notebook_view

        return notebook_view(self)


def check_ending(path: str | os.PathLike[str]) -> str:
    """Return the ending of a file that a comparison can be written to, or raise."""
    suffix = Path(path).suffix.lower()
    if suffix not in TABLES + FIGURES:
        raise ValueError(f"path={str(path)!r} must end in one of {', '.join(TABLES + FIGURES)}")
    return suffix
