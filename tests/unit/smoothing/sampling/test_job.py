"""Many inputs in shared batches: the same conclusions whatever shares a batch, and full batches."""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from rsverify.certificates.certificate import Certificate  # noqa: E402
from rsverify.certificates.parts import evidence_of  # noqa: E402
from rsverify.smoothing.noise.gaussian import Gaussian  # noqa: E402
from rsverify.smoothing.request import Request  # noqa: E402
from rsverify.smoothing.sampling.forward import INVALID  # noqa: E402
from rsverify.smoothing.sampling.job import MOST_JOBS, Job, Scheduler  # noqa: E402

NOISE = Gaussian(0.5)
CLASSES = 3


class Numbers:
    """Stands for noisy inputs: the votes themselves, in a fixed order."""

    def __init__(self, votes: np.ndarray) -> None:
        self.votes, self.taken = votes, 0

    def take(self, out: torch.Tensor) -> None:
        part = self.votes[self.taken : self.taken + len(out)]
        assert len(part) == len(out), "more was taken than there is"
        out[:, 0] = torch.from_numpy(part)
        self.taken += len(out)


def jobs(request: Request, count: int, seed: int = 0) -> list[Job]:
    made = []
    for i in range(count):
        rng = np.random.default_rng((seed, i))
        p = rng.dirichlet([4, 1, 0.3])
        sources = tuple(
            Numbers(rng.choice(CLASSES, size, p=p)) for size in (1, request.n0, request.n)
        )
        question = request.question(NOISE, None)
        made.append(Job(CLASSES, request.n0, request.n, question, sources=sources))
    return made


def run(made: list[Job], rows: int, in_flight: int = 0) -> list[int]:
    """Return the sizes of what each batch was used for."""
    batch = torch.zeros(rows, 1)
    scheduler = Scheduler(
        made, lambda b: b[:, 0].long(), batch, evaluating=nullcontext, in_flight=in_flight
    )
    return [used for _, used in scheduler.run()]


def certificate_of(job: Job) -> Certificate:
    return job.stated(evidence_of(job.counts, job.selected))


REQUESTS = [
    Request(n0=20, n=150, bound="cohen"),
    Request(n0=20, n=600, target_radius=0.3),
    Request(n0=7, n=30, target_radius=0.2),
]


@pytest.mark.parametrize("request_", REQUESTS, ids=["fixed", "target", "few"])
@given(rows=st.integers(1, 2000), in_flight=st.integers(0, 5), count=st.integers(1, 12))
@settings(max_examples=25)
def test_certificates_do_not_depend_on_batches(request_, rows, in_flight, count) -> None:
    alone = jobs(request_, count)
    for job in alone:
        run([job], 64)
    together = jobs(request_, count)
    run(together, rows, in_flight)
    for job, other in zip(alone, together, strict=True):
        assert certificate_of(job) == certificate_of(other)
        assert job.base_predict == other.base_predict == job.sources[0].votes[0]
        answer = np.bincount(job.sources[2].votes[: certificate_of(job).n], minlength=CLASSES)
        assert certificate_of(job).counts == tuple(answer)
        chosen = np.bincount(job.sources[1].votes, minlength=CLASSES)
        assert certificate_of(job).selection_counts == tuple(chosen)


@pytest.mark.parametrize("in_flight", [0, 3])
def test_all_batches_but_the_last_are_full_where_every_vote_is_wanted(in_flight: int) -> None:
    request = Request(n0=20, n=150, bound="cohen")
    for rows in (16, 64, 100, 1000):
        used = run(jobs(request, 9), rows, in_flight)
        assert sum(used) == 9 * 171
        assert set(used[:-1]) <= {rows}


def test_little_is_drawn_in_vain_while_inputs_wait() -> None:
    request = Request(n0=20, n=20_000, target_radius=0.3)
    made = jobs(request, 200)
    used = run(made, 512)
    answered = sum(certificate_of(job).n + 21 for job in made)
    assert sum(used) <= 1.25 * answered + 64 * 512
    assert np.mean(used[: len(used) // 2]) > 0.95 * 512


def test_no_more_inputs_are_under_way_than_allowed() -> None:
    request = Request(n0=5, n=60, target_radius=0.3)
    started: list[int] = []

    def counted():
        for i, job in enumerate(jobs(request, 3 * MOST_JOBS)):
            started.append(i)
            yield job

    batch = torch.zeros(100_000, 1)
    scheduler = Scheduler(counted(), lambda b: b[:, 0].long(), batch, evaluating=nullcontext)
    finished = 0
    for done, _ in scheduler.run():
        assert len(started) - finished <= MOST_JOBS
        finished += len(done)
    assert finished == 3 * MOST_JOBS


@pytest.mark.parametrize("rows", [1, 50, 64, 5000])
@pytest.mark.parametrize("place", [0, 30, 54, 55, 400])
def test_an_invalid_vote_counts_only_where_it_is_used(rows: int, place: int) -> None:
    """The same outcome for every batch size: an error, or the certificate it did not reach."""
    request = Request(n0=5, n=2000, target_radius=0.1)
    sources = tuple(Numbers(np.zeros(size, dtype=np.int64)) for size in (1, 5, 2000))
    sources[2].votes[place] = INVALID
    job = Job(CLASSES, 5, 2000, request.question(NOISE, None), sources=sources)
    clean = tuple(Numbers(np.zeros(size, dtype=np.int64)) for size in (1, 5, 2000))
    other = Job(CLASSES, 5, 2000, request.question(NOISE, None), sources=clean)
    run([other], 64)
    if place < certificate_of(other).n:
        with pytest.raises(ValueError, match="model returned NaN scores"):
            run([job], rows)
    else:
        run([job], rows)
        assert certificate_of(job) == certificate_of(other)
