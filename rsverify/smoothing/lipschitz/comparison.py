"""Show that what was recorded is what is sampled.

A recording is of one run. That the module does the same for every input is shown as far as it
can be: the code has seen no numbers (`tracing`), has nothing to remember with (`state`), and runs
on other inputs, in batches of other sizes, recorded or not, agree.
"""

from __future__ import annotations

import math
import sys
import types
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch

from rsverify.smoothing.device import has_float64, is_out_of_memory
from rsverify.smoothing.lipschitz.recording import (
    Node,
    Place,
    Recording,
    Refused,
    Step,
    identical,
    leaves,
    module_of_frame,
)
from rsverify.smoothing.lipschitz.replay import coarsest, in_float64
from rsverify.smoothing.lipschitz.state import state_of, watched
from rsverify.smoothing.lipschitz.tracing import TensorMap, record

# Noise in units of the sampler's: near the data, and far from it.
_DISTANCES = (1.0, 0.1, 10.0, 1.0, 100.0, 1e-3, 3.0)
_LARGE_BATCH = 64
_LARGE_BATCH_ENTRIES = 2**18


@dataclass(frozen=True)
class Sample:
    """What the module is sampled on."""

    center: torch.Tensor
    """One input, without the batch dimension."""
    sigma: float
    """Standard deviation of the noise."""
    batch_sizes: tuple[int, ...] = ()
    """Sizes of batches that the sampler uses, beside those tried always."""

    def rows(self, count: int, seed: int) -> torch.Tensor:
        """Return noisy inputs, near and far."""
        generator = torch.Generator().manual_seed(seed)
        shape = (count, *self.center.shape)
        noise = torch.randn(shape, generator=generator, dtype=torch.float64, device="cpu")
        distances = [_DISTANCES[i % len(_DISTANCES)] for i in range(count)]
        scales = torch.tensor(distances, dtype=torch.float64, device="cpu")
        noise *= self.sigma * scales.reshape(-1, *[1] * self.center.ndim)
        center = self.center
        return (center.cpu().double() + noise).to(center.dtype).to(center.device)

    def sizes(self) -> list[int]:
        """Return sizes of larger batches to try."""
        small = self.center.numel() * _LARGE_BATCH <= _LARGE_BATCH_ENTRIES
        return sorted({*self.batch_sizes, *([_LARGE_BATCH] if small else [])} - {1, 2, 3})


class Subject:
    """Functions applied one after the other, of which one constant is wanted.

    Parameters
    ----------
    stages : dict of str to callable
        By name, "" for the model.
    """

    def __init__(self, stages: dict[str, TensorMap]) -> None:
        self._stages = stages
        # What torch.compile returns holds the module that it runs.
        self._originals = {k: _uncompiled(s) for k, s in stages.items()}
        self._paths: dict[int, str] = {}
        for name, stage in reversed(self._originals.items()):
            if isinstance(stage, torch.nn.Module):
                for path, module in stage.named_modules(prefix=name):
                    self._paths[id(module)] = path

    def run(self, x: torch.Tensor) -> torch.Tensor:
        """Return what the sampler gets for a batch."""
        x = x.clone()  # which the module may change
        for stage in self._stages.values():
            x = stage(x)
        return x

    def _run_originals(self, x: torch.Tensor) -> torch.Tensor:
        for stage in self._originals.values():
            x = stage(x)
        return x

    def record(self, x: torch.Tensor) -> tuple[Recording, torch.Tensor]:
        """Return the operations of a run, and its result.

        Raises
        ------
        Refused
            At the first operation whose effect is not known.
        ValueError
            If the module fails.
        """
        x = x.clone()
        try:
            with _eager(), watched() as asked:
                recording, out = record(self._run_originals, x, self._paths)
        except Refused as refused:
            if refused.place.operation != "output":
                raise
            name = self._place(None).module
            raise Refused(refused.place._replace(module=name), refused.reason) from None
        except Exception as error:
            raise self._failure(error, x) from error
        if asked.what is not None:
            reason = f"its code asks for {asked.what}, and what follows from that is not seen"
            raise Refused(self._place(asked.frame), reason)
        return recording, out

    def _place(self, frame: types.FrameType | None) -> Place:
        """Return the innermost module of a stack of calls, else the model."""
        module = module_of_frame(frame, None)
        stages = list(self._originals.values())
        thing = stages[-1] if module is None else module
        name = type(thing).__name__ if isinstance(thing, torch.nn.Module) else "function"
        return Place(self._paths.get(id(thing), ""), name, name)

    def _failure(self, error: Exception, x: torch.Tensor) -> ValueError:
        trace, frame = error.__traceback__, None
        while trace is not None:
            if module_of_frame(trace.tb_frame, trace.tb_frame.f_back) is not None:
                frame = trace.tb_frame
            trace = trace.tb_next
        text = " ".join(str(error).split()) or type(error).__name__
        return ValueError(
            f"{self._place(frame)}: the module does not take an input of shape "
            f"{tuple(x.shape[1:])} and {x.dtype}, in a batch of {len(x)}: {text}"
        )

    # -- comparing ---------------------------------------------------------------------------

    def compare(
        self, first: Recording, sample: Sample, bound_of: Callable[[Recording], float], bound: float
    ) -> None:
        """Raise `Refused` at the first difference between runs.

        Parameters
        ----------
        first : Recording
            Of a batch of one.
        sample : Sample
            What inputs are like.
        bound_of : callable
            The bound of a recording.
        bound : float
            That of `first`.
        """
        seven = sample.rows(7, seed=1)
        outputs = self._plain(seven)
        self._check_batches(seven, outputs, sample)
        self._check_slopes(seven, outputs, bound)
        for size in (2, 3, 7):  # the last as before the state is asked for again
            self._plain(seven[:size])
        before = state_of(self._stages)  # now that what is set up when first used is there
        for size in (1, 2, 3):
            rows = sample.rows(7, seed=size + 1)[7 - size :]
            recording, out = self.record(rows)
            self._check_steps(first, recording, alone=size == 1)
            if size > 1 and bound_of(recording) != bound:
                raise self._difference("its bound depends on the size of the batch")
            self._check_values(out, self._plain(rows), "its result is another when recorded")
            if size == 2:
                self._check_rounding(recording, rows, out)
        self._check_values(
            self._plain(seven), outputs, "the same batch has another result when it comes again"
        )
        self._check_state(before)

    def _plain(self, x: torch.Tensor) -> torch.Tensor:
        try:
            out = self.run(x)
        except Exception as error:
            if is_out_of_memory(error):
                raise
            raise self._failure(error, x) from error
        if not isinstance(out, torch.Tensor):
            raise self._difference(f"it returns a {type(out).__name__} when not recorded")
        if out.ndim == 0 or len(out) != len(x):
            raise self._difference(
                f"it returns a tensor of shape {tuple(out.shape)} for a batch of {len(x)}, and not "
                "one row an input"
            )
        return out

    def _difference(self, reason: str, place: Place | None = None) -> Refused:
        return Refused(place or self._place(None), reason)

    def _check_steps(self, first: Recording, other: Recording, alone: bool) -> None:
        for one, two in zip(first.steps, other.steps, strict=False):
            if not _same_step(one, two, alone):
                reason = "other inputs, or batches of another size, meet another operation here"
                raise self._difference(reason, two.place)
        if len(first.steps) != len(other.steps) or first.output != other.output:
            raise self._difference("other inputs meet a different number of operations")
        if len(first.constants) != len(other.constants) or any(
            one is not two for one, two in zip(first.constants, other.constants, strict=True)
        ):
            raise self._difference(
                "it uses a tensor that no operation seen here has made, and another one each time"
            )

    def _check_values(self, out: torch.Tensor, expected: torch.Tensor, reason: str) -> None:
        if not _agree(out, expected):
            raise self._difference(reason)

    def _check_rounding(self, recording: Recording, rows: torch.Tensor, out: torch.Tensor) -> None:
        """Compare with the same operations in float64, where the device has it."""
        if not has_float64(rows.device):
            return
        exact, found = _in_rows(in_float64(recording, rows)), _in_rows(out)
        finite = found.isfinite().all(dim=1)
        apart, size = (found - exact)[finite].abs(), found[finite].abs()
        if not finite.any():
            return
        # Of the largest of all rows: small inputs may cancel down to their rounding.
        kind = coarsest(recording)
        allowed = max(_tolerance(torch.float32), 64 * torch.finfo(kind).eps)
        if not apart.max() <= allowed * size.max() + torch.finfo(kind).tiny:
            raise self._difference(
                "its result is another in float64: what it computes depends on how numbers round"
            )

    def _check_batches(self, rows: torch.Tensor, outputs: torch.Tensor, sample: Sample) -> None:
        reason = "the result of an input depends on what else is in its batch, or how much"
        for i in range(len(rows)):
            self._check_values(self._plain(rows[i : i + 1]), outputs[i : i + 1], reason)
        for size in sample.sizes():
            order = torch.arange(size, device=rows.device).flip(0) % len(rows)
            try:
                out = self._plain(rows[order])
            except Exception as error:
                if not is_out_of_memory(error):
                    raise
                continue  # as the sampler will find, and then take smaller batches
            self._check_values(out, outputs[order], reason)

    def _check_slopes(self, rows: torch.Tensor, outputs: torch.Tensor, bound: float) -> None:
        """Hold the bound against these very inputs, up to rounding."""
        x, y = _in_rows(rows), _in_rows(outputs)
        distances, changes = torch.cdist(x, x), torch.cdist(y, y)
        sizes = y.norm(dim=1)
        slack = _tolerance(outputs.dtype) * (sizes[:, None] + sizes)
        if (changes > bound * distances * (1 + 1e-6) + slack).any():
            raise self._difference("two inputs are mapped further apart than their operations do")

    def _check_state(self, before: dict[str, str]) -> None:
        after = state_of(self._stages)
        changed = [k for k in {**before, **after} if before.get(k) != after.get(k)]
        if changed:
            name = changed[0].removeprefix(".")
            raise self._difference(
                f"{name} changes from call to call, and what follows from that is not seen"
            )


def _uncompiled(stage: TensorMap) -> TensorMap:
    original: TensorMap = getattr(
        stage, "_orig_mod", getattr(stage, "_torchdynamo_orig_callable", stage)
    )
    return original


def _eager() -> AbstractContextManager[object]:
    """Run what torch.compile has returned as it was before, where anything was compiled."""
    set_stance = getattr(torch.compiler, "set_stance", None)  # torch 2.6
    if set_stance is None or "torch._dynamo" not in sys.modules:
        return nullcontext()
    stance: AbstractContextManager[object] = set_stance("force_eager")
    return stance


def _same_step(one: Step, two: Step, alone: bool) -> bool:
    if (one.place, one.name, one.results) != (two.place, two.name, two.results):
        return False
    a, b = list(leaves((one.args, one.kwargs))), list(leaves((two.args, two.kwargs)))
    return len(a) == len(b) and all(_same_leaf(p, q, alone) for p, q in zip(a, b, strict=True))


def _same_leaf(one: object, two: object, alone: bool) -> bool:
    """Compare arguments; sizes and constants may follow the size of the batch."""
    if isinstance(one, Node) or isinstance(two, Node):
        return isinstance(one, Node) and isinstance(two, Node) and one.index == two.index
    if isinstance(one, torch.Tensor) and isinstance(two, torch.Tensor):
        return one is two or not alone or identical(one, two)
    return type(one) is type(two) and (not alone or isinstance(one, torch.Tensor) or one == two)


def _tolerance(dtype: torch.dtype) -> float:
    """Of values that different kernels compute, relative to the largest of a row."""
    return 8 * math.sqrt(torch.finfo(dtype).eps) if dtype.is_floating_point else 0.0


def _in_rows(values: torch.Tensor) -> torch.Tensor:
    return values.cpu().double().reshape(len(values), -1)


def _agree(one: torch.Tensor, two: torch.Tensor) -> bool:
    if one.shape != two.shape or one.dtype != two.dtype:
        return False
    if not one.numel():
        return True
    a, b = _in_rows(one), _in_rows(two)
    finite = a.isfinite() & b.isfinite()
    largest = torch.where(finite, a.abs().maximum(b.abs()), 0.0).amax(dim=1, keepdim=True)
    close = (a - b).abs() <= _tolerance(one.dtype) * largest
    return bool((close | ~finite).all() and (a.isfinite() == b.isfinite()).all())
