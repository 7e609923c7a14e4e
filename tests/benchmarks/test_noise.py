"""Cost of discrete noise beside Gaussian noise, alone and with a network, on one core.

Run with ``pytest tests/benchmarks/test_noise.py --benchmark-only``; it counts CPU time.
"""

from __future__ import annotations

import time

import pytest

torch = pytest.importorskip("torch")

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify.smoothing.batches import noisy_batches  # noqa: E402
from rsverify.smoothing.noise.gaussian import seeded_generator  # noqa: E402

pytestmark = pytest.mark.benchmark(timer=time.thread_time, min_rounds=5, warmup=True)
KINDS = {"gaussian": {}, "discrete": {"noise": "discrete", "lattice": 1 / 255}}


@pytest.fixture(autouse=True)
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def smoothed(kind, model):
    return SmoothedClassifier(model, 10, 0.5, **KINDS[kind])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (3, 224, 224)])
def test_noisy_inputs(benchmark, kind, shape):
    noise = smoothed(kind, torch.nn.Identity()).noise
    center = noise.center(torch.zeros(shape), torch.float32)
    n = max(1, 1_000_000 // center.numel())

    def run():
        generator = seeded_generator(0, 0, torch.device("cpu"))
        for _ in noisy_batches(noise, center, n, 256, generator=generator):
            pass

    run()
    benchmark(run)
    if not benchmark.disabled:
        benchmark.extra_info["ns_per_number"] = (
            benchmark.stats.stats.median / (n * center.numel()) * 1e9
        )


def network():
    """Return a network of 10 MFLOP (multiplications and additions) per 1 × 28 × 28 input."""
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 16, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(16, 42, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(42, 10),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_counts_of_a_network_of_10_mflop(benchmark, kind):
    model = smoothed(kind, network())
    benchmark(model.counts, torch.zeros(1, 28, 28), n=512, seed=0)
