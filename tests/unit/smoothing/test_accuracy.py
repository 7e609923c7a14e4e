"""Runs that stop over inputs when certified accuracy is known within a width."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rsverify import (  # noqa: E402
    SmoothedClassifier,
    certify_dataset,
    population_share_interval,
    read_table,
)
from rsverify.smoothing.accuracy import random_order  # noqa: E402


def halves(batch: Any) -> Any:
    return torch.stack([-batch[:, 0], batch[:, 0]], dim=1)


@pytest.fixture(scope="module")
def smoothed() -> SmoothedClassifier:
    return SmoothedClassifier(halves, num_classes=2, sigma=0.5)


@pytest.fixture(scope="module")
def data() -> Any:
    """Return inputs of which the first half is easy and the second hard: order matters."""
    first = torch.cat([torch.full((150,), 1.0), torch.full((150,), 0.05)])
    return torch.stack([first, torch.zeros(300)], dim=1), torch.ones(300, dtype=torch.int64)


FIXED: Any = {"n": 200, "n0": 20, "bound": "cohen", "seed": 4, "accuracy_radius": 0.25}
EARLY: Any = {"n": 3000, "n0": 20, "target_radius": 0.25, "seed": 4}


@pytest.mark.parametrize("options", [FIXED, EARLY], ids=["fixed", "early"])
def test_a_prefix_of_the_random_order_is_certified(
    smoothed: Any, data: Any, tmp_path: Path, options: Any
) -> None:
    table = certify_dataset(smoothed, data, tmp_path / "t.tsv", accuracy_within=0.3, **options)
    count = len(table)
    assert 20 < count < 150
    order = random_order(range(300), [4])
    by_position = table.sort_values("position")
    assert by_position["position"].tolist() == list(range(1, count + 1))
    assert by_position["idx"].tolist() == order[:count]
    assert set(table["population"]) == {300}
    hits = ((by_position["radius"] >= 0.25) & (by_position["correct"] == 1)).cumsum().tolist()
    widths = [
        np.diff(population_share_interval(int(k), t, 300, 0.05))[0]
        for t, k in enumerate(hits, start=1)
    ]
    assert widths[-1] <= 0.3
    assert min(widths[:-1]) > 0.3
    lower, upper = population_share_interval(hits[-1], count, 300, 0.05)
    assert lower <= 0.5 <= upper


def test_it_goes_on_as_if_it_had_not_stopped(smoothed: Any, data: Any, tmp_path: Path) -> None:
    whole, parts = tmp_path / "whole.tsv", tmp_path / "parts.tsv"
    more = FIXED | {"record_time": False, "accuracy_within": 0.4}
    certify_dataset(smoothed, data, whole, **more)
    for most in (3, 10, None):
        table = certify_dataset(smoothed, data, parts, max_inputs=most, batch_size=64, **more)
        if most is not None:
            assert len(table) == most
    assert parts.read_bytes() == whole.read_bytes()
    before = len(table)
    assert len(certify_dataset(smoothed, data, parts, **more)) == before  # it is known


def test_where_all_are_needed_all_are_done(smoothed: Any, data: Any, tmp_path: Path) -> None:
    few = (data[0][140:160], data[1][140:160])
    table = certify_dataset(smoothed, few, tmp_path / "t.tsv", accuracy_within=0.01, **FIXED)
    assert len(table) >= 19
    assert sorted(table["idx"]) == table["idx"].tolist()


def test_rows_that_are_no_prefix_are_refused(smoothed: Any, data: Any, tmp_path: Path) -> None:
    from rsverify.tables.lines import complete_lines, text_of

    out = tmp_path / "t.tsv"
    more = FIXED | {"accuracy_within": 0.4}
    certify_dataset(smoothed, data, out, max_inputs=8, **more)
    lines = complete_lines(out)
    first = int(read_table(out).sort_values("position")["idx"].iloc[0])
    out.write_bytes(text_of(lines.header, [r for i, r in lines.rows.items() if i != first]))
    with pytest.raises(ValueError, match="as number 1 of 300 of its random order"):
        certify_dataset(smoothed, data, out, **more)


def test_a_smaller_population_is_refused(smoothed: Any, data: Any, tmp_path: Path) -> None:
    """Of fewer inputs in all, those that are there would say more."""
    from rsverify.tables.lines import complete_lines, signed, text_of

    out = tmp_path / "t.tsv"
    more = FIXED | {"accuracy_within": 0.4}
    certify_dataset(smoothed, data, out, max_inputs=8, **more)
    lines, rows = complete_lines(out), []
    for idx in lines.rows:
        fields = lines.fields(idx) | {"population": "20"}
        rows.append(signed("\t".join(list(fields.values())[:-1]), lines.header))
    out.write_bytes(text_of(lines.header, rows))
    with pytest.raises(ValueError, match="as number 1 of 300 of its random order"):
        certify_dataset(smoothed, data, out, **more)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"accuracy_within": 0.0}, "accuracy_within=0.0 must be in"),
        ({"accuracy_within": 1.5}, "accuracy_within=1.5 must be in"),
        ({"accuracy_radius": None}, "accuracy_radius must be given"),
        ({"accuracy_radius": -1.0}, "accuracy_radius=-1.0"),
        ({"accuracy_alpha": 0.0}, "accuracy_alpha=0.0 must be"),
        ({"accuracy_within": None}, "must be None without accuracy_within"),
        ({"share": (1, 2)}, "must be None with accuracy_within"),
    ],
)
def test_what_is_refused(
    smoothed: Any, data: Any, tmp_path: Path, change: Any, message: str
) -> None:
    options = FIXED | {"accuracy_within": 0.3} | change
    with pytest.raises(ValueError, match=message):
        certify_dataset(smoothed, data, tmp_path / "t.tsv", **options)
    assert not (tmp_path / "t.tsv").exists()
