"""Files of numpy, whatever their arrays are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier, certify_dataset  # noqa: E402
from rsverify._core.errors import DataError  # noqa: E402
from rsverify.smoothing.data.containers import Inputs  # noqa: E402
from rsverify.smoothing.data.files import read_arrays  # noqa: E402
from rsverify.smoothing.data.items import Items  # noqa: E402

X = np.linspace(0, 1, 12, dtype=np.float32).reshape(4, 3)
Y = np.array([1, 0, 2, 1])


@pytest.mark.parametrize(
    ("names", "options"),
    [
        (("x", "y"), {}),
        (("X", "Y"), {}),
        (("images", "labels"), {}),
        (("data", "target"), {}),
        (("features", "class"), {}),
        (("arr_0", "arr_1"), {"x": "arr_0", "y": "arr_1"}),
        (("x_test", "y_test"), {"split": "test"}),  # of Keras
        (("test_images", "test_labels"), {"split": "test"}),  # of MedMNIST
        (("X_val", "Y_val"), {"split": "val"}),
        (("test_images", "test_labels"), {"x": "test_images", "y": "test_labels"}),
    ],
)
def test_usual_names_are_found(names: tuple[str, str], options: Any, tmp_path: Path) -> None:
    others = {"train_images": X + 1, "train_labels": Y, "ids": np.arange(4)}
    np.savez(tmp_path / "d.npz", **{names[0]: X, names[1]: Y, **others})
    x, y = read_arrays(tmp_path / "d.npz", **options)
    assert np.array_equal(x, X)
    assert np.array_equal(y, Y)
    np.savez(tmp_path / "alone.npz", **{names[0]: X})
    alone = {k: v for k, v in options.items() if k != "y"}
    assert np.array_equal(read_arrays(tmp_path / "alone.npz", **alone), X)


def test_plain_names_come_first(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=X, y=Y, images=X + 1, labels=Y + 1)
    x, y = read_arrays(tmp_path / "d.npz")
    assert np.array_equal(x, X)
    assert np.array_equal(y, Y)


@pytest.mark.parametrize(
    ("names", "options", "message"),
    [
        (["a", "b"], {}, r"holds a, b; it must hold x, and y .*; name them by --x and --y, as --x"),
        (["x_test", "x_train"], {}, "; --split can be test or train"),
        (["test_images", "train_images"], {}, "; --split can be test or train"),
        (["x_test"], {"split": "val"}, "must hold x_val, and y_val .*; --split can be test"),
        (["images", "features"], {}, "x must name one of features, images of .*--x features"),
        (
            ["x", "fine_label", "coarse_label"],
            {},
            "y must name one of coarse_label, fine_label .*--y",
        ),
        (["x", "y"], {"x": "z"}, r"x='z' must be an array of .*d\.npz: x, y"),
        (["x", "y"], {"y": "label"}, "y='label' must be an array of"),
        ([], {}, "holds nothing; it must hold x"),
    ],
)
def test_archives_that_leave_it_open(
    names: list[str], options: Any, message: str, tmp_path: Path
) -> None:
    np.savez(tmp_path / "d.npz", **dict.fromkeys(names, X))
    with pytest.raises(ValueError, match=message) as caught:
        read_arrays(tmp_path / "d.npz", **options)
    named = "must name" in message or "must be an array" in message  # what an option settles
    assert isinstance(caught.value, DataError) is not named


def test_one_array_has_no_splits(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    assert np.array_equal(read_arrays(tmp_path / "x.npy"), X)
    with pytest.raises(ValueError, match="split='test' must be left out"):
        read_arrays(tmp_path / "x.npy", "test")


@pytest.mark.parametrize("y", [Y.astype(np.float32), Y.astype(np.float64)[:, None], Y.tolist()])
def test_classes_may_be_written_as_floats(y: Any) -> None:
    data = (X, np.asarray(y))
    assert [item.label for item in Items(data, 3).load(range(4))] == Y.tolist()


def test_one_label_of_one_hot_floats() -> None:
    data = Inputs((X, np.eye(3)[Y]), label=1)
    assert [item.label for item in Items(data, 2).load(range(4))] == [1, 0, 0, 1]


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y[:3], "must hold one class for each of the 4 inputs"),
        (np.array(list("abab")), r"must hold integers: for names, np\.unique"),
        (Y + 0.5, "must hold the numbers of classes, which are integers"),
        (Y + np.nan, "must hold the numbers of classes"),
        (np.zeros((4, 2, 2), int), "one class per input, or several labels"),
    ],
)
def test_labels_that_are_none(y: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        Items((X, y), 3)


def test_one_hot_labels_name_their_remedy() -> None:
    with pytest.raises(ValueError, match=r"input 0: .*of one-hot classes give y\.argmax\(axis=1\)"):
        list(Items((X, np.eye(3)[Y]), 3).load([0]))


def test_a_label_that_is_no_class_is_told_before_the_work(tmp_path: Path) -> None:
    """And not when its turn comes, hours later: here classes are numbered from 1."""
    asked = []

    def model(batch: torch.Tensor) -> torch.Tensor:
        asked.append(len(batch))
        return batch

    smoothed = SmoothedClassifier(model, 3, 0.5)
    with pytest.raises(DataError, match="input 2: label=3 must be a class between 0 and 2"):
        certify_dataset(smoothed, (X, Y + 1), tmp_path / "t.tsv", n=20, n0=5, progress=False)
    assert not asked
    assert not list(tmp_path.iterdir())
    # What is not certified is not looked at.
    table = certify_dataset(
        smoothed, (X, Y + 1), tmp_path / "t.tsv", n=20, n0=5, max_inputs=2, progress=False
    )
    assert table["label"].tolist() == [2, 1]


def test_token_numbers_are_not_told_to_be_divided() -> None:
    with pytest.raises(TypeError, match=r"int64 must be floating.*HFModel\.embed.*deletion"):
        list(Items(Y.reshape(2, 2), 3).load([0]))
