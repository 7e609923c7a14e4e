"""ONNX models through ONNX Runtime; their files are written here, byte by byte."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxruntime")

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify.smoothing.models.adapters import LimitedBatch  # noqa: E402
from rsverify.smoothing.models.load import load_model  # noqa: E402
from rsverify.smoothing.models.onnx import OnnxModel  # noqa: E402

WEIGHT = np.array([[1.0, -1.0], [0.5, 2.0], [0.0, 1.0]], dtype=np.float32)
INPUTS = torch.linspace(-1, 1, 21).reshape(7, 3)
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


def node(kind: str, inputs: list[str], output: str) -> bytes:
    return b"".join(field(1, i) for i in inputs) + field(2, output) + field(4, kind)


def write_model(
    path: Path, *, batch: int | str = "n", kind: int = FLOAT, outputs: int = 1, inputs: int = 1
) -> Path:
    """Write x ↦ x · WEIGHT, and x itself as a second output where two are wanted."""
    numbers = WEIGHT.astype({DOUBLE: np.float64}.get(kind, np.float32))
    weight = field(1, 3) + field(1, 2) + field(2, kind) + field(8, "w")
    weight += field(9, numbers.tobytes())
    graph = field(1, node("MatMul", ["x", "w"], "scores")) + field(1, node("Identity", ["x"], "y"))
    graph += field(2, "graph") + field(5, weight)
    for i in range(inputs):
        graph += field(11, value_info("x" if i == 0 else f"x{i}", kind, [batch, 3]))
    graph += field(12, value_info("scores", kind, [batch, 2]))
    if outputs == 2:
        graph += field(12, value_info("y", kind, [batch, 3]))
    path.write_bytes(field(1, 8) + field(7, graph) + field(8, field(1, "") + field(2, 13)))
    return path


@pytest.mark.parametrize("kind", [FLOAT, DOUBLE])
@pytest.mark.parametrize("batch", ["n", 4])
def test_scores_are_those_of_the_graph_for_any_batch(
    kind: int, batch: int | str, tmp_path: Path
) -> None:
    model = load_model(write_model(tmp_path / "m.onnx", batch=batch, kind=kind))
    assert isinstance(model, LimitedBatch) == (batch == 4)
    for rows in (1, 4, 7):
        expected = INPUTS[:rows].double() @ torch.tensor(WEIGHT).double()
        assert torch.allclose(model(INPUTS[:rows]).double(), expected, atol=1e-6)


def test_votes_are_those_of_the_same_model_in_torch(tmp_path: Path) -> None:
    model = load_model(write_model(tmp_path / "m.onnx", batch=16))
    twin = torch.nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        twin.weight.copy_(torch.tensor(WEIGHT.T))
    votes = [
        SmoothedClassifier(m, 2, 0.5).counts(INPUTS[5], n=501, seed=0).tolist()
        for m in (model, twin)
    ]
    assert votes[0] == votes[1]


def test_output_is_named_where_there_are_several(tmp_path: Path) -> None:
    path = write_model(tmp_path / "m.onnx", outputs=2)
    for output, expected in (
        ("y", INPUTS),
        (1, INPUTS),
        ("1", INPUTS),
        (0, INPUTS @ torch.tensor(WEIGHT)),
    ):
        assert torch.allclose(load_model(path, output=output)(INPUTS), expected, atol=1e-6)
    for output in (None, "logits", 2):
        with pytest.raises(ValueError, match=r"must be one of the outputs of .*: scores, y"):
            load_model(path, output=output)
    assert repr(OnnxModel(path, output="y")) == "OnnxModel('m.onnx', output='y')"


def test_files_that_are_no_model_of_one_floating_input(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_model(tmp_path / "none.onnx")
    (tmp_path / "bad.onnx").write_bytes(b"certainly no model")
    with pytest.raises(ValueError, match=r"bad\.onnx is not an ONNX model that can be run"):
        load_model(tmp_path / "bad.onnx")
    with pytest.raises(ValueError, match=r"takes x: tensor\(float\), x1: tensor\(float\); it must"):
        load_model(write_model(tmp_path / "two.onnx", inputs=2))
    with pytest.raises(ValueError, match="device='meta' is not supported by the onnxruntime"):
        load_model(write_model(tmp_path / "m.onnx"), device="meta")


def test_wrong_input_shape_is_one_error(tmp_path: Path) -> None:
    model = load_model(write_model(tmp_path / "m.onnx"))
    with pytest.raises(ValueError, match=r"refuses a batch of shape \(2, 5\)"):
        model(torch.zeros(2, 5))


def test_hash_is_of_the_file_and_the_output(tmp_path: Path) -> None:
    small = write_model(tmp_path / "a.onnx", outputs=2, batch=4)
    large = write_model(tmp_path / "b.onnx", outputs=2)
    hashes = [
        load_model(path, output=output).rsverify_hash()
        for path, output in ((small, "y"), (small, 1), (small, 0), (large, 0))
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3
