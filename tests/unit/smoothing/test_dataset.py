"""One table from many inputs: what it holds, and what it does not depend on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from support.eight_points import SIGMA, SMOOTHED, N, X, Y, halves, run, small_device  # noqa: E402

from rsverify import SmoothedClassifier, merge_tables  # noqa: E402
from rsverify.tables.reader import read_metadata, read_table  # noqa: E402


def test_rows_are_the_certificates_of_the_classifier(undisturbed: Path) -> None:
    table = read_table(undisturbed)

    assert table["idx"].tolist() == list(range(8))
    assert table["label"].tolist() == Y.tolist()
    for i, row in table.iterrows():
        expected = SMOOTHED.certify(X[i], n=N, bound="cohen", seed=(7, i))
        assert row[["count_0", "count_1", "count_2"]].tolist() == list(expected.counts)
        assert row[["selected_0", "selected_1", "selected_2"]].tolist() == list(
            expected.selection_counts
        )
        assert row["predict"] == expected.prediction
        assert expected.radius - 1e-6 <= row["radius"] <= expected.radius
        assert row["correct"] == (expected.prediction == row["label"])
        assert row["seed"] == f"7,{i}"
        assert row["base_predict"] == int(X[i].sum() > 0)
    assert table["time"].isna().all()
    assert len(set(table["input"])) == 8


@pytest.mark.parametrize(
    "options",
    [
        {"target_radius": 0.2},
        {"target_radius": 0.9, "radius": "R1"},
        {"bound": "betting", "n": 60},
        {"bound": "exact", "radius": "R1"},
        {"certify_label": True},
    ],
    ids=lambda o: ",".join(o),
)
def test_other_requests_are_those_of_the_classifier_too(tmp_path: Path, options: Any) -> None:
    table = run(tmp_path / "table.tsv", **options)
    label = options.pop("certify_label", False)
    defaults = {"n": N} | ({} if "target_radius" in options else {"bound": "cohen"})
    for i, row in table.iterrows():
        y = int(Y[i]) if label else None
        expected = SMOOTHED.certify(X[i], y=y, seed=(7, i), **defaults | options)
        assert row[["count_0", "count_1", "count_2"]].tolist() == list(expected.counts)
        assert row["predict"] == expected.prediction
        assert expected.radius - 1e-6 <= row["radius"] <= expected.radius
        assert row["bound"] == expected.bound
        assert row["n"] == expected.n
        assert row["base_predict"] == int(X[i].sum() > 0)
        if "target_radius" in options:
            assert row["decision"] == expected.decision
            assert row["target_radius"] == options["target_radius"]


@pytest.mark.parametrize(("progress", "rank"), [(True, "0"), (False, "0"), (True, "1")])
def test_progress_of_the_lipschitz_constant_is_shown_by_the_first_process(
    progress: bool,
    rank: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr("rsverify._core.progress.is_live", lambda _console: True)
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr("rsverify.smoothing.lipschitz.bound._PATIENCE", 0.0)
    smoothed = SmoothedClassifier(torch.nn.Linear(2, 3), 3, SIGMA)
    options = {"bound": "hoeffding", "radius": "R1", "lipschitz": "auto", "n": 20}
    run(tmp_path / "table.tsv", classifier=smoothed, progress=progress, **options)
    shown = "bounding the operations" in capsys.readouterr().err
    assert shown == (progress and rank == "0")


def test_the_automatic_lipschitz_constant_is_that_of_the_classifier(tmp_path: Path) -> None:
    network = torch.nn.Linear(X.shape[1], 3)
    torch.nn.init.orthogonal_(network.weight)
    smoothed = SmoothedClassifier(network, num_classes=3, sigma=0.1)
    options = {"bound": "betting", "radius": "R1", "lipschitz": "auto", "n": 60}
    table = run(tmp_path / "table.tsv", classifier=smoothed, **options)
    expected = smoothed.certify(X[0], seed=(7, 0), **options)
    assert isinstance(expected.lipschitz, float)
    assert table["lipschitz"].unique().tolist() == [expected.lipschitz]
    assert table["radius"].max() > 0
    with pytest.raises(ValueError, match="only R1 has one"):
        run(tmp_path / "other.tsv", classifier=smoothed, lipschitz="auto")
    assert not (tmp_path / "other.tsv").exists()


@given(
    batch_size=st.integers(1, 1000),
    n=st.integers(1, 200),
    n0=st.integers(1, 50),
    target=st.sampled_from([None, 0.1, 0.4, 1.0]),
)
@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_the_table_does_not_depend_on_the_batch_size(
    tmp_path_factory: pytest.TempPathFactory, batch_size: int, n: int, n0: int, target: Any
) -> None:
    folder = tmp_path_factory.mktemp("batches")
    options = {"n": n, "n0": n0} | ({} if target is None else {"target_radius": target})
    run(folder / "one.tsv", **options)
    run(folder / "other.tsv", batch_size=batch_size, **options)
    assert (folder / "one.tsv").read_bytes() == (folder / "other.tsv").read_bytes()


def test_each_vote_is_the_models_on_its_own_noisy_input(tmp_path: Path) -> None:
    """A convolutional net, whose rounding could depend on what shares a batch."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 16, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(16 * 9, 10),
    )
    images = torch.rand(12, 1, 8, 8)
    smoothed = SmoothedClassifier(net, 10, SIGMA)
    few = {"bound": "cohen", "n": 130, "n0": 17, "batch_size": 64}
    whole = run(tmp_path / "whole.tsv", images, smoothed, **few)
    for skip in (5, 1):  # resumed: what shared a batch at first does not now
        pieces = run(tmp_path / f"{skip}.tsv", images, smoothed, skip=skip, **few)
        expected = whole[whole["idx"] % skip == 0].reset_index(drop=True)
        assert pieces.equals(expected)
    assert net.training


def test_scores_of_a_row_do_not_depend_on_its_place_or_company() -> None:
    """What the fixed shape of batches rests on, for the bits of scores themselves."""
    torch.manual_seed(1)
    net = torch.nn.Sequential(
        torch.nn.Conv2d(3, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 32, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(128, 10),
    ).eval()
    with torch.no_grad():
        for size in (16, 64, 100):
            batch = torch.randn(size, 3, 16, 16)
            order = torch.randperm(size)
            scores = net(batch)
            assert torch.equal(net(batch[order]), scores[order])
            company = torch.randn(size, 3, 16, 16) * 50
            company[3] = batch[7]
            assert torch.equal(net(company)[3], scores[7])


class Images(torch.utils.data.Dataset):
    """A map-style dataset of tuples, as torchvision's are."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return X[i], int(Y[i])


@pytest.mark.parametrize(
    "data",
    [
        Images(),
        torch.utils.data.TensorDataset(X, Y),
        (X.numpy(), Y.numpy()),
        [(x.numpy(), np.int64(y)) for x, y in zip(X, Y, strict=True)],
        [[x, y] for x, y in zip(X, Y, strict=True)],
    ],
    ids=["dataset", "TensorDataset", "arrays", "list", "list of lists"],
)
def test_kinds_of_data_sets_give_the_same_table(
    undisturbed: Path, tmp_path: Path, data: Any
) -> None:
    run(tmp_path / "table.tsv", data)
    assert (tmp_path / "table.tsv").read_bytes() == undisturbed.read_bytes()


def test_items_are_loaded_by_other_processes_if_asked(undisturbed: Path, tmp_path: Path) -> None:
    run(tmp_path / "table.tsv", Images(), workers=1)
    assert (tmp_path / "table.tsv").read_bytes() == undisturbed.read_bytes()


def test_unlabeled_items_have_label_minus_one(tmp_path: Path) -> None:
    table = run(tmp_path / "table.tsv", list(X))
    assert set(table["label"]) == {-1}
    assert set(table["correct"]) == {0}


@pytest.mark.usefixtures("unprobed")
def test_few_votes_of_many_inputs_fill_batches(tmp_path: Path) -> None:
    sizes: list[int] = []
    classifier = SmoothedClassifier(small_device(10**6, sizes), 3, SIGMA)
    run(tmp_path / "table.tsv", classifier=classifier, n=10, n0=5, batch_size=50)
    assert sizes == [50] * (2 + -(-8 * 16 // 50))  # one to try the model, one to know it again


@pytest.mark.usefixtures("unprobed")
def test_undecided_inputs_share_batches(tmp_path: Path) -> None:
    sizes: list[int] = []
    classifier = SmoothedClassifier(small_device(10**6, sizes), 3, SIGMA)
    options = {"n": 2000, "target_radius": 0.5, "batch_size": 512}
    table = run(tmp_path / "table.tsv", classifier=classifier, **options)
    used = int(table["n"].sum() + table["n0"].sum())
    one_at_a_time = int((-(-(table["n"] + 100) // 512) * 512).sum())
    assert sum(sizes[1:]) < min(1.5 * used + 512, one_at_a_time)


@pytest.mark.usefixtures("unprobed")
def test_autocast_is_what_the_model_computes_in(tmp_path: Path) -> None:
    seen: list[torch.dtype] = []
    linear = torch.nn.Linear(2, 3)

    def model(batch: torch.Tensor) -> torch.Tensor:
        scores = linear(batch)
        seen.append(scores.dtype)
        return scores

    run(
        tmp_path / "table.tsv",
        classifier=SmoothedClassifier(model, 3, SIGMA),
        autocast=torch.bfloat16,
    )
    assert set(seen) == {torch.bfloat16}
    assert read_metadata(tmp_path / "table.tsv")["configuration"]["autocast"] == "torch.bfloat16"


def test_channels_last_batches(tmp_path: Path) -> None:
    seen: list[bool] = []

    def model(batch: torch.Tensor) -> torch.Tensor:
        seen.append(batch.is_contiguous(memory_format=torch.channels_last))
        return halves(batch.flatten(1)[:, :2])

    classifier = SmoothedClassifier(model, 3, SIGMA)
    images = torch.rand(3, 2, 4, 4)
    run(tmp_path / "last.tsv", images, classifier, channels_last=True)
    assert all(seen)
    run(tmp_path / "first.tsv", images, classifier)
    last, first = ((tmp_path / f"{k}.tsv").read_bytes() for k in ("last", "first"))
    assert last == first


def test_json_says_how_and_whence(tmp_path: Path) -> None:
    run(tmp_path / "table.tsv", origin={"data": "eight points"}, max_inputs=1)
    execution = json.loads((tmp_path / "table.json").read_text())["execution"]
    assert execution["origin"] == {"data": "eight points"}
    assert execution["batch_size"] == 64
    assert execution["processes"] == 1


def test_times_are_shares_of_the_run(tmp_path: Path) -> None:
    import time

    started = time.perf_counter()
    table = run(tmp_path / "table.tsv", record_time=True, n=50, batch_size=300)
    assert (table["time"] >= 0).all()
    assert table["time"].sum() <= time.perf_counter() - started + 8 * 0.0005


def test_the_global_random_state_is_left_alone(tmp_path: Path) -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    run(tmp_path / "table.tsv", max_inputs=2)
    assert torch.rand(1) == expected


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_compiled_models_vote_alike(tmp_path: Path) -> None:
    torch.manual_seed(0)
    smoothed = SmoothedClassifier(torch.nn.Linear(2, 3), 3, SIGMA)
    compiled = run(tmp_path / "compiled.tsv", classifier=smoothed, compile=True)
    plain = run(tmp_path / "plain.tsv", classifier=smoothed)
    for name in ("count_0", "count_1", "count_2"):  # near ties may be rounded differently
        assert (compiled[name] - plain[name]).abs().max() <= 1
    with pytest.raises(ValueError, match="compile=False must be True to resume"):
        run(tmp_path / "compiled.tsv", classifier=smoothed)


def peak_memory(work: Any) -> int:
    """Return the largest number of bytes that torch's CPU allocator held."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        work()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    changes = [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]
    return int(np.cumsum(changes).max())


@pytest.mark.parametrize("options", [{}, {"target_radius": 50.0}], ids=["fixed", "target"])
def test_memory_does_not_grow_with_n(tmp_path: Path, options: Any) -> None:
    """A batch and a block of noise (4 MB) an input under way, whether 1,000 or 6,000 votes."""
    images = torch.rand(2, 3, 32, 32)

    def corner(batch: torch.Tensor) -> torch.Tensor:
        return batch[:, 0, 0, :3]

    def certify(n: int) -> None:
        smoothed = SmoothedClassifier(corner, 3, SIGMA)
        run(tmp_path / f"{n}.tsv", images, smoothed, n=n, **options)

    few, many = (peak_memory(lambda n=n: certify(n)) for n in (1000, 6000))
    assert 4 * 2**20 < few < 12 * 2**20
    assert many <= few + 2**16  # 72 MB of noisy inputs have passed


@pytest.mark.parametrize("shares", [2, 3, 8])
def test_shares_of_apart_jobs_are_merged_to_the_table_of_one(
    tmp_path: Path, undisturbed: Path, shares: int
) -> None:
    parts = [tmp_path / f"part_{i}.tsv" for i in range(1, shares + 1)]
    for i, part in enumerate(parts, 1):
        run(part, share=(i, shares))
        run(part, share=(i, shares))  # a job that is started again
    out = tmp_path / "table.tsv"
    merge_tables(parts[:-1], out)
    if shares == 3:  # what is missing is made by a run of all
        run(out)
    merge_tables(parts, out)
    assert out.read_bytes() == undisturbed.read_bytes()
    merge_tables(reversed(parts), out)
    assert out.read_bytes() == undisturbed.read_bytes()


def test_shares_of_other_runs_are_not_merged(tmp_path: Path) -> None:
    run(tmp_path / "a.tsv", share=(1, 2))
    run(tmp_path / "b.tsv", share=(2, 2), seed=8)
    with pytest.raises(ValueError, match=r"seed=8 of .*b.tsv must be 7 to be merged with .*a.tsv"):
        merge_tables([tmp_path / "a.tsv", tmp_path / "b.tsv"], tmp_path / "both.tsv")
    assert not (tmp_path / "both.tsv").exists()
