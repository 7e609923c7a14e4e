"""What is checked of a model before its votes count: independent rows, the same answer again.

Votes are independent draws only if a row's scores depend on that row alone and the same row
gets the same scores again. A batch normalization without running statistics, a softmax along
the batch, dropout that is always on or a hidden state that is kept breaks this without an
error. So the model is asked about a few noisy inputs: again, in another order, in other
company, as copies of one input, alone and in batches of other sizes.

*What is a difference.* Kernels of other batch shapes round differently. Scores differ if they
do so by more than `_ROUNDINGS` units of the coarsest floating type that the model computes in,
relative to the scores, and if besides that they differ by more than what the scores move when
the inputs move by a few such units. The second is what rounding can do to this model: it is
large where two experts, or two labels, are within rounding of each other.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from rsverify.smoothing.culprit import Layer, drawing_layer, first_layer
from rsverify.smoothing.noise.gaussian import Noise, seeded_generator
from rsverify.smoothing.randomness import Watch, force, reachable, sources
from rsverify.smoothing.sampling.batches import CleanInput, NoisyInputs, Scores, check_model_output
from rsverify.smoothing.state import State

PROBE = 4
"""The stream of the noise that models are probed with: of none of the samples."""

_ROUNDINGS = 16.0
_MOVED_BY = 4.0  # units of rounding that an input is moved by to see what rounding does …
_MOVES = 8  # … so many times …
_EXPLAINED = 4.0  # … and differences up to so many times what that does are rounding.
_INT8 = 2.0**-8
_STATES = 8  # of the generators, where a model draws: two of them forced
_FEW = 8


class ModelProbeError(ValueError):
    """A model's rows depend on each other, or it does not repeat its answers."""


class ModelProbeWarning(UserWarning):
    """Something about a model cannot be told by asking it a few times."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model as it is sampled."""

    model: object
    preprocess: object
    scores_of: Scores
    """From a noisy batch to scores, as votes are computed: compiled, say."""
    num_classes: int
    device: torch.device
    autocast: torch.dtype | None = None
    eager: Scores | None = None
    """The same not compiled, where `scores_of` is: it is then asked in one shape only."""

    def parts(self) -> list[tuple[str, object]]:
        """Return what the model and preprocessing are made of, with their names."""
        found = [] if self.preprocess is None else list(reachable(self.preprocess))
        known = {id(part) for _, part in found}
        named = [(f"preprocess.{name}" if name else "preprocess", part) for name, part in found]
        return named + [(n, part) for n, part in reachable(self.model) if id(part) not in known]

    def __call__(self, batch: torch.Tensor, scores_of: Scores | None = None) -> torch.Tensor:
        """Return the scores of a batch in float64, on the CPU."""
        precision = (
            nullcontext()
            if self.autocast is None
            else torch.autocast(self.device.type, dtype=self.autocast)
        )
        with precision:
            output = (scores_of or self.scores_of)(batch)
        scores = check_model_output(output, (len(batch), self.num_classes), self.device)
        return scores.double().cpu()


def noisy_rows(noise: Noise, centre: torch.Tensor, rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return noisy inputs around `centre` that no sample uses, and one input without noise."""
    generator = seeded_generator(0, PROBE, centre.device)
    noisy = torch.empty((rows, *centre.shape), device=centre.device, dtype=centre.dtype)
    NoisyInputs(noise, centre, rows, generator=generator).take(noisy)
    clean = torch.empty_like(noisy[:1])
    CleanInput(noise, centre).take(clean)
    return noisy, clean


def probe(
    subject: Subject,
    noisy: torch.Tensor,
    clean: torch.Tensor,
    *,
    batch_size: int,
    all_rows: bool = False,
) -> str:
    r"""Return what was probed of a model, or raise where its votes would not be independent.

    Parameters
    ----------
    subject : Subject
        The model, in evaluation mode and without gradients.
    noisy : Tensor, shape (b, \*input shape)
        Noisy inputs, `batch_size` of them at least.
    clean : Tensor, shape (1, \*input shape)
        Company for them.
    batch_size : int
        How many rows go through the model at once when it is sampled.
    all_rows : bool
        Probe batches of this size throughout, and not a few rows that are then compared with
        one batch of it.

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
    watch = Watch(sources(parts, subject.device))
    few = min(batch_size, _FEW)
    try:
        if subject.autocast is not None:
            _probe_in_full(subject, parts, noisy, clean, few)
        rows = batch_size if all_rows else few
        return _Session(subject, parts, noisy, clean, batch_size, rows).run()
    finally:
        watch.restore()


def _probe_in_full(
    subject: Subject,
    parts: list[tuple[str, object]],
    noisy: torch.Tensor,
    clean: torch.Tensor,
    rows: int,
) -> None:
    """Probe the model without autocast, where far smaller dependences show than in half precision.

    A model that works in no other precision is probed in its own alone.
    """
    scores_of = subject.eager or subject.scores_of
    full = replace(subject, autocast=None, scores_of=scores_of, eager=None)
    try:
        full(noisy[:rows].clone())
    except Exception:
        return
    _Session(full, parts, noisy, clean, rows, rows).run()


@dataclass
class _Session:
    subject: Subject
    parts: list[tuple[str, object]]
    noisy: torch.Tensor
    clean: torch.Tensor
    batch_size: int
    rows: int
    unit: float = field(init=False)
    first: torch.Tensor = field(init=False)

    def run(self) -> str:
        """Ask the model, what tells most first: so that a cause is named, not its consequence."""
        subject, base = self.subject, self.noisy[: self.rows].clone()
        state = State(self.parts)
        self.unit, earlier = _rounding_unit(subject, self.parts, base)
        watch = Watch(sources(self.parts, subject.device))
        self.first = subject(base)
        self._repeats(base)
        if earlier is not None and self._apart(earlier).max() > _ROUNDINGS * self.unit:
            self._not_repeated(base)
        self._company(base)
        sizes = self._sizes() if subject.eager is None else []
        skipped = [size for size in sizes if not self._in_batches_of(size)]
        self._repeats(base)
        if drew := watch.moved():
            self._draws(drew)
        self._state(base, state)
        return self._report([size for size in sizes if size not in skipped], skipped)

    def _apart(self, scores: torch.Tensor) -> torch.Tensor:
        return _relative(self.first, scores)

    def _repeats(self, base: torch.Tensor) -> None:
        """Ask again about the same batch: on a CPU the same operations round in the same way."""
        if self._apart(self.subject(base)).max() > self._noise():
            self._not_repeated(base)

    def _noise(self) -> float:
        """Return by how much the same scores, computed again, may differ."""
        if self.subject.device.type == "cpu":
            return _ROUNDINGS * 2.0**-24
        return max(2.0 * self.unit, _ROUNDINGS * 2.0**-24)  # some sums are taken in any order

    def _not_repeated(self, base: torch.Tensor) -> None:
        drawn = drawing_layer(self._instrumented, self.parts, base, self.subject.device)
        if drawn is not None:
            self._refuse_draws(drawn)
        layer = self._layer(base, base, slice(None), slice(None))
        raise ModelProbeError(
            f"{layer} gives other scores for the same batch when it is asked again: votes count "
            "only if the same noisy input always gets the same answer, so let it keep nothing "
            "from one call to the next (hidden states, counters, running statistics, caches) "
            "and draw no random numbers of its own"
        )

    def _refuse_draws(self, layer: Layer) -> None:
        raise ModelProbeError(
            f"{layer} draws random numbers that change its scores, in evaluation mode too: the "
            "same noisy input must always get the same answer, so draw them in training only "
            "(nn.Dropout, or F.dropout(…, training=self.training)), or leave the augmentation out"
        )

    def _company(self, base: torch.Tensor) -> None:
        """Ask about the same rows in other places and beside other rows, in one shape."""
        rows = len(base)
        if rows == 1:
            return
        batch = base.clone()  # one piece of memory, overwritten, as when sampling
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(0))
        batch.copy_(base[order.to(base.device)])
        self._compare(batch, slice(None), base, order)
        kept = torch.arange(0, rows, max(rows // 4, 2))
        batch.copy_(self.clean.expand_as(batch))
        batch[kept] = base[kept]
        self._compare(batch, kept, base, kept)
        for i in (0, rows - 1):
            batch.copy_(base[i : i + 1].expand_as(batch))
            self._compare(batch, slice(None), base, torch.full((rows,), i))

    def _compare(
        self, batch: torch.Tensor, rows: _Rows, base: torch.Tensor, same_as: torch.Tensor
    ) -> None:
        """Raise where the rows of a batch differ from the rows of the base that they equal."""
        self._judge(self.subject(batch)[rows], batch, rows, base, same_as)

    def _judge(
        self,
        found: torch.Tensor,
        batch: torch.Tensor,
        rows: _Rows,
        base: torch.Tensor,
        same_as: torch.Tensor,
    ) -> None:
        wanted = self.first[same_as]
        suspect = _relative(wanted, found) > _ROUNDINGS * self.unit
        if not suspect.any():
            return
        spread = self._spread(base)[same_as]
        if not (_difference(wanted, found)[suspect] > _EXPLAINED * spread[suspect]).any():
            return
        layer = self._layer(base, batch, same_as, rows)
        raise ModelProbeError(
            f"{layer} lets the rows of a batch depend on each other: the same noisy input gets "
            f"other scores in other company. Votes count only if they are independent: {layer.cure}"
        )

    def _spread(self, base: torch.Tensor) -> torch.Tensor:
        """Return by how much the scores of each row move when inputs move within rounding."""
        generator = torch.Generator(device=base.device).manual_seed(0)
        spread = torch.zeros(len(base), dtype=torch.float64)
        for _ in range(_MOVES):
            signs = torch.randint(0, 2, base.shape, generator=generator, device=base.device) * 2 - 1
            moved = self.subject(base * (1.0 + _MOVED_BY * self.unit * signs.to(base.dtype)))
            spread = torch.maximum(spread, _difference(self.first, moved))
        return spread

    def _sizes(self) -> list[int]:
        """Return the batch sizes to ask in, other than that of the base."""
        wanted = {1, 3, self.batch_size} - {self.rows}
        return sorted(size for size in wanted if size <= self.batch_size)

    def _in_batches_of(self, size: int) -> bool:
        """Ask about the first rows in a batch of another size; return whether it takes it."""
        starts = (0, self.rows // 2) if size < self.rows else (0,)
        for start in starts:
            batch = self.noisy[start : start + size].clone()
            shared = min(len(batch), self.rows - start)
            try:
                found = self.subject(batch)
            except Exception:
                if size == self.batch_size:
                    raise
                return False
            same_as = torch.arange(start, start + shared)
            base = self.noisy[: self.rows]
            self._judge(found[:shared], batch, slice(0, shared), base, same_as)
        return True

    def _draws(self, drew: list[str]) -> None:
        """Ask with other states of the generators that have moved, two of them forced."""
        for batch in self.noisy.split(self.rows):
            scores = []
            for kind in range(_STATES):
                force(kind)
                scores.append(self.subject(batch.clone()))
            if any(_relative(scores[0], other).max() > self._noise() for other in scores[1:]):
                drawn = drawing_layer(self._instrumented, self.parts, batch, self.subject.device)
                self._refuse_draws(drawn or Layer.of_parts(self.parts))
        warnings.warn(
            f"the model draws random numbers ({', '.join(drew)}) when it is called; scores were "
            f"the same in {_STATES} calls with other numbers, but an effect that is rarer "
            "would not be seen: draw them in training only",
            ModelProbeWarning,
            stacklevel=2,
        )

    def _state(self, base: torch.Tensor, state: State) -> None:
        """Ask with counters and buffers that have changed as they would be after many calls."""
        for name, layer in state.extrapolations():
            try:
                again = self.subject(base)
                differs = bool(self._apart(again).max() > self._noise())
            except Exception:
                differs = True
            if differs:
                raise ModelProbeError(
                    f"{layer} keeps {name!r}, which changes from call to call and changes its "
                    "scores: the same noisy input must always get the same answer, so let it "
                    "be updated in training only, or start it anew in each call"
                )

    def _instrumented(self, batch: torch.Tensor) -> torch.Tensor:
        """Run the model for its layers' hooks, which compiled code would not call."""
        with _eager():
            return self.subject(batch, self.subject.eager)

    def _layer(
        self, base: torch.Tensor, batch: torch.Tensor, same_as: _Rows, rows: _Rows
    ) -> Layer:
        tolerance = _ROUNDINGS * self.unit
        return first_layer(
            self._instrumented, self.parts, (base, same_as), (batch, rows), tolerance
        )

    def _report(self, sizes: Sequence[int], skipped: Sequence[int]) -> str:
        kinds = "asked again"
        if self.rows > 1:
            kinds += ", permuted, in other company, as copies of one"
        if sizes:
            kinds += f", in batches of {', '.join(map(str, sizes))}"
        only = f"; batches of {', '.join(map(str, skipped))} are not taken" if skipped else ""
        if self.subject.eager is not None:
            only = "; in batches of this size only, for which the model is compiled"
        return (
            f"{self.rows} noisy inputs, {kinds}: the same scores within rounding "
            f"(unit {self.unit:.2g}){only}"
        )


_Rows = slice | torch.Tensor


def _difference(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return by how much each row's scores differ; NaN equals NaN, and infinity itself."""
    same = (first == second) | (first.isnan() & second.isnan())
    apart = (first - second).abs().nan_to_num(nan=torch.inf)
    return apart.masked_fill(same, 0.0).amax(dim=1)


def _relative(first: torch.Tensor, second: torch.Tensor) -> torch.Tensor:
    """Return the differences of rows relative to the size of their scores."""
    finite = torch.where(first.isfinite(), first.abs(), 0.0).amax(dim=1)
    scale = torch.maximum(finite, finite.median()).clamp(min=1e-300)
    return _difference(first, second) / scale


@contextmanager
def _eager() -> Iterator[None]:
    """Run compiled modules as they were before, where torch can."""
    stance: Callable[[str], object] | None = getattr(torch.compiler, "set_stance", None)
    if stance is None:
        yield
        return
    with stance("force_eager"):  # type: ignore[attr-defined]
        yield


class _Precision(TorchDispatchMode):
    """Finds the coarsest floating type that operations compute in."""

    def __init__(self) -> None:
        super().__init__()
        self.unit = 0.0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        output = func(*args, **(kwargs or {}))
        if func.namespace == "quantized":
            self.unit = max(self.unit, _INT8)
        for part in output if isinstance(output, tuple | list) else (output,):
            if isinstance(part, torch.Tensor):
                self.unit = max(self.unit, _unit(part.dtype))
        return output


def _unit(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).eps / 2 if dtype.is_floating_point else 0.0


def _rounding_unit(
    subject: Subject, parts: list[tuple[str, object]], batch: torch.Tensor
) -> tuple[float, torch.Tensor | None]:
    """Return the unit roundoff of the coarsest type that a model computes in, and its scores.

    Quantized layers round to eight bits, and the tensor cores of a GPU to the 11 of TF32 where
    that is allowed. Of what is not torch's own only the type of its scores is known, unless it
    says so by an attribute ``rounding``.
    """
    known = [getattr(part, "rounding", None) for _, part in parts]
    units = [2.0**-53, *(value for value in known if isinstance(value, float))]
    units += [_unit(t.dtype) for _, part in parts for t in _tensors(part)]
    if subject.autocast is not None:
        units.append(_unit(subject.autocast))
    if subject.device.type == "cuda" and (
        torch.backends.cuda.matmul.allow_tf32 or torch.backends.cudnn.allow_tf32
    ):
        units.append(_unit(torch.float16))
    if torch.get_float32_matmul_precision() == "medium":
        units.append(_unit(torch.bfloat16))
    seen, scores = _Precision(), None
    try:
        with _eager(), seen:
            scores = subject(batch, subject.eager)
    except Exception:  # some fused operations cannot be watched: what is known must do
        units.append(_unit(torch.get_default_dtype()))
    return max(*units, seen.unit), scores


def _tensors(part: object) -> list[torch.Tensor]:
    """Return the tensors of a module itself."""
    if not isinstance(part, torch.nn.Module):
        return []
    return [*part.parameters(recurse=False), *part.buffers(recurse=False)]
