"""Sampling end to end: memory, host synchronization, and certificates against the truth."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

torch = pytest.importorskip("torch")

from torch.utils._python_dispatch import TorchDispatchMode  # noqa: E402

from rsverify import ABSTAIN, SmoothedClassifier, certify_dataset  # noqa: E402

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")

IMAGENET = (3, 224, 224)
MEGABYTE = 2**20
# One batch of 16 float32 images and one block of noise (4 MB), plus 1 MB for scores and counts,
# beside the 8 images that the model is probed with first.
BATCH = 16
ALLOWED = (BATCH + 8) * 4 * math.prod(IMAGENET) + 4 * MEGABYTE + MEGABYTE


def corner_pixels(batch: torch.Tensor) -> torch.Tensor:
    return batch[:, 0, 0, :10]


def peak_memory(run: Callable[[], object]) -> int:
    """Return the largest number of bytes that torch's CPU allocator held during `run`."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True
    ) as profile:
        run()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]
    changes = [e.nbytes() for e in sorted(events, key=lambda e: e.start_ns())]
    return int(np.cumsum(changes).max())


def sample(
    n: int, model: Callable[[torch.Tensor], torch.Tensor] = corner_pixels, **noise: Any
) -> None:
    smoothed = SmoothedClassifier(model, 10, 0.25, **noise)
    assert smoothed.counts(torch.zeros(IMAGENET), n=n, batch_size=BATCH, seed=0).sum() == n


def test_sampling_holds_one_chunk_whatever_n() -> None:
    few, many = (peak_memory(lambda n=n: sample(n)) for n in (32, 320))
    assert BATCH * 4 * math.prod(IMAGENET) < few <= ALLOWED
    assert many <= few + 4096  # two hundred megabytes of noisy inputs have passed


def test_discrete_noise_holds_one_chunk_whatever_n() -> None:
    lattice = {"noise": "discrete", "lattice": 1 / 255}
    sample(1, **lattice)  # the tables, once
    few, many = (peak_memory(lambda n=n: sample(n, **lattice)) for n in (20, 40))
    # Beside a batch, the words of one image, what they look up, and the draws.
    assert BATCH * 4 * math.prod(IMAGENET) < few <= ALLOWED + 40 * math.prod(IMAGENET)
    assert many <= few + 4096


def test_memory_meter_sees_a_model_that_keeps_its_inputs() -> None:
    kept: list[torch.Tensor] = []

    def hoarder(batch: torch.Tensor) -> torch.Tensor:
        kept.append(batch.clone())
        return corner_pixels(batch)

    assert peak_memory(lambda: sample(64, hoarder)) > 2 * ALLOWED


@needs_cuda
def test_a_hundred_thousand_images_on_cuda_hold_one_chunk() -> None:
    torch.cuda.reset_peak_memory_stats()
    held = torch.cuda.memory_allocated()
    smoothed = SmoothedClassifier(corner_pixels, 10, 0.25, device="cuda")
    smoothed.counts(torch.zeros(IMAGENET), n=100_000, batch_size=BATCH, seed=0)
    assert torch.cuda.max_memory_allocated() - held <= ALLOWED


# Operations that make the host wait for a CUDA device: a scalar read back, or an output whose
# size depends on the data (`bincount` reads its largest value to size its output).
WAITING = ("_local_scalar_dense", "nonzero", "masked_select", "bincount", "unique", "equal")


class WaitingOperations(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        del types
        if any(name in str(func) for name in WAITING):
            self.names.append(str(func))
        return func(*args, **(kwargs or {}))


def waiting_operations(model: Callable[[torch.Tensor], torch.Tensor], n: int) -> list[str]:
    with WaitingOperations() as seen:
        SmoothedClassifier(model, 10, 0.25).counts(torch.zeros(3, 8, 16), n=n, batch_size=10)
    return seen.names


def test_nothing_waits_for_the_device_per_chunk() -> None:
    assert waiting_operations(corner_pixels, 1000) == waiting_operations(corner_pixels, 10)


@pytest.mark.parametrize("target", [None, 50.0])
def test_nothing_of_a_data_set_waits_for_the_device_per_chunk(
    tmp_path: Path, target: float | None
) -> None:
    smoothed = SmoothedClassifier(corner_pixels, 10, 0.25)
    seen = []
    for n in (100, 1000):
        with WaitingOperations() as waiting:
            certify_dataset(
                smoothed,
                torch.zeros(2, 3, 8, 16),
                tmp_path / f"{n}.tsv",
                n=n,
                batch_size=10,
                bound="exact" if target else "cohen",
                target_radius=target,
            )
        seen.append(waiting.names)
    assert seen[0] == seen[1]


def test_the_count_of_waiting_operations_can_fail() -> None:
    def waits(batch: torch.Tensor) -> torch.Tensor:
        batch.sum().item()
        return corner_pixels(batch)

    assert len(waiting_operations(waits, 1000)) == len(waiting_operations(waits, 10)) + 99


@needs_cuda
def test_cuda_sees_no_synchronization_between_first_and_last_chunk() -> None:
    def model(batch: torch.Tensor) -> torch.Tensor:
        torch.cuda.set_sync_debug_mode("error")  # until the progress of the last chunk
        return corner_pixels(batch)

    done = 0

    def progress(chunk: int) -> None:
        nonlocal done
        done += chunk
        if done == 1000:
            torch.cuda.set_sync_debug_mode("default")

    try:
        SmoothedClassifier(model, 10, 0.25, device="cuda").counts(
            torch.zeros(3, 8, 16), n=1000, batch_size=10, progress=progress
        )
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert done == 1000


def test_certified_radii_against_the_distance_to_the_boundary() -> None:
    """A half-space's certified radius is at most its distance but for a share alpha.

    The true radius is known: the distance 0.3. Seeded. A certificate that fails with
    probability exactly alpha would fail this on a new seed with probability below 1e-4; one
    that fails with probability 3 alpha passes with probability below 1e-4.
    """

    def half_space(batch: torch.Tensor) -> torch.Tensor:
        projection = 0.6 * batch[:, 0] + 0.8 * batch[:, 1]
        return torch.stack([projection, -projection, projection - 9], dim=1)

    x = torch.tensor([0.3 * 0.6, 0.3 * 0.8])
    smoothed = SmoothedClassifier(half_space, 3, 0.5)
    alpha, runs = 0.05, 600
    certificates = [
        smoothed.certify(x, n0=20, n=300, alpha=alpha, bound="cohen", seed=(11, run))
        for run in range(runs)
    ]
    wrong = [c for c in certificates if c.radius > 0.3 or c.prediction not in (0, ABSTAIN)]
    assert len(wrong) <= binom.isf(1e-4, runs, alpha)
    assert binom.cdf(binom.isf(1e-4, runs, alpha), runs, 3 * alpha) < 1e-4
    radii = np.array([c.radius for c in certificates])
    assert 0.2 < np.median(radii) < 0.3


def test_certificate_of_a_convolutional_module_by_the_exact_bound() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3),
        torch.nn.BatchNorm2d(4),
        torch.nn.ReLU(inplace=True),
        torch.nn.Dropout(0.5),
        torch.nn.Flatten(),
        torch.nn.Linear(4 * 36, 5),
    )
    smoothed = SmoothedClassifier(model, 5, 0.25, preprocess=lambda batch: (batch - 0.5) / 0.3)
    image = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(0))
    certificate = smoothed.certify(image, n0=100, n=2000, seed=0)
    prediction, radius = certificate
    assert prediction == certificate.y == int(np.argmax(certificate.selection_counts))
    assert radius > 0
    assert sum(certificate.counts) == 2000
    assert model.training
