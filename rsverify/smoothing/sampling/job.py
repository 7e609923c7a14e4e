"""Many inputs through one model: which noisy inputs go into the next batch, and what came back.

A job is one input: a stream of noisy inputs, selection first, then estimation, and the votes
on them in the same order. What a job concludes depends on its own votes alone, so it makes no
difference which jobs share a batch or how large that is.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch

from rsverify._core.check import IntArray
from rsverify.certificates.certificate import Stated
from rsverify.certificates.looks import FIRST_LOOK, look_after
from rsverify.smoothing.data.items import Item
from rsverify.smoothing.device import Arriving, DeviceContext
from rsverify.smoothing.request import Question
from rsverify.smoothing.sampling.forward import INVALID

MOST_JOBS = 64
"""At most this many inputs are under way at once: each holds a block of noise."""
# Of a question that may be answered any moment no more is drawn at once than this share of
# the votes so far: what is drawn beyond the answer is wasted.
_AHEAD = 0.25
_SMALLEST_STEP = FIRST_LOOK

# New votes are looked at when they are this share of those before: one call takes them all.
_LOOKED_AT = 0.05

Rows = npt.NDArray[np.int64]


class Source(Protocol):
    """Inputs of the model, one after the other."""

    def take(self, out: torch.Tensor) -> None:
        """Fill `out` with the next ones."""


@dataclass(eq=False)
class Job:
    """One input under way: `first` votes that choose its class, then `size` that answer.

    The sources give the input without noise, whose vote is then the first of all and becomes
    `base_predict`; the selection sample; and the estimation sample. A source that is not wanted is
    None. The job is complete after all its votes, or at the first look, on a fixed schedule of
    counts, that is enough. Without a question it only counts.
    """

    num_classes: int
    first: int
    size: int
    question: Question | None
    sources: tuple[Source | None, Source | None, Source]
    item: Item | None = None
    base_predict: int | None = None
    seconds: float = 0.0
    stated: Stated | None = None
    complete: bool = False
    drawn: int = 0
    absorbed: int = 0
    counts: IntArray = field(init=False)
    selected: IntArray | None = None
    _unseen: Rows = field(init=False)

    def __post_init__(self) -> None:
        self.counts = np.zeros(self.num_classes, dtype=np.int64)
        if self.first:
            self.selected = self.counts.copy()
        self._unseen = np.empty(0, dtype=np.int64)

    @property
    def _name(self) -> str:
        return "" if self.item is None else f"input {self.item.idx}: "

    @property
    def _ends(self) -> tuple[int, int, int]:
        """After how many votes each source has given all of its own."""
        clean = int(self.sources[0] is not None)
        return clean, clean + self.first, clean + self.first + self.size

    @property
    def _first_look(self) -> Callable[[IntArray, IntArray | None], int | None] | None:
        return None if self.question is None else self.question.first

    @property
    def left(self) -> int:
        """How many noisy inputs could still be drawn."""
        return self._ends[-1] - self.drawn

    @property
    def wanted(self) -> int:
        """How many of them are worth drawing before more is known."""
        if self._first_look is None:
            return self.left
        before = self._ends[1]
        seen = max(self.absorbed - before, 0)
        step = max(_SMALLEST_STEP, int(_AHEAD * seen))
        return min(self.left, max(before + seen + step - self.drawn, 0))

    def draw(self, out: torch.Tensor) -> None:
        """Write the next noisy inputs to `out`."""
        for source, end in zip(self.sources, self._ends, strict=True):
            rows = min(max(end - self.drawn, 0), len(out))
            if rows and source is not None:
                source.take(out[:rows])
            self.drawn, out = self.drawn + rows, out[rows:]

    def absorb(self, votes: Rows) -> None:
        """Count the next votes; the job is complete when they are enough."""
        if self.complete:
            return
        parts = []
        for end in self._ends:
            rows = min(max(end - self.absorbed, 0), len(votes))
            parts.append(votes[:rows])
            self.absorbed, votes = self.absorbed + rows, votes[rows:]
        clean, selection, estimation = parts
        if len(clean):
            self.base_predict = int(self._count(clean).argmax())
        if self.selected is not None:
            self.selected = self.selected + self._count(selection)
        last = self.absorbed == self._ends[-1]
        if self._first_look is None:
            self.counts += self._count(estimation)
        else:
            self._unseen = np.append(self._unseen, estimation)
            if last or len(self._unseen) >= _LOOKED_AT * self.counts.sum():
                self._look(self._first_look)
        if last and not self.complete:
            self.counts += self._count(self._unseen)
            self._finish()

    def _finish(self) -> None:
        self.complete = True
        if self.question is not None:
            self.stated = self.question.finish(self.counts, self.selected)

    def _look(self, first: Callable[[IntArray, IntArray | None], int | None]) -> None:
        """Look at all scheduled looks that the new votes complete."""
        seen = int(self.counts.sum())
        ends, look = list[int](), look_after(seen)
        while look <= seen + len(self._unseen):
            ends.append(look - seen)
            look = look_after(look)
        if not ends:
            return
        votes, self._unseen = self._unseen[: ends[-1]], self._unseen[ends[-1] :]
        invalid = np.flatnonzero(votes == INVALID)
        sound = [end for end in ends if not invalid.size or end <= invalid[0]]
        looks = self.counts + self._cumulative(votes, sound)
        chosen = first(looks, self.selected) if sound else None
        self.counts += self._count(votes if chosen is None else votes[: ends[chosen]])
        if chosen is not None:
            self._finish()

    def _cumulative(self, votes: Rows, ends: list[int]) -> IntArray:
        """Return the counts of the first votes up to each of `ends`."""
        table = np.zeros((len(ends), self.num_classes), dtype=np.int64)
        for row, part in zip(table, np.split(votes, ends), strict=False):
            row += np.bincount(part, minlength=self.num_classes)
        return table.cumsum(axis=0)

    def _count(self, votes: Rows) -> IntArray:
        if found := int((votes == INVALID).sum()):
            raise ValueError(
                f"{self._name}model returned NaN scores for {found} of {len(votes)} noisy inputs, "
                "or −∞ for all classes; scores must be real numbers"
            )
        return np.bincount(votes, minlength=self.num_classes)


class _Sent(NamedTuple):
    """A batch on its way: its votes, and whose they are."""

    votes: Arriving
    shares: list[tuple[Job, int]]


class Scheduler:
    """Keep batches full with the noisy inputs of as many jobs as that takes.

    Parameters
    ----------
    jobs : iterable of Job
        Taken one by one, when there is room.
    votes_of : callable
        Maps a batch to one vote a row, on its device.
    batch : Tensor
        Where noisy inputs are put, the same for every batch.
    evaluating : callable
        Returns the context in which inputs are drawn and the model is run. It is entered for
        each batch anew: whoever consumes the votes keeps gradients and training flags of their
        own, when they stop consuming too.
    in_flight : int
        How many batches may be computed before the votes of the first are looked at. The
        host waits for no batch but the oldest, so that a device has the next ones already.
    """

    def __init__(
        self,
        jobs: Iterable[Job],
        votes_of: Callable[[torch.Tensor], torch.Tensor],
        batch: torch.Tensor,
        *,
        evaluating: Callable[[], AbstractContextManager[None]],
        in_flight: int = 0,
    ) -> None:
        self._waiting = iter(jobs)
        self._evaluating = evaluating
        self._votes_of = votes_of
        self._batch = batch
        self._context = DeviceContext(batch.device)
        self._in_flight = in_flight
        self._live: list[Job] = []
        self._sent: deque[_Sent] = deque()
        self._exhausted = False
        self._failure: Exception | None = None
        self._clock = time.perf_counter()

    def run(self) -> Iterator[tuple[list[Job], int]]:
        """Yield, after each batch, the jobs that it finished and how many votes it brought.

        An input that cannot be had raises when those before it are done.
        """
        while True:
            with self._evaluating():  # not while the caller has the floor
                shares = self._shares()
                if shares:
                    self._send(shares)
            if not shares and not self._sent:
                break
            if not shares or len(self._sent) > self._in_flight:
                yield self._receive()
        if self._failure is not None:
            raise self._failure

    def _shares(self) -> list[tuple[Job, int]]:
        """Return which jobs get how many rows of the next batch."""
        room = len(self._batch)
        shares: dict[Job, int] = {}
        for job in self._admit():
            if take := min(job.wanted, room):
                shares[job] = take
                room -= take
            if not room:
                break
        if shares:
            # No input waits any more: rather draw ahead than leave the batch empty.
            for job in self._live:
                if extra := min(job.left - shares.get(job, 0), room):
                    shares[job] = shares.get(job, 0) + extra
                    room -= extra
        return list(shares.items())

    def _admit(self) -> Iterator[Job]:
        """Yield the live jobs, oldest first, and then new ones."""
        yield from list(self._live)
        while len(self._live) < MOST_JOBS and not self._exhausted:
            try:
                job = next(self._waiting, None)
            except Exception as error:
                job, self._failure = None, error
            if job is None:
                self._exhausted = True
                return
            self._live.append(job)
            yield job

    def _send(self, shares: list[tuple[Job, int]]) -> None:
        start = 0
        for job, rows in shares:
            job.draw(self._batch[start : start + rows])
            start += rows
        self._sent.append(_Sent(self._context.fetch(self._votes_of(self._batch)), shares))

    def _receive(self) -> tuple[list[Job], int]:
        """Hand the votes of the oldest batch to its jobs."""
        sent = self._sent.popleft()
        votes = sent.votes.numpy()
        used = sum(rows for _, rows in sent.shares)
        start = 0
        for job, rows in sent.shares:
            job.absorb(votes[start : start + rows])
            start += rows
        before, self._clock = self._clock, time.perf_counter()
        finished = []
        for job, rows in sent.shares:
            if job in self._live:  # not finished by an earlier batch
                job.seconds += (self._clock - before) * rows / used
                if job.complete:
                    finished.append(job)
                    self._live.remove(job)
        return finished, used
