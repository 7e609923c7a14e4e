"""Whatever ends a command: one line, and an exit code that scripts can tell apart."""

from __future__ import annotations

import errno
import os
import re
import traceback
from typing import NamedTuple

from rsverify._core.errors import DataError, UnavailableError, cause_of
from rsverify._core.optional import EXTRA_OF, missing

# From sysexits.h: what a script can tell apart.
EXIT_USAGE = 64
EXIT_DATA = 65
EXIT_NO_INPUT = 66
EXIT_UNAVAILABLE = 69
EXIT_INTERNAL = 70
EXIT_CANNOT_CREATE = 73
EXIT_INTERRUPTED = 130
EXIT_PIPE = 141  # as the shell has it for a process that writes where nobody reads

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT}


class End(NamedTuple):
    """How a command ends."""

    message: str
    code: int


class StoppedError(Exception):
    """A command was interrupted, and the message says what is kept; or a file ended too early."""


def end_of(error: BaseException) -> End:
    """Return the line and the exit code of whatever a command raised."""
    # Errors of the command line parser have this method; which class they are depends on
    # the version of typer.
    parsed = getattr(error, "format_message", None)
    if parsed is not None:
        if type(error).__name__ == "NoArgsIsHelpError":
            return End("", EXIT_USAGE)
        return End(_of_parser(error, " ".join(parsed().split())), EXIT_USAGE)
    if isinstance(error, OSError):
        return _of_system(error)
    if _is_out_of_memory(error):
        return End(
            f"out of memory ({cause_of(error)}): free some, or ask for less at once (--batch-size, "
            "--jobs, --workers, --max)",
            EXIT_UNAVAILABLE,
        )
    if isinstance(error, ImportError):
        return End(_of_import(error), EXIT_UNAVAILABLE)
    if isinstance(error, UnicodeError) and not isinstance(error, UnicodeEncodeError):
        return End(f"a file is not text in UTF-8: {_said(error)}; save it as UTF-8", EXIT_DATA)
    for kinds, code in (
        (UnavailableError, EXIT_UNAVAILABLE),
        (DataError, EXIT_DATA),
        (ValueError | TypeError, EXIT_USAGE),
    ):
        if isinstance(error, kinds):
            return End(_said(error), code)
    return End(
        f"internal error: {cause_of(error)}; with rsverify --traceback … it says where, for a "
        "report",
        EXIT_INTERNAL,
    )


_NO_DEVICE = re.compile("not compiled with CUDA|NVIDIA driver|No CUDA GPUs|invalid device ordinal")


def failure_of(called: str, error: BaseException) -> ValueError | MemoryError | FileNotFoundError:
    """Return what to raise where code of the user failed, of the kind that its error has."""
    message = f"{called} failed: {cause_of(error)}"
    if _is_out_of_memory(error):
        return MemoryError(message)
    if isinstance(error, ImportError):
        package = (error.name or "").partition(".")[0]
        extra = EXTRA_OF.get(package)
        remedy = f"pip install 'rsverify[{extra}]'" if extra else "install the package that has it"
        return UnavailableError(f"{message}; {remedy}")
    if isinstance(error, FileNotFoundError):
        return FileNotFoundError(message)
    if _NO_DEVICE.search(message):
        return UnavailableError(f"{message}; leave the choice of a device to --device")
    return ValueError(message)


def print_trace(error: BaseException) -> None:
    """Print where an error came from."""
    traceback.print_exception(error)


def reader_has_left(error: BaseException | None) -> bool:
    """Return whether what reads our output, `head` say, has closed its end."""
    while error is not None and not isinstance(error, BrokenPipeError):
        error = error.__cause__ or error.__context__
    return error is not None


def _of_parser(error: BaseException, message: str) -> str:
    """Return a message of the parser as all other messages are: name=value must be ….

    Which words it has depends on the version of typer; a message of other words stays.
    """
    message = message.replace("Value error, ", "")
    negative = re.match(r"No such option: (-[0-9.]+)", message)
    if negative is not None:
        return f"{negative[1]} is not an option, and numbers without one must not be negative"
    found = re.fullmatch(r"Invalid value for '(?P<name>[^']+)'[^:]*: (?P<rest>.*?)\.?", message)
    if found is None:
        used = getattr(getattr(error, "ctx", None), "command_path", None)
        ends = message.endswith(("?", ")"))
        return message if used is None or ends else f"{message.rstrip('.')}; see {used} --help"
    name = found["name"].partition(" / ")[0].removeprefix("--").replace("-", "_")
    choice = re.fullmatch(r"(?P<value>'.*') is not one of (?P<choices>.*)", found["rest"])
    if choice is not None:
        return f"{name}={choice['value']} must be one of {choice['choices']}"
    if found["rest"].startswith("Input should be "):
        must = found["rest"].removeprefix("Input should be ").partition(", unable")[0]
        return f"{name}{_given_to_parser(error)} must be {must}"
    return message


def _given_to_parser(error: BaseException) -> str:
    """Return the value that the parser refused, where it says which."""
    checked = getattr(error.__cause__ or error.__context__, "errors", None)
    found = checked() if callable(checked) else []
    return f"={found[0]['input']!r}" if found and "input" in found[0] else ""


def _said(error: BaseException) -> str:
    """Return the message of an error on one line."""
    return " ".join(str(error).split()) or cause_of(error)


def _of_system(error: OSError) -> End:
    message = _said(error)
    if error.strerror:
        where = "" if error.filename is None else f"{error.filename}: "
        message = f"{where}{error.strerror}"
    if error.errno in _NO_ROOM:
        message += "; free some space and run the same again: what was written is whole"
    return End(message, EXIT_NO_INPUT if _cannot_be_read(error) else EXIT_CANNOT_CREATE)


def _cannot_be_read(error: OSError) -> bool:
    if isinstance(error, FileNotFoundError | IsADirectoryError):
        return True
    place = error.filename
    return isinstance(place, str) and os.path.exists(place) and not os.access(place, os.R_OK)


def _of_import(error: ImportError) -> str:
    if "pip install" in str(error):
        return _said(error)
    if not isinstance(error, ModuleNotFoundError):
        return f"a package cannot be loaded: {_said(error)}; install it again"
    package = (error.name or "").partition(".")[0]
    if package in EXTRA_OF:
        return str(missing(package))
    return f"{_said(error)}: install the package that has it, or start in the folder of its file"


def _is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out; of an accelerator too, whose error is torch's own class."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
