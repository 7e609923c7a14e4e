"""Where a model's random numbers could come from: found, watched, put back, and forced.

A model that draws random numbers is caught by asking it twice only where they matter often. So
the generators are watched as well: that one has moved says that numbers were drawn, and
states whose first draws are the smallest or largest possible ones reach branches that are
taken once in a million calls.
"""

from __future__ import annotations

import functools
import random
import types
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from rsverify.smoothing.noise.gaussian import _WORDS, _state_with

# Of so many first draws each is the smallest, or the largest, there is.
_FORCED = 64
# How far from the model a generator or module is looked for: function, object, attribute.
_DEPTH = 4


class Source(NamedTuple):
    """A generator of random numbers."""

    name: str
    get: Callable[[], object]
    set: Callable[[object], None]


def reachable(root: object) -> Iterator[tuple[str, object]]:
    """Yield what a callable is made of, each object once, with a name for it.

    That is what it closes over, is bound to, refers to by the name of a global, or keeps as an
    attribute, and so on; of modules all submodules.
    """
    seen: set[int] = set()

    def visit(name: str, value: object, depth: int) -> Iterator[tuple[str, object]]:
        if id(value) in seen or isinstance(value, type | types.ModuleType):
            return
        seen.add(id(value))
        yield name, value
        if isinstance(value, torch.nn.Module):
            for child, module in value.named_children():
                yield from visit(f"{name}.{child}" if name else child, module, depth)
        if depth == 0:
            return
        for part_name, part in _parts(value):
            yield from visit(f"{name}.{part_name}" if name else part_name, part, depth - 1)

    yield from visit("", root, _DEPTH)


def _parts(value: object) -> Iterator[tuple[str, object]]:
    """Yield what an object refers to, as far as it may hold a module or a generator."""
    if isinstance(value, functools.partial):
        yield "func", value.func
        yield from ((str(i), part) for i, part in enumerate(value.args))
        yield from value.keywords.items()
    elif isinstance(value, types.MethodType):
        yield value.__func__.__name__, value.__self__
    elif isinstance(value, types.FunctionType):
        code = value.__code__
        for name, cell in zip(code.co_freevars, value.__closure__ or (), strict=True):
            try:
                yield name, cell.cell_contents
            except ValueError:  # not yet assigned
                continue
        yield from ((n, value.__globals__[n]) for n in code.co_names if n in value.__globals__)
        yield from ((f"default {i}", part) for i, part in enumerate(value.__defaults__ or ()))
        yield from (value.__kwdefaults__ or {}).items()
    elif isinstance(value, list | tuple):
        yield from ((str(i), part) for i, part in enumerate(value[:_FORCED]))
    elif isinstance(value, Mapping):
        yield from ((str(k), part) for k, part in list(value.items())[:_FORCED])
    elif not isinstance(value, torch.Tensor | np.ndarray | np.random.Generator):
        yield from getattr(value, "__dict__", {}).items()


def sources(parts: list[tuple[str, object]], device: torch.device) -> list[Source]:
    """Return the generators of torch, numpy and Python, and those found in a model's parts."""
    found = [
        Source("torch", torch.get_rng_state, torch.set_rng_state),  # type: ignore[arg-type]
        Source("numpy.random", np.random.get_state, np.random.set_state),  # type: ignore[arg-type]
        Source("random", random.getstate, random.setstate),  # type: ignore[arg-type]
    ]
    if device.type == "cuda" and torch.cuda.is_initialized():
        found.append(
            Source(
                f"torch.{device}",
                functools.partial(torch.cuda.get_rng_state, device),
                lambda state: torch.cuda.set_rng_state(state, device),  # type: ignore[arg-type]
            )
        )
    for name, part in parts:
        if isinstance(part, np.random.Generator):
            bits = part.bit_generator
            get, put = functools.partial(getattr, bits, "state"), _setter(bits, "state")
            found.append(Source(name, get, put))
        elif isinstance(part, np.random.RandomState):
            found.append(Source(name, part.get_state, part.set_state))  # type: ignore[arg-type]
        elif isinstance(part, random.Random) and not isinstance(part, random.SystemRandom):
            found.append(Source(name, part.getstate, part.setstate))  # type: ignore[arg-type]
        elif isinstance(part, torch.Generator):
            found.append(Source(name, part.get_state, part.set_state))  # type: ignore[arg-type]
    return found


def _setter(owner: object, name: str) -> Callable[[object], None]:
    return lambda state: setattr(owner, name, state)


def fingerprint(state: object) -> bytes:
    """Return the bytes of a generator's state."""
    if isinstance(state, torch.Tensor):
        return state.numpy().tobytes()
    if isinstance(state, np.ndarray):
        return state.tobytes()
    if isinstance(state, dict):
        return b"|".join(fingerprint(part) for part in state.values())
    if isinstance(state, tuple) and any(isinstance(part, np.ndarray | tuple) for part in state):
        return b"|".join(fingerprint(part) for part in state)
    return repr(state).encode()


class Watch:
    """The states of several generators, as they were."""

    def __init__(self, watched: list[Source]) -> None:
        self.watched = watched
        self.states = [source.get() for source in watched]
        self._prints = [fingerprint(state) for state in self.states]

    def moved(self) -> list[str]:
        """Return the names of the generators that have drawn since."""
        now = (fingerprint(source.get()) for source in self.watched)
        pairs = zip(self.watched, now, self._prints, strict=True)
        return [source.name for source, after, before in pairs if after != before]

    def restore(self) -> None:
        """Put all of them back."""
        for source, state in zip(self.watched, self.states, strict=True):
            source.set(state)


def force(kind: int) -> None:
    """Put the generators of torch on the CPU, numpy and Python in a state for a test.

    Of state 0 the first draws are the smallest numbers there are, of state 1 the largest; all
    others are ordinary and differ from each other. Generators of another kind are left alone.
    """
    words = _twisting_words(kind)
    torch.set_rng_state(_state_with(words))
    np.random.set_state(("MT19937", words, _WORDS, 0, 0.0))  # noqa: NPY002, users' code draws from it
    random.setstate((3, (*(int(word) for word in words), _WORDS), None))


def _twisting_words(kind: int) -> npt.NDArray[np.uint32]:
    """Return 624 words of a Mersenne Twister that has to be twisted before its first output.

    Twisting makes word i from words i + 397 and, by zero bits alone, from i and i + 1 where
    those are zero (Matsumoto and Nishimura, 1998); the topmost bit of word 0 is set, so that
    no state is all zero, and its part is taken out again.
    """
    words = np.random.default_rng(kind).integers(1, 2**32, _WORDS, dtype=np.uint32)
    words[0] = 2**31
    if kind < 2:
        words[1 : _FORCED + 1] = 0
        words[397 : 397 + _FORCED] = 0 if kind == 0 else _ALL_ONES
        words[397] ^= 2**30
    return words


def _untemper_ones() -> int:
    """Return the word whose output is 2³² − 1: tempering is linear and one to one."""
    columns = [_temper(1 << i) for i in range(32)]
    rows = [(column, 1 << i) for i, column in enumerate(columns)]
    target, word = 2**32 - 1, 0
    for bit in range(32):  # Gauss-Jordan over two elements
        pivot = next(row for row in rows if row[0] >> bit & 1)
        rows.remove(pivot)
        rows = [(r ^ pivot[0], w ^ pivot[1]) if r >> bit & 1 else (r, w) for r, w in rows]
        if target >> bit & 1:
            target, word = target ^ pivot[0], word ^ pivot[1]
    return word


def _temper(word: int) -> int:
    word ^= word >> 11
    word ^= word << 7 & 0x9D2C5680
    word ^= word << 15 & 0xEFC60000
    return (word ^ word >> 18) & 0xFFFFFFFF


_ALL_ONES = _untemper_ones()
