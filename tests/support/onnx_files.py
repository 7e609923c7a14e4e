"""ONNX files, written byte by byte: the package that makes them is not needed to run them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

WEIGHT = np.array([[1.0, -1.0], [0.5, 2.0], [0.0, 1.0]], dtype=np.float32)
FLOAT, DOUBLE, INT64 = 1, 11, 7


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: int | str | bytes) -> bytes:
    """Return one field of a protocol buffer: a varint, or bytes with their length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    content = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(content)) + content


def value_info(name: str, kind: int, sizes: list[int | str]) -> bytes:
    dims = b"".join(
        field(1, field(1, size) if isinstance(size, int) else field(2, size)) for size in sizes
    )
    return field(1, name) + field(2, field(1, field(1, kind) + field(2, dims)))


def node(kind: str, inputs: list[str], output: str, **integers: int) -> bytes:
    """Return an operation, with attributes that are integers."""
    attributes = [field(1, k) + field(3, v) + field(20, 2) for k, v in integers.items()]
    names = b"".join(field(1, i) for i in inputs) + field(2, output)
    return names + field(4, kind) + b"".join(field(5, a) for a in attributes)


def write_model(
    path: Path,
    *,
    batch: int | str = "n",
    kind: int = FLOAT,
    outputs: int = 1,
    inputs: int = 1,
    then: bytes = b"",
) -> Path:
    """Write x ↦ x · WEIGHT, and x itself as a second output where two are wanted.

    `then` is an operation from "product" to "scores".
    """
    numbers = WEIGHT.astype({DOUBLE: np.float64}.get(kind, np.float32))
    weight = field(1, 3) + field(1, 2) + field(2, kind) + field(8, "w")
    weight += field(9, numbers.tobytes())
    product = field(1, node("MatMul", ["x", "w"], "product" if then else "scores"))
    graph = product + (field(1, then) if then else b"") + field(1, node("Identity", ["x"], "y"))
    graph += field(2, "graph") + field(5, weight)
    for i in range(inputs):
        graph += field(11, value_info("x" if i == 0 else f"x{i}", kind, [batch, 3]))
    graph += field(12, value_info("scores", kind, [batch, 2]))
    if outputs == 2:
        graph += field(12, value_info("y", kind, [batch, 3]))
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
    return path
