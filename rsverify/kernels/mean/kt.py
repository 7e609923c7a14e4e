"""The Krichevsky-Trofimov (Beta(1/2, 1/2)) mixture for 0/1 samples: running lower limits.

The ratio of the mixture's likelihood to that of p, B(k + 1/2, t - k + 1/2) / (B(1/2, 1/2)
p**k (1 - p)**(t - k)), is a martingale under p; below k/t it falls with p, so the end of the
rejected p there is found by bisection. Its logarithm is the compensated sum of the
predictive probabilities' logarithms, off by at most t u plus 2u of itself; that and the
rounding of k log p + (t - k) log(1 - p) is added to log(1/alpha).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from rsverify._core.jit import njit
from rsverify.kernels.mean.closed_form import (
    UNIT,
    add_compensated,
    certified,
    log_inverse,
    never_falling,
)

FloatArray = npt.NDArray[np.float64]

HALVINGS = 40


@njit
def log_likelihood(k: int, t: int, p: float) -> float:
    """Return k log p + (t - k) log(1 - p), with 0 log 0 = 0."""
    value = k * math.log(p) if k > 0 else 0.0
    return value + (t - k) * math.log1p(-p) if t > k else value


@njit
def kt_path(x: FloatArray, alpha: float, path: FloatArray) -> None:
    """Fill `path` with the running lower end of {p : ratio < 1/alpha} for a 0/1 sample."""
    log_term = log_inverse(alpha)
    log_mix, carry, bound, k = 0.0, 0.0, 0.0, 0
    for i in range(x.size):
        t = i + 1
        if x[i] > 0.0:
            k += 1
            seen = k
        else:
            seen = t - k
        log_mix, carry = add_compensated(math.log((seen - 0.5) / t), log_mix, carry)
        high = k / t
        if high > bound:
            goal = log_term + (8.0 * t - 4.0 * log_mix + 64.0) * UNIT
            if bound == 0.0 or log_mix - log_likelihood(k, t, bound) >= goal:
                low = bound
                for _ in range(HALVINGS):
                    middle = 0.5 * (low + high)
                    if log_mix - log_likelihood(k, t, middle) >= goal:
                        low = middle
                    else:
                        high = middle
                bound = low
        path[i] = certified(bound, t)
    never_falling(path)


@njit
def kt_paths(x: FloatArray, alpha: FloatArray, out: FloatArray) -> None:
    """Fill each row of `out` with the `kt_path` of a row of `x`."""
    for r in range(out.shape[0]):
        kt_path(x[r], alpha[r], out[r])
