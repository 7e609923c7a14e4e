"""How fast a model is sampled, and what each input costs beside its forward passes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from rsverify.certificates.certificate import ABSTAIN
from rsverify.smoothing.data.items import Item, Items
from rsverify.smoothing.request import Request
from rsverify.smoothing.sampling.asked import Asked, Entropy
from rsverify.smoothing.sampling.session import Session
from rsverify.tables.plan_draws import drawn_for, posterior_shares
from rsverify.tables.plan_view import SHORT, time_text
from rsverify.tables.schema import count_columns

Clock = Callable[[], float]

_FEWEST_INPUTS, _FEWEST_VOTES, _MOST_VOTES = 8, 50, 1000
PILOT = 1
"""Ends the seeds of a pilot, whose noise is not that of a run."""
_LEAST_TIMED = 0.2  # seconds; shorter ones say little
_MOST_TIMED = 1_000_000  # passes
_SHARE = 50
_REPEATS = 5
_DECIDED, _GROUPS = 10, 20
_START = 2.5
"""What an input costs before it is looked at, in looks: of three networks, ``planning`` of
``coverage_studies``."""


@dataclass(frozen=True)
class Timing:
    """How fast a session is: its forward passes, and what each input costs beside them."""

    session: Session
    request: Request
    example: torch.Tensor
    batch_size: int
    entropy: Entropy
    clock: Clock = time.perf_counter
    first: int = 0
    """Which input the example is."""

    def rate(self, budget: float = _LEAST_TIMED, *, passes: int | None = None) -> float:
        """Return forward passes per second, of one input over and over.

        Measured for `budget` seconds, or, where the run has so many `passes`, a 50th of its time.
        """
        votes = self.batch_size
        while True:
            took = max(self._time(votes), 1e-9)
            enough = budget if passes is None else min(budget, passes * took / votes / _SHARE)
            if took >= enough or votes >= _MOST_TIMED:
                return votes / took
            votes = int(votes * min(10.0, max(2.0, 1.2 * enough / took)))

    def pilot(
        self,
        items: Items,
        wanted: range,
        passes: float,
        rate: float,
        *,
        certify_label: bool,
    ) -> tuple[pd.DataFrame, float]:
        """Return votes on inputs chosen at random, and seconds per input beside forward passes."""
        each = min(max(int(passes / len(wanted)), _FEWEST_VOTES), _MOST_VOTES)
        count = min(len(wanted), max(_FEWEST_INPUTS, int(passes / each)))
        rng = np.random.default_rng([*parts_of(self.entropy), PILOT])
        chosen = sorted(rng.permutation(len(wanted))[:count].tolist())
        loaded = items.load([wanted[i] for i in chosen])
        began = self.clock()
        rows = []
        asked = (self._job(item.x, each, item.idx, item) for item in loaded)
        for done in self.session.run(self._counting(each), asked, self.batch_size, lambda _: None):
            item = done.asked.item
            assert item is not None, "of a data set"
            counts = {f"count_{i}": k for i, k in enumerate(done.certificate.counts)}
            rows.append({"idx": item.idx, "label": item.label, **counts})
        took = self.clock() - began
        table = pd.DataFrame(rows).sort_values("idx", ignore_index=True)
        if certify_label:
            table = table.assign(y=table["label"])
            if (table["label"] == ABSTAIN).any():
                raise ValueError("an input has no label: certify_label=True certifies the true one")
        return table, max(took / count - (each + 1) / rate, 0.0)

    def bound(self, pilot: pd.DataFrame, dimension: int) -> float:
        """Return seconds that the bound of an input takes, at a fixed number of votes."""
        request, counts = self.request, pilot[count_columns(pilot)].to_numpy()
        rng = np.random.default_rng(0)
        question = request.question(self.session.sampled.noise, None, dimension)
        shares, _ = posterior_shares(counts, counts.argmax(axis=1), rng)
        took = list[float]()
        for p in shares[rng.permutation(len(shares))[: _REPEATS + 1]]:
            chosen, votes = rng.multinomial(max(request.n0, 1), p), rng.multinomial(request.n, p)
            began = self.clock()
            question.finish(votes, chosen)
            took.append(self.clock() - began)
        return float(np.mean(took[1:]))  # what is compiled on the first call is not counted

    def early_overhead(
        self,
        items: Items,
        wanted: range,
        rate: float,
        budget: float,
        looks: float,
        *,
        certify_label: bool,
    ) -> float:
        """Return seconds per input beside forward passes with early decisions, of so many `looks`.

        Some inputs are decided as the run would do it: their looks, their bounds, and noise that is
        drawn in blocks and not used. Few of all inputs take most of the looks, so that the time of
        these says little about the others; it is shared among their looks. An input costs about
        `_START` looks before its first.
        """
        rng = np.random.default_rng([*parts_of(self.entropy), PILOT, 1])
        chosen = [wanted[int(i)] for i in rng.permutation(len(wanted))[: _GROUPS * _DECIDED]]
        passes, taken = list[int](), 0.0
        began = start = self.clock()
        for first in range(0, len(chosen), _DECIDED):  # whole groups, not those that end first
            if first == _DECIDED:  # what is done on the first call only is not counted
                passes.clear()
                taken, start = 0.0, self.clock()
            asked = (
                self._job(i.x, 0, i.idx, i)._replace(y=i.label if certify_label else None)
                for i in items.load(chosen[first : first + _DECIDED])
            )
            for done in self.session.run(self.request, asked, self.batch_size, passes.append):
                votes = done.certificate.n
                taken += _START + drawn_for(votes, self.request.n, self.batch_size)[1]
            if first and self.clock() - began > budget:
                break
        overhead = max(self.clock() - start - sum(passes) / rate, 0.0)
        return overhead / taken * (_START + looks)

    def _counting(self, votes: int) -> Request:
        """Return a request that only counts: its bound takes no time."""
        return Request(n0=1, n=votes, bound="cohen", alpha=0.5)

    def _job(self, x: torch.Tensor, votes: int, idx: int, item: Item | None = None) -> Asked:
        return Asked(x, (*parts_of(self.entropy), votes, idx, PILOT), 0, item)

    def _time(self, votes: int) -> float:
        item = Item(self.first, self.example, ABSTAIN, "")  # named where the model fails on it
        asked = [self._job(self.example, votes, self.first, item)]
        began = self.clock()
        for _ in self.session.run(self._counting(votes), asked, self.batch_size, lambda _: None):
            pass
        return self.clock() - began

    def estimate(self, inputs: int, each: int, processes: int) -> str:
        """Return, in words, what a run over inputs takes, of at most so many passes `each`."""
        passes = inputs * each
        rate = self.rate(passes=passes)
        most = "at most " if self.request.stops_early else ""
        text = f"{most}{passes:,} forward passes, "
        seconds = passes / rate / processes
        if seconds < SHORT:
            return text + time_text(seconds)
        place = device_text(self.session.context.device)
        return f"{text}{most}{time_text(seconds)} at {rate * processes:,.0f} per second on {place}"


def device_text(device: torch.device) -> str:
    """Return what a device is called in a plan."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    threads = torch.get_num_threads()
    return f"{device} ({threads} thread{'s' * (threads > 1)})"


def parts_of(entropy: Entropy) -> tuple[int, ...]:
    """Return entropy as the parts of a seed."""
    return (entropy,) if isinstance(entropy, int) else entropy
