"""Inputs on their way to a bound of scores, which keeps columns of scores instead of votes.

No batch is shared. While the scores of one input are on their way, the device has work from the
next ones.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch

from rsverify._core.check import IntArray
from rsverify.certificates.certificate import Stated
from rsverify.certificates.scores import choose_class, columns_stated, winners
from rsverify.smoothing.batches import Scores, noisy_batches
from rsverify.smoothing.device import Arriving, DeviceContext, is_out_of_memory
from rsverify.smoothing.noise.gaussian import ESTIMATION, SELECTION, seeded_generator
from rsverify.smoothing.request import Request
from rsverify.smoothing.sampling.asked import Asked, Found, Told
from rsverify.smoothing.sampling.forward import INVALID
from rsverify.smoothing.sampling.sampled import Sampled
from rsverify.smoothing.sampling.scores import queue_columns, queue_scores

Steps = Generator[None, None, tuple[Stated, IntArray, IntArray]]
"""To what scores say, how often each class had the largest one, and that of the selection."""


@dataclass(eq=False)
class _Run:
    """An input under way."""

    asked: Asked
    steps: Steps
    batch_size: int
    base: Arriving | None
    begun: int
    """How many were begun before and with it."""


@dataclass(kw_only=True)
class ScoreRuns:
    """Certify inputs by a bound of scores."""

    sampled: Sampled
    scores_of: Scores
    """From a batch to the model's output."""
    vote_of: Callable[[torch.Tensor], torch.Tensor]
    """From an input to the model's vote on it without noise, on its device."""
    evaluating: Callable[[], AbstractContextManager[None]]
    """The device active and the model in evaluation mode."""
    context: DeviceContext
    request: Request
    batch_size: int
    told: Told
    _begun: int = field(default=0, init=False)

    def run(self, inputs: Iterable[Asked]) -> Iterator[Found]:
        """Yield what is found of inputs as it is."""
        waiting, under_way = iter(inputs), deque[_Run]()
        failure: Exception | None = None
        exhausted, clock = False, time.perf_counter()
        while True:
            while not exhausted and len(under_way) < (3 if self.context.asynchronous else 1):
                try:
                    asked = next(waiting, None)
                    if asked is None:
                        exhausted = True
                    else:
                        under_way.append(self._begin(asked))
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
            self.batch_size = min(self.batch_size, run.batch_size)  # where memory has set a limit
            if done is None:
                under_way.append(run)
                continue
            before, clock = clock, time.perf_counter()
            yield done._replace(seconds=clock - before)
        if failure is not None:
            raise failure

    def _begin(self, asked: Asked) -> _Run:
        """Queue the vote on an input without noise, in a batch of its own."""
        self._begun += 1
        base = None
        if asked.item is not None:
            with self.evaluating():
                center, _ = self.sampled.center(asked.x)
                base = self.context.fetch(self.vote_of(center))
        return _Run(asked, self._steps(asked, self.batch_size), self.batch_size, base, self._begun)

    def _advance(self, run: _Run) -> Found | None:
        """Queue the next step of an input; out of memory, all of them again in smaller batches."""
        try:
            next(run.steps)
            return None
        except StopIteration as end:
            base = None if run.base is None else int(run.base.numpy()[0])
            if base == INVALID:
                name = "" if run.asked.item is None else f"input {run.asked.item.idx}: "
                raise ValueError(
                    f"{name}model returned NaN scores for the input itself; scores must be real "
                    "numbers"
                ) from None
            stated, votes, selected = end.value
            return Found(run.asked, stated, votes, selected, base, 0.0)
        except Exception as error:
            if not is_out_of_memory(error) or run.batch_size == 1:
                raise
        run.batch_size = (run.batch_size + 1) // 2
        run.steps = self._steps(run.asked, run.batch_size)
        self.context.release_memory()
        return None

    def _steps(self, asked: Asked, batch_size: int) -> Steps:
        """Return what the scores say, pausing before each wait for the device."""
        request, classes = self.request, self.sampled.num_classes
        options, mapped = request.score_options(self.sampled.noise)

        def batches(center: torch.Tensor, n: int, stream: int) -> Iterator[torch.Tensor]:
            generator = seeded_generator(asked.seed, stream, center.device)
            return noisy_batches(self.sampled.noise, center, n, batch_size, generator=generator)

        with self.evaluating():
            center, _ = self.sampled.center(asked.x)
            selection = queue_scores(
                self.scores_of,
                batches(center, request.n0, SELECTION),
                classes,
                center.device,
                mapped,
                self.told,
            )
        yield
        chosen = selection()
        label, plan = choose_class(chosen, asked.y, classes)
        with self.evaluating():
            sample = queue_columns(
                self.scores_of,
                batches(center, request.n, ESTIMATION),
                classes,
                center.device,
                mapped,
                n=request.n,
                y=label,
                plan=plan,
                progress=self.told,
            )
        yield
        columns = sample()
        stated = columns_stated(columns, label, plan, options)
        return stated, columns.votes, winners(chosen)
