"""From a model's output to scores on the simplex, in torch."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from rsverify._core.check import check_choice, check_scale, shown
from rsverify._core.types import ScoreMapName


@dataclass(frozen=True)
class ScoreMap:
    """The map from a model's output to scores in float64."""

    name: ScoreMapName
    temperature: float

    def __call__(self, output: torch.Tensor) -> torch.Tensor:
        """Return the scores of a batch."""
        return SCORE_MAPS[self.name](output.double() / self.temperature)

    @property
    def softens(self) -> bool:
        """Whether probabilities come out flatter than they went in."""
        return self.name == "softmax" and self.temperature >= 1.0


def softmax(logits: torch.Tensor) -> torch.Tensor:
    """Return exp(logits) normalized to sum 1 over the classes."""
    return torch.softmax(logits, dim=1)


def hardmax(logits: torch.Tensor) -> torch.Tensor:
    """Return 1 at the largest logit, the first of equals, and 0 elsewhere."""
    classes = torch.arange(logits.shape[1], device=logits.device)
    return (logits.argmax(dim=1, keepdim=True) == classes).to(logits.dtype)


def sparsemax(logits: torch.Tensor) -> torch.Tensor:
    """Return the Euclidean projection of each row on the simplex."""
    shifted = logits - logits.max(dim=1, keepdim=True).values
    ordered = shifted.sort(dim=1, descending=True).values
    sums = ordered.cumsum(dim=1)
    ranks = torch.arange(1, logits.shape[1] + 1, device=logits.device, dtype=logits.dtype)
    support = (1.0 + ranks * ordered > sums).sum(dim=1, keepdim=True).clamp(min=1)  # of NaN: none
    threshold = (sums.gather(1, support - 1) - 1.0) / support
    return (shifted - threshold).clamp(min=0.0)


SCORE_MAPS: dict[ScoreMapName, Callable[[torch.Tensor], torch.Tensor]] = {
    "softmax": softmax,
    "sparsemax": sparsemax,
    "hardmax": hardmax,
    "identity": lambda scores: scores,
}
"""From the model's output to scores; "identity" for a model that ends in its own."""


def score_map(name: ScoreMapName, temperature: float) -> ScoreMap:
    """Return the map from a model's output to scores in float64."""
    check_choice("scores", name, SCORE_MAPS)
    scale = check_scale("temperature", temperature)
    if name == "identity" and scale != 1.0:
        raise ValueError(f"temperature={shown(temperature)} must be 1 for scores='identity'")
    return ScoreMap(name, scale)
