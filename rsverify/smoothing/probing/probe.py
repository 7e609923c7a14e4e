"""What is checked of a model before its votes count: independent rows, the same answer again.

Votes are independent draws only if a row's scores depend on that row alone and the same row
gets the same scores again. A batch normalization without running statistics, a softmax along
the batch, dropout that is always on or a hidden state that is kept breaks this without an
error. So the model is asked about a few noisy inputs: again, in another order, in other
company, as copies of one input, alone and in batches of other sizes.
"""

from __future__ import annotations

import threading
from collections.abc import Hashable
from dataclasses import replace
from typing import NamedTuple

import torch

from rsverify.smoothing.noise.sampler import Sampler
from rsverify.smoothing.probing.asking import Asking, ModelProbeError
from rsverify.smoothing.probing.identity import identity
from rsverify.smoothing.probing.randomness import Watch, sources
from rsverify.smoothing.probing.state import State
from rsverify.smoothing.probing.subject import Inputs, Subject

_FEW = 8
# The generators of the process are put into other states meanwhile, and then back.
_one_at_a_time = threading.RLock()


def probe(
    subject: Subject,
    inputs: Inputs,
    *,
    batch_size: int,
    rows: int = _FEW,
) -> str:
    r"""Return what was probed of a model, or raise where its votes would not be independent.

    Parameters
    ----------
    subject : Subject
        The model, in evaluation mode and without gradients.
    inputs : Inputs
        What it is asked about.
    batch_size : int
        How many rows go through the model at once when it is sampled.
    rows : int
        In batches of how many inputs it is probed, at most `batch_size`. One batch of that size
        is then compared, unless the model is compiled for the one of `rows`.

    Returns
    -------
    str
        One line for whoever reads the certificate.

    Raises
    ------
    ModelProbeError
        A ValueError; the message names the layer and what to change.

    Notes
    -----
    The states of all generators found are put back, and so are buffers that change.
    """
    parts = subject.parts()
    with _one_at_a_time:
        watch = Watch(sources(parts, inputs.device))
        state, few = State(parts), min(batch_size, _FEW)
        try:
            if subject.autocast is not None:
                _probe_in_full(subject, parts, state, inputs, few)
            return Asking(subject, parts, state, inputs, batch_size, min(batch_size, rows)).run()
        finally:
            watch.restore()


def _probe_in_full(
    subject: Subject,
    parts: list[tuple[str, object]],
    state: State,
    inputs: Inputs,
    rows: int,
) -> None:
    """Probe the model without autocast, where far smaller dependences show than in half precision.

    A model that works in no other precision is probed in its own alone.
    """
    scores_of = subject.eager or subject.scores_of
    full = replace(subject, autocast=None, scores_of=scores_of, eager=None)
    try:
        Asking(full, parts, state, inputs, rows, rows).run()
    except ModelProbeError:
        raise
    except Exception:  # of the model
        return


class _Probed(NamedTuple):
    """What was probed for inputs of one shape."""

    model: Hashable
    batch_size: int
    text: str
    parts: object  # kept, so that what is known by its id stays that


class Probes:
    """What was probed of one model, so that it is done once for all inputs of a shape."""

    def __init__(self) -> None:
        self._said: dict[Hashable, _Probed] = {}
        self.text = ""
        """What was said of the batches that were sampled last."""

    def probe(self, subject: Subject, noise: Sampler, center: torch.Tensor, batch_size: int) -> str:
        """Probe the model around `center`, unless it was in batches as large as this.

        Modules or functions that were exchanged or hooked, and flags and numbers that were changed
        since, make another model. Raises as `probe`.
        """
        parts, key = subject.parts(), (center.shape, center.dtype, center.device)
        model, before = identity(parts), self._said.get(key)
        if before is None or before.model != model or before.batch_size < batch_size:
            inputs = Inputs(noise, center, batch_size)
            text = probe(subject, inputs, batch_size=batch_size)
            # What a model sets up, or counts, when it is called is no other model.
            parts = subject.parts()
            before = _Probed(identity(parts), batch_size, text, parts)
            self._said[key] = before
        self.text = before.text
        return self.text
