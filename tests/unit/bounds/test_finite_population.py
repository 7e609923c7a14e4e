"""The share of a finite population: exact coverage over all orders, at every time."""

from __future__ import annotations

from functools import lru_cache
from math import comb

import numpy as np
import pytest

from rsverify.bounds.finite_population import population_share_interval


@lru_cache(maxsize=100_000)
def interval(k: int, t: int, size: int, alpha: float) -> tuple[float, float]:
    lower, upper = population_share_interval(k, t, size, alpha)
    return float(lower), float(upper)


def holds(share: float, lower: float, upper: float) -> bool:
    return lower - 1e-12 <= share <= upper + 1e-12


def ever_outside(total: int, size: int, alpha: float, *, start: int = 1) -> float:
    """Return the probability, over all orders, that the share is ever outside."""
    share = total / size
    alive = {0: 1.0}  # successes so far -> probability of having been inside all the time
    for t in range(1, size + 1):
        after: dict[int, float] = {}
        for k, p in alive.items():
            left, hits = size - t + 1, total - k
            for step, q in ((1, hits / left), (0, 1 - hits / left)):
                if q > 0:
                    after[k + step] = after.get(k + step, 0.0) + p * q
        if t >= start:
            after = {k: p for k, p in after.items() if holds(share, *interval(k, t, size, alpha))}
        alive = after
    return 1.0 - sum(alive.values())


@pytest.mark.parametrize("size", [1, 2, 7, 20, 60])
@pytest.mark.parametrize("alpha", [0.3, 0.05, 0.001])
def test_it_covers_at_all_times_whatever_the_share(size: int, alpha: float) -> None:
    worst = max(ever_outside(total, size, alpha) for total in range(size + 1))
    assert worst <= alpha + 1e-9
    if size == 60 and alpha == 0.3:
        assert worst > 0.05  # the search can fail a bound that does not cover


def test_intervals_that_are_narrower_do_not_cover(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pointwise interval at every time does not: the enumeration finds it."""
    from rsverify.bounds.proportion import clopper_pearson_interval

    def pointwise(k: int, t: int, size: int, alpha: float) -> tuple[float, float]:  # noqa: ARG001
        lower, upper = clopper_pearson_interval(k, t, alpha)
        return float(lower), float(upper)

    monkeypatch.setitem(globals(), "interval", pointwise)
    assert max(ever_outside(total, 60, 0.3) for total in range(0, 61, 15)) > 0.3


def test_all_orders_are_as_probable_as_counted() -> None:
    """The recursion over draws against all orders of a population of 8, one by one."""
    from itertools import combinations

    size, total, alpha = 8, 3, 0.4
    out = 0
    for places in combinations(range(size), total):
        ones = np.isin(np.arange(size), places)
        inside = True
        for t in range(1, size + 1):
            lower, upper = interval(int(ones[:t].sum()), t, size, alpha)
            inside &= holds(total / size, lower, upper)
        out += not inside
    assert out / comb(size, total) == pytest.approx(ever_outside(total, size, alpha))


def test_it_narrows_to_a_point() -> None:
    widths = [
        float(np.diff(interval(round(0.7 * t), t, 1000, 0.05))[0]) for t in (0, 10, 100, 500, 1000)
    ]
    assert widths[0] == 1.0
    assert widths == sorted(widths, reverse=True)
    assert widths[-1] == 0.0
    assert interval(0, 3, 3, 0.05) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, 2, 10, 0.05), "successes=3 must be"),
        ((1, 11, 10, 0.05), "drawn=11 must be"),
        ((0, 0, 0, 0.05), "population=0 must be"),
        ((1, 2, 10, 1.5), "alpha=1.5 must be"),
    ],
)
def test_what_is_refused(arguments: tuple[int, int, int, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        population_share_interval(*arguments)
