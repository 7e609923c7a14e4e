"""Another model is noticed on a resume by its answers, the same one in other batches is not."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier, certify_dataset  # noqa: E402
from rsverify.smoothing.models.adapters import NumpyModel, SelectedOutput  # noqa: E402
from rsverify.smoothing.models.answers import record_answers  # noqa: E402
from rsverify.smoothing.models.load import load_model  # noqa: E402
from rsverify.smoothing.sampling.session import Execution  # noqa: E402
from rsverify.tables.answers import check_answers  # noqa: E402

X = torch.linspace(-1, 1, 3 * 8).reshape(3, 8)
WEIGHT = torch.linspace(-1, 2, 24).reshape(3, 8).sin()


def classifier(model: Any, **options: Any) -> SmoothedClassifier:
    return SmoothedClassifier(model, 3, 0.5, **options)


def answers(made: SmoothedClassifier, batch_size: int = 16, **how: Any) -> dict[str, Any]:
    recorded = record_answers(made, X[0], batch_size, Execution(**how))
    return json.loads(json.dumps(recorded))


def differ(one: SmoothedClassifier, other: SmoothedClassifier) -> bool:
    check_answers(answers(one), answers(one), "before")
    with pytest.raises(ValueError, match=r"^the model is another one than before.*$"):
        check_answers(answers(one), answers(other), "before")
    return True


def net(slope: float = 0.01, seed: int = 0) -> torch.nn.Sequential:
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Linear(8, 16), torch.nn.LeakyReLU(slope), torch.nn.Linear(16, 3)
    )


class Attributes(torch.nn.Module):
    """A model that holds all that a state dict does not."""

    def __init__(self, **changed: Any) -> None:
        super().__init__()
        self.net = net()
        self.scale = changed.get("scale", 1.0)
        self.shift = changed.get("shift", torch.zeros(3))
        self.table = changed.get("table", [1.0, 2.0, 3.0])
        self.register_buffer("kept", changed.get("kept", torch.ones(3)), persistent=False)
        self.flip = changed.get("flip", False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.net(x) * self.scale + self.shift + torch.tensor(self.table)
        return (scores * self.kept).flip(1) if self.flip else scores * self.kept


class Bound:
    def __init__(self, factor: float) -> None:
        self.factor = factor

    def scores(self, x: torch.Tensor) -> torch.Tensor:
        return self.factor * x @ WEIGHT.T

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.scores(x)


def partial(x: torch.Tensor, factor: float) -> torch.Tensor:
    return factor * x @ WEIGHT.T


def quantized(scale: float) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a model of packed int8 weights."""
    packed = (WEIGHT * 100).to(torch.int8)
    return lambda x: (x @ packed.float().T) * scale


def scripted(factor: float) -> torch.nn.Module:
    class Factor(torch.nn.Module):
        factor = 1.0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :3] * self.factor

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made = Factor()
        made.factor = factor
        return torch.jit.trace(made, X)


def exported(folder: Path, factor: float) -> Callable[[torch.Tensor], Any]:
    class Factor(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x[:, :3] * factor

    path = folder / f"{factor}.pt2"
    torch.export.save(torch.export.export(Factor(), (X,)), path)
    return load_model(path, allow_pickle=True)


def scaled(x: torch.Tensor, mean: float = 0.0) -> torch.Tensor:
    return (x - mean) / 0.5


PAIRS: dict[str, Callable[[Path], tuple[Any, Any]]] = {
    "slope of an activation": lambda _: (net(0.01), net(0.02)),
    "plain attribute": lambda _: (Attributes(), Attributes(scale=1.001)),
    "tensor attribute": lambda _: (Attributes(), Attributes(shift=torch.tensor([0, 0, 1e-3]))),
    "list attribute": lambda _: (Attributes(), Attributes(table=[1.0, 2.0, 3.01])),
    "switch": lambda _: (Attributes(), Attributes(flip=True)),
    "buffer that is not saved": lambda _: (
        Attributes(),
        Attributes(kept=torch.tensor([1, 1, 0.99])),
    ),
    "weights": lambda _: (net(), net(seed=1)),
    "lambda": lambda _: (lambda x: x @ WEIGHT.T, lambda x: x @ (WEIGHT.T + 1e-3)),
    "partial": lambda _: tuple(functools.partial(partial, factor=f) for f in (1.0, 1.001)),
    "bound method": lambda _: (Bound(1.0).scores, Bound(1.01).scores),
    "callable object": lambda _: (Bound(1.0), Bound(-1.0)),
    "packed weights": lambda _: (quantized(0.01), quantized(0.0101)),
    "numpy function": lambda _: tuple(
        NumpyModel(lambda x, f=f: f * x @ WEIGHT.numpy().T) for f in (1.0, 1.001)
    ),
    "part of an output": lambda _: tuple(
        SelectedOutput(lambda x: (x[:, :3], x[:, 1:4]), part) for part in (0, 1)
    ),
    "TorchScript": lambda _: (scripted(1.0), scripted(1.001)),
    "exported program": lambda folder: (exported(folder, 1.0), exported(folder, 1.001)),
    "order of layers": lambda _: (
        torch.nn.Sequential(torch.nn.Softsign(), torch.nn.Linear(8, 3)),
        torch.nn.Sequential(torch.nn.Linear(8, 3), torch.nn.Softsign()),
    ),
}


@pytest.mark.parametrize("kind", PAIRS)
def test_another_model_is_noticed(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    one, other = PAIRS[kind](tmp_path)
    assert differ(classifier(one), classifier(other))


def test_other_preprocessing_is_noticed() -> None:
    plain = classifier(net(), preprocess=scaled)
    for other in (
        functools.partial(scaled, mean=0.01),
        lambda x: (x - 0.001) / 0.5,
        torch.nn.Hardtanh(),
        None,
    ):
        assert differ(plain, classifier(net(), preprocess=other))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("depth", [2, 30])
def test_the_same_model_in_other_batches_is_the_same(depth: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    layers: list[torch.nn.Module] = []
    for _ in range(depth):
        layers += [torch.nn.Linear(8, 8), torch.nn.ReLU()]
        torch.nn.init.kaiming_normal_(layers[-2].weight)
    made = classifier(torch.nn.Sequential(*layers, torch.nn.Linear(8, 3)).to(dtype))
    recorded = answers(made, 64)
    threads = torch.get_num_threads()
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            for size in (1, 3, 8, 16, 100):
                check_answers(recorded, answers(made, size), "before")
    finally:
        torch.set_num_threads(threads)


def test_precision_and_memory_format_are_those_of_the_run() -> None:
    seen = []

    class Net(torch.nn.Conv2d):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.append((x.shape[0], x.is_contiguous(memory_format=torch.channels_last)))
            out = super().forward(x).mean((2, 3))
            seen.append(out.dtype)
            return out

    x = torch.zeros(2, 4, 4)
    made = classifier(Net(2, 3, 1))
    execution = Execution(autocast=torch.bfloat16, channels_last=True)
    record_answers(made, x, 24, execution)
    assert seen == [(24, True), torch.bfloat16]


def run(made: SmoothedClassifier, out: Path, rows: int | None, x: torch.Tensor = X) -> None:
    certify_dataset(
        made, (x, torch.tensor([0, 1, 2])), out, n=20, n0=5, seed=0, max_inputs=rows, batch_size=16
    )


@pytest.mark.parametrize("done", [1, 3])
def test_a_table_is_resumed_with_its_own_model_only(done: int, tmp_path: Path) -> None:
    out = tmp_path / "t.tsv"
    run(classifier(net(0.01)), out, done)
    before = out.read_bytes(), out.with_suffix(".json").read_bytes()
    with pytest.raises(ValueError, match=r"the model is another one than when .*t\.tsv was begun"):
        run(classifier(net(0.02)), out, None)
    assert before == (out.read_bytes(), out.with_suffix(".json").read_bytes())
    run(classifier(net(0.01)), out, None)
    assert len(out.read_text().splitlines()) == 4
    content = json.loads(out.with_suffix(".json").read_text())
    assert content["execution"]["answers"] == json.loads(before[1])["execution"]["answers"]


@pytest.mark.parametrize(
    "damage",
    [
        {"scores": "AAAA"},
        {"scores": 3},
        {"shape": [3]},
        {"tolerance": float("inf")},
        {"shape": 10**9},
    ],
)
def test_answers_that_are_damaged_are_not_believed(damage: dict[str, Any]) -> None:
    kept = answers(classifier(net()))
    with pytest.raises(ValueError, match="answers before cannot be read"):
        check_answers(kept | damage, kept, "before")


def test_scores_that_are_not_finite(tmp_path: Path) -> None:
    def masked(x: torch.Tensor) -> torch.Tensor:
        return torch.cat([x[:, :2], torch.full_like(x[:, :1], -np.inf)], dim=1)

    made = classifier(masked)
    check_answers(answers(made), answers(made, 3), "before")
    assert differ(made, classifier(lambda x: x[:, :3]))
    run(made, tmp_path / "t.tsv", 1)
    run(made, tmp_path / "t.tsv", None)
