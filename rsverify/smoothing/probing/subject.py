"""A model as it is sampled, and the noisy inputs that it is asked about when it is probed."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

import torch

from rsverify.smoothing.batches import CleanInput, NoisyInputs, Scores, check_model_output
from rsverify.smoothing.noise.gaussian import seeded_generator
from rsverify.smoothing.noise.sampler import Sampler
from rsverify.smoothing.probing.culprit import PREPROCESS
from rsverify.smoothing.probing.randomness import reachable

PROBE = 4
"""The stream of the noise that models are probed with: of none of the samples."""

NOISY = 32  # inputs that a model which draws is asked about


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model as it is sampled."""

    model: object
    preprocess: object
    scores_of: Scores
    """From a noisy batch to scores, as votes are computed: compiled, say."""
    num_classes: int
    autocast: torch.dtype | None = None
    eager: Scores | None = None
    """The same not compiled, where `scores_of` is: it is then asked in one shape only."""

    def parts(self) -> list[tuple[str, object]]:
        """Return what the model and preprocessing are made of, with their names."""
        found = [] if self.preprocess is None else list(reachable(self.preprocess))
        known = {id(part) for _, part in found}
        named = [(f"{PREPROCESS}.{name}" if name else PREPROCESS, part) for name, part in found]
        return named + [(n, part) for n, part in reachable(self.model) if id(part) not in known]

    def __call__(self, batch: torch.Tensor, scores_of: Scores | None = None) -> torch.Tensor:
        """Return the scores of a batch in float64, on the CPU."""
        precision = (
            nullcontext()
            if self.autocast is None
            else torch.autocast(batch.device.type, dtype=self.autocast)
        )
        with precision:
            output = (scores_of or self.scores_of)(batch)
        scores = check_model_output(output, (len(batch), self.num_classes), batch.device)
        # A copy, as a model may return the same memory each time.
        return scores.to("cpu", torch.float64, copy=True)


class Inputs:
    """Noisy inputs around one that no sample uses: the same ones whenever they are asked for."""

    def __init__(
        self,
        noise: Sampler,
        center: torch.Tensor,
        batch_size: int,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self._noise, self._center, self._format = noise, center, memory_format
        self._size = max(batch_size, NOISY)
        self.device = center.device

    def noisy(self, rows: int) -> torch.Tensor:
        """Return the first so many of them."""
        generator = seeded_generator(0, PROBE, self.device)
        source = NoisyInputs(self._noise, self._center, self._size, generator=generator)
        return self._filled(source, rows)

    def clean(self) -> torch.Tensor:
        """Return the input without noise, as a batch of one."""
        return self._filled(CleanInput(self._noise, self._center), 1)

    def moved(self, batch: torch.Tensor) -> torch.Tensor | None:
        """Return a batch of rows as long that must get the same scores, if any must."""
        return self._noise.moved(batch)

    def longer(self, batch: torch.Tensor) -> torch.Tensor | None:
        """Return a batch of longer rows that must get the same scores, if any must."""
        return self._noise.longer(batch)

    def _filled(self, source: NoisyInputs | CleanInput, rows: int) -> torch.Tensor:
        center = self._center
        batch = torch.empty(
            (rows, *center.shape),
            device=center.device,
            dtype=center.dtype,
            memory_format=self._format,
        )
        source.take(batch)
        return batch
