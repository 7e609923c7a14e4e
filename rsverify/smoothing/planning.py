"""Plans of a run over a data set: a few seconds of its votes and of their timing say the rest."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from rsverify._core.check import check_flag, check_positive, check_size, shown
from rsverify._core.types import Auto, RadiusName
from rsverify.certificates.threat import Threat
from rsverify.noise import Norm
from rsverify.smoothing.classifier import SmoothedClassifier
from rsverify.smoothing.data.inputs import Seed, check_autocast, check_batch_size, check_seed
from rsverify.smoothing.data.items import Items
from rsverify.smoothing.device import check_placement
from rsverify.smoothing.models.answers import record_answers
from rsverify.smoothing.request import Request
from rsverify.smoothing.sampling.session import Execution, Session
from rsverify.smoothing.timing import PILOT, Clock, Timing, device_text, parts_of
from rsverify.tables.analysis import default_radii
from rsverify.tables.plan import Cost, EarlyVotes, Plan
from rsverify.tables.plan_draws import Sampling, schedule, summed_up
from rsverify.tables.planning import (
    EVERY_RIVAL,
    early_votes,
    margin_of_radius,
    pilot_inputs,
    plan_samples,
)

__all__ = ["plan_dataset"]

_PRECISION_RUNS = 120


def plan_dataset(
    classifier: SmoothedClassifier,
    dataset: object,
    *,
    target_radius: float | Sequence[float] | None = None,
    precision: float | None = None,
    relative_precision: float | None = None,
    n0: int = 100,
    n: int = 100_000,
    alpha: float = 1e-3,
    radius: RadiusName = "R2",
    norm: Norm | None = None,
    lipschitz: float | Auto | None = None,
    futility: float = 0.1,
    certify_label: bool = False,
    probability: float = 0.9,
    seconds: float = 5.0,
    seed: Seed = None,
    skip: int = 1,
    max_inputs: int | None = None,
    input_range: tuple[float, float] | None = None,
    batch_size: int | None = None,
    autocast: torch.dtype | None = None,
    compile: bool = False,
    channels_last: bool = False,
) -> Plan:
    """Return what certifying a data set would take and give, from a few seconds of its votes.

    Parameters
    ----------
    classifier, dataset, n0, n, alpha, radius, norm, lipschitz, futility, certify_label
        As for `certify_dataset`; the run that is planned would have them.
    target_radius, precision, relative_precision
        As for `certify_dataset`. Without a target a few round radii are planned for, where the
        noise is Gaussian; early decisions are then those of all of them. Other noise needs a
        target, in its norm.
    skip, max_inputs, input_range, batch_size, autocast, compile, channels_last
        As for `certify_dataset`.
    probability
        As for `plan_samples`.
    seconds : float
        About how long the pilot may take: all inputs where they fit in, else some at random, 50
        to 1,000 votes each.
    seed : int or sequence of int, optional
        Of the pilot's noise and of what is simulated; the noise is never that of a run.

    Returns
    -------
    Plan
        With `Plan.cost`, as measured here.

    Raises
    ------
    ValueError, TypeError
        As `certify_dataset`.

    Notes
    -----
    *Guarantee*: none, as `plan_samples`: an estimate, of votes and of times. How far off it is in
    trials: ``docs/costs-and-planning.md``. No file is written.

    Examples
    --------
    >>> import torch
    >>> from rsverify import SmoothedClassifier
    >>> from rsverify.smoothing.planning import plan_dataset
    >>> def halves(batch):  # class 1 where the first coordinate is positive
    ...     return torch.stack([-batch[:, 0], batch[:, 0]], dim=1)
    >>> smoothed = SmoothedClassifier(halves, num_classes=2, sigma=0.5)
    >>> data = torch.tensor([[1.0, 0.0], [0.5, 0.0], [0.1, 0.0]]), torch.tensor([1, 1, 1])
    >>> plan = plan_dataset(smoothed, data, target_radius=0.25, n=1000, seconds=0.2, seed=0)
    >>> plan.inputs, plan.passes, plan.early.passes < 600
    (3, 3303, True)
    """
    request = Request(
        n0=n0,
        n=n,
        alpha=alpha,
        radius=radius,
        norm=norm,
        lipschitz=lipschitz,
        target_radius=target_radius,
        precision=precision,
        relative_precision=relative_precision,
        futility=futility,
    )
    return plan_request(
        classifier,
        dataset,
        request,
        certify_label=certify_label,
        probability=probability,
        seconds=seconds,
        seed=seed,
        skip=skip,
        max_inputs=max_inputs,
        input_range=input_range,
        batch_size=batch_size,
        execution=Execution(
            autocast=autocast,
            compiled=check_flag("compile", compile),
            channels_last=check_flag("channels_last", channels_last),
        ),
    )


def plan_request(
    classifier: SmoothedClassifier,
    dataset: object,
    request: Request,
    *,
    certify_label: bool,
    probability: float,
    seconds: float,
    seed: Seed,
    skip: int,
    max_inputs: int | None,
    input_range: tuple[float, float] | None,
    batch_size: int | None,
    execution: Execution,
    clock: Clock = time.perf_counter,
) -> Plan:
    """Return what `plan_dataset` does, for a request that is made already."""
    if not isinstance(classifier, SmoothedClassifier):
        raise TypeError(f"classifier={shown(classifier)} must be a SmoothedClassifier")
    if request.of_scores:
        raise ValueError(
            f"bound={request.bound!r} must be one of votes: plans are about numbers of votes"
        )
    check_autocast(execution.autocast)
    budget = float(check_positive("seconds", seconds))
    noise = classifier.noise
    items = Items(
        dataset, classifier.num_classes, input_range=input_range, tokens=noise.takes_tokens
    )
    wanted = range(0, len(items), check_size("skip", skip))
    if max_inputs is not None:
        wanted = wanted[: check_size("max_inputs", max_inputs)]
    example = next(items.load(wanted[:1])).x
    request = classifier.resolve(request, example, batch_size=batch_size, progress=False)
    threat = request.threat(noise, example.numel())
    radii = request.target_radius or _round_radii(threat, classifier)
    request.check(classifier.num_classes, noise, 0 if certify_label else None, example.numel())
    began = clock()
    session, size = _tried(classifier, example, execution, batch_size)
    setup = clock() - began
    entropy = check_seed(seed)
    timing = Timing(session, request, example, size, entropy, clock)
    rate = timing.rate(0.3 * budget)
    pilot, overhead = timing.pilot(items, wanted, budget * rate, rate, certify_label=certify_label)
    start = int(np.random.default_rng([*parts_of(entropy), PILOT]).integers(2**31))
    plan = plan_samples(
        pilot=pilot,
        target_radius=radii,
        alpha=request.alpha,
        noise=threat.noise,
        norm=threat.norm,
        dimension=threat.dimension,
        radius=request.radius,
        lipschitz=request.constant,
        n=request.n,
        n0=0 if certify_label else request.n0,
        inputs=len(wanted),
        probability=probability,
        early=False,
        seed=start,
    )
    if request.ignore or request.top_k > 1:
        plan = replace(plan, source=plan.source + EVERY_RIVAL)
    early = _early(plan, request, classifier, threat, pilot, size, start)
    decided = 0.0
    if early is not None:
        if not request.stops_early:  # what it would be with the radii that are planned for
            timing = replace(timing, request=replace(request, target_radius=plan.target_radii))
        decided = timing.early_overhead(
            items, wanted, rate, 0.3 * budget, early.looks, certify_label=certify_label
        )
    cost = Cost(
        device=device_text(classifier.placement(example.dtype)[0]),
        passes_per_second=rate,
        seconds_per_input=overhead + timing.bound(pilot, example.numel()),
        seconds_per_early_input=decided,
        setup=setup,
        batch_size=size,
    )
    return replace(plan, cost=cost, early=early, clean=True)


def _round_radii(threat: Threat, classifier: SmoothedClassifier) -> tuple[float, ...]:
    """Return the radii that are planned for where no target is given."""
    if not threat.is_plain:
        raise ValueError(f"target_radius must be given for noise={threat.noise}")
    return default_radii(classifier.sigma, 0.0)[1:4]


def _tried(
    classifier: SmoothedClassifier,
    example: torch.Tensor,
    execution: Execution,
    batch_size: int | None,
) -> tuple[Session, int]:
    """Return a session whose model was tried and probed, and its batch size."""
    check_placement(classifier.model, classifier.placement(example.dtype)[0])
    session = Session(classifier, example, execution)
    size = session.try_batch_size(None if batch_size is None else check_batch_size(batch_size))
    session.probe(size)
    record_answers(classifier, example, size, execution)
    return session, size


def _early(
    plan: Plan,
    request: Request,
    classifier: SmoothedClassifier,
    threat: Threat,
    pilot: pd.DataFrame,
    batch_size: int,
    seed: int,
) -> EarlyVotes | None:
    """Return what early decisions would take."""
    inputs, _ = pilot_inputs(pilot, None, threat, seed)
    how = Sampling(n=plan.n, n0=plan.n0, batch_size=batch_size, clean=True)
    if not request.of_precision:
        margins = np.array([margin_of_radius(threat, r) for r in plan.target_radii])
        return early_votes(inputs, margins, how, plan.alpha, futility=request.futility, seed=seed)
    rng = np.random.default_rng([seed, 3])
    some = inputs.some(_PRECISION_RUNS)
    looks = schedule(plan.n)
    votes = np.full(len(some), plan.n)
    known = np.zeros(len(some), dtype=bool)
    for i, (p, y) in enumerate(zip(some.shares, some.y, strict=True)):
        path = rng.multinomial(np.diff(looks, prepend=0), p).cumsum(axis=0)
        chosen = rng.multinomial(plan.n0, p) if plan.n0 else None
        first = request.question(
            classifier.noise, None if plan.n0 else int(y), threat.dimension
        ).first
        assert first is not None, "a precision stops"
        found = first(path, chosen)
        if found is not None:
            votes[i], known[i] = looks[found], True
    return summed_up(votes, known[np.newaxis], how)
