"""Sampling: batches, votes, and the module's state."""

from __future__ import annotations

import gc
import threading
import warnings
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier, certify_dataset  # noqa: E402
from rsverify.smoothing.batches import evaluating, noisy_batches  # noqa: E402
from rsverify.smoothing.models.adapters import NumpyModel  # noqa: E402
from rsverify.smoothing.noise import gaussian as noise_module  # noqa: E402
from rsverify.smoothing.noise.gaussian import Gaussian, seeded_generator  # noqa: E402
from rsverify.smoothing.sampling.forward import Forward, OutOfMemoryWarning  # noqa: E402
from rsverify.smoothing.sampling.job import Job, Scheduler  # noqa: E402

CPU = torch.device("cpu")


def noisy_inputs(x: torch.Tensor, n: int, batch_size: int) -> tuple[list[int], torch.Tensor]:
    generator = seeded_generator(7, 1, CPU)
    batches = noisy_batches(Gaussian(0.37), x, n, batch_size, generator=generator)
    kept = [batch.clone() for batch in batches]
    return [len(batch) for batch in kept], torch.cat(kept)


@pytest.mark.parametrize("numel", [1, 5, 16, 37])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("block", [1, 40, 10_000])
def test_noisy_inputs_are_the_same_to_the_bit_for_any_batch_size(
    numel: int, dtype: torch.dtype, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(noise_module, "_BLOCK_NUMBERS", block)
    x = torch.linspace(-1, 1, numel, dtype=dtype)
    sizes, expected = noisy_inputs(x, 101, 101)
    assert sizes == [101]
    for batch_size in (1, 3, 16, 64, 1000):
        sizes, inputs = noisy_inputs(x, 101, batch_size)
        assert sum(sizes) == 101
        assert set(sizes[:-1]) <= {batch_size}
        assert torch.equal(inputs, expected)


def test_every_noisy_input_is_x_plus_its_own_draw() -> None:
    x = torch.tensor([1.0, 2.0, 3.0])
    _, inputs = noisy_inputs(x, 50, 8)
    generator = seeded_generator(7, 1, CPU)
    noise = torch.cat(
        list(Gaussian(0.37).blocks((3,), 50, generator=generator, dtype=torch.float32))
    )
    assert torch.equal(inputs, x + noise)
    assert len(torch.unique(noise)) == 150


class Rows:
    """Stands for noisy inputs: rows of scores."""

    def __init__(self, scores: torch.Tensor) -> None:
        self.left = scores

    def take(self, out: torch.Tensor) -> None:
        out[:], self.left = self.left[: len(out)], self.left[len(out) :]


def votes_of(scores: torch.Tensor, batch_size: int = 2) -> np.ndarray:
    """Return the votes of rows that are scores themselves, as a session counts them."""
    votes = Forward(lambda batch: batch, scores.shape[1], CPU)
    job = Job(scores.shape[1], 0, len(scores), None, (None, None, Rows(scores)))
    batch = torch.empty((batch_size, scores.shape[1]), dtype=scores.dtype)
    for _ in Scheduler([job], votes, batch, evaluating=nullcontext).run():
        pass
    return job.counts


def test_votes_are_the_argmax_and_ties_go_to_the_lowest_class() -> None:
    scores = torch.tensor(
        [[1.0, 2, 0], [2, 1, 0], [1, 1, 0], [0, 3, 3], [-torch.inf, 0, torch.inf]]
    )
    votes = votes_of(scores)
    assert votes.dtype == np.int64
    assert votes.tolist() == [2, 2, 1]
    assert votes_of(scores.clamp(-5, 5).to(torch.int64)).tolist() == [2, 2, 1]


def test_votes_agree_with_bincount() -> None:
    scores = torch.randn(1000, 11, generator=seeded_generator(0, 0, CPU))
    expected = torch.bincount(scores.argmax(dim=1), minlength=11).tolist()
    for batch_size in (1, 7, 1000):
        assert votes_of(scores, batch_size).tolist() == expected


def test_nan_scores_anywhere_are_reported_with_their_number_in_the_batch() -> None:
    scores = torch.randn(20, 3)
    scores[3, 2] = torch.nan
    scores[17] = torch.nan
    with pytest.raises(ValueError, match="NaN scores for 2 of 20 noisy inputs"):
        votes_of(scores, 20)
    with pytest.raises(ValueError, match="NaN scores for 1 of 7 noisy inputs"):
        votes_of(scores, 7)


@pytest.mark.parametrize(
    ("scores", "error", "message"),
    [
        (torch.zeros(2, 3), ValueError, r"scores of shape \(2, 3\) for 2 inputs; with num_cl"),
        (torch.zeros(2), ValueError, r"scores of shape \(2,\)"),
        (torch.zeros(1, 4), ValueError, r"scores of shape \(1, 4\)"),
        (torch.zeros(2, 4, device="meta"), ValueError, "scores on meta; they must be on cpu"),
        (np.zeros((2, 4)), TypeError, "model returned ndarray; it must return a tensor"),
        ((torch.zeros(2, 4),), TypeError, "model returned tuple"),
    ],
)
def test_wrong_scores_are_refused(scores: object, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Forward(lambda _: scores, 4, CPU)(torch.zeros(2, 5))  # type: ignore[arg-type, return-value]


def test_progress_hears_of_every_batch() -> None:
    heard: list[int] = []
    smoothed = SmoothedClassifier(lambda b: b, 2, 0.5)
    smoothed.counts(torch.zeros(2), n=7, batch_size=3, progress=heard.append)
    assert heard == [3, 3, 1]


def make_module() -> torch.nn.Module:
    module = torch.nn.Sequential(
        torch.nn.Linear(3, 4),
        torch.nn.Sequential(torch.nn.BatchNorm1d(4), torch.nn.Dropout(0.5)),
    )
    module.train()
    module[1][0].eval()  # a frozen layer inside a training module
    return module


@pytest.mark.parametrize("fails", [False, True])
def test_flags_of_every_submodule_come_back(fails: bool) -> None:
    first, second = make_module(), torch.nn.Dropout()
    before = [m.training for m in (*first.modules(), second)]
    with pytest.raises(RuntimeError, match="inside") if fails else evaluating():  # noqa: SIM117
        with evaluating(first, None, second, len):
            assert not any(m.training for m in (*first.modules(), second))
            assert not torch.is_grad_enabled()
            if fails:
                raise RuntimeError("inside")
    assert [m.training for m in (*first.modules(), second)] == before
    assert torch.is_grad_enabled()


def test_flags_come_back_even_where_train_is_overridden() -> None:
    class Merging(torch.nn.Linear):
        merged = False

        def train(self, mode: bool = True) -> Merging:
            self.merged = not mode
            return super().train(mode)

    module = Merging(2, 2).train()
    with evaluating(module):
        pass
    assert not module.merged
    assert module.training


def test_threads_that_share_a_module_find_it_in_evaluation_mode() -> None:
    """Whoever leaves first does not switch it back under the others, and the last one does."""
    module = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.Dropout()).train()
    module[0].eval()
    entered, leave = threading.Event(), threading.Event()

    def first() -> None:
        with evaluating(module):
            entered.set()
            leave.wait()

    thread = threading.Thread(target=first)
    thread.start()
    entered.wait()
    with evaluating(module[1], module):
        with evaluating(module):
            leave.set()
            thread.join()
            assert not module.training
        assert not any(m.training for m in module.modules())
    assert [m.training for m in module.modules()] == [True, False, True]


def test_threads_certify_with_one_model_as_one_thread_does() -> None:
    seen, together = set[bool](), threading.Barrier(3)

    class Drops(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            seen.add(self.training)
            return torch.nn.functional.dropout(x, 0.9, self.training)

    model = torch.nn.Sequential(torch.nn.Linear(4, 3), Drops()).train()
    smoothed = SmoothedClassifier(model, 3, 0.5)
    inputs = [torch.full((4,), 0.1 * i) for i in range(3)]
    state, options = torch.get_rng_state(), {"n": 60, "n0": 10, "batch_size": 4, "progress": False}
    alone = [smoothed.certify(x, seed=i, **options).counts for i, x in enumerate(inputs)]
    found = list[Any]([None] * 3)

    def certify(i: int) -> None:
        fresh = SmoothedClassifier(model, 3, 0.5)  # which probes anew
        together.wait()
        found[i] = fresh.certify(inputs[i], seed=i, **options).counts

    threads = [threading.Thread(target=certify, args=(i,)) for i in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == alone
    assert seen == {False}
    assert all(m.training for m in model.modules())
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "options", [{}, {"target_radius": 0.3}, {"bound": "betting", "radius": "R1"}]
)
def test_who_stops_consuming_keeps_gradients_and_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    """Also where an exception holds on to the frames, as a debugger or a notebook's does.

    Two are held, and let go in the order in which they came: had they switched gradients off,
    the last one would have found them off and left them so.
    """
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.Dropout()).train()
    smoothed = SmoothedClassifier(model, 3, 0.1)
    seen = list[tuple[bool, bool]]()

    def full(*_: object, **__: object) -> None:
        seen.append((torch.is_grad_enabled(), model.training))
        raise OSError("disk full")

    monkeypatch.setattr("rsverify.tables.writer.TableWriter.write", full)
    data = [(torch.full((4,), 0.1 * i), 0) for i in range(8)]
    held = list[BaseException]()
    for i in range(2):
        with pytest.raises(OSError, match="disk full") as caught:
            certify_dataset(smoothed, data, tmp_path / f"{i}.tsv", n=50, n0=5, seed=0, **options)
        held.append(caught.value)
        assert torch.is_grad_enabled()
        assert model.training
    del caught
    while held:
        held.pop(0)
        gc.collect()
    assert torch.is_grad_enabled()
    assert model.training
    assert seen == [(True, True)] * 2


class Normalizes(torch.nn.Module):
    """Standardizes its batch in place, as fast preprocessing does."""

    def __init__(self, limit: int | None = None) -> None:
        super().__init__()
        self.layer, self.limit = torch.nn.Linear(4, 3), limit
        with torch.no_grad():
            self.layer.weight.copy_(torch.arange(12.0).reshape(3, 4).sin())

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        batch.sub_(0.4).div_(0.2)
        if self.limit is not None and len(batch) > self.limit:
            raise torch.OutOfMemoryError("too many")
        return self.layer(batch)


def _numpy(batch: np.ndarray) -> np.ndarray:
    batch -= 0.4
    batch /= 0.2
    return np.asarray(batch @ np.sin(np.arange(12.0, dtype=np.float32).reshape(3, 4)).T)


@pytest.mark.parametrize("way", ["plain", "inference mode", "numpy", "memory", "scores", "softmax"])
def test_a_model_may_change_its_batch_in_place(way: str) -> None:
    class Copies(Normalizes):
        def forward(self, batch: torch.Tensor) -> torch.Tensor:
            return self.layer((batch - 0.4) / 0.2)

    x = torch.tensor([0.5, 0.1, 0.9, -0.8])
    options: dict[str, Any] = {"n": 500, "n0": 50, "batch_size": 64, "seed": 0, "alpha": 0.05}
    if way in ("scores", "softmax"):
        options |= {"bound": "betting", "radius": "R1" if way == "softmax" else "R2"}
    limit = 20 if way == "memory" else None
    model: Any = NumpyModel(_numpy) if way == "numpy" else Normalizes(limit)
    other = Copies()
    other.load_state_dict(Normalizes().state_dict())
    if way == "numpy":
        torch.nn.init.zeros_(other.layer.bias)
    else:
        model.load_state_dict(other.state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OutOfMemoryWarning)
        with torch.inference_mode() if way == "inference mode" else nullcontext():
            found = SmoothedClassifier(model, 3, 0.1).certify(x, **options)
    wanted = SmoothedClassifier(other, 3, 0.1).certify(x, **options)

    assert found.prediction == wanted.prediction
    assert found.radius == pytest.approx(wanted.radius, rel=1e-6)
    assert found.radius > 0
