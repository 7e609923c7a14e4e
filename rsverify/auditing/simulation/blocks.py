"""Seeded simulation: blocks that replay alone, the same bits for any number of workers."""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import joblib
import numpy as np
import numpy.typing as npt
from joblib.parallel import get_active_backend

from rsverify._core.types import FloatArray
from rsverify.auditing.caller import Caller
from rsverify.auditing.design import Design, Progress
from rsverify.auditing.estimand import Data, Estimand
from rsverify.auditing.scenario import Scenario
from rsverify.auditing.simulation.store import Store, record_of
from rsverify.auditing.simulation.tally import Tally
from rsverify.auditing.verdict import decide

ROUNDING = 1e-12
BLOCK_NUMBERS = 1 << 21  # numbers drawn in a block, at most
LARGEST_BLOCK, FIRST_BLOCK, SMALLEST_BLOCK = 1 << 15, 500, 8
LOOKS = 8  # blocks of one size, before the next ones are twice as large


def block_span(n: int, replications: int, block: int) -> tuple[int, int]:
    """Return the number of the first replication of a block, and how many it has.

    Blocks begin small, so that a clearly invalid bound is refuted early, and a loose one that takes
    its time is supported early; they double after every eight. A larger budget appends blocks and
    changes none but a last one that was cut short.
    """
    largest = max(min(BLOCK_NUMBERS // max(n, 1), LARGEST_BLOCK), SMALLEST_BLOCK)
    start, size = 0, min(FIRST_BLOCK, largest)
    while block >= LOOKS and size < largest:
        start += LOOKS * size
        block -= LOOKS
        size = min(2 * size, largest)
    start += block * size
    return start, max(min(size, replications - start), 0)


def generator(seed: int, stream: str, block: int) -> np.random.Generator:
    """Return the generator of one block: a function of seed, stream and block alone.

    A stream is the name of a scenario: its draws do not depend on which others there are.
    """
    words = np.frombuffer(hashlib.blake2b(stream.encode(), digest_size=16).digest(), np.uint32)
    key = (*words.tolist(), block)
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


def draw_block(
    estimand: Estimand, scenario: Scenario, design: Design, block: int
) -> tuple[Data, float]:
    """Return the data of block number `block` of a scenario, and the truth."""
    rows = _rows(design, block)
    rng = generator(design.seed, scenario.stream or scenario.name, block)
    data = estimand.draw(rng, rows, design.n, **scenario.parameters)
    return data, float(estimand.truth(**scenario.parameters))


def missed(lower: FloatArray, upper: FloatArray, truth: float) -> npt.NDArray[np.bool_]:
    """Return where limits fail to cover the truth by more than the rounding of a mean."""
    slack = ROUNDING * max(1.0, abs(truth)) if math.isfinite(truth) else 0.0
    return (lower > truth + slack) | (upper < truth - slack)


def run_block(
    caller: Caller, estimand: Estimand, scenario: Scenario, design: Design, block: int
) -> Tally:
    """Draw and judge block number `block` of a scenario."""
    data, truth = draw_block(estimand, scenario, design, block)
    # Every size of block is checked for rows that change with the others, at its first block.
    limits = caller.limits(data, recheck=block % LOOKS == 0)
    distance = np.abs(limits.last[np.isfinite(limits.last)] - truth)
    distance = distance[np.isfinite(distance)]
    return Tally(
        int(missed(limits.lower, limits.upper, truth).sum()),
        len(data),
        float(distance.sum()),
        float((distance**2).sum()),
        int(distance.size),
        limits.failures,
    )


def simulate(
    caller: Caller,
    estimand: Estimand,
    scenarios: list[Scenario],
    design: Design,
    *,
    n_jobs: int = 1,
    store: Store | None = None,
    progress: Progress | None = None,
) -> list[Tally]:
    """Return the tally of every scenario.

    A scenario stops after the first block, in their order, at which its verdict is settled.
    Workers may run further blocks meanwhile; those are not looked at, so that the result does
    not depend on how many workers there are. Blocks that are in `store` are taken from there.
    """
    tallies = [Tally() for _ in scenarios]
    whole = len(scenarios) * design.replications
    backend = get_active_backend()[0]
    # In their order as they come, where the backend can; else round by round.
    way = "generator" if backend.supports_return_generator else "list"
    known = {} if store is None else store.blocks
    place = store_places(scenarios)
    for jobs in _rounds(tallies, design, n_jobs):
        # A block that a smaller budget cut short is run again.
        ready = {
            (i, b): known[place[i], b]
            for i, b in jobs
            if (place[i], b) in known and known[place[i], b].runs == _rows(design, b)
        }
        tasks = [
            joblib.delayed(run_block)(caller, estimand, scenarios[i], design, b)
            for i, b in jobs
            if (i, b) not in ready
        ]
        fresh = iter(joblib.Parallel(n_jobs=n_jobs, return_as=way)(tasks) if tasks else ())
        for i, b in jobs:
            result = ready[i, b] if (i, b) in ready else next(fresh)
            if store is not None and (i, b) not in ready:
                store.add(place[i], b, result)
            _take(tallies[i], result, b, design, len(scenarios))
            if progress is not None:
                progress(sum(_done(t, design) for t in tallies), whole)
        list(fresh)  # runs to its end, which joblib waits for
    return tallies


def store_places(scenarios: list[Scenario]) -> list[int]:
    """Return the number of each scenario in a store: its place in the order of their names."""
    names = sorted(s.name for s in scenarios)
    return [names.index(s.name) for s in scenarios]


@dataclass(frozen=True)
class Replay:
    """What it takes to run any block of a simulation again, for figures."""

    caller: Caller
    estimand: Estimand
    scenarios: list[Scenario]
    design: Design

    def block(self, index: int, block: int) -> tuple[FloatArray, FloatArray, float]:
        """Return lower and upper limits, (R, times), of a block, and the truth."""
        data, truth = draw_block(self.estimand, self.scenarios[index], self.design, block)
        return *self.caller.paths(data), truth


def check_store(
    store: Store,
    caller: Caller,
    estimand: Estimand,
    scenarios: list[Scenario],
    design: Design,
) -> None:
    """Raise ValueError where the last block of the store comes out otherwise when run again.

    What the design cannot say is whether the function is still the same.
    """
    whole = [(i, b) for (i, b), t in store.blocks.items() if t.runs == _rows(design, b)]
    if not whole:
        return
    i, b = whole[-1]
    scenario = scenarios[store_places(scenarios).index(i)]
    again = run_block(caller, estimand, scenario, design, b)
    if record_of(i, b, again) != record_of(i, b, store.blocks[i, b]):
        raise ValueError(
            f"store={str(store.path)!r}: block {b} of scenario {scenario.name!r} comes out "
            "otherwise than stored; the bound is not the one audited before, or it is random"
        )


def _rounds(tallies: list[Tally], design: Design, n_jobs: int) -> Iterator[list[tuple[int, int]]]:
    """Yield the (scenario, block) to run next, while any scenario is open.

    One block of every open scenario a round; more while few are open and workers idle.
    """
    block = 0
    while _rows(design, block) > 0:
        still = [i for i, t in enumerate(tallies) if t.verdict == "inconclusive"]
        if not still:
            return
        ahead = max(1, math.ceil(joblib.effective_n_jobs(n_jobs) / len(still)))
        blocks = [b for b in range(block, block + ahead) if _rows(design, b) > 0]
        yield list(itertools.product(still, blocks))
        block += len(blocks)


def _rows(design: Design, block: int) -> int:
    return block_span(design.n, design.replications, block)[1]


def _done(tally: Tally, design: Design) -> int:
    return tally.runs if tally.verdict == "inconclusive" else design.replications


def _take(tally: Tally, result: Tally, block: int, design: Design, scenarios: int) -> None:
    """Add a block unless the verdict was already settled before it."""
    if tally.verdict != "inconclusive":
        return
    tally.add(result)
    tally.peak = max(tally.peak, (block, result.misses), key=lambda each: each[1])
    tally.verdict = decide(
        tally.misses, tally.runs, design.alpha, design.tolerance, design.false_alarm, scenarios
    )
