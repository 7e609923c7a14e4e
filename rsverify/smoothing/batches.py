"""Noisy inputs, batch after batch, and what is checked of what a model returns for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from rsverify.smoothing.noise.sampler import Sampler
from rsverify.smoothing.outputs import hint_for

Scores = Callable[[torch.Tensor], torch.Tensor]

# Of modules in evaluation: their own flags, and in how many bodies they are, of all threads.
_evaluated: dict[int, tuple[bool, int]] = {}
_flags = threading.Lock()


@contextmanager
def evaluating(*callables: object) -> Iterator[None]:
    """Run the body without gradients and with all modules in evaluation mode.

    Each submodule gets back its own training flag, whatever happens in the body. Flags are
    set directly: a module's own ``train`` method may do more than set them (merge weights,
    say), which resetting flags would not undo. Of several threads that share a module the last
    to leave gives its flag back: none finds it in training mode in its own body.
    """
    modules = [m for c in callables if isinstance(c, torch.nn.Module) for m in c.modules()]
    entered: list[torch.nn.Module] = []
    _keep_freed_memory()
    try:
        with _flags:
            for module in modules:
                flag, bodies = _evaluated.get(id(module), (module.training, 0))
                _evaluated[id(module)] = flag, bodies + 1
                entered.append(module)
                module.training = False
        with torch.no_grad():
            yield
    finally:
        with _flags:
            for module in entered:
                flag, bodies = _evaluated.pop(id(module))
                if bodies > 1:
                    _evaluated[id(module)] = flag, bodies - 1
                else:
                    module.training = flag


def _keep_freed_memory() -> None:
    """Let one batch reuse the memory of the one before.

    The GNU C library gets blocks above a threshold from the system, and gives them back when
    they are freed: the pages of every intermediate result are then made anew in every forward
    pass, which was seen to double its time. Freeing one block raises the threshold to its
    size, 32 MB at most (mallopt(3), M_MMAP_THRESHOLD). It is not written to, so it costs
    nothing, and it does nothing elsewhere.
    """
    np.empty(31 * 2**20, dtype=np.uint8)


class NoisyInputs:
    """`n` noisy copies of one input, draw after draw, written wherever they are wanted.

    Which draws there are depends on the shape of `center`, on `n` and `generator` alone, and
    they are added number by number, so that every noisy input is the same to the bit however
    many are taken at once. Nothing is drawn before it is taken.
    """

    def __init__(
        self, noise: Sampler, center: torch.Tensor, n: int, *, generator: torch.Generator
    ) -> None:
        self._noise, self._center = noise, center
        self._blocks = noise.blocks(center.shape, n, generator=generator, dtype=center.dtype)
        self._block: torch.Tensor | None = None
        self._used = 0
        self._left = n

    def take(self, out: torch.Tensor) -> None:
        """Fill `out`, of shape (b, *shape of the input), with the next b noisy inputs."""
        filled = 0
        while filled < len(out):
            if self._block is None or self._used == len(self._block):
                self._block, self._used = next(self._blocks), 0
            count = min(len(out) - filled, len(self._block) - self._used)
            draws = self._block[self._used : self._used + count]
            self._noise.add(self._center, draws, out[filled : filled + count])
            filled, self._used = filled + count, self._used + count
        self._left -= filled
        if not self._left:  # let go of the last block
            self._block, self._blocks = None, iter(())


class CleanInput:
    """One input without noise, as the model is given it."""

    def __init__(self, noise: Sampler, center: torch.Tensor) -> None:
        self._noise, self._center = noise, center

    def take(self, out: torch.Tensor) -> None:
        """Fill `out`, of shape (b, *shape of the input), with it."""
        self._noise.clean(self._center, out)


def noisy_batches(
    noise: Sampler, center: torch.Tensor, n: int, batch_size: int, *, generator: torch.Generator
) -> Iterator[torch.Tensor]:
    """Yield `n` noisy inputs in batches of `batch_size`, the last one smaller if need be.

    Holds one batch: each overwrites the one before.
    """
    source = NoisyInputs(noise, center, n, generator=generator)
    shape = (min(batch_size, n), *center.shape)
    batch = torch.empty(shape, device=center.device, dtype=center.dtype)
    for start in range(0, n, len(batch)):
        part = batch[: n - start]
        source.take(part)
        yield part


def votes_of_scores(scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the vote of each row, the lowest of tied classes, and which rows have none.

    A row has none where NaN is among its scores, or all of them are −∞.
    """
    # Not ``scores.max(dim=1)``, which wakes all threads of a CPU for the smallest batch. To
    # argmax NaN is the largest of all.
    votes = scores.argmax(dim=1)
    largest = scores.gather(1, votes[:, None])[:, 0]
    return votes, ~(largest > -torch.inf)


def check_model_output(
    scores: object, shape: tuple[int, int], device: torch.device
) -> torch.Tensor:
    """Return what a model returned, or raise where it is not a tensor of `shape` on `device`."""
    if not isinstance(scores, torch.Tensor):
        raise TypeError(
            f"model returned {type(scores).__name__}; it must return a tensor of scores of "
            "shape (batch, num_classes); a part of a larger output is named by SelectedOutput, or "
            "--output, and a function of numpy arrays goes into NumpyModel"
        )
    if scores.shape != shape:
        raise ValueError(
            f"model returned scores of shape {tuple(scores.shape)} for {shape[0]} inputs; with "
            f"num_classes={shape[1]} it must be {shape}{hint_for(scores, shape[1], shape[0])}"
        )
    if scores.is_complex() or scores.dtype == torch.bool:
        raise TypeError(f"model returned scores of {scores.dtype}; they must be real numbers")
    if scores.layout != torch.strided:
        raise TypeError(f"model returned scores of layout {scores.layout}; give scores.to_dense()")
    if scores.device != device:
        raise ValueError(f"model returned scores on {scores.device}; they must be on {device}")
    return scores
