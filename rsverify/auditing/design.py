"""What an audit is asked: frozen, and all that determines its report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np

from rsverify import __version__
from rsverify._core.check import check_takes, shown
from rsverify._core.types import Side

LARGEST_N = 10_000_000
FLOAT_ERRORS: np.errstate = np.errstate(divide="warn", over="warn", under="ignore", invalid="warn")
"""numpy's own defaults: an audit does not depend on what its caller has set."""

Progress = Callable[[int, int], object]


def check_told(progress: object) -> Progress | None:
    """Return what is told how far an audit is, None for False too, or raise where it cannot be."""
    if progress is None or progress is False:
        return None
    if isinstance(progress, type) or not callable(progress):
        raise TypeError(
            f"progress={shown(progress)} must be a callable that is given how much is done and of "
            "how much, or None"
        )
    check_takes("progress", progress, ("done", "total"))
    return progress


"""Called with the replications done (or no longer needed) and those of the whole budget."""

Record = dict[str, object]
"""A design as a report keeps it."""


FIGURES = (".png", ".pdf", ".svg")
"""Endings of files that a figure can be drawn into."""


@dataclass(frozen=True)
class Design:
    """What determines the result of an audit, bit for bit, beside the bound and its scenarios."""

    bound: str  # its name
    estimand: str  # its name
    side: Side
    n: int
    alpha: float
    seed: int = 0
    replications: int = 20_000
    tolerance: float = 0.2
    false_alarm: float = 1e-3

    def record(self, **more: object) -> Record:
        """Return the design for a report, with what was found out about it."""
        return {"version": __version__, "kind": "coverage", **asdict(self), **more}
