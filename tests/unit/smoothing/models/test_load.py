"""Models from files, functions and checkpoints."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify.smoothing.models.adapters import LimitedBatch, NumpyModel, SelectedOutput  # noqa: E402
from rsverify.smoothing.models.checkpoint import load_weights  # noqa: E402
from rsverify.smoothing.models.load import load_model, load_module  # noqa: E402

INPUTS = torch.linspace(-1, 1, 9 * 4).reshape(9, 2, 2)


def net() -> torch.nn.Sequential:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(4, 5), torch.nn.BatchNorm1d(5), torch.nn.Linear(5, 3)
    ).eval()


def other_net() -> torch.nn.Sequential:
    torch.manual_seed(1)
    made = net()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn_like(parameter))
    return made


class Tuple(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = net()

    def forward(self, batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return batch, self.net(batch)


WEIGHTS = {
    "state dict": lambda m: m.state_dict(),
    "nested": lambda m: {"epoch": 3, "state_dict": m.state_dict(), "lr": 0.1},
    "under model": lambda m: {"model": m.state_dict(), "optimizer": {}},
    "parallel": lambda m: torch.nn.DataParallel(m).state_dict(),
    "compiled and parallel": lambda m: {
        "model": {f"module._orig_mod.{k}": v for k, v in m.state_dict().items()}
    },
    "without batch counters": lambda m: {
        k: v for k, v in m.state_dict().items() if "num_batches" not in k
    },
}


@pytest.mark.parametrize("kind", WEIGHTS)
def test_weights_are_found_and_loaded_without_pickle(kind: str, tmp_path: Path) -> None:
    torch.save(WEIGHTS[kind](other_net()), tmp_path / "w.pt")
    loaded = load_weights(net(), tmp_path / "w.pt")
    assert torch.equal(loaded(INPUTS), other_net()(INPUTS))
    assert not torch.equal(net()(INPUTS), other_net()(INPUTS))


def test_a_prefix_that_belongs_to_the_module_stays(tmp_path: Path) -> None:
    model = torch.nn.ModuleDict({"module": other_net()})
    torch.save(model.state_dict(), tmp_path / "w.pt")
    loaded = load_weights(torch.nn.ModuleDict({"module": net()}), tmp_path / "w.pt")
    assert torch.equal(loaded["module"](INPUTS), other_net()(INPUTS))


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    state = other_net().state_dict()
    state["head.weight"] = state.pop("3.weight")
    state["1.bias"] = torch.zeros(7)
    torch.save(state, tmp_path / "w.pt")
    module = net()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    with pytest.raises(ValueError, match="are not those of Sequential, which has 9") as caught:
        load_weights(module, tmp_path / "w.pt")
    assert str(caught.value).endswith(
        "1 missing: 3.weight; 1 unexpected: head.weight; "
        "1 of another shape: 1.bias of shape (7,) for (5,)"
    )
    assert all(torch.equal(v, before[k]) for k, v in module.state_dict().items())
    torch.save({f"x{i}": torch.zeros(1) for i in range(8)}, tmp_path / "w.pt")
    with pytest.raises(ValueError, match="8 unexpected: x0, x1, x2, x3, x4 and 3 more"):
        load_weights(net(), tmp_path / "w.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([1, 2], "holds a list; it must hold weights by name"),
        ({"epoch": 1, "best": 2.0}, "a dict with the entries epoch, best; it must hold weights"),
        ({}, "an empty dict; it must hold weights by name, at once or in an entry"),
    ],
)
def test_files_without_weights(content: object, message: str, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(ValueError, match=message):
        load_weights(net(), tmp_path / "w.pt")


def test_pickled_checkpoints_need_leave(tmp_path: Path) -> None:
    torch.save({"state_dict": other_net().state_dict(), "net": other_net()}, tmp_path / "w.pt")
    with pytest.raises(
        ValueError, match=r"more than tensors and plain data: torch\.nn.*--allow-global torch\.nn"
    ):
        load_weights(net(), tmp_path / "w.pt")
    loaded = load_weights(net(), tmp_path / "w.pt", allow_pickle=True)
    assert torch.equal(loaded(INPUTS), other_net()(INPUTS))
    torch.save(other_net(), tmp_path / "whole.pt")
    loaded = load_weights(net(), tmp_path / "whole.pt", allow_pickle=True)
    assert torch.equal(loaded(INPUTS), other_net()(INPUTS))


def test_files_that_are_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_weights(net(), tmp_path / "none.pt")
    for allow in (False, True):
        for content in (b"", b"certainly no checkpoint"):
            (tmp_path / "w.pt").write_bytes(content)
            with pytest.raises(ValueError, match=r"w\.pt"):
                load_weights(net(), tmp_path / "w.pt", allow_pickle=allow)


MODELS = """
import numpy as np
import torch
from test_load import Tuple, net
from rsverify.smoothing.models.adapters import NumpyModel

def torch_callable():
    return lambda batch: batch.flatten(1)[:, :3]

def numpy_callable():
    return NumpyModel(lambda batch: batch.reshape(len(batch), -1)[:, :3])

def estimator():
    class Estimator:
        classes_ = np.arange(3)
        def predict_proba(self, x):
            return x[:, :3]
    return Estimator()

def number():
    return 3

def wants(width):
    return net()

def fails():
    raise RuntimeError("no such data")

def tuple_model():
    return Tuple()

ready = net()
"""


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    (tmp_path / "some_models.py").write_text(MODELS)
    return tmp_path / "some_models.py"


def test_functions_of_all_kinds(models: Path) -> None:
    first = INPUTS.flatten(1)[:, :3]
    for name in ("torch_callable", "numpy_callable", "estimator"):
        assert torch.equal(load_model(f"{models}:{name}")(INPUTS), first)
    assert torch.equal(load_model(f"{models}:net")(INPUTS), net()(INPUTS))
    assert torch.equal(load_model(f"{models}:ready")(INPUTS), net()(INPUTS))
    assert torch.equal(load_model(net)(INPUTS), net()(INPUTS))
    module = net()
    assert load_model(module) is module
    for output in (1, "1"):
        selected = load_model(f"{models}:tuple_model", output=output)
        assert torch.equal(selected(INPUTS), net()(INPUTS))


def test_functions_that_give_no_model(models: Path, tmp_path: Path) -> None:
    torch.save(net().state_dict(), tmp_path / "w.pt")
    for name, error, message in (
        ("number", TypeError, "number returned an int; it must return a model"),
        ("wants", ValueError, "wants failed: TypeError: .*missing 1 required"),
        ("fails", ValueError, "fails failed: RuntimeError: no such data"),
        ("absent", ValueError, "has no function 'absent'"),
    ):
        with pytest.raises(error, match=message):
            load_model(f"{models}:{name}")
    with pytest.raises(TypeError, match=r"NumpyModel; a checkpoint needs a torch\.nn\.Module"):
        load_model(f"{models}:numpy_callable", checkpoint=tmp_path / "w.pt")
    with pytest.raises(FileNotFoundError):
        load_model(f"{tmp_path}/nothing.py:net")
    with pytest.raises(ModuleNotFoundError):
        load_model("no_such_package_at_all.models:net")


def test_checkpoint_goes_into_the_module_of_a_function(models: Path, tmp_path: Path) -> None:
    torch.save({"state_dict": other_net().state_dict()}, tmp_path / "w.pt")
    loaded = load_model(f"{models}:net", checkpoint=tmp_path / "w.pt")
    assert torch.equal(loaded(INPUTS), other_net()(INPUTS))
    with pytest.raises(ValueError, match=r"needs a function that returns its module"):
        load_model(tmp_path / "w.pt", checkpoint=tmp_path / "w.pt")
    with pytest.raises(ValueError, match="holds only weights, a checkpoint of a module"):
        load_model(tmp_path / "w.pt")


def exported(path: Path, model: torch.nn.Module, **dim: int | None) -> Path:
    shapes = {"dynamic_shapes": ({0: torch.export.Dim("batch", **dim)},)} if dim else {}
    torch.export.save(torch.export.export(model, (INPUTS[:4],), **shapes), path)
    return path


@pytest.mark.parametrize(
    ("dim", "limits"),
    [({}, (4, 4)), ({"min": 2, "max": 5}, (2, 5)), ({"max": None}, None)],
)
def test_exported_programs_take_any_batch(
    dim: dict[str, int | None], limits: tuple[int, int] | None, tmp_path: Path
) -> None:
    loaded = load_module(exported(tmp_path / "net.pt2", net(), **dim), allow_pickle=True)
    if limits is not None:
        assert isinstance(loaded, LimitedBatch)
        smallest, largest = limits
        assert loaded.largest == largest
        assert loaded.smallest <= smallest  # a version may find that fewer are fine
    for rows in (1, 2, 4, 9):
        assert torch.allclose(loaded(INPUTS[:rows]), net()(INPUTS[:rows]), atol=1e-6)


def test_exported_program_with_several_outputs(tmp_path: Path) -> None:
    loaded = load_model(exported(tmp_path / "net.pt2", Tuple()), output=1, allow_pickle=True)
    assert torch.allclose(loaded(INPUTS), net()(INPUTS), atol=1e-6)
    smoothed = SmoothedClassifier(loaded, 3, 0.5)
    expected = SmoothedClassifier(net(), 3, 0.5).counts(INPUTS[0], n=50, batch_size=16, seed=0)
    assert smoothed.counts(INPUTS[0], n=50, batch_size=16, seed=0).tolist() == expected.tolist()


def test_exported_program_of_two_inputs_is_refused(tmp_path: Path) -> None:
    class Sum(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return a + b

    torch.export.save(torch.export.export(Sum(), (INPUTS, INPUTS)), tmp_path / "sum.pt2")
    with pytest.raises(ValueError, match="takes 2 inputs; it must take one tensor"):
        load_module(tmp_path / "sum.pt2", allow_pickle=True)


def test_scripted_module_with_a_selected_output(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.save(torch.jit.trace(Tuple(), INPUTS), tmp_path / "net.ts")
    loaded = load_model(tmp_path / "net.ts", output=1, allow_pickle=True)
    assert isinstance(loaded, SelectedOutput)
    assert torch.allclose(loaded(INPUTS), net()(INPUTS), atol=1e-6)


def test_onnx_says_which_package_it_needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'rsverify\[onnx\]'"):
        load_model(tmp_path / "net.onnx")


def test_numpy_function_from_a_file_is_certified(models: Path) -> None:
    model = load_model(f"{models}:numpy_callable")
    assert isinstance(model, NumpyModel)
    x = np.array([[3.0, 0.0], [0.0, 0.0]])
    assert SmoothedClassifier(model, 3, 0.25).certify(x, n=100, seed=0).prediction == 0
