"""From a model and noise to scores, in chunks: only the columns that a bound needs are kept.

A selection sample is kept whole, n0 × m numbers. Of the estimation sample of n noisy inputs
over m classes the device holds, in float64, the scores of the class certified and of k
likeliest other classes and the largest score of the rest, (k + 2) n numbers (8.8 MB at n = 10⁵ with
the default k = 9, whatever m), and m sums, beside one batch. The bounds then hold at most
four more copies of those columns on the host: the peak is within 5 (k + 2) n numbers, 44 MB,
of what the model and one batch take.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable

import numpy as np
import torch

from rsverify._core.check import FloatArray
from rsverify.bounds.score_margin import SIMPLEX_TOLERANCE, RunnerUpPlan
from rsverify.certificates.scores import ScoreColumns
from rsverify.smoothing.batches import Scores, check_model_output, votes_of_scores
from rsverify.smoothing.device import Arriving, DeviceContext, has_float64
from rsverify.smoothing.score_maps import ScoreMap


class ProbabilitiesWarning(UserWarning):
    """A model whose outputs are probabilities already gets a softmax again."""


_TWICE = (
    "the model's outputs are probabilities already, and a softmax of them is bounded: it is "
    "flatter, and the certificate weaker; give scores='identity', or the model's logits"
)


class _Normalizer:
    """Divides rows of scores by their sums and counts those off the simplex, in float64.

    It does so on the device of the model, or on the CPU where that has no float64.
    """

    def __init__(self, num_classes: int, device: torch.device, mapped: ScoreMap) -> None:
        self.num_classes = num_classes
        self.device = device
        self.place = device if has_float64(device) else torch.device("cpu")
        self.mapped = mapped
        # How many rows are off the simplex, and how many were on it before any map.
        self.tally = torch.zeros(2, dtype=torch.int64, device=self.place)
        self.total = 0

    def __call__(self, output: object, rows: int) -> torch.Tensor:
        given = check_model_output(output, (rows, self.num_classes), self.device)
        raw = given.to(self.place)
        scores = self.mapped(raw)
        _, bad = votes_of_scores(raw)
        off = (scores.sum(dim=1) - 1.0).abs() > SIMPLEX_TOLERANCE
        outside = (scores < -SIMPLEX_TOLERANCE) | (scores > 1.0 + SIMPLEX_TOLERANCE)
        self.tally[0] += (off | outside.any(dim=1) | scores.isnan().any(dim=1) | bad).sum()
        if self.mapped.softens:
            self.tally[1] += _are_probabilities(raw).sum()
        self.total += rows
        clipped = scores.clamp(0.0, 1.0)
        return (clipped / clipped.sum(dim=1, keepdim=True)).clamp(max=1.0)

    def check(self, tally: Arriving) -> None:
        """Raise where a row was not on the simplex."""
        found, probabilities = tally.numpy().tolist()
        if found:
            raise ValueError(
                f"scores of {found} of {self.total} noisy inputs are NaN, only −∞, or not on the "
                f"simplex within {SIMPLEX_TOLERANCE:g} at temperature={self.mapped.temperature:g}; "
                "with scores='identity' the model itself must return rows in [0, 1] that sum to 1"
            )
        if self.total and probabilities == self.total:
            warnings.warn(_TWICE, ProbabilitiesWarning, stacklevel=4)


def _are_probabilities(output: torch.Tensor) -> torch.Tensor:
    """Return which rows of a model's output are on the simplex already, within rounding."""
    wide = output.double()
    near = 16 * torch.finfo(output.dtype).eps if output.is_floating_point() else 0.0
    inside = ((wide >= 0) & (wide <= 1 + near)).all(dim=1)
    return inside & ((wide.sum(dim=1) - 1).abs() <= near)


def queue_scores(
    outputs_of: Scores,
    batches: Iterable[torch.Tensor],
    num_classes: int,
    device: torch.device,
    mapped: ScoreMap,
    progress: Callable[[int], None] | None = None,
) -> Callable[[], FloatArray]:
    """Run the model on a selection sample; return what waits for all its scores, (n0, m).

    Nothing here waits for the device.

    Raises
    ------
    ValueError
        If a row of scores has the wrong shape or device; from the function that is returned,
        if one is not on the simplex.
    TypeError
        If the model returns anything but a tensor.
    """
    normalize = _Normalizer(num_classes, device, mapped)
    context = DeviceContext(device)
    parts = []
    for batch in batches:
        parts.append(normalize(outputs_of(batch), len(batch)))
        if progress is not None:
            progress(len(batch))
    tally, scores = context.fetch(normalize.tally), context.fetch(torch.cat(parts))

    def arrived() -> FloatArray:
        normalize.check(tally)
        return scores.numpy()

    return arrived


def queue_columns(
    outputs_of: Scores,
    batches: Iterable[torch.Tensor],
    num_classes: int,
    device: torch.device,
    mapped: ScoreMap,
    *,
    n: int,
    y: int,
    plan: RunnerUpPlan,
    progress: Callable[[int], None] | None = None,
) -> Callable[[], ScoreColumns]:
    """Run the model on n noisy inputs; return what waits for the columns that class y needs.

    Nothing here waits for the device.

    Raises
    ------
    ValueError, TypeError
        As `queue_scores`.
    """
    normalize = _Normalizer(num_classes, device, mapped)
    context, place = DeviceContext(device), DeviceContext(normalize.place)
    which = torch.tensor([y, *plan.runners_up.tolist()], device="cpu")
    left_out = torch.ones(num_classes, dtype=torch.bool, device="cpu")
    left_out[which] = False
    kept, rest = place.send(which), place.send(left_out.nonzero()[:, 0])
    classes = torch.arange(num_classes, device=place.device)
    shape = (len(kept) + (len(rest) > 0), n)
    columns = torch.empty(shape, dtype=torch.float64, device=place.device)
    sums = torch.zeros(num_classes, dtype=torch.float64, device=place.device)
    votes = torch.zeros(num_classes, dtype=torch.int64, device=place.device)
    start = 0
    for batch in batches:
        scores = normalize(outputs_of(batch), len(batch))
        end = start + len(batch)
        columns[: len(kept), start:end] = scores[:, kept].T
        if len(rest):
            columns[-1, start:end] = scores[:, rest].amax(dim=1)
        sums += scores.sum(dim=0)
        votes += (scores.argmax(dim=1, keepdim=True) == classes).sum(dim=0)
        start = end
        if progress is not None:
            progress(len(batch))
    tally = context.fetch(normalize.tally)
    table, means, counts = map(context.fetch, (columns, sums / n, votes))

    def arrived() -> ScoreColumns:
        normalize.check(tally)
        found = table.numpy()
        return ScoreColumns(found[0], found[1:], means.numpy(), counts.numpy().astype(np.int64))

    return arrived
