"""What stands between an input and a model: normalization, and the steps of an image processor."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from rsverify._core.check import check_number, shown
from rsverify._core.errors import DataError, cause_of

__all__ = ["ImageProcessor", "Normalize", "own_preprocess"]

_FILES = ("preprocessor_config.json", "processor_config.json")
_MODES = {0: "nearest-exact", 2: "bilinear", 3: "bicubic"}
"""Filters of Pillow by number, and what torch calls them."""
# Steps that change nothing here: color channels are as given, and inputs are divided by 255.
_HARMLESS = {"do_convert_rgb", "do_rescale"}
_KNOWN = {"do_resize", "do_center_crop", "do_normalize"}
# Below this edge some processors resize by a fraction and crop; from it on they only resize.
_CROPPED_BELOW = 384
_EDGE = "shortest_edge"


class Normalize(torch.nn.Module):
    r"""Subtract a mean and divide by a standard deviation, channel by channel.

    Parameters
    ----------
    mean, std : float or sequence of float
        One number, or one per channel, in the units of the input; `std` is positive. Channels
        are the first dimension of an input.

    Raises
    ------
    ValueError, TypeError
        If they are not finite numbers of one length, or `std` is not positive; when called, if
        inputs have another number of channels.

    Examples
    --------
    >>> import torch
    >>> from rsverify.smoothing.models.preprocess import Normalize
    >>> Normalize([0.5, 0.0], [0.5, 2.0])(torch.ones(1, 2, 1, 1)).flatten()
    tensor([1.0000, 0.5000])
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, mean: float | Sequence[float], std: float | Sequence[float]) -> None:
        super().__init__()
        means, deviations = _numbers("mean", mean), _numbers("std", std)
        if len(means) == 1 or len(deviations) == 1:  # one number is for all channels
            channels = max(len(means), len(deviations))
            means = means * (channels // len(means))
            deviations = deviations * (channels // len(deviations))
        if len(means) != len(deviations):
            raise ValueError(
                f"mean of length {len(means)} and std of length {len(deviations)} must be of one "
                "length: one number for all channels, or one per channel"
            )
        if min(deviations) <= 0:
            raise ValueError(f"std={shown(std)} must be positive")
        for name, numbers in (("mean", means), ("std", deviations)):
            held = torch.tensor(numbers, dtype=torch.float64, device="cpu")
            self.register_buffer(name, held, persistent=False)

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean.tolist()}, std={self.std.tolist()})"

    def rsverify_hash(self) -> str:
        """Return an identifier of these numbers, compared when a run is resumed."""
        return repr(self)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the normalized batch."""
        channels = len(self.mean)
        if batch.ndim < 2 or channels not in (1, batch.shape[1]):
            raise ValueError(
                f"mean of length {channels} does not go with inputs of shape "
                f"{tuple(batch.shape[1:])}: their first dimension must be the channels"
            )
        shape = (1, channels, *[1] * (batch.ndim - 2))
        mean, std = self.mean.to(batch).view(shape), self.std.to(batch).view(shape)
        return (batch - mean) / std


class ImageProcessor(torch.nn.Module):
    r"""The steps of a HuggingFace image processor, on batches of noisy images in [0, 1].

    The processor itself takes images of one size at a time, in 0 to 255, and cannot take noisy
    ones, whose values lie outside. So its numbers are read, and its steps done by torch: resize,
    center crop and normalization. Its division by 255 is taken as done. Noise is added before it,
    so that `sigma` and the radii are those of the image as given.

    Parameters
    ----------
    processor : path-like, mapping or image processor
        A folder of ``save_pretrained``, a ``preprocessor_config.json``, what is in one, or a
        processor. No code of the file is run.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    DataError
        If the file is damaged; a ValueError.
    ValueError
        If the processor has a step that is not known here; the message names it.
    TypeError
        If `processor` is something else.

    Notes
    -----
    Resized images are not rounded to multiples of 1/255, as those of Pillow are: a pixel differs
    by about that much. Nearest, bilinear and bicubic filters are known.

    Examples
    --------
    >>> import torch
    >>> from rsverify.smoothing.models.preprocess import ImageProcessor
    >>> process = ImageProcessor({"do_resize": True, "size": {"height": 4, "width": 4},
    ...     "resample": 2, "do_normalize": True, "image_mean": [0.5], "image_std": [0.5]})
    >>> process(torch.ones(2, 1, 8, 8)).shape
    torch.Size([2, 1, 4, 4])
    """

    def __init__(self, processor: str | os.PathLike[str] | Mapping[str, object] | object) -> None:
        super().__init__()
        steps = _configuration(processor)
        unknown = [
            name
            for name, value in steps.items()
            if name.startswith("do_") and value and name not in _HARMLESS | _KNOWN
        ]
        if unknown:
            raise ValueError(
                f"the image processor's step {unknown[0]} is not known here: give preprocess a "
                "function of a batch of images in [0, 1]"
            )
        self.steps = steps
        self.scale, self.offset = _scale(steps)
        self.normalize: Normalize | None = None
        if steps.get("do_normalize", "image_mean" in steps):
            self.normalize = Normalize(_list(steps, "image_mean"), _list(steps, "image_std"))
        resize = bool(steps.get("do_resize", "size" in steps))
        crop = bool(steps.get("do_center_crop", False))
        self.size = _size(steps, "size") if resize else None
        self.crop = _size(steps, "crop_size") if crop else None
        self.mode = _mode(steps) if resize else ""

    def __repr__(self) -> str:
        parts = [f"resize={self.size}"] if self.size else []
        parts += [f"crop={self.crop}"] if self.crop else []
        parts += [repr(self.normalize)] if self.normalize else []
        return f"ImageProcessor({', '.join(parts)})"

    def rsverify_hash(self) -> str:
        """Return an identifier of these steps, compared when a run is resumed."""
        return f"ImageProcessor {self.scale} {self.offset} {self.mode} {self!r}"

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the batch as the model takes it."""
        if batch.ndim != 4:
            raise ValueError(
                f"inputs of shape {tuple(batch.shape[1:])} must be images, channels first"
            )
        if self.size is not None:
            batch, crop = self._resized(batch, self.size)
            batch = batch if crop is None else _cropped(batch, *crop)
        if self.crop is not None:
            edge = self.crop.get(_EDGE, 0)
            batch = _cropped(batch, self.crop.get("height", edge), self.crop.get("width", edge))
        if (self.scale, self.offset) != (1.0, 0.0):
            batch = batch * self.scale + self.offset
        return batch if self.normalize is None else self.normalize(batch)

    def _resized(
        self, batch: torch.Tensor, size: Mapping[str, int]
    ) -> tuple[torch.Tensor, tuple[int, int] | None]:
        """Return the batch resized, and what it is to be cropped to for that."""
        height, width = batch.shape[-2:]
        crop = None
        if "height" in size:
            wanted = size["height"], size["width"]
        elif "either" in size and height != width:
            raise ValueError(
                f"the image processor's size={size['either']} is a square or the shorter edge; "
                f"for images of {height} × {width} give it as a height and width"
            )
        else:
            edge = size.get(_EDGE) or size["either"]
            fraction = self.steps.get("crop_pct")
            if isinstance(fraction, int | float) and edge >= _CROPPED_BELOW:
                wanted = edge, edge
            else:
                if isinstance(fraction, int | float):
                    crop, edge = (edge, edge), int(edge / fraction)
                short, long = min(height, width), max(height, width)
                other = int(edge * long / short)
                wanted = (edge, other) if height <= width else (other, edge)
        if wanted != (height, width):
            smooth = self.mode in ("bilinear", "bicubic")
            batch = torch.nn.functional.interpolate(batch, wanted, mode=self.mode, antialias=smooth)
        return batch, crop


def own_preprocess(model: object) -> Normalize | ImageProcessor | None:
    """Return what a model's inputs in [0, 1] went through when it was trained, if it says so.

    Parameters
    ----------
    model : object
        A model of timm, which keeps the mean and standard deviation of its trained weights; or an
        `HFModel` of a folder with an image processor.

    Returns
    -------
    Normalize, ImageProcessor or None
        For `SmoothedClassifier`'s `preprocess`; None where the model does not say. Of timm's the
        normalization only: images must be of the size that the model takes.

    Raises
    ------
    ValueError
        As `Normalize` and `ImageProcessor`.

    Examples
    --------
    >>> import torch
    >>> from rsverify.smoothing.models.preprocess import own_preprocess
    >>> model = torch.nn.Identity()
    >>> model.pretrained_cfg = {"mean": (0.5,), "std": (0.25,)}  # as timm keeps it
    >>> own_preprocess(model)
    Normalize(mean=[0.5], std=[0.25])
    """
    folder = getattr(model, "folder", None)
    if isinstance(folder, Path):
        there = any((folder / name).exists() for name in _FILES)
        return ImageProcessor(folder) if there else None
    said = getattr(model, "pretrained_cfg", None)
    if isinstance(said, Mapping) and said.get("mean") and said.get("std"):
        return Normalize(_list(said, "mean"), _list(said, "std"))
    return None


def _numbers(name: str, value: float | Sequence[float]) -> list[float]:
    """Return one number, or several, as a list of finite floats."""
    if isinstance(value, str) or (isinstance(value, Sequence) and not value):
        raise TypeError(f"{name}={shown(value)} must be a number, or one per channel")
    listed = list(value) if isinstance(value, Sequence) else [value]
    numbers = [check_number(name, number) for number in listed]
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"{name}={shown(value)} must be finite")
    return numbers


def _configuration(processor: object) -> dict[str, object]:
    """Return the numbers of a processor, however it is given."""
    if isinstance(processor, str | os.PathLike):
        return _read(Path(processor))
    described = getattr(processor, "to_dict", None)
    content = described() if callable(described) else processor
    if not isinstance(content, Mapping):
        raise TypeError(
            f"processor={shown(processor)} must be a folder, a preprocessor_config.json, its "
            "content, or an image processor"
        )
    inner = content.get("image_processor")
    return dict(inner if isinstance(inner, Mapping) else content)


def _read(path: Path) -> dict[str, object]:
    if path.is_dir():
        found = next((path / name for name in _FILES if (path / name).exists()), None)
        if found is None:
            raise FileNotFoundError(f"{path / _FILES[0]} does not exist")
        path = found
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{path} is not a JSON file: {cause_of(error)}") from None
    if not isinstance(content, dict):
        raise DataError(f"{path} does not hold an image processor")
    return _configuration(content)


def _list(steps: Mapping[str, object], name: str) -> list[float]:
    value = steps.get(name)
    listed = value if isinstance(value, list | tuple) else [value]
    numbers = [float(v) for v in listed if isinstance(v, int | float)]
    if len(numbers) < len(listed):
        raise ValueError(f"the image processor's {name}={shown(value)} must be numbers")
    return numbers


def _scale(steps: Mapping[str, object]) -> tuple[float, float]:
    """Return what an image in [0, 1] is multiplied by, and what is added."""
    if not steps.get("do_rescale", True):
        raise ValueError(
            "the image processor has do_rescale false: its images are not divided by 255, and "
            "inputs in [0, 1] would be something else to the model; give preprocess a function"
        )
    factor = steps.get("rescale_factor", 1 / 255)
    if not isinstance(factor, int | float) or not 0 < factor < math.inf:
        raise ValueError(f"the image processor's rescale_factor={shown(factor)} must be positive")
    scale = 255.0 * factor
    scale = 1.0 if abs(scale - 1.0) < 1e-6 else scale  # 0.00392… of as many digits as there are
    return scale, -1.0 if steps.get("rescale_offset") else 0.0


def _size(steps: Mapping[str, object], name: str) -> dict[str, int]:
    """Return a size as a height and width, or the shorter edge."""
    value = steps.get(name)
    if isinstance(value, int):
        square = steps.get("default_to_square", True if name == "crop_size" else None)
        # One number is a square to some processors and the shorter edge to others.
        edges = ("height", "width") if square else ("either",) if square is None else (_EDGE,)
        value = dict.fromkeys(edges, value)
    sizes = value if isinstance(value, Mapping) else {}
    for wanted in (("height", "width"), (_EDGE,), ("either",)):
        found = {k: sizes.get(k) for k in wanted}
        if all(isinstance(v, int) and not isinstance(v, bool) and v > 0 for v in found.values()):
            return {k: v for k, v in found.items() if isinstance(v, int)}
    raise ValueError(
        f"the image processor's {name}={shown(value)} must be a height and width, or the shorter "
        "edge: give preprocess a function that resizes"
    )


def _mode(steps: Mapping[str, object]) -> str:
    number = steps.get("resample", 2)
    mode = _MODES.get(number) if isinstance(number, int) else None
    if mode is None:
        raise ValueError(
            f"the image processor's resample={shown(number)} must be nearest (0), bilinear (2) or "
            "bicubic (3): give preprocess a function that resizes"
        )
    return mode


def _cropped(batch: torch.Tensor, height: int, width: int) -> torch.Tensor:
    tall, wide = batch.shape[-2:]
    if height > tall or width > wide:
        raise ValueError(
            f"images of {tall} × {wide} cannot be cropped to {height} × {width}: give larger ones"
        )
    top, left = (tall - height) // 2, (wide - width) // 2
    return batch[..., top : top + height, left : left + width]
