"""Folders of images, and data sets that HuggingFace keeps in one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pillow = pytest.importorskip("PIL.Image")

from rsverify._core.errors import DataError  # noqa: E402
from rsverify.smoothing.data.folders import ImageFolder, read_folder  # noqa: E402
from rsverify.smoothing.data.items import Items  # noqa: E402


def save(path: Path, shade: int, size: tuple[int, int] = (6, 4), mode: str = "RGB") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pillow.new(mode, size, shade if mode in ("L", "P") else (shade,) * len(mode)).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, shade in (("10/b.png", 10), ("10/sub/a.JPG", 20), ("2/a.png", 30), ("x/a.bmp", 40)):
        save(tmp_path / "val" / name, shade)
    (tmp_path / "val" / "2" / "notes.txt").write_text("no image")
    save(tmp_path / "val" / "2" / ".hidden.png", 99)
    (tmp_path / "val" / ".cache").mkdir()
    return tmp_path / "val"


def test_classes_are_numbered_by_the_names_of_folders(folder: Path) -> None:
    images = ImageFolder(folder)
    assert images.classes == ["10", "2", "x"]
    found = list(Items(images, 3).load(range(4)))
    assert [item.label for item in found] == [0, 0, 1, 2]
    shades = [float(item.x.mean() * 255) for item in found]
    assert np.allclose(shades, [10, 20, 30, 40], atol=2)  # JPEG is not exact
    assert all(item.x.shape == (3, 4, 6) for item in found)
    assert repr(images) == "ImageFolder(4 images, 3 classes)"


def test_another_order_of_classes(folder: Path) -> None:
    images = ImageFolder(folder, classes=["x", "2", "10"])
    assert [images[i][1] for i in range(4)] == [0, 1, 2, 2]
    with pytest.raises(ValueError, match=r"must be the names of the folders in .*: 10, 2, x"):
        ImageFolder(folder, classes=["x", "2"])


def test_images_without_classes(tmp_path: Path) -> None:
    for name in ("b.png", "a.png"):
        save(tmp_path / name, 50)
    images = ImageFolder(tmp_path, mode="L", size=2)
    assert images.classes == []
    assert [item.label for item in Items(images, 3).load(range(2))] == [-1, -1]
    assert next(Items(images, 3).load([0])).x.shape == (1, 2, 2)


def test_images_of_all_modes_are_converted(tmp_path: Path) -> None:
    for mode in ("L", "P", "RGBA", "RGB"):
        save(tmp_path / "a" / f"{mode}.png", 7, mode=mode)
    assert {item.x.shape for item in Items(ImageFolder(tmp_path), 3).load(range(4))} == {(3, 4, 6)}


def test_images_of_several_sizes_need_one(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", 5, (6, 4))
    save(tmp_path / "a" / "2.png", 5, (4, 9))
    with pytest.raises(ValueError, match=r"input 1: x of shape \(3, 9, 4\) must be of shape"):
        list(Items(ImageFolder(tmp_path), 3).load(range(2)))
    sized = Items(ImageFolder(tmp_path, size=3), 3).load(range(2))
    assert [tuple(item.x.shape) for item in sized] == [(3, 3, 3)] * 2


def test_folders_that_do_not_fit(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist, or is not a folder"):
        ImageFolder(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"holds no images \(\.bmp, "):
        ImageFolder(tmp_path / "empty")
    save(folder / "loose.png", 3)
    with pytest.raises(ValueError, match=r"holds images, such as loose\.png, beside folders"):
        ImageFolder(folder)
    (folder / "loose.png").unlink()
    (folder / "2" / "a.png").write_bytes(b"certainly no image")
    with pytest.raises(ValueError, match=r"a\.png is not an image that can be read") as caught:
        list(Items(ImageFolder(folder), 3).load(range(4)))
    assert "\n" not in str(caught.value)


def test_splits_are_folders(folder: Path) -> None:
    assert len(read_folder(folder.parent, "val")) == 4
    with pytest.raises(FileNotFoundError, match="split='train'"):
        read_folder(folder.parent, "train")


def test_data_sets_of_huggingface_on_the_disk(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")

    def made(count: int) -> Any:
        images = [pillow.new("L", (3, 3), 10 * i) for i in range(count)]
        return datasets.Dataset.from_dict({"image": images, "label": list(range(count))})

    made(3).save_to_disk(tmp_path / "one")
    datasets.DatasetDict({"train": made(2), "test": made(3)}).save_to_disk(tmp_path / "several")
    for data in (read_folder(tmp_path / "one", None), read_folder(tmp_path / "several", "test")):
        found = list(Items(data, 3).load(range(3)))
        assert [item.label for item in found] == [0, 1, 2]
        assert [round(float(item.x.mean()) * 255) for item in found] == [0, 10, 20]
    with pytest.raises(ValueError, match="split=None must be one of 'train', 'test'"):
        read_folder(tmp_path / "several", None)
    with pytest.raises(ValueError, match="split='test' must be left out"):
        read_folder(tmp_path / "one", "test")
    (tmp_path / "one" / "state.json").write_text("{")
    with pytest.raises(ValueError, match="is not a data set that can be read"):
        read_folder(tmp_path / "one", None)


def test_what_notebooks_and_archives_leave_is_no_image(folder: Path) -> None:
    save(folder / "2" / ".ipynb_checkpoints" / "a-checkpoint.png", 99)
    save(folder / "10" / "sub" / ".thumbs" / "a.png", 99)
    save(folder / "__MACOSX" / "2" / "a.png", 99)
    save(folder / "x" / "__MACOSX" / "a.png", 99)
    save(folder / ".trash" / "a.png", 99)
    images = ImageFolder(folder)
    assert images.classes == ["10", "2", "x"]
    assert [label for _, label in images._paths] == [0, 0, 1, 2]


def test_a_class_without_images_is_told(folder: Path) -> None:
    (folder / "0").mkdir()
    with pytest.warns(UserWarning, match="0 holds no images: class 0 has none"):
        images = ImageFolder(folder)
    assert [label for _, label in images._paths] == [1, 1, 2, 3]


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_images_of_more_than_eight_bits_are_not_cut_off(
    kind: Any, mode: Any, tmp_path: Path
) -> None:
    """Pillow makes 255 of every shade above."""
    values = np.array([[0, 300, 65535]], dtype=kind)
    (tmp_path / "a").mkdir()
    pillow.fromarray(values).save(tmp_path / "a" / "deep.tif")
    with pytest.raises(DataError, match=r"deep.tif has more than 8 bits per channel \(mode"):
        ImageFolder(tmp_path, mode=mode)[0]


@pytest.mark.parametrize("mode", ["CMYK", "LA", "PA", "1", "YCbCr"])
def test_images_of_rarer_modes_are_converted(mode: str, tmp_path: Path) -> None:
    ending = "tif" if mode in ("CMYK", "YCbCr", "PA") else "png"
    try:
        (tmp_path / "a").mkdir()
        pillow.new(mode, (3, 2)).save(tmp_path / "a" / f"x.{ending}")
    except OSError:
        pytest.skip(f"this Pillow does not write {mode}")
    assert ImageFolder(tmp_path)[0][0].mode == "RGB"
