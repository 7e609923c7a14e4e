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
from typing import TYPE_CHECKING, Literal, cast

from rsverify._core.files import check_free, write_file
from rsverify._core.text import table_lines
from rsverify._core.types import FigureName
from rsverify.auditing.caller import Failure
from rsverify.auditing.design import FIGURES, Record
from rsverify.auditing.exact.proportion import ROUNDING
from rsverify.auditing.verdict import Verdict, Witness

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

__all__ = ["AuditReport", "Row"]

MISCOVERAGE = "miscoverage"
TABLES = (".json", ".parquet", ".csv")


@dataclass(frozen=True)
class Row:
    """One scenario of an audit, or the exact worst case, with its evidence."""

    scenario: str
    truth: float
    miscoverage: float
    low: float
    high: float
    replications: int  # 0: exact, nothing was drawn
    misses: int
    tightness: float
    """Mean distance of the bound from the truth; NaN where the row is exact."""
    verdict: Verdict
    note: str = ""
    miscoverage_error: float = 0.0
    """Monte Carlo standard error of `miscoverage`; 0 where nothing was drawn."""
    tightness_error: float = math.nan
    """Monte Carlo standard error of `tightness`."""
    distribution: str = ""
    """The distribution of which `truth` and `miscoverage` are, where the scenario does not say."""
    measure: str = MISCOVERAGE
    """What stands under `miscoverage`: of a capital or of bets it is another quantity."""


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
        The refuted row, else the one, with the largest miscoverage.
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
        """The row of the largest miscoverage, a refuted one if there is one."""
        return max(self.rows, key=lambda r: (r.verdict == "refuted", r.miscoverage))

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
        text = json.dumps(plain({"ademp": self.ademp, **record}), indent=1)
        if path is not None:
            write_file(path, text + "\n", force=force)
        return text

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
            ``.json`` (the whole report), ``.parquet`` (the rows, the whole report in the
            metadata), ``.csv`` (the rows), or a figure (``.png``, ``.pdf``, ``.svg``).
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
        kind : {"auto", "sawtooth", "map", "claims", "zip", "time", "capital"}, default "auto"
            "sawtooth": exact miscoverage of a proportion against p, the jumps of the bound
            marked. "map": exact worst case over (p1, p2) of a margin. "claims": the same along
            staircases, just below each claim visited. "zip": miscoverage of every scenario with
            its interval, and the limits of the worst scenario in order of how close they are to
            non-coverage. "time": miscoverage by time, of a time-uniform bound.
            "capital": expected capital by distribution. "auto": the one that fits.
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
        return as_text(self)


def smallest_excess(report: AuditReport) -> float:
    """Return the least excess that an audit finds: see `AuditReport.smallest_excess`."""
    alpha = report.design.get("alpha")
    if report.measure != MISCOVERAGE or not isinstance(alpha, float):
        return math.nan
    exact = (r.high - alpha for r in report.rows if not r.replications)
    # What an exact audit attributes to rounding is no excess.
    least = max((e for e in exact if e > ROUNDING * alpha), default=0.0)
    detectable = report.design.get("detectable")
    if isinstance(detectable, float):
        least = max(least, detectable - alpha)
    return max(least, 0.0)


def power_of(report: AuditReport) -> str:
    """Return what an audit would have found: see `AuditReport.power`."""
    excess = report.smallest_excess
    if math.isnan(excess):
        return f"the power is not known for the {report.measure}"
    simulated = any(r.replications for r in report.rows)
    if excess == 0.0 and not simulated:
        return "every excess over alpha would have been found: the miscoverage was enclosed"
    sure = "with probability at least 95 %" if simulated else "with certainty"
    where = "in a scenario of the table " if simulated else ""
    total = cast(float, report.design["alpha"]) + excess
    return (
        f"a miscoverage of {total:.4g} or more, {excess:.2g} above alpha, {where}would have been "
        f"found {sure}"
    )


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


def as_text(report: AuditReport, width: int | None = None) -> str:
    """Return the report as it is printed; its table folded where it is wider than `width`."""
    table = table_lines(
        ["scenario", "truth", f"{report.measure} [interval]", "mean gap", "verdict"],
        [_cells(row) for row in report.rows],
        width,
    )
    return "\n".join([headline(report), *table, *remarks(report)])


def headline(report: AuditReport) -> str:
    """Return the verdict, and of what it is one."""
    d = report.design
    return f"{report.verdict}: {d['bound']}, {d['estimand']}, n={d['n']}, alpha={d['alpha']:g}"


def _cells(r: Row) -> list[str]:
    interval = f"{r.miscoverage:.4g} [{_digits(r.low, 'down')}, {_digits(r.high, 'up')}]"
    known = r.replications and not math.isnan(r.tightness)
    gap = f"{r.tightness:.4g} ±{r.tightness_error:.1g}" if known else "—"
    return [r.scenario, f"{r.truth:.4g}", interval, gap, r.verdict]


def remarks(report: AuditReport) -> list[str]:
    """Return what stands below the table: of its rows, failures, a witness, and notes."""
    lines = [f"{r.scenario}: {r.note}" for r in report.rows if r.note]
    lines += [
        f"failed {f.count} times: {f.kind}: {f.message}; for example {_short(f.example)}"
        for f in report.failures
    ]
    if report.witness is not None:
        lines.append(f"witness: {report.witness}")
    return [*lines, *report.notes]


def _digits(value: float, way: Literal["down", "up"]) -> str:
    """Return four digits, rounded so that an interval keeps what it holds."""
    if not math.isfinite(value) or value == 0.0:
        return f"{value:.4g}"
    unit = 10.0 ** (math.floor(math.log10(abs(value))) - 3)
    rounded = f"{value:.4g}"
    if way == "down" and float(rounded) > value:
        rounded = f"{float(rounded) - unit:.4g}"
    if way == "up" and float(rounded) < value:
        rounded = f"{float(rounded) + unit:.4g}"
    return rounded


def _short(example: object) -> str:
    text = str(example)
    return text if len(text) <= 200 else text[:200] + " …"


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
            measures["mean gap: mean distance of the bound from the truth"] = (
                "rows[].tightness_error"
            )
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
