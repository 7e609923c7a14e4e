"""A table that was stopped is continued to the same bytes, or refused."""

from __future__ import annotations

import functools
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from support.eight_points import SIGMA, N, X, Y, halves, run  # noqa: E402

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify.tables.reader import read_metadata, write_metadata  # noqa: E402


@given(data=st.data())
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_a_kill_leaves_is_continued_to_the_same_bytes(
    undisturbed: Path, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    out = tmp_path_factory.mktemp("killed") / "table.tsv"
    content = undisturbed.read_bytes()
    cut = data.draw(st.integers(0, len(content)))
    shutil.copy(undisturbed.with_suffix(".json"), out.with_suffix(".json"))
    if cut or data.draw(st.booleans()):
        out.write_bytes(content[:cut])
    if data.draw(st.booleans()):  # killed while a file was being replaced
        out.with_name("table.tsv.partial").write_bytes(content[: cut // 2])
        out.with_name("table.json.partial").write_text('{"format"')
    run(out)
    assert out.read_bytes() == content


@pytest.mark.usefixtures("unprobed")
@given(cut=st.integers(0, 10**6), merged=st.integers(0, 8), cuts=st.integers(0, 10**6))
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_shards_of_a_stopped_run_are_taken_in_once(
    undisturbed: Path, tmp_path_factory: pytest.TempPathFactory, cut: int, merged: int, cuts: int
) -> None:
    """Stopped in the middle, or after the shards were merged and before they were removed."""
    out = tmp_path_factory.mktemp("shards") / "table.tsv"
    header, *rows = undisturbed.read_bytes().splitlines(keepends=True)
    for rank, stop in ((0, cut), (1, cuts)):
        shard = out.with_name(f"table.shard-{rank}-of-2.tsv")
        content = header + b"".join(rows[rank::2])
        shard.write_bytes(content[: stop % (len(content) + 1)])
        shutil.copy(undisturbed.with_suffix(".json"), shard.with_suffix(".json"))
    if merged:
        out.write_bytes(header + b"".join(rows[:merged]))
        shutil.copy(undisturbed.with_suffix(".json"), out.with_suffix(".json"))
    there = {row[:2] for row in rows[:merged]}
    for shard in out.parent.glob("*.shard-*.tsv"):
        there |= {
            row[:2]
            for row in shard.read_bytes().splitlines(keepends=True)[1:]
            if row.endswith(b"\n")
        }
    seen: list[int] = []

    @functools.wraps(halves)  # by its name it is the model of the table
    def counting(batch: torch.Tensor) -> torch.Tensor:
        seen.append(len(batch))
        return halves(batch)

    run(out, classifier=SmoothedClassifier(counting, 3, SIGMA))
    assert sum(seen) <= (len(rows) - len(there)) * (N + 101) + 3 * 64
    assert out.read_bytes() == undisturbed.read_bytes()
    assert sorted(p.name for p in out.parent.iterdir()) == ["table.json", "table.tsv"]


@pytest.mark.usefixtures("unprobed")
def test_a_resumed_run_evaluates_the_model_on_the_rest_only(
    undisturbed: Path, tmp_path: Path
) -> None:
    seen: list[int] = []

    def counting(batch: torch.Tensor) -> torch.Tensor:
        seen.append(len(batch))
        return halves(batch)

    classifier = SmoothedClassifier(counting, 3, SIGMA)
    out = tmp_path / "table.tsv"
    run(out, classifier=classifier, max_inputs=6)
    seen.clear()
    run(out, classifier=classifier)
    assert 2 * (N + 101) <= sum(seen) <= 2 * (N + 101) + 3 * 64
    assert out.read_bytes() == undisturbed.read_bytes()
    seen.clear()
    run(out, classifier=classifier)
    assert sum(seen) <= 3 * 64  # the model is compared with the table's, and nothing is sampled


@pytest.mark.parametrize("before", [None, 1])
def test_noise_that_follows_otherwise_from_the_seed_is_not_mixed_in(
    undisturbed: Path, tmp_path: Path, before: int | None
) -> None:
    out = tmp_path / "table.tsv"
    out.write_bytes(b"".join(undisturbed.read_bytes().splitlines(keepends=True)[:4]))
    configuration = read_metadata(undisturbed)["configuration"]
    assert configuration.pop("seeding") == 2
    if before is not None:
        configuration["seeding"] = before
    write_metadata(out, configuration)
    kept = out.read_bytes()
    with pytest.raises(ValueError, match=f"seeding=2 must be {before} to resume"):
        run(out)
    assert out.read_bytes() == kept


def test_fresh_entropy_is_used_again_on_a_resume(tmp_path: Path) -> None:
    first = run(tmp_path / "table.tsv", seed=None, max_inputs=3)
    both = run(tmp_path / "table.tsv", seed=None)
    seed = read_metadata(tmp_path / "table.tsv")["configuration"]["seed"]
    assert seed > 2**64
    assert both["seed"].tolist() == [f"{seed},{i}" for i in range(8)]
    assert both[:3].equals(first)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"n": N + 1}, "n=301 must be 300 to resume"),
        ({"seed": 8}, "seed=8 must be 7 to resume"),
        ({"alpha": 0.01}, "alpha=0.01 must be 0.001 to resume"),
        ({"bound": "exact"}, "bound='exact' must be 'cohen' to resume"),
        ({"skip": 2}, "skip=2 must be 1 to resume"),
        ({"data": X}, "label 0 of the data set is '-1' and was '1'"),
        ({"data": (X[:7], Y[:7])}, "inputs=7 must be 8 to resume"),
        ({"data": (X + 1e-6, Y)}, "input 0 of the data set is"),
        ({"data": (torch.cat([X[:7], -X[7:]]), Y)}, "input 7 of the data set is"),
        (
            {"classifier": SmoothedClassifier(halves, 3, 0.4)},
            "noise='gaussian:0.4' must be 'gaussian:0.5' to resume",
        ),
        ({"classifier": SmoothedClassifier(lambda b: halves(b), 3, SIGMA)}, "model='"),
        (
            {"classifier": SmoothedClassifier(halves, 3, SIGMA, preprocess=torch.abs)},
            "preprocess='.*abs' must be '' to resume",
        ),
    ],
    ids=lambda v: "" if isinstance(v, str) else ",".join(v),
)
def test_a_changed_run_is_refused_naming_what_changed(
    undisturbed: Path, tmp_path: Path, changed: dict[str, Any], message: str
) -> None:
    for name in ("table.tsv", "table.json"):
        shutil.copy(undisturbed.with_name(name), tmp_path / name)
    with pytest.raises(ValueError, match=message):
        run(tmp_path / "table.tsv", **changed)
    assert (tmp_path / "table.tsv").read_bytes() == undisturbed.read_bytes()


def test_changed_weights_are_refused(tmp_path: Path) -> None:
    net = torch.nn.Linear(2, 3)
    run(tmp_path / "table.tsv", classifier=SmoothedClassifier(net, 3, SIGMA))
    with torch.no_grad():
        net.bias[0] += 1e-7 + net.bias[0].abs() * 1e-6
    with pytest.raises(ValueError, match=r"model='Linear .*' must be 'Linear .*' to resume"):
        run(tmp_path / "table.tsv", classifier=SmoothedClassifier(net, 3, SIGMA))


def test_without_resume_nothing_that_is_there_is_touched(undisturbed: Path) -> None:
    before = undisturbed.read_bytes(), undisturbed.with_suffix(".json").read_bytes()
    with pytest.raises(FileExistsError, match=r"table.tsv exists already"):
        run(undisturbed, resume=False)
    assert before == (undisturbed.read_bytes(), undisturbed.with_suffix(".json").read_bytes())


def test_a_table_without_its_json_is_refused(undisturbed: Path, tmp_path: Path) -> None:
    shutil.copy(undisturbed, tmp_path / "table.tsv")
    with pytest.raises(ValueError, match=r"has no table.json beside it"):
        run(tmp_path / "table.tsv")
