"""Asks a model about the same noisy inputs in many ways, and tells rounding from dependence.

*What is a difference.* Kernels of other batch shapes round differently. Scores differ if they
do so by more than `_ROUNDINGS` units of the coarsest floating type that the model computes in,
relative to the scores, and if besides that they differ by more than `_EXPLAINED` times what
the scores move when inputs and the outputs of layers move by a few such units. The second is
what rounding can do to this model: it is large where two experts, or two labels, are within
rounding of each other.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field

import torch

from rsverify.smoothing.probing.culprit import Layer, drawing_layer, first_layer
from rsverify.smoothing.probing.randomness import Watch, force, sources
from rsverify.smoothing.probing.rounding import (
    difference,
    relative_difference,
    rounding_unit,
    spread,
)
from rsverify.smoothing.probing.state import State
from rsverify.smoothing.probing.subject import NOISY, Inputs, Subject
from rsverify.smoothing.probing.unseen import unseen

_ROUNDINGS = 16.0
_EXPLAINED = 4.0
_REPEATS = 4
_STATES = 8  # of the generators, where a model draws: two of them forced


class ModelProbeError(ValueError):
    """A model's rows depend on each other, or it does not repeat its answers."""


class ModelProbeWarning(UserWarning):
    """Something about a model cannot be told by asking it a few times."""


@dataclass
class Asking:
    """One probing of a model, by asking it again and again."""

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
        length = self._longer(base)
        sizes = self._sizes() if subject.eager is None else []
        skipped = [size for size in sizes if not self._in_batches_of(size, base)]
        self._repeats(base)
        if drew := watch.moved():
            self._draws(drew)
        self._unseen(base)
        self._state(base)
        return self._report([size for size in sizes if size not in skipped], skipped) + length

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
        order = torch.randperm(rows, generator=torch.Generator().manual_seed(0), device="cpu")
        batch[:] = base[order]
        self._compare(batch, slice(None), base, order)
        kept = torch.arange(0, rows, max(rows // 4, 2), device="cpu")
        batch[:] = self.inputs.clean()
        batch[kept] = base[kept]
        self._compare(batch, kept, base, kept)
        for i in (0, rows - 1):
            batch[:] = base[i : i + 1]
            self._compare(batch, slice(None), base, torch.full((rows,), i, device="cpu"))

    def _longer(self, base: torch.Tensor) -> str:
        """Ask about rows of which the noise leaves the same: as long ones, and after insertions."""
        moved, batch = self.inputs.moved(base), self.inputs.longer(base)
        if moved is not None and self._differs(self.subject(moved, self.subject.eager), base):
            raise ModelProbeError(
                "the model gives other scores where other tokens were dropped and the same are "
                "left: radii in edit distance need a model that does not see where tokens were "
                "dropped, so leave no gaps for them in mask"
            )
        if batch is None:
            return ""
        try:
            found = self.subject(batch, self.subject.eager)
        except Exception:  # of the model: its rows are of one length
            return "; longer rows are not taken, so radii are about rows of this length at most"
        if self._differs(found, base):
            raise ModelProbeError(
                "the model gives other scores where more tokens were dropped and the same are "
                "left: radii in edit distance need a model that does not see how far a row was "
                "filled up, so mask what fills up (attention_mask=batch != mask), or fill up to "
                "one length in preprocess"
            )
        return ", also in longer rows"

    def _differs(self, found: torch.Tensor, base: torch.Tensor) -> bool:
        """Return whether scores differ from those of the base by more than rounding does."""
        suspect = self._apart(found) > _ROUNDINGS * self.unit
        if suspect.any():
            rounding = spread(self._instrumented, self.parts, base, self.first, self.unit)
            suspect &= difference(self.first, found) > _EXPLAINED * rounding
        return bool(suspect.any())

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
            same_as = torch.arange(start, start + shared, device="cpu")
            self._judge(found[:shared], batch, slice(0, shared), base, same_as)
        return True

    def _spread_over(self, size: int, base: torch.Tensor) -> bool:
        """Ask about the base in a larger batch, from its first place to its last.

        Room that is given to those who come first, or a last row that is padding, shows there.
        """
        places = torch.linspace(0, size - 1, self.rows, device="cpu").round().long()
        batch = self.inputs.noisy(size)
        # Beside others than where the base was drawn; row by row, for a copy is half a batch.
        even = range(0, size, 2)
        for here, there in zip(even[: len(even) // 2], reversed(even), strict=False):
            row = batch[here].clone()
            batch[here] = batch[there]
            batch[there] = row
        batch[places] = base
        same_as = torch.arange(self.rows, device="cpu")
        self._judge(self.subject(batch)[places], batch, places, base, same_as)
        return True

    def _draws(self, drew: list[str]) -> None:
        """Ask with other states of the generators that have moved, two of them forced."""
        for batch in self.inputs.noisy(NOISY).split(self.rows):
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
        with closing(self.state.extrapolations()) as extrapolated:
            for name, layer in extrapolated:
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
        subject, tried = self.subject, self.state.tried()
        found = unseen(subject.model, subject.preprocess, self._instrumented, base, tried)
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
    """Run compiled modules as they were before, where there are any and torch can."""
    stance: Callable[[str], object] | None = getattr(torch.compiler, "set_stance", None)
    # The compiler takes a second to import, and sets variables and filters of the process.
    if stance is None or "torch._dynamo" not in sys.modules:
        yield
        return
    with stance("force_eager"):  # type: ignore[attr-defined]
        yield
