"""What draws noise: an input is centered once, then draws are added to it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import torch

from rsverify.noise import Noise

# Numbers a block, at least one input's. On a CPU a few megabytes; more keep a GPU busy.
_BLOCK_NUMBERS = {"cpu": 2**17}
_BLOCK_NUMBERS_ELSEWHERE = 2**20


class Sampler(ABC):
    """One noise, as it is drawn.

    `center` may raise for inputs that the noise is not made for; it and `blocks` may work in
    units of their own, from which `add` returns to input units.
    """

    excess: float = 0.0
    """What the noise's own error adds to the failure probability of a sample."""
    takes_tokens: bool = False
    """Whether inputs may be integers, as token numbers are."""

    @property
    @abstractmethod
    def distribution(self) -> Noise:
        """What certificates say of the noise."""

    @property
    def sigma(self) -> float | None:
        """The standard deviation of Gaussian noise in input units, where there is one."""
        return None

    def details(self) -> dict[str, object]:
        """Return what else decides the draws, of JSON types."""
        return {}

    @abstractmethod
    def center(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return what draws are added to: `x`, in `dtype` and the units of the draws."""

    @abstractmethod
    def blocks(
        self, shape: Sequence[int], n: int, *, generator: torch.Generator, dtype: torch.dtype
    ) -> Iterator[torch.Tensor]:
        """Yield `n` draws, some at a time; a block may be overwritten by the next one.

        Their sizes follow from `shape`, `n` and the kind of device alone, so that the draws do.
        """

    @abstractmethod
    def add(self, center: torch.Tensor, draws: torch.Tensor, out: torch.Tensor) -> None:
        """Write noisy inputs, in input units, to `out`."""

    def clean(self, center: torch.Tensor, out: torch.Tensor) -> None:
        """Write the input without noise to each row of `out`."""
        self.add(center, torch.zeros_like(center).expand_as(out), out)

    def present(self, batch: torch.Tensor) -> object:
        """Return what preprocessing and model are given of a batch of noisy inputs."""
        return batch

    def moved(self, batch: torch.Tensor) -> torch.Tensor | None:
        """Return a batch of rows as long that must get the same scores, if any must."""
        del batch
        return None

    def longer(self, batch: torch.Tensor) -> torch.Tensor | None:
        """Return a batch that must get the same scores though its rows are longer, if any must."""
        del batch
        return None


def draws_per_block(numbers: int, n: int, device: torch.device) -> int:
    """Return how many draws of so many numbers make a block."""
    largest = _BLOCK_NUMBERS.get(device.type, _BLOCK_NUMBERS_ELSEWHERE)
    return min(max(largest // numbers, 1), n)
