"""Wrong commands as people type them: one line on stderr, nothing on stdout, the code of its kind.

64 usage, 65 data, 66 missing input, 69 missing device or package, 73 cannot create.
"""

from __future__ import annotations

import builtins
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from tests.support.screens import folder_of_files, show  # noqa: E402

FACTORIES = """
import torch

def wide():
    return torch.nn.Linear(5, 2)

def nothing():
    return None

def asks(name):
    return torch.nn.Linear(2, 2)

def without_memory():
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 9.00 GiB\\nmore")

def huge():
    class Huge(torch.nn.Module):
        def forward(self, x):
            raise MemoryError
    return Huge()

def imports():
    import no_such_package

def unlinked():
    raise ImportError("libcudart.so.12: cannot open shared object file")

def data(split="train"):
    return {"train": [(torch.zeros(2), 0)]}[split]

def words():
    return ["a", "b"]

def klass():
    return torch.nn.Linear

def reads():
    open("/absent/weights.pt")

def three(k, n, alpha):
    return k / n - alpha

def on_a_gpu():
    raise AssertionError("Torch not compiled with CUDA enabled")
"""
CERTIFY = "--sigma 0.5 --num-classes 2 --n 60 --n0 10"
PLAN = "--probabilities 0.9,0.1 --sigma 0.25 --target-radius 0.1"
NET, DATA = "certify net.py:net", "images.npz o.tsv " + CERTIFY

WRONG = [
    (64, "No such command 'certfy'", "certfy net.py:net images.npz o.tsv"),
    (64, "No such option: --sigmaa", "bound 5 4 --y 0 --sigmaa 1"),
    (64, "Missing option '--y'; see rsverify bound --help", "bound 5 4"),
    (64, "Missing argument 'DATA'; see rsverify certify --help", "certify net.py:net"),
    (64, "-5 is not an option, and numbers without one must not be negative", "bound -5 4 --y 0"),
    (64, "y=0 must not be one of ignore=[0]", "bound 5 4 --y 0 --ignore 0"),
    (64, "figure='p.xyz' must end in .png", f"plan {PLAN} --figure p.xyz"),
    (64, "must be given: only one of them", f"plan counts.csv {PLAN}"),
    (
        64,
        "data must be given: net.py:net is a model",
        "plan net.py:net --target-radius 1 --sigma 1",
    ),
    (64, "parts='strict.tsv' must be given once", "merge strict.tsv ./strict.tsv -o o.tsv"),
    (64, "is hoeffding_lower meant?", "audit hoefding_lower --n 5"),
    (64, "n=0 must be at least 1", "demo --n 0"),
    (
        64,
        "probabilities=[0.9, 0.2] must be at least 0 and add up to 1, not 1.1",
        "plan --probabilities 0.9,0.2 --sigma 1 --target-radius 0.1",
    ),
    (
        64,
        "must say which function of it makes the model: net.py:FUNCTION",
        f"certify net.py {DATA}",
    ),
    (64, "must say which function of it returns the data", f"{NET} net.py o.tsv {CERTIFY}"),
    (64, "wide() takes 0 positional arguments", f"{NET} {DATA} --preprocess odd.py:wide"),
    (64, "odd.py:klass returned the class Linear", f"certify odd.py:klass {DATA}"),
    (65, "line 2 of bytes.bin is not UTF-8", "verify bytes.bin"),
    (65, "strict.json is JSON: give the table that it belongs to", "recertify strict.json"),
    (
        65,
        "input 0 has no label: certify_label=True (--certify-label)",
        f"{NET} x.npy o.tsv {CERTIFY} --certify-label",
    ),
    (65, "it holds one data set: leave --split out", f"{NET} {DATA} --split val"),
    (65, "input 0: x contains NaN", f"{NET} nan.npy o.tsv {CERTIFY}"),
    (
        65,
        "it cannot be resumed; name another table, or give --force",
        f"{NET} images.npz words.tsv {CERTIFY}",
    ),
    (66, "odd.py:reads failed: FileNotFoundError", f"certify odd.py:reads {DATA}"),
    (66, "absent does not exist: a model is a saved module", f"certify absent {DATA}"),
    (66, "no such program; is it installed, and on PATH?", "audit --command absent_program --n 5"),
    (69, "leave the choice of a device to --device", f"certify odd.py:on_a_gpu {DATA}"),
    (73, "my_bounds.py exists already: name another file", "new-bound my_bounds.py"),
    (65, "table has no rows", "recertify bare.tsv --n 10 --sigma 1 --stated-alpha 0.01"),
    (65, "bare.tsv: table has no rows", "analyze bare.tsv"),
    (65, "idx=0 occurs twice", "recertify twice.tsv --n 10 --sigma 1 --stated-alpha 0.01"),
    (65, "twice.tsv: idx=0 occurs twice", "analyze twice.tsv"),
    (65, "endless.tsv: radius=inf must be finite", "analyze endless.tsv"),
    (65, "endless.tsv: radius=inf must be finite", "analyze endless.tsv --sigma 0.5"),
    (65, "strict.json is JSON: give the table that it belongs to", "verify strict.json"),
    (65, "no_rows.tsv has no rows, so that nothing can be proved", "verify no_rows.tsv"),
    (65, "recertify is for tables of certificates", "certify-counts strict.tsv --y 0 --sigma 1"),
    (
        65,
        "published.tsv is a table of certificates without vote counts",
        "plan published.tsv --sigma 0.25 --target-radius 0.1",
    ),
    (
        64,
        "fix what it needs besides, as in lambda data, alpha: three(…)",
        "audit odd.py:three --n 5",
    ),
    (64, "strict.tsv has no entry 'inputs' in its conf", "merge part_1.tsv strict.tsv -o new.tsv"),
    (64, "COUNTS='many' must be", "bound many 4 --y 0"),
    (64, "y=2 must be a class between 0 and 1", "bound 5 4 --y 2"),
    (64, "alpha=1.5 must be in (0, 1)", "bound 5 4 --y 0 --alpha 1.5"),
    (64, "format='yaml' must be one of 'text', 'json'", "bound 5 4 --y 0 --format yaml"),
    (64, "norm='l0' must be one of 'l1'", "bound 5 4 --y 0 --noise uniform:1 --norm l0"),
    (64, "norm='l1' must come with --noise", "bound 5 4 --y 0 --norm l1"),
    (64, "sigma=1 must be left out", "bound 5 4 --y 0 --noise uniform:1 --sigma 1"),
    (64, "noise='uniform' must have its parameters", "bound 5 4 --y 0 --noise uniform"),
    (64, "dimension=None must be given", "bound 5 4 --y 0 --noise uniform:1 --norm linf"),
    (64, "must leave a runner-up", "bound 5 4 --y 0 --ignore 1"),
    (64, "bound='best' must be one of", "recertify strict.tsv --bound best"),
    (64, "method='fast' must be one of", "audit betting_lower --n 5 --method fast"),
    (64, "figure='x.xyz' must end in one of .png", "analyze strict.tsv --figure x.xyz"),
    (64, "figure='x.xyz' must end in one of .png", "analyze strict.tsv --picture x.xyz"),
    (64, "out='x.docx' must end in one of .md", "analyze strict.tsv -o x.docx"),
    (64, "path='x.doc' must end in one of", "audit betting_lower --n 5 -o x.doc"),
    (64, "only one of --markdown and --json", "analyze strict.tsv --format json --markdown -"),
    (64, "must be left out: OUT=a.tsv is given", "recertify strict.tsv a.tsv -o b.tsv"),
    (64, "must say which function", "audit my_bounds.py --n 5"),
    (64, "has no function 'absent'", "audit my_bounds.py:absent --n 5"),
    (64, "out must be given", f"{NET} images.npz {CERTIFY}"),
    (64, "each has its own table", f"{NET} {DATA} --sigma 0.5"),
    (64, "mat1 and mat2 shapes", f"certify odd.py:wide {DATA}"),
    (64, "it must return a model", f"certify odd.py:nothing {DATA}"),
    (64, "missing 1 required positional argument", f"certify odd.py:asks {DATA}"),
    (64, "odd.py:data('test') failed: KeyError", f"{NET} odd.py:data o.tsv {CERTIFY} --split test"),
    (64, "x of type str", f"{NET} odd.py:words o.tsv {CERTIFY}"),
    (65, "images.npz holds x, y", f"{NET} {DATA} --split test"),
    (65, "empty.tsv is empty", "analyze empty.tsv"),
    (65, "has no column 'idx'", "recertify words.tsv"),
    (65, "is encoded as UTF-16", "recertify utf16.tsv --alpha 0.1"),
    (65, "line 2 of latin.tsv is not UTF-8", "analyze latin.tsv"),
    (65, "old.json is not the JSON of a table", "recertify old.tsv o.tsv --alpha 0.1"),
    (65, "is not of an audit", "audit betting_lower --n 5 --store words.tsv --resume"),
    (65, "empty.pt is empty", f"certify empty.pt {DATA}"),
    (65, "its end is missing", f"certify cut.pt {DATA}"),
    (65, "is a file of another kind", f"certify words.tsv {DATA}"),
    (65, "is a zip archive of another kind", f"certify zip.pt {DATA}"),
    (65, "is a pickle", f"certify pickle.pt {DATA}"),
    (65, "holds only weights", f"certify weights.pt {DATA}"),
    (65, "are not those of Linear", f"{NET} {DATA} --checkpoint other.pt"),
    (65, "words.tsv is a file of another kind", f"{NET} {DATA} --checkpoint words.tsv"),
    (65, "zip.npz is not a .npz archive", f"{NET} zip.npz o.tsv {CERTIFY}"),
    (65, "cut.npy is not a .npy file", f"{NET} cut.npy o.tsv {CERTIFY}"),
    (66, "absent.tsv: No such file", "analyze absent.tsv"),
    (66, "folder: Is a directory", "recertify folder"),
    (66, "absent.py: no such file", "audit absent.py:lower --n 5"),
    (66, "absent.npz: no such file", f"{NET} absent.npz o.tsv {CERTIFY}"),
    (69, "device='cuda:7' must be on this machine", f"{NET} {DATA} --device cuda:7"),
    (69, "No module named 'absent_one'", f"certify absent_one:net {DATA}"),
    (69, "No module named 'no_such_package'", f"certify odd.py:imports {DATA}"),
    (69, "cannot open shared object file", f"certify odd.py:unlinked {DATA}"),
    (69, "out of memory", f"certify odd.py:without_memory {DATA}"),
    (69, "does not fit into memory", f"certify odd.py:huge {DATA}"),
    (73, "loose.tsv exists already", "recertify strict.tsv loose.tsv --alpha 0.1"),
    (73, "folder is a directory", "recertify strict.tsv folder --alpha 0.1"),
    (73, "folder is a directory", f"{NET} images.npz folder {CERTIFY}"),
    (73, "Not a directory", "recertify strict.tsv words.tsv/new.tsv --alpha 0.1"),
    (73, "File name too long", f"recertify strict.tsv {'a' * 300}.tsv --alpha 0.1"),
    (73, "is not a file but a device", "recertify strict.tsv /dev/null --alpha 0.1 --force"),
    (73, "No space left on device", "analyze strict.tsv --json /dev/full"),
    (73, "Not a directory", "demo -o words.tsv"),
]


def write_files() -> None:
    Path("odd.py").write_text(FACTORIES)
    Path("folder").mkdir()
    published = Path("published.tsv").read_text().splitlines(keepends=True)
    Path("bare.tsv").write_text(published[0])
    Path("endless.tsv").write_text(published[0] + published[1].replace("0.486", "inf"))
    Path("twice.tsv").write_text("".join([*published[:2], published[1]]))
    Path("words.tsv").write_text("hello\nthere\n")
    for name in ("empty.tsv", "empty.pt"):
        Path(name).touch()
    table = Path("strict.tsv").read_text()
    Path("no_rows.tsv").write_text(table.partition("\n")[0] + "\n")
    Path("utf16.tsv").write_text(table, encoding="utf-16")
    Path("latin.tsv").write_bytes(table.replace("cohen", "cohén", 1).encode("latin-1"))
    Path("old.tsv").write_text(table)
    Path("old.json").write_text('{"format": ')
    torch.save(torch.nn.Linear(2, 2).state_dict(), "weights.pt")
    torch.save(torch.nn.Linear(3, 2).state_dict(), "other.pt")
    Path("cut.pt").write_bytes(Path("weights.pt").read_bytes()[:-100])
    Path("pickle.pt").write_bytes(pickle.dumps({"a": object}))
    with zipfile.ZipFile("zip.pt", "w") as archive:
        archive.writestr("a", "b")
    Path("zip.npz").write_bytes(Path("zip.pt").read_bytes()[:-9])
    np.save("cut.npy", np.zeros((4, 2)))
    np.save("x.npy", np.zeros((4, 2)))
    np.save("nan.npy", np.full((4, 2), np.nan))
    Path("bytes.bin").write_bytes(bytes(range(256)))
    Path("cut.npy").write_bytes(Path("cut.npy").read_bytes()[:-9])


@pytest.fixture(scope="module")
def files():
    with folder_of_files():
        write_files()
        yield


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(("code", "words", "command"), WRONG)
def test_a_wrong_command_is_one_line_and_a_code(code, words, command):
    devices = [word for word in command.split() if word.startswith("/dev/")]
    if not all(map(os.path.exists, devices)):
        pytest.skip("no such device here")
    before = {p: p.stat().st_mtime_ns for p in Path().iterdir()}
    found = show(command)
    assert words in found.err
    assert found.err.startswith("error: ")
    assert found.err.count("\n") == 1
    assert (found.code, found.out) == (code, "")
    assert {p: p.stat().st_mtime_ns for p in Path().iterdir()} == before


def test_there_are_more_than_twenty_of_every_code():
    assert len(WRONG) > 20
    assert {code for code, _, _ in WRONG} == {64, 65, 66, 69, 73}


@pytest.mark.usefixtures("files")
@pytest.mark.parametrize(
    ("package", "extra", "command"),
    [
        ("torch", "torch", f"{NET} {DATA}"),
        ("torch", "demo", "demo"),
        ("sklearn", "demo", "demo"),
        ("pyarrow", "parquet", "audit betting_lower --n 5 -o report.parquet"),
        ("jinja2", "latex", "analyze strict.tsv -o table.tex"),
        ("flint", "verify", "verify strict.tsv"),
        ("onnxruntime", "onnx", f"certify model.onnx {DATA}"),
        ("safetensors", "safetensors", f"{NET} {DATA} --checkpoint model.safetensors"),
    ],
)
def test_a_missing_package_is_named_by_its_extra(package, extra, command, monkeypatch):
    """Not there to be found, and not there to be imported."""
    for name in ("model.onnx", "model.safetensors"):
        Path(name).write_bytes(b"\x08\x00\x00\x00\x00\x00\x00\x00{}      ")
    find, load = __import__("importlib.util").util.find_spec, builtins.__import__

    def not_found(name, *more):
        return None if name.partition(".")[0] == package else find(name, *more)

    def not_loaded(name, *more, **named):
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return load(name, *more, **named)

    monkeypatch.setattr("importlib.util.find_spec", not_found)
    if package not in ("torch", "sklearn"):  # which are loaded already
        monkeypatch.setattr(builtins, "__import__", not_loaded)
    found = show(command)
    assert f"pip install 'rsverify[{extra}]'" in found.err
    assert found.err.count("\n") == 1
    assert (found.code, found.out) == (69, "")
