"""A process that ends or hangs does not keep the others waiting, and no row is lost."""

import os
import signal
import socket
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from rsverify.smoothing import distributed  # noqa: E402
from rsverify.tables.reader import read_table  # noqa: E402

SCRIPT = Path(__file__).parents[1] / "support" / "two_ranks.py"
if not torch.distributed.is_available():
    pytest.skip("this torch cannot start processes", allow_module_level=True)


def start(folder: Path, rank: int, port: int) -> subprocess.Popen[str]:
    environment = os.environ | {
        "RANK": str(rank),
        "WORLD_SIZE": "2",
        "LOCAL_RANK": str(rank),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        [sys.executable, str(SCRIPT), str(folder)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


@pytest.mark.slow
@pytest.mark.parametrize("how", ["killed", "hangs"])
def test_a_lost_process_ends_the_run_in_one_line(tmp_path, how):
    port = free_port()
    first, second = (start(tmp_path, rank, port) for rank in (0, 1))
    try:
        deadline = time.monotonic() + 120
        while not (tmp_path / "ready").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        if how == "killed":
            second.send_signal(signal.SIGKILL)
        output, _ = first.communicate(timeout=60)
    finally:
        for process in (first, second):
            process.kill()
            process.communicate()

    assert first.returncode == 3
    assert output.count("\n") == 1
    assert output.startswith("OSError: another process of this run has ended or did not answer")
    # Its rows are there, and those of the second process that were written.
    shards = sorted(tmp_path.glob("table.shard-*-of-2.tsv"))
    assert read_table(shards[0])["idx"].tolist() == [0, 2, 4, 6]


class Spy:
    """In place of torch.distributed: says what it was asked to do."""

    def __init__(self, rank: int = 0) -> None:
        self.backends: list[str] = []
        self.timeouts: list[timedelta] = []
        self.rank = rank

    def is_available(self) -> bool:
        return True

    def is_initialized(self) -> bool:
        return False

    def init_process_group(self, backend: str, *, timeout: timedelta) -> None:
        self.backends.append(backend)
        self.timeouts.append(timeout)

    def new_group(self, *, backend: str, timeout: timedelta) -> str:
        self.backends.append(backend)
        self.timeouts.append(timeout)
        return "group"

    def get_rank(self) -> int:
        return self.rank

    def get_world_size(self) -> int:
        return 2

    def monitored_barrier(self, group: str, timeout: timedelta, wait_all_ranks: bool) -> None:
        assert group == "group"
        assert wait_all_ranks
        self.timeouts.append(timeout)
        raise RuntimeError("[Rank 0]: Ranks 1 failed to pass monitoredBarrier in 3000 ms\nmore")

    def all_gather_object(self, values: list[object], value: object, group: str) -> None:
        assert group == "group"
        values[:] = [value, self.theirs]

    theirs: object = None

    def destroy_process_group(self) -> None:
        pass


@pytest.mark.parametrize("gpus", [False, True])
def test_processes_talk_by_gloo_alone_and_wait_for_hours_at_most(monkeypatch, gpus):
    spy = Spy()
    monkeypatch.setattr(distributed, "dist", spy)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        distributed.joined_processes() as group,
        pytest.raises(OSError, match=r"another process .* Ranks 1 failed to pass") as caught,
    ):
        group.meet()
    assert set(spy.backends) == {"gloo"}
    assert max(spy.timeouts) <= timedelta(hours=1)
    assert "\n" not in str(caught.value)


def test_patience_is_as_long_as_the_own_share_took(monkeypatch):
    """Shares of one run take about as long, so that nobody who only computes is given up."""
    spy = Spy()
    monkeypatch.setattr(distributed, "dist", spy)
    group = distributed.Group(0, 2, "group")
    group._started -= 5 * 3600
    with pytest.raises(OSError, match="goes on from there"):
        group.meet()
    assert timedelta(hours=5) <= spy.timeouts[-1] < timedelta(hours=5, minutes=1)


@pytest.mark.parametrize(
    ("mine", "theirs", "message"),
    [
        ({"device_name": "A"}, {"device_name": "B"}, "device_name='B' of the device of process 1"),
        ({"torch": "2.6"}, {"torch": "2.5"}, "torch='2.5' of the device of process 1"),
        ({"cudnn": 9}, {"cudnn": None}, "cudnn=None of the device of process 1"),
    ],
)
def test_processes_on_unlike_devices_are_refused(monkeypatch, mine, theirs, message):
    spy = Spy()
    spy.theirs = theirs
    monkeypatch.setattr(distributed, "dist", spy)
    with pytest.raises(ValueError, match=message):
        distributed.Group(0, 2, "group").check_same("device", mine)
    spy.theirs = mine
    distributed.Group(0, 2, "group").check_same("device", mine)


def test_one_process_waits_for_nobody():
    group = distributed.Group()
    group.meet()
    group.check_same("device", {"device_name": "A"})
