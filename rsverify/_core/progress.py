"""Progress on a terminal: how many inputs, how fast, how long still."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class InputProgress:
    """A bar on standard error over `total` inputs; nothing where that is not a terminal.

    It appears at the first advance after `patience` seconds, at once where that is 0.
    """

    def __init__(
        self, title: str, total: int, *, shown: bool = True, patience: float = 0.0
    ) -> None:
        console = Console(stderr=True)
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not (shown and console.is_terminal),
        )
        self._task = self._bar.add_task(title, total=total, rate="")
        self._samples = 0
        self._patience = patience
        self._started = False

    def advance(self, inputs: float, samples: int = 0) -> None:
        """Tell of inputs that are done and of model evaluations."""
        self._samples += samples
        elapsed = self._bar.tasks[self._task].elapsed
        rate = f"{self._samples / elapsed:,.0f} samples/s" if samples and elapsed else ""
        self._bar.update(self._task, advance=inputs, rate=rate)
        self._start_in_time()

    def _start_in_time(self) -> None:
        if not self._started and time.monotonic() - self._begun >= self._patience:
            self._started = True
            self._bar.start()

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        self._start_in_time()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._started:
            self._bar.stop()
