"""Data sets of all kinds, read one way: arrays, items, tables, what is only iterated."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from typing import Protocol, cast

import numpy as np
import pandas as pd
import torch

from rsverify._core.check import check_flag, check_size, shown
from rsverify._core.errors import DataError
from rsverify._core.types import AnyArray
from rsverify.smoothing.data.convert import LABEL_NAMES, Reading, check_scale

__all__ = ["Inputs"]


class MapStyle(Protocol):
    """A data set with a length, whose items are asked for by their index."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int, /) -> object: ...


class Inputs:
    r"""A data set, and how its items are read, where that is not plain.

    `certify_dataset` takes data sets of torch and HuggingFace, arrays, images of Pillow, tables
    and iterables as they are. This names what they leave open.

    Parameters
    ----------
    dataset : dataset, iterable, array, DataFrame, or pair of arrays
        Items are inputs, tuples, or dictionaries.
    x, y : str or int, optional
        Which entry of an item is the input, and which the class. By default positions 0 and 1,
        or the usual names, such as ``"image"`` and ``"label"``. For a DataFrame `y` is the column
        of classes, and all others are the input.
    label : int, optional
        Which label of items that have several, each 0 or 1; goes with `BinaryLogit`.
    scale : Fraction or float, optional
        What inputs are multiplied by: ``1/255`` for images in bytes. `sigma` is in the units of
        the result.
    size : int, optional
        Resize the shorter side of images of Pillow to this, and cut out the square in the middle.
    hwc : bool
        Inputs are height × width × channels, and become channels first.

    Raises
    ------
    TypeError, ValueError
        If the data set is of another kind, or an option does not go with it.

    Notes
    -----
    Images of Pillow become channels × height × width, divided by 255. An iterable is read from
    its beginning as often as needed, once to count it: it must give the same items in the same
    order each time.

    Examples
    --------
    >>> import numpy as np, torch
    >>> from rsverify.smoothing.data.containers import Inputs
    >>> images = np.zeros((3, 4, 4, 1), dtype=np.uint8)
    >>> data = [{"image": image, "kind": 7} for image in images]
    >>> Inputs(data, y="kind", scale=1 / 255, hwc=True)
    Inputs(list of 3, y='kind', scale=1/255, hwc=True)
    """

    def __init__(
        self,
        dataset: object,
        *,
        x: str | int | None = None,
        y: str | int | None = None,
        label: int | None = None,
        scale: Fraction | float | None = None,
        size: int | None = None,
        hwc: bool = False,
    ) -> None:
        for name, value in (("x", x), ("y", y)):
            if value is not None and (isinstance(value, bool) or not isinstance(value, str | int)):
                raise TypeError(f"{name}={shown(value)} must be a name or a position")
        if isinstance(dataset, Inputs):
            raise TypeError("dataset is read by Inputs already: give the options there")
        check_flag("hwc", hwc)
        self._kind = type(dataset).__name__
        if isinstance(dataset, pd.DataFrame):
            dataset, x, y = _of_frame(dataset, x, y), None, None
        self.dataset = as_map_style(dataset)
        self.reading = Reading(
            x=x,
            y=y,
            label=None if label is None else check_size("label", label, 0),
            scale=check_scale(scale),
            size=None if size is None else check_size("size", size),
            hwc=hwc,
        )

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, object]:
        """Return an input and its class, None where that is not known."""
        return self.reading(self.dataset[i])

    def __repr__(self) -> str:
        read = self.reading
        options = {"x": read.x, "y": read.y, "label": read.label, "size": read.size}
        given = [f"{k}={v!r}" for k, v in options.items() if v is not None]
        given += [f"scale={read.scale}"] if read.scale is not None else []
        given += ["hwc=True"] if read.hwc else []
        return f"Inputs({', '.join([f'{self._kind} of {len(self)}', *given])})"


class Arrays(torch.utils.data.Dataset[object]):
    """Inputs along the first axis of an array, and labels."""

    def __init__(self, x: AnyArray | torch.Tensor, y: object = None) -> None:
        if x.ndim < 2:
            raise DataError(
                f"dataset of shape {tuple(x.shape)} must hold inputs along its first axis"
            )
        self._x, self.labels = x, None if y is None else self._labels(y, len(x))

    @staticmethod
    def _labels(y: object, inputs: int) -> AnyArray:
        labels = np.asarray(y.cpu() if isinstance(y, torch.Tensor) else y)
        found = f"y of shape {labels.shape} and type {labels.dtype}"
        if labels.ndim == 0 or len(labels) != inputs:
            raise DataError(f"{found} must hold one class for each of the {inputs} inputs")
        if labels.dtype.kind not in "iubf":
            raise DataError(
                f"{found} must hold integers: for names, np.unique(y, return_inverse=True)[1]"
            )
        if labels.dtype.kind == "f" and not np.array_equal(labels, np.rint(labels)):
            raise DataError(f"{found} must hold the numbers of classes, which are integers")
        # Of several labels each, one is chosen later.
        if labels.ndim > 2:
            raise DataError(f"{found} must hold one class per input, or several labels of it")
        return labels.astype(np.int64) if labels.dtype.kind == "f" else labels

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, i: int) -> object:
        return (self._x[i],) if self.labels is None else (self._x[i], self.labels[i])


class Iterated:
    """An iterable, whose items are asked for in order: it is begun anew to go back."""

    def __init__(self, dataset: Iterable[object]) -> None:
        self._dataset = dataset
        self._items: Iterator[object] = iter(())
        self._next = 0
        self._length: int | None = None

    def __len__(self) -> int:
        if self._length is None:
            self._length = sum(1 for _ in self._dataset)
        return self._length

    def __getitem__(self, i: int) -> object:
        if i < self._next or self._next == 0:
            self._items, self._next = iter(self._dataset), 0
        for item in self._items:
            self._next += 1
            if self._next == i + 1:
                return item
        raise ValueError(
            f"the iterable ended after {self._next} items and had {len(self)} when it was counted: "
            "it must give the same items each time"
        )


def as_map_style(dataset: object) -> MapStyle:
    """Return a data set with a length, whose items are asked for by their index, or raise."""
    array = torch.Tensor | np.ndarray
    if isinstance(dataset, tuple | list) and len(dataset) == 2:
        dataset = _pair(dataset)
    if isinstance(dataset, array):
        return Arrays(dataset)
    if isinstance(dataset, tuple) and len(dataset) == 2 and isinstance(dataset[0], array):
        return Arrays(*dataset)
    if isinstance(dataset, torch.utils.data.DataLoader):
        raise TypeError(
            "dataset of type DataLoader must be the data set that it loads, loader.dataset: noisy "
            "batches are made of one input each"
        )
    if isinstance(dataset, Mapping):
        raise TypeError(
            f"dataset of type {type(dataset).__name__} must be one data set, or a pair (x, y): "
            f"give one or two of its entries, {', '.join(map(repr, list(dataset)[:5])) or '(none)'}"
        )
    if hasattr(dataset, "__array__") and not isinstance(dataset, pd.DataFrame | pd.Series):
        return Arrays(_plain_array(dataset))
    iterated = isinstance(dataset, torch.utils.data.IterableDataset)
    known = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__") and not iterated
    if known and not isinstance(dataset, pd.DataFrame | pd.Series | str | bytes):
        return cast(MapStyle, dataset)
    if isinstance(dataset, Iterator):
        raise TypeError(
            f"dataset of type {type(dataset).__name__} can be read once only: give list(…) of it, "
            "or what makes it anew when it is iterated"
        )
    if isinstance(dataset, Iterable) and not isinstance(
        dataset, pd.DataFrame | pd.Series | str | bytes | set | frozenset
    ):
        return Iterated(dataset)
    raise TypeError(
        f"dataset of type {type(dataset).__name__} must be a map-style dataset (one with a "
        "length and items), an iterable one, an array of inputs, or a pair of arrays (x, y)"
    )


def _pair(dataset: tuple[object, ...] | list[object]) -> object:
    """Return inputs and their labels, where the two parts are that and not two items."""
    x, y = map(_plain, dataset)
    array = torch.Tensor | np.ndarray
    if isinstance(dataset, list):
        # Two arrays of one length that are no items of one shape.
        if not (isinstance(x, array) and isinstance(y, array)):
            return dataset
        return (x, y) if x.ndim > 1 == y.ndim and len(x) == len(y) else dataset
    if not isinstance(x, list | tuple) or any(isinstance(item, int | float) for item in x):
        return x, y
    classes = y.tolist() if isinstance(y, array) else y
    if not isinstance(classes, list | tuple) or len(classes) != len(x):
        return x, y
    if not all(isinstance(label, int | np.integer) for label in classes):
        return x, y
    return [*zip(x, classes, strict=True)]


def _plain(part: object) -> object:
    """Return a part of a pair as an array of numpy, where it is a table or of another library."""
    if isinstance(part, pd.DataFrame | pd.Series):
        return part.to_numpy()
    other = hasattr(part, "__array__") and not isinstance(part, torch.Tensor | np.ndarray)
    return _plain_array(part) if other else part


def _plain_array(value: object) -> AnyArray:
    try:
        array = np.array(value)
    except Exception as error:  # of another package
        raise TypeError(
            f"dataset of type {type(value).__name__} cannot be made an array: {error}"
        ) from error
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array


def _of_frame(
    frame: pd.DataFrame, x: str | int | None, y: str | int | None
) -> AnyArray | tuple[AnyArray, AnyArray]:
    """Return the inputs in the rows of a table, and the column of classes if there is one."""
    if x is not None:
        raise ValueError(f"x={x!r} must be left out: all columns of a DataFrame but y are x")
    usual = [name for name in LABEL_NAMES if name in frame.columns]
    if y is None and len(usual) > 1:
        raise ValueError(f"y must name one of {', '.join(map(repr, usual))} (y=…)")
    name = y if y is not None else next(iter(usual), None)
    if name is not None and name not in frame.columns:
        raise ValueError(f"y={name!r} must be a column: {', '.join(map(str, frame.columns))}")
    columns = frame if name is None else frame.drop(columns=[name])
    try:
        values = columns.to_numpy(dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise TypeError(f"all columns of a DataFrame but y must be numbers: {error}") from None
    return values if name is None else (values, frame[name].to_numpy())
