"""The report of an audit: a table, pandas, JSON."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rsverify.audit.evaluate import Failure
from rsverify.audit.exact import Witness
from rsverify.audit.verdict import Verdict

if TYPE_CHECKING:
    import pandas as pd


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


@dataclass(frozen=True)
class AuditReport:
    """What an audit found.

    *Guarantee*: a bound whose miscoverage is at most alpha in every scenario is "refuted" by
    simulation with probability at most `false_alarm`; by exact coverage never, up to 1e-6 of
    alpha that is put down to rounding. A bound whose miscoverage is above
    alpha (1 + tolerance) in some scenario of the table is "supported" with probability at most
    `false_alarm`. Laws that are not in the table are not spoken of; an exact row speaks of
    all laws that it names.

    Attributes
    ----------
    verdict : {"refuted", "supported", "inconclusive"}
        Of all rows together.
    worst : Row
        The refuted row, else the one, with the largest miscoverage.
    rows : list of Row
        Every scenario.
    failures : list of Failure
        NaN, exceptions, wrong shapes, bounds outside the parameter space; each is a miss.
    witness : Witness or None
        For exact audits: the law and the outcomes that miss, to be checked by hand.
    design : dict
        Everything that produced the report.
    """

    verdict: Verdict
    rows: list[Row]
    failures: list[Failure]
    witness: Witness | None
    design: dict[str, Any]
    notes: list[str] = field(default_factory=list)

    @property
    def worst(self) -> Row:
        """The row of the largest miscoverage, a refuted one if there is one."""
        return max(self.rows, key=lambda r: (r.verdict == "refuted", r.miscoverage))

    def to_pandas(self) -> pd.DataFrame:
        """Return the rows as a table."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the whole report as JSON, and write it to `path` if one is given."""
        text = json.dumps(_jsonable(asdict(self)), indent=1)
        if path is not None:
            Path(path).write_text(text + "\n", encoding="utf-8")
        return text

    def __str__(self) -> str:
        d = self.design
        head = f"{self.verdict}: {d['bound']}, {d['estimand']}, n={d['n']}, alpha={d['alpha']:g}"
        lines = [head, f"{'scenario':42} {'truth':>9} {'miscoverage [interval]':>36} verdict"]
        for r in self.rows:
            interval = f"{r.miscoverage:.4g} [{r.low:.3g}, {r.high:.3g}]"
            lines.append(f"{r.scenario[:42]:42} {r.truth:9.4g} {interval:>36} {r.verdict}")
            if r.note:
                lines.append(f"    {r.note}")
        lines += [
            f"failed {f.count} times: {f.kind}: {f.message}; for example {f.example}"
            for f in self.failures
        ]
        if self.witness is not None:
            lines.append(f"witness: {self.witness}")
        return "\n".join([*lines, *self.notes])


def _jsonable(value: Any) -> Any:
    """Return `value` with infinities and NaN as text, which JSON can hold."""
    if isinstance(value, dict):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    if isinstance(value, float) and not abs(value) < float("inf"):
        return repr(value)
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
