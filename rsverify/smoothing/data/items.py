"""The inputs of a data set, one after the other, checked and with their labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import pandas as pd
import torch

from rsverify._core.check import (
    check_integer,
    check_number,
    shown,
)
from rsverify._core.check import check_size as _check_size
from rsverify._core.errors import DataError, cause_of
from rsverify.certificates.certificate import ABSTAIN
from rsverify.smoothing.data.fingerprint import input_hash
from rsverify.smoothing.data.inputs import check_input

_MOST_WORKERS = 1024


class Item(NamedTuple):
    """One input of a data set."""

    idx: int
    x: torch.Tensor
    label: int
    """The true class, −1 where it is not known."""
    hash: str


class MapStyle(Protocol):
    """A data set with a length, whose items are asked for by their index."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int, /) -> object: ...


class Items:
    """A map-style data set or arrays, as inputs of one shape and labels.

    Parameters
    ----------
    dataset : map-style dataset, array, or pair of arrays
        A dataset's items are inputs, or tuples whose first two entries are input and label.
    num_classes : int
        Labels are from 0 to `num_classes` − 1, or −1 where not known.
    input_range : pair of float, optional
        Least and greatest value that an input may hold.
    workers : int
        Processes that load items ahead.

    Raises
    ------
    TypeError, ValueError
        If the data set is of another kind or empty; and for an item, named by its index,
        that is not what it should be.
    """

    def __init__(
        self,
        dataset: object,
        num_classes: int,
        *,
        input_range: tuple[float, float] | None = None,
        workers: int = 0,
    ) -> None:
        self._dataset = _as_dataset(dataset)
        if len(self._dataset) == 0:
            raise ValueError("dataset is empty; it must hold at least one input")
        self._num_classes = num_classes
        self._range = _check_range(input_range)
        self._workers = _check_size("workers", workers, 0, _MOST_WORKERS)
        self.shape: torch.Size | None = None

    def __len__(self) -> int:
        return len(self._dataset)

    def load(self, indices: Sequence[int]) -> Iterator[Item]:
        """Yield the items of `indices`, in their order."""
        loader = torch.utils.data.DataLoader(
            torch.utils.data.Subset(cast(torch.utils.data.Dataset[object], self._dataset), indices),
            batch_size=None,
            num_workers=self._workers,
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # or the loader would draw from the global one
        )
        items = iter(loader)
        for idx in indices:
            try:
                item = next(items)
            except (ValueError, TypeError, OSError, MemoryError, StopIteration):
                raise
            except Exception as error:  # code of the user raises errors of all kinds
                raise DataError(f"input {idx} of the dataset: {cause_of(error)}") from error
            try:
                yield self._checked(idx, item)
            except (TypeError, ValueError) as error:
                raise type(error)(f"input {idx}: {error}") from error

    def _checked(self, idx: int, item: Any) -> Item:
        pair = isinstance(item, tuple | list)
        # On the host: each check of what is on another device would wait for it.
        x = check_input(item[0] if pair else item).cpu()
        self.shape = self.shape or x.shape
        if x.shape != self.shape:
            raise ValueError(
                f"x of shape {tuple(x.shape)} must be of shape {tuple(self.shape)} as those before"
            )
        if not bool(torch.isfinite(x).all()):
            raise ValueError("x contains NaN or infinity; it must be finite")
        if self._range is not None:
            least, greatest = float(x.min()), float(x.max())
            if least < self._range[0] or greatest > self._range[1]:
                raise ValueError(
                    f"x from {least:g} to {greatest:g} must be within input_range={self._range}"
                )
        return Item(idx, x, self._label(item[1] if pair and len(item) > 1 else None), input_hash(x))

    def _label(self, value: Any) -> int:
        if value is None:
            return ABSTAIN
        label = check_integer("label", value.item() if hasattr(value, "item") else value)
        if label.ndim or not ABSTAIN <= label < self._num_classes:
            raise ValueError(
                f"label={label} must be a class between 0 and {self._num_classes - 1}, or "
                f"{ABSTAIN} where it is not known"
            )
        return int(label)


def _as_it_is(item: object) -> object:
    return item


class _Arrays(torch.utils.data.Dataset[object]):
    """Inputs along the first axis of an array, and labels."""

    def __init__(self, x: Any, y: Any = None) -> None:
        if x.ndim < 2:
            raise ValueError(
                f"dataset of shape {tuple(x.shape)} must hold inputs along its first axis"
            )
        if y is not None:
            y = np.asarray(y.cpu() if isinstance(y, torch.Tensor) else y)
            if y.shape != (len(x),) or y.dtype.kind not in "iu":
                raise ValueError(
                    f"y of shape {y.shape} and type {y.dtype} must hold {len(x)} integers"
                )
        self._x, self._y = x, y

    def __len__(self) -> int:
        return len(self._x)

    def __getitem__(self, i: int) -> object:
        return (self._x[i],) if self._y is None else (self._x[i], int(self._y[i]))


def _as_dataset(dataset: object) -> MapStyle:
    array = torch.Tensor | np.ndarray
    if isinstance(dataset, array):
        return _Arrays(dataset, None)
    if isinstance(dataset, tuple) and len(dataset) == 2 and isinstance(dataset[0], array):
        return _Arrays(*dataset)
    known = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    if not known or isinstance(dataset, Mapping | pd.DataFrame | str | bytes):
        raise TypeError(
            f"dataset of type {type(dataset).__name__} must be a map-style dataset (one with a "
            "length and items), an array of inputs, or a pair of arrays (x, y)"
        )
    return cast(MapStyle, dataset)


def _check_range(limits: tuple[float, float] | None) -> tuple[float, float] | None:
    if limits is None:
        return None
    if not isinstance(limits, Sequence) or isinstance(limits, str) or len(limits) != 2:
        raise TypeError(f"input_range={shown(limits)} must be a smaller and a larger number")
    low, high = (check_number("input_range", limit) for limit in limits)
    if not low < high:
        raise ValueError(f"input_range={shown(limits)} must be a smaller and a larger number")
    return low, high
