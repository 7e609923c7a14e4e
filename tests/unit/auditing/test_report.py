"""What a report can be turned into: text, JSON with the parts of a study, Parquet, files."""

import json
import sys

import numpy as np
import pandas as pd
import pytest

from rsverify import audit, audit_capital

UNIFORM = {"uniform": {"law": ("beta", 1.0, 1.0)}, "half": {"law": ("beta", 2.0, 2.0)}}


def low(x, alpha):
    return np.where(x[:, 0] < alpha, 1.0, 0.0)


@pytest.fixture(scope="module")
def drawn():
    return audit(low, n=2, alpha=0.05, replications=3000, scenarios=UNIFORM)


@pytest.fixture(scope="module")
def exact():
    return audit("clopper_pearson_lower", estimand="proportion", n=10, alpha=0.05)


def test_errors_stand_beside_every_figure(drawn, exact):
    for row in drawn.rows:
        assert row.low < row.miscoverage < row.high
        p = (row.uncovered + 1) / (row.replications + 2)
        runs = row.replications + 2
        assert row.miscoverage_error == pytest.approx(np.sqrt(p * (1 - p) / runs), 1e-12)
    (row,) = exact.rows
    assert row.miscoverage_error == 0
    assert np.isnan(row.gap_error)


def test_no_miss_is_not_certainty():
    row = audit("hoeffding_lower", n=5, alpha=0.05, replications=200, scenarios=UNIFORM).rows[0]
    assert row.uncovered == 0
    assert row.miscoverage_error > 0


@pytest.mark.statistical
def test_error_of_the_tightness_is_its_spread():
    """Over 40 seeds; their standard deviation is within 40 % of it but for a chance of 1e-3."""
    settings = {"n": 2, "alpha": 0.05, "replications": 200, "scenarios": UNIFORM}
    rows = [audit(low, seed=seed, **settings).rows[0] for seed in range(40)]
    seen = np.std([r.gap for r in rows], ddof=1)
    assert seen == pytest.approx(np.mean([r.gap_error for r in rows]), rel=0.4)


def test_json_has_the_five_parts_of_a_study(drawn, exact):
    parts = [
        "aims",
        "data_generating_mechanisms",
        "estimands",
        "methods",
        "performance_measures",
    ]
    for report in (drawn, exact):
        data = json.loads(report.to_json())
        assert list(data["ademp"]) == parts
        assert "evidence" not in data
        for row in data["rows"]:
            assert {"miscoverage_error", "low", "high", "gap_error"} <= set(row)
    study = json.loads(drawn.to_json())["ademp"]
    assert study["data_generating_mechanisms"]["half"] == {"law": ["beta", 2.0, 2.0]}
    assert "rows[].miscoverage_error" in "".join(study["performance_measures"].values())
    betting = audit_capital(lambda x, _m, _a: np.ones_like(x), n=3, alpha=0.05)
    assert list(json.loads(betting.to_json())["ademp"]) == parts


def test_parquet_holds_the_rows_and_in_its_metadata_the_report(drawn, tmp_path):
    pq = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "new folder" / "report.parquet"
    drawn.write(path)
    pd.testing.assert_frame_equal(pd.read_parquet(path), drawn.to_pandas())
    kept = json.loads(pq.read_schema(path).metadata[b"rsverify"])
    assert kept == json.loads(drawn.to_json())


def test_parquet_without_pyarrow_names_the_remedy(drawn, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'rsverify\[parquet\]'"):
        drawn.to_parquet(tmp_path / "report.parquet")
    assert not (tmp_path / "report.parquet").exists()


def test_write_goes_by_the_ending(drawn, tmp_path):
    for ending in (".json", ".csv", ".PNG", ".svg", ".pdf"):
        drawn.write(tmp_path / f"report{ending}")
        assert (tmp_path / f"report{ending}").stat().st_size > 0
    assert len(pd.read_csv(tmp_path / "report.csv")) == 2
    with pytest.raises(ValueError, match=r"must end in one of \.json, \.parquet"):
        drawn.write(tmp_path / "report.doc")


def test_text_holds_what_the_table_holds(drawn):
    text = str(drawn)
    assert "mean gap" in text.splitlines()[1]
    for row in drawn.rows:
        (line,) = [x for x in text.splitlines() if x[2:].startswith(f"{row.scenario} ")]
        assert f"{row.miscoverage:.4g}" in line
        assert f"{row.gap:.4g}" in line
        assert line.endswith(row.verdict)
