"""`audit_command`: a bound that is a program in another language."""

from __future__ import annotations

import contextlib
import errno
import os
import shlex
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rsverify._core.check import FloatArray, check_choice, check_positive, shown
from rsverify._core.types import AuditEstimandName, AuditMethodName, Side
from rsverify.auditing.api import audit
from rsverify.auditing.caller import SIDES
from rsverify.auditing.design import Progress
from rsverify.auditing.estimand import Data, Estimand, Parameters
from rsverify.auditing.report import AuditReport
from rsverify.auditing.sample_call import SampleCall, sample_call
from rsverify.auditing.verdict import FALSE_ALARM, TOLERANCE

__all__ = ["audit_command"]

TIMEOUT = 600.0
TAIL = 300  # characters of what a program that crashed has said last
_MISSING = {"NA": "nan", "NULL": "nan"}  # as R writes numbers that are none


class CommandCrashError(RuntimeError):
    """The program ended with an error: a failure of the bound on these data."""


@dataclass
class CommandBound:
    """A program as a bound: rows as CSV on its standard input, limits on its standard output.

    A crash is raised where a row alone does it. Which rows of a batch do is found by halving, and
    the answers are kept until the rows have been asked for one by one, as an audit then does.
    What is wrong with the program itself, and no failure of the bound, is in `stopped`: an audit
    takes whatever is raised for a failure.
    """

    command: tuple[str, ...]
    side: Side
    timeout: float = TIMEOUT
    costly: bool = True
    stopped: Exception | None = field(default=None, compare=False)
    _kept: dict[bytes, list[FloatArray | CommandCrashError]] = field(default_factory=dict)

    @property
    def __name__(self) -> str:
        """How reports call it."""
        return shlex.join(self.command)

    def __call__(self, data: Data, alpha: float) -> FloatArray:
        """Return the limits of the rows of `data`."""
        if self.stopped is not None:
            raise self.stopped
        if data.ndim < 2:
            raise TypeError("a program gets rows of data")
        kept = self._kept.get(data.tobytes()) if len(data) == 1 else None
        if kept:
            return _limits([kept.pop()])
        self._kept.clear()
        try:
            answers = self._answers(data, alpha)
        except (ValueError, OSError) as error:
            self.stopped = error
            raise
        if len(data) > 1 and any(isinstance(a, CommandCrashError) for a in answers):
            for row, answer in zip(data, answers, strict=True):
                self._kept.setdefault(row.tobytes(), []).append(answer)
        return _limits(answers)

    def _answers(self, data: Data, alpha: float) -> list[FloatArray | CommandCrashError]:
        """Return the limits of each row, or its crash."""
        try:
            return list(self._run(data, alpha))
        except CommandCrashError as error:
            if len(data) == 1:
                return [error]
        half = len(data) // 2
        return self._answers(data[:half], alpha) + self._answers(data[half:], alpha)

    def _run(self, data: Data, alpha: float) -> FloatArray:
        """Return the limits (R, columns) that one process prints for these rows."""
        flat = data.reshape(len(data), -1).tolist()
        text = "".join(",".join(map(repr, row)) + "\n" for row in flat)
        level = repr(float(alpha))
        command = [part.replace("{alpha}", level) for part in self.command]
        if command == list(self.command):
            command.append(level)
        out, err, code = _communicate(command, text, self.timeout, len(data))
        if code != 0:
            how = f"signal {-code}" if code < 0 else f"exit code {code}"
            said = " ".join(err.split())
            said = said if len(said) <= TAIL else f"… {said[-TAIL:]}"
            raise CommandCrashError(f"{how}: {said}" if said else how)
        return self._read(out, len(data))

    def _read(self, out: str, rows: int) -> FloatArray:
        lines = out.rstrip().splitlines()
        called = f"command={shlex.join(self.command)!r}"
        if len(lines) != rows:
            first = f", first {lines[0][:60]!r}" if lines else ""
            raise ValueError(
                f"{called} must print one line for each of {rows} lines of input; it printed "
                f"{len(lines)}{first}"
            )
        wanted = "two limits" if self.side == "two-sided" else "one limit"
        values = [_numbers(line) for line in lines]
        for line, each in zip(lines, values, strict=True):
            if each is None or len(each) != len(values[0] or ()):
                raise ValueError(
                    f"{called} must print {wanted} a line, as numbers and the same on each; it "
                    f"printed {line[:60]!r}"
                )
        array = np.array(values, dtype=np.float64)
        if self.side == "two-sided" and array.shape[1] != 2:
            raise ValueError(f"{called} must print {wanted} a line; it printed {lines[0][:60]!r}")
        return array


def _limits(answers: list[FloatArray | CommandCrashError]) -> FloatArray:
    """Return the limits of rows; raise the first crash."""
    rows = []
    for answer in answers:
        if isinstance(answer, CommandCrashError):
            raise answer
        rows.append(answer)
    limits = np.stack(rows)
    return limits[:, 0] if limits.shape[1] == 1 else limits


def _numbers(line: str) -> list[float] | None:
    """Return the numbers of a line, None where it holds something else."""
    parts = line.replace(",", " ").replace('"', " ").split()
    try:
        return [float(_MISSING.get(part, part)) for part in parts] or None
    except ValueError:
        return None


def _communicate(command: list[str], text: str, timeout: float, rows: int) -> tuple[str, str, int]:
    """Return what a process prints, and its exit code; it is gone afterwards."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # so that what it has started ends with it
        )
    except FileNotFoundError:
        raise FileNotFoundError(
            errno.ENOENT, "no such program; is it installed, and on PATH?", command[0]
        ) from None
    except PermissionError as error:
        raise ValueError(f"command={shown(command[0])} must be a program: {error}") from None
    try:
        out, err = process.communicate(text, timeout=timeout)
    except subprocess.TimeoutExpired:
        _kill(process)
        raise ValueError(
            f"command={shlex.join(command)!r} gave no answer to {rows} lines in {timeout:g} s: "
            "it hangs, or needs a larger timeout"
        ) from None
    except BaseException:
        _kill(process)
        raise
    return out, err, process.returncode


def _kill(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.communicate()


def as_bound(command: Sequence[str], side: Side | None, timeout: float) -> CommandBound:
    """Return a program as a bound, or raise."""
    if isinstance(command, str) or not all(isinstance(part, str) for part in command):
        raise TypeError(
            f"command={shown(command)} must be a list of texts, such as ['Rscript', 'bound.R']"
        )
    if not command:
        raise ValueError("command=[] must name a program")
    claimed = "lower" if side is None else check_choice("side", side, SIDES)
    return CommandBound(tuple(command), claimed, float(check_positive("timeout", timeout)))


def try_command(
    bound: CommandBound,
    *,
    estimand: AuditEstimandName | Estimand,
    n: int,
    alpha: float,
    scenarios: Mapping[str, Parameters] | None = None,
) -> SampleCall:
    """Return what one call of a program returns; raise where it is of no use."""
    try:
        return sample_call(
            bound, estimand=estimand, n=n, alpha=alpha, side=bound.side, scenarios=scenarios
        )
    except (TypeError, ValueError):
        if bound.stopped is not None:
            raise bound.stopped from None
        raise


def audit_command(
    command: Sequence[str],
    *,
    estimand: AuditEstimandName | Estimand = "mean",
    n: int,
    alpha: float,
    side: Side | None = None,
    scenarios: Mapping[str, Parameters] | None = None,
    method: AuditMethodName = "auto",
    replications: int | None = None,
    tolerance: float = TOLERANCE,
    false_alarm: float = FALSE_ALARM,
    seed: int = 0,
    store: str | os.PathLike[str] | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    timeout: float = TIMEOUT,
) -> AuditReport:
    """Find out whether a bound covers that is a program, in R or any other language.

    Parameters
    ----------
    command : sequence of str
        The program and its arguments, such as ``["Rscript", "bound.R"]``; no shell is asked. A
        process gets many replications: one a line of its standard input, numbers separated by
        commas, without a heading. It prints their limits, one line for each line read: one
        number, or two for two sides. `alpha` is its last argument, or stands wherever
        ``"{alpha}"`` does. ``NA``, ``NaN``, ``Inf`` and ``-Inf`` are read as R writes them. All 17
        digits of a limit should be printed (in R, ``format(limits, digits = 17)``): what is
        audited is what is printed.
    estimand : str or Estimand, default "mean"
        What is bounded, and so what a line holds: as `rsverify.audit` takes it. Successes and
        failures, votes, a sample; rows of scores one after the other.
    n, alpha, side, scenarios, method, replications
        As `rsverify.audit` takes them.
    tolerance, false_alarm, seed, store, resume, progress
        As `rsverify.audit` takes them.
    timeout : float, default 600
        Seconds that one process may take.

    Returns
    -------
    AuditReport
        As `rsverify.audit` returns it. A process that ends with an exit code other than 0 is a
        failure of the bound on the replications that cause it, with the end of its standard error.

    Raises
    ------
    FileNotFoundError
        If there is no such program.
    ValueError
        If it prints another number of lines, something other than numbers, or nothing in time;
        or if it crashes on every replication.

    Notes
    -----
    *Guarantee.* That of `rsverify.audit`. A program that answers otherwise on another day or
    machine is judged by what it did here.

    Examples
    --------
    >>> import sys
    >>> from rsverify import audit_command
    >>> program = '''
    ... import math, sys
    ... alpha = float(sys.argv[1])
    ... for line in sys.stdin:
    ...     x = [float(part) for part in line.split(",")]
    ...     print(sum(x) / len(x) - math.sqrt(math.log(1 / alpha) / (2 * len(x))))
    ... '''
    >>> report = audit_command([sys.executable, "-c", program], n=20, alpha=0.1)
    >>> print(report.verdict)
    supported
    """
    bound = as_bound(command, side, timeout)
    try_command(bound, estimand=estimand, n=n, alpha=alpha, scenarios=scenarios)
    try:
        report = audit(
            bound,
            estimand=estimand,
            n=n,
            alpha=alpha,
            side=bound.side,
            scenarios=scenarios,
            method=method,
            replications=replications,
            tolerance=tolerance,
            false_alarm=false_alarm,
            seed=seed,
            store=store,
            resume=resume,
            progress=progress,
        )
    except (TypeError, ValueError):
        if bound.stopped is not None:
            raise bound.stopped from None
        raise
    if bound.stopped is not None:
        raise bound.stopped
    return report
