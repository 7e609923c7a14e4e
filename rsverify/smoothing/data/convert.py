"""From an item of a data set, as others write them, to an input and its class."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import torch

from rsverify._core.check import shown
from rsverify._core.types import AnyArray
from rsverify.smoothing.data.inputs import check_input

if TYPE_CHECKING:
    from PIL.Image import Image

INPUT_NAMES = (
    *("x", "image", "images", "img", "pixel_values", "input", "inputs", "input_values"),
    *("inputs_embeds", "data", "features", "embedding", "embeddings", "audio"),
)
"""What the entry of an item that is the input is usually called."""
TOKEN_NAMES = ("input_ids", "tokens", "token_ids")
"""What it may be called besides, where it may be of token numbers."""
LABEL_NAMES = (
    *("y", "label", "labels", "target", "targets", "class", "class_id", "class_idx"),
    *("fine_label", "coarse_label"),
)
"""What the entry that is the class is usually called."""

_MODES = {"1": 1, "L": 1, "RGB": 3}
"""Modes of Pillow that are read as they are, with their channels."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How items are read: which entries, which label, what values are multiplied by."""

    x: str | int | None = None
    y: str | int | None = None
    label: int | None = None
    scale: Fraction | None = None
    size: int | None = None
    hwc: bool = False
    tokens: bool = False
    """Whether inputs may be integers, as they are."""

    def __call__(self, item: object) -> tuple[torch.Tensor, object]:
        """Return the input of an item as a floating tensor on the host, and its label or None."""
        x, y = self._parts(item)
        return self._input(x), self.chosen_label(y)

    def _parts(self, item: object) -> tuple[object, object]:
        if isinstance(item, Mapping):
            usual = (*INPUT_NAMES, *TOKEN_NAMES) if self.tokens else INPUT_NAMES
            x = self._named("x", self.x, item, usual)
            if x is None:
                raise ValueError(
                    f"x must name the entry that is the input (x=…, --x …): {_some(item)}"
                )
            y = self._named("y", self.y, item, LABEL_NAMES)
            return item[x], None if y is None else item[y]
        if isinstance(item, tuple | list):
            return self._placed("x", self.x, item, 0), self._placed("y", self.y, item, 1)
        for name, value in (("x", self.x), ("y", self.y)):
            if value is not None:
                raise ValueError(
                    f"{name}={value!r} must be left out: an item is a {type(item).__name__} "
                    "without entries"
                )
        return item, None

    @staticmethod
    def _named(
        option: str, wanted: str | int | None, item: Mapping[object, object], usual: Iterable[str]
    ) -> object:
        """Return the key that is wanted, else the one that is usual, else None."""
        if wanted is not None:
            if wanted not in item:
                raise ValueError(f"{option}={wanted!r} must be an entry of an item: {_some(item)}")
            return wanted
        found = [name for name in usual if name in item]
        if len(found) > 1:
            raise ValueError(
                f"{option} must name one of {', '.join(map(repr, found))} ({option}=…, "
                f"--{option} {found[0]}): an item has all of them"
            )
        return found[0] if found else None

    @staticmethod
    def _placed(
        option: str, wanted: str | int | None, item: tuple[object, ...] | list[object], usual: int
    ) -> object:
        place = usual if wanted is None else wanted
        fields = getattr(item, "_fields", ())
        if isinstance(place, str) and (place in fields or place.isdecimal()):
            place = fields.index(place) if place in fields else int(place)
        if isinstance(place, str) or not 0 <= place < len(item):
            if wanted is None and len(item):
                return None  # no label
            raise ValueError(
                f"{option}={wanted!r} must be a position in an item, 0 to {len(item) - 1}"
            )
        return item[place]

    def chosen_label(self, value: object) -> object:
        """Return the class: of a multi-label item that of the one label that is meant."""
        if self.label is None or value is None:
            return value
        labels = np.asarray(value)
        if labels.ndim == 0:  # of that one label already
            return value
        if labels.ndim != 1 or not self.label < len(labels):
            raise ValueError(
                f"label={self.label} must be one of the labels of an item, which are of shape "
                f"{labels.shape}"
            )
        chosen = labels[self.label]
        return int(chosen) if labels.dtype.kind == "b" else chosen

    def _input(self, x: object) -> torch.Tensor:
        if _is_image(x):
            return self._of_image(x)
        if self.size is not None:
            raise ValueError(
                f"size={self.size} must be left out: inputs are not images of Pillow but "
                f"{type(x).__name__}; resize them before"
            )
        numbers = _numbers(x)
        if self.scale is not None:
            numbers = _scaled(numbers, self.scale)
        checked = check_input(numbers, tokens=self.tokens).cpu()
        if self.hwc:
            if checked.ndim < 2:
                raise ValueError(f"hwc must be left out for x of shape {tuple(checked.shape)}")
            checked = checked.movedim(-1, 0).contiguous()
        return checked

    def _of_image(self, image: Image) -> torch.Tensor:
        """Return an image as channels, height and width, in [0, 1]."""
        if self.scale is not None or self.hwc:
            option = "scale" if self.scale is not None else "hwc"
            raise ValueError(
                f"{option} must be left out for images of Pillow: they become channels × height × "
                "width, divided by 255"
            )
        if image.mode not in _MODES:
            raise ValueError(
                f"an image of mode {image.mode!r} must be of mode 'L' or 'RGB': convert it, "
                "image.convert('RGB')"
            )
        image = image if self.size is None else resized(image, self.size)
        values = np.asarray(image, dtype=np.uint8) * np.uint8(255 if image.mode == "1" else 1)
        pixels = torch.from_numpy(values.reshape(*values.shape[:2], _MODES[image.mode]))
        return pixels.permute(2, 0, 1).contiguous().float() / 255


def resized(image: Image, size: int) -> Image:
    """Return an image with its shorter side resized, cut to the square in its middle."""
    from PIL import Image as Pillow

    width, height = image.size
    short = min(width, height)
    wide, tall = (
        (size, int(size * height / width)) if width == short else (int(size * width / height), size)
    )
    if image.mode == "1":
        image = image.convert("L")
    scaled = image.resize((wide, tall), Pillow.Resampling.BILINEAR)
    left, top = round((wide - size) / 2), round((tall - size) / 2)
    return scaled.crop((left, top, left + size, top + size))


def _is_image(x: object) -> bool:
    """Return whether `x` is an image of Pillow, which need not be installed."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(x, module.Image)


def _numbers(x: object) -> torch.Tensor | AnyArray:
    """Return the numbers of an input: of torch, of numpy, or of what numpy takes."""
    if isinstance(x, torch.Tensor):
        return x
    if isinstance(x, np.ndarray):
        return x.astype(np.float32) if x.dtype.name == "bfloat16" else x
    if isinstance(x, list | tuple) or hasattr(x, "__array__"):
        try:
            array = np.asarray(x)
        except Exception as error:  # of the other library, or of rows of several lengths
            raise TypeError(
                f"x of type {type(x).__name__} must be an array of numbers: {error}"
            ) from None
        if array.dtype.kind in "fiub" or array.dtype.name == "bfloat16":
            return _numbers(array) if array.flags.owndata else array.copy()
    raise TypeError(
        f"x of type {type(x).__name__} must be a torch.Tensor, a numpy array, an image of Pillow, "
        "or an array of another library"
    )


def _scaled(numbers: torch.Tensor | AnyArray, scale: Fraction) -> torch.Tensor:
    """Return numbers times a fraction, each rounded once, in float32 at least."""
    if isinstance(numbers, torch.Tensor):
        tensor = numbers
    else:
        tensor = torch.tensor(_native(numbers), device="cpu")
    if tensor.dtype == torch.uint8 and scale > 1:
        raise ValueError(f"scale={scale} multiplies: bytes become numbers in [0, 1] by 1/255")
    kind = tensor.dtype if tensor.dtype in (torch.float32, torch.float64) else torch.float32
    return (tensor.double() * scale.numerator / scale.denominator).to(kind)


def _native(array: AnyArray) -> AnyArray:
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))


def _some(item: Mapping[object, object]) -> str:
    names = [repr(name) for name in item]
    return f"its entries are {', '.join(names[:8])}{', …' * (len(names) > 8)}"


def check_scale(scale: Fraction | float | str | None) -> Fraction | None:
    """Return what inputs are multiplied by as a fraction; of ``1 / 255``, the fraction meant."""
    if scale is None:
        return None
    try:
        if isinstance(scale, bool):
            raise TypeError
        given = Fraction(scale)
        near = given.limit_denominator(2**16)
    except (TypeError, ValueError, OverflowError, ZeroDivisionError):
        raise ValueError(f"scale={shown(scale)} must be a positive number, such as 1/255") from None
    if given <= 0:
        raise ValueError(f"scale={shown(scale)} must be a positive number, such as 1/255")
    return near if float(near) == float(given) else given
