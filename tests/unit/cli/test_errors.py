"""Whatever goes wrong is one line, with the exit code of its kind; no crash is a verdict."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rsverify._core.arrays import read_npy, read_npz
from rsverify._core.errors import DataError
from rsverify.cli import app as cli

BOUND = "def lower(k, n, alpha):\n    return 0 * k\n"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stopped:
        cli.main([str(a) for a in arguments])
    err = capsys.readouterr().err
    assert err.count("\n") == 1, err
    assert err.startswith("error: ")
    assert isinstance(stopped.value.code, int)
    return stopped.value.code, err


@pytest.mark.parametrize(
    "error",
    [
        ZeroDivisionError("x"),
        RuntimeError("first\nsecond"),
        AssertionError(),
        EOFError(),
        RecursionError("deep"),
        KeyError("k"),
        StopIteration(),
        SystemExit(1),
        SystemExit(0),
        OverflowError("x"),
        LookupError("[/x]"),
    ],
)
@pytest.mark.parametrize("command", ["bound", "audit", "recertify", "analyze"])
def test_a_crash_is_never_a_verdict(
    error: BaseException,
    command: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise error

    (tmp_path / "t.tsv").write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n")
    arguments: tuple[object, ...]
    if command == "bound":
        monkeypatch.setattr("rsverify.certificates.margins.margin_lower_bounds", broken)
        arguments = (60, 25, "--y", 0)
    elif command == "audit":
        monkeypatch.setattr("rsverify.auditing.api.audit", broken)
        arguments = ("clopper_pearson_lower", "--n", 5)
    else:
        monkeypatch.setattr("rsverify.tables.reader.read_table", broken)
        arguments = (tmp_path / "t.tsv",)
    code, err = run(capsys, command, *arguments)
    assert code == 70
    assert err.startswith("error: internal error: ")
    assert type(error).__name__ in err


def test_an_interruption_is_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("rsverify.certificates.margins.margin_lower_bounds", stopped)
    assert run(capsys, "bound", 60, 25, "--y", 0) == (
        130,
        "error: interrupted: no file is left half-written; run the same command again\n",
    )


@pytest.mark.parametrize(
    ("code", "body"),
    [(64, "import sys\nsys.exit(1)"), (64, "1 / 0"), (64, "x = ("), (69, "import no_such_one")],
)
def test_a_file_of_a_bound_that_ends_the_program(
    code: int, body: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "ends.py").write_text(f"{body}\n{BOUND}")
    found, err = run(capsys, "audit", f"{tmp_path}/ends.py:lower", "--n", 5)
    assert found == code
    assert "ends.py cannot be run" in err or "no_such_one" in err


def npz(**arrays: object) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def npy(array: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    return buffer.getvalue()


def declared(shape: str, dtype: str = "<f8") -> bytes:
    """Return a .npy file that says more than it holds."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}"
    header += " " * (118 - len(header) - 1) + "\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(64)


BAD_ARRAYS = {
    "empty": b"",
    "text": b"certainly no array",
    "a pickle": b"\x80\x04N.",
    "objects": npy(np.array([object], dtype=object)),
    "cut": npy(np.zeros((9, 2)))[:-10],
    "cut in the header": npy(np.zeros((9, 2)))[:30],
    "a huge shape": declared("(10000000000000, 10)"),
    "beyond all integers": declared(f"({10**30},)"),
    "a negative shape": declared("(-1, 2)"),
    "objects by its header": declared("(2, 2)", "|O"),
}


@pytest.mark.parametrize("kind", BAD_ARRAYS)
def test_files_of_arrays(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    path.write_bytes(BAD_ARRAYS[kind])
    for mapped in (False, True):
        with pytest.raises(DataError, match=r"x\.npy is ") as caught:
            read_npy(path, mapped=mapped)
        assert "\n" not in str(caught.value)
    (tmp_path / "x.npz").write_bytes(BAD_ARRAYS[kind])
    with pytest.raises(DataError, match=r"x\.npz is "):
        read_npz(tmp_path / "x.npz", "x")
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as archive:
        archive.writestr("x.npy", BAD_ARRAYS[kind])
        archive.writestr("names.npy", npy(np.array(["a"], dtype=object)))
        archive.writestr("y.npy", npy(np.arange(9)))
    with pytest.raises(DataError, match=r"x\.npz: 'x' is not an array of numbers"):
        read_npz(tmp_path / "x.npz", "x", "y")
    found, names = read_npz(tmp_path / "x.npz", "y", "z")  # what is not wanted is not read
    assert found["y"].tolist() == list(range(9))
    assert names == ["names", "x", "y"]


def test_archives_of_arrays(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    content = npz(x=np.zeros((9, 2)))
    for cut in (1, 50, len(content) // 2, len(content) - 5):
        path.write_bytes(content[:cut])
        with pytest.raises(DataError, match=r"x\.npz is not a \.npz archive"):
            read_npz(path, "x")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("x", "y"):
            archive.writestr(f"{name}.npy", declared("(40000000,)") + bytes(2**28))
    with pytest.raises(DataError, match="would unpack to"):
        read_npz(path, "x")
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "none.npz")
    with pytest.raises(DataError, match="is not a file"):
        read_npy(tmp_path)


MODELS = """
import torch

def net():
    torch.manual_seed(0)
    return torch.nn.Linear(2, 3)

def data(split="train"):
    return {"train": (torch.zeros(4, 2), [0, 1, 2, 0])}[split]

def exits():
    raise SystemExit(0)
"""


def test_wrong_commands_of_certify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch = pytest.importorskip("torch")
    (tmp_path / "my_models.py").write_text(MODELS)
    (tmp_path / "x.npz").write_bytes(npz(x_train=np.zeros((4, 2)), y_train=np.zeros(4, int)))
    (tmp_path / "object.npz").write_bytes(npz(x=np.array([[None, 1]])))
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.pt").write_bytes(b"certainly no model")
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "w.pt")
    torch.save(torch.nn.Linear(2, 3), tmp_path / "whole.pt")
    torch.save(torch.nn.Linear(5, 3).state_dict(), tmp_path / "other.pt")
    (tmp_path / "cut.pt").write_bytes((tmp_path / "w.pt").read_bytes()[:-300])
    net, data = f"{tmp_path}/my_models.py:net", f"{tmp_path}/x.npz"
    train = ("--split", "train")
    for code, word, model, inputs, *options in (
        (65, "is empty", f"{tmp_path}/empty.pt", data, *train),
        (65, "is a file of another kind", f"{tmp_path}/text.pt", data, *train),
        (65, "its end is missing", f"{tmp_path}/cut.pt", data, *train),
        (65, "holds only weights", f"{tmp_path}/w.pt", data, *train),
        (65, "--allow-pickle", f"{tmp_path}/whole.pt", data, *train),
        (65, "are not those of Linear", net, data, *train, "--checkpoint", f"{tmp_path}/other.pt"),
        (65, "is empty", net, data, *train, "--checkpoint", f"{tmp_path}/empty.pt"),
        (65, "its end is missing", net, data, *train, "--checkpoint", f"{tmp_path}/cut.pt"),
        (66, "does not exist", net, data, *train, "--checkpoint", f"{tmp_path}/none.pt"),
        (66, "does not exist", f"{tmp_path}/none.pt", data, *train),
        (66, "no such file", net, f"{tmp_path}/none.npz"),
        (66, "no such file", f"{tmp_path}/none.py:net", data, *train),
        (65, "--split can be train", net, data, "--split", "test"),
        (65, "--split can be train", net, data),
        (65, "'x' is not an array of numbers", net, f"{tmp_path}/object.npz"),
        (65, "must end in .npy or .npz", net, f"{tmp_path}/w.pt"),
        (66, "must end in .npy or .npz", net, f"{tmp_path}/none"),
        (66, "must end in .npy or .npz", net, f"{tmp_path}/none.csv"),
        (64, "must say which function of it returns the data", net, f"{tmp_path}/my_models.py"),
        (
            64,
            "must say which function of it makes the model",
            f"{tmp_path}/my_models.py",
            data,
            *train,
        ),
        (64, "KeyError: 'nope'", net, f"{tmp_path}/my_models.py:data", "--split", "nope"),
        (64, "SystemExit: 0", f"{tmp_path}/my_models.py:exits", data, *train),
        (64, "has no function 'absent'", f"{tmp_path}/my_models.py:absent", data, *train),
        (69, "No module named 'no_such_one'", "no_such_one:net", data, *train),
        (69, "device='mps'", net, data, *train, "--device", "mps"),
        (69, "device='xpu:3'", net, data, *train, "--device", "xpu:3"),
        (64, "device='warp' must be ", net, data, *train, "--device", "warp"),
        (64, "autocast='int32'", net, data, *train, "--autocast", "int32"),
    ):
        sizes = ("--num-classes", 3, "--sigma", 0.5, "--n", 20, "--n0", 5)
        out = tmp_path / "out.tsv"
        found, err = run(capsys, "certify", model, inputs, out, *sizes, *options)
        assert (found, word in err) == (code, True), err
        assert not out.exists()
        assert not out.with_suffix(".json").exists()


@pytest.mark.parametrize("name", ["x.xyz", "x", "x.png.exe", ".png"])
def test_endings_of_figures_are_checked_before_the_work(
    name: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code, err = run(capsys, "analyze", tmp_path / "none.tsv", "--figure", tmp_path / name)
    assert code == 64
    assert "figure=" in err


def test_a_reader_that_leaves_is_no_error():
    """``rsverify --help | head -c 5``: no line on stderr, and never the code of *refuted*."""
    command = (
        f"{sys.executable} -m rsverify --help | head -c 5 > /dev/null; echo ${{PIPESTATUS[0]}}"
    )
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in {"0", "141"}  # 0 where all was written before the reader left
    assert done.stderr == ""
