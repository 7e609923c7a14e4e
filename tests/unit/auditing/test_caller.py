"""Rows asked for one by one get the limits, and the failures, that each would get by itself."""

import itertools
import time

import numpy as np
import pytest

from rsverify.auditing.caller import Caller, _joined


def _seldom(row, _):
    if row.sum() % 3 == 0:
        raise ValueError("a third of them")
    return float(row[0])


ROWWISE = {
    "a float": lambda row, _: float(row[0]) / 40,
    "a numpy float": lambda row, _: np.float64(row[0]) / 40,
    "a float32": lambda row, _: np.float32(row[0]) / 40,
    "an integer": lambda row, _: int(row[0]),
    "a bool": lambda row, _: bool(row[0] > 3),
    "no dimension": lambda row, _: np.array(row[0] / 40),
    "one entry": lambda row, _: row[:1] / 40,
    "a list": lambda row, _: [row[0] / 40],
    "sometimes a float": lambda row, _: float(row[0]) if row[0] % 2 else np.array(row[0]),
    "sometimes another shape": lambda row, _: row[0] / 40 if row[0] % 2 else row,
    "two rows": lambda *_: np.ones((2, 2)),
    "a path": lambda row, _: np.cumsum(row),
    "half of it": lambda row, _: row[: len(row) // 2],
    "nothing": lambda *_: None,
    "text": lambda *_: "0.5",
    "complex": lambda *_: 0.5j,
    "masked": lambda *_: np.ma.masked_array([0.5], [True]),
    "NaN at times": lambda row, _: np.nan if row[0] % 4 == 0 else row[0] / 40,
    "beyond at times": lambda row, _: 3.0 if row[0] % 4 == 1 else np.nan,
    "infinite": lambda row, _: -np.inf if row[0] % 2 else np.inf,
    "raises": _seldom,
    "exits": lambda *_: exit(3),
    "sorts in place": lambda row, _: row.sort() or float(row[0]),
    "a huge integer": lambda row, _: 10**400 if row[0] % 2 else 10**30,
    "a pair": lambda row, _: (row[0] / 40 - 0.1, row[0] / 40 + 0.1),
    "a pair of columns": lambda row, _: np.array([[row[0] / 40], [0.9]]),
    "a pair of paths": lambda row, _: np.stack([np.cumsum(row), np.cumsum(row) + 1]),
}


def caller(bound, side, rowwise, layout):
    how = {"rowwise": True} if rowwise else {"alone": True}
    return Caller(bound, 0.05, side, (0.0, 1.0), layout=layout, **how)


@pytest.mark.parametrize("name", ROWWISE)
@pytest.mark.parametrize("side", ["lower", "upper", "two-sided"])
@pytest.mark.parametrize("rowwise", [True, False])
def test_rows_in_turn_are_judged_as_each_by_itself(name, side, rowwise):
    bound = ROWWISE[name]
    bound = bound if rowwise else (lambda data, alpha: [ROWWISE[name](data[0], alpha)])
    rng = np.random.default_rng(0)
    for rows, columns, layout in itertools.product((1, 2, 3, 17), (2, 3, 6), (None, "pair")):
        data = rng.integers(0, 20, (rows, columns))
        asked = caller(bound, side, rowwise, layout)
        got = asked.limits(data.copy())
        wanted = _joined([asked.row(data[i : i + 1]) for i in range(rows)])
        for one, other in zip(got[:3], wanted[:3], strict=True):
            np.testing.assert_array_equal(one, other)

        def in_order(limits):
            return sorted(limits.failures, key=lambda each: (each.kind, each.message))

        assert in_order(got) == in_order(wanted)


def test_a_function_of_one_row_is_judged_about_as_fast_as_it_runs():
    data = np.random.default_rng(0).integers(0, 20, (20_000, 2))
    asked = caller(lambda row, _: float(row[0]), "lower", True, None)
    start = time.process_time()
    for row in data:
        asked.bound(row.copy(), 0.05)
    bare = time.process_time() - start
    spent = []
    for _ in range(3):
        start = time.process_time()
        asked.limits(data)
        spent.append(time.process_time() - start)
    assert min(spent) < 8 * bare
