"""A noise from its text, as tables and command lines have it."""

from __future__ import annotations

import inspect

from rsverify._core.check import shown
from rsverify.noise.base import Noise
from rsverify.noise.gaussian import DiscreteGaussian, Gaussian
from rsverify.noise.removal import Ablation, Deletion
from rsverify.noise.taxicab import Laplace, Splitting, Uniform

__all__ = ["parse_noise"]

_NOISES: tuple[type[Noise], ...] = (
    Gaussian,
    DiscreteGaussian,
    Uniform,
    Splitting,
    Laplace,
    Ablation,
    Deletion,
)


def parse_noise(text: str) -> Noise:
    """Return a noise from its text, as ``str(noise)`` writes it, or raise.

    Parameters
    ----------
    text : str
        Its name, a colon and its parameters: ``"uniform:0.5"``, ``"ablation:45,784"``,
        ``"discrete:0.25,1/255"``.

    Raises
    ------
    ValueError
        If there is no such noise, or its parameters are out of range.

    Examples
    --------
    >>> from rsverify.noise import parse_noise
    >>> parse_noise("uniform:0.5")
    Uniform(half_width=0.5)
    """
    kind, _, numbers = text.partition(":")
    found = [noise for noise in _NOISES if noise.name == kind]
    if not found:
        names = ", ".join(f"{noise.name}:…" for noise in _NOISES)
        raise ValueError(f"noise={shown(text)} must be one of {names} with its parameters")
    noise = found[0]
    try:
        values = [_number(number) for number in numbers.split(",")]
        if noise is Gaussian:
            return Gaussian(values[0] if len(values) == 1 else values)
        wanted = inspect.signature(noise).bind(*values).arguments
    except (TypeError, ValueError, ZeroDivisionError):
        form = ",".join(inspect.signature(noise).parameters).upper()
        raise ValueError(
            f"noise={shown(text)} must have its parameters as {noise.name}:{form}, each a number"
        ) from None
    whole = noise is Ablation
    return noise(*(int(v) if whole and v.is_integer() else v for v in wanted.values()))


def _number(text: str) -> float:
    """Return a number, which may be written as a fraction: 1/255."""
    over, slash, under = text.partition("/")
    return float(over) / float(under) if slash else float(over)
