"""The whole way on real images: train, sample once, certify with three bounds, compare."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from rsverify._check import FloatArray, IntArray
from rsverify.recertification import recertify
from rsverify.table import average_certified_radius, certified_accuracy, table_row, write_table

if TYPE_CHECKING:
    import torch

SIGMA = 0.25
ALPHA = 0.001
SELECTION_SAMPLES = 100
RADII = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
BOUNDS = ("cohen", "bonferroni", "exact")
HELD_OUT = 500
EPOCHS = 40
BATCH = 64

Track = Callable[[Iterable[int], str], Iterable[int]]
"""Passes through what it is given, showing progress under a title."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo found and where it wrote it."""

    tables: Mapping[str, pd.DataFrame]
    """One table a bound, of the same images and the same votes."""
    table_path: Path
    """The table of the exact bound; its JSON is beside it."""
    picture_path: Path
    """Certified accuracy against the radius, all bounds."""
    clean_accuracy: float
    """Accuracy of the network on the held-out images without noise."""


def _without_progress(items: Iterable[int], _title: str) -> Iterable[int]:
    return items


def run_demo(
    out: Path,
    *,
    images: int = 120,
    n: int = 10_000,
    seed: int = 0,
    track: Track = _without_progress,
) -> DemoResult:
    """Train on scikit-learn's digits with noise, and certify held-out images.

    Parameters
    ----------
    out : Path
        Folder for the table, its JSON and the picture; made if needed, files replaced.
    images : int
        How many held-out images to certify, 1 to 500.
    n : int
        Votes in each estimation sample.
    seed : int
        Fixes the split, the training and the noise: the same seed gives the same files, the
        times in the table aside, on the same machine and versions.
    track : callable, optional
        Shows progress: ``track(iterable, title)`` yields the items of the iterable.

    Returns
    -------
    DemoResult

    Raises
    ------
    ValueError
        If `images` or `n` is out of range.
    ModuleNotFoundError
        If torch or scikit-learn is not installed.
    """
    from rsverify.plotting import plot_certified_accuracy

    if not 1 <= images <= HELD_OUT:
        raise ValueError(f"images={images} must be between 1 and {HELD_OUT}")
    with _compiling_bounds() as compiler:
        with _one_thread():
            cohen, clean_accuracy = _train_and_certify(images, n, seed, track)
        for _ in track(range(1), "compiling, the first time only"):
            compiler.wait()
    # All bounds read the same votes: one sampling pass.
    tables = {b: recertify(cohen, bound=b) for b in BOUNDS}

    configuration: dict[str, Any] = {
        "command": "demo",
        "data": "scikit-learn digits, held out",
        "images": images,
        "sigma": SIGMA,
        "n0": SELECTION_SAMPLES,
        "n": n,
        "alpha": ALPHA,
        "bound": "exact",
        "seed": seed,
    }
    table_path, picture_path = out / "table.tsv", out / "certified_accuracy.png"
    write_table(tables["exact"], table_path, configuration=configuration)
    plot_certified_accuracy(
        {name.capitalize(): table for name, table in tables.items()},
        picture_path,
        title=f"Digits, {images} held-out images: σ = {SIGMA}, n = {n:,}, α = {ALPHA}",
    )
    return DemoResult(tables, table_path, picture_path, clean_accuracy)


def summary(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return certified accuracy at each of `RADII` and the average radius, one row a bound."""
    columns = [f"{r:g}" for r in RADII]
    rows = {name: certified_accuracy(table, RADII) for name, table in tables.items()}
    result = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    result["average radius"] = [average_certified_radius(t) for t in tables.values()]
    return result


def explanation(result: DemoResult) -> str:
    """Return what the numbers of the demo mean, and where they are written, in plain words."""
    exact, path = result.tables["exact"], result.table_path
    accuracy = result.clean_accuracy
    images, n, n0 = len(exact), int(exact["n"].iloc[0]), SELECTION_SAMPLES
    return f"""\
Each of the {images} images was classified {n:,} times, each time with fresh Gaussian
noise of σ = {SIGMA:g}, after {n0} separate votes had chosen its class. All three bounds
read the same votes. Without noise, the network gets {accuracy:.1%} of all {HELD_OUT} held-out
images right.

  A column headed r: the fraction of images that are classified correctly, and
  for which no change of ℓ2 norm below r can alter the answer. Pixels range from
  0 to 1. Average radius: the mean over the images, one that is wrong or
  abstained counting as 0.

  cohen       reads the winner's votes only, as if all others were one rival's:
              the usual choice.
  bonferroni  bounds winner and runner-up apart, each with half of the allowed
              error.
  exact       bounds their margin at once, with all of the allowed error: as large
              as the other two or larger.

Each single certificate is wrong with probability at most {ALPHA:g}.

Written to {path.parent}: {path.name}, the exact certificates with all vote counts;
{path.with_suffix(".json").name}, how they were made; {result.picture_path.name}, the curves.
For another bound or level: rsverify recertify {path} --bound cohen
"""


@contextmanager
def _one_thread() -> Iterator[None]:
    """Run the body with torch on one thread.

    Sums are then added in the same order whatever the number of cores, and a net this small
    gains nothing from more.
    """
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _compiling_bounds() -> Iterator[subprocess.Popen[bytes]]:
    """Compile the bounds into the cache on disk in another process, while the body runs.

    Whatever becomes of that process, the results are the same: what it has not compiled is
    compiled when it is first needed.
    """
    command = (
        "from rsverify import certify_counts\n"
        f"for bound in {BOUNDS}:\n"
        "    certify_counts([90, 10], sigma=1.0, alpha=0.01, y=0, bound=bound)"
    )
    quiet = subprocess.DEVNULL
    with subprocess.Popen([sys.executable, "-c", command], stdout=quiet, stderr=quiet) as compiler:
        try:
            yield compiler
        except BaseException:
            compiler.kill()
            raise


def _train_and_certify(images: int, n: int, seed: int, track: Track) -> tuple[pd.DataFrame, float]:
    """Return the table of Cohen's bound, the quickest, and the accuracy without noise."""
    from rsverify.smoothing.classifier import SmoothedClassifier

    train_x, train_y, held_x, held_y = _digits(seed)
    model = _train(train_x, train_y, seed, track)
    classifier = SmoothedClassifier(model, num_classes=10, sigma=SIGMA)
    rows = []
    for i in track(range(images), f"certifying {images} images"):
        certificate = classifier.certify(
            held_x[i],
            n0=SELECTION_SAMPLES,
            n=n,
            alpha=ALPHA,
            batch_size=1000,
            bound="cohen",
            seed=(seed, i),
        )
        rows.append(table_row(i, int(held_y[i]), certificate))
    return pd.DataFrame(rows), _accuracy(model, held_x, held_y)


def _digits(seed: int) -> tuple[FloatArray, IntArray, FloatArray, IntArray]:
    """Return training and held-out images, 1×8×8 in [0, 1], with their labels."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(seed).permutation(len(labels))
    x = (pixels[order] / 16.0).astype(np.float32).reshape(-1, 1, 8, 8)
    y = labels[order].astype(np.int64)
    return x[HELD_OUT:], y[HELD_OUT:], x[:HELD_OUT], y[:HELD_OUT]


def _train(x: FloatArray, y: IntArray, seed: int, track: Track) -> torch.nn.Module:
    """Return a small convolutional net trained on images with fresh noise in each batch."""
    import torch
    from torch import nn

    # No batch normalisation: its statistics would differ between noisy and clean images.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(1, 24, kernel_size=5),
            nn.ReLU(),
            nn.Conv2d(24, 48, kernel_size=3),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(48 * 2 * 2, 10),
        )
        images, labels = torch.from_numpy(x), torch.from_numpy(y)
        optimiser = torch.optim.Adam(model.parameters())
        batches = -(-len(labels) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, max_lr=3e-3, total_steps=EPOCHS * batches
        )
        for _ in track(range(EPOCHS), "training"):
            for batch in torch.randperm(len(labels)).split(BATCH):
                noisy = images[batch] + SIGMA * torch.randn_like(images[batch])
                loss = nn.functional.cross_entropy(model(noisy), labels[batch])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                schedule.step()
    return model.eval()


def _accuracy(model: torch.nn.Module, x: FloatArray, y: IntArray) -> float:
    import torch

    with torch.no_grad():
        predicted = model(torch.from_numpy(x)).argmax(dim=1).numpy()
    return float(np.mean(predicted == y))
