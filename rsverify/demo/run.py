"""The whole way on real images: train, sample once, certify with every available bound, compare."""

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

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.files import write_file
from rsverify._core.types import VoteBoundName
from rsverify.bounds.margin_decision import Answer
from rsverify.demo.outputs import HELD_OUT, check_outputs
from rsverify.demo.rows import ALPHA, ANSWERS, PLANNED, SELECTION_SAMPLES, SOFT, image_rows
from rsverify.tables.metadata import metadata_path
from rsverify.tables.reader import average_certified_radius, certified_accuracy, write_table
from rsverify.tables.recertify import recertify

if TYPE_CHECKING:
    import torch

SIGMA = 0.25
RADII = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
BOUNDS: tuple[VoteBoundName, ...] = ("cohen", "bonferroni", "exact")
EPOCHS = 40
BATCH = 64

Wait = Callable[[], object]
Track = Callable[[Iterable[Any], str], Iterable[Any]]
"""Passes through what it is given, showing progress under a title."""


@dataclass(frozen=True)
class DemoResult:
    """What the demo found and where it wrote it."""

    tables: Mapping[str, pd.DataFrame]
    """One table a bound, of the same images and the same votes."""
    soft_tables: Mapping[str, pd.DataFrame]
    """One table a bound of scores, of the same images and the same noise."""
    early: pd.DataFrame
    """Answers with early stopping, one row an image and target radius."""
    table_path: Path
    """The table of the exact bound; its JSON is beside it."""
    early_path: Path
    """The answers with early stopping."""
    picture_path: Path
    """Certified accuracy against the radius, all bounds."""
    clean_accuracy: float
    """Accuracy of the network on the held-out images without noise."""


def _without_progress(items: Iterable[Any], _title: str) -> Iterable[Any]:
    return items


def run_demo(
    out: Path,
    *,
    images: int = 120,
    n: int = 10_000,
    seed: int = 0,
    force: bool = False,
    track: Track = _without_progress,
) -> DemoResult:
    """Train on scikit-learn's digits with noise, and certify held-out images.

    Parameters
    ----------
    out : Path
        Folder for the table, its JSON and the figure; made if needed.
    images : int
        How many held-out images to certify, 1 to 500.
    n : int
        Votes in each estimation sample.
    seed : int
        Fixes the split, the training and the noise: the same seed gives the same files, the
        times in the table aside, on the same machine and versions.
    force : bool
        Replace files that are there.
    track : callable, optional
        Shows progress: ``track(iterable, title)`` yields the items of the iterable.

    Returns
    -------
    DemoResult

    Raises
    ------
    ValueError
        If `images` or `n` is out of range.
    FileExistsError
        If one of the files exists and `force` is false.
    ModuleNotFoundError
        If torch or scikit-learn is not installed.
    """
    from rsverify.tables.plot import plot_certified_accuracy

    table_path, early_path, picture_path = check_outputs(out, images=images, n=n, force=force)
    with _compiling() as (wait_sooner, wait_later), _one_thread():
        train_x, train_y, held_x, held_y = _digits(seed)
        model = _train(train_x, train_y, seed, track)
        for wait in track([wait_sooner], "compiling, the first time only"):
            wait()
        cohen, soft, early = _certify(model, held_x[:images], held_y, n, seed, track)
        for wait in track([wait_later], "compiling, the first time only"):
            wait()
    clean_accuracy = _accuracy(model, held_x, held_y)
    # All bounds read the same votes: one sampling pass.
    tables: dict[str, pd.DataFrame] = {b: recertify(cohen, bound=b) for b in BOUNDS}

    configuration: dict[str, object] = {
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
    write_table(tables["exact"], table_path, configuration=configuration, force=force)
    write_file(early_path, early.to_csv(sep="\t", index=False), force=force)
    curves = {name.capitalize(): table for name, table in (tables | soft).items()}
    plot_certified_accuracy(
        curves,
        picture_path,
        title=f"{finding(tables, n)}\n{images} held-out digits, σ = {SIGMA}, α = {ALPHA}",
        highlight=("Exact", SOFT[1].capitalize()),
        force=force,
    )
    return DemoResult(tables, soft, early, table_path, early_path, picture_path, clean_accuracy)


def finding(tables: Mapping[str, pd.DataFrame], n: int) -> str:
    """Return in one sentence what the exact bound gains over Cohen's, as these tables say."""
    exact, cohen = map(average_certified_radius, (tables["exact"], tables["cohen"]))
    gain = "no larger radii"
    if exact > cohen:
        gain = f"radii {exact / cohen - 1:.1%} larger" if cohen > 0 else "radii, Cohen's none"
    return f"From the same {n:,} votes, the exact bound certifies {gain}"


def summary(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return certified accuracy at each of `RADII` and the average radius, one row a bound."""
    columns = [f"{r:g}" for r in RADII]
    rows = {name: certified_accuracy(table, RADII) for name, table in tables.items()}
    result = pd.DataFrame.from_dict(rows, orient="index", columns=columns)
    result["average radius"] = [average_certified_radius(t) for t in tables.values()]
    return result


def _times(answer: Answer) -> Callable[[pd.Series[str]], int]:
    return lambda decisions: int((decisions == ANSWERS[answer]).sum())


def early_summary(early: pd.DataFrame, n: int) -> pd.DataFrame:
    """Return answers and votes of early stopping, one row a target radius."""
    groups = early.groupby("target")
    result = pd.DataFrame(
        {
            "at least": groups["decision"].apply(_times(Answer.AT_LEAST)),
            "below": groups["decision"].apply(_times(Answer.BELOW)),
        }
    )
    result["undecided"] = groups.size() - result["at least"] - result["below"]
    result["samples"] = groups["n"].mean()
    result["share of fixed"] = result["samples"] / (PLANNED * n)
    return result


def explanation(result: DemoResult) -> str:
    """Return what the numbers of the demo mean, where they are written, and what to do next."""
    exact, path = result.tables["exact"], result.table_path
    n, n0 = int(exact["n"].iloc[0]), SELECTION_SAMPLES
    own, cohen = map(average_certified_radius, (exact, result.tables["cohen"]))
    return f"""\
{finding(result.tables, n)}:
{own:.4f} on average. Cohen's, the bound in common use, gives {cohen:.4f}.

A small network was trained on noisy digits; without noise it gets {result.clean_accuracy:.1%} of
{HELD_OUT} held-out images right. {n0} noisy copies of an image choose its class, then
{n:,} others vote. An image counts at radius r if its class is right and no
change of ℓ2 norm below r can alter it (pixels range from 0 to 1). Each
certificate is wrong with probability at most {ALPHA:g}.

Votes: the answer is the class of most votes.
  cohen              bounds the winner alone, as if all others were one class
  bonferroni         bounds winner and runner-up, each with half of the error
  exact              bounds their margin at once, with all of the error
Scores: the answer is the class of the largest mean softmax score, which is
another classifier with radii of its own.
  separate scores    bounds the two means, each with half of the error
  betting scores     bets on a line that touches the margin
Early stopping: votes are drawn until they decide, {PLANNED * n:,} at most.

Written to {path.parent}:
  {result.picture_path.name:<23} the curves
  {path.name:<23} the exact certificates with all vote counts
  {metadata_path(path).name:<23} how they were made
  {result.early_path.name:<23} the answers of early stopping, image by image

Next, three things:
  1. Certify your own model. FILE.py has a function that returns it:
       rsverify certify FILE.py:model images.npz table.tsv \\
         --sigma 0.25 --num-classes 10
  2. Read a table, with confidence intervals, or certify it at another level:
       rsverify analyze {path}
       rsverify recertify {path} --alpha 0.01
  3. Find out whether a bound is valid, one of this package or FILE.py:FUNCTION:
       rsverify audit clopper_pearson_lower --estimand proportion --n 100
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


# What is needed while images are sampled, a line that tells of it, and what is needed after that.
_COMPILED = """
from rsverify._core.types import VoteBoundName
from rsverify.bounds.margin_decision import Answer
from rsverify.demo.rows import warm_up
warm_up()
print("sooner", flush=True)
from rsverify import certify_counts
certify_counts([90, 10], sigma=1.0, alpha=0.01, y=0, bound="exact")
"""


@contextmanager
def _compiling() -> Iterator[tuple[Wait, Wait]]:
    """Compile the bounds into the cache on disk in another process, while the body runs.

    Gives two functions that wait for the part needed sooner and for the rest. Whatever
    becomes of that process, the results are the same: what it has not compiled is
    compiled when it is first needed.
    """
    command = [sys.executable, "-c", _COMPILED]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline, process.wait
        except BaseException:
            process.kill()
            raise


def _certify(
    model: torch.nn.Module, x: FloatArray, labels: IntArray, n: int, seed: int, track: Track
) -> tuple[pd.DataFrame, dict[str, pd.DataFrame], pd.DataFrame]:
    """Return the tables of Cohen's bound, of the bounds of scores, and of early answers."""
    from rsverify.smoothing.classifier import SmoothedClassifier

    classifier = SmoothedClassifier(model, num_classes=10, sigma=SIGMA)
    rows = [
        image_rows(classifier, x[i], int(labels[i]), i, n, seed)
        for i in track(range(len(x)), f"certifying {len(x)} images")
    ]
    return (
        pd.DataFrame([row.votes for row in rows]),
        {name: pd.DataFrame([row.soft[name] for row in rows]) for name in SOFT},
        pd.DataFrame([answer for row in rows for answer in row.early]),
    )


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

    # No batch normalization: its statistics would differ between noisy and clean images.
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
        optimizer = torch.optim.Adam(model.parameters())
        batches = -(-len(labels) // BATCH)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=3e-3, total_steps=EPOCHS * batches
        )
        for _ in track(range(EPOCHS), "training"):
            for batch in torch.randperm(len(labels)).split(BATCH):
                noisy = images[batch] + SIGMA * torch.randn_like(images[batch])
                loss = nn.functional.cross_entropy(model(noisy), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
    return model.eval()


def _accuracy(model: torch.nn.Module, x: FloatArray, y: IntArray) -> float:
    import torch

    with torch.no_grad():
        predicted = model(torch.from_numpy(x)).argmax(dim=1).numpy()
    return float(np.mean(predicted == y))
