r"""Ablation and deletion, drawn in integers: exact on a computer.

**Ablation.** Each of d entries gets a word of 63 bits, and the k smallest are kept. Words that
tie at the border are drawn again, so that by symmetry every choice of k entries has the same
probability, exactly.

**Deletion.** A token is dropped where its word is below 2⁶³·p, rounded up: exactly with probability
p where p ≥ 2⁻¹⁰, else with one larger by less than 2⁻⁶³, whose radius is no smaller.

What takes the place of hidden entries, or fills up where tokens are dropped, depends on what is
kept alone: so two inputs that differ only where nothing is kept give the model the same.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt
import torch

from rsverify._core.check import shown
from rsverify.noise import Ablation, Deletion
from rsverify.smoothing.noise.alias import WORD_BITS, fill_words
from rsverify.smoothing.noise.sampler import Sampler
from rsverify.smoothing.noise.words import blocks_of_words

DROPPED = -1
"""What stands for a dropped token in a batch that a callable is given."""
_SHOWN = 16

Mask = float | Sequence[float] | npt.NDArray[np.generic] | torch.Tensor
"""What hidden entries are replaced by."""
Shorten = Callable[[torch.Tensor], object]
"""From token numbers, shape (b, T), −1 where one is dropped, to what the model takes."""


class AblationSampler(Sampler):
    """All but some entries replaced by a mask value.

    Parameters
    ----------
    distribution : Ablation
        How many entries are kept, of how many.
    mask : float or array_like
        What replaces hidden entries: one number, one for each channel, or an array of the
        shape of an input.
    channel_axis : int, optional
        Axis along which numbers are hidden together: the entries of an image of shape (3, 32, 32)
        are its 1,024 pixels with 0, those of embeddings of shape (T, E) its T words with 1.
    """

    takes_tokens = True

    def __init__(self, distribution: Ablation, mask: Mask, channel_axis: int | None = None) -> None:
        self._distribution = distribution
        self._mask = torch.as_tensor(mask, device="cpu").detach()
        self._axis = channel_axis
        if self._mask.is_complex() or self._mask.dtype == torch.bool:
            raise TypeError(f"mask={shown(mask)} must be a number or an array of numbers")

    def details(self) -> dict[str, object]:
        """Return mask and axis."""
        return {"mask": _said(self._mask), "channel_axis": self._axis}

    @property
    def distribution(self) -> Ablation:
        """The noise."""
        return self._distribution

    def center(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """Return `x`, floats in `dtype` and integers as int64, or raise where it does not fit."""
        shape = self._entries(x.shape)
        if math.prod(shape) != self._distribution.of:
            along = "" if self._axis is None else f" with channel_axis={self._axis}"
            hint = "" if self._axis is not None else "; channel_axis=0 hides the channels together"
            raise ValueError(
                f"of={self._distribution.of} must be {math.prod(shape)}, the entries of inputs of "
                f"shape {tuple(x.shape)}{along}{hint}"
            )
        kind = dtype if x.is_floating_point() else torch.int64
        self._hidden(x.shape, kind, torch.device("cpu"))
        return x.to(kind)

    def _entries(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of an input with 1 number along the axis of channels."""
        if self._axis is None:
            return tuple(shape)
        if not -len(shape) <= self._axis < len(shape):
            raise ValueError(
                f"channel_axis={self._axis} must be an axis of inputs of shape {tuple(shape)}"
            )
        found = list(shape)
        found[self._axis] = 1
        return tuple(found)

    def _hidden(
        self, shape: Sequence[int], dtype: torch.dtype, device: torch.device
    ) -> torch.Tensor:
        """Return what hidden entries become, in a shape that broadcasts with an input's."""
        mask = self._mask
        if self._axis is not None and mask.ndim == 1 and len(mask) == shape[self._axis]:
            along = [1] * len(shape)
            along[self._axis] = -1
            mask = mask.reshape(along)
        try:
            broadcast = torch.broadcast_shapes(mask.shape, tuple(shape))
        except RuntimeError:
            broadcast = torch.Size()
        if broadcast != tuple(shape):
            raise ValueError(
                f"mask of shape {tuple(mask.shape)} must be one number, or broadcast to inputs of "
                f"shape {tuple(shape)}"
            )
        found = mask.to(dtype)
        if not dtype.is_floating_point and bool((found != mask).any()):
            raise ValueError("mask must be integers for inputs of integers, such as a mask token")
        return found.to(device)

    def blocks(
        self,
        shape: Sequence[int],
        n: int,
        *,
        generator: torch.Generator,
        dtype: torch.dtype,  # noqa: ARG002 - booleans
    ) -> Iterator[torch.Tensor]:
        """Yield `n` draws: where an entry is kept."""
        entries = self._entries(shape)
        for words in blocks_of_words([math.prod(entries)], n, generator):
            yield self._kept(words, generator).view(len(words), *entries)

    def _kept(self, words: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Return where the smallest words are; rows with a tie at the border are drawn again."""
        keep = self._distribution.keep
        while True:
            kept = words <= words.kthvalue(keep, dim=1, keepdim=True).values
            tied = (kept.sum(dim=1) != keep).nonzero()[:, 0]
            if not len(tied):
                return kept
            words[tied] = fill_words(torch.empty_like(words[tied]), generator)

    def add(self, center: torch.Tensor, draws: torch.Tensor, out: torch.Tensor) -> None:
        """Write the input, its hidden entries replaced, to `out`."""
        hidden = self._hidden(center.shape, center.dtype, center.device)
        out.copy_(torch.where(draws, center, hidden))

    def clean(self, center: torch.Tensor, out: torch.Tensor) -> None:
        """Write the input to `out`."""
        out.copy_(center)


class DeletionSampler(Sampler):
    """Tokens dropped with a probability.

    Parameters
    ----------
    distribution : Deletion
        The probability.
    mask : int or callable
        The token that fills up at the end what is left of a row; or a callable from token numbers
        of shape (b, T), −1 where one is dropped, to what the model takes.
    """

    takes_tokens = True

    def __init__(self, distribution: Deletion, mask: int | Shorten) -> None:
        self._distribution = distribution
        self._mask = int(mask) if isinstance(mask, np.integer) else mask
        # Rounded up: a token that is dropped more often is no worse to the guarantee.
        self._dropped = math.ceil(Fraction(distribution.probability) * 2**WORD_BITS)
        if not callable(mask) and (isinstance(self._mask, bool) or not isinstance(self._mask, int)):
            raise TypeError(
                f"mask={shown(mask)} must be the token that fills up shortened rows, or a callable"
            )

    def details(self) -> dict[str, object]:
        """Return the mask token, or the name of the callable."""
        if not callable(self._mask):
            return {"mask": self._mask}
        named = self._mask if hasattr(self._mask, "__qualname__") else type(self._mask)
        return {"mask": f"{named.__module__}.{named.__qualname__}"}

    @property
    def distribution(self) -> Deletion:
        """The noise."""
        return self._distribution

    def center(self, x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:  # noqa: ARG002
        """Return `x` as int64, or raise where it is not a sequence of token numbers."""
        if x.is_floating_point() or x.ndim != 1:
            raise TypeError(
                f"x of dtype {x.dtype} and shape {tuple(x.shape)} must be a sequence of token "
                "numbers, integers of one dimension, for deletion noise"
            )
        if int(x.min()) < 0:
            raise ValueError(f"x holds {int(x.min())}; token numbers must be at least 0")
        return x.to(torch.int64)

    def blocks(
        self,
        shape: Sequence[int],
        n: int,
        *,
        generator: torch.Generator,
        dtype: torch.dtype,  # noqa: ARG002 - booleans
    ) -> Iterator[torch.Tensor]:
        """Yield `n` draws: where a token is kept."""
        for words in blocks_of_words(shape, n, generator):
            yield words >= self._dropped

    def add(self, center: torch.Tensor, draws: torch.Tensor, out: torch.Tensor) -> None:
        """Write the tokens to `out`, `DROPPED` where one is not kept."""
        out.copy_(torch.where(draws, center, DROPPED))

    def clean(self, center: torch.Tensor, out: torch.Tensor) -> None:
        """Write the tokens to `out`."""
        out.copy_(center)

    def present(self, batch: torch.Tensor) -> object:
        """Return what is left of each row at its beginning, filled up with the mask token."""
        if callable(self._mask):
            return self._mask(batch)
        shortened = _to_the_front(batch)
        return shortened.masked_fill_(shortened == DROPPED, self._mask)

    def moved(self, batch: torch.Tensor) -> torch.Tensor | None:
        """Return the same tokens at the front of the rows and, of every other one, at the end."""
        if not callable(self._mask):
            return None  # they are moved to the front, wherever they are
        moved = _to_the_front(batch)
        moved[1::2] = _to_the_front(batch[1::2].flip(1)).flip(1)
        return moved

    def longer(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the same tokens with dropped ones before, between and behind them.

        Each third moves by a number of places of its own: a callable that leaves a gap for what is
        dropped gives some of them other neighbors or another place.
        """
        gone = batch.new_full((len(batch), 1), DROPPED)
        thirds = batch.tensor_split(3, dim=1)
        return torch.cat([gone, *(part for third in thirds for part in (third, gone))], dim=1)


def _to_the_front(batch: torch.Tensor) -> torch.Tensor:
    """Return rows with what is left in its order before all that is dropped."""
    order = (batch == DROPPED).to(torch.uint8).argsort(dim=1, stable=True)
    return batch.gather(1, order)


def _said(mask: torch.Tensor) -> str:
    """Return an array of mask values as a configuration has it: by its hash where it is long."""
    if mask.numel() <= _SHOWN:
        return str(mask.tolist())
    digest = hashlib.blake2b(mask.contiguous().numpy().tobytes(), digest_size=8)
    return f"{tuple(mask.shape)} {digest.hexdigest()}"
