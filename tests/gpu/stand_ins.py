"""What a machine with a GPU may lack and this check does not measure: threads and progress bars.

The package itself needs joblib and rich. Where they are missing these stand in for them, so that
the acceptance script runs with torch, numba, scipy, pandas and pytest alone.
"""

from __future__ import annotations

import importlib.util
import sys
from types import ModuleType, SimpleNamespace
from typing import Any


class _Console:
    is_terminal = False
    file = None

    def __init__(self, **_: Any) -> None:
        pass


class _Progress:
    def __init__(self, *_: Any, **__: Any) -> None:
        self.tasks = [SimpleNamespace(elapsed=None)]

    def add_task(self, *_: Any, **__: Any) -> int:
        return 0

    def update(self, *_: Any, **__: Any) -> None:
        pass

    start = stop = update


class _Parallel:
    def __init__(self, **_: Any) -> None:
        pass

    def __call__(self, calls: Any) -> list[Any]:
        return [function(*args, **kwargs) for function, args, kwargs in calls]


def _delayed(function: Any) -> Any:
    return lambda *args, **kwargs: (function, args, kwargs)


def _column(*_: Any, **__: Any) -> None:
    return None


STAND_INS: dict[str, dict[str, Any]] = {
    "joblib": {
        "effective_n_jobs": lambda _=1: 1,
        "Parallel": _Parallel,
        "delayed": _delayed,
        "hash": lambda value: repr(value),
    },
    "rich": {},
    "rich.console": {"Console": _Console},
    "rich.progress": {
        "Progress": _Progress,
        **dict.fromkeys(
            ("BarColumn", "MofNCompleteColumn", "TextColumn", "TimeRemainingColumn"), _column
        ),
    },
}


def stand_in() -> list[str]:
    """Put stand-ins where packages are missing; return which."""
    missing = []
    for name in ("joblib", "rich"):
        try:
            there = importlib.util.find_spec(name) is not None
        except ModuleNotFoundError:
            there = False
        if there:
            continue
        missing.append(name)
        for module, content in STAND_INS.items():
            if module.partition(".")[0] == name:
                made = ModuleType(module)
                made.__dict__.update(content)
                sys.modules[module] = made
    return missing
