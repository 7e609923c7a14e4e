"""Files made to run code when they are loaded: none is run without leave."""

from __future__ import annotations

import contextlib
import io
import json
import os
import pickle
import tarfile
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rsverify._core.errors import DataError, UnavailableError  # noqa: E402
from rsverify.smoothing.models import archive  # noqa: E402
from rsverify.smoothing.models.checkpoint import load_weights  # noqa: E402
from rsverify.smoothing.models.load import load_model, load_module  # noqa: E402


def net() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 3)).eval()


class Payload:
    """What makes the folder `marker` when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self.marker = str(marker)

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.marker,)


def saved(content: object, **options: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, **options)
    return buffer.getvalue()


def exported(**replaced: Callable[[bytes], bytes]) -> bytes:
    """Return an exported program in which the entries whose names hold a word are replaced."""
    buffer = io.BytesIO()
    torch.export.save(torch.export.export(net(), (torch.zeros(2, 2, 2),)), buffer)
    changed = io.BytesIO()
    with zipfile.ZipFile(buffer) as old, zipfile.ZipFile(changed, "w") as new:
        for entry in old.infolist():
            content = old.read(entry)
            for word, replacement in replaced.items():
                if word in entry.filename:
                    content = replacement(content)
            new.writestr(entry.filename, content)
    return changed.getvalue()


def pickled_weights(config: bytes) -> bytes:
    content = json.loads(config)
    for payload in content["config"].values():
        payload["use_pickle"] = True
    return json.dumps(content).encode()


def renamed(content: bytes, old: str, new: str) -> bytes:
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as before, zipfile.ZipFile(changed, "w") as after:
        for entry in before.infolist():
            after.writestr(entry.filename.replace(old, new), before.read(entry))
    return changed.getvalue()


def tar_of(content: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


def array_of(content: object) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([content, None], dtype=object), allow_pickle=True)
    return buffer.getvalue()


def joblib_of(content: object) -> bytes:
    buffer = io.BytesIO()
    joblib.dump(content, buffer, compress=3)
    return buffer.getvalue()


HOSTILE: dict[str, Callable[[Payload], bytes]] = {
    "sample inputs": lambda p: exported(sample_inputs=lambda _: saved((p,))),
    "sample inputs, a bare pickle": lambda p: exported(sample_inputs=lambda _: pickle.dumps((p,))),
    "weights of a program": lambda p: exported(
        weights_config=pickled_weights, weight_0=lambda _: saved(p), weight_1=lambda _: saved(p)
    ),
    "constants of a program": lambda p: renamed(
        exported(sample_inputs=lambda _: saved({"a": p})), "sample_inputs", "constants"
    ),
    "program of an older kind": lambda p: renamed(
        exported(sample_inputs=lambda _: saved((p,))), "archive/", ""
    ),
    "whole module": lambda p: saved({"model": net(), "more": p}),
    "beside weights": lambda p: saved({"state_dict": net().state_dict(), "args": p}),
    "instead of a tensor": lambda p: saved({**net().state_dict(), "1.bias": p}),
    "old format of torch.save": lambda p: saved(p, _use_new_zipfile_serialization=False),
    "bare pickle": pickle.dumps,
    "bare pickle, protocol 0": lambda p: pickle.dumps(p, protocol=0),
    "bare pickle, protocol 5": lambda p: pickle.dumps(p, protocol=5),
    "tar": lambda p: tar_of(pickle.dumps(p)),
    "joblib": joblib_of,
    "array of objects": array_of,
}
NAMES = ("m.pt", "m.pt2", "m.pth", "m.ckpt", "m.bin", "m.onnx", "m.safetensors", "m.joblib", "m")


@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_runs_without_leave_whatever_the_file_is_called(kind: str, tmp_path: Path) -> None:
    content = HOSTILE[kind](Payload(tmp_path / "marker"))
    for name in NAMES:
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises((DataError, ModuleNotFoundError)) as caught:
            load_model(path)
        assert str(path) in str(caught.value)
        with pytest.raises(DataError):
            load_module(path)
        with pytest.raises(DataError):
            load_weights(net(), path)
        with pytest.raises(DataError):
            load_model(net, checkpoint=path)
        with pytest.raises(DataError):  # what is allowed allows no more than that
            load_weights(net(), path, allow_globals=["numpy.dtype", "argparse.Namespace"])
        assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("kind", ["sample inputs", "whole module", "bare pickle"])
def test_the_payloads_would_run(kind: str, tmp_path: Path) -> None:
    """Else the test above could not fail."""
    (tmp_path / "m.pt2").write_bytes(HOSTILE[kind](Payload(tmp_path / "marker")))
    with contextlib.suppress(DataError):  # of the whole module there is one beside the payload
        load_model(tmp_path / "m.pt2", allow_pickle=True)
    assert (tmp_path / "marker").is_dir()


def test_a_script_that_writes_needs_leave(tmp_path: Path) -> None:
    class Writes(torch.nn.Module):
        def __init__(self, path: str) -> None:
            super().__init__()
            self.path = path

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch.save(x, self.path)
            return x.flatten(1)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        scripted = torch.jit.script(Writes(str(tmp_path / "marker")))
        torch.jit.save(scripted, tmp_path / "m.pt")
    with pytest.raises(DataError, match=r"can write files when it is called.*--allow-pickle"):
        load_model(tmp_path / "m.pt")
    load_model(tmp_path / "m.pt", allow_pickle=True)(torch.zeros(1, 4))
    assert (tmp_path / "marker").exists()


def test_refusals_say_what_the_file_is_and_what_to_do(tmp_path: Path) -> None:
    for content, message in (
        (exported(), r"an exported program, which can run any code .*--allow-pickle"),
        (saved(net()), r"runs code of its own \(torch\.nn.*--allow-pickle"),
        (saved(net().state_dict()), r"holds only weights.*FILE\.py:FUNCTION.*--checkpoint"),
        (b"", "is empty"),
        (exported()[:-100], "m is a damaged archive: its end is missing"),
        (b"certainly no model", "is a file of another kind; it must hold a saved module"),
    ):
        (tmp_path / "m").write_bytes(content)
        with pytest.raises(DataError, match=message):
            load_model(tmp_path / "m")
    with pytest.raises(DataError, match="is not a file"):
        load_model(tmp_path)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_model(tmp_path / "none.pt")


def test_files_made_to_exhaust_memory_are_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bomb:
        for i in range(3):
            bomb.writestr(f"archive/data/{i}", bytes(2**27))
        bomb.writestr("archive/data.pkl", pickle.dumps({}, protocol=2))
        bomb.writestr("archive/version", "3\n")
    assert path.stat().st_size < 2**20
    for load in (
        lambda: load_model(path),
        lambda: load_model(path, allow_pickle=True),
        lambda: load_weights(net(), path),
    ):
        with pytest.raises(DataError, match=r"bomb\.pt of [\d,]+ bytes would unpack to 402,653"):
            load()


@pytest.mark.parametrize("version", ["2.5.1", "2.9.1+cu128", "1.13.0"])
def test_weights_are_not_read_by_an_unsound_torch(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "w.pt").write_bytes(saved(net().state_dict()))
    monkeypatch.setattr(archive.torch, "__version__", version)
    with pytest.raises(UnavailableError, match=rf"torch {version[:5]}.*torch>=2\.10"):
        load_weights(net(), tmp_path / "w.pt")
    monkeypatch.setattr(archive.torch, "__version__", "2.10.0a0+git1")
    load_weights(net(), tmp_path / "w.pt")


def test_safetensors_need_no_leave_and_no_new_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    trained = net()
    with torch.no_grad():
        trained[1].weight.add_(1.0)
    safetensors.save_file(trained.state_dict(), tmp_path / "w.safetensors")
    monkeypatch.setattr(archive.torch, "__version__", "2.5.1")
    loaded = load_weights(net(), tmp_path / "w.safetensors")
    assert torch.equal(loaded[1].weight, trained[1].weight)
    with pytest.raises(DataError, match="holds only weights"):
        load_model(tmp_path / "w.safetensors")
    (tmp_path / "w.safetensors").write_bytes((tmp_path / "w.safetensors").read_bytes()[:-5])
    with pytest.raises(DataError, match="is not a file of safetensors"):
        load_weights(net(), tmp_path / "w.safetensors")


@pytest.mark.parametrize("cut", [1, 10, 100, 600, -1, -30, -200])
def test_truncated_files_are_one_line(cut: int, tmp_path: Path) -> None:
    for name, content in (
        ("w.pt", saved(net().state_dict())),
        ("old.pt", saved(net().state_dict(), _use_new_zipfile_serialization=False)),
        ("m.pt2", exported()),
    ):
        (tmp_path / name).write_bytes(content[:cut])
        for load in (
            lambda path: load_weights(net(), path),
            lambda path: load_weights(net(), path, allow_pickle=True),
            lambda path: load_model(path),
            lambda path: load_model(path, allow_pickle=True),
        ):
            with pytest.raises(DataError) as caught:
                load(tmp_path / name)
            assert "\n" not in str(caught.value)
            assert name in str(caught.value)


def test_weights_of_an_unusual_kind_are_refused_by_name(tmp_path: Path) -> None:
    state = net().state_dict()
    for odd, message in (
        (torch.zeros(3, dtype=torch.complex64), r"1\.bias of torch\.complex64"),
        (torch.zeros(3, dtype=torch.int8), r"1\.bias of torch\.int8"),
        (torch.zeros(3).to_sparse(), r"1 of another kind of number: 1\.bias"),
        (torch.empty(3, device="meta"), r"1 of another kind of number: 1\.bias"),
    ):
        (tmp_path / "w.pt").write_bytes(saved({**state, "1.bias": odd}))
        with pytest.raises(DataError, match=message):
            load_weights(net(), tmp_path / "w.pt")
    (tmp_path / "w.pt").write_bytes(saved({**state, "1.bias": state["1.bias"].half()}))
    load_weights(net(), tmp_path / "w.pt")
    (tmp_path / "w.pt").write_bytes(saved({1: state["1.bias"], "x" * 10**5: 2}))
    with pytest.raises(DataError) as caught:
        load_weights(net(), tmp_path / "w.pt")
    assert len(str(caught.value)) < 500
