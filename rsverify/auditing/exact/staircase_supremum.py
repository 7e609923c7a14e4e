"""The supremum of a staircase's tail over the distributions of one margin, enclosed."""

from __future__ import annotations

import heapq

import numpy as np
import numpy.typing as npt

from rsverify._core.jit import njit
from rsverify.auditing.exact.curves import curve_q1, curve_q2, first_end, last_end
from rsverify.kernels.margin.trinomial import staircase_tail, tail_relative_error


@njit
def _walk(steps: npt.NDArray[np.int64], q1: float, q2: float, neglect: float) -> float:
    n = steps.size - 1
    return staircase_tail(steps, n, q1, q2, max(0.0, 1.0 - q1 - q2), neglect)


@njit
def enclosed_supremum(
    steps: npt.NDArray[np.int64], v: float, code: int, gap: float, cells: int, neglect: float
) -> tuple[float, float, float]:
    """Return the attained and the certified supremum of the tail on g = v, and its nuisance.

    On a piece of the curve the tail is at most that at its corner (max q1, min q2). Pieces are
    halved, the one of the largest limit first.
    """
    n = steps.size - 1
    # The walk's relative error, what it leaves out, and the rounding of q3 = 1 - q1 - q2, which
    # moves a probability of n votes by at most n times that.
    rise, add = 1.0 + tail_relative_error(n), neglect + 1e-15 * n
    a, b = first_end(v, code), last_end(v, code)
    best, where = 0.0, b
    heap = [(-1.0, a, b)]
    for _ in range(cells):
        negative, a, b = heap[0]
        if -negative <= best * (1.0 + gap) + 2.0 * add:
            return best, max(-negative, best), where
        heapq.heappop(heap)
        middle = 0.5 * (a + b)
        here = _walk(steps, curve_q1(v, middle, code), curve_q2(middle, code), neglect)
        if here > best:
            best, where = here, middle
        for half in range(2):
            sa, sb = (a, middle) if half == 0 else (middle, b)
            q2 = curve_q2(sa, code) * (1.0 - 1e-14)
            q1 = min(curve_q1(v, sb, code) * (1.0 + 1e-14), 1.0 - q2)
            limit = min(_walk(steps, q1, q2, neglect) * rise + add, -negative)
            heapq.heappush(heap, (-limit, sa, sb))
    return best, max(-heap[0][0], best), where
