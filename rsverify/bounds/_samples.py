"""Samples of scores: their check, and the run of a compiled loop over batches of them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import joblib
import numpy as np
import numpy.typing as npt

from rsverify._core.check import FloatArray, check_broadcast, check_real
from rsverify._core.rows import sealed

# Fewer observations than this are done sooner by one thread than handed to several.
THREAD_FROM = 1 << 15


def check_sample(x: npt.ArrayLike, name: str = "x") -> FloatArray:
    """Return `x` as float64 with observations on its last axis, or raise where it is not one."""
    sample = check_real(name, x)
    if sample.ndim == 0 or sample.shape[-1] == 0:
        raise ValueError(
            f"{name} of shape {sample.shape} must hold at least one observation on its last axis"
        )
    if sample.size and not (sample.min() >= 0.0 and sample.max() <= 1.0):  # NaN is neither
        bad = ~((sample >= 0.0) & (sample <= 1.0))
        raise ValueError(f"{name}={sample[bad].flat[0].item()} must be in [0, 1]")
    return sample


def check_unit(name: str, value: npt.ArrayLike, largest: float = 1.0) -> FloatArray:
    """Return `value` as float64, or raise where it is outside (0, largest]."""
    array = check_real(name, value)
    bad = ~((array > 0.0) & (array <= largest))
    if bad.any():
        raise ValueError(f"{name}={array[bad].flat[0].item()} must be in (0, {largest:g}]")
    return array


def map_samples(
    loop: Callable[..., None],
    x: FloatArray,
    *constants: object,
    path: bool = False,
    **arrays: FloatArray,
) -> FloatArray | float:
    """Run ``loop(samples, *rows, *constants, out)`` over the broadcast batch of `x` and `arrays`.

    The leading axes of `x` are its batch; each of `arrays` has one value a sample. `out` has
    one value a sample, with `path` one an observation. Chunks of samples run on threads where
    that pays; the result does not depend on it.
    """
    n = x.shape[-1]
    batch = check_broadcast(x=x[..., 0], **arrays)
    samples = sealed(x, (*batch, n)).reshape(-1, n)
    rows = [sealed(a, batch).reshape(-1) for a in arrays.values()]
    count = samples.shape[0]
    out = np.empty((count, n) if path else count)
    workers = joblib.effective_n_jobs(-1) if samples.size >= THREAD_FROM and count > 1 else 1
    if workers == 1:
        loop(samples, *rows, *constants, out)
    else:
        # Four chunks a worker: samples differ in cost, so equal shares would leave cores idle.
        edges = np.linspace(0, count, min(count, 4 * workers) + 1).astype(int)
        joblib.Parallel(n_jobs=workers, require="sharedmem")(
            joblib.delayed(loop)(samples[lo:hi], *(r[lo:hi] for r in rows), *constants, out[lo:hi])
            for lo, hi in pairwise(edges)
        )
    shaped: FloatArray = out.reshape(*batch, n) if path else out.reshape(batch)
    return shaped if shaped.ndim else np.float64(out[0])
