"""Factories for the command line: a classifier and a data set, as users write them."""

import numpy as np
import torch

from rsverify import SmoothedClassifier


def net():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        torch.nn.Conv2d(1, 8, 3),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 8, 3, stride=2),
        torch.nn.ReLU(),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 10),
    )


def smoothed():
    return SmoothedClassifier(net(), num_classes=10, sigma=0.25)


def many_shapes():
    return lambda batch: torch.zeros(len(batch), 3)


def nan_logits():
    return lambda batch: torch.full((len(batch), 10), torch.nan)


def broken():
    raise RuntimeError("no such checkpoint")


def images(split="test"):
    count = {"test": 30, "small": 5}[split]
    x = np.random.default_rng(0).random((count, 1, 8, 8), dtype=np.float32)
    return [(x[i], i % 10) for i in range(count)]


def in_bytes():
    return [(255 * x, y) for x, y in images("small")]


def with_nan():
    data = images("small")
    data[3][0][0, 0, 0] = np.nan
    return data
