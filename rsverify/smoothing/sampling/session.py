"""From the inputs of a data set to their certificates, on one device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import torch

from rsverify.certificates.certificate import ABSTAIN, Certificate
from rsverify.smoothing.classifier import SmoothedClassifier
from rsverify.smoothing.data.items import Item
from rsverify.smoothing.noise.gaussian import ESTIMATION, SELECTION, seeded_generator
from rsverify.smoothing.probe import Inputs, probe
from rsverify.smoothing.request import Request
from rsverify.smoothing.sampling.batches import CleanInput, NoisyInputs, evaluating
from rsverify.smoothing.sampling.forward import (
    Forward,
    first_batch_size,
    is_out_of_memory,
    memory_format,
    release_memory,
    try_model,
)
from rsverify.smoothing.sampling.job import Job, Scheduler

_PROBED = 16
"""Noisy inputs that a model is probed with before a run, where it is not compiled."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How it is computed, as far as that can show in the last digits of scores."""

    autocast: torch.dtype | None = None
    compiled: bool = False
    channels_last: bool = False


class Finished(NamedTuple):
    """An input, what is certified about it, and what the model says of it without noise."""

    item: Item
    certificate: Certificate
    base_predict: int


class Result(NamedTuple):
    """What came of the work since the last result: certificates, and what they took."""

    done: list[Finished]
    inputs: float
    samples: int


class Engine:
    """Certify inputs with one classifier, several to a batch where one does not fill it.

    Parameters
    ----------
    classifier : SmoothedClassifier
        What is certified.
    request : Request
        What is asked.
    execution : Execution
        How to compute it.
    entropy : tuple of int
        Input i draws its noise from the seed (*entropy, i).
    certify_label : bool
        Certify the true class instead of the one that a selection sample chooses.
    example : Tensor
        An input, on which the model is tried.
    """

    def __init__(
        self,
        classifier: SmoothedClassifier,
        request: Request,
        execution: Execution,
        entropy: tuple[int, ...],
        certify_label: bool,
        example: torch.Tensor,
    ) -> None:
        self.classifier = classifier
        self.request = request
        self.entropy = entropy
        self.certify_label = certify_label
        centre, scores_of = classifier.centre(example)
        self._centre, self._scores_of = centre, scores_of
        self._probed = ""
        self._format = memory_format(centre.shape, execution.channels_last)
        self.forward = Forward(
            scores_of,
            classifier.num_classes,
            centre.device,
            autocast=execution.autocast,
            compiled=execution.compiled,
        )

    def try_batch_size(self, wanted: int | None) -> int:
        """Run the model once; return the batch size, halved until it fitted into memory."""
        with evaluating(self.classifier.model, self.classifier.preprocess):
            largest = wanted or first_batch_size(self._centre.device)
            return try_model(self.forward, self._new_batch, largest)

    def probe(self, batch_size: int) -> str:
        """Return what was probed of the model as it will be sampled, or raise as `probe` does."""
        forward, compiled = self.forward, self.forward.scores_of is not self._scores_of
        subject = replace(
            self.classifier.subject(forward.scores_of),
            autocast=forward.autocast,
            eager=self._scores_of if compiled else None,
        )
        rows = batch_size if compiled else min(batch_size, _PROBED)
        inputs = Inputs(self.classifier.noise, self._centre, batch_size, self._format)
        try:
            with evaluating(self.classifier.model, self.classifier.preprocess):
                self._probed = probe(subject, inputs, batch_size=batch_size, rows=rows)
        except Exception as error:
            if not is_out_of_memory(error) or batch_size == 1:
                raise
        else:
            return self._probed
        release_memory(self._centre.device)
        return self.probe((batch_size + 1) // 2)

    def _new_batch(self, rows: int) -> torch.Tensor:
        """Return a batch for the model, of the example."""
        return self._batch_of(self._centre, rows)

    def _batch_of(self, centre: torch.Tensor, rows: int) -> torch.Tensor:
        batch = torch.empty((rows, *centre.shape), device=centre.device, dtype=centre.dtype)
        batch = batch.to(memory_format=self._format)
        CleanInput(self.classifier.noise, centre).take(batch)
        return batch

    def run(self, items: Iterable[Item], batch_size: int) -> Iterator[Result]:
        """Yield the certificates of `items` as they are made."""
        if self.request.of_scores:
            yield from self._one_by_one(items, batch_size)
            return
        waits = 0 if self._centre.device.type == "cpu" else 4
        if self.request.target_radius is not None:
            waits = min(waits, 1)  # what is in flight is wasted where the votes have answered
        scheduler = Scheduler(
            map(self._job, items), self.forward, self._new_batch(batch_size), in_flight=waits
        )
        size = 1 + self.request.n + (0 if self.certify_label else self.request.n0)
        with evaluating(self.classifier.model, self.classifier.preprocess):
            for finished, samples in scheduler.run():
                done = [self._signed(job) for job in finished]
                inputs = samples / size if self.request.target_radius is None else len(done)
                yield Result(done, inputs, samples)

    def _job(self, item: Item) -> Job:
        request, classifier = self.request, self.classifier
        centre, _ = classifier.centre(item.x)
        first = 0 if self.certify_label else request.n0
        seed = (*self.entropy, item.idx)
        selection, estimation = (
            NoisyInputs(
                classifier.noise,
                centre,
                size,
                generator=seeded_generator(seed, stream, centre.device),
            )
            for size, stream in ((max(first, 1), SELECTION), (request.n, ESTIMATION))
        )
        question = request.question(classifier.noise, self._given_class(item))
        return Job(
            classifier.num_classes,
            first,
            request.n,
            question,
            item=item,
            sources=(CleanInput(classifier.noise, centre), selection, estimation),
        )

    def _one_by_one(self, items: Iterable[Item], batch_size: int) -> Iterator[Result]:
        """Certify by a bound of scores, which keeps columns of scores instead of votes."""
        for item in items:
            options = {**asdict(self.request), "y": self._given_class(item)}
            while True:
                try:
                    certificate = self.classifier.certify(
                        item.x, batch_size=batch_size, seed=(*self.entropy, item.idx), **options
                    )
                    break
                except Exception as error:
                    if not is_out_of_memory(error) or batch_size == 1:
                        raise
                batch_size //= 2
                release_memory(self._centre.device)
            signed = replace(certificate, seed=(*self.entropy, item.idx))
            yield Result(
                [Finished(item, signed, self._predict(item, batch_size))],
                1,
                certificate.n + certificate.n0,
            )

    def _predict(self, item: Item, batch_size: int) -> int:
        """Return the model's class of an input without noise."""
        centre, _ = self.classifier.centre(item.x)
        with evaluating(self.classifier.model, self.classifier.preprocess):
            return int(self.forward(self._batch_of(centre, batch_size))[0])

    def _signed(self, job: Job) -> Finished:
        assert job.item is not None, "a scheduled job has one"
        assert job.certificate is not None, "a finished job has one"
        assert job.base_predict is not None, "it came first"
        seed = (*self.entropy, job.item.idx)
        stated = replace(job.certificate, seed=seed, seconds=job.seconds, probed=self._probed)
        return Finished(job.item, stated, job.base_predict)

    def _given_class(self, item: Item) -> int | None:
        if self.certify_label and item.label == ABSTAIN:
            raise ValueError(
                f"input {item.idx} has no label: certify_label=True certifies the true class"
            )
        return item.label if self.certify_label else None
