"""From inputs to their votes and certificates, on one device: of a data set, or of one input."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import torch

from rsverify._core.check import FloatArray, IntArray
from rsverify._core.progress import InputProgress, ProgressOption
from rsverify.certificates.certificate import Certificate
from rsverify.smoothing.batches import CleanInput, NoisyInputs, Scores, evaluating, noisy_batches
from rsverify.smoothing.data.inputs import Input
from rsverify.smoothing.device import (
    DeviceContext,
    exhausted,
    first_batch_size,
    indexable_batch_size,
    is_out_of_memory,
)
from rsverify.smoothing.noise.gaussian import COUNTS, ESTIMATION, SELECTION, seeded_generator
from rsverify.smoothing.probing.probe import probe
from rsverify.smoothing.probing.subject import Inputs, Subject
from rsverify.smoothing.request import Request
from rsverify.smoothing.sampling.asked import Asked, Entropy, Finished, Found, Told
from rsverify.smoothing.sampling.forward import Forward, Untouched, memory_format, try_model
from rsverify.smoothing.sampling.job import Job, Scheduler
from rsverify.smoothing.sampling.sampled import Sampled
from rsverify.smoothing.sampling.score_runs import ScoreRuns
from rsverify.smoothing.sampling.scores import queue_scores
from rsverify.smoothing.score_maps import ScoreMap

_PROBED = 16
"""Noisy inputs that a model is probed with before a run, where it is not compiled."""


@dataclass(frozen=True, kw_only=True)
class Execution:
    """How it is computed, as far as that can show in the last digits of scores."""

    autocast: torch.dtype | None = None
    compiled: bool = False
    channels_last: bool = False


class Session:
    """Sample one model: certify inputs, several to a batch where one does not fill it, or count.

    Parameters
    ----------
    sampled : Sampled
        The model and its noise.
    example : Tensor or ndarray
        An input of the shape of all, on which the model is tried.
    execution : Execution
        How to compute.
    """

    def __init__(
        self, sampled: Sampled, example: Input, execution: Execution | None = None
    ) -> None:
        how = execution or Execution()
        self.sampled = sampled
        self.probed = ""
        """What was checked of the model."""
        self._center, model = sampled.center(example)
        self._fits = False  # the model has returned scores of the right shape
        self.context = DeviceContext(self._center.device)
        self._format = memory_format(self._center.shape, how.channels_last)
        self.forward = Forward(
            model if how.compiled else partial(self._noted, model),
            sampled.num_classes,
            self._center.device,
            autocast=how.autocast,
            compiled=how.compiled,
        )
        self._scores_of = Untouched(model) if how.compiled else self.forward.scores_of

    def _noted(self, model: Scores, batch: torch.Tensor) -> torch.Tensor:
        output = model(batch)
        wanted = (len(batch), self.sampled.num_classes)
        self._fits = self._fits or getattr(output, "shape", None) == wanted
        return output

    def try_batch_size(self, wanted: int | None) -> int:
        """Run the model once; return the batch size, halved until it fitted into memory."""
        shape, device = self._center.shape, self.context.device
        largest = indexable_batch_size(wanted or first_batch_size(device, shape), device, shape)
        with self.evaluating(), self._of_one_input():
            return try_model(self.forward, self.new_batch, largest)

    def probe(self, batch_size: int) -> str:
        """Return what was probed of the model as it will be sampled, or raise as `probe` does."""
        forward, compiled = self.forward, self.forward.scores_of is not self._scores_of
        subject = Subject(
            model=self.sampled.model,
            preprocess=self.sampled.preprocess,
            scores_of=forward.scores_of,
            num_classes=forward.num_classes,
            autocast=forward.autocast,
            eager=self._scores_of if compiled else None,
        )
        rows = batch_size if compiled else min(batch_size, _PROBED)
        inputs = Inputs(self.sampled.noise, self._center, batch_size, self._format)
        try:
            with self.evaluating():
                self.probed = probe(subject, inputs, batch_size=batch_size, rows=rows)
        except Exception as error:
            if not is_out_of_memory(error) or batch_size == 1:
                raise
        else:
            return self.probed
        self.context.release_memory()
        return self.probe((batch_size + 1) // 2)

    @contextmanager
    def evaluating(self) -> Iterator[None]:
        """Run the body on the device, without gradients, and the model in evaluation mode."""
        with self.context.active(), evaluating(self.sampled.model, self.sampled.preprocess):
            yield

    @contextmanager
    def _probed_once(self, rows: int) -> Iterator[None]:
        """Run the body on a model that was probed in batches as large, now or earlier."""
        with self.evaluating(), self._of_one_input():
            self.probed = self._probe_once(rows)
            yield

    def _probe_once(self, rows: int) -> str:
        sampled = self.sampled
        subject = sampled.subject(self._scores_of)
        try:
            return sampled.probes.probe(subject, sampled.noise, self._center, rows)
        except Exception as error:
            if not is_out_of_memory(error) or rows == 1:
                raise
        self.context.release_memory()
        return self._probe_once((rows + 1) // 2)

    @contextmanager
    def _of_one_input(self) -> Iterator[None]:
        """Say so where a model fails because several inputs were given as one."""
        try:
            yield
        except Exception as error:
            if self._fits or exhausted(error) is not None or not self._is_a_batch():
                raise
            count = len(self._center)
            raise ValueError(
                f"x of shape {tuple(self._center.shape)} must be one input, not a batch: the model "
                f"takes it as {count} of them; give x[0], or all to certify_dataset"
            ) from error

    def _is_a_batch(self) -> bool:
        """Return whether the model takes the input as a batch of inputs."""
        if self._center.ndim < 2:
            return False
        try:
            output = self._scores_of(self.batch_of(self._center, 1)[0])
        except Exception:  # of the model: it does not
            return False
        wanted = (len(self._center), self.sampled.num_classes)
        return isinstance(output, torch.Tensor) and output.shape == wanted

    def new_batch(self, rows: int) -> torch.Tensor:
        """Return a batch for the model, of the example."""
        return self.batch_of(self._center, rows)

    def batch_of(self, center: torch.Tensor, rows: int) -> torch.Tensor:
        """Return a batch of one input without noise."""
        shape = (rows, *center.shape)
        batch = torch.empty(
            shape, device=center.device, dtype=center.dtype, memory_format=self._format
        )
        CleanInput(self.sampled.noise, center).take(batch)
        return batch

    def noisy(self, center: torch.Tensor, n: int, seed: Entropy, stream: int) -> NoisyInputs:
        """Return noisy copies of an input, in a stream of a seed."""
        generator = seeded_generator(seed, stream, center.device)
        return NoisyInputs(self.sampled.noise, center, n, generator=generator)

    # Many inputs

    def run(
        self,
        request: Request,
        inputs: Iterable[Asked],
        batch_size: int,
        told: Told,
        *,
        timed: bool = True,
    ) -> Iterator[Finished]:
        """Yield the certificates of inputs as they are made; tell of the size of each batch."""
        way = self._by_scores if request.of_scores else self._by_votes
        for found in way(request, inputs, batch_size, told):
            yield found.finished(self.probed, timed=timed)

    def _by_scores(
        self, request: Request, inputs: Iterable[Asked], batch_size: int, told: Told
    ) -> Iterator[Found]:
        runs = ScoreRuns(
            sampled=self.sampled,
            scores_of=self._scores_of,
            vote_of=lambda center: self.forward(self.batch_of(center, 1)),
            evaluating=self.evaluating,
            context=self.context,
            request=request,
            batch_size=batch_size,
            told=told,
        )
        return runs.run(inputs)

    def _by_votes(
        self, request: Request, inputs: Iterable[Asked], batch_size: int, told: Told
    ) -> Iterator[Found]:
        early = request.stops_early
        under_way: dict[Job, Asked] = {}

        def jobs() -> Iterator[Job]:
            for asked in inputs:
                job = self._job(request, asked)
                under_way[job] = asked
                yield job

        for finished, samples in self._schedule(jobs(), batch_size, early=early):
            told(samples)
            for job in finished:
                assert job.stated is not None, "a finished job has an answer"
                yield Found(
                    under_way.pop(job),
                    job.stated,
                    job.counts,
                    job.selected,
                    job.base_predict,
                    job.seconds,
                )

    def _schedule(
        self, jobs: Iterable[Job], batch_size: int, *, early: bool = False
    ) -> Iterator[tuple[list[Job], int]]:
        waits = 4 if self.context.asynchronous else 0
        if early:
            waits = min(waits, 1)  # what is in flight is wasted where the votes have answered
        with self.context.active():
            batch = self.new_batch(batch_size)
        how = self.evaluating
        return Scheduler(jobs, self.forward, batch, evaluating=how, in_flight=waits).run()

    def _job(self, request: Request, asked: Asked) -> Job:
        center, _ = self.sampled.center(asked.x)
        first = request.n0 if request.needs_selection(given=asked.y is not None) else 0
        return Job(
            self.sampled.num_classes,
            first,
            request.n,
            request.question(self.sampled.noise, asked.y, center.numel()),
            (
                None if asked.item is None else CleanInput(self.sampled.noise, center),
                self.noisy(center, first, asked.seed, SELECTION) if first else None,
                self.noisy(center, request.n, asked.seed, ESTIMATION),
            ),
            item=asked.item,
        )

    # One input

    def certify(
        self, request: Request, asked: Asked, batch_size: int, shown: ProgressOption
    ) -> Certificate:
        """Return the certificate of one input: a run of it alone."""
        most = request.most_samples(given=asked.y is not None)
        rows = min(batch_size, most)
        with (
            self._probed_once(min(rows, max(request.n, request.n0))),
            _progress(most, shown, early=request.stops_early) as bar,
        ):
            (done,) = self.run(request, [asked], rows, lambda n: bar.advance(n, n))
        return done.certificate

    def counts(
        self, n: int, batch_size: int, seed: Entropy, stream: int, shown: ProgressOption
    ) -> IntArray:
        """Return the votes on the example."""
        rows, source = min(batch_size, n), self.noisy(self._center, n, seed, stream)
        job = Job(self.sampled.num_classes, 0, n, None, (None, None, source))
        with self._probed_once(rows), _progress(n, shown) as bar:
            for _, samples in self._schedule([job], rows):
                bar.advance(samples, samples)
        return job.counts

    def scores(
        self, n: int, batch_size: int, seed: Entropy, mapped: ScoreMap, shown: ProgressOption
    ) -> FloatArray:
        """Return the scores of noisy copies of the example."""
        rows, generator = min(batch_size, n), seeded_generator(seed, COUNTS, self.context.device)
        try:
            with self._probed_once(rows), _progress(n, shown) as bar:
                arrived = queue_scores(
                    self._scores_of,
                    noisy_batches(self.sampled.noise, self._center, n, rows, generator=generator),
                    self.sampled.num_classes,
                    self.context.device,
                    mapped,
                    lambda samples: bar.advance(samples, samples),
                )
            return arrived()
        except Exception as error:
            if not is_out_of_memory(error) or rows == 1:
                raise
        self.context.release_memory()
        return self.scores(n, (rows + 1) // 2, seed, mapped, shown)


def _progress(samples: int, shown: ProgressOption, *, early: bool = False) -> InputProgress:
    """Return the progress of a run on one input, which counts noisy inputs."""
    return InputProgress(
        "sampling", samples, shown=shown, unit="noisy inputs", samples_each=1, early=early
    )
