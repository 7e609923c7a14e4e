"""A digest of what a compiled function is made from, for the name of its file in the cache.

It covers the code of the function and, in turn, of every function that it calls, with the values
of the constants that they take up. It covers no words of a docstring, no comment, position or file
name, and nothing that the function does not reach: what does not change the machine code keeps the
file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from enum import Enum
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType

import numpy as np

PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)


def kernel_digest(function: object) -> str:
    """Return the digest of a function that is to be compiled.

    Raises
    ------
    TypeError
        If it takes up something whose content is not understood: a digest must not miss a change.
    """
    digest = hashlib.sha256()
    waiting, seen = [function], {id(function)}
    while waiting:
        current = waiting.pop()
        for part in _parts(current):
            if isinstance(part, bytes):
                digest.update(len(part).to_bytes(8, "big") + part)
            elif id(part) not in seen:
                seen.add(id(part))
                waiting.append(part)
    return digest.hexdigest()


def _parts(function: object) -> Iterator[object]:
    """Yield what the function consists of as bytes, and the functions that it takes up."""
    python = _python_function(function)
    if python is None:
        raise TypeError(f"{function!r} is no function")
    yield f"{python.__module__}.{python.__qualname__} {python.__defaults__!r}".encode()
    yield from _code_parts(python.__code__, python.__doc__)
    for name in sorted(_names(python.__code__)):
        if name in python.__globals__:
            yield from _value_parts(name, python.__globals__[name], _names(python.__code__))
    for name, cell in zip(python.__code__.co_freevars, python.__closure__ or (), strict=True):
        yield from _value_parts(name, cell.cell_contents, frozenset())


def _python_function(value: object) -> FunctionType | None:
    """Return the function itself, that below a decorator, or None."""
    while not isinstance(value, FunctionType):
        value = getattr(value, "py_func", None)
        if value is None:
            return None
    return value


def _code_parts(code: CodeType, doc: str | None) -> Iterator[bytes]:
    yield code.co_code
    yield getattr(code, "co_exceptiontable", b"")
    yield repr((code.co_names, code.co_varnames, code.co_freevars, code.co_argcount)).encode()
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _code_parts(constant, None)
        elif isinstance(constant, frozenset):  # in the order of hashes, which differ by process
            yield repr(sorted(map(repr, constant))).encode()
        elif doc is None or constant != doc:
            yield f"{type(constant).__name__} {constant!r}".encode()


def _names(code: CodeType) -> frozenset[str]:
    """Return the names that the code looks up: globals, and attributes."""
    inner = (_names(c) for c in code.co_consts if isinstance(c, CodeType))
    return frozenset(code.co_names).union(*inner)


def _value_parts(name: str, value: object, attributes: frozenset[str]) -> Iterator[object]:
    """Yield the content of what stands under that name."""
    yield name.encode()
    python = _python_function(value)
    if python is not None and python.__module__.split(".")[0] != "numpy":
        yield python
    elif isinstance(value, ModuleType):
        yield value.__name__.encode()
        if value.__name__.split(".")[0] == __name__.split(".")[0]:  # one of this package
            for each in sorted(attributes & set(vars(value))):
                yield from _value_parts(each, vars(value)[each], attributes)
    elif isinstance(value, np.ndarray):
        yield f"{value.dtype.str} {value.shape} {value.strides}".encode() + value.tobytes()
    elif isinstance(value, (tuple, frozenset)):
        for each in sorted(value, key=repr) if isinstance(value, frozenset) else value:
            yield from _value_parts("", each, attributes)
        yield f"{type(value).__name__} of {len(value)}".encode()
    elif isinstance(value, Enum):
        yield f"{type(value).__name__} {value.name} {value.value!r}".encode()
    elif isinstance(value, type):
        members = list(value) if issubclass(value, Enum) else []
        yield f"{value.__module__}.{value.__qualname__} {members!r}".encode()
    elif isinstance(value, PLAIN):
        yield f"{type(value).__name__} {value!r}".encode()
    elif isinstance(value, (BuiltinFunctionType, np.ufunc)) or python is not None:
        yield f"{getattr(value, '__module__', '')}.{getattr(value, '__name__', '')}".encode()
    else:
        raise TypeError(f"{name}={value!r} is taken up by a compiled function, but not understood")
