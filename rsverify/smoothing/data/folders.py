"""Images in folders, one folder per class, and data sets that others keep in a folder."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from rsverify._core.check import check_choice, check_size
from rsverify._core.errors import DataError, cause_of
from rsverify._core.optional import need
from rsverify.smoothing.data.containers import MapStyle, as_map_style
from rsverify.smoothing.data.convert import resized

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["ImageFolder", "ImageMode"]

ImageMode = Literal["RGB", "L"]
"""Colors, or shades of gray."""

_ENDINGS = {
    *(".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".pnm", ".ppm", ".tif", ".tiff", ".webp"),
}


class ImageFolder:
    """The images in a folder: a folder per class in it, or images only, whose class is not known.

    Parameters
    ----------
    folder : path-like
        Classes are numbered in the order of their folders' names, as torchvision does: letter by
        letter, so that ``"10"`` comes before ``"2"``. Images are taken in the order of their
        paths.
    size : int, optional
        Resize the shorter side to this, and cut out the square in the middle: all inputs must
        have one shape.
    mode : {"RGB", "L"}
        Convert images to colors or shades of gray.
    classes : sequence of str, optional
        Names of the folders in the order of the model's classes, where that is another one.

    Attributes
    ----------
    classes : list of str
        Name of each class, empty where there is none.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ModuleNotFoundError
        If Pillow is not installed.
    DataError
        If there are no images, or images beside folders of them; when an item is asked for, if
        it cannot be read. A ValueError.
    ValueError
        If `classes` are not the names of the folders.

    Examples
    --------
    >>> import pathlib, tempfile
    >>> from PIL import Image
    >>> from rsverify.smoothing.data.folders import ImageFolder
    >>> with tempfile.TemporaryDirectory() as name:
    ...     for kind in ("cat", "dog"):
    ...         (pathlib.Path(name) / kind).mkdir()
    ...         Image.new("RGB", (8, 6)).save(pathlib.Path(name) / kind / "1.png")
    ...     images = ImageFolder(name, size=4)
    ...     images.classes, len(images), images[1][0].size, images[1][1]
    (['cat', 'dog'], 2, (4, 4), 1)
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        size: int | None = None,
        mode: ImageMode = "RGB",
        classes: Sequence[str] | None = None,
    ) -> None:
        need("PIL", extra="hubs")
        root = Path(folder)
        if not root.is_dir():
            raise FileNotFoundError(f"{root} does not exist, or is not a folder")
        self.size = None if size is None else check_size("size", size)
        self.mode = check_choice("mode", mode, get_args(ImageMode))
        found = sorted(path.name for path in root.iterdir() if _is_shown(path) and path.is_dir())
        self.classes = found if classes is None else list(classes)
        if sorted(self.classes) != found:
            raise ValueError(
                f"classes={self.classes} must be the names of the folders in {root}: "
                f"{', '.join(found) or '(none)'}"
            )
        loose = _images(root, deep=False)
        if loose and found:
            raise DataError(
                f"{root} holds images, such as {loose[0].name}, beside folders, such as "
                f"{found[0]}: give a folder of images, or one with a folder per class"
            )
        self._paths: list[tuple[Path, int | None]] = [(path, None) for path in loose]
        bare: list[str] = []
        for label, name in enumerate(self.classes):
            images = _images(root / name, deep=True)
            if not images:
                warnings.warn(
                    f"{root / name} holds no images: class {label} has none", stacklevel=2
                )
            self._paths += [(path, label) for path in images]
        if not self._paths:
            raise DataError(
                f"{root} holds no images ({', '.join(sorted(_ENDINGS))}), nor folders of them"
            )
        for message in bare:
            warnings.warn(message, stacklevel=2)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, i: int) -> tuple[Image, int | None]:
        """Return an image and the number of its class, None where that is not known."""
        from PIL import Image

        path, label = self._paths[i]
        try:
            with Image.open(path) as file:
                deep = file.mode.startswith("I") or file.mode == "F"
                image = file.convert(self.mode)
        except Exception as error:  # Pillow raises errors of many kinds for damaged files
            raise DataError(f"{path} is not an image that can be read: {cause_of(error)}") from None
        if deep:
            raise DataError(
                f"{path} has more than 8 bits per channel (mode {file.mode}), which Pillow would "
                "cut off: convert it, or give a data set of floating arrays"
            )
        return (image if self.size is None else resized(image, self.size)), label

    def __repr__(self) -> str:
        return f"ImageFolder({len(self)} images, {len(self.classes)} classes)"


def _is_shown(path: Path) -> bool:
    # Archives made on a Mac have a folder of resource forks.
    return not path.name.startswith(".") and path.name != "__MACOSX"


def _images(folder: Path, *, deep: bool) -> list[Path]:
    """Return the images in a folder, in the order of their paths."""
    paths = folder.rglob("*") if deep else folder.iterdir()
    return sorted(
        path
        for path in paths
        if path.suffix.lower() in _ENDINGS
        and all(_is_shown(Path(part)) for part in path.relative_to(folder).parts)
        and path.is_file()
    )


def read_folder(folder: Path, split: str | None) -> MapStyle:
    """Return the data set in a folder: images, or what HuggingFace's ``save_to_disk`` wrote.

    Raises
    ------
    FileNotFoundError, ModuleNotFoundError, DataError, ValueError
        As `ImageFolder`; and if there is no such split.
    """
    of_one, of_several = folder / "state.json", folder / "dataset_dict.json"
    if not of_one.exists() and not of_several.exists():
        if split is not None and not (folder / split).is_dir():
            raise FileNotFoundError(f"{folder / split} does not exist: split={split!r}")
        return ImageFolder(folder if split is None else folder / split)
    need("datasets", extra="hubs")
    import datasets

    try:
        found = datasets.load_from_disk(str(folder))
    except Exception as error:  # of many kinds
        raise DataError(f"{folder} is not a data set that can be read: {cause_of(error)}") from None
    if of_several.exists():
        if split not in found:
            raise ValueError(f"split={split!r} must be one of {', '.join(map(repr, found))}")
        found = found[split]
    elif split is not None:
        raise ValueError(f"split={split!r} must be left out: {folder} holds one data set")
    return as_map_style(found)
