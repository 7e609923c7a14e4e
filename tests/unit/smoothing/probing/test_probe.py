"""What is probed of a model: faulty ones are refused by the layer's name, ordinary ones are not."""

from __future__ import annotations

import copy
import datetime
import functools
import itertools
import json
import os
import random
import re
import time
import uuid
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.hidden_state import COUNTED  # noqa: E402
from support.idioms import Idiom  # noqa: E402
from support.model_zoo import (  # noqa: E402
    CHANGING,
    CLASSES,
    MIXING,
    RANDOM,
    SHAPE,
    SIZE,
    Of,
    around,
    mlp,
    ordinary,
    ordinary_functions,
    resnet,
)

from rsverify import SmoothedClassifier, certify_counts, certify_dataset  # noqa: E402
from rsverify.smoothing.batches import evaluating  # noqa: E402
from rsverify.smoothing.models.adapters import (  # noqa: E402
    LimitedBatch,
    NumpyModel,
    SelectedOutput,
    SklearnModel,
)
from rsverify.smoothing.noise.gaussian import Gaussian  # noqa: E402
from rsverify.smoothing.probing import probe as module  # noqa: E402
from rsverify.smoothing.probing.asking import ModelProbeError, ModelProbeWarning  # noqa: E402
from rsverify.smoothing.probing.probe import probe  # noqa: E402
from rsverify.smoothing.probing.subject import Inputs, Subject  # noqa: E402

X = torch.rand(SHAPE, generator=torch.Generator().manual_seed(1))
ORDINARY = ordinary()
FAULTY = MIXING | RANDOM | CHANGING
DTYPES = {"float": torch.float32, "double": torch.float64}


def probed(
    model: Any,
    *,
    size: int = 64,
    rows: int = 8,
    dtype: torch.dtype = torch.float32,
    **options: Any,
) -> str:
    def scores_of(batch: torch.Tensor) -> torch.Tensor:
        return model(batch.to(dtype))

    subject = Subject(
        model=model, preprocess=None, scores_of=scores_of, num_classes=CLASSES, **options
    )
    noise = torch.float64 if dtype == torch.float64 else torch.float32
    with evaluating(model):
        return probe(subject, Inputs(Gaussian(0.5), X.to(noise), size), batch_size=size, rows=rows)


@pytest.mark.parametrize("autocast", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ORDINARY)
def test_no_false_alarm(name: str, autocast: torch.dtype | None) -> None:
    if name == "lstm" and autocast == torch.float16:
        pytest.skip("torch has no LSTM of this type on a CPU")
    for size, rows in ((1, 8), (2, 8), (64, 8), (64, 64), (200, 8)):
        assert "the same scores" in probed(ORDINARY[name], size=size, rows=rows, autocast=autocast)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", [name for name in ORDINARY if name != "logging"])
def test_no_false_alarm_for_weights_of_other_types(name: str, dtype: torch.dtype) -> None:
    if name == "lstm" and dtype == torch.float16:
        pytest.skip("torch has no LSTM of this type on a CPU")
    model = copy.deepcopy(ORDINARY[name]).to(dtype)
    for size, rows in ((3, 8), (64, 64)):
        assert "the same scores" in probed(model, size=size, rows=rows, dtype=dtype)


@pytest.mark.parametrize("name", ordinary_functions())
@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
def test_no_false_alarm_for_functions(name: str, autocast: torch.dtype | None) -> None:
    for size in (1, 7, 64):
        assert "the same scores" in probed(ordinary_functions()[name], size=size, autocast=autocast)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor")
@pytest.mark.parametrize("form", ["script", "trace", "export", "int8", "int8 lstm", "int8 script"])
def test_no_false_alarm_for_other_forms(form: str) -> None:
    quantize = torch.ao.quantization.quantize_dynamic
    kinds = {torch.nn.Linear, torch.nn.LSTM}
    example = torch.rand(4, *SHAPE)
    model: Any
    if form == "script":
        model = torch.jit.script(resnet().eval())
    elif form == "trace":
        model = torch.jit.trace(resnet().eval(), example)
    elif form == "export":
        sizes = ({0: torch.export.Dim("b", min=1, max=512)},)
        model = torch.export.export(resnet().eval(), (example,), dynamic_shapes=sizes).module()
    else:
        inner = ORDINARY["lstm"] if form == "int8 lstm" else mlp().eval()
        model = quantize(inner, kinds, dtype=torch.qint8)
        model = torch.jit.script(model) if form == "int8 script" else model
    for size, rows in ((2, 8), (64, 64)):
        assert "the same scores" in probed(model, size=size, rows=rows)


def test_no_false_alarm_for_adapters() -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, SIZE)), np.arange(200) % CLASSES
    weight = rng.normal(size=(SIZE, CLASSES)).astype(np.float32)
    models = [
        SklearnModel(LogisticRegression(max_iter=200).fit(x, y)),
        SklearnModel(RandomForestClassifier(20, n_jobs=2, random_state=0).fit(x, y)),
        NumpyModel(lambda batch: batch.reshape(len(batch), -1) @ weight),
        NumpyModel(lambda b: np.eye(CLASSES)[(b.reshape(len(b), -1) @ weight).argmax(axis=1)]),
        SelectedOutput(lambda batch: {"scores": ORDINARY["dense"](batch)}, "scores"),
        LimitedBatch(ORDINARY["batch norm"], 8, 8),
    ]
    for model in models:
        assert "the same scores" in probed(model)


@pytest.mark.slow
def test_no_false_alarm_for_random_networks() -> None:
    """Weights of a gain up to 10, where sums cancel and activations are all but steps."""
    nn = torch.nn
    norms = [nn.Identity, nn.BatchNorm1d, nn.LayerNorm, lambda width: nn.GroupNorm(4, width)]
    activations = [nn.ReLU, nn.GELU, nn.Tanh, nn.SiLU, nn.Sigmoid, nn.Hardtanh, nn.Softplus]
    ends = [nn.Identity(), nn.Softmax(1), nn.Hardtanh(-0.01, 0.01), Of(_labels)]
    for seed in range(120):
        choose = random.Random(seed).choice
        torch.manual_seed(seed)
        width = choose([8, 32, 128])
        norm, activation = choose(norms), choose(activations)
        hidden = [
            layer
            for _ in range(choose([1, 2, 5, 10]))
            for layer in (norm(width), activation(), nn.Linear(width, width))
        ]
        layers = nn.Linear(SIZE, width), *hidden, nn.Linear(width, CLASSES), choose(ends)
        model = nn.Sequential(nn.Flatten(), *layers).eval()
        gain = choose([0.3, 1, 3, 10])
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(gain)
        dtype, autocast = choose([torch.float32, torch.float64]), choose([None, torch.bfloat16])
        size, rows = choose([1, 2, 5, 16, 64, 200]), choose([8, 64])
        assert probed(model.to(dtype), size=size, rows=rows, dtype=dtype, autocast=autocast)


def _labels(scores: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.one_hot(scores.argmax(dim=1), CLASSES).to(scores.dtype)


@pytest.mark.parametrize("autocast", [None, torch.bfloat16])
@pytest.mark.parametrize("name", FAULTY)
def test_faulty_models_are_refused_by_their_layer(name: str, autocast: torch.dtype | None) -> None:
    make, layer = FAULTY[name]
    for size, rows in ((2, 8), (5, 8), (64, 8), (64, 64)):
        if size == 2 and name == "for some inputs":
            continue  # of two inputs, none may be among them
        torch.manual_seed(0)
        with pytest.raises(ModelProbeError) as caught:
            probed(make(), size=size, rows=rows, autocast=autocast)
        assert "\n" not in str(caught.value)
        if size == 64:
            assert layer in str(caught.value), str(caught.value)


def test_the_message_says_what_to_change() -> None:
    with pytest.raises(ModelProbeError, match="track_running_stats=True"):
        probed(MIXING["batch norm without statistics"][0]())
    with pytest.raises(ModelProbeError, match="dim=0"):
        probed(MIXING["softmax along the batch"][0]())
    with pytest.raises(ModelProbeError, match="in training only"):
        probed(RANDOM["dropout"][0]())
    with pytest.raises(ModelProbeError, match="keep nothing from one call to the next"):
        probed(CHANGING["hidden state"][0]())
    with pytest.raises(ModelProbeError, match=r"keeps 'count', which changes"):
        probed(CHANGING["every thousandth call"][0]())


@pytest.mark.parametrize("kept", ["attribute", "buffer", "list"])
def test_what_was_tried_is_taken_back_while_the_refusal_is_kept(kept: str) -> None:
    """A notebook keeps the last exception, and with it every frame that it went through."""

    class Counts(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count, self.seen = 0, list[int]()
            self.register_buffer("total", torch.zeros(()))

        def calls(self) -> float:
            return {"attribute": self.count, "buffer": self.total.item(), "list": len(self.seen)}[
                kept
            ]

        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            if kept == "attribute":
                self.count += 1
            elif kept == "buffer":
                self.total += 1
            else:
                self.seen.append(len(batch))
            late = self.calls() > 10**5
            return batch.flatten(1)[:, :CLASSES] * (-1 if late else 1)

    model = Counts()
    with pytest.raises(ModelProbeError, match="which changes from call to call") as held:
        probed(model)
    assert 0 <= model.calls() < 10**4, held


def test_a_dependence_below_rounding_is_none() -> None:
    assert probed(around(Of(lambda x: x + 1e-7 * x.mean())))
    with pytest.raises(ModelProbeError):
        probed(around(Of(lambda x: x + 1e-4 * x.mean())))


@pytest.mark.parametrize("form", ["script", "onnx"])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_programs_are_refused_by_the_name_of_the_model(form: str, tmp_path: Path) -> None:
    if form == "script":
        model = torch.jit.script(around(torch.nn.Softmax(dim=0)))
        with pytest.raises(ModelProbeError, match="model RecursiveScriptModule lets the rows"):
            probed(model)
        return
    pytest.importorskip("onnxruntime")
    from support.onnx_files import node, write_model

    from rsverify.smoothing.models.load import load_model

    for axis, batch in ((0, "n"), (0, 4), (1, "n"), (1, 4)):
        then = node("Softmax", ["product"], "scores", axis=axis)
        model = load_model(write_model(tmp_path / f"{axis}{batch}.onnx", batch=batch, then=then))
        smoothed = SmoothedClassifier(model, 2, 0.5)
        if axis == 0:
            name = "OnnxModel" if batch == "n" else "LimitedBatch"
            with pytest.raises(ModelProbeError, match=f"{name}.* lets the rows"):
                smoothed.predict(torch.zeros(3), n=100, seed=0)
        else:
            smoothed.predict(torch.zeros(3), n=100, seed=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")  # torch's compiler of itself
def test_compiled_models_are_probed_as_they_are_sampled(tmp_path: Path) -> None:
    for layer, refused in ((torch.nn.Softmax(dim=1), False), (torch.nn.Softmax(dim=0), True)):
        smoothed = SmoothedClassifier(around(layer), CLASSES, 0.5)
        out = tmp_path / f"{refused}.tsv"
        options = {"n": 100, "compile": True, "batch_size": 16, "progress": False}
        if refused:
            with pytest.raises(ModelProbeError, match=r"'3' \(Softmax\)"):
                certify_dataset(smoothed, X[None], out, **options)
            assert not out.exists()
        else:
            certify_dataset(smoothed, X[None], out, **options)
            execution = json.loads(out.with_suffix(".json").read_text())["execution"]
            assert "for which the model is compiled" in execution["probed"]


def test_a_model_compiled_before_is_probed_too() -> None:
    good = torch.compile(around(torch.nn.ReLU()).eval(), backend="eager")
    bad = torch.compile(around(torch.nn.Softmax(dim=0)).eval(), backend="eager")
    assert probed(good)
    with pytest.raises(ModelProbeError, match=r"3' \(Softmax\)"):
        probed(bad)


def test_nothing_is_written_for_a_model_that_is_refused(tmp_path: Path) -> None:
    for name in ("batch norm without statistics", "dropout", "hidden state"):
        smoothed = SmoothedClassifier(FAULTY[name][0](), CLASSES, 0.5)
        with pytest.raises(ModelProbeError):
            certify_dataset(smoothed, X[None], tmp_path / "table.tsv", n=100, progress=False)
        assert not list(tmp_path.glob("*.tsv"))


@pytest.mark.parametrize("call", ["certify", "predict", "counts", "scores"])
def test_every_way_to_votes_is_probed(call: str) -> None:
    smoothed = SmoothedClassifier(FAULTY["dropout"][0](), CLASSES, 0.5)
    with pytest.raises(ModelProbeError, match=r"'3' .* draws random numbers"):
        getattr(smoothed, call)(X, n=100, seed=0)


@pytest.mark.parametrize(
    ("preprocess", "message"),
    [
        (lambda b: b + 0.1 * torch.randn_like(b), "preprocess.*draws random numbers"),
        (lambda b: b / b.abs().max(), "preprocess.*depend on each other"),
        (torch.nn.Sequential(Of(lambda b: b - b.mean(dim=0))), "preprocess.*depend on each"),
    ],
)
def test_preprocessing_is_probed_too(preprocess: Any, message: str) -> None:
    smoothed = SmoothedClassifier(ORDINARY["dense"], CLASSES, 0.5, preprocess=preprocess)
    with pytest.raises(ModelProbeError, match=message):
        smoothed.predict(X, n=100, seed=0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("dim", [0, 1])
def test_a_model_that_returns_the_same_memory_each_time(dtype: torch.dtype, dim: int) -> None:
    class Static(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(SIZE, CLASSES).to(dtype)
            self.out = torch.zeros(4096, CLASSES, dtype=dtype)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out[: len(x)].copy_(self.layer(x.flatten(1)).softmax(dim))

    smoothed = SmoothedClassifier(Static(), CLASSES, 0.5)
    if dim == 1:
        assert "the same scores" in smoothed.certify(X, n=200, seed=0).probed
        return
    with pytest.raises(ModelProbeError, match="depend on each other"):
        smoothed.certify(X, n=200, seed=0)


def test_a_network_inside_a_function_is_named() -> None:
    net = around(torch.nn.Dropout()).train()
    smoothed = SmoothedClassifier(lambda batch: net(batch), CLASSES, 0.5)
    with pytest.raises(ModelProbeError, match=r"layer 'net.3' \(Dropout\) draws random numbers"):
        smoothed.predict(X, n=100, seed=0)


def test_certificates_and_tables_say_what_was_probed(tmp_path: Path) -> None:
    smoothed = SmoothedClassifier(ORDINARY["dense"], CLASSES, 0.5)
    certificate = smoothed.certify(X, n=200, batch_size=50, seed=0)
    text = "8 noisy inputs, asked again, permuted, in other company, as copies of one, "
    assert certificate.probed.startswith(text + "in batches of 1, 3, 50: the same scores")
    assert certificate.to_dict()["probed"] == certificate.probed
    assert smoothed.certify(X, n=200, target_radius=0.1, seed=0).probed
    assert smoothed.certify(X, n=200, bound="betting", seed=0).probed
    certify_dataset(smoothed, X[None], tmp_path / "table.tsv", n=100, progress=False)
    execution = json.loads((tmp_path / "table.json").read_text())["execution"]
    assert "in batches of 1, 3, 64: the same scores" in execution["probed"]
    assert certify_counts([90, 10], sigma=0.5, alpha=0.001, y=0).probed == ""


def test_it_is_done_once_for_inputs_of_a_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[int] = []

    def counting(*arguments: Any, **options: Any) -> str:
        done.append(options["batch_size"])
        return probe(*arguments, **options)

    monkeypatch.setattr(module, "probe", counting)
    model = around(torch.nn.ReLU())
    smoothed = SmoothedClassifier(model, CLASSES, 0.5)
    for _ in range(3):
        smoothed.predict(X, n=100, seed=0)
    assert done == [100]
    smoothed.predict(X, n=50, seed=0)
    assert done == [100]  # a smaller batch was part of it
    smoothed.predict(X, n=300, seed=0)
    assert done == [100, 256]
    model[3] = torch.nn.Softmax(dim=0)
    with pytest.raises(ModelProbeError):
        smoothed.predict(X, n=300, seed=0)


SETTINGS: dict[str, Any] = {"mean": 0.0}


class Changing(torch.nn.Module):
    """Sound as it is made; nearly all of it can be changed later."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = torch.nn.Linear(SIZE, 8), torch.nn.BatchNorm1d(8)
        self.last, self.noisy, self.share = torch.nn.Linear(8, CLASSES), False, 0.0
        self.options = {"axis": 1}
        self.act: Any = torch.relu

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.act(self.norm(self.first(x.flatten(1))))
        if self.noisy:
            x = x + torch.randn_like(x)
        if self.share:
            x = torch.nn.functional.dropout(x, self.share)
        return self.last(x - SETTINGS["mean"] * x.mean(0)).softmax(self.options["axis"])


def _mixed(x: torch.Tensor) -> torch.Tensor:
    return x - x.mean(0)


def _without_statistics(model: Changing) -> None:
    model.norm.running_mean = model.norm.running_var = None


CHANGES: dict[str, Any] = {
    "a flag": lambda m: setattr(m, "noisy", True),
    "a number": lambda m: setattr(m, "share", 0.5),
    "an item": lambda m: m.options.update(axis=0),
    "a global": lambda _m: SETTINGS.update(mean=1.0),
    "a function": lambda m: setattr(m, "act", _mixed),
    "a hook": lambda m: m.first.register_forward_hook(lambda _m, _i, out: _mixed(out)),
    "a hook before": lambda m: m.last.register_forward_pre_hook(lambda _m, i: (_mixed(i[0]),)),
    "a hook of all": lambda _m: torch.nn.modules.module.register_module_forward_hook(
        lambda _m, _i, out: out + torch.randn_like(out)
    ),
    "a method": lambda m: setattr(m, "forward", lambda x: _mixed(m.last(m.first(x.flatten(1))))),
    "statistics": _without_statistics,
    "a module": lambda m: setattr(m, "act", torch.nn.Softmax(dim=0)),
}


@pytest.mark.parametrize("way", ["model", "function", "preprocess"])
@pytest.mark.parametrize("name", CHANGES)
def test_a_model_that_was_changed_is_probed_again(name: str, way: str) -> None:
    model = Changing().eval()
    smoothed = {
        "model": lambda: SmoothedClassifier(model, CLASSES, 0.5),
        "function": lambda: SmoothedClassifier(lambda batch: model(batch), CLASSES, 0.5),
        "preprocess": lambda: SmoothedClassifier(
            torch.nn.Identity(), CLASSES, 0.5, preprocess=model
        ),
    }[way]()
    options = {"n": 60, "n0": 10, "seed": 0, "progress": False}
    smoothed.certify(X, **options)
    handle = CHANGES[name](model)
    try:
        with pytest.raises(ModelProbeError):
            smoothed.certify(X, **options)
    finally:
        SETTINGS["mean"] = 0.0
        if hasattr(handle, "remove"):
            handle.remove()


def test_noise_votes_and_generators_are_as_without(monkeypatch: pytest.MonkeyPatch) -> None:
    def votes() -> list[int]:
        smoothed = SmoothedClassifier(ORDINARY["dense"], CLASSES, 0.5)
        return smoothed.counts(X, n=500, seed=0).tolist()

    def states() -> tuple[bytes, str, Any]:
        return (
            torch.get_rng_state().numpy().tobytes(),
            str(np.random.get_state()),  # noqa: NPY002
            random.getstate(),
        )

    before = states()
    found = votes()
    assert states() == before
    drawing = RANDOM["little noise"][0]()
    before = states()
    with pytest.raises(ModelProbeError):
        probed(drawing)
    assert states() == before
    monkeypatch.setattr(module, "probe", lambda *_, **__: "")
    assert votes() == found


def test_a_model_that_draws_in_vain_is_warned_about_once() -> None:
    class DrawsInVain(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            torch.rand(())
            return x

    smoothed = SmoothedClassifier(around(DrawsInVain()), CLASSES, 0.5)
    with pytest.warns(ModelProbeWarning, match=r"draws random numbers \(torch\)") as caught:
        smoothed.predict(X, n=100, seed=0)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        smoothed.predict(X, n=100, seed=0)


def test_state_without_effect_is_left_as_it_was() -> None:
    model = copy.deepcopy(ORDINARY["logging"])
    model.calls = 7
    probed(model)
    assert model.calls == 7
    assert float(model.rows) == 0.0


def test_memory_that_runs_out_halves_what_is_probed(tmp_path: Path) -> None:
    sizes: list[int] = []

    def model(batch: torch.Tensor) -> torch.Tensor:
        if len(sizes) and len(batch) > 20:
            raise torch.OutOfMemoryError("another process took it")
        sizes.append(len(batch))
        return batch.flatten(1)[:, :CLASSES]

    with pytest.warns(UserWarning, match="out of memory with"):
        certify_dataset(
            SmoothedClassifier(model, CLASSES, 0.5),
            X[None],
            tmp_path / "t.tsv",
            n=100,
            batch_size=64,
            progress=False,
        )
    execution = json.loads((tmp_path / "t.json").read_text())["execution"]
    assert "in batches of 1, 3:" in execution["probed"]


def _late(places: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a model that gives room to so many rows, as experts of a fixed capacity do."""
    plain = mlp()

    def served(x: torch.Tensor) -> torch.Tensor:
        scores = plain(x).clone()
        scores[places:] = 0.0
        return scores

    return served


@pytest.mark.parametrize("places", [8, 20, 63])
def test_rows_that_come_late_are_looked_at(places: int) -> None:
    with pytest.raises(ModelProbeError, match="depend on each other"):
        probed(_late(places), size=64)


def _fresh(_calls: int = 0) -> float:
    generator = torch.Generator()
    generator.seed()
    return float(torch.rand(1, generator=generator))


UNSEEN: dict[str, tuple[Callable[[], Callable[[], object]], str]] = {
    "a clock": (lambda: time.time, "asks the system for a clock"),
    "another clock": (lambda: lambda: datetime.datetime.now().year, "for a clock"),
    "the system's numbers": (lambda: lambda: os.urandom(2), "for random numbers"),
    "SystemRandom": (lambda: random.SystemRandom().random, "for random numbers"),
    "an identifier": (lambda: uuid.uuid4, "for random numbers"),
    "a generator of its own": (lambda: _fresh, "for random numbers"),
    "numpy's, anew": (lambda: lambda: np.random.default_rng().random(), "for random numbers"),
    "a count": (lambda: functools.partial(next, itertools.count()), "takes the next of"),
    "a cycle": (lambda: functools.partial(next, itertools.cycle(range(99))), "takes the next of"),
    "a list's iterator": (lambda: functools.partial(next, iter([0] * 999)), "takes the next of"),
    "a generator": (lambda: functools.partial(next, (i for i in range(999))), "takes the next of"),
}


KEPT = sorted(set(COUNTED) - {"memory in use", "collections of garbage"})


@pytest.mark.parametrize("name", KEPT)
def test_what_is_kept_out_of_sight_is_warned_about_or_refused(name: str) -> None:
    """Calls are counted, and the count has an effect after many more of them than are made."""
    counting = Idiom(COUNTED[name], -1.0, 10**5)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(SIZE, 4), counting)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            probed(torch.nn.Sequential(model, torch.nn.Linear(4, CLASSES)), size=64)
        except ModelProbeError:
            return
    messages = [str(w.message) for w in caught if w.category is ModelProbeWarning]
    assert any(re.search(r"keeps|takes the next of|asks the system", m) for m in messages)


@pytest.mark.parametrize("name", UNSEEN)
def test_what_cannot_be_tried_is_warned_about(name: str) -> None:
    make, message = UNSEEN[name]
    ask, plain = make(), mlp()

    def model(x: torch.Tensor) -> torch.Tensor:
        ask()  # without an effect that a few calls would show
        return plain(x)

    with pytest.warns(ModelProbeWarning, match=message):
        probed(model, size=64)


LIBRARY = """
import itertools
tickets = itertools.count()  # as a package numbers its messages, say

def logged(x):
    next(tickets)
    return x

class Layer:
    numbers = itertools.count()

    def __call__(self, x):
        next(self.numbers)
        return logged(x)

def decorated(function):
    def called(x):
        return function(x)
    return called
"""


def test_iterators_of_installed_packages_are_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As their clocks are; but what they wrap of the user's is looked into."""
    (tmp_path / "site-packages").mkdir()
    (tmp_path / "site-packages" / "a_library_of_layers.py").write_text(LIBRARY)
    monkeypatch.syspath_prepend(str(tmp_path / "site-packages"))
    import a_library_of_layers as library

    plain, layer = mlp(), library.Layer()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ModelProbeWarning)
        probed(lambda x: plain(layer(x)), size=64)
    own = itertools.count()

    def mine(x: torch.Tensor) -> torch.Tensor:
        next(own)
        return plain(x)

    with pytest.warns(ModelProbeWarning, match="takes the next of .*own"):
        probed(library.decorated(mine), size=64)


def test_a_model_that_refers_to_this_package_has_not_its_state(tmp_path: Path) -> None:
    """What the package keeps of its own, as memories of functions, is not the model's."""
    later = [certify_dataset, probe, SmoothedClassifier.certify]

    def model(batch: torch.Tensor) -> torch.Tensor:
        return torch.stack([batch.sum(dim=1), batch[:, 0]], dim=1) * float(bool(later))

    classifier = SmoothedClassifier(model, num_classes=2, sigma=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error", ModelProbeWarning)
        classifier.certify(torch.ones(3), n=100, n0=10, seed=0)
        certify_dataset(classifier, torch.ones(2, 3), tmp_path / "t.tsv", n=100, progress=False)
