"""The skeleton of a new bound and of its test, as ``rsverify new-bound`` writes them."""

from __future__ import annotations

import keyword
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

from rsverify._core.check import check_choice
from rsverify._core.files import write_file
from rsverify._core.types import Side, SkeletonEstimandName

__all__ = ["write_skeleton"]

_BOUND = '''"""{title}"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

Data = npt.NDArray[np.{kind}]
Limits = npt.NDArray[np.float64]


def {name}(data: Data, alpha: float) -> Limits:
    """Return {what} of each row.

    Hoeffding's, which covers for every distribution{where}: put your own here.

    Parameters
    ----------
    data : array (R, {columns})
        {data}
    alpha : float
        Probability with which the bound may fail to cover, in (0, 1).

    Returns
    -------
    array ({shape})
        {limits}
    """
    n = {size}
    estimate: Limits = {estimate}
    width = {range}math.sqrt(math.log({sides} / alpha) / (2 * n))
{result}
'''

_TEST = '''"""{title}"""

from __future__ import annotations

import numpy as np
import pytest
from rsverify.testing import assert_covers

from {module} import {name} as bound


@pytest.mark.parametrize("n", [5, 40])
@pytest.mark.parametrize("alpha", [0.2, 0.05])
def test_it_covers(n: int, alpha: float) -> None:
    """The audit of `rsverify`, with a fixed seed: what passes once passes again."""
    report = assert_covers(
        bound,
        estimand="{estimand}",
        side="{side}",
        n=n,
        alpha=alpha,
    )
    print(report.power)  # shown by pytest -rP


def test_each_row_has_its_own_limit() -> None:
    """Rows do not change with what else is in the batch."""
    data = np.array({example}{dtype})
    whole = bound(data, 0.05)
    for i in range(len(data)):
        np.testing.assert_array_equal(bound(data[i : i + 1], 0.05)[0], whole[i])
'''

_DATA: Mapping[SkeletonEstimandName, Mapping[str, str]] = {
    "mean": {
        "kind": "float64",
        "where": " on [0, 1]",
        "columns": "n",
        "data": "Samples of n numbers in [0, 1].",
        "size": "data.shape[1]",
        "estimate": "data.mean(axis=1)",
        "range": "",
        "example": "[[0.0, 0.5, 1.0], [0.2, 0.2, 0.2], [1.0, 1.0, 1.0]]",
        "dtype": "",
    },
    "proportion": {
        "kind": "int64",
        "where": "",
        "columns": "2",
        "data": "Successes and failures.",
        "size": "int(data[0].sum())",
        "estimate": "data[:, 0] / n",
        "range": "",
        "example": "[[0, 9], [4, 5], [9, 0]]",
        "dtype": ", dtype=np.int64",
    },
    "difference": {
        "kind": "int64",
        "where": "",
        "columns": "classes",
        "data": "Votes of each class; the margin is that of column 0 over the others.",
        "size": "int(data[0].sum())",
        "estimate": "(data[:, 0] - data[:, 1:].max(axis=1)) / n",
        "range": "2 * ",
        "example": "[[0, 9, 0], [4, 3, 2], [9, 0, 0]]",
        "dtype": ", dtype=np.int64",
    },
}
_SIDES: Mapping[Side, Mapping[str, str]] = {
    "lower": {
        "what": "a lower confidence bound",
        "shape": "R,",
        "limits": "One limit per row.",
        "sides": "1",
        "result": "    return estimate - width",
    },
    "upper": {
        "what": "an upper confidence bound",
        "shape": "R,",
        "limits": "One limit per row.",
        "sides": "1",
        "result": "    return estimate + width",
    },
    "two-sided": {
        "what": "a confidence interval",
        "shape": "R, 2",
        "limits": "The lower and the upper limit of each row.",
        "sides": "2",
        "result": "    limits: Limits = np.column_stack([estimate - width, estimate + width])\n"
        "    return limits",
    },
}


def write_skeleton(
    path: str | Path, *, estimand: SkeletonEstimandName = "mean", side: Side = "lower"
) -> tuple[Path, Path]:
    """Write a bound that covers, to be replaced by one's own, and its test beside it.

    Parameters
    ----------
    path : path-like
        The file of the bound, ending in ``.py``; its stem is the name of the function. The test
        is ``test_`` and the same name, in the same folder.
    estimand : {"mean", "proportion", "difference"}, default "mean"
        What is bounded.
    side : {"lower", "upper", "two-sided"}, default "lower"
        On which side.

    Returns
    -------
    (Path, Path)
        The two files.

    Raises
    ------
    ValueError
        If the file's name is not that of a Python function.
    FileExistsError
        If one of the two files exists: neither is then written.

    Notes
    -----
    *Guarantee.* None; the function written is Hoeffding's bound, which covers.

    Examples
    --------
    >>> import tempfile
    >>> from rsverify.auditing.skeleton import write_skeleton
    >>> files = write_skeleton(tempfile.mkdtemp() + "/my_bound.py", side="upper")
    >>> [file.name for file in files]
    ['my_bound.py', 'test_my_bound.py']
    """
    check_choice("estimand", estimand, get_args(SkeletonEstimandName))
    check_choice("side", side, get_args(Side))
    file = Path(path)
    name = file.stem
    if file.suffix != ".py" or not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"path={str(path)!r} must be the name of a function and .py: my_bound.py")
    test = file.with_name(f"test_{file.name}")
    words = {
        **_DATA[estimand],
        **_SIDES[side],
        "name": name,
        "module": name,
        "estimand": estimand,
        "side": side,
        "title": f"A {side} bound of a {estimand}.",
    }
    for each in (file, test):
        if each.exists():
            raise FileExistsError(f"{each} exists already: name another file")
    write_file(file, _BOUND.format(**words))
    write_file(test, _TEST.format(**{**words, "title": f"What `{name}` claims, audited."}))
    return file, test
