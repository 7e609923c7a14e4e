"""From what a user says of the noise to what draws it."""

from __future__ import annotations

from fractions import Fraction
from typing import cast

from rsverify import noise as distributions
from rsverify._core.check import check_choice, check_integer, check_number, check_scale, shown
from rsverify._core.types import NoiseName
from rsverify.noise import Noise
from rsverify.smoothing.noise.discrete import DiscreteGaussian, DiscreteLaplace
from rsverify.smoothing.noise.gaussian import Gaussian
from rsverify.smoothing.noise.laplace import LaplaceSampler
from rsverify.smoothing.noise.removal import AblationSampler, DeletionSampler, Mask, Shorten
from rsverify.smoothing.noise.sampler import Sampler
from rsverify.smoothing.noise.uniform import SplittingSampler, UniformSampler


def sampler_of(
    noise: NoiseName | Noise,
    *,
    sigma: float | None,
    lattice: Fraction | float | None,
    mask: Mask | Shorten | None,
    channel_axis: int | None,
) -> Sampler:
    """Return what draws a noise, or raise where the options do not go with it.

    Raises
    ------
    ValueError
        If not exactly one of `sigma` and a noise of `rsverify.noise` is given, or an option is
        missing, out of range, or of another noise.
    TypeError
        If an argument has the wrong type.
    """
    if isinstance(noise, Noise):
        if sigma is not None:
            raise ValueError(
                f"sigma={shown(sigma)} must be left out with noise={noise}: it is short for "
                "noise=Gaussian(sigma)"
            )
        chosen = noise
    else:
        check_choice("noise", noise, ("gaussian", "discrete"))
        if sigma is None:
            raise ValueError(
                "sigma=None must be given, or a noise of rsverify.noise, such as noise=Uniform(0.5)"
            )
        if (noise == "discrete") != (lattice is not None):
            raise ValueError(
                f"lattice={shown(lattice)} does not go with noise={noise!r}: discrete noise needs "
                "the step of the lattice that inputs lie on, such as 1/255, and no other noise "
                "that is named by a string has one"
            )
        chosen = distributions.Gaussian(check_scale("sigma", sigma))
    if isinstance(chosen, distributions.Ablation | distributions.Deletion):
        _check_left_out(chosen, lattice=lattice)
        return _of_removal(chosen, mask, channel_axis)
    _check_left_out(chosen, mask=mask, channel_axis=channel_axis)
    return _of_addition(chosen, lattice)


def _of_addition(noise: Noise, lattice: Fraction | float | None) -> Sampler:
    """Return what draws a noise of numbers."""
    if isinstance(noise, distributions.Gaussian):
        if lattice is None:
            return Gaussian(noise.sigma)
        if not isinstance(noise.sigma, tuple):
            return DiscreteGaussian(noise.sigma, lattice)
    if isinstance(noise, distributions.Laplace):
        if lattice is None:
            return LaplaceSampler(noise)
        return DiscreteLaplace(noise.scale, lattice)
    _check_left_out(noise, lattice=lattice)
    if isinstance(noise, distributions.DiscreteGaussian):
        return DiscreteGaussian(noise.sigma, noise.lattice)
    if isinstance(noise, distributions.Uniform):
        return UniformSampler(noise)
    if isinstance(noise, distributions.Splitting):
        return SplittingSampler(noise)
    raise TypeError(f"noise={shown(noise)} must be one of rsverify.noise, which are those drawn")


def _of_removal(
    noise: distributions.Ablation | distributions.Deletion,
    mask: Mask | Shorten | None,
    channel_axis: int | None,
) -> Sampler:
    """Return what draws a noise that hides entries."""
    if isinstance(noise, distributions.Deletion):
        _check_left_out(noise, channel_axis=channel_axis)
        if mask is None:
            raise ValueError(
                "mask=None must be the token that fills up rows from which tokens are dropped, or "
                "a callable, for deletion noise"
            )
        return DeletionSampler(noise, cast(int | Shorten, mask))
    if mask is None or callable(mask):
        raise ValueError(
            f"mask={shown(mask)} must be what the model sees in the place of hidden entries, for "
            "ablation noise: a number, or one per channel"
        )
    axis = None
    if channel_axis is not None:
        axis = int(check_number("channel_axis", check_integer("channel_axis", channel_axis)))
    return AblationSampler(noise, mask, axis)


def _check_left_out(noise: Noise, **options: object) -> None:
    """Raise where an option is given that the noise does not have."""
    for name, value in options.items():
        if value is not None:
            raise ValueError(
                f"{name}={shown(value)} must be left out for {noise.name} noise, which has none"
            )
