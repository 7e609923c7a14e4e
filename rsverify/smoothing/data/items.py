"""The inputs of a data set, one after the other, checked and with their labels."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

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
from rsverify.smoothing.data.containers import Arrays, Inputs, Iterated
from rsverify.smoothing.data.fingerprint import input_hash

_MOST_WORKERS = 1024
NO_LABEL = "has no label: certify_label=True (--certify-label) certifies the true class"


class Item(NamedTuple):
    """One input of a data set."""

    idx: int
    x: torch.Tensor
    label: int
    """The true class, −1 where it is not known."""
    hash: str


class Items:
    """A map-style data set or arrays, as inputs of one shape and labels.

    Parameters
    ----------
    dataset : Inputs, or any data set that it takes
        Items are inputs, tuples whose first two entries are input and label, or dictionaries.
    num_classes : int
        Labels are from 0 to `num_classes` − 1, or −1 where not known.
    input_range : pair of float, optional
        Least and greatest value that an input may hold.
    workers : int
        Processes that load items ahead.
    tokens : bool
        Whether inputs may be integers, as token numbers are.

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
        tokens: bool = False,
    ) -> None:
        if isinstance(dataset, pd.DataFrame):
            raise TypeError(
                "dataset of type DataFrame must say which column holds the classes: give "
                "Inputs(frame, y=COLUMN)"
            )
        inputs = dataset if isinstance(dataset, Inputs) else Inputs(dataset)
        self._dataset, self._reading = inputs.dataset, replace(inputs.reading, tokens=tokens)
        if len(self._dataset) == 0:
            raise DataError("dataset is empty; it must hold at least one input")
        self._num_classes = num_classes
        self._range = _check_range(input_range)
        self._workers = _check_size("workers", workers, 0, _MOST_WORKERS)
        if self._workers and isinstance(self._dataset, Iterated):
            raise ValueError(
                f"workers={self._workers} must be 0 for a data set that is only iterated: each "
                "worker would read all of it, or a share"
            )
        self.shape: torch.Size | None = None

    def __len__(self) -> int:
        return len(self._dataset)

    def check_labels(self, indices: Sequence[int], *, required: bool) -> None:
        """Raise where a label of an array is no class, before what may be hours of work.

        And, where they are `required`, where there is none.
        """
        if not isinstance(self._dataset, Arrays):
            return
        labels = self._dataset.labels
        if required and labels is None:
            raise DataError(f"input {indices[0]} {NO_LABEL}")
        if labels is None or labels.ndim != 1:
            return
        given = labels[list(indices)]
        for place in np.flatnonzero((given < ABSTAIN) | (given >= self._num_classes))[:1]:
            try:
                self._label(given[place])
            except ValueError as error:
                raise type(error)(f"input {indices[place]}: {error}") from error

    def load(self, indices: Sequence[int]) -> Iterator[Item]:
        """Yield the items of `indices`, in their order."""
        loader = torch.utils.data.DataLoader(
            torch.utils.data.Subset(cast(torch.utils.data.Dataset[object], self._dataset), indices),
            batch_size=None,
            num_workers=self._workers,
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # or the loader would draw from the global one
        )
        with torch.device("cpu"):  # where its generator is, whatever the caller's default is
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
        # On the host: each check of what is on another device would wait for it.
        x, label = self._reading(item)
        self.shape = self.shape or x.shape
        if x.shape != self.shape:
            raise DataError(
                f"x of shape {tuple(x.shape)} must be of shape {tuple(self.shape)} as those before"
            )
        if not bool(torch.isfinite(x).all()):
            raise DataError("x contains NaN or infinity; it must be finite")
        if self._range is not None:
            least, greatest = float(x.min()), float(x.max())
            if least < self._range[0] or greatest > self._range[1]:
                raise DataError(
                    f"x from {least:g} to {greatest:g} must be within input_range={self._range}"
                )
        return Item(idx, x, self._label(label), input_hash(x))

    def _label(self, value: Any) -> int:
        if value is None:
            return ABSTAIN
        if math.prod(shape := tuple(np.shape(value))) != 1:
            raise ValueError(  # an option names the one that is meant
                f"label of shape {shape} must be one class: of several labels one is "
                "named by Inputs(…, label=…), or --label; of one-hot classes give y.argmax(axis=1)"
            )
        label = check_integer("label", value.item() if hasattr(value, "item") else value)
        if label.ndim or not ABSTAIN <= label < self._num_classes:
            raise DataError(
                f"label={label} must be a class between 0 and {self._num_classes - 1}, or "
                f"{ABSTAIN} where it is not known"
            )
        return int(label)


def _as_it_is(item: object) -> object:
    return item


def _check_range(limits: tuple[float, float] | None) -> tuple[float, float] | None:
    if limits is None:
        return None
    if not isinstance(limits, Sequence) or isinstance(limits, str) or len(limits) != 2:
        raise TypeError(f"input_range={shown(limits)} must be a smaller and a larger number")
    low, high = (check_number("input_range", limit) for limit in limits)
    if not low < high:
        raise ValueError(f"input_range={shown(limits)} must be a smaller and a larger number")
    return low, high
