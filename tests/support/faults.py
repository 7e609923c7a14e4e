"""Make the k-th call of the system fail, or be the last one, in a process of its own.

Counted are the calls that change something below one folder: open to write, write, fsync,
ftruncate, close, replace, unlink, mkdir. A call can kill the process before it is made or, of a
write, after half of it; or it fails with an error, of a write after half of it.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

KILLED, RAISED, WRONG = 77, 1, 99
FAULTS = ("kill", "kill within", "error", "error within")
_OF_PATHS = ("open", "replace", "unlink", "mkdir", "rmdir", "rename", "truncate")
_OF_FILES = ("write", "fsync", "ftruncate", "close")


class Faults:
    """Wraps the calls of `os`; `calls` holds the names of those made below `folder`."""

    def __init__(self, folder: Path, at: int | None = None, fault: str = "kill") -> None:
        self.calls: list[str] = []
        self._folder, self._at, self._fault = str(folder), at, fault
        self._files: set[int] = set()
        self._broken = False

    def install(self) -> None:
        """Put the wrappers in the place of the calls, for the rest of the process."""
        for name in _OF_PATHS + _OF_FILES:
            setattr(os, name, self._wrapped(name, getattr(os, name)))

    def _wrapped(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(first: Any, *rest: Any, **options: Any) -> Any:
            if name in _OF_FILES:
                concerned = first in self._files
            else:
                concerned = str(first).startswith(self._folder)
            if not concerned:
                return real(first, *rest, **options)
            number = len(self.calls)
            self.calls.append(name)
            if number == self._at:
                self._fail(name, real, first, *rest)
            elif self._broken and name == "write":  # a disk that is full stays full
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            result = real(first, *rest, **options)
            if name == "open":
                self._files.add(result)
            if name == "close":
                self._files.discard(first)
            return result

        return call

    def _fail(self, name: str, real: Callable[..., Any], first: Any, *rest: Any) -> None:
        """Do what the fault is, at this call."""
        if name == "write" and self._fault.endswith("within"):
            data = bytes(rest[0])
            real(first, data[: len(data) // 2])
        if self._fault.startswith("kill"):
            os._exit(KILLED)
        if name == "close":
            real(first)  # a file is closed even where that reports an error
            self._files.discard(first)
        self._broken = name == "write"
        raise OSError(errno.EIO, os.strerror(errno.EIO))


def in_child(work: Callable[[], object], faults: Faults) -> tuple[int, list[str]]:
    """Run `work` in a forked process under faults; return its exit code and its calls."""
    out, into = os.pipe()
    child = os.fork()
    if not child:
        code = WRONG
        try:
            real = os.write
            faults.install()
            try:
                work()
                code = 0
            except OSError:
                code = RAISED
            real(into, "\n".join(faults.calls).encode())
        except BaseException:
            traceback.print_exc()
            sys.stderr.flush()
        finally:
            os._exit(code)
    os.close(into)
    with os.fdopen(out) as pipe:
        calls = pipe.read().split("\n")
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), calls


def content(folder: Path) -> dict[str, bytes]:
    """Return all files of a folder, by their names."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def try_every_call(
    folder: Path,
    prepare: Callable[[Path], object],
    work: Callable[[Path], object],
    again: Callable[[Path], object] | None = None,
    *,
    step: int = 1,
) -> list[str]:
    """Break `work` at every call, do it again undisturbed, and return what went wrong.

    Parameters
    ----------
    folder : Path
        For folders of its own: one undisturbed, and one for each fault.
    prepare, work, again : callable
        Take a folder. `again` is what a user does after a fault; by default `work`.
    step : int
        Break each step-th call only.
    """
    whole = folder / "undisturbed"
    whole.mkdir()
    prepare(whole)
    code, calls = in_child(lambda: work(whole), Faults(whole))
    if code:
        return [f"undisturbed it ended with {code}"]
    wanted = content(whole)
    print(len(calls), "calls:", " ".join(calls))
    wrong = []
    for at in range(0, len(calls), step):
        for fault in FAULTS if calls[at] == "write" else FAULTS[::2]:
            here = folder / f"{at} {fault}"
            here.mkdir()
            prepare(here)
            code, _ = in_child(lambda here=here: work(here), Faults(here, at, fault))
            name = f"{fault} at call {at}, {calls[at]}"
            if code not in (KILLED, RAISED, 0) or (fault.startswith("kill") and code != KILLED):
                wrong.append(f"{name}: ended with {code}")
                continue
            ended, _ = in_child(lambda here=here: (again or work)(here), Faults(here))
            if ended:
                wrong.append(f"{name}: the next run ended with {ended}")
            elif content(here) != wanted:
                wrong.append(f"{name}: {_difference(content(here), wanted)}")
    return wrong


def _difference(found: dict[str, bytes], wanted: dict[str, bytes]) -> str:
    if found.keys() != wanted.keys():
        return f"the files are {sorted(found)} and must be {sorted(wanted)}"
    return f"{[name for name in found if found[name] != wanted[name]]} differ"
