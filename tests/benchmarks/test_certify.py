"""What certifying costs beside the forward passes that it is made of.

Run with ``pytest tests/benchmarks/test_certify.py --benchmark-only -n 0``. The forward passes
are timed inside the run that they are part of, in processor time of one thread, so that a busy
machine slows both alike.
"""

import time

import pytest

torch = pytest.importorskip("torch")

from torch.utils.flop_counter import FlopCounterMode  # noqa: E402

from rsverify import SmoothedClassifier, certify_dataset  # noqa: E402

# The model here measures its own time, and the probe says so.
pytestmark = pytest.mark.filterwarnings("ignore:the model asks the system for a clock")

N, BATCH = 100_000, 64


def network(channels, widths):
    torch.manual_seed(0)
    first, second, third = widths
    return torch.nn.Sequential(
        torch.nn.Conv2d(channels, first, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(first, second, 3, padding=1, stride=2),
        torch.nn.ReLU(),
        torch.nn.Conv2d(second, third, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.AdaptiveAvgPool2d(1),
        torch.nn.Flatten(),
        torch.nn.Linear(third, 10),
    ).eval()


# name: shape of an input, widths, largest ratio. A number of noise takes about 4 ns, whatever
# the network: of large inputs a small network is not much slower.
CASES = {
    "MNIST-sized, 15 MFLOP": ((1, 28, 28), (32, 64, 32), 1.05),
    "CIFAR-sized, 41 MFLOP": ((3, 32, 32), (64, 64, 64), 1.05),
    "CIFAR-sized, 11 MFLOP": ((3, 32, 32), (32, 32, 32), 1.15),
}


class Timed:
    """A model that knows how much processor time it has taken."""

    def __init__(self, net):
        self.net, self.seconds, self.inputs = net, 0.0, 0

    def __call__(self, batch):
        started = time.thread_time()
        scores = self.net(batch)
        self.seconds += time.thread_time() - started
        self.inputs += len(batch)
        return scores


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def case(name):
    shape, widths, limit = CASES[name]
    net = network(shape[0], widths)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros(1, *shape))
    assert counter.get_total_flops() >= 10e6
    return torch.rand(shape), net, limit


@pytest.mark.benchmark(group="certify")
@pytest.mark.parametrize("name", CASES)
def test_overhead_of_certify(benchmark, name):
    x, net, limit = case(name)
    timed = Timed(net)
    smoothed = SmoothedClassifier(timed, 10, 0.25)
    smoothed.certify(x, n=200, bound="exact")  # compiles kernels
    timed.seconds = timed.inputs = 0
    n = 640 if benchmark.disabled else N

    def run():
        started = time.thread_time()
        smoothed.certify(x, n=n, batch_size=BATCH, seed=0)
        return time.thread_time() - started

    total = benchmark.pedantic(run, rounds=1, iterations=1)
    assert timed.inputs >= n + 100  # the probe of the model comes on top, once
    benchmark.extra_info["overhead"] = ratio = total / timed.seconds
    print(f"\n{name}: certify {ratio:.4f} times its forward passes")
    assert benchmark.disabled or ratio <= limit


@pytest.mark.benchmark(group="certify")
@pytest.mark.parametrize("target", [None, 0.6], ids=["fixed", "target"])
def test_overhead_of_a_data_set(benchmark, tmp_path, target):
    """Ten inputs of 10,000 votes, with the table; the target stops most of them earlier.

    Where votes are looked at, some are drawn in vain, noise more so: it comes in blocks.
    """
    x, net, limit = case("MNIST-sized, 15 MFLOP")
    timed = Timed(net)
    smoothed = SmoothedClassifier(timed, 10, 0.25)
    images = torch.rand(10, *x.shape)
    options = {
        "n": 500 if benchmark.disabled else 10_000,
        "seed": 0,
        "target_radius": target,
        "progress": False,
    }
    certify_dataset(smoothed, images[:1], tmp_path / "warm.tsv", **options | {"n": 300})
    timed.seconds = timed.inputs = 0

    def run():
        started = time.thread_time()
        table = certify_dataset(smoothed, images, tmp_path / "table.tsv", **options)
        return time.thread_time() - started, table

    total, table = benchmark.pedantic(run, rounds=1, iterations=1)
    used = int(table["n"].sum() + table["n0"].sum())
    benchmark.extra_info["overhead"] = ratio = total / timed.seconds
    benchmark.extra_info["evaluated"] = evaluated = timed.inputs / used
    print(f"\ntarget {target}: {ratio:.4f} times its forward passes, {evaluated:.3f} of its votes")
    print(f"votes of an input: {table['n'].mean():.0f}")
    assert benchmark.disabled or ratio <= (limit if target is None else 1.2)
    assert benchmark.disabled or evaluated <= 1.3
