"""What is checked of a model before its votes count: independent rows, the same answer again.

Votes are independent draws only if a row's scores depend on that row alone and the same row
gets the same scores again. A batch normalization without running statistics, a softmax along
the batch, dropout that is always on or a hidden state that is kept breaks this without an
error. So the model is asked about a few noisy inputs: again, in another order, in other
company, as copies of one input, alone and in batches of other sizes.

*What is a difference.* Kernels of other batch shapes round differently. Scores differ if they
do so by more than `_ROUNDINGS` units of the coarsest floating type that the model computes in,
relative to the scores, and if besides that they differ by more than `_EXPLAINED` times what
the scores move when inputs and the outputs of layers move by a few such units. The second is
what rounding can do to this model: it is large where two experts, or two labels, are within
rounding of each other.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace

import torch

from rsverify.smoothing.batches import CleanInput, NoisyInputs, Scores, check_model_output
from rsverify.smoothing.noise.gaussian import Noise, seeded_generator
from rsverify.smoothing.probing.culprit import PREPROCESS, Layer, drawing_layer, first_layer
from rsverify.smoothing.probing.randomness import Watch, force, reachable, sources
from rsverify.smoothing.probing.rounding import (
    difference,
    relative_difference,
    rounding_unit,
    spread,
)
from rsverify.smoothing.probing.state import State
from rsverify.smoothing.probing.unseen import unseen

PROBE = 4
"""The stream of the noise that models are probed with: of none of the samples."""

_ROUNDINGS = 16.0
_EXPLAINED = 4.0
_REPEATS = 4
_STATES = 8  # of the generators, where a model draws: two of them forced
_FEW = 8
_NOISY = 32  # inputs that a model which draws is asked about


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
        return scores.cpu().double()


class Inputs:
    """Noisy inputs around one that no sample uses: the same ones whenever they are asked for."""

    def __init__(
        self,
        noise: Noise,
        center: torch.Tensor,
        batch_size: int,
        memory_format: torch.memory_format = torch.contiguous_format,
    ) -> None:
        self._noise, self._center, self._format = noise, center, memory_format
        self._size = max(batch_size, _NOISY)
        self.device = center.device

    def noisy(self, rows: int) -> torch.Tensor:
        """Return the first so many of them."""
        generator = seeded_generator(0, PROBE, self.device)
        source = NoisyInputs(self._noise, self._center, self._size, generator=generator)
        return self._filled(source, rows)

    def clean(self) -> torch.Tensor:
        """Return the input without noise, as a batch of one."""
        return self._filled(CleanInput(self._noise, self._center), 1)

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
    watch = Watch(sources(parts, inputs.device))
    state, few = State(parts), min(batch_size, _FEW)
    try:
        if subject.autocast is not None:
            _probe_in_full(subject, parts, state, inputs, few)
        return _Session(subject, parts, state, inputs, batch_size, min(batch_size, rows)).run()
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
        _Session(full, parts, state, inputs, rows, rows).run()
    except ModelProbeError:
        raise
    except Exception:  # of the model
        return


class Probes:
    """What was probed of one model, so that it is done once for all inputs of a shape."""

    def __init__(self) -> None:
        self._said: dict[Hashable, tuple[int, str]] = {}
        self._owners: list[object] = []  # kept, so that what is known by its id stays that
        self.text = ""
        """What was said of the batches that were sampled last."""

    def probe(self, subject: Subject, noise: Noise, center: torch.Tensor, batch_size: int) -> str:
        """Probe the model around `center`, unless it was in batches as large as this.

        Modules that have been exchanged are another model. Raises as `probe`.
        """
        owners = [part for part in (subject.model, subject.preprocess) if part is not None]
        modules = [
            m for part in owners if isinstance(part, torch.nn.Module) for m in part.modules()
        ]
        key = (*map(id, owners), *map(id, modules), center.shape, center.dtype, center.device)
        largest, self.text = self._said.get(key, (0, ""))
        if batch_size > largest:
            inputs = Inputs(noise, center, batch_size)
            self.text = probe(subject, inputs, batch_size=batch_size)
            self._said[key] = batch_size, self.text
            self._owners.append(owners)
        return self.text


@dataclass
class _Session:
    subject: Subject
    parts: list[tuple[str, object]]
    state: State
    inputs: Inputs
    batch_size: int
    rows: int
    unit: float = field(init=False)
    first: torch.Tensor = field(init=False)

    def run(self) -> str:
        """Ask the model, what tells most first: so that a cause is named, not its consequence."""
        subject, base = self.subject, self.inputs.noisy(self.rows)
        self.unit, earlier = rounding_unit(self._instrumented, self.parts, base, subject.autocast)
        watch = Watch(sources(self.parts, base.device))
        self.first = subject(base)
        for _ in range(_REPEATS):
            self._repeats(base)
        if earlier is not None and self._apart(earlier).max() > _ROUNDINGS * self.unit:
            self._not_repeated(base)
        self._company(base)
        sizes = self._sizes() if subject.eager is None else []
        skipped = [size for size in sizes if not self._in_batches_of(size, base)]
        self._repeats(base)
        if drew := watch.moved():
            self._draws(drew)
        self._unseen(base)
        self._state(base)
        return self._report([size for size in sizes if size not in skipped], skipped)

    def _apart(self, scores: torch.Tensor) -> torch.Tensor:
        return relative_difference(self.first, scores)

    def _repeats(self, base: torch.Tensor) -> None:
        """Ask again about the same batch: on a CPU the same operations round in the same way."""
        if self._apart(self.subject(base)).max() > self._noise():
            self._not_repeated(base)

    def _noise(self) -> float:
        """Return by how much the same scores, computed again, may differ."""
        if self.inputs.device.type == "cpu":
            return _ROUNDINGS * 2.0**-24
        return max(2.0 * self.unit, _ROUNDINGS * 2.0**-24)  # some sums are taken in any order

    def _not_repeated(self, base: torch.Tensor) -> None:
        drawn = drawing_layer(self._instrumented, self.parts, base, base.device)
        if drawn is not None:
            self._refuse_draws(drawn)
        everything = base, slice(None)
        exact = 0.0 if base.device.type == "cpu" else self.unit
        layer = first_layer(self._instrumented, self.parts, everything, everything, exact)
        if not layer.name:  # it may have changed for good, and repeat itself by now
            layer = next(self.state.changed(), layer)
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
        batch[:] = base[order]
        self._compare(batch, slice(None), base, order)
        kept = torch.arange(0, rows, max(rows // 4, 2))
        batch[:] = self.inputs.clean()
        batch[kept] = base[kept]
        self._compare(batch, kept, base, kept)
        for i in (0, rows - 1):
            batch[:] = base[i : i + 1]
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
        suspect = relative_difference(wanted, found) > _ROUNDINGS * self.unit
        if not suspect.any():
            return
        rounding = spread(self._instrumented, self.parts, base, self.first, self.unit)[same_as]
        if not (difference(wanted, found)[suspect] > _EXPLAINED * rounding[suspect]).any():
            return
        layer = self._layer(base, batch, same_as, rows)
        raise ModelProbeError(
            f"{layer} lets the rows of a batch depend on each other: the same noisy input gets "
            f"other scores in other company. Votes count only if they are independent: {layer.cure}"
        )

    def _sizes(self) -> list[int]:
        """Return the batch sizes to ask in, other than that of the base."""
        wanted = {1, 3, self.batch_size} - {self.rows}
        return sorted(size for size in wanted if size <= self.batch_size)

    def _in_batches_of(self, size: int, base: torch.Tensor) -> bool:
        """Ask about the first rows in a batch of another size; return whether it takes it."""
        if size > self.rows:
            return self._spread_over(size, base)
        for start in (0, self.rows // 2):
            batch = self.inputs.noisy(start + size)[start:]
            shared = min(len(batch), self.rows - start)
            try:
                found = self.subject(batch)
            except Exception:
                if size == self.batch_size:
                    raise
                return False
            same_as = torch.arange(start, start + shared)
            self._judge(found[:shared], batch, slice(0, shared), base, same_as)
        return True

    def _spread_over(self, size: int, base: torch.Tensor) -> bool:
        """Ask about the base in a larger batch, from its first place to its last.

        Room that is given to those who come first, or a last row that is padding, shows there.
        """
        places = torch.linspace(0, size - 1, self.rows).round().long()
        batch = self.inputs.noisy(size)
        # Beside others than where the base was drawn; row by row, for a copy is half a batch.
        even = range(0, size, 2)
        for here, there in zip(even[: len(even) // 2], reversed(even), strict=False):
            row = batch[here].clone()
            batch[here] = batch[there]
            batch[there] = row
        batch[places] = base
        self._judge(self.subject(batch)[places], batch, places, base, torch.arange(self.rows))
        return True

    def _draws(self, drew: list[str]) -> None:
        """Ask with other states of the generators that have moved, two of them forced."""
        for batch in self.inputs.noisy(_NOISY).split(self.rows):
            scores = []
            for kind in range(_STATES):
                force(kind)
                scores.append(self.subject(batch.clone()))
            if any(
                relative_difference(scores[0], other).max() > self._noise() for other in scores[1:]
            ):
                drawn = drawing_layer(self._instrumented, self.parts, batch, batch.device)
                self._refuse_draws(drawn or Layer.outside(self.parts, of_model=True))
        warnings.warn(
            f"the model draws random numbers ({', '.join(drew)}) when it is called; scores were "
            f"the same in {_STATES} calls with other numbers, but an effect that is rarer "
            "would not be seen: draw them in training only",
            ModelProbeWarning,
            stacklevel=2,
        )

    def _state(self, base: torch.Tensor) -> None:
        """Ask with counters and buffers that have changed as they would be after many calls."""
        for name, layer in self.state.extrapolations():
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

    def _unseen(self, base: torch.Tensor) -> None:
        """Warn of what a model asks or keeps of which nobody can tell what it will be later."""
        found = unseen(self.subject.model, self.subject.preprocess, self._instrumented, base)
        if found:
            warnings.warn(
                f"the model {found}; scores were the same each time it was asked, but whether they "
                "stay so cannot be told: votes count only if the same noisy input always gets the "
                "same answer",
                ModelProbeWarning,
                stacklevel=2,
            )

    def _instrumented(self, batch: torch.Tensor) -> torch.Tensor:
        """Run the model for its layers' hooks, which compiled code would not call."""
        with _eager():
            return self.subject(batch, self.subject.eager)

    def _layer(self, base: torch.Tensor, batch: torch.Tensor, same_as: _Rows, rows: _Rows) -> Layer:
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


@contextmanager
def _eager() -> Iterator[None]:
    """Run compiled modules as they were before, where torch can."""
    stance: Callable[[str], object] | None = getattr(torch.compiler, "set_stance", None)
    if stance is None:
        yield
        return
    with stance("force_eager"):  # type: ignore[attr-defined]
        yield
