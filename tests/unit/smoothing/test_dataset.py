"""One table from many inputs: what it holds, what it does not depend on, what it refuses."""

from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier, certify_dataset  # noqa: E402
from rsverify.smoothing.forward import OutOfMemoryWarning  # noqa: E402
from rsverify.table import read_metadata, read_table  # noqa: E402

SIGMA, N = 0.5, 300
X = torch.linspace(-1.2, 1.2, 16).reshape(8, 2).flip(0)
Y = torch.tensor([1, 1, 1, 0, 1, 0, 0, 1])


def halves(batch: torch.Tensor) -> torch.Tensor:
    """Vote for class 1 where the sum of the input is positive, and never for class 2."""
    total = batch.sum(dim=1)
    return torch.stack([-total, total, total * 0 - 99], dim=1)


SMOOTHED = SmoothedClassifier(halves, 3, SIGMA)


def run(out: Path, data: Any = (X, Y), classifier: SmoothedClassifier = SMOOTHED, **options: Any):
    defaults = {"n": N, "seed": 7, "bound": "cohen", "record_time": False, "progress": False}
    if "target_radius" in options:
        del defaults["bound"]
    return certify_dataset(classifier, data, out, **defaults | options)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("undisturbed") / "table.tsv"
    run(out)
    return out


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
        if "target_radius" in options:
            assert row["decision"] == expected.decision
            assert row["target_radius"] == options["target_radius"]


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
    run(out)
    assert out.read_bytes() == undisturbed.read_bytes()
    assert sorted(p.name for p in out.parent.iterdir()) == ["table.json", "table.tsv"]


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
    assert 2 * (N + 100) <= sum(seen) <= 2 * (N + 100) + 2 * 64
    assert out.read_bytes() == undisturbed.read_bytes()
    seen.clear()
    run(out, classifier=classifier)
    assert not seen


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
        ({"classifier": SmoothedClassifier(halves, 3, 0.4)}, "sigma=0.4 must be 0.5 to resume"),
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


def test_unlabelled_items_have_label_minus_one(tmp_path: Path) -> None:
    table = run(tmp_path / "table.tsv", list(X))
    assert set(table["label"]) == {-1}
    assert set(table["correct"]) == {0}


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        (object(), {}, TypeError, "dataset of type object must be a map-style dataset"),
        ([], {}, ValueError, "dataset is empty"),
        ((X, Y[:3]), {}, ValueError, r"y of shape \(3,\) .* must hold 8 integers"),
        (X.to(torch.int64), {}, TypeError, "input 0: x of dtype torch.int64 must be floating"),
        ([(X[0], 3)], {}, ValueError, "input 0: label=3 must be a class between 0 and 2"),
        ([{"image": X[0]}], {}, TypeError, "input 0: x of type dict must be a torch.Tensor"),
        (X * 255, {"input_range": (0, 1)}, ValueError, "input 0: x from .* must be within input_r"),
        (X, {"input_range": (1, 0)}, ValueError, "input_range=.* must be a smaller and a larger"),
        (X, {"certify_label": True}, ValueError, "input 0 has no label: certify_label=True"),
        (X, {"n": 0}, ValueError, "n=0 must be at least 1"),
        (X, {"skip": 0}, ValueError, "skip=0 must be at least 1"),
        (X, {"bound": "best"}, ValueError, "bound='best' must be one of"),
        (X, {"target_radius": -1.0}, ValueError, "target_radius=-1.0 must be positive"),
        (X, {"channels_last": True}, ValueError, "channels_last=True needs inputs of 3 dim"),
    ],
)
def test_bad_data_and_options_raise_before_anything_is_written(
    tmp_path: Path, data: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(tmp_path / "table.tsv", data, **options)
    assert not (tmp_path / "table.tsv").exists() or not read_rows(tmp_path / "table.tsv")


def read_rows(path: Path) -> list[str]:
    return path.read_text().splitlines()[1:]


@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        (lambda b: torch.zeros(len(b), 4), ValueError, r"shape \(64, 4\) for 64 inputs"),
        (lambda _: torch.zeros(1, 3), ValueError, r"scores of shape \(1, 3\) for 64"),
        (lambda b: (b, b), TypeError, "model returned tuple; it must return a tensor"),
        (
            lambda b: torch.zeros(len(b), 3, device="meta"),
            ValueError,
            "model returned scores on meta; they must be on cpu",
        ),
        (
            torch.nn.Linear(5, 3),
            ValueError,
            r"model failed on a batch of shape \(1, 2\): RuntimeError: mat1 and mat2",
        ),
        (
            lambda _: {}["logits"],
            ValueError,
            r"model failed on a batch of shape \(1, 2\): KeyError: 'logits'",
        ),
    ],
)
def test_a_model_that_fails_is_found_before_anything_is_written(
    tmp_path: Path, model: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run(tmp_path / "table.tsv", classifier=SmoothedClassifier(model, 3, SIGMA))
    assert not list(tmp_path.iterdir())


def test_a_model_on_another_device_is_named(tmp_path: Path) -> None:
    net = torch.nn.Linear(2, 3, device="meta")
    with pytest.raises(ValueError, match="device='cpu' must be where the model is, and weight is"):
        run(tmp_path / "table.tsv", classifier=SmoothedClassifier(net, 3, SIGMA, device="cpu"))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("options", [{}, {"target_radius": 0.3}], ids=["fixed", "target"])
@pytest.mark.parametrize("batch_size", [1, 64, 10_000])
def test_rows_before_a_bad_input_stay(tmp_path: Path, batch_size: int, options: Any) -> None:
    bad = X.clone()
    bad[5, 1] = torch.nan
    with pytest.raises(ValueError, match="input 5: x contains NaN or infinity; it must be finite"):
        run(tmp_path / "table.tsv", (bad, Y), batch_size=batch_size, **options)
    assert read_table(tmp_path / "table.tsv")["idx"].tolist() == [0, 1, 2, 3, 4]
    run(tmp_path / "table.tsv", (X, Y), batch_size=batch_size, **options)
    run(tmp_path / "good.tsv", (X, Y), batch_size=batch_size, **options)
    assert (tmp_path / "table.tsv").read_bytes() == (tmp_path / "good.tsv").read_bytes()


@pytest.mark.parametrize("options", [{}, {"target_radius": 5.0}], ids=["fixed", "target"])
def test_nan_scores_name_the_input_and_rows_before_stay(tmp_path: Path, options: Any) -> None:
    def model(batch: torch.Tensor) -> torch.Tensor:
        scores = halves(batch)
        return scores.where(batch[:, :1] > -3.5, torch.nan)  # 4.6 sigma away from the last input

    shifted = X.clone()
    shifted[7, 0] = -3.5
    with pytest.raises(ValueError, match=r"input 7: model returned NaN scores for .* noisy inputs"):
        run(tmp_path / "table.tsv", (shifted, Y), SmoothedClassifier(model, 3, SIGMA), **options)
    assert set(read_table(tmp_path / "table.tsv")["idx"]) <= set(range(7))


def test_a_full_disk_leaves_the_rows_before_and_names_the_file(
    tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rsverify import table_writer

    real = table_writer.TableWriter._append

    def full_at_row_5(self: Any, data: bytes) -> None:
        if data.startswith(b"5\t"):
            self._file = Full(self._file)
        real(self, data)

    class Full:
        """Takes 30 bytes of the first write and nothing after."""

        def __init__(self, file: Any) -> None:
            self._file, self._left = file, 30

        def write(self, data: bytes) -> int:
            if not self._left:
                raise OSError(errno.ENOSPC, "No space left on device")
            count, self._left = self._left, 0
            return int(self._file.write(data[:count]))

        def __getattr__(self, name: str) -> Any:
            return getattr(self._file, name)

    with monkeypatch.context() as patched:
        patched.setattr(table_writer.TableWriter, "_append", full_at_row_5)
        with pytest.raises(OSError, match="No space left on device") as caught:
            run(tmp_path / "table.tsv")
    assert caught.value.filename == str(tmp_path / "table.tsv")
    whole = undisturbed.read_bytes()
    assert whole.startswith((tmp_path / "table.tsv").read_bytes())
    assert read_table(tmp_path / "table.tsv")["idx"].tolist() == [0, 1, 2, 3, 4]
    run(tmp_path / "table.tsv")
    assert (tmp_path / "table.tsv").read_bytes() == whole


def small_device(largest: int, sizes: list[int]) -> Any:
    """Return a model that runs out of memory above `largest` inputs."""

    def model(batch: torch.Tensor) -> torch.Tensor:
        if len(batch) > largest:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(batch))
        return halves(batch)

    return model


@pytest.mark.parametrize("options", [{}, {"target_radius": 0.3}, {"bound": "betting", "n": 60}])
def test_out_of_memory_halves_the_batch(tmp_path: Path, options: Any) -> None:
    sizes: list[int] = []
    classifier = SmoothedClassifier(small_device(5, sizes), 3, SIGMA)
    run(tmp_path / "table.tsv", classifier=classifier, batch_size=32, **options)
    assert set(sizes) <= {1, 2, 3, 4}
    assert read_metadata(tmp_path / "table.tsv")["execution"]["batch_size"] == 4
    run(tmp_path / "large.tsv", batch_size=64, **options)
    table, large = (read_table(tmp_path / f"{name}.tsv") for name in ("table", "large"))
    assert table.equals(large)


def test_a_resumed_run_keeps_the_batch_size_that_was_found(tmp_path: Path) -> None:
    sizes: list[int] = []
    classifier = SmoothedClassifier(small_device(9, sizes), 3, SIGMA)
    run(tmp_path / "table.tsv", classifier=classifier, max_inputs=2)
    assert set(sizes) == {8}
    run(tmp_path / "table.tsv", classifier=classifier)
    assert set(sizes) == {8}


def test_memory_that_runs_out_later_halves_what_is_computed_at_once(
    tmp_path: Path, undisturbed: Path
) -> None:
    sizes: list[int] = []

    def model(batch: torch.Tensor) -> torch.Tensor:
        if len(sizes) > 3 and len(batch) > 20:
            raise torch.OutOfMemoryError("another process took it")
        sizes.append(len(batch))
        return halves(batch)

    with (
        pytest.warns(OutOfMemoryWarning, match="with 64 inputs at once; going on with 32"),
        pytest.warns(OutOfMemoryWarning, match="with 32 inputs at once; going on with 16"),
    ):
        run(tmp_path / "table.tsv", classifier=SmoothedClassifier(model, 3, SIGMA))
    assert set(sizes[4:]) == {16}
    table, expected = read_table(tmp_path / "table.tsv"), read_table(undisturbed)
    assert table.equals(expected)


def test_one_input_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    classifier = SmoothedClassifier(small_device(0, []), 3, SIGMA)
    with pytest.raises(ValueError, match="one input alone does not fit into memory"):
        run(tmp_path / "table.tsv", classifier=classifier)
    assert not list(tmp_path.iterdir())


def test_few_votes_of_many_inputs_fill_batches(tmp_path: Path) -> None:
    sizes: list[int] = []
    classifier = SmoothedClassifier(small_device(10**6, sizes), 3, SIGMA)
    run(tmp_path / "table.tsv", classifier=classifier, n=10, n0=5, batch_size=50)
    assert sizes == [50] + [50] * -(-8 * 15 // 50)  # one to try the model


def test_undecided_inputs_share_batches(tmp_path: Path) -> None:
    sizes: list[int] = []
    classifier = SmoothedClassifier(small_device(10**6, sizes), 3, SIGMA)
    options = {"n": 2000, "target_radius": 0.5, "batch_size": 512}
    table = run(tmp_path / "table.tsv", classifier=classifier, **options)
    used = int(table["n"].sum() + table["n0"].sum())
    one_at_a_time = int((-(-(table["n"] + 100) // 512) * 512).sum())
    assert sum(sizes[1:]) < min(1.5 * used + 512, one_at_a_time)


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
