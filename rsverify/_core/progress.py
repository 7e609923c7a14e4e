"""How far a run is, how fast, and how long it still takes: one protocol, and where it is shown.

A run advances an `InputProgress`, which makes a `ProgressUpdate` of it for one display: a bar on a
terminal, a line in a notebook, log lines elsewhere, a callable of the caller's. Any object with the
two methods of `ProgressDisplay` is one.
"""

from __future__ import annotations

import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self, runtime_checkable

import numpy as np

from rsverify._core.check import check_takes, shown
from rsverify._core.text import duration

if TYPE_CHECKING:
    from rich.console import Console

LONG = 5.0
"""Of runs that take fewer seconds nothing is said where nobody asked."""
_SETTLED = 1.0  # second: what the first batches took says little of the others until then
_BAR = 16  # columns
_LINE_EVERY = 30.0  # seconds from one log line to the next, and
_LINE_SHARE = 0.05  # no less than this share of the whole run


@dataclass(frozen=True, kw_only=True)
class ProgressUpdate:
    """How far a run is."""

    title: str
    """What is being done."""
    unit: str
    """What is counted."""
    done: float
    """How many of them are done."""
    total: float
    """How many there are."""
    samples: int
    """Model evaluations so far."""
    seconds: float
    """Time taken so far."""
    remaining: float | None
    """Seconds left, as estimated; None before anything is done."""
    at_most: bool
    """Whether that is the most it can be: sampling may stop early."""

    @property
    def whole(self) -> float:
        """Return the seconds of the whole run, as estimated; what has passed before that."""
        return self.seconds + (self.remaining or 0.0)

    @property
    def rate(self) -> str:
        """Return the model evaluations per second; empty before there are any."""
        if not self.samples or not self.seconds:
            return ""
        return f"{self.samples / self.seconds:,.0f} samples/s"

    @property
    def left(self) -> str:
        """Return the time left; empty before it is known."""
        if not self.remaining:
            return ""
        return f"{'at most' if self.at_most else 'about'} {duration(self.remaining)} left"

    def __str__(self) -> str:
        if not self.total:
            return self.title
        count = f"{self.title}: {int(self.done):,} of {int(self.total):,} {self.unit}"
        return ", ".join(filter(None, (count, self.rate, self.left)))


@runtime_checkable
class ProgressDisplay(Protocol):
    """Where progress is shown. Called in the thread of the run, after each batch."""

    def show(self, update: ProgressUpdate) -> None:
        """Show how far the run is."""

    def close(self) -> None:
        """Leave off: the run is over, or has failed."""


ProgressOption = bool | Callable[[int], object] | ProgressDisplay | None
"""What `progress` may be: True shows it, False does not, None does where a run takes long; a
callable is given the size of each batch; an object with `show` and `close` is given updates."""


class InputProgress:
    """How many of `total` units are done, told to a display.

    Parameters
    ----------
    title : str
        What is being done.
    total : int
        How many units there are; 0 where that is told later, by `reach`.
    shown : bool, callable, ProgressDisplay or None
        Where; see `ProgressOption`.
    patience : float
        Nothing is shown until the whole run, as estimated, takes more seconds than this.
    unit : str
        What the units are called.
    samples_each : int, optional
        How many model evaluations a unit takes, at most. Time is then estimated by them, from the
        first batch; else by the units that are done.
    early : bool
        Whether a unit may take fewer.
    """

    def __init__(
        self,
        title: str,
        total: float,
        *,
        shown: ProgressOption = True,
        patience: float = 0.0,
        unit: str = "inputs",
        samples_each: int | None = None,
        early: bool = False,
    ) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._each, self._early = samples_each, early
        self._display = display_of(shown)
        if shown is None:
            patience = max(patience, LONG)
        # Who gives a display of his own wants to see all of it.
        self._patience = patience if shown is None or isinstance(shown, bool) else 0.0
        self._settled = _SETTLED if shown is None else 0.0
        self._done, self._samples = 0.0, 0
        self._started = False

    def advance(self, units: float, samples: int = 0) -> None:
        """Tell of units that are done and of model evaluations."""
        self._done += units
        self._samples += samples
        self._show()

    def hide(self) -> None:
        """Take a bar away until the next advance, so that something can be printed."""
        if isinstance(self._display, TerminalBar):
            self._display.close()

    def reach(self, done: float, total: float) -> None:
        """Tell how many units are done, of how many there now are."""
        self._done, self._total = done, total
        self._show()

    def _show(self) -> None:
        update = self._update()
        if update.whole >= self._patience and update.seconds >= self._settled:
            self._started = True
        if self._started:
            self._display.show(update)

    def _update(self) -> ProgressUpdate:
        seconds = time.monotonic() - self._begun
        remaining, at_most = None, False
        if self._done > 0 and (self._each is None or (self._early and self._each > 1)):
            remaining = seconds / self._done * (self._total - self._done)
            at_most = self._early and self._each is None
        elif self._samples and self._each is not None:
            left = self._each * self._total - self._samples
            remaining, at_most = max(0.0, seconds / self._samples * left), self._early
        return ProgressUpdate(
            title=self._title,
            unit=self._unit,
            done=self._done,
            total=self._total,
            samples=self._samples,
            seconds=seconds,
            remaining=remaining,
            at_most=at_most,
        )

    def __enter__(self) -> Self:
        self._begun = time.monotonic()
        self._show()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._display.close()


def check_progress(progress: object) -> ProgressOption:
    """Return `progress`, or raise where it is nothing that progress can be shown by."""
    if isinstance(progress, bool | np.bool_):
        return bool(progress)
    a_class = isinstance(progress, type)
    if progress is None or (isinstance(progress, ProgressDisplay) and not a_class):
        return progress
    if a_class or not callable(progress):
        raise TypeError(
            f"progress={shown(progress)} must be True, False, None, a callable that is given the "
            "size of each batch, or an object with the methods show and close"
        )
    check_takes("progress", progress, ("size",))
    return progress


def display_of(progress: ProgressOption) -> ProgressDisplay:
    """Return where progress is shown."""
    if progress is None or progress is True:
        if _in_notebook():
            return NotebookLine()
        console = _console()
        return LogLines() if console is None or not is_live(console) else TerminalBar(console)
    if progress is False:
        return Nowhere()
    return progress if isinstance(progress, ProgressDisplay) else BatchSizes(progress)


def _console() -> Console | None:
    """Return rich's console of standard error, None where it is not installed."""
    state = random.getstate()  # the caller's: rich draws from it when it is imported
    try:
        from rich.console import Console
    except ModuleNotFoundError:
        return None
    finally:
        random.setstate(state)
    return Console(stderr=True)


def is_live(console: Console) -> bool:
    """Return whether a console is a terminal on which a line can be written over.

    Where colors are forced, into a log, it calls itself a terminal and is none.
    """
    isatty = getattr(console.file, "isatty", None)
    real = isatty is not None and isatty()
    return real and console.is_terminal and not console.is_dumb_terminal


class Nowhere:
    """Shows nothing."""

    def show(self, update: ProgressUpdate) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Do nothing."""


class BatchSizes:
    """Gives a callable the size of each batch."""

    def __init__(self, told: Callable[[int], object]) -> None:
        self._told, self._samples = told, 0

    def show(self, update: ProgressUpdate) -> None:
        """Tell of the evaluations since the last time."""
        if size := update.samples - self._samples:
            self._samples = update.samples
            self._told(size)

    def close(self) -> None:
        """Do nothing."""


class TerminalBar:
    """A bar on standard error, removed at the end; where there is little room, on two lines."""

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn
        from rich.table import Column

        self._bar = Progress(
            BarColumn(bar_width=_BAR),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=False)),
            console=console,
            transient=True,
            # What is printed while the bar stands goes above it; into a file it goes as it is.
            redirect_stdout=sys.stdout.isatty(),
        )
        self._task = self._bar.add_task("", total=None)

    def show(self, update: ProgressUpdate) -> None:
        """Move the bar."""
        total = update.total or None  # without one it goes to and fro
        self._bar.update(self._task, description=str(update), total=total, completed=update.done)
        self._bar.start()

    def close(self) -> None:
        """Remove it."""
        self._bar.stop()


class LogLines:
    """A line on standard error now and then, of runs that take long: for what keeps a log.

    The first comes with the first batch that ends after a second.
    """

    def __init__(self) -> None:
        self._next, self._last = _SETTLED, ""
        self._update: ProgressUpdate | None = None

    def show(self, update: ProgressUpdate) -> None:
        """Write a line, where one is due: the first as soon as an estimate of the time is had."""
        self._update = update
        if update.remaining is None or update.whole < LONG or update.seconds < self._next:
            return
        self._next = update.seconds + max(_LINE_EVERY, _LINE_SHARE * update.whole)
        self._write(update)

    def _write(self, update: ProgressUpdate) -> None:
        self._last = str(update)
        print(self._last, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Write how it ended, where anything was written."""
        if self._last and self._update is not None and self._last != str(self._update):
            self._write(self._update)


class NotebookLine:
    """A line below the cell that runs, which is written over."""

    def __init__(self) -> None:
        self._line: Any = None
        self._shown = 0.0

    def show(self, update: ProgressUpdate) -> None:
        """Write the line, a few times a second at most."""
        now = time.monotonic()
        if self._line is not None and now - self._shown < 0.2 and update.done < update.total:
            return
        self._shown = now
        text = {"text/plain": str(update)}
        if self._line is None:
            from IPython.display import display  # type: ignore[import-not-found, unused-ignore]

            put: Callable[..., Any] = display  # untyped where it is installed
            self._line = put(text, raw=True, display_id=True)
        elif self._line is not None:
            self._line.update(text, raw=True)

    def close(self) -> None:
        """Leave the line as it is."""


def _in_notebook() -> bool:
    """Return whether a kernel of a notebook runs this, and not a terminal."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None
