"""Several processes, one table: each certifies its share and writes a shard, which are merged.

The processes share nothing but what the first one decides and the moment when all are ready;
so they talk over gloo, on the CPU, wherever the models are.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import torch.distributed as dist

from rsverify._core.files import remove_file
from rsverify._core.lock import locked
from rsverify.tables.merge import merge_tables
from rsverify.tables.metadata import check_same_configuration, metadata_path, read_metadata

T = TypeVar("T")

# How long one process may wait for the others where all do the same, such as trying the model.
_PATIENCE = timedelta(hours=1)
# And how long at the end, where shares may differ: as long again as its own took, and no less.
_LEAST_PATIENCE = timedelta(minutes=30)


class Group:
    """The processes that certify one data set together; alone where there is one."""

    def __init__(
        self, rank: int = 0, world: int = 1, group: dist.ProcessGroup | None = None
    ) -> None:
        self.rank, self.world, self._group = rank, world, group
        self._started = time.monotonic()

    def first_does(self, work: Callable[[], T]) -> T:
        """Return what `work` returns in the first process; raise everywhere if it raises."""
        if self.world == 1:
            return work()
        answer: list[Any] = [None, None]
        if self.rank == 0:
            try:
                answer[0] = work()
            except Exception as error:
                answer[1] = error
        with _lost_processes():
            dist.broadcast_object_list(answer, src=0, group=self._group)
        if answer[1] is not None:
            raise answer[1]
        result: T = answer[0]
        return result

    def gather(self, value: T) -> list[T]:
        """Return the values of all processes, once all have come here."""
        if self.world == 1:
            return [value]
        values = [value] * self.world
        with _lost_processes():
            dist.all_gather_object(values, value, group=self._group)
        return values

    def check_same(self, what: str, mine: Mapping[str, object]) -> None:
        """Raise in all processes where `mine` is not the same in all."""
        every = self.gather(dict(mine))
        for rank, theirs in enumerate(every):
            for key, value in theirs.items():
                if value != every[0].get(key):
                    raise ValueError(
                        f"{key}={value!r} of the {what} of process {rank} must be that of process "
                        f"0, {every[0].get(key)!r}: one table is made by one kind of {what}"
                    )

    def meet(self) -> None:
        """Return once all processes are done with their shares.

        Raises
        ------
        OSError
            If one has ended, or is not done when this one has waited as long as its own share
            took, and at least half an hour.
        """
        if self.world == 1:
            return
        own = timedelta(seconds=time.monotonic() - self._started)
        with _lost_processes():
            dist.monitored_barrier(self._group, max(own, _LEAST_PATIENCE), wait_all_ranks=True)


@contextmanager
def _lost_processes() -> Iterator[None]:
    """Say in one line that another process has ended or is silent."""
    try:
        yield
    except RuntimeError as error:
        cause = str(error).strip().partition("\n")[0]
        raise OSError(
            "another process of this run has ended or did not answer in time; rows that are "
            f"written stay, and the same command goes on from there ({cause})"
        ) from error


def is_first_process() -> bool:
    """Return whether this is the process that speaks for all, before they have joined."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank() == 0
    return int(os.environ.get("RANK", "0")) == 0


@contextmanager
def joined_processes() -> Iterator[Group]:
    """Give the body the group of processes that torchrun, or the caller, has started."""
    started = dist.is_available() and dist.is_initialized()
    if not started and int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield Group()
        return
    if not started:
        dist.init_process_group("gloo", timeout=_PATIENCE)
    try:
        talk = dist.new_group(backend="gloo", timeout=_PATIENCE)
        yield Group(dist.get_rank(), dist.get_world_size(), talk)
    finally:
        if not started:
            dist.destroy_process_group()


_SHARD = r"\.shard-\d+-of-\d+"


def check_not_a_shard(out: Path) -> None:
    """Raise where a table of this name would be taken for a part of another one."""
    if re.search(_SHARD, out.name):
        raise ValueError(
            f"out={str(out)!r} must not hold .shard-…-of-…: so the parts of a table are named"
        )


def shard_path(out: Path, group: Group) -> Path:
    """Return where a process writes its rows: the table itself where it is alone."""
    if group.world == 1:
        return out
    return out.with_name(f"{out.stem}.shard-{group.rank}-of-{group.world}{out.suffix}")


def shards_of(out: Path) -> list[Path]:
    """Return the shards beside the table `out`, in the order of their names.

    Those too of which only the JSON is left, or a hidden file: a process was killed before its
    first row, or in `merge_shards`. No name is taken for a pattern.
    """
    endings = {out.suffix, metadata_path(Path("x" + out.suffix)).name[1:]}
    ending = "|".join(map(re.escape, endings))
    left = r"(\.rsverify-(lock|partial))?"
    name = re.compile(f"\\.?{re.escape(out.stem)}({_SHARD})({ending}){left}")
    try:
        found = [name.fullmatch(path.name) for path in out.parent.iterdir()]
    except FileNotFoundError:
        return []
    return sorted({out.with_name(f"{out.stem}{m[1]}{out.suffix}") for m in found if m})


def merge_shards(out: Path, configuration: Mapping[str, object]) -> None:
    """Move the rows of all shards beside `out`, whose lock the caller holds, into it.

    A process killed in here leaves the table as it was or as it shall be, and shards whose
    rows the next merge finds there already.

    Raises
    ------
    ValueError
        If a shard was written with another configuration, or is damaged, or a file has the
        name of a shard and is none. Nothing is written or removed then.
    OSError
        If a shard is being written.
    """
    shards = shards_of(out)
    with ExitStack() as locks:
        for shard in shards:
            locks.enter_context(locked(shard))
            if shard.exists():
                check_same_configuration(shard, configuration)
            else:
                read_metadata(shard)  # of a run without a row, or nobody's, which is left alone
        merge_tables([shard for shard in shards if shard.exists()], out, held=True)
        for shard in shards:
            remove_file(shard)
            remove_file(metadata_path(shard))
