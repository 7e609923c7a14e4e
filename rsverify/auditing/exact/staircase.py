"""Exact coverage of a margin bound at large n, along the staircases {B >= v}.

For a bound B(x1, x2) that rises with x1 and falls with x2, the outcomes that claim v or more
are {x1 >= steps[x2]}, and the largest miscoverage at margins just below v is the supremum of
P(X1 >= steps[X2]) over the curve g(q) = v: one nuisance parameter. Each staircase costs some
n log n / 2 bounds instead of n^2 / 2 (bisection over x1, in all rows at once, between the
staircases already known); its probability is one walk of O(sqrt(n)) rows.

What is certified and what is not
---------------------------------
- At each claim v that is visited: the supremum over the nuisance, enclosed within `GAP`, with
  the rounding of the walk. No claim is made for margins between the visited claims.
- Monotonicity is checked on every pair of outcomes that was evaluated, the probes among them,
  and assumed on the others. Where it fails, no report is made: the audit simulates.
- A refutation does not rest on it: the outcomes that fail to cover are evaluated one by one until
  their probability at the witness, a rational distribution, exceeds alpha.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln, xlogy

from rsverify._core.check import FloatArray
from rsverify._core.margin import Margin
from rsverify.auditing.caller import Caller, Failure, merge_failures
from rsverify.auditing.estimand import margin_value
from rsverify.auditing.exact.curves import FARTHEST_LAPLACE, curve_q1, curve_q2, rational_margin
from rsverify.auditing.exact.proportion import ROUNDING, above
from rsverify.auditing.exact.staircase_supremum import enclosed_supremum
from rsverify.auditing.verdict import Witness
from rsverify.kernels.margin.trinomial import staircase_tail

LARGEST_STAIRCASE_N = 100_000
GAP = 0.02
"""A supremum is enclosed within this share of itself."""
CELLS = 300_000  # pieces of a curve at which its enclosure gives up
NEGLECT = 1e-13  # probability that the walk over a staircase may leave out
ROUNDS, BESIDE = 2, 3  # claims beside the worst one: how often, and how many at most
PROBES = 4000  # outcomes at which monotonicity is tried beside those of the staircases
CHUNK = 1 << 16  # outcomes handed to the bound at once
FORMULA_ERROR = 1e-8  # relative, of a probability by log-gamma functions at n = 100,000
WITNESSES = 1 << 18  # outcomes evaluated one by one for a refutation, at most
NUDGES = (1e-12, 1e-10, 1e-8, 1e-6)
EDGE = {"difference": 1.0, "probit": 37.0, "laplace": FARTHEST_LAPLACE}
REACHED = {"difference": 1.0 - 1e-6, "probit": 12.0, "laplace": 60.0}
"""Claims that no distribution reaches are held against this margin."""
SHARES = (
    (1.0, 0.0),
    (0.999, 0.0),
    (0.99, 0.01),
    (0.98, 0.0),
    (0.95, 0.02),
    (0.9, 0.1),
    (0.9, 0.05),
    (0.8, 0.1),
    (0.7, 0.05),
    (0.6, 0.3),
    (0.6, 0.05),
    (0.5, 0.5),
    (0.5, 0.1),
    (0.4, 0.3),
    (0.3, 0.05),
    (0.2, 0.3),
    (0.1, 0.5),
    (0.02, 0.1),
)
"""Where in the simplex the outcomes stand whose claims are visited."""


@dataclass
class Meter:
    """Tells how much is done: parts, of which every claim takes `of_a_claim`."""

    progress: Callable[[int, int], object] | None
    of_a_claim: int
    total: int
    done: int = 0

    def advance(self, parts: int = 1) -> None:
        """Tell of `parts` more that are done, or not needed."""
        self.done = min(self.done + parts, self.total)
        if self.progress is not None:
            self.progress(self.done, self.total)


@dataclass
class Evaluated:
    """The bound, and every outcome at which it was asked."""

    caller: Caller
    n: int
    meter: Meter = field(default_factory=lambda: Meter(None, 0, 0))
    outcomes: list[npt.NDArray[np.int64]] = field(default_factory=list)
    values: list[FloatArray] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def at(self, x1: npt.ArrayLike, x2: npt.ArrayLike) -> FloatArray:
        """Return the bounds of these outcomes."""
        x1, x2 = np.broadcast_arrays(np.asarray(x1, dtype=np.int64), x2)
        data = np.column_stack([x1, x2, self.n - x1 - x2])
        out = np.empty(len(data))
        # In random order: a bound that carries something from row to row must not see them sorted.
        order = self.rng.permutation(len(data))
        for lo in range(0, len(data), CHUNK):
            part = order[lo : lo + CHUNK]
            limits = self.caller.limits(data[part])
            out[part] = limits.lower
            self.failures += limits.failures
        self.outcomes.append(data[:, :2])
        self.values.append(out)
        return out

    def all(self) -> tuple[npt.NDArray[np.int64], FloatArray]:
        """Return every outcome that was evaluated, and its bound."""
        return np.concatenate(self.outcomes), np.concatenate(self.values)


@dataclass(frozen=True)
class Level:
    """What is known at one claim: the miscoverage just below it, attained and certified."""

    outcome: tuple[int, int]
    claim: float
    steps: npt.NDArray[np.int64]
    attained: float
    certified: float
    q: tuple[float, float]


@dataclass(frozen=True)
class Staircases:
    """All levels, by rising claim; `witness` where one is refuted."""

    levels: list[Level]
    evaluated: int
    failures: list[Failure]
    witness: Witness | None
    refuted: int | None  # which level the witness is of
    outcomes: npt.NDArray[np.int64]
    claims: FloatArray


def staircase(
    bound: Evaluated, v: float, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return the smallest x1 of each row x2 that claims `v`, n - x2 + 1 where none does.

    `low` and `high` bracket it: the staircases of a smaller and a larger claim. Rows are
    solved at wide strides first; those between lie between their neighbors' steps.
    """
    n = bound.n
    empty = n + 1 - np.arange(n + 1)
    out = empty.copy()

    def solve(rows: npt.NDArray[np.int64], least: npt.ArrayLike, most: npt.ArrayLike) -> None:
        a = np.minimum(np.maximum(low[rows], least), empty[rows])
        b = np.minimum(np.minimum(high[rows], most), empty[rows])
        b = np.maximum(a, b)
        while (a < b).any():
            open_ = np.flatnonzero(a < b)
            middle = (a[open_] + b[open_]) // 2
            inside = bound.at(middle, rows[open_]) >= v
            b[open_[inside]] = middle[inside]
            a[open_[~inside]] = middle[~inside] + 1
        out[rows] = a

    solve(np.array([0, n]), 0, n + 1)
    stride = 1 << _halvings(n)
    while stride > 1:
        bound.meter.advance()
        stride //= 2
        rows = np.arange(stride, n, 2 * stride)
        left, right = rows - stride, np.minimum(rows + stride, n)
        most = np.where(out[right] < empty[right], out[right], n + 1)
        solve(rows, out[left], most)
    return out


def _halvings(n: int) -> int:
    return max(n - 1, 1).bit_length()


def as_steps(raw: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return a staircase as the walk takes it: n + 1 where a row is empty."""
    n = raw.size - 1
    return np.where(raw > n - np.arange(n + 1), n + 1, raw)


def audit_staircases(
    caller: Caller,
    n: int,
    margin: str,
    level: float,
    progress: Callable[[int, int], object] | None = None,
) -> Staircases | None:
    """Return the miscoverage of a lower bound at claims spread over the simplex.

    Parameters
    ----------
    caller : Caller
        The bound; it gets counts (R, 3) and looks at the first two columns and their sum.
    n : int
        Votes.
    margin : {"difference", "probit", "laplace"}
        The margin over class 2.
    level : float
        Alpha; a miscoverage above it is proved by a witness.
    progress : callable, optional
        ``progress(done, total)`` is called as the claims are worked through.

    Returns
    -------
    Staircases or None
        None where the bound is not monotone in the counts.
    """
    starts = [(round(a * n), round(b * n)) for a, b in SHARES]
    starts = sorted({(min(a, n - b), b) for a, b in starts})
    parts = _halvings(n) + 1
    meter = Meter(progress, parts, (len(starts) + ROUNDS * BESIDE) * parts + 1)
    bound = Evaluated(caller, n, meter)
    claims = bound.at([a for a, _ in starts], [b for _, b in starts])
    if not _probes_agree(bound):
        return None
    known: dict[float, npt.NDArray[np.int64]] = {}
    levels: list[Level] = []
    order = np.argsort(claims, kind="stable")
    for i in _middle_first(order.tolist()):
        levels += _visited(bound, starts[i], float(claims[i]), margin, known)
    # More beside the worst one, and again.
    for turn in range(ROUNDS):
        near = _beside(max(levels, key=lambda each: each.attained), n) if levels else []
        for outcome in near:
            v = float(bound.at([outcome[0]], [outcome[1]])[0])
            levels += _visited(bound, outcome, v, margin, known)
        left = (ROUNDS - turn - 1) * BESIDE * parts + 1
        meter.advance(meter.total - left - meter.done)
    if not _monotone(bound, known):
        return None
    levels.sort(key=lambda each: each.claim)
    witness, refuted = None, None
    for place in np.argsort([-each.attained for each in levels])[:3]:
        if levels[place].attained > level * (1.0 + ROUNDING) and witness is None:
            witness = _witness(bound, levels[place], margin, level)
            refuted = int(place) if witness is not None else None
    evaluated = sum(map(len, bound.values))
    meter.advance()
    x, values = bound.all()
    failures = merge_failures(bound.failures)
    return Staircases(levels, evaluated, failures, witness, refuted, x, values)


def _probes_agree(bound: Evaluated) -> bool:
    """Return whether the bound is monotone at outcomes all over the simplex."""
    rng, n = np.random.default_rng(0), bound.n
    # Corners and edges as often as the interior.
    x = rng.multinomial(n - 1, rng.dirichlet([1 / 3] * 3, PROBES // 3))
    x1, x2 = x[:, 0], x[:, 1]
    here, more, other = (bound.at(x1 + a, x2 + b) for a, b in ((0, 0), (1, 0), (0, 1)))
    return bool((more >= here).all() and (other <= here).all())


def _middle_first(items: list[int]) -> list[int]:
    """Return sorted items so that each halves the gap it lies in: brackets stay short."""
    out, queue = [], [items]
    while queue:
        part = queue.pop(0)
        if part:
            half = len(part) // 2
            out.append(part[half])
            queue += [part[:half], part[half + 1 :]]
    return out


def _visited(
    bound: Evaluated,
    outcome: tuple[int, int],
    v: float,
    margin: str,
    known: dict[float, npt.NDArray[np.int64]],
) -> list[Level]:
    """Return the level of the claim `v`, nothing if it is known or claims nothing."""
    if v <= -EDGE[margin] or v in known:
        bound.meter.advance(bound.meter.of_a_claim)
        return []
    level = _level(bound, outcome, v, margin, known)
    bound.meter.advance()
    return [level]


def _level(
    bound: Evaluated,
    outcome: tuple[int, int],
    v: float,
    margin: str,
    known: dict[float, npt.NDArray[np.int64]],
) -> Level:
    n, code = bound.n, int(Margin.named(margin))
    below = [u for u in known if u < v]
    above = [u for u in known if u > v]
    low = known[max(below)] if below else np.zeros(n + 1, dtype=np.int64)
    high = known[min(above)] if above else np.full(n + 1, n + 1)
    known[v] = staircase(bound, v, low, high)
    steps = as_steps(known[v])
    # A row that is empty above one that is not, or a step down: seen again by `_monotone`.
    steps = np.maximum.accumulate(steps)
    held = min(v, REACHED[margin])
    attained, certified, s = enclosed_supremum(steps, held, code, GAP, CELLS, NEGLECT)
    if v >= EDGE[margin]:
        certified = 1.0
    q = curve_q1(held, s, code), curve_q2(s, code)
    for nudge in NUDGES:  # the supremum is attained nowhere: shown as near as floats can tell
        q = curve_q1(held - nudge * max(1.0, abs(held)), s, code), q[1]
        if margin_value(margin, *q) < v:
            break
    return Level(outcome, v, steps, attained, min(certified, 1.0), q)


def _beside(worst: Level, n: int) -> list[tuple[int, int]]:
    """Return outcomes about a standard deviation of x1 from the worst level's outcome."""
    x1, x2 = worst.outcome
    step = max(1, round(0.5 * math.sqrt(max(x1 * (n - x1) / n, 1.0))))
    near = [(x1 - step, x2), (x1 + step, x2), (x1, x2 + 1)]
    return [(a, b) for a, b in near if a >= 0 and a + b <= n]


def _monotone(bound: Evaluated, known: dict[float, npt.NDArray[np.int64]]) -> bool:
    """Return whether every staircase rises, and agrees with every outcome evaluated."""
    x, values = bound.all()
    for v, raw in known.items():
        steps = as_steps(raw)
        inside = x[:, 0] >= steps[x[:, 1]]
        if (np.diff(steps) < 0).any() or (inside != (values >= v)).any():
            return False
    return True


def _witness(bound: Evaluated, worst: Level, margin: str, alpha: float) -> Witness | None:
    """Return a rational distribution near the worst one, with its outcomes evaluated one by one."""
    n = bound.n
    for digits in range(3, 13):
        scale = 10**digits
        b = Fraction(math.ceil(worst.q[1] * scale), scale)
        a = min(Fraction(int(worst.q[0] * scale), scale), 1 - b)
        if a <= 0 or not 0 < b < 1:
            continue
        truth = rational_margin(margin, a, b)
        if truth >= Fraction(worst.claim):
            continue
        x, chance = _likeliest(worst.steps, n, float(a), float(b))
        if chance.sum() <= alpha * (1.0 + 2.0 * ROUNDING):
            continue
        missed = above(bound.at(x[:, 0], x[:, 1]), truth)
        total = float(chance[missed].sum()) * (1.0 - FORMULA_ERROR)
        if total > alpha * (1.0 + ROUNDING):
            law = {"q1": f"{float(a):.14g}", "q2": f"{float(b):.14g}"}
            text = f"{int(missed.sum())} of the (x1, x2) with n = {n}: {_corner(x[missed])}"
            return Witness(law, float(truth), text, total, False)
    return None


def _likeliest(
    steps: npt.NDArray[np.int64], n: int, q1: float, q2: float
) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return the likeliest outcomes of {x1 >= steps[x2]}, and their probabilities."""
    spread = [8.0 * math.sqrt(n * q * (1.0 - q)) + 30.0 for q in (q1, q2)]
    rows = np.arange(max(0, int(n * q2 - spread[1])), min(n, int(n * q2 + spread[1])) + 1)
    x2, parts = rows, []
    for j in x2:
        first = max(int(steps[j]), int(n * q1 - spread[0]), 0)
        last = min(n - int(j), int(n * q1 + spread[0]))
        if last >= first:
            x1 = np.arange(first, last + 1)
            parts.append(np.column_stack([x1, np.full(x1.size, j)]))
    x = np.concatenate(parts) if parts else np.empty((0, 2), dtype=np.int64)
    rest = n - x[:, 0] - x[:, 1]
    ways = gammaln(n + 1.0) - gammaln(x + 1.0).sum(axis=1) - gammaln(rest + 1.0)
    q3 = max(1.0 - q1 - q2, 0.0)
    chance = np.exp(ways + xlogy(x[:, 0], q1) + xlogy(x[:, 1], q2) + xlogy(rest, q3))
    keep = np.argsort(-chance)[:WITNESSES]
    return x[keep], chance[keep]


def _corner(x: npt.NDArray[np.int64]) -> str:
    """Return the likeliest outcomes as text."""
    return ", ".join(f"({a}, {b})" for a, b in x[:6]) + (", ..." if len(x) > 6 else "")


def tail_at(steps: npt.NDArray[np.int64], q1: float, q2: float) -> float:
    """Return P(X1 >= steps[X2]) at that distribution."""
    n = steps.size - 1
    return float(staircase_tail(steps, n, q1, q2, max(0.0, 1.0 - q1 - q2), NEGLECT))
