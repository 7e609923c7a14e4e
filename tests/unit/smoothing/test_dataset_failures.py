"""What goes wrong with data, models, memory and disks, and what stays then."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from support.eight_points import SIGMA, X, Y, halves, run, small_device  # noqa: E402

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify._core.errors import DataError  # noqa: E402
from rsverify.smoothing.sampling.forward import OutOfMemoryWarning  # noqa: E402
from rsverify.tables.reader import read_metadata, read_table  # noqa: E402


@pytest.mark.parametrize(
    ("data", "options", "error", "message"),
    [
        (object(), {}, TypeError, "dataset of type object must be a map-style dataset"),
        ([], {}, ValueError, "dataset is empty"),
        (
            (X, Y[:3]),
            {},
            ValueError,
            r"y of shape \(3,\) .* must hold one class for each of the 8 inputs",
        ),
        (X.to(torch.int64), {}, TypeError, "input 0: x of dtype torch.int64 must be floating"),
        ([(X[0], 3)], {}, ValueError, "input 0: label=3 must be a class between 0 and 2"),
        ([{"shown": X[0]}], {}, ValueError, "input 0: x must name the entry that is the input"),
        (X * 255, {"input_range": (0, 1)}, ValueError, "input 0: x from .* must be within input_r"),
        (X, {"input_range": (1, 0)}, ValueError, "input_range=.* must be a smaller and a larger"),
        (X, {"certify_label": True}, ValueError, "input 0 has no label: certify_label=True"),
        (X, {"n": 0}, ValueError, "n=0 must be at least 1"),
        (X, {"skip": 0}, ValueError, "skip=0 must be at least 1"),
        (X, {"share": (9, 9)}, ValueError, "share=9/9 is empty: only 8 inputs"),
        (X, {"share": (3, 2)}, ValueError, "share=3/2 must be at most 2/2"),
        (X, {"share": (0, 2)}, ValueError, "share=0 must be at least 1"),
        (X, {"share": 2}, TypeError, r"share=2 must be a pair: \(3, 8\) is the third of eight"),
        (X, {"share": (1, 2), "seed": None}, ValueError, "seed must be given with share"),
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
        return scores.where(batch[:, :1] > -3.5, torch.nan)  # 4.6 sigma away from all but one

    shifted = X.clone()
    shifted[7, 0] = -3.4
    with pytest.raises(ValueError, match=r"input 7: model returned NaN scores for .* noisy inputs"):
        run(tmp_path / "table.tsv", (shifted, Y), SmoothedClassifier(model, 3, SIGMA), **options)
    assert set(read_table(tmp_path / "table.tsv")["idx"]) <= set(range(7))


def test_a_full_disk_leaves_the_rows_before_and_names_the_file(
    tmp_path: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    left: list[int] = []

    def full_at_row_5(descriptor: int, data: bytes) -> int:
        """Take 30 bytes of the row and nothing after."""
        if bytes(data[:2]) == b"5\t":
            left.append(1)
            return real(descriptor, data[:30])
        if left:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data)

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full_at_row_5)
        with pytest.raises(OSError, match="No space left on device") as caught:
            run(tmp_path / "table.tsv")
    assert caught.value.filename == str(tmp_path / "table.tsv")
    whole = undisturbed.read_bytes()
    assert whole.startswith((tmp_path / "table.tsv").read_bytes())
    assert read_table(tmp_path / "table.tsv")["idx"].tolist() == [0, 1, 2, 3, 4]
    run(tmp_path / "table.tsv")
    assert (tmp_path / "table.tsv").read_bytes() == whole


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


@pytest.mark.usefixtures("unprobed")
def test_a_resumed_run_keeps_the_batch_size_that_was_found(tmp_path: Path) -> None:
    sizes: list[int] = []
    classifier = SmoothedClassifier(small_device(9, sizes), 3, SIGMA)
    run(tmp_path / "table.tsv", classifier=classifier, max_inputs=2)
    assert set(sizes) == {8}
    run(tmp_path / "table.tsv", classifier=classifier)
    assert set(sizes) == {8}


@pytest.mark.usefixtures("unprobed")
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


@pytest.mark.parametrize("ending", ["is killed by signal: Killed.", "exited unexpectedly"])
def test_a_loading_process_that_ends_is_an_error_of_the_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    """Torch raises it in a handler of signals, and so anywhere."""
    from rsverify.tables.writer import TableWriter

    write, rows = TableWriter.write, list[object]()

    def killed(self: TableWriter, *arguments: Any, **options: Any) -> None:
        write(self, *arguments, **options)
        rows.append(arguments)
        if len(rows) == 3:
            raise RuntimeError(f"DataLoader worker (pid 7) {ending}")

    monkeypatch.setattr(TableWriter, "write", killed)
    with pytest.raises(DataError, match=rf"loads the dataset has ended .*{ending}.*workers=0"):
        run(tmp_path / "table.tsv", [(x, int(y)) for x, y in zip(X, Y, strict=True)], workers=1)
    assert len(read_rows(tmp_path / "table.tsv")) == 3
    assert len(run(tmp_path / "table.tsv", [(x, int(y)) for x, y in zip(X, Y, strict=True)])) == 8
    rows.clear()
    with pytest.raises(RuntimeError, match="DataLoader worker"):  # not of a run without any
        run(tmp_path / "other.tsv", [(x, int(y)) for x, y in zip(X, Y, strict=True)])
