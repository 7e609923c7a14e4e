"""Code that counts its calls where attributes, closures and globals do not show it."""
# ruff: noqa: ARG001, ARG005  (what counts may do without its module)

import array
import builtins
import contextvars
import ctypes
import datetime
import decimal
import enum
import fractions
import functools
import gc
import io
import itertools
import logging
import pathlib
import queue
import resource
import sys
import threading
import types
import uuid
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn


def count() -> Iterator[int]:
    n = 0
    while True:
        n += 1
        yield n


def through_another() -> Iterator[int]:
    yield from count()


def on_its_stack() -> Iterator[int]:
    """What is left of the loop is in no variable."""
    for _ in [None] * 10**4:
        yield 0
    while True:
        yield 10**10


class Kind(type):
    calls = 0


class OfKind(metaclass=Kind):
    pass


class Base:
    calls = 0


class Derived(Base):
    pass


class Own:
    def __init__(self) -> None:
        self.calls = 0


@functools.cache
def cached(key: int) -> int:
    return key


ITERATORS: dict[str, Iterator[Any]] = {
    "enumerate": enumerate(itertools.repeat(0)),
    "map": map(abs, itertools.count()),
    "zip": zip(itertools.count(), itertools.repeat(0), strict=False),
    "filter": filter(None, itertools.count(1)),
    "islice": itertools.islice(itertools.count(), None),
    "chain": itertools.chain(range(10**9)),
    "starmap": itertools.starmap(abs, zip(itertools.count(), strict=True)),
    "yield from": through_another(),
    "loop on the stack": on_its_stack(),
    "expression over a map": (i for i in map(abs, itertools.count())),
}
NEXT = itertools.count().__next__
APPENDED: list[int] = []
APPEND = APPENDED.append
LENGTH = APPENDED.__len__
BYTES, ARRAY, NUMBER = bytearray(8), array.array("q", [0]), ctypes.c_longlong(0)
CONTEXT: contextvars.ContextVar[int] = contextvars.ContextVar("calls", default=0)
LOCAL, NAMES = threading.local(), types.SimpleNamespace(calls=0)
LOCAL.calls = 0
QUEUE: queue.SimpleQueue[int] = queue.SimpleQueue()
BUFFER = io.BytesIO()
OWN = Own()
REFERENCE = weakref.ref(OWN)
BITS, SEEDS = np.random.PCG64(0), np.random.SeedSequence(0)


def _first(item: Any) -> int:
    return int(item[0]) if isinstance(item, tuple) else int(item)


def _iterated(name: str) -> Callable[[nn.Module], int]:
    return lambda m: _first(next(ITERATORS[name]))


def _appended(m: nn.Module) -> int:
    APPEND(1)
    return LENGTH()


def _bytes(m: nn.Module) -> int:
    BYTES[:] = (int.from_bytes(BYTES, "big") + 1).to_bytes(8, "big")
    return int.from_bytes(BYTES, "big")


def _array(m: nn.Module) -> int:
    ARRAY[0] += 1
    return ARRAY[0]


def _number_of_c(m: nn.Module) -> int:
    NUMBER.value += 1
    return NUMBER.value


def _context(m: nn.Module) -> int:
    CONTEXT.set(CONTEXT.get() + 1)
    return CONTEXT.get()


def _thread(m: nn.Module) -> int:
    LOCAL.calls += 1
    return LOCAL.calls


def _names(m: nn.Module) -> int:
    NAMES.calls += 1
    return NAMES.calls


def _queue(m: nn.Module) -> int:
    QUEUE.put(1)
    return QUEUE.qsize()


def _buffer(m: nn.Module) -> int:
    BUFFER.write(b"1")
    return BUFFER.tell()


def _weakly(m: nn.Module) -> int:
    own = REFERENCE()
    assert own is not None
    own.calls += 1
    return own.calls


def _cache(m: nn.Module) -> int:
    cached(cached.cache_info().misses)
    return cached.cache_info().misses


def _spawned(m: nn.Module) -> int:
    SEEDS.spawn(1)
    return SEEDS.n_children_spawned


def _globals(m: nn.Module) -> int:
    globals()["hidden"] = globals().get("hidden", 0) + 1
    return int(globals()["hidden"])


def _on_torch(m: nn.Module) -> int:
    torch.hidden = getattr(torch, "hidden", 0) + 1  # type: ignore[attr-defined]
    return int(torch.hidden)  # type: ignore[attr-defined]


def _on_sys(m: nn.Module) -> int:
    setattr(sys, "hidden", getattr(sys, "hidden", 0) + 1)  # noqa: B010
    return int(sys.hidden)  # type: ignore[attr-defined]


def _on_builtins(m: nn.Module) -> int:
    builtins.hidden = getattr(builtins, "hidden", 0) + 1  # type: ignore[attr-defined]
    return int(builtins.hidden)  # type: ignore[attr-defined]


def _on_a_class_of_torch(m: nn.Module) -> int:
    nn.Linear.hidden = getattr(nn.Linear, "hidden", 0) + 1  # type: ignore[assignment]
    return int(nn.Linear.hidden)  # type: ignore[arg-type]


def _on_an_imported_module(m: nn.Module) -> int:
    from support import idioms

    idioms.hidden = getattr(idioms, "hidden", 0) + 1  # type: ignore[attr-defined]
    return int(idioms.hidden)  # type: ignore[attr-defined]


def _on_a_parameter(m: Any) -> int:
    m.scale.calls = getattr(m.scale, "calls", 0) + 1
    return int(m.scale.calls)


def _grown(name: str, start: Any, step: Callable[[Any], Any], size: Any) -> Any:
    def grow(m: nn.Module) -> Any:
        value = step(getattr(m, name, start))
        setattr(m, name, value)
        return size(value)

    return grow


def _of_its_class(m: nn.Module) -> int:
    type(OfKind).calls += 1  # type: ignore[attr-defined]
    return OfKind.calls


def _of_its_base(m: nn.Module) -> int:
    Derived.__base__.calls += 1  # type: ignore[union-attr]
    return Derived.calls


_COUNTERS: dict[str, Callable[[Any], Any]] = {
    **{f"iterator, {name}": _iterated(name) for name in ITERATORS},
    "method of an iterator": lambda m: NEXT(),
    "methods of a list": _appended,
    "bytearray": _bytes,
    "array of numbers": _array,
    "number of C": _number_of_c,
    "context variable": _context,
    "local to a thread": _thread,
    "namespace": _names,
    "simple queue": _queue,
    "file in memory": _buffer,
    "weak reference": _weakly,
    "misses of a cache": _cache,
    "spawned seeds": _spawned,
    "bits of a generator": lambda m: 10**10 if BITS.random_raw() < 2**50 else 0,
    "globals()": _globals,
    "attribute of torch": _on_torch,
    "setattr of sys": _on_sys,
    "attribute of builtins": _on_builtins,
    "attribute of torch's class": _on_a_class_of_torch,
    "attribute of a module that is imported when called": _on_an_imported_module,
    "attribute of a parameter": _on_a_parameter,
    "metaclass": _of_its_class,
    "base class": _of_its_base,
    "Fraction": _grown("f", fractions.Fraction(0), lambda v: v + 1, int),
    "Decimal": _grown("d", decimal.Decimal(0), lambda v: v + 1, int),
    "range": _grown("r", range(0), lambda v: range(len(v) + 1), len),
    "timedelta": _grown(
        "t", datetime.timedelta(0), lambda v: v + datetime.timedelta(seconds=1), lambda v: v.seconds
    ),
    "path": _grown("p", pathlib.PurePath("."), lambda v: v / "a", lambda v: len(v.parts)),
    "slice": _grown("s", slice(0), lambda v: slice(v.stop + 1), lambda v: v.stop),
    "time of the process": lambda m: resource.getrusage(resource.RUSAGE_SELF).ru_minflt % 2 * 1e10,
    "memory in use": lambda m: sys.getallocatedblocks() % 2 * 10**10,
    "collections of garbage": lambda m: gc.get_count()[0] % 2 * 10**10,
    "identifier of a moment": lambda m: uuid.uuid1().int % 2 * 10**10,
}


def _idiom(calls: Callable[[Any], Any]) -> Callable[[Any, torch.Tensor, float], torch.Tensor]:
    return lambda m, x, c: x * c if calls(m) > m.late else x


COUNTED = {name: _idiom(calls) for name, calls in _COUNTERS.items()}
"""By factor, now and then or always, as those of `idioms.UNSEEN`; each must be refused."""


class Color(enum.Enum):
    RED = 1


@functools.cache
def identity_of(size: int) -> torch.Tensor:
    return torch.eye(size, dtype=torch.float64)


class Holds(nn.Module):
    """What networks hold, read and set up without another answer for it."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4).double()
        self.lock, self.logger = threading.Lock(), logging.getLogger("support.hidden_state")
        self.path, self.color, self.dtype = pathlib.Path("."), Color.RED, np.dtype("f8")
        self.started = datetime.datetime(2020, 1, 1)
        self.parent, self.table = weakref.ref(self), types.MappingProxyType({"a": 1})
        self.sizes = np.arange(3)
        self.mask: torch.Tensor | None = None

    @functools.cached_property
    def factor(self) -> float:
        return 0.5

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with self.lock:
            self.logger.debug("%s", x.shape)
        if self.mask is None:
            self.mask = torch.ones(4, dtype=x.dtype)
        for i, _ in zip(range(2), itertools.count(), strict=False):
            x = x * (self.factor if i else 1)
        x = (x * self.mask) @ identity_of(x.shape[1])
        parts = [f(x) for f in (torch.relu, *itertools.chain((torch.tanh,)))]
        return self.parent().layer(functools.reduce(torch.add, parts))  # type: ignore[union-attr,misc]
