"""From a model and noise to scores, in chunks: only the columns that a bound needs are kept.

A selection sample is kept whole, n0 × m numbers. Of the estimation sample of n noisy inputs
over m classes the device holds, in float64, the scores of the class certified and of k
rivals and the largest score of all other classes, (k + 2) n numbers (8.8 MB at n = 10⁵ with
the default k = 9, whatever m), and m sums, beside one batch. The bounds then hold at most
four more copies of those columns on the host: the peak is within 5 (k + 2) n numbers, 44 MB,
of what the model and one batch take.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import torch

from rsverify._core.check import FloatArray, check_choice, check_real
from rsverify.bounds.score_margin import SIMPLEX_TOLERANCE, RivalPlan
from rsverify.certificates.scores import ScoreColumns
from rsverify.smoothing.device import Arriving, DeviceContext, has_float64
from rsverify.smoothing.sampling.batches import Scores, check_model_output

ScoreMap = Callable[[torch.Tensor], torch.Tensor]


def softmax(logits: torch.Tensor) -> torch.Tensor:
    """Return exp(logits) normalised to sum 1 over the classes."""
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
    support = (1.0 + ranks * ordered > sums).sum(dim=1, keepdim=True)
    threshold = (sums.gather(1, support - 1) - 1.0) / support
    return (shifted - threshold).clamp(min=0.0)


SCORE_MAPS: dict[str, ScoreMap] = {
    "softmax": softmax,
    "sparsemax": sparsemax,
    "hardmax": hardmax,
    "identity": lambda scores: scores,
}
"""From the model's output to scores; "identity" for a model that ends in its own."""


def score_map(name: str, temperature: float) -> ScoreMap:
    """Return the map from a model's output to scores in float64."""
    mapped = SCORE_MAPS[check_choice("scores", name, SCORE_MAPS)]
    scale = check_real("temperature", temperature)
    if scale.ndim or not (scale > 0 and np.isfinite(scale)):
        raise ValueError(f"temperature={temperature!r} must be one positive finite number")
    if name == "identity" and scale != 1.0:
        raise ValueError(f"temperature={temperature!r} must be 1 for scores='identity'")

    def scores_of(output: torch.Tensor) -> torch.Tensor:
        return mapped(output.double() / float(scale))

    return scores_of


class _Normaliser:
    """Divides rows of scores by their sums and counts those off the simplex, in float64.

    It does so on the device of the model, or on the CPU where that has no float64.
    """

    def __init__(self, num_classes: int, device: torch.device, mapped: ScoreMap) -> None:
        self.num_classes = num_classes
        self.device = device
        self.place = device if has_float64(device) else torch.device("cpu")
        self.mapped = mapped
        self.invalid = torch.zeros((), dtype=torch.int64, device=self.place)
        self.total = 0

    def __call__(self, output: object, rows: int) -> torch.Tensor:
        given = check_model_output(output, (rows, self.num_classes), self.device)
        scores = self.mapped(given.to(self.place))
        off = (scores.sum(dim=1) - 1.0).abs() > SIMPLEX_TOLERANCE
        outside = (scores < -SIMPLEX_TOLERANCE) | (scores > 1.0 + SIMPLEX_TOLERANCE)
        self.invalid += (off | outside.any(dim=1) | scores.isnan().any(dim=1)).sum()
        self.total += rows
        clipped = scores.clamp(0.0, 1.0)
        return (clipped / clipped.sum(dim=1, keepdim=True)).clamp(max=1.0)

    def check(self, invalid: Arriving) -> None:
        """Raise where a row was not on the simplex."""
        if found := int(invalid.numpy()):
            raise ValueError(
                f"scores of {found} of {self.total} noisy inputs are NaN or not on the simplex "
                f"within {SIMPLEX_TOLERANCE:g}; with scores='identity' the model itself must "
                "return rows in [0, 1] that sum to 1"
            )


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
    normalise = _Normaliser(num_classes, device, mapped)
    context = DeviceContext(device)
    parts = []
    for batch in batches:
        parts.append(normalise(outputs_of(batch), len(batch)))
        if progress is not None:
            progress(len(batch))
    invalid, scores = context.fetch(normalise.invalid), context.fetch(torch.cat(parts))

    def arrived() -> FloatArray:
        normalise.check(invalid)
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
    plan: RivalPlan,
    progress: Callable[[int], None] | None = None,
) -> Callable[[], ScoreColumns]:
    """Run the model on n noisy inputs; return what waits for the columns that class y needs.

    Nothing here waits for the device.

    Raises
    ------
    ValueError, TypeError
        As `queue_scores`.
    """
    normalise = _Normaliser(num_classes, device, mapped)
    context, place = DeviceContext(device), DeviceContext(normalise.place)
    which = torch.tensor([y, *plan.rivals.tolist()])
    left_out = torch.ones(num_classes, dtype=torch.bool)
    left_out[which] = False
    kept, rest = place.send(which), place.send(left_out.nonzero()[:, 0])
    classes = torch.arange(num_classes, device=place.device)
    shape = (len(kept) + (len(rest) > 0), n)
    columns = torch.empty(shape, dtype=torch.float64, device=place.device)
    sums = torch.zeros(num_classes, dtype=torch.float64, device=place.device)
    votes = torch.zeros(num_classes, dtype=torch.int64, device=place.device)
    start = 0
    for batch in batches:
        scores = normalise(outputs_of(batch), len(batch))
        end = start + len(batch)
        columns[: len(kept), start:end] = scores[:, kept].T
        if len(rest):
            columns[-1, start:end] = scores[:, rest].amax(dim=1)
        sums += scores.sum(dim=0)
        votes += (scores.argmax(dim=1, keepdim=True) == classes).sum(dim=0)
        start = end
        if progress is not None:
            progress(len(batch))
    invalid = context.fetch(normalise.invalid)
    table, means, counts = map(context.fetch, (columns, sums / n, votes))

    def arrived() -> ScoreColumns:
        normalise.check(invalid)
        found = table.numpy()
        return ScoreColumns(found[0], found[1:], means.numpy(), counts.numpy().astype(np.int64))

    return arrived
