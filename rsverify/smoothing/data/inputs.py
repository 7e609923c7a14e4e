"""Checks of what users hand to a smoothed classifier."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import torch

from rsverify._core.check import check_choice, check_size, shown
from rsverify._core.check import check_seed as check_entropy
from rsverify._core.types import PrecisionName

Input = torch.Tensor | npt.NDArray[np.floating]
LARGEST_BATCH = 2**24
LARGEST_CLASSES = 2**24

Seed = int | Sequence[int] | None

_INTEGERS = {"uint8", "uint16", "uint32", "int8", "int16", "int32", "int64"}

# torch holds these and computes next to nothing with them, not even a smallest value.
_STORED_ONLY = {"uint16", "uint32"}

_PRECISIONS: dict[PrecisionName, torch.dtype] = {
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}


def check_input(x: Input, *, tokens: bool = False) -> torch.Tensor:
    """Return `x` as a detached tensor, floating or, where there may be `tokens`, of integers."""
    if isinstance(x, np.ndarray) and x.dtype.name == "bfloat16":  # of JAX: numpy has none
        x = x.astype(np.float32)
    if not isinstance(x, torch.Tensor | np.ndarray):
        raise TypeError(f"x of type {type(x).__name__} must be a torch.Tensor or a numpy array")
    if isinstance(x, np.ma.MaskedArray):
        raise TypeError("x is a masked array, whose mask would be lost: give x.filled(…)")
    if isinstance(x, torch.Tensor):
        if x.layout != torch.strided or x.is_quantized or x.is_meta:
            raise TypeError(
                f"x of layout {x.layout} on {x.device} must be a plain tensor of numbers"
            )
        fitting = x.is_floating_point()
    else:
        fitting = x.dtype.kind == "f" and x.dtype.itemsize <= 8
    if tokens and not fitting:
        fitting = str(x.dtype).removeprefix("torch.") in _INTEGERS
    if not fitting:
        given = f"x of dtype {x.dtype} must be floating, in the units of sigma"
        if str(x.dtype).endswith("uint8"):
            raise TypeError(
                f"{given}: give x / 255; of a data set Inputs(…, scale=1/255), or --scale 1/255"
            )
        raise TypeError(
            f"{given}; of token numbers give the embeddings (HFModel.embed), or a noise of tokens "
            "(--noise deletion:…)"
        )
    if x.ndim < 1 or 0 in x.shape:
        raise ValueError(
            f"x of shape {tuple(x.shape)} must be one input, not empty, without a batch dimension"
        )
    if not isinstance(x, torch.Tensor):
        native = np.ascontiguousarray(x, dtype=x.dtype.newbyteorder("="))
        x = torch.tensor(native, device="cpu")
    if str(x.dtype).removeprefix("torch.") in _STORED_ONLY:
        x = x.to(torch.int64)
    return x.detach()


def check_finite(center: torch.Tensor) -> torch.Tensor:
    """Return `center`, or raise where it holds NaN or infinity."""
    if not bool(torch.isfinite(center).all()):
        raise ValueError(f"x contains NaN or a value beyond {center.dtype}; it must be finite")
    return center


def check_seed(seed: Seed) -> int | tuple[int, ...]:
    """Return what `SeedSequence` starts from: the seed, or fresh entropy where it is None."""
    if seed is None:
        return secrets.randbits(128)
    if isinstance(seed, np.random.Generator | np.random.BitGenerator | np.random.SeedSequence):
        raise TypeError(f"seed={shown(seed)} must be an integer, a sequence of integers, or None")
    check_entropy("seed", seed)
    return int(seed) if isinstance(seed, int | np.integer) else tuple(int(part) for part in seed)


def check_batch_size(value: object) -> int:
    """Return a batch size as int, or raise where it is none that could be held."""
    return check_size("batch_size", value, largest=LARGEST_BATCH)


def check_autocast(dtype: object) -> torch.dtype | None:
    """Return the type of an autocast region, or raise where it is none that runs in one."""
    if dtype is None:
        return None
    if isinstance(dtype, torch.dtype) and dtype in (torch.bfloat16, torch.float16):
        return dtype
    kind = ValueError if isinstance(dtype, torch.dtype) else TypeError
    raise kind(f"autocast={shown(dtype)} must be torch.bfloat16, torch.float16 or None")


def check_precision(name: str) -> torch.dtype:
    """Return the type of an autocast region by its name, or raise."""
    return _PRECISIONS[check_choice("autocast", name, _PRECISIONS)]


def check_origin(origin: object) -> None:
    """Raise where `origin` is nothing that a table's JSON can hold."""
    if origin is None:
        return
    if not isinstance(origin, Mapping):
        raise TypeError(f"origin={shown(origin)} must be a mapping of JSON types, or None")
    try:
        json.dumps(dict(origin), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise TypeError(f"origin={shown(origin)} must be of JSON types: {error}") from None
