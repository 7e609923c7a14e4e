"""From batches of one shape to votes: precision, compilation, memory layout, running out of memory.

Kernels of matrix products and convolutions are chosen by the shape of a batch, and different
ones round differently. Here every batch of a run has the same shape, filled up at the end, so
that a noisy input meets the same kernel whatever shares its batch.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from rsverify._core.errors import UnavailableError, cause_of
from rsverify.smoothing.batches import Scores, check_model_output, votes_of_scores
from rsverify.smoothing.device import DeviceContext, exhausted

_WRONG_CALL = re.compile("positional argument|unexpected keyword argument")

INVALID = -1
"""The vote of a row with NaN among its scores, or −∞ alone."""


class OutOfMemoryWarning(UserWarning):
    """A batch was too large for memory or kernels; smaller pieces are computed from here on."""


class Untouched:
    """A model that gets a copy of each batch where it changes what it is given, in place.

    A batch is asked about again: when the model is probed, and in pieces where memory runs out.
    Whether it changes its batch is seen at the first call, of which it always gets a copy.
    """

    def __init__(self, scores_of: Scores) -> None:
        self._scores_of = scores_of
        self._changes: bool | None = None

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the scores of a batch, which stays as it is."""
        if self._changes is False:
            return self._scores_of(batch)
        given = batch.clone()
        version = _version(given)
        scores = self._scores_of(given)
        if self._changes is None:  # NumPy does not count its changes
            self._changes = _version(given) != version or not torch.equal(given, batch)
        return scores


def _version(tensor: torch.Tensor) -> int:
    """Return how often a tensor was changed in place, 0 where torch does not count."""
    return 0 if tensor.is_inference() else tensor._version


class Forward:
    """The model as the scheduler calls it: a batch of noisy inputs to one vote each.

    Parameters
    ----------
    scores_of : callable
        Maps a batch to scores (b, num_classes).
    num_classes : int
        Number of classes.
    device : torch.device
        Where batches are.
    autocast : torch.dtype, optional
        Type of a ``torch.autocast`` region around the model.
    compiled : bool
        Run the model through ``torch.compile``.
    """

    def __init__(
        self,
        scores_of: Scores,
        num_classes: int,
        device: torch.device,
        *,
        autocast: torch.dtype | None = None,
        compiled: bool = False,
    ) -> None:
        self.num_classes = num_classes
        self.device = device
        self.autocast = autocast
        self.scores_of: Scores = Untouched(
            torch.compile(scores_of, dynamic=False) if compiled else scores_of
        )
        self.largest: int | None = None  # rows at once, where memory has set a limit

    def _precision(self) -> AbstractContextManager[object]:
        if self.autocast is None:
            return nullcontext()
        return torch.autocast(self.device.type, dtype=self.autocast)

    def whole(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the votes of a batch that must fit into memory as it is."""
        with self._precision():
            output = self.scores_of(batch)
        scores = check_model_output(output, (len(batch), self.num_classes), self.device)
        votes, bad = votes_of_scores(scores)
        return votes.masked_fill_(bad, INVALID)

    def __call__(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the vote of each row, `INVALID` where it has none.

        Out of memory, the batch is computed again in halves, quarters, …, and so are those
        that follow.
        """
        while True:
            pieces = batch.split(self.largest or len(batch))
            try:
                parts = [self.whole(piece) for piece in pieces]
            except Exception as error:
                reason = exhausted(error)
                if reason is None or len(pieces[0]) == 1:
                    raise
            else:
                return parts[0] if len(parts) == 1 else torch.cat(parts)
            # Outside the handler, where the failed call's tensors are no longer referred to.
            self.largest = (len(pieces[0]) + 1) // 2
            DeviceContext(self.device).release_memory()
            warnings.warn(
                f"{reason} with {len(pieces[0])} inputs at once; going on with {self.largest}",
                OutOfMemoryWarning,
                stacklevel=2,
            )


def try_model(forward: Forward, new_batch: Callable[[int], torch.Tensor], batch_size: int) -> int:
    """Run the model once, and return the batch size halved until it fitted into memory.

    Raises
    ------
    ValueError, TypeError
        If the model fails or returns anything but scores; before anything is written.
    """
    while True:
        try:
            forward.whole(new_batch(batch_size))
        except Exception as error:
            cause = str(error).strip().partition("\n")[0]
            if exhausted(error) is None:
                if isinstance(error, ValueError | TypeError) and _is_ours(error):
                    raise
                remedy = "; it must take a batch alone" * ("required positional" in cause)
                raise ValueError(
                    f"model failed on a batch of shape {tuple(new_batch(1).shape)}: "
                    f"{type(error).__name__}: {cause}{remedy}"
                ) from error
            if batch_size == 1:
                raise UnavailableError(
                    f"one input alone does not fit into memory: {cause_of(error)}"
                ) from error
        else:
            return batch_size
        batch_size = (batch_size + 1) // 2
        DeviceContext(forward.device).release_memory()


def _is_ours(error: BaseException) -> bool:
    """Return whether an error was raised by this package, and not by code of a model."""
    if isinstance(error, TypeError) and _WRONG_CALL.search(str(error)):
        return False
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    raised_in = "" if trace is None else str(trace.tb_frame.f_globals.get("__name__"))
    return raised_in.partition(".")[0] == __name__.partition(".")[0]


def memory_format(shape: Sequence[int], channels_last: bool) -> torch.memory_format:
    """Return the memory format of batches of inputs of this shape."""
    if channels_last and len(shape) != 3:
        raise ValueError(
            f"channels_last=True needs inputs of 3 dimensions, channels first, not {tuple(shape)}"
        )
    return torch.channels_last if channels_last else torch.contiguous_format
