"""Margin bounds to 50 digits, in mpmath: reference implementations of `rsverify.bounds.margin`.

Scalars in, ``mpf`` out, nothing rounded outward. The exact bound is evaluated from its
definition, by none of the fast bound's methods:

* the outcome set S = {T >= t} is explicit; membership is decided outcome by outcome from the
  definition of the ordering, equal keys being those within 1e-30;
* the tail is the sum of the probability mass over S;
* its supremum over the curve is looked for on a dense grid (floats, every local maximum
  refined) and then solved for together with the limit: P = alpha and dP/du = 0 by Newton's
  method at full precision.

Only the grid is not a proof; it is dense on the scale on which the tail varies. Cost grows with
the number of outcomes: n = 10 takes 0.1 s, n = 100 some 5 s.
"""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable

import mpmath as mp
import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, minimize_scalar
from scipy.special import gammaln, ndtr, ndtri, xlogy

from rsverify.kernels.margin.buehler import SHARE
from rsverify.kernels.margin.nested import LEVELS
from rsverify.kernels.margin.ordering import MOVED_FROM_FIRST, SMALLEST_Z, moved_to_second
from rsverify.kernels.margin.staircase import LARGEST_ALPHA
from rsverify.reference.curve_maximum import laplace_cdf, laplace_ppf
from rsverify.reference.probit import taylor_probit
from rsverify.reference.proportion import clopper_pearson_lower, clopper_pearson_upper
from rsverify.reference.special import DIGITS, Number, norm_isf, norm_ppf, precise

FloatArray = npt.NDArray[np.float64]
Outcome = tuple[int, int]
Key = Callable[[int, int], bool]
Key1 = Callable[[int], bool]

TIE = "1e-30"
NEAR, FAR = -42, 104  # logits
COARSE = 2**13  # steps of a first grid
GRID = 900
PEAKS = 4
LOWEST_LOG = -1e5  # stands for the logarithm of 0 in the search
_FLOATS: dict[str, tuple[Callable[..., FloatArray], Callable[..., FloatArray]]] = {
    "probit": (ndtr, ndtri),
    "laplace": (laplace_cdf, laplace_ppf),
}
_CODES = {"difference": 0, "probit": 1, "laplace": 2}


def margin(p1: Number, rest1: Number, p2: Number, rest2: Number, estimand: str) -> Number:
    """Return g(p1, p2); each probability comes with its complement."""
    if estimand == "difference":
        return p1 - p2
    if p1 == 0:
        return -mp.inf
    return _quantile(p1, rest1, estimand) - _quantile(p2, rest2, estimand)


def _quantile(p: Number, rest: Number, estimand: str) -> Number:
    """Return the quantile of p = 1 - rest: of the normal or the Laplace distribution."""
    if estimand == "laplace":
        return mp.log(2 * p) if p < rest else -mp.log(2 * rest)
    return norm_ppf(p) if p < rest else norm_isf(rest)


def _cdf(z: Number, estimand: str) -> Number:
    """Return the distribution function whose quantiles make the margin."""
    if estimand == "laplace":
        return mp.exp(z) / 2 if z < 0 else 1 - mp.exp(-z) / 2
    return mp.erfc(-z / mp.sqrt(2)) / 2


def _pdf(z: Number, estimand: str) -> Number:
    """Return its density."""
    return mp.exp(-abs(z)) / 2 if estimand == "laplace" else mp.npdf(z)


def cohen_margin_lower(k1: int, n: int, alpha: Number, *, estimand: str) -> Number:
    """Return g(p, 1 - p) at the Clopper-Pearson lower limit p of p1."""
    with precise(DIGITS):
        p = clopper_pearson_lower(k1, n, alpha)
        return margin(p, 1 - p, 1 - p, p, estimand)


def bonferroni_margin_lower(
    k1: int, k2: int, n: int, alpha: Number, *, estimand: str, split: Number = 0.5
) -> Number:
    """Return g(p, u) with u the upper limit of p2, at most 1 - p; alpha is split."""
    with precise(DIGITS):
        p = clopper_pearson_lower(k1, n, mp.mpf(split) * alpha)
        u = min(clopper_pearson_upper(k2, n, (1 - mp.mpf(split)) * alpha), 1 - p)
        return margin(p, 1 - p, u, 1 - u, estimand)


def exact_margin_lower(
    k1: int,
    k2: int,
    n: int,
    alpha: Number,
    *,
    estimand: str,
    ordering: str = "likelihood-ratio",
) -> Number:
    """Return the limit of {T >= T(k1, k2)}: Buehler's, and the local one of the default ordering.

    The local one looks only at q1 >= a(k1) and q2 <= b(k2), the Clopper-Pearson limits of level
    ``SHARE * alpha``, and keeps the tail at alpha less three times as much.

    Parameters
    ----------
    k1, k2, n : int
        Votes for the class, for its runner-up, and of all classes.
    alpha : float or mpf
        Failure probability.
    estimand : {"difference", "probit", "laplace"}
        The margin bounded.
    ordering : {"likelihood-ratio", "nested", "difference", "bonferroni", "taylor:M"}
        As in `rsverify.bounds.margin.exact_margin_lower`.

    Returns
    -------
    mpf
        The limit; -1 or -inf where nothing can be claimed.

    Raises
    ------
    ArithmeticError
        If Newton's method does not settle.
    """
    with precise(DIGITS):
        level = mp.mpf(alpha)
        if ordering == "nested":
            place = max(i for i, a in enumerate(LEVELS) if a <= alpha)
            pairs = [
                (level, mp.mpf(LEVELS[place])),
                *((mp.mpf(a),) * 2 for a in LEVELS[place + 1 :]),
            ]
            return min(_local_limit(k1, k2, n, a, at, estimand) for a, at in pairs)
        if ordering == "likelihood-ratio" and alpha <= LARGEST_ALPHA:
            return _local_limit(k1, k2, n, level, level, estimand)
        steps = staircase(_membership(k1, k2, n, level, estimand, ordering), n)
        return buehler_lower(steps, level, estimand=estimand)


def _local_limit(
    k1: int, k2: int, n: int, level: Number, ordered_at: Number, estimand: str
) -> Number:
    """Return the local limit at a level, of the default ordering of the level `ordered_at`."""
    steps = staircase(_default_membership(k1, k2, n, ordered_at, estimand), n)
    share = mp.mpf(SHARE) * level
    piece = (clopper_pearson_lower(k1, n, share), clopper_pearson_upper(k2, n, share))
    local = buehler_lower(steps, level - 3 * share, estimand=estimand, piece=piece)
    if k1 + k2 < n:
        return local
    # What the local one costs is won back where Cohen's limit is one of this ordering.
    cohen = cohen_margin_lower(k1, n, level, estimand=estimand)
    return max(local, min(cohen, buehler_lower(steps, level, estimand=estimand)))


def staircase(member: Key, n: int) -> list[int]:
    """Return the smallest x1 of each row x2 of an upper set, n + 1 where there is none.

    An upper set's rows start no earlier than the row below, so one walk decides them all.
    """
    steps = []
    x1 = 0
    for x2 in range(n + 1):
        while x1 <= n - x2 and not member(x1, x2):
            x1 += 1
        steps.append(x1 if x1 <= n - x2 else n + 1)
    return steps


# --- Orderings ---------------------------------------------------------------------------


def _membership(k1: int, k2: int, n: int, alpha: Number, estimand: str, ordering: str) -> Key:
    """Return the function that decides T(x) >= T(k1, k2)."""
    if ordering == "likelihood-ratio":
        return _default_membership(k1, k2, n, alpha, estimand)
    if ordering == "difference":
        return lambda x1, x2: x1 - x2 >= k1 - k2
    if ordering == "bonferroni":
        lowers = [clopper_pearson_lower(k, n, alpha / 2) for k in range(n + 1)]
        uppers = [clopper_pearson_upper(k, n, alpha / 2) for k in range(n + 1)]

        def key(x1: int, x2: int) -> Number:
            p, u = lowers[x1], min(uppers[x2], 1 - lowers[x1])
            return margin(p, 1 - p, u, 1 - u, estimand)
    else:
        order = int(ordering.removeprefix("taylor:"))
        values = [taylor_probit(mp.mpf(k) / n, order) for k in range(n + 1)]

        def key(x1: int, x2: int) -> Number:
            return values[x1] - values[x2]

    observed = key(k1, k2)
    return lambda x1, x2: _reaches(key(x1, x2), observed)


def _reaches(value: Number, limit: Number) -> bool:
    """Return whether value >= limit, numbers within `TIE` being equal."""
    if value == -mp.inf or limit == -mp.inf:
        return bool(value >= limit)
    return bool(value >= limit - mp.mpf(TIE) * max(1, abs(limit)))


def _default_membership(k1: int, k2: int, n: int, alpha: Number, estimand: str) -> Key:
    """Decide T(x) >= T(k1, k2) for the maximum of the limits of the default ordering."""
    z = max(mp.mpf(SMALLEST_Z), norm_isf(alpha))
    limit = default_key(k1, k2, n, alpha, estimand)

    def member(x1: int, x2: int) -> bool:
        lowest = -1 if estimand == "difference" else -mp.inf
        if limit <= lowest:
            return True
        if _reaches(cohen_margin_lower(x1, n, alpha, estimand=estimand), limit):
            return True
        if (limit <= 0 or alpha > LARGEST_ALPHA) and _reaches(
            bonferroni_margin_lower(x1, x2, n, alpha, estimand=estimand), limit
        ):
            return True
        if _reaches(_runner_up_limit(x2, n, alpha, estimand), limit):
            return True
        if x1 == 0 or alpha > LARGEST_ALPHA:
            return False
        w = moved_votes(x1, x2, n, estimand)
        if plugin_margin(w, estimand) <= limit:
            return False
        root = mp.sqrt(2 * deviance(w, limit, estimand))
        return bool(root >= z - mp.mpf("1e-25"))

    return member


def default_key(x1: int, x2: int, n: int, alpha: Number, estimand: str) -> Number:
    """Return T(x): the largest of four limits.

    The likelihood ratio's, Cohen's, Bonferroni's if negative, and for "difference" that of -p2.
    """
    z = max(mp.mpf(SMALLEST_Z), norm_isf(alpha))
    if alpha > LARGEST_ALPHA:
        return max(
            _runner_up_limit(x2, n, alpha, estimand),
            cohen_margin_lower(x1, n, alpha, estimand=estimand),
            bonferroni_margin_lower(x1, x2, n, alpha, estimand=estimand),
        )
    return max(
        _runner_up_limit(x2, n, alpha, estimand),
        likelihood_ratio_limit(x1, x2, n, z, estimand),
        cohen_margin_lower(x1, n, alpha, estimand=estimand),
        min(bonferroni_margin_lower(x1, x2, n, alpha, estimand=estimand), mp.mpf(0)),
    )


def _runner_up_limit(x2: int, n: int, alpha: Number, estimand: str) -> Number:
    """Return the lower limit of -p2, which bounds the difference."""
    return -clopper_pearson_upper(x2, n, alpha) if estimand == "difference" else -mp.inf


def moved_votes(x1: int, x2: int, n: int, estimand: str) -> tuple[Number, Number, Number]:
    """Return the outcome with votes moved against the claim; the ordering is defined by it."""
    more = mp.mpf(moved_to_second(_CODES[estimand], n))
    return x1 - mp.mpf(MOVED_FROM_FIRST), x2 + more, mp.mpf(n - x1 - x2)


def plugin_margin(w: tuple[Number, Number, Number], estimand: str) -> Number:
    """Return g at the proportions of w."""
    total = sum(w)
    first, second = w[0] / total, w[1] / total
    return margin(first, 1 - first, second, 1 - second, estimand)


def likelihood_ratio_limit(x1: int, x2: int, n: int, z: Number, estimand: str) -> Number:
    """Return the L below g(w) with D_L = z^2 / 2, as D_L falls to 0 there."""
    if x1 == 0:
        return mp.mpf(-1) if estimand == "difference" else -mp.inf
    w = moved_votes(x1, x2, n, estimand)
    high = plugin_margin(w, estimand)
    gap = high + 1 if estimand == "difference" else mp.mpf(40 if estimand == "probit" else 90)

    def excess(limit: Number) -> Number:
        return mp.sqrt(2 * deviance(w, limit, estimand)) - z

    def at(
        place: int,
    ) -> Number:  # even in the logit of the distance: the root may be near either end
        t = NEAR + (FAR - NEAR) * place / COARSE
        return high - gap / (1 + mp.exp(-t))

    return _root(excess, at, lambda place: excess(at(place)) > 0)


def _root(
    function: Callable[[Number], Number], at: Callable[[int], Number], passed: Key1
) -> Number:
    """Return the root between two neighbors of a coarse grid; it is `passed` from one on."""
    place = bisect.bisect_left(range(1, COARSE), True, key=passed) + 1
    return mp.findroot(
        function,
        (at(place - 1), at(place)),
        solver="anderson",
        tol=mp.mpf(10) ** -(DIGITS + 5),
        maxsteps=300,
        verify=False,
    )


def curve_point(limit: Number, u: Number, estimand: str) -> tuple[Number, Number, Number]:
    """Return the point of g(q) = limit at u = min(q1, q2), or the quantile u of q2."""
    if estimand == "difference":
        q1, q2 = u + max(limit, 0), u + max(-limit, 0)
        return q1, q2, 1 - q1 - q2
    q1, q2 = _cdf(u + limit, estimand), _cdf(u, estimand)
    # q3 not as 1 - q1 - q2, which would lose the digits of a small one.
    if u > 0:
        return q1, q2, _cdf(-u, estimand) - q1
    return q1, q2, _cdf(-u - limit, estimand) - q2


def curve_top(limit: Number, estimand: str) -> Number:
    """Return the u at which q1 + q2 = 1."""
    return (1 - abs(limit)) / 2 if estimand == "difference" else -limit / 2


def deviance(w: tuple[Number, Number, Number], limit: Number, estimand: str) -> Number:
    """Return D_L(w), the least sum of w_i log(w_i / (N q_i)) over g(q) = L."""
    top = curve_top(limit, estimand)
    if w[2] == 0:
        return _divergence(w, curve_point(limit, top, estimand))

    def score(u: Number) -> Number:
        q = curve_point(limit, u, estimand)
        if estimand == "difference":
            slopes = (1, 1, -2)
        else:
            first = _pdf(u + limit, estimand)
            second = _pdf(u, estimand)
            slopes = (first, second, -first - second)
        return sum(a * s / b for a, b, s in zip(w, q, slopes, strict=True))

    if estimand == "difference":
        low, high = top * mp.mpf(10) ** -30, top * (1 - mp.mpf(10) ** -30)
    else:
        low, high = top - 1, top - mp.mpf(10) ** -30
        while score(low) < 0:
            low = 2 * low - top

    def at(place: int) -> Number:
        return low + (high - low) * place / COARSE

    u = _root(score, at, lambda place: score(at(place)) <= 0)  # it falls from +inf to -inf
    return _divergence(w, curve_point(limit, u, estimand))


def _divergence(w: tuple[Number, Number, Number], q: tuple[Number, Number, Number]) -> Number:
    total = sum(w)
    return sum(a * mp.log(a / (total * b)) for a, b in zip(w, q, strict=True) if a > 0)


# --- The bound ---------------------------------------------------------------------------


def trinomial_tail(steps: list[int], q: tuple[Number, Number, Number]) -> Number:
    """Return P(X1 >= steps[X2]) as the sum of the probability mass over the outcome set.

    Parameters
    ----------
    steps : list of int, length n + 1
        The smallest x1 of each row x2; any integers, a row above n - x2 is empty.
    q : three numbers
        Class probabilities, taken as exact; their sum need not be 1.

    Returns
    -------
    mpf
        The sum of n! / (x1! x2! x3!) q1^x1 q2^x2 q3^x3.
    """
    n = len(steps) - 1
    first, second, third = (_powers(mp.mpf(v), n) for v in q)
    total = mp.mpf(0)
    choose_row = 1
    for x2, step in enumerate(steps):
        m = n - x2
        start = max(step, 0)
        choose = math.comb(m, start)
        terms = []
        for x1 in range(start, m + 1):
            terms.append((choose, first[x1] * third[m - x1]))
            choose = choose * (m - x1) // (x1 + 1)
        if terms:
            total += choose_row * second[x2] * mp.fdot(terms)
        choose_row = choose_row * (n - x2) // (x2 + 1)
    return total


def _powers(base: Number, n: int) -> list[Number]:
    out = [mp.mpf(1)]
    for _ in range(n):
        out.append(out[-1] * base)
    return out


def buehler_lower(
    steps: list[int], alpha: Number, *, estimand: str, piece: tuple[Number, Number] = (0, 1)
) -> Number:
    """Return inf{L : the supremum of P(X1 >= steps[X2]) exceeds alpha}.

    The supremum is over g(q) = L with q1 at least and q2 at most what `piece` says.
    """
    n = len(steps) - 1
    # The margin is lowest at (0, n, 0); every curve of quantiles also runs to (0, 0, n).
    if steps[n] <= 0 or (estimand != "difference" and steps[0] <= 0):
        return mp.mpf(-1) if estimand == "difference" else -mp.inf
    tail = _FloatTail(steps, estimand, (float(piece[0]), float(piece[1])))
    log_alpha = float(mp.log(alpha))
    reach = {"difference": 1.0, "probit": 30.0, "laplace": 90.0}[estimand]
    ends = (-reach, reach)
    ends = (math.nextafter(ends[0], 0), math.nextafter(ends[1], 0))
    rough = brentq(lambda at: tail.log_supremum(at) - log_alpha, *ends, xtol=1e-12)
    with precise(DIGITS):
        return min(
            _solve(steps, alpha, mp.mpf(rough), mp.mpf(u), end, estimand, piece)
            for u, end in tail.high_peaks(rough)
        )


def piece_ends(limit: Number, estimand: str, piece: tuple[Number, Number]) -> tuple[Number, Number]:
    """Return the range of u on g(q) = limit where q1 >= piece[0] and q2 <= piece[1]."""
    least, most = piece
    top = curve_top(limit, estimand)
    if estimand == "difference":
        return max(least - max(limit, 0), 0), min(most - max(-limit, 0), top)
    least, most = mp.mpf(least), mp.mpf(most)
    low = _quantile(least, 1 - least, estimand) - limit if least > 0 else -mp.inf
    return low, min(_quantile(most, 1 - most, estimand), top) if most < 1 else top


class _FloatTail:
    """The tail in floats, on many points of a piece of a curve at once."""

    def __init__(self, steps: list[int], estimand: str, piece: tuple[float, float]) -> None:
        n = len(steps) - 1
        rows = [(a, b, n - a - b) for b in range(n + 1) for a in range(max(steps[b], 0), n - b + 1)]
        self.x = np.array(rows, dtype=float)
        self.weight = gammaln(n + 1) - gammaln(self.x + 1).sum(axis=1)
        self.estimand = estimand
        self.piece = piece
        angle = np.linspace(0, 0.5 * np.pi, GRID + 1)[1:]
        small = np.geomspace(1e-14 / n, 0.5 * np.sin(angle[0]) ** 2, 40)
        # Even in the square root of the probability, which is the tail's natural unit.
        endless = estimand != "difference" and piece[0] <= 0  # begins at u = -inf
        self.share = np.concatenate([[] if endless else [0.0], small, np.sin(angle) ** 2])
        self.share[-1] = 1.0

    def points(self, limit: float, share: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return u and q at shares of the way of max(q1, q2) from its least to its largest."""
        low, high = (float(end) for end in piece_ends(limit, self.estimand, self.piece))
        at_top = (share >= 1) & (high >= float(curve_top(limit, self.estimand)))
        if self.estimand == "difference":
            u = low + (high - low) * share
            q1, q2 = u + max(limit, 0), u + max(-limit, 0)
            q3 = np.maximum(1 - abs(limit) - 2 * u, 0)
            if low <= 0 and high >= 0.5 * (1 - abs(limit)):
                q3 = (1 - abs(limit)) * (1 - share)
        else:
            cdf, ppf = _FLOATS[self.estimand]
            least, most = cdf(low + max(limit, 0)), cdf(high + max(limit, 0))
            larger = ppf(least + (most - least) * share)
            u = np.minimum(larger - max(limit, 0), high)
            u = np.where(share >= 1, high, u)
            q1, q2 = cdf(u + limit), cdf(u)
            q3 = np.maximum(cdf(-u - limit) - q2, 0)
        return u, np.stack([q1, q2, np.where(at_top, 0, q3)])

    def log_tail(self, limit: float, share: FloatArray) -> FloatArray:
        """Return the logarithm of the tail at each share."""
        _, q = self.points(limit, share)
        out = np.empty(share.size)
        for part in np.array_split(np.arange(share.size), 1 + share.size * len(self.x) // 2**21):
            logs = self.weight[:, None] + sum(
                xlogy(self.x[:, i, None], q[i, part]) for i in range(3)
            )
            top = logs.max(axis=0)
            shift = np.where(np.isfinite(top), top, 0.0)
            with np.errstate(divide="ignore"):
                out[part] = shift + np.log(np.exp(logs - shift).sum(axis=0))
        return np.maximum(out, LOWEST_LOG)

    def peaks(self, limit: float) -> list[tuple[float, float]]:
        """Return (log tail, share) of the highest local maxima, refined on the grid's cells."""
        values = self.log_tail(limit, self.share)
        padded = np.concatenate([[-np.inf], values, [-np.inf]])
        rises = (values > padded[:-2]) & (values >= padded[2:])
        high = np.flatnonzero(rises & (values > values.max() - 0.1))
        out = []
        for i in high[np.argsort(-values[high])][:PEAKS]:
            left = self.share[max(i - 1, 0)]
            right = self.share[min(i + 1, self.share.size - 1)]
            found = minimize_scalar(
                lambda s: -self.log_tail(limit, np.array([s]))[0],
                bounds=(left, right),
                method="bounded",
                options={"xatol": 1e-9 * right},
            )
            best = max((-found.fun, found.x), (values[i], self.share[i]))
            if best[1] < 1e-6 and values[0] >= best[0] - 1e-11:
                best = values[0], self.share[0]
            out.append((float(best[0]), float(best[1])))
        return out

    def log_supremum(self, limit: float) -> float:
        """Return the logarithm of the largest tail found on the piece."""
        low, high = piece_ends(limit, self.estimand, self.piece)
        if low > high:
            return LOWEST_LOG
        return max(value for value, _ in self.peaks(limit))

    def high_peaks(self, limit: float) -> list[tuple[float, str]]:
        """Return u and which end of the curve it is, if any, of peaks 1e-6 below the highest."""
        found = self.peaks(limit)
        best = max(value for value, _ in found)
        return [
            (
                float(self.points(limit, np.array([share]))[0][0]),
                "top" if share >= 1 else "bottom" if share <= 0 else "",
            )
            for value, share in found
            if value > best - 1e-6
        ]


def _solve(
    steps: list[int],
    alpha: Number,
    limit: Number,
    u: Number,
    end: str,
    estimand: str,
    piece: tuple[Number, Number],
) -> Number:
    """Return the L with P = alpha and dP/du = 0, or at an end of the piece, by Newton's method."""

    def tail(at: Number, where: Number) -> Number:
        place = where
        if end:
            place = piece_ends(at, estimand, piece)[0 if end == "bottom" else 1]
        return trinomial_tail(steps, curve_point(at, place, estimand))

    h = mp.mpf(10) ** -20 * (u if estimand == "difference" else 1)
    step = mp.mpf(10) ** -22
    move = mp.inf
    for _ in range(12):
        if not end:
            before, here, after = tail(limit, u - h), tail(limit, u), tail(limit, u + h)
            bend = (after - 2 * here + before) / h**2
            if bend >= 0:
                raise ArithmeticError(f"no maximum at L={limit}, u={u}")
            u -= (after - before) / (2 * h) / bend
            u = min(u, piece_ends(limit, estimand, piece)[1])
        here = tail(limit, u)
        slope = (tail(limit + step, u) - tail(limit - step, u)) / (2 * step)
        last, move = move, (here - alpha) / slope
        limit -= move
        if abs(move) < mp.mpf(10) ** -30 and abs(last) < mp.mpf(10) ** -15:
            return limit
    raise ArithmeticError(f"Newton's method did not settle at L={limit}, u={u}")
