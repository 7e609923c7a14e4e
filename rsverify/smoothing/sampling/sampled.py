"""A model and its noise, as they are sampled: on which device, and in which type."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch

from rsverify.smoothing.batches import Scores
from rsverify.smoothing.data.inputs import Input, check_finite, check_input
from rsverify.smoothing.device import DeviceContext, choose_device, has_float64
from rsverify.smoothing.noise.sampler import Sampler
from rsverify.smoothing.outputs import scores_in
from rsverify.smoothing.probing.probe import Probes
from rsverify.smoothing.probing.subject import Subject


class Sampled:
    """What of a smoothed classifier its samples depend on."""

    def __init__(
        self,
        model: Scores,
        num_classes: int,
        noise: Sampler,
        *,
        preprocess: Callable[[torch.Tensor], torch.Tensor] | None,
        device: torch.device | None,
        dtype: torch.dtype | None,
    ) -> None:
        self.model = model
        self.num_classes = num_classes
        self.noise = noise
        self.preprocess = preprocess
        self.device = device
        self.dtype = dtype
        self.probes = Probes()

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
        source = check_input(x, tokens=self.noise.takes_tokens)
        device, dtype = self.placement(source.dtype)
        noise_dtype = torch.float64 if dtype == torch.float64 else torch.float32

        def scores_of(batch: torch.Tensor) -> torch.Tensor:
            noisy = self.noise.present(batch)
            if isinstance(noisy, torch.Tensor) and noisy.is_floating_point():
                noisy = noisy.to(dtype)
            # Of deletion noise a callable may make anything of a batch, for which the model is.
            given = cast(torch.Tensor, noisy)
            output = self.model(given if self.preprocess is None else self.preprocess(given))
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
