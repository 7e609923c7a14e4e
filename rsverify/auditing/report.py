"""The report of an audit: a table, pandas, JSON, Parquet, a figure."""

from __future__ import annotations

import io
import json
import math
import os
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rsverify._core.equal import EqualNaN
from rsverify._core.files import check_free, write_file
from rsverify._core.html_page import write_page
from rsverify._core.types import FigureName
from rsverify.auditing.caller import Failure
from rsverify.auditing.conclusion import conclusion
from rsverify.auditing.design import FIGURES, Record
from rsverify.auditing.power import power_of, smallest_excess
from rsverify.auditing.report_text import WIDTH, as_text
from rsverify.auditing.verdict import Verdict, Witness

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["AuditReport", "Row"]

MISCOVERAGE = "miscoverage"
TABLES = (".json", ".parquet", ".csv", ".html")
SEVERITY: dict[Verdict, int] = {"refuted": 0, "inconclusive": 1, "supported": 2}
ALIKE = 1e-9  # limits of a smaller spread are one value


def _warn_renamed(old: str, new: str) -> None:
    warnings.warn(f"Row.{old} is now Row.{new}", DeprecationWarning, stacklevel=3)


@dataclass(frozen=True, eq=False)
class Row(EqualNaN):
    """One scenario of an audit, or the exact worst case, with its evidence."""

    scenario: str
    truth: float
    miscoverage: float
    low: float
    high: float
    replications: int  # 0: exact, nothing was drawn
    uncovered: int
    """How many of the replications the bound failed to cover."""
    gap: float
    """Mean distance of the bound from the truth; NaN where the row is exact."""
    verdict: Verdict
    note: str = ""
    miscoverage_error: float = 0.0
    """Monte Carlo standard error of `miscoverage`; 0 where nothing was drawn."""
    gap_error: float = math.nan
    """Monte Carlo standard error of `gap`."""
    distribution: str = ""
    """The distribution of which `truth` and `miscoverage` are, where the scenario does not say."""
    measure: str = MISCOVERAGE
    """What stands under `miscoverage`: of a capital or of bets it is another quantity."""
    allowed: float = math.nan
    """What `miscoverage` was promised not to be above."""

    @property
    def excess(self) -> float:
        """Return `miscoverage` as a share of what is allowed; infinite where nothing is."""
        if self.allowed > 0.0:
            return self.miscoverage / self.allowed
        return math.inf if self.miscoverage > 0.0 else 0.0

    @property
    def degenerate(self) -> bool:
        """Return whether the bound had one value only: on samples that are all alike, as a rule."""
        return bool(self.replications) and self.gap_error < ALIKE

    @property
    def misses(self) -> int:
        """Return `uncovered`, under its old name."""
        _warn_renamed("misses", "uncovered")
        return self.uncovered

    @property
    def tightness(self) -> float:
        """Return `gap`, under its old name."""
        _warn_renamed("tightness", "gap")
        return self.gap

    @property
    def tightness_error(self) -> float:
        """Return `gap_error`, under its old name."""
        _warn_renamed("tightness_error", "gap_error")
        return self.gap_error


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    *Guarantee*: a bound whose miscoverage is at most alpha in every scenario is "refuted" by
    simulation with probability at most `false_alarm`; by exact coverage never, up to 1e-6 of
    alpha that is attributed to rounding. A bound whose miscoverage is above
    alpha (1 + tolerance) in some scenario of the table is "supported" with probability at most
    `false_alarm`. No claim is made for distributions that are not in the table; an exact row
    covers all distributions that it names.

    Attributes
    ----------
    verdict : {"refuted", "supported", "inconclusive"}
        Of all rows together.
    worst : Row
        A refuted row, if there is one, else an inconclusive one; of these the one with the largest
        share of what is allowed, and not one whose samples are all alike if there is another.
    conclusion : str
        What was found, in a sentence.
    rows : list of Row
        Every scenario.
    failures : list of Failure
        NaN, exceptions, wrong shapes, bounds outside the parameter space; each is a failure to
        cover.
    witness : Witness or None
        For exact audits: the distribution and the outcomes that fail to cover, to be checked by
        hand.
    design : dict
        Everything that produced the report.
    """

    verdict: Verdict
    rows: list[Row]
    failures: list[Failure]
    witness: Witness | None
    design: Record
    notes: list[str] = field(default_factory=list)
    evidence: object = field(default=None, repr=False, compare=False)
    """What figures are drawn from; neither compared nor written."""

    @property
    def worst(self) -> Row:
        """The first of `ranked`."""
        return self.ranked[0]

    @property
    def ranked(self) -> list[Row]:
        """The rows, the worst first.

        Refuted ones, inconclusive ones, supported ones; in each of these those whose samples are
        all alike come last, and else the largest share of what is allowed first.
        """
        return sorted(
            self.rows, key=lambda r: (SEVERITY[r.verdict], r.degenerate, -r.excess, -r.high)
        )

    @property
    def conclusion(self) -> str:
        """What was found, in one sentence: of the worst row, with the error of the verdict."""
        return conclusion(self)

    @property
    def measure(self) -> str:
        """What stands under `miscoverage` in every row."""
        return self.rows[0].measure if self.rows else MISCOVERAGE

    @property
    def smallest_excess(self) -> float:
        """The least miscoverage above alpha, less alpha, that this audit would have refuted.

        Simulated rows: with probability at least 95 % for a scenario of the table. Exact rows: with
        certainty; 0 where the enclosed miscoverage is at most alpha. NaN where another quantity
        was audited.
        """
        return smallest_excess(self)

    @property
    def power(self) -> str:
        """What this audit would have found, in a sentence: see `smallest_excess`."""
        return power_of(self)

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a table."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])

    @property
    def ademp(self) -> dict[str, object]:
        """What the audit is, in the five parts of a simulation study [1]_.

        Aims, data-generating mechanisms, estimands, methods and performance measures; every
        measure says where its Monte Carlo error stands.

        References
        ----------
        .. [1] T. P. Morris, I. R. White and M. J. Crowther, Using simulation studies to evaluate
           statistical methods, *Statistics in Medicine* 38 (2019) 2074-2102.
        """
        return ademp(self)

    def to_json(self, path: str | os.PathLike[str] | None = None, *, force: bool = False) -> str:
        """Return the whole report as JSON, and write it to `path` if one is given.

        A file that is there is replaced only with ``force=True``; else FileExistsError.
        """
        record = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "evidence"}
        record["rows"] = [asdict(r) for r in self.rows]
        record["failures"] = [asdict(f) for f in self.failures]
        record["witness"] = None if self.witness is None else asdict(self.witness)
        said = {"conclusion": self.conclusion, "ademp": self.ademp}
        text = json.dumps(plain({**said, **record}), indent=1)
        if path is not None:
            write_file(path, text + "\n", force=force)
        return text

    def to_html(self, path: str | os.PathLike[str] | None = None, *, force: bool = False) -> str:
        """Return the report as a page of HTML, and write it to `path` if one is given.

        One file that needs nothing else: the sentence, the figure (with matplotlib), the table,
        failures, witness and design. A file that is there is replaced only with ``force=True``;
        else FileExistsError.
        """
        from rsverify.auditing.report_page import report_page

        if path is not None:
            check_free(path, force=force)
        return write_page(report_page(self), path, force=force)

    def to_parquet(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the rows as a Parquet table, and the report's JSON into its metadata.

        The metadata's key is ``rsverify``. Needs pyarrow. A file that is there is replaced
        only with ``force=True``; else FileExistsError.
        """
        check_free(path, force=force)
        try:
            import pyarrow as pa
            import pyarrow.parquet as pq
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                "Parquet needs pyarrow; run: pip install 'rsverify[parquet]'"
            ) from error
        table = pa.Table.from_pandas(self.to_pandas(), preserve_index=False)
        metadata = {**(table.schema.metadata or {}), b"rsverify": self.to_json().encode()}
        content = io.BytesIO()
        pq.write_table(table.replace_schema_metadata(metadata), content)
        write_file(path, content.getvalue(), force=force)

    def write(self, path: str | os.PathLike[str], *, force: bool = False) -> None:
        """Write the report to a file whose ending says how.

        Parameters
        ----------
        path : path-like
            ``.json`` (the whole report), ``.html`` (a page to read), ``.parquet`` (the rows, the
            whole report in the metadata), ``.csv`` (the rows), or a figure (``.png``, ``.pdf``,
            ``.svg``).
        force : bool
            Replace a file that is there.

        Raises
        ------
        FileExistsError
            If the file exists and `force` is false.
        ValueError
            If the ending is another.
        ModuleNotFoundError
            If pyarrow is needed and not installed.
        """
        suffix = check_ending(path)
        if suffix == ".json":
            self.to_json(path, force=force)
        elif suffix == ".html":
            self.to_html(path, force=force)
        elif suffix == ".parquet":
            self.to_parquet(path, force=force)
        elif suffix == ".csv":
            write_file(path, self.to_pandas().to_csv(index=False), force=force)
        else:
            self.plot(path, force=force)

    def plot(
        self,
        path: str | os.PathLike[str] | None = None,
        *,
        kind: FigureName = "auto",
        picture: FigureName | None = None,
        force: bool = False,
    ) -> Figure:
        """Draw a figure of the report, into a file where one is named.

        Parameters
        ----------
        path : path-like, optional
            Its ending chooses the format (``.png``, ``.pdf``, ``.svg``).
        kind : str, default "auto"
            "sawtooth": exact miscoverage of a proportion against p, the jumps of the bound
            marked. "map": exact worst case over (p1, p2) of a margin. "claims": the same along
            staircases, just below each claim visited. "map" and "curve" also: the same for counts
            of two parameters, or one. "zip": miscoverage of every scenario with
            its interval, and the limits of the worst scenario in order of how close they are to
            non-coverage. "time": miscoverage by time, of a time-uniform bound.
            "scenarios": every row beside what it is allowed. "capital": expected capital by
            distribution. "bets": the bets on two samples with one past. "auto": the one that
            fits.
        picture : str
            The old name of `kind`; it warns and goes in the next version.
        force : bool
            Replace a file that is there.

        Returns
        -------
        matplotlib.figure.Figure
            The drawn figure.

        Raises
        ------
        ValueError
            If the report has nothing to draw that figure from.
        FileExistsError
            If the file exists and `force` is false.
        """
        from rsverify.auditing.figures import draw

        if picture:
            warnings.warn("picture= is now kind=", DeprecationWarning, stacklevel=2)
        return draw(self, path, picture or kind, force=force)

    def __str__(self) -> str:
        return as_text(self, WIDTH)

    def _repr_html_(self) -> str:
        """Return what a notebook shows."""
        from rsverify.auditing.report_page import notebook_view

        return notebook_view(self)


def with_mixing(report: AuditReport, mixed: Failure | None) -> AuditReport:
    """Return the report of a bound, refuted where its rows change with the others.

    The rows of the report are those of a bound that is given one replication at a time.
    """
    if mixed is None:
        return report
    note = "every row is of the bound called with one replication at a time"
    return replace(
        report,
        verdict="refuted",
        failures=[*report.failures, mixed],
        notes=[*report.notes, note],
    )


def check_ending(path: str | os.PathLike[str]) -> str:
    """Return the ending of a file that a report can be written to, or raise."""
    suffix = Path(path).suffix.lower()
    if suffix not in TABLES + FIGURES:
        endings = ", ".join(TABLES + FIGURES)
        raise ValueError(f"path={str(path)!r} must end in one of {endings}")
    return suffix


def ademp(report: AuditReport) -> dict[str, object]:
    """Return the five parts of a study: see `AuditReport.ademp`."""
    d = report.design
    drawn = any(r.replications for r in report.rows)
    if "aim" in d:
        aim = str(d["aim"])
        error = "rows[].miscoverage_error; an anytime-valid 95 % interval in rows[].low, .high"
        measures = {report.measure: error if drawn else "exact: none"}
    elif d["kind"] != "coverage":
        aim = f"whether the {d['estimand']} of {d['bound']} keep what betting needs"
        measures = {"expected capital": "exact, summed over all paths; no Monte Carlo error"}
        if d["kind"] == "bets":
            measures = {"a bet changes with the future": "0 or 1, bit by bit; no Monte Carlo error"}
    else:
        aim = (
            f"whether the {d['side']} bound {d['bound']} fails to cover the truth with probability "
            f"at most {d['alpha']:g}"
        )
        error = "rows[].miscoverage_error; an anytime-valid 95 % interval in rows[].low, .high"
        measures = {
            "miscoverage: P(the bound fails to cover the truth)": error if drawn else "exact: none",
        }
        if drawn:
            measures["mean gap: mean distance of the bound from the truth"] = "rows[].gap_error"
    return {
        "aims": aim,
        "data_generating_mechanisms": d.get("scenarios", [r.scenario for r in report.rows]),
        "estimands": {"name": d["estimand"], "truth": "rows[].truth"},
        "methods": {
            "bound": d["bound"],
            "side": d.get("side"),
            "n": d["n"],
            "alpha": d["alpha"],
            "audit": d.get("method", "exact"),
            "replications": [r.replications for r in report.rows],
        },
        "performance_measures": measures,
    }


def plain(value: object) -> object:
    """Return `value` as JSON can hold it: infinities and NaN as text, arrays as lists."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return repr(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    return str(value)
