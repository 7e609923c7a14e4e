"""Every argument of what samples a model, given what does not belong there: named, at once."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.arguments import hostile, outcome  # noqa: E402

from rsverify import SmoothedClassifier, certify_dataset  # noqa: E402
from rsverify.smoothing.noise.discrete import DiscreteGaussian  # noqa: E402
from rsverify.smoothing.sampling.scores import ProbabilitiesWarning  # noqa: E402
from rsverify.smoothing.score_maps import score_map  # noqa: E402
from rsverify.tables.reader import read_table  # noqa: E402

X = np.array([[1.0, 0.0], [-1.0, 0.5], [0.25, 0.75]])


def halves(batch: torch.Tensor) -> torch.Tensor:
    return torch.stack([-batch[:, 0], batch[:, 0]], dim=1)


SMOOTHED = SmoothedClassifier(halves, 2, 0.5)
MORE = {
    "an integer type": lambda: torch.int32,
    "a real type": lambda: torch.float32,
    "a tensor": lambda: torch.zeros(2),
    "no": lambda: "no",
    "0": lambda: 0,
    "1": lambda: 1,
}
SAMPLED = {"x": X[0], "n": 20, "batch_size": 8, "seed": 0}
CERTIFIED = SAMPLED | {"n0": 5, "bound": "cohen", "scores": "softmax"}
SCORED = SAMPLED | {"n0": 5, "bound": "hoeffding", "radius": "R1", "lipschitz": 1.0}
TARGET = SAMPLED | {"n0": 5, "target_radius": 0.1}


def dataset(**options: Any) -> Any:
    return certify_dataset(
        **({"classifier": SMOOTHED, "dataset": X, "n0": 3, "n": 9, "seed": 0} | options)
    )


CALLS: dict[str, tuple[Callable[..., Any], dict[str, Any], list[str]]] = {
    "SmoothedClassifier": (
        SmoothedClassifier,
        {"model": halves, "num_classes": 2, "sigma": 0.5},
        ["model", "num_classes", "sigma", "preprocess", "device", "dtype", "noise", "lattice"],
    ),
    "DiscreteGaussian": (
        DiscreteGaussian,
        {"sigma": 0.5, "lattice": 1 / 255},
        ["sigma", "lattice"],
    ),
    "score_map": (score_map, {"name": "softmax", "temperature": 1.0}, ["temperature"]),
    "counts": (SMOOTHED.counts, SAMPLED, ["x", "n", "batch_size", "seed"]),
    "predict": (SMOOTHED.predict, SAMPLED | {"alpha": 0.05}, ["x", "n", "alpha", "seed"]),
    "scores": (
        SMOOTHED.scores,
        SAMPLED,
        ["x", "n", "batch_size", "seed", "scores", "temperature"],
    ),
    "certify": (
        SMOOTHED.certify,
        CERTIFIED,
        [
            *("x", "n0", "n", "alpha", "batch_size", "bound", "radius", "y", "lipschitz"),
            *("ordering", "scores", "temperature", "seed", "futility", "target_radius"),
        ],
    ),
    "certify, of scores": (
        SMOOTHED.certify,
        SCORED,
        ["n0", "n", "alpha", "y", "lipschitz", "ordering", "scores", "temperature"],
    ),
    "certify, of a target": (SMOOTHED.certify, TARGET, ["n", "alpha", "futility", "radius"]),
    "certify, of a width": (
        SMOOTHED.certify,
        SAMPLED | {"n0": 5, "precision": 0.1},
        ["precision", "n", "alpha", "progress"],
    ),
    "certify, of a share": (
        SMOOTHED.certify,
        SAMPLED | {"n0": 5, "relative_precision": 0.1},
        ["relative_precision"],
    ),
}
DATASET = [
    *("resume", "n0", "n", "alpha", "bound", "radius", "lipschitz", "ordering", "scores"),
    *(
        "temperature",
        "target_radius",
        "precision",
        "relative_precision",
        "futility",
        "certify_label",
        "seed",
        "skip",
        "max_inputs",
    ),
    *("input_range", "batch_size", "autocast", "channels_last", "workers"),
    *("record_time", "progress", "origin", "out", "classifier", "dataset"),
]
# Any callable is a model, and may raise or return what it likes.
CALLABLE = {"model", "preprocess"}


def faults(function: Callable[..., Any], arguments: dict[str, Any], name: str) -> list[str]:
    found = []
    for kind, make in (hostile() | MORE).items():
        if name in CALLABLE and callable(make()):
            continue
        fault = outcome(function, arguments | {name: make()}, name)
        if fault and not (name == "dataset" and "input 0: " in fault):
            found.append(f"{name}: {kind}: {fault}")
    return found


@pytest.mark.parametrize("call", CALLS)
def test_arguments_of_one_input(call: str) -> None:
    function, arguments, names = CALLS[call]
    function(**arguments)
    found = [fault for name in names for fault in faults(function, arguments, name)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", DATASET)
def test_arguments_of_a_data_set(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where tables of odd names go
    calls = iter(range(10**6))

    def run(**options: Any) -> Any:
        return dataset(**({"out": tmp_path / f"{next(calls)}.tsv"} | options))

    run()
    found = faults(run, {}, name)
    assert not found, "\n".join(found)


def test_flags_are_truth_values_and_nothing_is_written_for_others(tmp_path: Path) -> None:
    for name in ("certify_label", "resume", "compile", "channels_last", "record_time"):
        for value in ("no", 0, 1, None, np.array(True), [True]):
            with pytest.raises(TypeError, match=f"{name}=.* must be True or False"):
                dataset(out=tmp_path / "t.tsv", **{name: value})
    assert not list(tmp_path.iterdir())
    dataset(out=tmp_path / "t.tsv", record_time=np.False_)


def test_options_of_numpy_are_kept_in_the_table_as_numbers(tmp_path: Path) -> None:
    out = tmp_path / "t.tsv"
    dataset(
        out=out,
        n=np.int64(9),
        alpha=np.float32(0.25),
        target_radius=np.float32(0.125),
        futility=np.array(0.25),
    )
    dataset(out=out, n=9, alpha=0.25, target_radius=0.125, futility=0.25)
    assert len(read_table(out)) == 3


EMPTY = {
    "all −∞": lambda b: torch.full((len(b), 2), -torch.inf),
    "all −∞ in half precision": lambda b: torch.full((len(b), 2), -torch.inf).half(),
    "NaN": lambda b: torch.full((len(b), 2), torch.nan),
    "some NaN": lambda b: torch.stack([b[:, 0], b[:, 0] * torch.nan], dim=1),
    "some rows −∞": lambda b: halves(b).masked_fill(b[:, :1] > 0.5, -torch.inf),
}


@pytest.mark.parametrize("kind", EMPTY)
def test_rows_without_a_score_are_refused(kind: str, tmp_path: Path) -> None:
    smoothed = SmoothedClassifier(EMPTY[kind], 2, 0.5)
    x = X[0]
    for call in (
        functools.partial(smoothed.counts, x, n=50, seed=0),
        functools.partial(smoothed.predict, x, n=50, seed=0),
        functools.partial(smoothed.certify, x, n=50, seed=0),
        functools.partial(smoothed.certify, x, n=50, seed=0, target_radius=0.1),
        *(
            functools.partial(smoothed.certify, x, n=50, seed=0, bound="hoeffding", scores=scores)
            for scores in ("softmax", "hardmax", "sparsemax", "identity")
        ),
        functools.partial(certify_dataset, smoothed, X, tmp_path / "t.tsv", n=50, n0=5, seed=0),
    ):
        with pytest.raises(ValueError, match=r"NaN.*−∞"):
            call()
    masked = SmoothedClassifier(
        lambda b: torch.cat([halves(b), torch.full_like(b[:, :1], -torch.inf)], dim=1), 3, 0.5
    )
    assert masked.certify(x, n=200, seed=0).prediction == 1


def test_probabilities_get_a_second_softmax_and_it_is_said_once(tmp_path: Path) -> None:
    soft = SmoothedClassifier(lambda b: halves(b).softmax(1), 2, 0.5)
    options = {"n": 50, "n0": 5, "bound": "hoeffding"}
    for model in (soft, SmoothedClassifier(lambda b: halves(b).softmax(1).half(), 2, 0.5)):
        with pytest.warns(ProbabilitiesWarning, match=r"scores='identity'"):
            model.certify(X[0], seed=0, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        soft.certify(X[0], seed=0, scores="identity", **options)
        SMOOTHED.certify(X[0], seed=0, **options)
        soft.certify(X[0], seed=0, n=50)  # votes are the same
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        certify_dataset(soft, X, tmp_path / "t.tsv", seed=0, **options)
    assert len([w for w in caught if w.category is ProbabilitiesWarning]) == 1


def test_inputs_of_unusual_memory() -> None:
    plain = SMOOTHED.counts(X[0].astype(np.float32), n=50, seed=0).tolist()
    for x in (
        X[0].astype(">f4"),
        X[0].astype(np.float32)[::-1][::-1],
        np.asfortranarray(X[:1].astype(np.float32))[0],
        torch.tensor(X[0], dtype=torch.float32, requires_grad=True),
    ):
        assert SMOOTHED.counts(x, n=50, seed=0).tolist() == plain
    for x in (
        np.ma.array(X[0], mask=[True, False]),
        X[0].astype(np.longdouble),
        torch.tensor(X[0]).to_sparse(),
        torch.empty(2, device="meta"),
    ):
        with pytest.raises(TypeError, match=r"^x "):
            SMOOTHED.counts(x, n=50, seed=0)
