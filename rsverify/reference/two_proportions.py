"""Exact limits for two proportions from their definition: sets in mpmath, suprema in integers.

Independent of `rsverify.kernels.two_proportions`: the ordering is evaluated outcome by outcome to
50 digits, and "the probability of the set is at most `level` on the whole piece of the curve" is
decided in rational arithmetic. With p1 = P1/W1 and p2 = P2/W2, all linear in a parameter on
[0, 1], P(S) <= level is

    sum over S of C(n1, k) C(n2, j) P1^k Q1^(n1 - k) P2^j Q2^(n2 - j) - level W1^n1 W2^n2 <= 0,

a polynomial inequality. In the Bernstein basis a polynomial is at most its largest coefficient, and
halving the interval (de Casteljau) decides it.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from math import comb, lcm

import mpmath as mp
from mpmath import mpf

from rsverify.reference.proportion import clopper_pearson_lower, clopper_pearson_upper
from rsverify.reference.special import DIGITS, norm_isf, precise

MOVED = Fraction(1, 5)  # of a success, against the claim, in the default ordering
SMALLEST_Z = "0.1"
TIE = 1e-9  # of signed roots: outcomes this close to the observed one count as tied with it
SHARE = Fraction(2, 10**11)  # of alpha, for each of the limits that make the supremum local
HALVINGS = 80  # of the nuisance parameter: its error counts squared
MOST_HALVINGS = 80
Form = tuple[int, int]


# ------------------------------------------------------------------------- the ordering


def _curve(estimand: str, c: mpf, p2: mpf) -> mpf:
    if estimand == "difference":
        return p2 + c
    return c * p2 if estimand == "ratio" else c * p2 / (1 - p2 + c * p2)


def _piece(estimand: str, c: mpf) -> tuple[mpf, mpf]:
    if estimand == "difference":
        return max(mp.mpf(0), -c), min(mp.mpf(1), 1 - c)
    return mp.mpf(0), min(mp.mpf(1), 1 / c) if estimand == "ratio" else mp.mpf(1)


def _deviance(w: mpf, n: int, p: mpf) -> mpf:
    total = mp.mpf(0)
    for part, mean in ((w, n * p), (n - w, n * (1 - p))):
        if part > 0:
            if mean <= 0:
                return mp.inf
            total += part * mp.log(part / mean)
    return total


def signed_root(x1: int, n1: int, x2: int, n2: int, c: mpf, estimand: str) -> mpf:
    """Return R at g = c: the deviance is minimized over p2, where its derivative changes sign."""
    moved = mp.mpf(MOVED.numerator) / MOVED.denominator
    w1, w2 = x1 - moved, min(x2 + moved, mp.mpf(n2))
    low, high = _piece(estimand, c)

    def slope(p2: mpf) -> mpf:
        p1 = _curve(estimand, c, p2)
        along = {"difference": 1, "ratio": c}.get(estimand)
        if along is None:
            along = p1 * (1 - p1) / (p2 * (1 - p2))
        return (w2 - n2 * p2) / (p2 * (1 - p2)) + along * (w1 - n1 * p1) / (p1 * (1 - p1))

    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if slope(middle) > 0:
            low = middle
        else:
            high = middle
    p2 = (low + high) / 2
    p1 = _curve(estimand, c, p2)
    root = mp.sqrt(2 * max(mp.mpf(0), _deviance(w1, n1, p1) + _deviance(w2, n2, p2)))
    return root if w1 - n1 * p1 >= w2 - n2 * p2 else -root


def _says_nothing(x1: int, x2: int, n2: int, estimand: str) -> bool:
    return x1 == 0 or (x2 == n2 and estimand != "ratio")


def likelihood_ratio_limit(x1: int, n1: int, x2: int, n2: int, alpha: mpf, estimand: str) -> mpf:
    """Return the g at which the signed root is z; None for the lowest value."""
    moved = mp.mpf(MOVED.numerator) / MOVED.denominator
    w1, w2 = x1 - moved, min(x2 + moved, mp.mpf(n2))
    if _says_nothing(x1, x2, n2, estimand):
        return None
    z = max(mp.mpf(SMALLEST_Z), norm_isf(alpha))
    if estimand == "difference":
        return _falling_root(
            lambda c: signed_root(x1, n1, x2, n2, c, estimand) - z,
            mp.mpf(-1),
            w1 / n1 - w2 / n2,
        )
    start = mp.log(w1 / n1 / (w2 / n2))
    if estimand == "odds-ratio":
        start += mp.log((1 - w2 / n2) / (1 - w1 / n1))

    def excess(log: mpf) -> mpf:
        return signed_root(x1, n1, x2, n2, mp.exp(log), estimand) - z

    reach = mp.mpf(1)
    while excess(start - reach) < 0:
        reach *= 2
    return mp.exp(_falling_root(excess, start - reach, start))


def _falling_root(function: mpf, low: mpf, high: mpf) -> mpf:
    """Return the root by bisection, from below."""
    for _ in range(2 * HALVINGS):
        middle = (low + high) / 2
        if function(middle) >= 0:
            low = middle
        else:
            high = middle
    return low


def outcome_set(
    x1: int, n1: int, x2: int, n2: int, alpha: mpf, estimand: str, ordering: str
) -> list[int] | None:
    """Return the smallest x1 of each row of {T >= T(x)}, None where the set is everything."""
    rows, columns = range(n1 + 1), range(n2 + 1)
    with precise(DIGITS):
        others = _valid_limits(n1, n2, alpha, estimand, ordering)
        found = [v for v in (others[x1][x2],) if v is not None]
        z = max(mp.mpf(SMALLEST_Z), norm_isf(alpha))
        if ordering == "likelihood-ratio":
            limit = likelihood_ratio_limit(x1, n1, x2, n2, alpha, estimand)
            if limit is not None:
                found.append(limit if estimand == "difference" else mp.log(limit))
        if not found:
            return None
        t = max(found)
        least = t - mp.mpf(TIE) * (1 + abs(t))
        inside = [[v is not None and v >= least for v in row] for row in others]
        if ordering == "likelihood-ratio":
            c = t if estimand == "difference" else mp.exp(t)
            for i, j in ((i, j) for i in rows for j in columns):
                if not inside[i][j] and not _says_nothing(i, j, n2, estimand):
                    root = signed_root(i, n1, j, n2, c, estimand)
                    inside[i][j] = root >= z - mp.mpf(TIE)
    steps = [next((i for i in range(n1 + 1) if inside[i][j]), n1 + 1) for j in range(n2 + 1)]
    if any(inside[i][j] != (i >= steps[j]) for i in range(n1 + 1) for j in range(n2 + 1)):
        raise ArithmeticError("the ordering is not monotone")
    return steps


def _valid_limits(n1: int, n2: int, alpha: mpf, estimand: str, ordering: str) -> list[list[mpf]]:
    """Return the other limits of an ordering: logarithms for ratios, None for the lowest value."""
    half = mp.mpf(alpha) / 2
    lower = [clopper_pearson_lower(i, n1, half) for i in range(n1 + 1)]
    upper = [clopper_pearson_upper(j, n2, half) for j in range(n2 + 1)]
    if estimand == "difference":
        out = [[p - u for u in upper] for p in lower]
        if ordering == "likelihood-ratio":
            first = [clopper_pearson_lower(i, n1, alpha) - 1 for i in range(n1 + 1)]
            second = [-clopper_pearson_upper(j, n2, alpha) for j in range(n2 + 1)]
            out = [
                [max(v, first[i], second[j]) for j, v in enumerate(row)]
                for i, row in enumerate(out)
            ]
        return [[None if v <= -1 else v for v in row] for row in out]
    return [[_log_ratio(p, u, estimand) for u in upper] for p in lower]


def _log_ratio(p: mpf, u: mpf, estimand: str) -> mpf:
    value = p / u if estimand == "ratio" else p * (1 - u) / (u * (1 - p))
    return mp.log(value) if value > 0 else None


# ------------------------------------------------------------------------- the supremum


def _times(a: list[int], b: list[int]) -> list[int]:
    out = [0] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        if x:
            for j, y in enumerate(b):
                out[i + j] += x * y
    return out


def _powers(form: Form, n: int) -> list[list[int]]:
    out = [[1]]
    for _ in range(n):
        out.append(_times(out[-1], list(form)))
    return out


def _excess(
    steps: list[int], n1: int, first: tuple[Form, Form], second: tuple[Form, Form], level: Fraction
) -> list[int]:
    """Return coefficients of t^j (1 - t)^(N - j) of P(S) - level, times positive constants."""
    n2 = len(steps) - 1
    p1, q1 = (_powers(form, n1) for form in first)
    p2, q2 = (_powers(form, n2) for form in second)
    tails = [[0] * (n1 + 1)]
    for k in range(n1, -1, -1):
        term = _times(p1[k], q1[n1 - k])
        tails.append([a + comb(n1, k) * b for a, b in zip(tails[-1], term, strict=True)])
    tails.reverse()  # tails[k]: P(X1 >= k) W1^n1
    total = [0] * (n1 + n2 + 1)
    for j, step in enumerate(steps):
        row = _times(_times(p2[j], q2[n2 - j]), tails[max(step, 0)])
        total = [a + comb(n2, j) * b for a, b in zip(total, row, strict=True)]
    whole = [_powers((a[0] + b[0], a[1] + b[1]), n)[n] for (a, b), n in ((first, n1), (second, n2))]
    everything = _times(*whole)
    return [
        level.denominator * a - level.numerator * b for a, b in zip(total, everything, strict=True)
    ]


def _integers(*forms: tuple[Fraction, Fraction]) -> list[Form]:
    scale = lcm(*(end.denominator for form in forms for end in form))
    return [(int(a * scale), int(b * scale)) for a, b in forms]


def witness_above(
    steps: list[int],
    n1: int,
    c: Fraction,
    level: Fraction,
    estimand: str,
    least: Fraction = Fraction(0),
    most: Fraction = Fraction(1),
) -> Fraction | None:
    """Return a p2 on the curve g = c with P(X1 >= steps[X2]) > level; None proves there is none.

    Only p1 >= least and p2 <= most are looked at. Raises ArithmeticError where 80 halvings do not
    decide it.
    """
    if estimand == "difference":
        low, high = max(Fraction(0), -c, least - c), min(Fraction(1), 1 - c, most)
    elif estimand == "ratio":
        low, high = max(Fraction(0), least / c), min(Fraction(1), 1 / c, most)
    else:
        low, high = least / (least + c * (1 - least)) if least < 1 else Fraction(1), most
    if low > high:
        return None
    second = _integers((low, high), (1 - low, 1 - high))
    if estimand == "difference":
        first = _integers((low + c, high + c), (1 - low - c, 1 - high - c))
    elif estimand == "ratio":
        first = _integers((c * low, c * high), (1 - c * low, 1 - c * high))
    else:
        first = _integers((c * low, c * high), (1 - low, 1 - high))
    plain = _excess(steps, n1, (first[0], first[1]), (second[0], second[1]), level)
    degree = len(plain) - 1
    common = lcm(*(comb(degree, j) for j in range(degree + 1)))
    stack = [([v * (common // comb(degree, j)) for j, v in enumerate(plain)], low, high, 0)]
    while stack:
        b, start, end, depth = stack.pop()
        if b[0] > 0:
            return start
        if b[-1] > 0:
            return end
        if max(b) <= 0:
            continue
        if depth == MOST_HALVINGS:
            raise ArithmeticError(f"the supremum at c={c} is too close to the level {level}")
        left, right, row = [b[0] << degree], [b[-1] << degree], b
        for k in range(1, degree + 1):
            row = [x + y for x, y in pairwise(row)]
            left.append(row[0] << (degree - k))
            right.append(row[-1] << (degree - k))
        middle = (start + end) / 2
        stack.append((left, start, middle, depth + 1))
        stack.append((right[::-1], middle, end, depth + 1))
    return None


def local_piece(
    x1: int, n1: int, x2: int, n2: int, alpha: Fraction, ordering: str
) -> tuple[Fraction, Fraction, Fraction]:
    """Return the least p1, the most p2 and the level of the supremum of an ordering."""
    if ordering == "bonferroni":
        return Fraction(0), Fraction(1), alpha
    gamma = SHARE * alpha
    with precise(DIGITS):
        share = mp.mpf(gamma.numerator) / gamma.denominator
        least = clopper_pearson_lower(x1, n1, share)
        most = clopper_pearson_upper(x2, n2, share)
        ends = [Fraction(int(mp.floor(v * mp.mpf(2) ** 160)), 2**160) for v in (least, most)]
    return ends[0], min(ends[1] + Fraction(1, 2**160), Fraction(1)), alpha - 2 * gamma


def two_proportion_bracket(
    x1: int,
    n1: int,
    x2: int,
    n2: int,
    alpha: float,
    *,
    estimand: str = "difference",
    ordering: str = "likelihood-ratio",
    width: Fraction = Fraction(1, 2**36),
) -> tuple[Fraction, Fraction]:
    """Return rational numbers that enclose the lower limit: of a ratio, relative to its size."""
    exact = Fraction(alpha)
    nothing = Fraction(-1) if estimand == "difference" else Fraction(0)
    steps = outcome_set(x1, n1, x2, n2, mp.mpf(alpha), estimand, ordering)
    if steps is None:
        return nothing, nothing
    least, most, level = local_piece(x1, n1, x2, n2, exact, ordering)

    def holds(c: Fraction) -> bool:
        return witness_above(steps, n1, c, level, estimand, least, most) is None

    if estimand == "difference":
        lower, upper = Fraction(-1), Fraction(1)
    else:
        lower = upper = Fraction(1)
        while not holds(lower):
            lower /= 2
        while holds(upper):
            upper *= 2
    while upper - lower > width * (1 if estimand == "difference" else lower):
        middle = (lower + upper) / 2
        middle = Fraction(round(middle * 2**60), 2**60) if estimand == "difference" else middle
        if holds(middle):
            lower = middle
        else:
            upper = middle
    return lower, upper


def two_proportion_lower(
    x1: int,
    n1: int,
    x2: int,
    n2: int,
    alpha: float,
    *,
    estimand: str = "difference",
    ordering: str = "likelihood-ratio",
) -> Fraction:
    """Return the lower limit from below, to about 1e-11."""
    return two_proportion_bracket(x1, n1, x2, n2, alpha, estimand=estimand, ordering=ordering)[0]


def two_proportion_upper(
    x1: int,
    n1: int,
    x2: int,
    n2: int,
    alpha: float,
    *,
    estimand: str = "difference",
    ordering: str = "likelihood-ratio",
) -> Fraction | float:
    """Return the upper limit from above: minus, or one over, the lower one of samples exchanged."""
    lower = two_proportion_lower(x2, n2, x1, n1, alpha, estimand=estimand, ordering=ordering)
    if estimand == "difference":
        return -lower
    return 1 / lower if lower > 0 else float("inf")
