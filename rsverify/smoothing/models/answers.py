r"""The scores of a fixed noisy batch, by which a resumed run knows its model.

A hash of the weights does not see all that makes a model: slopes of activations, attributes,
buffers that are not saved, packed weights, preprocessing, the code of functions. What it answers
does. So a table keeps the scores of a few noisy copies of its first input, and a run that goes on
with it compares them with its own.

*What is a difference.* Batches of other sizes, and other numbers of threads, round differently.
What rounding can do to this model is measured when the scores are kept: how far they move when
the inputs move by a few units of the coarsest floating type in it, relative to themselves. Scores
of the same model differed by at most 1.4 times that, or 2 units, over batch sizes 1 to 64, memory
formats and 1 or 2 threads, in nets of 20 to 80 layers in float64, float32, float16 and bfloat16;
refused is what differs by more than 4 times it and 4 units. A model that differs by less than that
on all of the batch is not told apart.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from rsverify.smoothing.batches import NoisyInputs, check_model_output, evaluating
from rsverify.smoothing.classifier import SmoothedClassifier
from rsverify.smoothing.data.fingerprint import input_hash
from rsverify.smoothing.device import DeviceContext
from rsverify.smoothing.noise.gaussian import seeded_generator
from rsverify.smoothing.sampling.forward import memory_format
from rsverify.smoothing.sampling.session import Execution
from rsverify.tables.answers import Answers, check_answers

_ROWS = 8
_STREAM = 5  # of the noise: none of the samples' streams
_MOVED_BY = 4.0
_MOVES = 2
_ALLOWED = 4.0


def record_answers(
    classifier: SmoothedClassifier,
    example: torch.Tensor,
    batch_size: int,
    execution: Execution,
) -> dict[str, object]:
    """Return the scores of a fixed noisy batch around `example`, and how far rounding moves them.

    Parameters
    ----------
    classifier : SmoothedClassifier
        Its model, preprocessing and noise.
    example : Tensor
        The first input of the data set.
    batch_size : int
        How many rows go through the model at once: exactly so many, as in the run.
    execution : Execution
        Precision and memory format of the run; compiled or not makes no difference here.
    """
    center, scores_of = classifier.center(example)
    noisy = _noisy_rows(classifier, example, center)
    unit = _unit(classifier, noisy.dtype, execution.autocast)
    generator = torch.Generator().manual_seed(_STREAM)
    shape = _MOVES, *noisy.shape
    by = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
    near = noisy.expand_as(by)
    if noisy.is_floating_point():
        near = (noisy.double() * (1.0 + _MOVED_BY * unit * by)).to(noisy.dtype)
    rows = DeviceContext(center.device).send(torch.cat([noisy[None], near]).flatten(0, 1))
    precision: AbstractContextManager[object] = nullcontext()
    if execution.autocast is not None:  # not every kind of device has it
        precision = torch.autocast(rows.device.type, dtype=execution.autocast)
    layout = memory_format(center.shape, execution.channels_last)
    with evaluating(classifier.model, classifier.preprocess), precision:
        answers = _scores(scores_of, rows, classifier.num_classes, batch_size, layout)
    found, *others = answers.split(_ROWS)
    moved = max(_distance(other, found) for other in others)
    finite = found[found.isfinite()].abs()
    scale = float(finite.max()) if len(finite) else 0.0
    return {
        "input": input_hash(example),
        "shape": list(found.shape),
        "scores": base64.b64encode(found.numpy().astype("<f8").tobytes()).decode("ascii"),
        "tolerance": _ALLOWED * (min(moved, scale) + unit * scale),
    }


def same_answers(
    before: Answers | None, now: Sequence[dict[str, object]], where: str
) -> dict[str, object]:
    """Return the answers to keep with a table, or raise where the model is not one and the same.

    Parameters
    ----------
    before : mapping, optional
        What is kept with the table that is resumed, if there is anything.
    now : sequence of dict
        Of `record_answers`, of each process that certifies.
    where : str
        As for `check_answers`.
    """
    for rank, answers in enumerate(now[1:], start=1):
        check_answers(now[0], answers, f"in process 0, in process {rank}")
    if before is None:
        return now[0]
    check_answers(before, now[0], where)
    return dict(before)


def _noisy_rows(
    classifier: SmoothedClassifier, example: torch.Tensor, center: torch.Tensor
) -> torch.Tensor:
    """Return the batch, drawn on the CPU, so that it is the same whatever the device."""
    noise = classifier.noise
    source = noise.center(example.detach().cpu(), center.dtype)
    drawn = torch.empty((_ROWS, *source.shape), dtype=center.dtype, device="cpu")
    generator = seeded_generator(0, _STREAM, torch.device("cpu"))
    NoisyInputs(noise, source, _ROWS, generator=generator).take(drawn)
    return drawn


def _unit(
    classifier: SmoothedClassifier, dtype: torch.dtype, autocast: torch.dtype | None
) -> float:
    """Return the rounding unit of the coarsest floating type that the model is seen to hold."""
    kinds = {dtype} if autocast is None else {dtype, autocast}
    for part in (classifier.model, classifier.preprocess):
        if isinstance(part, torch.nn.Module):
            kinds |= {t.dtype for t in (*part.parameters(), *part.buffers())}
    found = [torch.finfo(kind).eps for kind in kinds if kind.is_floating_point]
    return max(found, default=torch.finfo(torch.get_default_dtype()).eps)


def _scores(
    scores_of: Callable[[torch.Tensor], object],
    rows: torch.Tensor,
    num_classes: int,
    batch_size: int,
    layout: torch.memory_format,
) -> torch.Tensor:
    """Return the scores of rows in float64 on the host, in batches of one size, filled up."""
    parts = []
    for part in rows.split(batch_size):
        missing = batch_size - len(part)
        batch = torch.cat([part, part[:1].expand(missing, *part.shape[1:])]) if missing else part
        output = scores_of(batch.contiguous(memory_format=layout))
        checked = check_model_output(output, (len(batch), num_classes), rows.device)
        parts.append(checked[: len(part)].to("cpu", torch.float64, copy=True))
    return torch.cat(parts)


def _distance(a: torch.Tensor, b: torch.Tensor) -> float:
    apart = (a - b).abs()
    finite = apart[apart.isfinite()]
    return float(finite.max()) if len(finite) else 0.0
