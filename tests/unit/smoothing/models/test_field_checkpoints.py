"""Checkpoints as the field writes them: entries, prefixes, and what stands beside."""

from __future__ import annotations

import argparse
import collections
import datetime
import pathlib
import types
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rsverify._core.errors import DataError  # noqa: E402
from rsverify.smoothing.models.checkpoint import load_weights  # noqa: E402
from rsverify.smoothing.models.load import load_model  # noqa: E402


def net(seed: int = 0) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        collections.OrderedDict(
            body=torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 5)),
            norm=torch.nn.BatchNorm1d(5),
            head=torch.nn.Linear(5, 3),
        )
    ).eval()


PATH = f"{type(Path()).__module__}\n{type(Path()).__name__}"
X = torch.linspace(-1, 1, 8).reshape(2, 4)
TRAINED = net(1)
STATE = TRAINED.state_dict()
OTHER = {k: v + 1 for k, v in STATE.items()}


def prefixed(prefix: str, state: dict[str, Any] = STATE) -> dict[str, Any]:
    return {prefix + k: v for k, v in state.items()}


def optimizer() -> dict[str, Any]:
    model = net(1).train()
    made = torch.optim.AdamW(model.parameters())
    model(torch.rand(4, 4)).sum().backward()
    made.step()
    return made.state_dict()


def save(content: Any, folder: Path) -> Path:
    torch.save(content, folder / "w.pt")
    return folder / "w.pt"


def check(path: Path, **options: Any) -> None:
    loaded = load_weights(net(), path, **options)
    assert torch.equal(loaded(X), TRAINED(X))
    assert not torch.equal(net()(X), TRAINED(X))


ENTRIES = (
    *("state_dict", "model", "ema", "model_state_dict", "net", "network", "model_ema", "weights"),
    *("params", "generator", "student", "some_name_of_ours"),
)


@pytest.mark.parametrize("entry", ENTRIES)
def test_an_entry_is_found_whatever_it_is_called(entry: str, tmp_path: Path) -> None:
    check(save({entry: STATE, "epoch": 3, "optimizer": optimizer(), "best": 0.5}, tmp_path))
    check(save({"epoch": 3, "checkpoint": {entry: prefixed("module.")}}, tmp_path))


@pytest.mark.parametrize(
    "content",
    [
        prefixed("backbone."),
        prefixed("encoder.model."),
        prefixed("module._orig_mod."),
        {"state_dict": prefixed("model.net.")},
        {k.replace("body.", "body.module."): v for k, v in STATE.items()},
        {f"_orig_mod.{k.replace('head.', 'head.module.')}": v for k, v in STATE.items()},
        {"model": prefixed("_fsdp_wrapped_module.")},
        {**STATE, "epoch": 3, "name": "a run"},
        {**prefixed("module."), "n_averaged": torch.tensor(7)},
        {**STATE, "body.1.total_ops": torch.zeros(1), "total_params": torch.zeros(1)},
    ],
)
def test_prefixes_and_wrappers_are_removed(content: dict[str, Any], tmp_path: Path) -> None:
    check(save(content, tmp_path))


def test_real_wrappers_of_torch(tmp_path: Path) -> None:
    averaged = torch.optim.swa_utils.AveragedModel(TRAINED)
    parts = net(1)
    parts.body = torch.nn.DataParallel(parts.body)
    for module in (torch.nn.DataParallel(TRAINED), averaged, parts):
        check(save(module.state_dict(), tmp_path))


def lightning(**beside: Any) -> dict[str, Any]:
    """Return what Lightning writes: of a module that holds the model and its loss."""
    return {
        "epoch": 4,
        "global_step": 500,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {**prefixed("model."), "criterion.weight": torch.ones(3)},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 5}}}},
        "callbacks": {
            "ModelCheckpoint{'monitor': 'loss'}": {"best_model_score": torch.tensor(0.5)}
        },
        "optimizer_states": [optimizer()],
        "lr_schedulers": [{"last_epoch": 4}],
        "hyper_parameters": {"lr": 0.1},
        **beside,
    }


def test_lightning_with_weights_of_the_loss(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match=r"1 weights .*of a loss or a metric.*criterion\.weight"):
        check(save(lightning(), tmp_path))
    for name in ("loss_fn.pos_weight", "train_acc.total", "val_f1.tp", "metrics.confusion"):
        content = {"state_dict": {**STATE, name: torch.ones(1)}}
        with pytest.warns(UserWarning, match="of a loss or a metric"):
            check(save(content, tmp_path))


def test_weights_that_differ_are_asked_for_by_key(tmp_path: Path) -> None:
    path = save({"model": OTHER, "ema": {"decay": 0.9, "shadow": STATE}}, tmp_path)
    with pytest.raises(DataError, match=r"Sequential more than once.*--key\): model, ema\.shadow"):
        load_weights(net(), path)
    for key in ("ema", "ema.shadow"):
        check(path, key=key)
    loaded = load_weights(net(), path, key="model")
    assert torch.equal(loaded.head.bias, OTHER["head.bias"])
    check(save({"model": STATE, "ema": {k: v.clone() for k, v in STATE.items()}}, tmp_path))
    # Of another shape: no other choice.
    larger = {k: torch.zeros(*v.shape, 2) for k, v in STATE.items()}
    check(save({"model": larger, "ema": STATE}, tmp_path))


def test_a_key_may_name_a_prefix(tmp_path: Path) -> None:
    path = save(
        {"state_dict": {**prefixed("student."), **prefixed("teacher.module.", OTHER)}}, tmp_path
    )
    with pytest.raises(DataError):
        load_weights(net(), path)
    check(path, key="state_dict.student")
    loaded = load_weights(net(), path, key="state_dict.teacher")
    assert torch.equal(loaded.head.bias, OTHER["head.bias"])
    check(save({**prefixed("a."), **prefixed("b.", OTHER)}, tmp_path), key="a")


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    path = save({"model": STATE, "optimizer": {"step": torch.ones(1)}}, tmp_path)
    for key in ("ema", "mod", "model.nothing"):
        with pytest.raises(DataError, match=rf"key='{key}' must be an entry.*: model, optimizer"):
            load_weights(net(), path, key=key)


def test_a_part_of_what_was_trained_is_not_taken_for_the_whole(tmp_path: Path) -> None:
    state = {**prefixed("backbone."), "classifier.weight": torch.zeros(2, 3)}
    path = save({"state_dict": state}, tmp_path)
    with pytest.raises(
        DataError,
        match=r"under 'backbone\.' and others.*classifier\.weight.*--key state_dict\.back",
    ):
        load_weights(net(), path)
    check(path, key="state_dict.backbone")


def test_a_layer_of_a_sequence_is_not_a_prefix(tmp_path: Path) -> None:
    # A layer before it may change what the model computes, and have no weights.
    path = save(torch.nn.Sequential(torch.nn.Tanh(), torch.nn.Linear(4, 3)).state_dict(), tmp_path)
    with pytest.raises(DataError, match=r"Linear under '1\.', a place in a sequence: .*key='1' "):
        load_weights(torch.nn.Linear(4, 3), path)
    assert load_weights(torch.nn.Linear(4, 3), path, key="1").weight.shape == (3, 4)


@pytest.mark.parametrize("inside", ["1.", "1.module.", "module.1.", "2.0."])
def test_the_place_in_a_sequence_is_named(inside: str, tmp_path: Path) -> None:
    """As published checkpoints have it, whose normalization is a layer before the network."""
    path = save(
        {"arch": "n", "state_dict": {f"{inside}{k}": v for k, v in STATE.items()}}, tmp_path
    )
    with pytest.raises(DataError, match="a place in a sequence") as caught:
        load_weights(net(), path)
    key = str(caught.value).rpartition("--key ")[2].rstrip(")")
    assert key == f"state_dict.{inside}".rstrip(".")
    loaded = load_weights(net(), path, key=key)
    assert all(torch.equal(v, STATE[k]) for k, v in loaded.state_dict().items())


def test_missing_weights_are_never_left_as_they_were(tmp_path: Path) -> None:
    for lost in STATE:
        if lost.endswith("num_batches_tracked"):
            continue
        for prefix in ("", "model.", "module."):
            state = {k: v for k, v in prefixed(prefix).items() if k != prefix + lost}
            with pytest.raises(DataError, match=rf"1 missing: {lost}"):
                load_weights(net(), save({"state_dict": state}, tmp_path))


def test_safetensors_of_all_names(tmp_path: Path) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    for prefix in ("", "module.", "backbone."):
        safetensors.save_file(prefixed(prefix), tmp_path / "w.safetensors")
        check(tmp_path / "w.safetensors")
    safetensors.save_file(
        {k: v.bfloat16() if v.is_floating_point() else v for k, v in STATE.items()},
        tmp_path / "w.safetensors",
    )
    loaded = load_weights(net(), tmp_path / "w.safetensors")
    assert loaded.head.weight.dtype == torch.float32
    assert torch.allclose(loaded(X), TRAINED(X), atol=0.05)


# ---- Beside the weights: named, and allowed by name.


class Settings:
    """A class of the user's."""

    def __init__(self) -> None:
        self.rate = 0.5


BESIDE: dict[str, tuple[Any, list[str]]] = {
    "numpy scalar": (np.float64(0.5), ["numpy._core.multiarray.scalar", "numpy.dtype"]),
    "numpy integer": (np.int64(3), ["numpy._core.multiarray.scalar", "numpy.dtype"]),
    "numpy array": (
        np.arange(3.0),
        ["numpy._core.multiarray._reconstruct", "numpy.dtype", "numpy.ndarray"],
    ),
    "path": (pathlib.PurePosixPath("/runs/1"), ["pathlib.PurePosixPath"]),
    "path of this system": (
        [Path("/runs/1")],
        [f"{type(Path()).__module__}.{type(Path()).__name__}"],
    ),
    "namespace": (argparse.Namespace(lr=0.1, name="a"), ["argparse.Namespace"]),
    "default dictionary": (
        collections.defaultdict(list),
        ["builtins.list", "collections.defaultdict"],
    ),
    "time": (datetime.timedelta(seconds=3), ["datetime.timedelta"]),
    "simple namespace": (types.SimpleNamespace(a=1), ["types.SimpleNamespace"]),
    "class of the user": (Settings(), [f"{Settings.__module__}.Settings"]),
}


@pytest.mark.parametrize("kind", BESIDE)
def test_what_stands_beside_is_named_and_allowed_by_name(kind: str, tmp_path: Path) -> None:
    value, names = BESIDE[kind]
    path = save(lightning(hyper_parameters={"value": value, "more": [value]}), tmp_path)
    with pytest.raises(DataError) as caught:
        load_weights(net(), path)
    message = str(caught.value)
    unknown = [name for name in names if name not in ("builtins.list", "collections.defaultdict")]
    for name in unknown:
        assert f"--allow-global {name}" in message
    assert "pickle" not in message
    with pytest.warns(UserWarning, match="of a loss"):
        check(path, allow_globals=names)
    with pytest.warns(UserWarning, match="of a loss"):
        load_model(net, checkpoint=path, allow_globals=names)
    # Nothing is allowed beyond the call.
    with pytest.raises(DataError):
        load_weights(net(), path)


def renamed(path: Path, old: bytes, new: bytes) -> None:
    """Write a file of torch.save anew, as another version or system would have."""
    with zipfile.ZipFile(path) as archive:
        entries = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            changed = content.replace(old, new) if name.endswith("data.pkl") else content
            assert changed != content or not name.endswith("data.pkl")
            archive.writestr(name, changed)


@pytest.mark.parametrize(
    ("value", "old", "new", "names"),
    [
        (
            np.float32(1.0),
            b"numpy._core.multiarray",
            b"numpy.core.multiarray",
            ["numpy.core.multiarray.scalar", "numpy.dtype"],
        ),
        (Path("a"), PATH.encode(), b"pathlib\nWindowsPath", ["pathlib.WindowsPath"]),
        (Path("a"), PATH.encode(), b"pathlib._local\nPosixPath", ["pathlib._local.PosixPath"]),
    ],
)
def test_names_of_other_versions_and_systems(
    value: Any, old: bytes, new: bytes, names: list[str], tmp_path: Path
) -> None:
    path = save({"state_dict": STATE, "run": value}, tmp_path)
    renamed(path, old, new)
    with pytest.raises(DataError, match=f"--allow-global {names[0]}"):
        load_weights(net(), path)
    check(path, allow_globals=names)


HOSTILE = {
    "posix.mkdir": __import__("os").mkdir,
    "builtins.eval": eval,
    "subprocess.Popen": __import__("subprocess").Popen,
    "shutil.rmtree": __import__("shutil").rmtree,
    "builtins.getattr": getattr,
    "torch.hub.load": torch.hub.load,
}


class Calls:
    def __init__(self, function: Any, marker: Path) -> None:
        self.function, self.marker = function, str(marker)

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return self.function, (self.marker,)


@pytest.mark.parametrize("name", HOSTILE)
def test_programs_are_never_offered_and_never_run(name: str, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    path = save({"state_dict": STATE, "args": Calls(HOSTILE[name], marker)}, tmp_path)
    with pytest.raises(
        DataError, match=r"can run programs or write files.*Do not load it"
    ) as caught:
        load_weights(net(), path)
    assert name.rpartition(".")[2] in str(caught.value)
    assert "--allow" not in str(caught.value)
    with pytest.raises(ValueError, match="must not name what can run programs"):
        load_weights(net(), path, allow_globals=[name])
    assert not marker.exists()


def test_what_is_allowed_does_not_allow_more(tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    content = {"state_dict": STATE, "a": np.float64(1), "b": Calls(__import__("os").mkdir, marker)}
    path = save(content, tmp_path)
    with pytest.raises(DataError, match="can run programs"):
        load_weights(net(), path, allow_globals=["numpy._core.multiarray.scalar", "numpy.dtype"])
    assert not marker.exists()


@pytest.mark.parametrize(
    ("names", "error", "message"),
    [
        (["nothing_there.Class"], ModuleNotFoundError, "nothing_there"),
        (["argparse.Nothing"], ValueError, "must be the full name of a class or function"),
        (["Namespace"], ValueError, "must be the full name"),
        (["math.pi"], ValueError, "must be the full name"),
        ("argparse.Namespace", TypeError, r"must be a sequence of names, such as \['argparse"),
    ],
)
def test_names_that_are_none(
    names: Any, error: type[Exception], message: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=message):
        load_weights(net(), save(STATE, tmp_path), allow_globals=names)
