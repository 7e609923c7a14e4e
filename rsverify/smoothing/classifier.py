"""A classifier smoothed by noise: prediction and certification."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction

import numpy as np
import torch

from rsverify._core.check import (
    FloatArray,
    IntArray,
    check_choice,
    check_size,
    shown,
)
from rsverify._core.progress import ProgressOption, check_progress
from rsverify._core.text import number_text
from rsverify._core.types import Auto, BoundName, NoiseName, OrderingName, RadiusName, ScoreMapName
from rsverify.bounds.margin import Taylor
from rsverify.certificates.assumptions import warn_of_level
from rsverify.certificates.certificate import ABSTAIN, Certificate
from rsverify.noise import Noise, Norm
from rsverify.smoothing.batches import Scores
from rsverify.smoothing.data.fingerprint import check_made
from rsverify.smoothing.data.inputs import (
    LARGEST_CLASSES,
    Input,
    Seed,
    check_batch_size,
    check_input,
    check_seed,
)
from rsverify.smoothing.device import choose_device
from rsverify.smoothing.lipschitz.bound import scores_lipschitz_bound
from rsverify.smoothing.lipschitz.comparison import Sample
from rsverify.smoothing.noise.choose import sampler_of
from rsverify.smoothing.noise.gaussian import COUNTS, PREDICTION, Gaussian
from rsverify.smoothing.noise.removal import Mask, Shorten
from rsverify.smoothing.outputs import check_takes_numbers
from rsverify.smoothing.request import Request, level_of
from rsverify.smoothing.sampling.asked import Asked
from rsverify.smoothing.sampling.sampled import Sampled
from rsverify.smoothing.sampling.session import Session
from rsverify.smoothing.score_maps import score_map

__all__ = ["SmoothedClassifier"]


class SmoothedClassifier(Sampled):
    r"""The classifier x ↦ argmax_k P(model(x + ε) = k), ε ~ N(0, σ²I) [1]_, or other noise.

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
    sigma : float, optional
        Standard deviation of Gaussian noise, positive, in the units of the input as given to
        `predict` and `certify`: short for ``noise=Gaussian(sigma)``. Exactly one of `sigma` and a
        noise of `rsverify.noise` must be given.
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
    noise : Noise or {"gaussian", "discrete"}
        What is done to an input before a vote, such as ``Uniform(0.5)``, of `rsverify.noise`. With
        `sigma`, ``"gaussian"`` draws and adds floats: fast, customary, and not sound for every
        model (see Notes), and ``"discrete"`` smooths the model after rounding to a lattice,
        exactly.
    lattice : Fraction or float, optional
        For discrete noise, and for a Gaussian or Laplace noise that is to be so: step of the
        lattice that inputs lie on, such as ``1/255``; see
        `rsverify.smoothing.noise.discrete.DiscreteGaussian`.
    mask : float, array_like or callable, optional
        For ablation noise: what the model sees in the place of hidden entries, one number, one
        for each channel, or an array of the shape of an input; of token numbers the mask token.
        For deletion noise: the token that fills up at its end what is left of a row; or a callable
        from a batch of token numbers, −1 where one is dropped, to what `preprocess`, if there
        is any, or the model takes.
    channel_axis : int, optional
        For ablation noise: axis of an input along which numbers are hidden together, 0 for the
        channels of an image, whose entries are then its pixels.

    Raises
    ------
    ValueError
        If `num_classes`, `sigma` or `lattice` is out of range, `dtype` is not a floating type,
        `device` is not on this machine, or `noise` is unknown or does not go with `sigma`,
        `lattice`, `mask` or `channel_axis`.
    TypeError
        If an argument has the wrong type.

    Notes
    -----
    The first sample for inputs of a shape, for larger batches, and of a model whose flags, numbers,
    functions or hooks were changed since, probes the model: a few noisy inputs are put to it
    again, in other order and company, alone and in batches of other sizes, and a model whose rows
    depend on each other, or that does not repeat its answers, is refused by a `ValueError` that
    names the layer; see `rsverify.smoothing.probing.probe`. A certificate's
    ``probed`` says what was done.

    The guarantees are those of exact noise. Of uniform, splitting, ablation and deletion noise
    they hold as computed (see "Sound sampling" in the documentation). Where floats are drawn
    and added, the sum of an input and noise is rounded and can tell by its low bits which input
    it came from. A model that looks at them gets certificates that are wrong, however large n
    is [2]_: a model built to do so, or one that is chaotic in its last digits. Nothing bounds
    the effect for a model at hand. With ``noise="discrete"`` they hold for the numbers
    computed, for the classifier x ↦ argmax_k P(model(Q(x + ε)) = k) where Q rounds to the
    lattice. Inputs must lie on the lattice, and the certificate is about the lattice point;
    noisy inputs are not clamped to the range of images, as with Gaussian noise. It assumes fair
    random bits and a model that answers the same for the same floats.

    Radii in edit distance are also about longer inputs. So a model smoothed by deletion is asked
    about longer rows with the same tokens left, and is refused if it gives other scores: it must
    not see how much was filled up.

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
    >>> from rsverify.noise import Uniform
    >>> boxed = SmoothedClassifier(halves, 2, noise=Uniform(1.0))
    >>> print(boxed.certify(torch.tensor([0.5, 0.0]), n=1000, seed=0))  # the exact radius is 0.5
    class 1 within 0.3797 in l1 (exact bound, 735 of 1000 votes, alpha=0.001, uniform:1)
    """

    def __init__(
        self,
        model: Scores,
        num_classes: int,
        sigma: float | None = None,
        *,
        preprocess: Callable[[torch.Tensor], torch.Tensor] | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        noise: NoiseName | Noise = "gaussian",
        lattice: Fraction | float | None = None,
        mask: Mask | Shorten | None = None,
        channel_axis: int | None = None,
    ) -> None:
        if not callable(model):
            raise TypeError(f"model={shown(model)} must be a torch.nn.Module or a callable")
        if isinstance(model, torch.nn.Module):
            check_made(model)
        sampler = sampler_of(
            noise, sigma=sigma, lattice=lattice, mask=mask, channel_axis=channel_axis
        )
        if not sampler.takes_tokens:
            check_takes_numbers(model)
        if preprocess is not None and not callable(preprocess):
            raise TypeError(f"preprocess={shown(preprocess)} must be a callable or None")
        if dtype is not None and not isinstance(dtype, torch.dtype):
            raise TypeError(f"dtype={shown(dtype)} must be a torch.dtype or None")
        if dtype is not None and not dtype.is_floating_point:
            raise ValueError(f"dtype={dtype} must be a floating type")
        classes = check_size("num_classes", num_classes, 2, LARGEST_CLASSES)
        super().__init__(
            model,
            classes,
            sampler,
            preprocess=preprocess,
            device=None if device is None else choose_device(device),
            dtype=dtype,
        )

    def __repr__(self) -> str:
        name = getattr(self.model, "__name__", type(self.model).__name__)
        if self.noise.sigma is None:
            kind = f"noise={self.noise.distribution.brief}"
        else:
            kind = f"sigma={number_text(self.sigma)}"
            kind += "" if isinstance(self.noise, Gaussian) else f", noise={self.noise}"
        return f"SmoothedClassifier({name}, num_classes={self.num_classes}, {kind})"

    @property
    def sigma(self) -> float:
        """The standard deviation of Gaussian noise in input units; NaN for other noise."""
        return math.nan if self.noise.sigma is None else self.noise.sigma

    def counts(
        self,
        x: Input,
        *,
        n: int,
        batch_size: int = 256,
        seed: Seed = None,
        progress: ProgressOption = None,
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
        progress : bool, callable or object, optional
            True shows how far the run is, how fast, and how long it still takes: a bar on a
            terminal, a line in a notebook, elsewhere log lines of runs of more than 5 seconds.
            None, the default, does so only where the run takes longer, as estimated after its
            first batch; False never. A callable is called after each batch with its size; an object
            with the methods ``show(update)`` and ``close()`` is given each
            `rsverify._core.progress.ProgressUpdate`.

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
        shown = check_progress(progress)
        size, batch = check_size("n", n), check_batch_size(batch_size)
        return Session(self, x).counts(size, batch, check_seed(seed), COUNTS, shown)

    def scores(
        self,
        x: Input,
        *,
        n: int,
        batch_size: int = 256,
        scores: ScoreMapName = "softmax",
        temperature: float = 1.0,
        seed: Seed = None,
        progress: ProgressOption = None,
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
        mapped, shown = score_map(scores, temperature), check_progress(progress)
        size, batch = check_size("n", n), check_batch_size(batch_size)
        return Session(self, x).scores(size, batch, check_seed(seed), mapped, shown)

    def predict(
        self,
        x: Input,
        *,
        n: int,
        alpha: float = 1e-3,
        batch_size: int = 256,
        seed: Seed = None,
        progress: ProgressOption = None,
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
        shown = check_progress(progress)
        size, batch = check_size("n", n), check_batch_size(batch_size)
        votes = Session(self, x).counts(size, batch, check_seed(seed), PREDICTION, shown)
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
        norm: Norm | None = None,
        y: int | None = None,
        target_radius: float | Sequence[float] | None = None,
        precision: float | None = None,
        relative_precision: float | None = None,
        futility: float = 0.1,
        ignore: Sequence[int] = (),
        top_k: int = 1,
        lipschitz: float | Auto | None = None,
        ordering: OrderingName | Taylor | None = None,
        scores: ScoreMapName = "softmax",
        temperature: float = 1.0,
        seed: Seed = None,
        progress: ProgressOption = None,
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
            Size of the selection sample, at least 1. Not drawn where `y` is given and `top_k` is 1.
        n : int
            Size of the estimation sample, at least 1; with `target_radius` the largest.
        alpha, radius, norm, ordering
            As for `certify_counts`; with a bound of scores as for `certify_scores`. The
            number of an input's numbers, which some norms need, is known from `x`.
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
        target_radius : float or sequence of float, optional
            Ask whether the radius is at least this, and stop sampling at the
            decision. The result is an `EarlyCertificate`; `bound` and `ordering` must keep
            their defaults, as the bound is then the anytime one, also without an answer. Of
            several radii each is decided, from the same votes and at the one alpha, and sampling
            stops when none is open: the result is a `RadiiCertificate`.
        precision : float, optional
            Stop sampling when the radius is known within this width, in input units: the largest
            that the votes leave less the certified one. The result is an
            `IntervalCertificate`, with both ends; `bound` and `ordering` as with a target.
        relative_precision : float, optional
            The same, for a width of at most this share of the upper end, in (0, 1).
        futility : float
            With `target_radius`: stop for futility as soon as the probability of a decision
            within `n` votes is about this or less, at each target that is open; 0 for never. So at
            most about this share of the inputs stopped would have been decided, and no decision
            becomes less certain.
        ignore : sequence of int
            Classes fixed beforehand that are no runner-up, as *unknown* or *refused* may be, also
            of an early decision: what is certified is the answer among the others.
        top_k : int
            Certify that the class stays among so many most probable ones: the top_k − 1 other
            classes with the most selection votes may be ahead of it.
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
            A `ScoreCertificate` for a bound of scores, an `EarlyCertificate` for a target, a
            `RadiiCertificate` for several, an `IntervalCertificate` for a precision.

        Raises
        ------
        ValueError, TypeError
            As for `counts` and `certify_counts`, and for ``lipschitz="auto"`` as
            `rsverify.smoothing.lipschitz.bound.lipschitz_bound`; all before sampling.

        Notes
        -----
        *Guarantee*: with probability at least 1 − alpha over the noise, if the certificate
        does not abstain then the smoothed classifier predicts `prediction` at every point
        closer than `radius` to `x`, in `norm`; at every one at most so many changes away, where
        radii are whole numbers. It is stated for exact noise, and holds as computed, for the
        lattice point x, where the classifier's noise is drawn on a lattice (see the class): at
        every point closer than `radius`, but with `lipschitz` at every such lattice point, as
        rounding keeps a Lipschitz constant of scores between lattice points alone.
        """
        started = time.perf_counter()
        entropy, shown = check_seed(seed), check_progress(progress)
        request = Request(
            n0=n0,
            n=n,
            alpha=alpha,
            bound=bound,
            radius=radius,
            norm=norm,
            lipschitz=lipschitz,
            ordering=ordering,
            scores=scores,
            temperature=temperature,
            target_radius=target_radius,
            precision=precision,
            relative_precision=relative_precision,
            futility=futility,
            ignore=ignore,
            top_k=top_k,
        )
        batch = check_batch_size(batch_size)
        request = self.resolve(request, x, batch_size=batch, progress=shown is not False)
        numbers = check_input(x, tokens=self.noise.takes_tokens).numel()
        request.check(self.num_classes, self.noise, y, numbers)
        asked = Asked(x, entropy, y, started=started)
        return Session(self, x).certify(request, asked, batch, shown)

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


def _winner(votes: IntArray, alpha: float) -> int:
    """Return the most voted class if it is significantly ahead of the second, else ABSTAIN."""
    from scipy.stats import binomtest  # a third of a second, and not needed to certify

    order = np.argsort(-votes, kind="stable")
    first, second = int(votes[order[0]]), int(votes[order[1]])
    p_value = binomtest(first, first + second, 0.5).pvalue
    # The computed p-value is within a relative 1e-10 of the exact one: err on the safe side.
    return int(order[0]) if p_value * (1 + 1e-10) <= alpha else ABSTAIN
