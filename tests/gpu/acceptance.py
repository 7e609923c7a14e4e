"""Does sampling do on this machine's device what the documentation says, and how fast?

    PYTHONPATH=. python tests/gpu/acceptance.py [--device cuda:0] [--out FILE.json] [--small]

Needs torch, numba, scipy, pandas and pytest, and nothing installed. Prints one line per check,
then a JSON of all figures, which --out also writes to a file. Under eight minutes on one GPU; on
a CPU, or with --small, sizes are small and figures of speed say nothing. The exit status is 1
where a check fails.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import os
import platform
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stand_ins import stand_in

MISSING = stand_in()

import numpy as np  # noqa: E402
import scipy.stats  # noqa: E402
import torch  # noqa: E402
from resnet import resnet50  # noqa: E402

from rsverify import SmoothedClassifier, certify_dataset  # noqa: E402
from rsverify.smoothing import device as devices  # noqa: E402
from rsverify.smoothing.device import DeviceContext, choose_device, device_facts  # noqa: E402
from rsverify.smoothing.noise.alias import WORD_BITS, fill_words  # noqa: E402
from rsverify.smoothing.noise.discrete import DiscreteGaussian  # noqa: E402
from rsverify.smoothing.noise.gaussian import (  # noqa: E402
    ESTIMATION,
    Gaussian,
    seeded_generator,
)
from rsverify.smoothing.request import Request  # noqa: E402
from rsverify.smoothing.sampling.forward import OutOfMemoryWarning  # noqa: E402
from rsverify.smoothing.sampling.session import Execution, Session  # noqa: E402
from rsverify.tables.reader import read_metadata  # noqa: E402

Figures = dict[str, Any]

# Each random check fails a sound device with less than this probability.
FALSE_ALARM = 1e-6
WANTED_RATIO = 1.03
# Dense tensor-core TFLOP/s by maker: TF32, and float16 or bfloat16.
PEAKS = {
    "H200": (494.7, 989.4),
    "H100 PCIe": (378.0, 756.0),
    "H100": (494.7, 989.4),
    "A100": (156.0, 312.0),
    "A10": (62.5, 125.0),
    "L40S": (183.0, 362.0),
    "L4": (60.0, 121.0),
    "RTX 4090": (82.6, 165.2),
}


class NothingToCheckError(Exception):
    """A check that means nothing here."""


@dataclass
class Bench:
    """Where to check, and how much."""

    device: torch.device
    small: bool
    folder: Path
    names: int = field(default=0)

    @property
    def gpu(self) -> bool:
        return self.device.type == "cuda"

    def out(self) -> Path:
        """Return a new place for a table."""
        self.names += 1
        return self.folder / f"table_{self.names}.tsv"

    def wait(self) -> None:
        if self.gpu:
            torch.cuda.synchronize(self.device)

    def sleep(self, seconds: float) -> None:
        """Keep the device, not the host, busy."""
        if self.gpu:
            torch.cuda._sleep(int(seconds * 1.5e9))
        else:
            time.sleep(seconds / 10)


CLASSES = 4
POINTS = torch.linspace(-1, 1, 6 * 8).reshape(6, 8)


def exact_model(batch: torch.Tensor) -> torch.Tensor:
    """Scores that no choice of a kernel rounds differently: numbers of the input themselves."""
    return batch[:, :CLASSES].clone()


def certified(
    bench: Bench, model: Any, x: Any = POINTS, out: Path | None = None, **more: Any
) -> Any:
    options = {"n": 2000, "n0": 50, "bound": "cohen", "seed": 7, "batch_size": 256}
    options |= {"progress": False, "record_time": False}
    classifier = SmoothedClassifier(model, CLASSES, 0.5, device=bench.device)
    return certify_dataset(classifier, x, out or bench.out(), **(options | more))


# The checks.


def late_votes(bench: Bench) -> Figures:
    """Votes are read when they have arrived, though the device is far behind the host."""
    events: list[Any] = []
    real = DeviceContext.fetch

    def noted(self: DeviceContext, values: torch.Tensor) -> devices.Arriving:
        arriving = real(self, values)
        event = arriving._event
        events.append((str(values.device), None if event is None else str(event.device)))
        return arriving

    def sleepy(k: int) -> Any:
        def model(batch: torch.Tensor) -> torch.Tensor:
            bench.sleep(0.02)
            chosen = torch.arange(CLASSES, device=batch.device) == k
            return chosen.float().expand(len(batch), CLASSES)

        return model

    DeviceContext.fetch = noted  # type: ignore[method-assign]
    try:
        for k in (1, 2, 3):
            for more in ({}, {"bound": "exact", "target_radius": 0.1}):
                table = certified(bench, sleepy(k), **more)
                assert (table["predict"] == k).all(), f"class {k}: {table['predict'].tolist()}"
                assert (table[f"count_{k}"] == table["n"]).all(), "votes for another class"
    finally:
        DeviceContext.fetch = real  # type: ignore[method-assign]
    elsewhere = [pair for pair in events if bench.gpu and pair[0] != pair[1]]
    assert not elsewhere, f"votes and event on {elsewhere[0]}"
    return {"copies": len(events), "events_on": sorted({str(e) for _, e in events})}


def contexts(bench: Bench) -> Figures:
    """The process holds memory on its own GPU alone."""
    if not bench.gpu or torch.cuda.device_count() < 2:
        raise NothingToCheckError("needs two GPUs")
    others = [i for i in range(torch.cuda.device_count()) if i != bench.device.index]
    if not hasattr(torch._C, "_cuda_hasPrimaryContext"):
        raise NothingToCheckError("this torch does not tell")
    held = [i for i in others if torch._C._cuda_hasPrimaryContext(i)]
    assert not held, f"contexts on {held}"
    return {"others": others}


def equal_bytes(bench: Bench) -> Figures:
    """The table is the same to the byte for all batch sizes."""
    sizes = (64, 100, 1000) if bench.small else (64, 1000, 4096)
    found = []
    for noise in ({}, {"noise": "discrete", "lattice": 1 / 64}):
        tables = []
        for size in sizes:
            out = bench.out()
            classifier = SmoothedClassifier(exact_model, CLASSES, 0.5, device=bench.device, **noise)
            x = torch.round(POINTS * 64) / 64
            certify_dataset(
                classifier,
                x,
                out,
                n=5000,
                bound="cohen",
                seed=7,
                batch_size=size,
                progress=False,
                record_time=False,
            )
            tables.append(out.read_bytes())
        assert tables.count(tables[0]) == len(tables), f"differs between batch sizes {sizes}"
        found.append(len(tables[0]))
    return {"batch_sizes": sizes, "bytes": found}


def long_run(bench: Bench, out: Path) -> None:
    """Certify many inputs by a network: what is killed, and what is not."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.ReLU(), torch.nn.Linear(64, CLASSES))
    x = torch.linspace(-1, 1, 8 * 60).reshape(60, 8)

    def model(batch: torch.Tensor) -> torch.Tensor:
        time.sleep(0.002)
        return net.to(batch.device)(batch)

    certified(bench, model, x, out, n=2000)


def killed(bench: Bench) -> Figures:
    """A run that is killed and continued writes the bytes of an undisturbed one."""
    whole, part = bench.out(), bench.out()
    long_run(bench, whole)
    child = subprocess.Popen(
        [sys.executable, __file__, "--device", str(bench.device), "--child", str(part)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not part.exists() or part.read_bytes().count(b"\n") < 8:
        assert child.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline, "no row in two minutes"
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.wait()
    rows = part.read_bytes().count(b"\n") - 1
    long_run(bench, part)
    assert part.read_bytes() == whole.read_bytes(), "other bytes than undisturbed"
    assert rows < 60, "killed after the last row"
    return {"rows_at_the_kill": rows}


def rows_alone(bench: Bench) -> Figures:
    """A row is the certificate of its input, certified by itself."""
    table = certified(bench, exact_model)
    classifier = SmoothedClassifier(exact_model, CLASSES, 0.5, device=bench.device)
    for row in table.to_dict("records"):
        alone = classifier.certify(
            POINTS[row["idx"]], n=2000, n0=50, bound="cohen", seed=(7, row["idx"])
        )
        assert alone.radius == row["radius"]
        assert list(alone.counts) == [row[f"count_{k}"] for k in range(CLASSES)]
    return {"rows": len(table)}


def normal_noise(bench: Bench) -> Figures:
    """Gaussian noise has its distribution, and that of two inputs is uncorrelated."""
    shape, n = (1000,), 200 if bench.small else 5000
    samples = []
    for idx in (0, 1):
        generator = seeded_generator((7, idx), ESTIMATION, bench.device)
        blocks = Gaussian(0.5).blocks(shape, n, generator=generator, dtype=torch.float32)
        samples.append(torch.cat([b.flatten().clone() for b in blocks]).double().cpu().numpy())
    p_value = float(scipy.stats.kstest(samples[0] / 0.5, "norm").pvalue)
    assert p_value > FALSE_ALARM, f"Kolmogorov-Smirnov p = {p_value:.2g}"
    correlation = float(np.corrcoef(samples[0], samples[1])[0, 1])
    z = abs(correlation) * math.sqrt(len(samples[0]))
    assert z < scipy.stats.norm.isf(FALSE_ALARM / 2), f"correlation {correlation:.2g}"
    tail = float(np.abs(samples[0]).max() / 0.5)
    return {"numbers": len(samples[0]), "ks_p": p_value, "correlation_z": z, "largest": tail}


def discrete_noise(bench: Bench) -> Figures:
    """Discrete noise has exactly the distribution that is stated."""
    sigma, step, shape, n = 0.25, 1 / 64, (1000,), 200 if bench.small else 5000
    noise = DiscreteGaussian(sigma, step)
    generator = seeded_generator((7, 0), ESTIMATION, bench.device)
    blocks = noise.blocks(shape, n, generator=generator, dtype=torch.float32)
    draws = torch.cat([b.flatten().clone() for b in blocks]).cpu().numpy().astype(int)
    reach = 60
    edges = (np.arange(-reach, reach + 2) - 0.5) * step / sigma
    expected = np.diff(scipy.stats.norm.cdf(edges)) * len(draws)
    counts = np.bincount(np.clip(draws, -reach, reach) + reach, minlength=2 * reach + 1)
    enough = expected > 20
    observed = np.append(counts[enough], counts[~enough].sum())
    wanted = np.append(expected[enough], len(draws) - expected[enough].sum())
    statistic = float(((observed - wanted) ** 2 / wanted).sum())
    p_value = float(scipy.stats.chi2.sf(statistic, len(observed) - 1))
    assert p_value > FALSE_ALARM, f"chi-square p = {p_value:.2g}"
    return {"numbers": len(draws), "chi_square_p": p_value, "cells": len(observed)}


def bits(bench: Bench) -> Figures:
    """All 63 bits of a word are fair, and neighbors are uncorrelated."""
    count = 100_000 if bench.small else 2_000_000
    words = torch.empty(count, dtype=torch.int64, device=bench.device)
    numbers = fill_words(words, seeded_generator((7, 0), ESTIMATION, bench.device)).cpu().numpy()
    assert (numbers >= 0).all()
    ones = ((numbers[:, None] >> np.arange(WORD_BITS)) & 1).astype(np.int8)
    signs = 2 * ones - 1
    z_bits = float(np.abs(signs.sum(axis=0)).max() / math.sqrt(count))
    pairs = (signs[:, 1:] * signs[:, :-1]).sum(axis=0, dtype=np.int64)
    z_pairs = float(np.abs(pairs).max() / math.sqrt(count))
    limit = float(scipy.stats.norm.isf(FALSE_ALARM / 2 / (2 * WORD_BITS)))
    assert max(z_bits, z_pairs) < limit, f"bits {z_bits:.1f}, pairs {z_pairs:.1f}"
    return {"words": count, "largest_z": z_bits, "largest_z_of_pairs": z_pairs}


@contextlib.contextmanager
def counting_waits(bench: Bench) -> Iterator[list[str]]:
    """Give the body a list that holds, afterward, one entry for each wait of the host."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield found
        finally:
            torch.cuda.set_sync_debug_mode("default")
    found += [str(w.message) for w in caught if "synchronizing CUDA operation" in str(w.message)]
    bench.wait()


def waits(bench: Bench) -> Figures:
    """The host waits as often for many batches as for few."""
    if not bench.gpu:
        raise NothingToCheckError("a CPU has nothing to wait for")
    found: Figures = {}
    ways: dict[str, Figures] = {
        "votes": {},
        "target": {"bound": "exact", "target_radius": 3.0, "futility": 0.0},
        "scores": {"bound": "hoeffding", "radius": "R1"},
    }
    classifier = SmoothedClassifier(exact_model, CLASSES, 0.5, device=bench.device)
    for name, more in ways.items():
        for kind in ("table", "one"):
            counts = []
            for n in (2_000, 20_000):
                for warm in (True, False):
                    with counting_waits(bench) as seen:
                        if kind == "table":
                            certified(bench, exact_model, n=n, **more)
                        else:
                            options = {"bound": "cohen"} | more
                            classifier.certify(POINTS[0], n=n, n0=50, seed=0, **options)
                    if not warm:
                        counts.append(len(seen))
            found[f"{name}, {kind}"] = counts
    grown = {name: counts for name, counts in found.items() if counts[1] > counts[0]}
    assert not grown, f"waits for 8 and 79 batches an input: {grown}"
    return {"waits_for_few_and_many_batches": found}


def out_of_memory(bench: Bench) -> Figures:
    """Batches are halved until they fit, and the votes are the same."""
    wanted = certified(bench, exact_model, batch_size=64)
    limit = 100
    row = 2**22  # numbers that the model takes beside each input: 16 MiB

    def hungry(batch: torch.Tensor) -> torch.Tensor:
        if bench.gpu:
            torch.empty((len(batch), row), device=batch.device).fill_(1.0)
        elif len(batch) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return exact_model(batch)

    if bench.gpu:
        total = torch.cuda.get_device_properties(bench.device).total_memory
        torch.cuda.empty_cache()
        share = (torch.cuda.memory_reserved(bench.device) + limit * 4 * row) / total
        torch.cuda.set_per_process_memory_fraction(min(share, 1.0), bench.device)
    out = bench.out()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", OutOfMemoryWarning)
            table = certified(bench, hungry, out=out, batch_size=1024)
    finally:
        if bench.gpu:
            torch.cuda.set_per_process_memory_fraction(1.0, bench.device)
            torch.cuda.empty_cache()
    size = read_metadata(out)["execution"]["batch_size"]
    assert size < 1024, "nothing was halved"
    columns = ["predict", "radius", *(f"count_{k}" for k in range(CLASSES))]
    assert table[columns].equals(wanted[columns]), "other votes"
    return {"from": 1024, "to": size}


def network(bench: Bench) -> tuple[torch.nn.Module, tuple[int, ...]]:
    """Return ResNet-50 at ImageNet's size, or something like it that a CPU can do."""
    torch.manual_seed(0)
    if bench.small:
        return resnet50(width=8, blocks=(1, 1, 1, 1)).to(bench.device), (3, 48, 48)
    return resnet50().to(bench.device), (3, 224, 224)


def session_of(
    bench: Bench, net: torch.nn.Module, shape: tuple[int, ...], execution: Execution
) -> Session:
    classifier = SmoothedClassifier(net, 1000, 0.25, device=bench.device)
    return Session(classifier, torch.full(shape, 0.5), execution)


def imagenet(bench: Bench) -> Figures:
    """The batch that is chosen can be indexed, and its scores are those of small batches."""
    net, shape = network(bench)
    session = session_of(bench, net, shape, Execution())
    started = time.perf_counter()
    size = session.try_batch_size(None)
    bench.wait()
    seconds = time.perf_counter() - started
    generator = torch.Generator(device=bench.device).manual_seed(0)
    batch = torch.empty((size, *shape), device=bench.device).normal_(generator=generator)
    with torch.no_grad(), precision("highest"):
        whole = net(batch)
        pieces = torch.cat([net(piece) for piece in batch.split(16)])
    largest = float((whole - pieces).abs().max() / whole.abs().max())
    assert largest < 1e-3, f"scores differ by {largest:.2g} of the largest"
    assert size * math.prod(shape) < 2**31
    return {"shape": shape, "batch_size": size, "difference": largest, "trial_seconds": seconds}


@contextlib.contextmanager
def precision(name: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision(name)
    torch.backends.cudnn.allow_tf32 = name != "highest"
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.backends.cudnn.allow_tf32 = before[1]


MODES: dict[str, Execution] = {
    "fp32+TF32": Execution(),
    "bf16": Execution(autocast=torch.bfloat16),
    "bf16, channels-last": Execution(autocast=torch.bfloat16, channels_last=True),
    "bf16, channels-last, compile": Execution(
        autocast=torch.bfloat16, channels_last=True, compiled=True
    ),
}


def flops_of(net: torch.nn.Module, shape: tuple[int, ...], device: torch.device) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        net(torch.zeros((1, *shape), device=device))
    return int(counter.get_total_flops())


def peak_of(bench: Bench, mode: str) -> float | None:
    if not bench.gpu:
        return None
    name = torch.cuda.get_device_properties(bench.device).name
    found = next((peak for part, peak in PEAKS.items() if part in name), None)
    return None if found is None else found[0 if "TF32" in mode else 1] * 1e12


def throughput(mode: str) -> Callable[[Bench], Figures]:
    def measured(bench: Bench) -> Figures:
        with precision("high"):
            return speed(bench, mode)

    measured.__doc__ = f"Sampling takes the time of its forward passes: {mode}."
    return measured


def speed(bench: Bench, mode: str) -> Figures:
    execution = MODES[mode]
    if execution.compiled and bench.small:
        raise NothingToCheckError("compiling takes a minute and says nothing of a GPU")
    net, shape = network(bench)
    if execution.channels_last:
        net = net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    target = 0.3 if bench.small else 8.0  # seconds
    session = session_of(bench, net, shape, execution)
    size = session.try_batch_size(None)
    bare = bare_loop(bench, session, size)
    batches = max(3, math.ceil(target / bare(3)))
    # With the clean vote and one of selection: whole batches.
    request = Request(n0=1, n=batches * size - 2, bound="cohen")
    # Compiles what it needs.
    request.check(1000, session.sampled.noise, None, math.prod(shape))
    first = bare(batches) * batches
    ours = sampled(bench, session, request, size, shape)
    second = bare(batches) * batches
    ratio = ours / min(first, second)
    images = batches * size / ours
    peak, flops = peak_of(bench, mode), flops_of(net, shape, bench.device)
    figures: Figures = {
        "batch_size": size,
        "batches": batches,
        "ratio": round(ratio, 4),
        "images_per_second": round(images, 1),
        "flop_per_image": flops,
        "share_of_peak": None if peak is None else round(images * flops / peak, 4),
        "bare_seconds": [round(first, 3), round(second, 3)],
    }
    if not bench.small:
        assert ratio <= WANTED_RATIO, f"{ratio:.3f} times the forward passes; {figures}"
    return figures


def bare_loop(bench: Bench, session: Session, size: int) -> Callable[[int], float]:
    """Return the seconds of one forward pass, over several of them on one batch."""
    batch = session.new_batch(size)
    forward = session.forward

    def seconds(count: int) -> float:
        with torch.no_grad(), session.context.active():
            with forward._precision():
                forward.scores_of(batch)
            bench.wait()
            started = time.perf_counter()
            for _ in range(count):
                with forward._precision():
                    forward.scores_of(batch)
            bench.wait()
        return (time.perf_counter() - started) / count

    return seconds


def sampled(
    bench: Bench, session: Session, request: Request, size: int, shape: tuple[int, ...]
) -> float:
    from rsverify.smoothing.data.items import Items
    from rsverify.smoothing.sampling.asked import Asked

    items = Items([torch.full(shape, 0.5)], 1000)
    asked = (Asked(item.x, (7, item.idx), None, item) for item in items.load([0]))
    bench.wait()
    started = time.perf_counter()
    for _ in session.run(request, asked, size, lambda _: None):
        pass
    bench.wait()
    return time.perf_counter() - started


def one_line_errors(bench: Bench) -> Figures:
    """What goes wrong is said in one line, with the argument's name."""

    def nan(batch: torch.Tensor) -> torch.Tensor:
        return exact_model(batch) * float("nan")

    def transposed(batch: torch.Tensor) -> torch.Tensor:
        return exact_model(batch).T

    def elsewhere(batch: torch.Tensor) -> torch.Tensor:
        return exact_model(batch).to("cpu" if bench.gpu else "meta")

    def ranked() -> None:
        before = os.environ.get("LOCAL_RANK")
        os.environ["LOCAL_RANK"] = "99"
        try:
            choose_device("cuda")
        finally:
            del os.environ["LOCAL_RANK"]
            if before is not None:
                os.environ["LOCAL_RANK"] = before

    table = bench.out()
    certified(bench, exact_model, out=table, max_inputs=1)

    def other_settings() -> None:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("high" if before == "highest" else "highest")
        try:
            certified(bench, exact_model, out=table)
        finally:
            torch.set_float32_matmul_precision(before)

    calls: dict[str, Callable[[], Any]] = {
        "device='cuda:99'": lambda: choose_device("cuda:99"),
        "LOCAL_RANK" if bench.gpu else "device='cuda'": ranked,
        "device='gpu'": lambda: choose_device("gpu"),
        "NaN": lambda: certified(bench, nan),
        "scores of shape": lambda: certified(bench, transposed),
        "scores on": lambda: certified(bench, elsewhere),
        "float32_precision=": other_settings,
    }
    lines = {}
    for name, call in calls.items():
        try:
            call()
        except ValueError as error:
            line = str(error)
            assert "\n" not in line, f"{name}: more than a line"
            assert name in line, f"{name!r} is not in {line!r}"
            lines[name] = line
        else:
            raise AssertionError(f"{name}: no error")
    return {"errors": lines}


CHECKS: dict[str, Callable[[Bench], Figures]] = {
    "late votes": late_votes,
    "contexts": contexts,
    "equal bytes": equal_bytes,
    "after a kill": killed,
    "a row alone": rows_alone,
    "normal noise": normal_noise,
    "discrete noise": discrete_noise,
    "bits": bits,
    "waits": waits,
    "out of memory": out_of_memory,
    "ImageNet": imagenet,
    **{f"throughput, {mode}": throughput(mode) for mode in MODES},
    "one-line errors": one_line_errors,
}


def run(bench: Bench, only: str) -> Figures:
    """Run the checks, print a line on each, and return all figures."""
    results: Figures = {}
    for name, check in CHECKS.items():
        if only not in name:
            continue
        started = time.perf_counter()
        figures: Figures = {}
        try:
            figures = check(bench)
            outcome, remark = "ok", (check.__doc__ or "").strip()
        except NothingToCheckError as reason:
            outcome, remark = "skipped", str(reason)
        except Exception as error:
            outcome, remark = "FAILED", f"{type(error).__name__}: {error}".partition("\n")[0]
            figures = {"traceback": traceback.format_exc()}
        seconds = time.perf_counter() - started
        print(f"{outcome:8}{name}: {remark} ({seconds:.1f} s)", flush=True)
        results[name] = {"outcome": outcome, "remark": remark, "seconds": round(seconds, 2)}
        results[name] |= figures
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", default="auto", help="auto: the last GPU, else the CPU")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--only", default="", help="checks whose name holds this")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    device = choose_device(given.device)
    if given.device == "auto" and device.type == "cuda":
        # Not the current one, where there are several.
        device = torch.device("cuda", torch.cuda.device_count() - 1)
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(device, given.small or device.type != "cuda", Path(folder))
        if given.child is not None:
            long_run(bench, given.child)
            return 0
        started = time.perf_counter()
        checks = run(bench, given.only)
    result = {
        "device": {**device_facts(device), "host": platform.processor() or platform.machine()},
        "on_a_gpu": bench.gpu,
        "small": bench.small,
        "stand_ins": MISSING,
        "seconds": round(time.perf_counter() - started, 1),
        "checks": checks,
    }
    text = json.dumps(result, indent=1, default=str)
    if given.out is not None:
        given.out.write_text(text + "\n", encoding="utf-8")
    print(text)
    return int(any(check["outcome"] == "FAILED" for check in checks.values()))


if __name__ == "__main__":
    sys.exit(main())
