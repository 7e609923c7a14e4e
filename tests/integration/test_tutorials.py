"""The tutorials run from the first cell to the last, and the site shows what they then print."""

import gzip
import json
import struct
from pathlib import Path

import numpy as np
import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
TUTORIALS = sorted(FOLDER.glob("*.ipynb"))


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda p: p.stem)
def test_the_committed_outputs_are_of_an_undisturbed_run(path: Path) -> None:
    cells = [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == "code"]
    assert [c["execution_count"] for c in cells] == list(range(1, len(cells) + 1))
    kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
    assert "error" not in kinds
    assert not any(o.get("name") == "stderr" for c in cells for o in c["outputs"])


def execute(path: Path, folder: Path) -> tuple[list[str], list[str]]:
    """Run a notebook in `folder`; return what its cells printed when committed, and now."""
    notebook = nbformat.read(path, as_version=4)
    before = texts_of(notebook)
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": folder}}
    ).execute()
    return before, texts_of(notebook)


def texts_of(notebook: nbformat.NotebookNode) -> list[str]:
    """Return what each cell printed: in how many parts it arrives depends on the machine."""
    return ["".join(o.get("text", "") for o in c.get("outputs", [])) for c in notebook.cells]


@pytest.mark.slow
@pytest.mark.parametrize("path", TUTORIALS, ids=lambda p: p.stem)
def test_a_tutorial_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASHION_MNIST", str(tmp_path / "absent"))  # the small data, wherever run
    before, after = execute(path, tmp_path)
    assert len(before) == len(after)
    if path.stem != "certify-your-classifier":  # whose training rounds as the processor does
        assert after == before


def write_as_fashion_mnist(folder: Path, part: str, rows: slice) -> None:
    """Write digits, enlarged to 28 x 28, in the two files that Fashion-MNIST has for a part."""
    bunch = pytest.importorskip("sklearn.datasets").load_digits()
    small = bunch.images[rows] * (255 / 16)
    images = np.pad(np.kron(small, np.ones((3, 3))), ((0, 0), (2, 2), (2, 2))).astype(np.uint8)
    labels = bunch.target[rows].astype(np.uint8)
    for kind, magic, values in (("images-idx3", 0x803, images), ("labels-idx1", 0x801, labels)):
        head = struct.pack(f">{1 + values.ndim}I", magic, *values.shape)
        path = folder / f"{part}-{kind}-ubyte.gz"
        path.write_bytes(gzip.compress(head + values.tobytes()))


@pytest.mark.slow
def test_the_first_tutorial_takes_the_files_of_fashion_mnist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "files"
    folder.mkdir()
    write_as_fashion_mnist(folder, "train", slice(0, 1300))
    write_as_fashion_mnist(folder, "t10k", slice(1300, 1312))
    monkeypatch.setenv("FASHION_MNIST", str(folder))
    _, after = execute(FOLDER / "certify-your-classifier.ipynb", tmp_path)
    printed = [text for text in after if text]
    assert printed[0].startswith("1,300 images to train on, 12 to certify, each (1, 28, 28)")
    assert float(printed[1].removeprefix("accuracy without noise: ")) > 0.5
    assert "of 12 images" in printed[-1]
