"""One input is one: a batch is refused by name, and a run of one says how long it takes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier, certify_dataset  # noqa: E402


def convolutional() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 5)
    )


def dense() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(7, 8), torch.nn.ReLU(), torch.nn.Linear(8, 5))


def series() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv1d(2, 3, 3), torch.nn.Flatten(), torch.nn.Linear(18, 5))


def flat() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 5))


def rows(batch: torch.Tensor) -> torch.Tensor:
    assert batch.ndim == 2, "rows of numbers only"
    return batch[:, :5]


MODELS: dict[str, tuple[Any, tuple[int, ...]]] = {
    "images": (convolutional, (3, 8, 8)),
    "rows": (dense, (7,)),
    "series": (series, (2, 8)),
    "flat": (flat, (4, 4)),
    "a function": (lambda: rows, (6,)),
}
METHODS: dict[str, dict[str, Any]] = {
    "certify": {"n": 20},
    "certify with a target": {"n": 200, "target_radius": 0.1},
    "certify by scores": {"n": 20, "bound": "hoeffding", "radius": "R1"},
    "counts": {"n": 20},
    "predict": {"n": 20},
    "scores": {"n": 20},
}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", MODELS)
def test_a_batch_is_refused(name: str, method: str) -> None:
    (make, shape), count = MODELS[name], 2 + len(name)
    smoothed = SmoothedClassifier(make(), 5, 0.25)
    call = getattr(smoothed, method.partition(" ")[0])
    message = r"x of shape \(.*\) must be one input, not a batch: the model takes it as "
    with pytest.raises(ValueError, match=message + f"{count} of them.*certify_dataset"):
        call(torch.rand(count, *shape), seed=0, **METHODS[method])
    call(torch.rand(shape), seed=0, **METHODS[method])
    with pytest.raises(ValueError, match=message):  # after one that was right, too
        call(np.random.default_rng(0).random((count, *shape)), seed=0, **METHODS[method])


def test_a_batch_of_one_image_is_refused_with_its_remedy() -> None:
    with pytest.raises(ValueError, match=r"takes it as 1 of them; give x\[0\]"):
        SmoothedClassifier(convolutional(), 5, 0.25).certify(torch.rand(1, 3, 8, 8), n=20)


def test_discrete_noise_knows_a_batch_too() -> None:
    smoothed = SmoothedClassifier(convolutional(), 5, 0.25, noise="discrete", lattice=1 / 255)
    images = torch.randint(0, 256, (4, 3, 8, 8)) / 255
    with pytest.raises(ValueError, match="takes it as 4 of them"):
        smoothed.certify(images, n=20, seed=0)


def test_items_of_a_data_set_that_are_batches_are_refused(tmp_path) -> None:
    smoothed = SmoothedClassifier(convolutional(), 5, 0.25)
    with pytest.raises(ValueError, match=r"x of shape \(1, 3, 8, 8\) must be one input, not a b"):
        certify_dataset(smoothed, torch.rand(2, 1, 3, 8, 8), tmp_path / "t.tsv", n=20)


def test_a_model_that_fails_otherwise_says_so_itself() -> None:
    def fails(_: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("weights are missing")

    with pytest.raises(RuntimeError, match="weights are missing"):
        SmoothedClassifier(fails, 5, 0.25).certify(torch.rand(3, 8, 8), n=20)
    with pytest.raises(RuntimeError):  # an image without channels, and no batch of anything
        SmoothedClassifier(convolutional(), 5, 0.25).certify(torch.rand(8, 8), n=20)
    with pytest.raises(ValueError, match="with num_classes=9 it must be"):
        SmoothedClassifier(dense(), 9, 0.25).certify(torch.rand(7), n=20)


@pytest.mark.parametrize("wrong", [3, "yes", 0.5, [], lambda: None])
@pytest.mark.parametrize("method", ["certify", "counts", "predict", "scores"])
def test_progress_that_is_none_is_refused_before_sampling(method: str, wrong: Any) -> None:
    def model(_: torch.Tensor) -> torch.Tensor:
        pytest.fail("sampled")

    with pytest.raises(TypeError, match="progress"):
        getattr(SmoothedClassifier(model, 2, 0.5), method)(torch.zeros(3), n=9, progress=wrong)


@pytest.mark.parametrize("more", [{}, {"target_radius": 0.1}, {"bound": "hoeffding"}])
def test_a_run_of_one_input_is_told_after_its_first_batch(more: dict[str, Any]) -> None:
    class Kept(list[Any]):
        def show(self, update: Any) -> None:
            self.append(update)

        def close(self) -> None:
            pass

    kept = Kept()
    smoothed = SmoothedClassifier(dense(), 5, 0.25)
    found = smoothed.certify(
        torch.rand(7), n0=10, n=90, batch_size=10, seed=0, progress=kept, **more
    )
    first = next(u for u in kept if u.samples)
    assert (first.samples, first.total, first.unit) == (10, 100, "noisy inputs")
    assert first.remaining > 0
    assert first.rate
    assert first.at_most == ("target_radius" in more)
    assert kept[-1].samples >= found.n + found.n0


def test_one_input_is_a_run_of_the_data_set_that_holds_it(tmp_path) -> None:
    smoothed, x = SmoothedClassifier(dense(), 5, 0.25), torch.rand(3, 7)
    for i, more in enumerate(({}, {"target_radius": 0.1}, {"bound": "hoeffding", "radius": "R1"})):
        table = certify_dataset(smoothed, x, tmp_path / f"{i}.tsv", n=300, seed=4, **more)
        for idx in range(3):
            alone = smoothed.certify(x[idx], n=300, seed=(4, idx), **more)
            row = table.iloc[idx]
            assert tuple(row[f"count_{k}"] for k in range(5)) == alone.counts
            assert row["radius"] == pytest.approx(alone.radius, abs=2e-6)
            assert row["predict"] == alone.prediction
