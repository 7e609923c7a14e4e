"""Models that vote for one class whatever they are shown, certified in small tables."""

from __future__ import annotations

from typing import Any

import torch

from rsverify import SmoothedClassifier, certify_dataset

CLASSES = 4
INPUTS = torch.linspace(0, 1, 15).reshape(3, 5)


def always(k: int, batches: list[int] | None = None):
    """A model that votes for class k, whatever it is shown."""

    def model(batch):
        if batches is not None:
            batches.append(len(batch))
        scores = (torch.arange(CLASSES, device=batch.device) == k) * 2.0  # no probabilities
        return scores.expand(len(batch), CLASSES)

    return model


def smoothed(k: int, device: str = "cuda:1", **options) -> SmoothedClassifier:
    return SmoothedClassifier(always(k), CLASSES, 0.5, device=device, **options)


def table_of(classifier: SmoothedClassifier, out: Any, x: Any = INPUTS, **options) -> Any:
    given = {"n": 300, "batch_size": 32, "seed": 0, "progress": False, "record_time": False}
    return certify_dataset(classifier, x, out, **(given | options))


WAYS = {
    "votes": {"bound": "cohen"},
    "target": {"target_radius": 0.2},
    "scores": {"bound": "betting", "radius": "R1"},
}
