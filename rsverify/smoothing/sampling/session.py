"""From the inputs of a data set to their certificates, on one device."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import torch

from rsverify.certificates.certificate import ABSTAIN, Certificate
from rsverify.certificates.scores import ScoreCertificate
from rsverify.smoothing.batches import CleanInput, NoisyInputs, Scores, evaluating
from rsverify.smoothing.data.inputs import Input
from rsverify.smoothing.data.items import Item
from rsverify.smoothing.device import (
    Arriving,
    DeviceContext,
    first_batch_size,
    indexable_batch_size,
    is_out_of_memory,
)
from rsverify.smoothing.noise.gaussian import ESTIMATION, SELECTION, Noise, seeded_generator
from rsverify.smoothing.probing.probe import Inputs, Subject, probe
from rsverify.smoothing.request import Request
from rsverify.smoothing.sampling.forward import INVALID, Forward, memory_format, try_model
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


@dataclass(eq=False)
class _ScoreRun:
    """An input under way to a bound of scores."""

    item: Item
    steps: Generator[None, None, ScoreCertificate]
    batch_size: int
    base: Arriving
    begun: int
    """How many were begun before and with it."""


class Sampled(Protocol):
    """What a session needs of a smoothed classifier."""

    model: Scores
    preprocess: Callable[[torch.Tensor], torch.Tensor] | None
    num_classes: int
    noise: Noise

    def subject(self, scores_of: Scores) -> Subject:
        """Return what is probed of the model."""

    def center(self, x: Input) -> tuple[torch.Tensor, Scores]:
        """Return an input as noise is added to it, on the device, and the model on batches."""

    def score_steps(
        self,
        x: Input,
        request: Request,
        y: int | None,
        batch_size: int,
        entropy: int | tuple[int, ...],
    ) -> Generator[None, None, ScoreCertificate]:
        """Return the certificate of a bound of scores, pausing before each wait."""


class Engine:
    """Certify inputs with one classifier, several to a batch where one does not fill it.

    Parameters
    ----------
    classifier : Sampled
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
        classifier: Sampled,
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
        center, scores_of = classifier.center(example)
        self._center, self._scores_of = center, scores_of
        self._probed = ""
        self._begun = 0
        self._context = DeviceContext(center.device)
        self._format = memory_format(center.shape, execution.channels_last)
        self.forward = Forward(
            scores_of,
            classifier.num_classes,
            center.device,
            autocast=execution.autocast,
            compiled=execution.compiled,
        )

    def try_batch_size(self, wanted: int | None) -> int:
        """Run the model once; return the batch size, halved until it fitted into memory."""
        shape, device = self._center.shape, self._context.device
        largest = indexable_batch_size(wanted or first_batch_size(device, shape), device, shape)
        with self._evaluating():
            return try_model(self.forward, self._new_batch, largest)

    def probe(self, batch_size: int) -> str:
        """Return what was probed of the model as it will be sampled, or raise as `probe` does."""
        forward, compiled = self.forward, self.forward.scores_of is not self._scores_of
        subject = Subject(
            model=self.classifier.model,
            preprocess=self.classifier.preprocess,
            scores_of=forward.scores_of,
            num_classes=forward.num_classes,
            autocast=forward.autocast,
            eager=self._scores_of if compiled else None,
        )
        rows = batch_size if compiled else min(batch_size, _PROBED)
        inputs = Inputs(self.classifier.noise, self._center, batch_size, self._format)
        try:
            with self._evaluating():
                self._probed = probe(subject, inputs, batch_size=batch_size, rows=rows)
        except Exception as error:
            if not is_out_of_memory(error) or batch_size == 1:
                raise
        else:
            return self._probed
        self._context.release_memory()
        return self.probe((batch_size + 1) // 2)

    @contextmanager
    def _evaluating(self) -> Iterator[None]:
        with self._context.active(), evaluating(self.classifier.model, self.classifier.preprocess):
            yield

    def _new_batch(self, rows: int) -> torch.Tensor:
        """Return a batch for the model, of the example."""
        return self._batch_of(self._center, rows)

    def _batch_of(self, center: torch.Tensor, rows: int) -> torch.Tensor:
        shape = (rows, *center.shape)
        batch = torch.empty(
            shape, device=center.device, dtype=center.dtype, memory_format=self._format
        )
        CleanInput(self.classifier.noise, center).take(batch)
        return batch

    def run(self, items: Iterable[Item], batch_size: int) -> Iterator[Result]:
        """Yield the certificates of `items` as they are made."""
        if self.request.of_scores:
            yield from self._by_scores(items, batch_size)
            return
        waits = 4 if self._context.asynchronous else 0
        if self.request.target_radius is not None:
            waits = min(waits, 1)  # what is in flight is wasted where the votes have answered
        with self._context.active():
            batch = self._new_batch(batch_size)
        scheduler = Scheduler(map(self._job, items), self.forward, batch, in_flight=waits)
        size = 1 + self.request.n + (0 if self.certify_label else self.request.n0)
        with evaluating(self.classifier.model, self.classifier.preprocess):
            for finished, samples in scheduler.run():
                done = [self._signed(job) for job in finished]
                inputs = samples / size if self.request.target_radius is None else len(done)
                yield Result(done, inputs, samples)

    def _job(self, item: Item) -> Job:
        request, classifier = self.request, self.classifier
        center, _ = classifier.center(item.x)
        first = 0 if self.certify_label else request.n0
        seed = (*self.entropy, item.idx)
        selection, estimation = (
            NoisyInputs(
                classifier.noise,
                center,
                size,
                generator=seeded_generator(seed, stream, center.device),
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
            sources=(CleanInput(classifier.noise, center), selection, estimation),
        )

    def _by_scores(self, items: Iterable[Item], batch_size: int) -> Iterator[Result]:
        """Certify by a bound of scores, which keeps columns of scores instead of votes.

        No batch is shared. While the scores of one input are on their way, the device has work
        from the next ones.
        """
        waiting, under_way = iter(items), deque[_ScoreRun]()
        failure: Exception | None = None
        exhausted, clock = False, time.perf_counter()
        while True:
            while not exhausted and len(under_way) < (3 if self._context.asynchronous else 1):
                try:
                    item = next(waiting, None)
                    if item is None:
                        exhausted = True
                    else:
                        under_way.append(self._score_run(item, batch_size))
                except Exception as error:
                    exhausted, failure = True, error
            if not under_way:
                break
            run = under_way.popleft()
            try:
                done = self._advance(run)
            except Exception as error:
                # Those begun before it are still finished, as if it had come alone.
                exhausted, failure = True, error
                under_way = deque(r for r in under_way if r.begun < run.begun)
                continue
            batch_size = min(batch_size, run.batch_size)  # where memory has set a limit
            if done is None:
                under_way.append(run)
                continue
            before, clock = clock, time.perf_counter()
            stated = replace(done.certificate, seconds=clock - before, probed=self._probed)
            done = done._replace(certificate=stated)
            yield Result([done], 1, done.certificate.n + done.certificate.n0)
        if failure is not None:
            raise failure

    def _score_run(self, item: Item, batch_size: int) -> _ScoreRun:
        """Queue the vote on an input without noise, in a batch of its own."""
        self._begun += 1
        with self._evaluating():
            center, _ = self.classifier.center(item.x)
            base = self._context.fetch(self.forward(self._batch_of(center, 1)))
        return _ScoreRun(item, self._steps(item, batch_size), batch_size, base, self._begun)

    def _steps(self, item: Item, batch_size: int) -> Generator[None, None, ScoreCertificate]:
        seed = (*self.entropy, item.idx)
        given = self._given_class(item)
        return self.classifier.score_steps(item.x, self.request, given, batch_size, seed)

    def _advance(self, run: _ScoreRun) -> Finished | None:
        """Queue the next step of an input; out of memory, all of them again in smaller batches."""
        try:
            next(run.steps)
            return None
        except StopIteration as end:
            base = int(run.base.numpy()[0])
            if base == INVALID:
                raise ValueError(
                    f"input {run.item.idx}: model returned NaN scores for the input itself; "
                    "scores must be real numbers"
                ) from None
            return Finished(run.item, end.value, base)
        except Exception as error:
            if not is_out_of_memory(error) or run.batch_size == 1:
                raise
        run.batch_size = (run.batch_size + 1) // 2
        run.steps = self._steps(run.item, run.batch_size)
        self._context.release_memory()
        return None

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
