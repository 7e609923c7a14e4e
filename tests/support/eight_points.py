"""A data set of eight points and a classifier whose votes are known, for tests of data sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from rsverify import SmoothedClassifier, certify_dataset

SIGMA, N = 0.5, 300
X = torch.linspace(-1.2, 1.2, 16).reshape(8, 2).flip(0)
Y = torch.tensor([1, 1, 1, 0, 1, 0, 0, 1])


def halves(batch: torch.Tensor) -> torch.Tensor:
    """Vote for class 1 where the sum of the input is positive, and never for class 2."""
    total = batch.sum(dim=1)
    return torch.stack([-total, total, total * 0 - 99], dim=1)


SMOOTHED = SmoothedClassifier(halves, 3, SIGMA)


def run(out: Path, data: Any = (X, Y), classifier: SmoothedClassifier = SMOOTHED, **options: Any):
    defaults = {"n": N, "seed": 7, "bound": "cohen", "record_time": False, "progress": False}
    if "target_radius" in options:
        del defaults["bound"]
    return certify_dataset(classifier, data, out, **defaults | options)


def small_device(largest: int, sizes: list[int]) -> Any:
    """Return a model that runs out of memory above `largest` inputs."""

    def model(batch: torch.Tensor) -> torch.Tensor:
        if len(batch) > largest:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(batch))
        return halves(batch)

    return model
