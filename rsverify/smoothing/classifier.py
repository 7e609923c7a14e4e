"""A classifier smoothed by Gaussian noise: prediction and certification."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from typing import TypeVar, cast

import numpy as np
import torch
from scipy.stats import binomtest

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_choice,
    check_scale,
    shown,
)
from rsverify._core.check import (
    check_size as _check_size,
)
from rsverify._core.types import Auto, BoundName, NoiseName, OrderingName, RadiusName, ScoreMapName
from rsverify.bounds.margin import Taylor
from rsverify.certificates.assumptions import warn_of_level
from rsverify.certificates.certificate import ABSTAIN, Certificate
from rsverify.certificates.scores import ScoreCertificate, certify_columns, choose_class
from rsverify.smoothing.batches import Scores, count_votes, evaluating, noisy_batches
from rsverify.smoothing.data.inputs import (
    LARGEST_CLASSES,
    Input,
    Seed,
    check_batch_size,
    check_finite,
    check_input,
    check_seed,
    check_size,
)
from rsverify.smoothing.device import Arriving, DeviceContext, choose_device, has_float64
from rsverify.smoothing.lipschitz.bound import scores_lipschitz_bound
from rsverify.smoothing.lipschitz.comparison import Sample
from rsverify.smoothing.noise.discrete import DiscreteGaussian
from rsverify.smoothing.noise.gaussian import (
    COUNTS,
    ESTIMATION,
    PREDICTION,
    SELECTION,
    Gaussian,
    Noise,
    seeded_generator,
)
from rsverify.smoothing.outputs import scores_in
from rsverify.smoothing.probing.probe import Probes, Subject
from rsverify.smoothing.request import Question, Request, level_of
from rsverify.smoothing.sampling.forward import Forward
from rsverify.smoothing.sampling.job import Job
from rsverify.smoothing.sampling.scores import queue_columns, queue_scores
from rsverify.smoothing.score_maps import score_map

__all__ = ["SmoothedClassifier"]

Progress = Callable[[int], None]
T = TypeVar("T")


class SmoothedClassifier:
    r"""The classifier x ↦ argmax_k P(model(x + ε) = k), ε ~ N(0, σ²I) [1]_.

    Parameters
    ----------
    model : torch.nn.Module or callable
        Maps a batch (b, \*input shape) to scores (b, num_classes), the largest of which is
        the vote; of tied scores the lowest class wins. Of a larger output the part ``logits`` is
        taken, else the only part of that shape. Each row's scores must depend on that
        row alone, and be the same again: it is probed before votes count, see Notes. A module
        is used in evaluation mode, where it is, and left as found.
    num_classes : int
        Number of classes, at least 2.
    sigma : float
        Standard deviation of the noise, positive, in the units of the input as given to
        `predict` and `certify`.
    preprocess : callable, optional
        Applied to each noisy batch before the model: normalization, resizing. Noise is added
        before it, so that `sigma` and the radii are in input units.
    device : torch.device or str, optional
        Where to sample; ``"auto"`` for a GPU if there is one. By default where the model's
        parameters or buffers are when called, and the CPU for a callable without any. The
        model itself is never moved.
    dtype : torch.dtype, optional
        Floating type of the batches given to `preprocess` and the model. By default that of
        the model's parameters or buffers, else that of the input. Noise is drawn and added in
        float64 where this is float64, and in float32 otherwise.
    noise : {"gaussian", "discrete"}
        ``"gaussian"`` draws and adds floats: fast, customary, and not sound for every model
        (see Notes). ``"discrete"`` smooths the model after rounding to a lattice, exactly.
    lattice : Fraction or float, optional
        For discrete noise: step of the lattice that inputs lie on, such as ``1/255``; see
        `rsverify.smoothing.noise.discrete.DiscreteGaussian`.

    Raises
    ------
    ValueError
        If `num_classes`, `sigma` or `lattice` is out of range, `dtype` is not a floating type,
        `device` is not on this machine, or `noise` is unknown or does not go with `lattice`.
    TypeError
        If an argument has the wrong type.

    Notes
    -----
    The first sample for inputs of a shape, and for larger batches, probes the model: a few noisy
    inputs are put to it again, in other order and company, alone and in batches of other sizes,
    and a model whose rows depend on each other, or that does not repeat its answers, is refused
    by a `ValueError` that names the layer; see `rsverify.smoothing.probing.probe`. A certificate's
    ``probed`` says what was done.

    The guarantees are those of exact Gaussian noise. Where floats are drawn and added, the sum
    of an input and noise is rounded and can tell by its low bits which input it came from. A
    model that looks at them gets certificates that are wrong, however large n is [2]_: a
    model built to do so, or one that is chaotic in its last digits. Nothing bounds the effect
    for a model at hand. With ``noise="discrete"`` they hold for the numbers computed, for the
    classifier x ↦ argmax_k P(model(Q(x + ε)) = k) where Q rounds to the lattice. Inputs must
    lie on the lattice, and the certificate is about the lattice point; noisy inputs are not
    clamped to the range of images, as with Gaussian noise. It assumes fair random bits and a
    model that answers the same for the same floats.

    References
    ----------
    .. [1] Cohen, Rosenfeld and Kolter, *Certified adversarial robustness via randomized
       smoothing*, ICML 2019.
    .. [2] Voráček and Hein, *Sound randomized smoothing in floating-point arithmetic*,
       ICLR 2023.

    Examples
    --------
    >>> import torch
    >>> from rsverify import SmoothedClassifier
    >>> def halves(batch):  # class 1 where the first coordinate is positive
    ...     return torch.stack([-batch[:, 0], batch[:, 0]], dim=1)
    >>> smoothed = SmoothedClassifier(halves, num_classes=2, sigma=0.5)
    >>> smoothed.predict(torch.tensor([1.0, 0.0]), n=100, seed=0)
    1
    >>> certificate = smoothed.certify(torch.tensor([1.0, 0.0]), n=1000, seed=0)
    >>> certificate.prediction, 0.7 < certificate.radius < 1.0  # the exact radius is 1
    (1, True)
    >>> sound = SmoothedClassifier(halves, 2, sigma=0.5, noise="discrete", lattice=1 / 255)
    >>> sound.certify(torch.tensor([51 / 255, 0.0]), n=1000, seed=0).prediction
    1
    """

    def __init__(
        self,
        model: Scores,
        num_classes: int,
        sigma: float,
        *,
        preprocess: Callable[[torch.Tensor], torch.Tensor] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        noise: NoiseName = "gaussian",
        lattice: Fraction | float | None = None,
    ) -> None:
        if not callable(model):
            raise TypeError(f"model={shown(model)} must be a torch.nn.Module or a callable")
        if preprocess is not None and not callable(preprocess):
            raise TypeError(f"preprocess={shown(preprocess)} must be a callable or None")
        if dtype is not None and not isinstance(dtype, torch.dtype):
            raise TypeError(f"dtype={shown(dtype)} must be a torch.dtype or None")
        if dtype is not None and not dtype.is_floating_point:
            raise ValueError(f"dtype={dtype} must be a floating type")
        self.model = model
        self.num_classes = _check_size("num_classes", num_classes, 2, LARGEST_CLASSES)
        self.sigma = check_scale("sigma", sigma)
        self.preprocess = preprocess
        self.device = None if device is None else choose_device(device)
        self.dtype = dtype
        self.noise = _noise(noise, self.sigma, lattice)
        self._probes = Probes()

    def __repr__(self) -> str:
        name = getattr(self.model, "__name__", type(self.model).__name__)
        kind = "" if isinstance(self.noise, Gaussian) else f", noise={self.noise}"
        return (
            f"SmoothedClassifier({name}, num_classes={self.num_classes}, sigma={self.sigma:g}"
            f"{kind})"
        )

    def counts(
        self,
        x: Input,
        *,
        n: int,
        batch_size: int = 256,
        seed: Seed = None,
        progress: Progress | None = None,
    ) -> IntArray:
        r"""Return how many of `n` noisy copies of `x` the model assigns to each class.

        Parameters
        ----------
        x : Tensor or ndarray of float
            One input, without a batch dimension; all values finite.
        n : int
            Number of noisy copies, at least 1.
        batch_size : int
            How many go through the model at once. At most one batch of noisy inputs, and a
            block of noise of 4 MB or one input, are held at a time, and 8 noisy inputs
            more while the model is probed (see Notes of the class).
        seed : int or sequence of int, optional
            The same seed, input, n and model of device give the same noise, whatever the batch;
            fresh entropy where None. Counts that choose a class and counts that certify it
            must come from different seeds.
        progress : callable, optional
            Called after each batch with its size.

        Returns
        -------
        ndarray of int64, shape (num_classes,)
            Votes; their sum is n.

        Raises
        ------
        ValueError
            If `x` is empty or not finite, a size is out of range, or the model returns NaN
            or scores of the wrong shape.
        TypeError
            If an argument has the wrong type, or the model returns no tensor.
        """
        return self._sample(x, n, batch_size, check_seed(seed), COUNTS, progress)

    def scores(
        self,
        x: Input,
        *,
        n: int,
        batch_size: int = 256,
        scores: ScoreMapName = "softmax",
        temperature: float = 1.0,
        seed: Seed = None,
        progress: Progress | None = None,
    ) -> FloatArray:
        r"""Return the scores that the model gives `n` noisy copies of `x`.

        Parameters
        ----------
        x, n, batch_size, seed, progress
            As for `counts`; the noise is the same for the same seed.
        scores, temperature
            As for `certify`.

        Returns
        -------
        ndarray of float64, shape (n, num_classes)
            Rows on the simplex. All of them are held: for a bound of scores alone, `certify`
            keeps only the columns that matter.

        Raises
        ------
        ValueError, TypeError
            As for `counts` and `certify`.
        """
        mapped = score_map(scores, temperature)
        with self._batches(x, n, batch_size, check_seed(seed), COUNTS) as (model, batches, device):
            arrived = queue_scores(model, batches, self.num_classes, device, mapped, progress)
        return arrived()

    def predict(
        self,
        x: Input,
        *,
        n: int,
        alpha: float = 1e-3,
        batch_size: int = 256,
        seed: Seed = None,
        progress: Progress | None = None,
    ) -> int:
        r"""Return the class that the smoothed classifier assigns to `x`, or `ABSTAIN` (−1).

        Abstains unless a two-sided exact binomial test at level `alpha` tells the two most
        voted classes apart.

        Parameters
        ----------
        x, batch_size, seed, progress
            As for `counts`.
        n : int
            Number of noisy copies, at least 1.
        alpha : float
            Failure probability, in (0, 1).

        Returns
        -------
        int

        Raises
        ------
        ValueError, TypeError
            As for `counts`, and if `alpha` is outside (0, 1).

        Notes
        -----
        *Guarantee*: with probability at least 1 − alpha over the noise, the result is a most
        probable class of the model under noise or `ABSTAIN` ([1]_, Proposition 1; [2]_). It
        is a statement about `x` alone, not about its neighborhood.

        References
        ----------
        .. [1] Cohen, Rosenfeld and Kolter, *Certified adversarial robustness via randomized
           smoothing*, ICML 2019.
        .. [2] Hung and Fithian, *Rank verification for exponential families*, Annals of
           Statistics, 2019.
        """
        level = level_of(alpha, self.noise)
        warn_of_level(level)
        votes = self._sample(x, n, batch_size, check_seed(seed), PREDICTION, progress)
        return _winner(votes, level)

    def certify(
        self,
        x: Input,
        *,
        n0: int = 100,
        n: int = 100_000,
        alpha: float = 1e-3,
        batch_size: int = 256,
        bound: BoundName = "exact",
        radius: RadiusName = "R2",
        y: int | None = None,
        target_radius: float | None = None,
        futility: float = 0.1,
        lipschitz: float | Auto | None = None,
        ordering: OrderingName | Taylor | None = None,
        scores: ScoreMapName = "softmax",
        temperature: float = 1.0,
        seed: Seed = None,
        progress: Progress | None = None,
    ) -> Certificate:
        r"""Return a certificate that the smoothed classifier is constant around `x`.

        A selection sample of `n0` votes chooses the class, an independent estimation sample
        of `n` votes bounds its margin. For other bounds on the same votes, pass the
        certificate's ``counts`` and ``selection_counts`` to `certify_counts`.

        Parameters
        ----------
        x, batch_size, progress
            As for `counts`.
        n0 : int
            Size of the selection sample, at least 1. Not drawn where `y` is given.
        n : int
            Size of the estimation sample, at least 1; with `target_radius` the largest.
        alpha, radius, ordering
            As for `certify_counts`; with a bound of scores as for `certify_scores`.
        lipschitz : float or "auto", optional
            For R1: an ℓ2 Lipschitz constant, used where it is better than the smoothing's own.
            Of x ↦ mean scores with a bound of scores: that of the scores, as smoothing does not
            increase it. Of x ↦ vote probabilities with a bound of votes: the network's own
            constant is *not* one, as votes jump where scores do not. ``"auto"`` finds it: for
            scores from `preprocess`, model and map by `rsverify.smoothing.lipschitz.bound`; for
            votes there is none but the smoothing's, which is then used.
        bound : str
            ``"exact"``, ``"bonferroni"`` or ``"cohen"`` certify the class that wins most
            votes, from counts. ``"betting"`` and the other names of `certify_scores` certify
            the class of the largest mean score, which may be another one.
        y : int, optional
            The class to certify, fixed before sampling: the true label, say. A bound of
            scores draws the selection sample nevertheless, to choose its slopes.
        target_radius : float, optional
            Ask whether the radius is at least this, and stop sampling at the
            decision. The result is an `EarlyCertificate`; `bound` and `ordering` must keep
            their defaults, as the bound is then the anytime one, also without an answer.
        futility : float
            With `target_radius`: stop for futility as soon as the probability of a decision
            within `n` votes is about this or less; 0 for never. So at most about this share of
            the inputs stopped would have been decided, and no decision becomes less certain.
        scores : {"softmax", "sparsemax", "hardmax", "identity"}
            For a bound of scores: the map from the model's output to the simplex;
            ``"identity"`` for a model that ends in one of its own.
        temperature : float
            For a bound of scores: what the model's output is divided by before the map.
        seed : int or sequence of int, optional
            As for `counts`. The estimation sample of a seed is the same with and without `y`.
            Where None, the fresh entropy is kept in the certificate's ``seed``.

        Returns
        -------
        Certificate
            A `ScoreCertificate` for a bound of scores, an `EarlyCertificate` for a target.

        Raises
        ------
        ValueError, TypeError
            As for `counts` and `certify_counts`, and for ``lipschitz="auto"`` as
            `rsverify.smoothing.lipschitz.bound.lipschitz_bound`; all before sampling.

        Notes
        -----
        *Guarantee*: with probability at least 1 − alpha over the noise, if the certificate
        does not abstain then the smoothed classifier predicts `prediction` at every point
        closer than `radius` to `x`, in ℓ2. It is stated for exact Gaussian noise, and holds
        as computed, for the lattice point x, where the classifier's noise is discrete: at
        every point closer than `radius`, but with `lipschitz` at every such lattice point, as
        rounding keeps a Lipschitz constant of scores between lattice points alone.
        """
        started = time.perf_counter()
        entropy = check_seed(seed)
        request = Request(
            n0=n0,
            n=n,
            alpha=alpha,
            bound=bound,
            radius=radius,
            lipschitz=lipschitz,
            ordering=ordering,
            scores=scores,
            temperature=temperature,
            target_radius=target_radius,
            futility=futility,
        )
        n0, n, batch_size = request.n0, request.n, check_batch_size(batch_size)
        request = self.resolve(request, x, batch_size=batch_size)
        request.check(self.num_classes, self.noise, y)
        if request.of_scores:
            steps = self.score_steps(x, request, y, batch_size, entropy, progress)
            soft, seconds = last_step(steps), time.perf_counter() - started
            return replace(soft, seconds=seconds, probed=self._probes.text)
        question = request.question(self.noise, y)
        selected = None
        if y is None:
            selected = self._sample(x, n0, batch_size, entropy, SELECTION, progress)
        if question.first is not None:
            found = self._decide(x, n, selected, batch_size, entropy, question, progress)
        else:
            votes = self._sample(x, n, batch_size, entropy, ESTIMATION, progress)
            found = question.finish(votes, selected)
        seconds = time.perf_counter() - started
        return replace(found, seed=entropy, seconds=seconds, probed=self._probes.text)

    def resolve(
        self,
        request: Request,
        x: Input,
        *,
        batch_size: int | None = None,
        progress: bool = True,
    ) -> Request:
        """Return `request` with a number, or None, for ``lipschitz="auto"``.

        The model is tried in the batches that this size makes, beside others.
        Progress is shown on a terminal where it takes over a second.
        """
        if not isinstance(request.lipschitz, str):
            return request
        check_choice("lipschitz", request.lipschitz, ["auto"])
        if request.radius == "R2":
            raise ValueError("lipschitz='auto' must be None for radius='R2': only R1 has one")
        if not request.of_scores:
            return replace(request, lipschitz=None)  # votes jump
        score_map(request.scores, request.temperature)  # raises where they are out of range
        source = check_input(x)
        device, dtype = self.placement(source.dtype)
        sample = Sample(source.to(dtype).to(device), self.sigma, request.batch_sizes(batch_size))
        found = scores_lipschitz_bound(
            self.model, self.preprocess, sample, request.scores, request.temperature, progress
        )
        return replace(request, lipschitz=found)

    def score_steps(
        self,
        x: Input,
        request: Request,
        y: int | None,
        batch_size: int,
        entropy: int | tuple[int, ...],
        progress: Progress | None = None,
    ) -> Generator[None, None, ScoreCertificate]:
        """Return the certificate of a bound of scores, pausing before each wait for the device."""
        classes = self.num_classes
        options, mapped = request.score_options(self.noise)
        if y is not None:
            choose_class(None, y, classes)  # raises where y is not a class, before sampling
        with self._batches(x, request.n0, batch_size, entropy, SELECTION) as (model, batches, at):
            selection = queue_scores(model, batches, classes, at, mapped, progress)
        yield
        chosen = selection()
        label, plan = choose_class(chosen, y, classes)
        with self._batches(x, request.n, batch_size, entropy, ESTIMATION) as (model, batches, at):
            sample = queue_columns(
                model,
                batches,
                classes,
                at,
                mapped,
                n=request.n,
                y=label,
                plan=plan,
                progress=progress,
            )
        yield
        found = certify_columns(sample(), label, plan, chosen, options)
        return replace(
            found, alpha=float(request.alpha), noise_excess=self.noise.excess, seed=entropy
        )

    def _decide(
        self,
        x: Input,
        n: int,
        selected: IntArray | None,
        batch_size: int,
        entropy: int | tuple[int, ...],
        question: Question,
        progress: Progress | None,
    ) -> Certificate:
        """Sample until a scheduled look at the votes answers the question, or to the end."""
        job = Job(self.num_classes, 0, n, question, selected)
        with self._batches(x, n, batch_size, entropy, ESTIMATION) as (scores_of, batches, device):
            votes_of, context = Forward(scores_of, self.num_classes, device), DeviceContext(device)
            # One batch ahead, so that the device has work while the host looks at votes.
            waiting: deque[Arriving] = deque()
            for batch in batches:
                waiting.append(context.fetch(votes_of(batch)))
                if progress is not None:
                    progress(len(batch))
                if len(waiting) > context.asynchronous:
                    job.absorb(waiting.popleft().numpy())
                if job.certificate is not None:
                    break
            while job.certificate is None:
                job.absorb(waiting.popleft().numpy())
        return job.certificate

    def _sample(
        self,
        x: Input,
        n: int,
        batch_size: int,
        entropy: int | tuple[int, ...],
        stream: int,
        progress: Progress | None,
    ) -> IntArray:
        with self._batches(x, n, batch_size, entropy, stream) as (scores_of, batches, device):
            return count_votes(scores_of, batches, self.num_classes, device, progress)

    @contextmanager
    def _batches(
        self, x: Input, n: int, batch_size: int, entropy: int | tuple[int, ...], stream: int
    ) -> Iterator[tuple[Scores, Iterator[torch.Tensor], torch.device]]:
        """Give the body the model on noisy batches, the batches and their device."""
        n = check_size("n", n)
        batch_size = check_batch_size(batch_size)
        center, scores_of = self.center(x)
        generator = seeded_generator(entropy, stream, center.device)
        context = DeviceContext(center.device)
        with context.active(), evaluating(self.model, self.preprocess):
            self._probes.probe(self.subject(scores_of), self.noise, center, min(batch_size, n))
            batches = noisy_batches(self.noise, center, n, batch_size, generator=generator)
            yield scores_of, batches, center.device

    def subject(self, scores_of: Scores) -> Subject:
        """Return what is probed of the model."""
        return Subject(
            model=self.model,
            preprocess=self.preprocess,
            scores_of=scores_of,
            num_classes=self.num_classes,
        )

    def center(self, x: Input) -> tuple[torch.Tensor, Scores]:
        """Return `x` checked, where and as noise is added to it, and the model on such batches."""
        source = check_input(x)
        device, dtype = self.placement(source.dtype)
        noise_dtype = torch.float64 if dtype == torch.float64 else torch.float32

        def scores_of(batch: torch.Tensor) -> torch.Tensor:
            batch = batch.to(dtype)
            output = self.model(batch if self.preprocess is None else self.preprocess(batch))
            # Checked where it is used, for what it is.
            return cast(torch.Tensor, scores_in(output, self.num_classes, len(batch)))

        # Checked on the host: each answer that is read from another device waits for it.
        center = check_finite(self.noise.center(check_finite(source.cpu()), noise_dtype))
        return DeviceContext(device).send(center), scores_of

    def placement(self, input_dtype: torch.dtype) -> tuple[torch.device, torch.dtype]:
        """Return the device and floating type of batches: as given, else the model's."""
        tensors: list[torch.Tensor] = []
        if isinstance(self.model, torch.nn.Module):
            tensors = [*self.model.parameters(), *self.model.buffers()]
        named = self.device or next((t.device for t in tensors), torch.device("cpu"))
        device = choose_device(named)
        floating = (t.dtype for t in tensors if t.is_floating_point())
        dtype = self.dtype or next(floating, input_dtype)
        if dtype == torch.float64 and not has_float64(device):
            if self.dtype is not None:
                raise ValueError(
                    f"dtype={dtype} must be torch.float32 on {device}, which has no other"
                )
            dtype = torch.float32
        return device, dtype


def last_step(steps: Generator[None, None, T]) -> T:
    """Return what a generator returns when it is done."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            result: T = end.value
            return result


def _noise(kind: NoiseName, sigma: float, lattice: Fraction | float | None) -> Noise:
    check_choice("noise", kind, ("gaussian", "discrete"))
    if (kind == "discrete") != (lattice is not None):
        raise ValueError(
            f"lattice={shown(lattice)} does not go with noise={kind!r}: discrete noise needs the "
            "step of the lattice that inputs lie on, such as 1/255, and no other noise has one"
        )
    return Gaussian(sigma) if lattice is None else DiscreteGaussian(sigma, lattice)


def _winner(votes: IntArray, alpha: float) -> int:
    """Return the most voted class if it is significantly ahead of the second, else ABSTAIN."""
    order = np.argsort(-votes, kind="stable")
    first, second = int(votes[order[0]]), int(votes[order[1]])
    p_value = binomtest(first, first + second, 0.5).pvalue
    # The computed p-value is within a relative 1e-10 of the exact one: err on the safe side.
    return int(order[0]) if p_value * (1 + 1e-10) <= alpha else ABSTAIN
