"""What a module's Python code can remember from one call to the next, and what else it asks.

Tensors are left out: the recorder sees which of them are read and changed.
"""

from __future__ import annotations

import contextvars
import functools
import gc
import hashlib
import itertools
import os
import queue
import random
import sys
import types
import warnings
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

_PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, np.generic)
_LIBRARIES = frozenset({"torch", "numpy", "torchvision", *sys.stdlib_module_names}) - {"__main__"}
_MOST_OBJECTS = 200_000
_MOST_BYTES = 2**28


def state_of(
    roots: Mapping[str, object], aside: Callable[[object], bool] | None = None
) -> dict[str, str]:
    """Return what Python objects hold that functions can reach, by where it is.

    Attributes, containers, closures, defaults, the globals that code names, class attributes,
    NumPy arrays, iterators and random generators, the global ones too, and the environment
    variables; up to 200,000 objects, and of arrays of more than 256 MB some rows. `aside` is as
    for `_reachable`.
    """
    found = {
        "the environment": _digest(repr(sorted(os.environ.items()))),
        "the generator of random": _of_generator(random),
        "the generator of numpy.random": _of_generator(np.random),
        "the generator of torch": _digest(torch.get_rng_state().numpy().tobytes()),
    }
    for path, value in _reachable(roots, aside):
        while path in found:  # the order is the same every time
            path += "'"
        own = repr(value) if _is_plain(value) else _own_state(value)
        if own is not None:
            found[path] = own
    return found


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, _PLAIN)


def _reachable(
    roots: Mapping[str, object], aside: Callable[[object], bool] | None = None
) -> Iterator[tuple[str, object]]:
    """Yield what functions can reach, each object once but for plain ones, with where it is.

    Of functions and classes for which `aside` is true what they close over, and no more.
    """
    seen: dict[int, object] = {}
    queue: deque[tuple[str, object]] = deque(roots.items())
    while queue and len(seen) < _MOST_OBJECTS:
        path, value = queue.popleft()
        if _is_plain(value):
            yield path, value
        elif id(value) not in seen:
            seen[id(value)] = value
            if not isinstance(value, torch.Tensor):
                yield path, value
            left_out = aside is not None and aside(value)
            parts = _closed_over(value) if left_out else _parts(value)
            queue.extend((f"{path}{step}", part) for step, part in parts)


def streams_of(roots: Mapping[str, object], aside: Callable[[object], bool]) -> dict[str, str]:
    """Return how far iterators and generators are that functions can reach, by where they are."""
    return {path: place for path, value in _reachable(roots, aside) if (place := _place(value))}


def _closed_over(value: object) -> Iterable[tuple[str, object]]:
    """Return what a function closes over; nothing of a class."""
    if not isinstance(value, types.FunctionType):
        return
    yield "", vars(value)
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or (), strict=True):
        with suppress(ValueError):  # not set yet
            yield f".{name}", cell.cell_contents


def _own_state(value: object) -> str | None:
    """Return what an object holds that is in no part of it."""
    if isinstance(value, np.ndarray):
        return repr(value) if value.dtype.hasobject else _of_numbers(value)
    if isinstance(value, np.random.Generator):
        return repr(value.bit_generator.state)
    if isinstance(value, random.SystemRandom):
        return None  # it has none: what it gives is asked of the system, which is noticed
    if isinstance(value, np.random.RandomState | random.Random):
        return _of_generator(value)
    if isinstance(value, torch.Generator):
        return _digest(value.get_state().cpu().numpy().tobytes())
    if isinstance(value, dict):
        return repr([key if isinstance(key, _PLAIN) else id(key) for key in value])
    if isinstance(value, list | tuple | set | frozenset | deque):
        return repr(len(value))
    if isinstance(value, functools._lru_cache_wrapper):
        return repr(value.cache_info()[1:])  # not how often it was of use
    if isinstance(value, queue.SimpleQueue):
        return repr(value.qsize())
    return _place(value) or _of_memory(value)


def _of_numbers(array: npt.NDArray[Any]) -> str:
    if not array.size or not array.itemsize:
        return repr(array.shape)
    if array.nbytes > _MOST_BYTES:  # of a data set that is mapped from a disk, say
        array = array[:: 1 + array.nbytes // _MOST_BYTES]
    return _digest(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _of_memory(value: object) -> str | None:
    """Return what bytes, arrays and numbers of C hold; None of what has no memory to be read."""
    if isinstance(value, type) or not _of_library(type(value)):
        return None
    try:
        return _digest(memoryview(value).tobytes())  # type: ignore[arg-type]
    except (TypeError, ValueError, NotImplementedError):
        return None


def _place(value: object) -> str | None:
    """Return how far an iterator or generator is; None of anything else."""
    if isinstance(value, types.GeneratorType):
        frame = value.gi_frame
        return repr(None if frame is None else (frame.f_lasti, sorted(_plain_in(frame.f_locals))))
    if isinstance(value, itertools.cycle):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it cannot be pickled from Python 3.14 on
            reduced: Any = value.__reduce__()
            _, (source,), *kept = reduced
        return f"{_place(source)} {len(kept[0][0]) if kept else 0}"
    if type(value).__module__ == "itertools":
        return repr(value)
    builtin = type(value).__module__ == "builtins" and not isinstance(value, type)
    if builtin and hasattr(value, "__length_hint__"):
        return repr(value.__length_hint__())
    return None


def _plain_in(values: Mapping[str, object]) -> Iterator[str]:
    return (f"{name}={value!r}" for name, value in values.items() if _is_plain(value))


def _of_generator(generator: Any) -> str:
    """Return the state of a generator of random or of numpy.random, as their modules have one."""
    if hasattr(generator, "getstate"):
        return str(hash(generator.getstate()))
    _, words, *rest = generator.get_state()
    return f"{_digest(words.tobytes())} {rest}"


def _parts(value: object) -> Iterable[tuple[str, object]]:
    """Return what an object refers to, with how."""
    if isinstance(value, dict):
        return [(f"[{key!r}]" if isinstance(key, _PLAIN) else "[…]", v) for key, v in value.items()]
    if isinstance(value, list | tuple | deque):
        return [(f"[{i}]", part) for i, part in enumerate(value)]
    if isinstance(value, set | frozenset):
        return [("{…}", part) for part in sorted(value, key=repr)]
    if isinstance(value, torch.Tensor):
        return [("", vars(value))]
    if isinstance(value, types.FunctionType):
        return _parts_of_function(value)
    if isinstance(value, types.MethodType):
        return [(".__self__", value.__self__), ("", value.__func__)]
    if isinstance(value, functools.partial):
        return [(".func", value.func), (".args", value.args), (".keywords", value.keywords)]
    if isinstance(value, staticmethod | classmethod):
        return [("", value.__func__)]
    if isinstance(value, property):
        return [("", value.fget)]
    if isinstance(value, types.GeneratorType):
        frame = value.gi_frame
        held = {} if frame is None else frame.f_locals
        return [*((f".{k}", v) for k, v in held.items()), *_referred_to(value)]
    if isinstance(value, types.BuiltinMethodType | types.MethodWrapperType):
        return [(".__self__", value.__self__)]
    if isinstance(value, weakref.ReferenceType):
        return [("()", value())]
    if isinstance(value, contextvars.ContextVar):
        return [(".get()", value.get(None))]
    if isinstance(value, type):
        return [] if _of_library(value) else _parts_of_class(value)
    return _parts_of_object(value)


def _parts_of_class(cls: type) -> list[tuple[str, object]]:
    parts: list[tuple[str, object]] = [(f".{k}", v) for k, v in vars(cls).items()]
    return [*parts, *((f".{base.__name__}", base) for base in (*cls.__bases__, type(cls)))]


def _referred_to(iterator: object) -> list[tuple[str, object]]:
    """Return what an iterator goes over, and what it does with it."""
    return [("…", part) for part in gc.get_referents(iterator)]


def _reduced(value: object) -> list[tuple[str, object]]:
    """Return what an object of a library, one without attributes, is made of again by `pickle`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            reduced = value.__reduce_ex__(2)
    except Exception:  # whatever it says of why it has no such state: locks, files, connections
        return []
    return [("", list(part) if isinstance(part, Iterator) else part) for part in reduced[1:]]


def _parts_of_function(function: types.FunctionType) -> list[tuple[str, object]]:
    if _of_library(function):
        return []
    parts: list[tuple[str, object]] = [("", vars(function))]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        try:
            parts.append((f".{name}", cell.cell_contents))
        except ValueError:  # not set yet
            continue
    parts += [(".__defaults__", function.__defaults__)]
    parts += [(".__kwdefaults__", function.__kwdefaults__)]
    names = set(_names_in(function.__code__))
    for name in sorted(names):
        held = function.__globals__.get(name, sys.modules.get(name))
        if isinstance(held, types.ModuleType):
            parts += [(f".{name}{step}", part) for step, part in _parts_of_module(held, names)]
        elif name in function.__globals__:
            parts.append((f".{name}", held))
    return parts


def _parts_of_module(
    module: types.ModuleType, names: set[str], within: tuple[object, ...] = ()
) -> Iterator[tuple[str, object]]:
    """Yield what code that has these names may reach; of libraries, plain values alone."""
    library = module.__name__.split(".")[0] in _LIBRARIES
    for name in sorted(names & vars(module).keys()):
        held = vars(module)[name]
        if isinstance(held, types.ModuleType):
            if held not in (module, *within):
                inside = _parts_of_module(held, names, (module, *within))
                yield from ((f".{name}{step}", part) for step, part in inside)
        elif not library or _is_plain(held):
            yield f".{name}", held
        elif isinstance(held, type | types.FunctionType):
            own = vars(held)
            yield from ((f".{name}.{n}", own[n]) for n in names & own.keys() if _is_plain(own[n]))


def _parts_of_object(value: object) -> list[tuple[str, object]]:
    if isinstance(value, types.ModuleType | types.BuiltinFunctionType | types.CodeType):
        return []
    if _of_library(type(value)) and not isinstance(value, torch.nn.Module):
        held = getattr(value, "__dict__", None)
        parts: list[tuple[str, object]] = [("", held)] if isinstance(held, Mapping) else []
        parts += _referred_to(value) if isinstance(value, Iterator) else []
        return parts if held or callable(value) else [*parts, *_reduced(value)]
    own: list[tuple[str, object]] = [(f".{k}", v) for k, v in _attributes(value)]
    return [*own, (f".{type(value).__name__}", type(value))]


def _attributes(value: object) -> Iterator[tuple[str, object]]:
    own = getattr(value, "__dict__", None)  # of an object that answers to any name: anything
    held = dict(own) if isinstance(own, Mapping) else {}
    # Modules are known by the names of their submodules, not by the dictionary of these.
    yield from held.pop("_modules", {}).items() if isinstance(value, torch.nn.Module) else ()
    yield from held.items()
    for cls in type(value).__mro__:
        slots = vars(cls).get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if name not in ("__dict__", "__weakref__") and hasattr(value, name):
                yield name, getattr(value, name)


def _names_in(code: types.CodeType) -> Iterator[str]:
    """Yield the names in code, and its texts that may be names: of `getattr`, of `globals`."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)
        elif isinstance(constant, str) and constant.isidentifier():
            yield constant


def _of_library(thing: object) -> bool:
    return str(getattr(thing, "__module__", "builtins")).split(".")[0] in _LIBRARIES


def _digest(value: str | bytes | memoryview) -> str:
    data = value.encode() if isinstance(value, str) else value
    return hashlib.blake2b(data, digest_size=16).hexdigest()


class Asked:
    """What code has asked of the world, first."""

    def __init__(self) -> None:
        self.what: str | None = None
        self.frame: types.FrameType | None = None


_WORLD = {
    "time": "a clock",
    "random": "random numbers",
    "_random": "random numbers",
    "_datetime": "a clock",
    "_thread": "other threads",
}
_CALLS = {
    **{("posix", name): "random numbers" for name in ("urandom", "getrandom")},
    **{("nt", name): "random numbers" for name in ("urandom",)},
    **{("posix", name): "a clock" for name in ("times", "getloadavg")},
    **{("resource", name): "a clock" for name in ("getrusage",)},
    **{("_uuid", name): "random numbers" for name in ("generate_time_safe", "UuidCreate")},
    **{("gc", name): "the memory in use" for name in ("get_count", "get_stats", "get_objects")},
    **{("sys", name): "the memory in use" for name in ("getallocatedblocks", "getrefcount")},
    **{("_tracemalloc", name): "the memory in use" for name in ("get_traced_memory",)},
}
_CALLS_OF_DATES = frozenset({"now", "utcnow", "today"})
_THREADS = frozenset({"start_new_thread", "start_joinable_thread", "start_new"})


@contextmanager
def watched(aside: Callable[[types.FrameType], bool] | None = None) -> Iterator[Asked]:
    """Notice calls of clocks, of random generators, of threads and about memory in the body.

    Not those from code for which `aside` is true.

    Raises
    ------
    ValueError
        If a profiler is at work, which takes the only place from which calls are seen.
    """
    asked = Asked()
    if sys.getprofile() is not None:
        raise ValueError(
            "no Lipschitz constant while a profiler is active: clocks, random numbers and threads "
            "of the module cannot be seen then; bound it before the profiler starts"
        )

    def see(frame: types.FrameType, event: str, called: object) -> None:
        if event == "c_call" and asked.what is None:
            what = _asks_for(called)
            if what is not None and not _set_aside(frame) and not (aside and aside(frame)):
                asked.what, asked.frame = what, frame

    collects = gc.isenabled()
    gc.disable()  # which calls code that is not the module's, as it happens
    sys.setprofile(see)
    try:
        yield asked
    finally:
        sys.setprofile(None)
        if collects:
            gc.enable()


def _set_aside(frame: types.FrameType | None) -> bool:
    """Return whether a call is from logging, or from importing what is imported when first used."""
    while frame is not None:
        home = str(frame.f_globals.get("__name__", "")).split(".")[0]
        if home in ("logging", "warnings", "importlib", "_frozen_importlib"):
            return True
        frame = frame.f_back
    return False


def _asks_for(called: object) -> str | None:
    owner, name = getattr(called, "__self__", None), getattr(called, "__name__", "")
    home = getattr(called, "__module__", None)
    if isinstance(owner, torch.Generator):
        return _WORLD["random"] if name == "seed" else None
    if home is None or isinstance(owner, random.Random):
        cls = owner if isinstance(owner, type) else type(owner)
        home = cls.__module__
    if home in ("datetime", "_datetime"):
        return _WORLD["_datetime"] if name in _CALLS_OF_DATES else None
    if home == "_thread":
        return _WORLD[home] if name in _THREADS else None
    if home == "time":
        return None if name in ("sleep", "strftime", "struct_time") else _WORLD[home]
    return _WORLD.get(home) or _CALLS.get((home, name))
