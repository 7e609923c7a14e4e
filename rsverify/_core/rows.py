"""Run a compiled row loop over broadcast arguments, on all cores where it pays."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import joblib
import numpy as np

from rsverify._core.check import FloatArray, check_broadcast
from rsverify._core.types import AnyArray

Loop = Callable[..., None]


def sealed(array: AnyArray, shape: tuple[int, ...]) -> AnyArray:
    """Return an array as compiled functions take it: broadcast, contiguous, read-only.

    Each other layout, and each mix of arrays that may be written to with others that may not,
    would be compiled for anew.
    """
    canonical: AnyArray = np.ascontiguousarray(np.broadcast_to(array, shape)).view()
    canonical.flags.writeable = False
    return canonical


def map_rows(
    loop: Loop,
    *,
    parallel: bool = False,
    constants: tuple[object, ...] = (),
    **arrays: AnyArray,
) -> FloatArray | float:
    """Broadcast `arrays`, run ``loop(*rows, *constants, out)`` and return the shaped result.

    `loop` is a compiled function that fills the one-dimensional `out` from equally long
    one-dimensional rows and releases the GIL. With `parallel`, chunks of rows run on
    threads; the result does not depend on how many, as rows are independent.

    The result is a float where every argument is a scalar, else an array.
    """
    shape = check_broadcast(**arrays)
    rows = [sealed(a, shape).reshape(-1) for a in arrays.values()]
    out = np.empty(rows[0].size)
    # Asking for the number of cores takes longer than many a bound: not for a single row.
    workers = joblib.effective_n_jobs(-1) if parallel and out.size > 1 else 1
    if workers == 1:
        loop(*rows, *constants, out)
    else:
        # Four chunks a worker: rows differ in cost, so equal shares would leave cores idle.
        edges = np.linspace(0, out.size, min(out.size, 4 * workers) + 1).astype(int)
        joblib.Parallel(n_jobs=workers, require="sharedmem")(
            joblib.delayed(loop)(*(r[lo:hi] for r in rows), *constants, out[lo:hi])
            for lo, hi in itertools.pairwise(edges)
        )
    shaped: FloatArray = out.reshape(shape)
    return shaped if shape else np.float64(out[0])
