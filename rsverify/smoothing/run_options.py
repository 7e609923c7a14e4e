"""How a data set is certified, beside what is asked about each input: checked once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from rsverify._core.check import check_flag, check_size, shown
from rsverify._core.progress import ProgressOption, check_progress
from rsverify.smoothing.accuracy import AccuracyGoal
from rsverify.smoothing.data.inputs import Seed, check_autocast, check_batch_size, check_origin
from rsverify.smoothing.request import Request
from rsverify.smoothing.sampling.session import Execution

FLAGS = ("resume", "force", "certify_label", "compile", "channels_last", "record_time")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """The arguments of `certify_dataset` that are none of `Request`."""

    resume: bool
    force: bool
    certify_label: bool
    seed: Seed
    skip: int
    max_inputs: int | None
    share: tuple[int, int] | None
    accuracy: AccuracyGoal | None
    """Inputs are in random order, and enough of them, where this is given."""
    input_range: tuple[float, float] | None
    batch_size: int | None
    autocast: torch.dtype | None
    compile: bool
    channels_last: bool
    workers: int
    record_time: bool
    progress: ProgressOption
    origin: Mapping[str, object] | None
    estimated: Callable[[str], None] | None = None
    """Told what the run is estimated to take, in words, before it begins."""

    def __post_init__(self) -> None:
        """Take each option for what it is, or raise."""
        checked: dict[str, object] = {name: check_flag(name, getattr(self, name)) for name in FLAGS}
        checked["progress"] = check_progress(self.progress)
        check_autocast(self.autocast)
        check_origin(self.origin)
        checked["skip"] = check_size("skip", self.skip)
        if self.max_inputs is not None:
            checked["max_inputs"] = check_size("max_inputs", self.max_inputs)
        if self.batch_size is not None:
            checked["batch_size"] = check_batch_size(self.batch_size)
        for name, value in checked.items():
            object.__setattr__(self, name, value)

    @property
    def execution(self) -> Execution:
        """How it is computed, as far as that can show in the last digits of scores."""
        return Execution(
            autocast=self.autocast, compiled=self.compile, channels_last=self.channels_last
        )

    def check_with(self, request: Request) -> None:
        """Raise where an option does not go with what is asked."""
        if request.of_scores and self.execution != Execution():
            raise ValueError(
                "autocast, compile and channels_last must be left out for "
                f"bound={request.bound!r}, which is of scores"
            )
        if self.accuracy is not None and self.share is not None:
            raise ValueError(
                f"share={self.share} must be None with accuracy_within, which needs one run"
            )

    def wanted(self, inputs: int) -> range:
        """Return which of so many inputs are certified, in all shares."""
        every = range(0, inputs, self.skip)
        return every if self.max_inputs is None else every[: self.max_inputs]

    def of_share(self, wanted: range) -> range:
        """Return those of `wanted` that are in the share of this run."""
        if self.share is None:
            return wanted
        share = self.share
        if not (isinstance(share, tuple | list) and len(share) == 2):
            raise TypeError(f"share={shown(share)} must be a pair: (3, 8) is the third of eight")
        of = check_size("share", share[1])
        first = check_size("share", share[0])
        if first > of:
            raise ValueError(f"share={first}/{of} must be at most {of}/{of}: shares count from 1")
        if self.seed is None:
            raise ValueError("seed must be given with share: all shares draw from one seed")
        mine = wanted[first - 1 :: of]
        if not mine:
            raise ValueError(
                f"share={first}/{of} is empty: only {len(wanted)} inputs are certified"
            )
        return mine
