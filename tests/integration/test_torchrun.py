"""Processes that share a data set write the table that one process writes, to the bit."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")

from rsverify._core.lock import locked  # noqa: E402
from rsverify.cli import app as cli  # noqa: E402
from rsverify.tables.reader import read_metadata, read_table  # noqa: E402

MODELS = Path(__file__).parents[1] / "support" / "shared_models.py"
if not torch.distributed.is_available():
    pytest.skip("this torch cannot start processes", allow_module_level=True)


def arguments(out, *more):
    asked = ("--n", 300, "--bound", "cohen", "--seed", 2, "--no-time")
    return [
        str(a) for a in ("certify", f"{MODELS}:smoothed", f"{MODELS}:images", out, *asked, *more)
    ]


def in_one_process(out, *more):
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as torchrun sets it
    try:
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments(out, *more))
    finally:
        torch.set_num_threads(threads)
    assert stopped.value.code == 0


def command(processes, out, *more):
    launch = ("-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}")
    return [sys.executable, *launch, "-m", "rsverify", "--", *arguments(out, *more)]


ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def by_torchrun(processes, out, *more):
    return subprocess.run(
        command(processes, out, *more),
        capture_output=True,
        text=True,
        env=ENVIRONMENT,
        timeout=300,
        check=False,
    )


def test_two_ranks_equal_one_process(tmp_path):
    one, two = tmp_path / "one.tsv", tmp_path / "two.tsv"
    in_one_process(one)
    # A part that was stopped in one process before is taken up by the two.
    in_one_process(two, "--max", 4)
    found = by_torchrun(2, two)

    assert found.returncode == 0, found.stderr
    assert two.read_bytes() == one.read_bytes()
    written = [line for line in found.stdout.splitlines() if line.startswith("Written:")]
    assert written == [f"Written: {two}", f"Written: {two.with_suffix('.json')}"]  # by one rank
    assert read_metadata(two)["execution"]["processes"] == 1  # of the run that began it
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "one.json",
        "one.tsv",
        "two.json",
        "two.tsv",
    ]
    assert len(read_table(two)) == 30


@pytest.mark.slow
def test_three_ranks_with_a_target_and_more_ranks_than_inputs(tmp_path):
    one, three = tmp_path / "one.tsv", tmp_path / "three.tsv"
    for more in (("--target-radius", 0.1, "--bound", "exact"), ("--max", 2)):
        in_one_process(one, *more)
        found = by_torchrun(3, three, *more)
        assert found.returncode == 0, found.stderr
        assert three.read_bytes() == one.read_bytes()
        for path in (one, three):
            path.unlink()


@pytest.mark.slow
def test_a_refusal_of_the_first_is_that_of_all(tmp_path):
    in_one_process(tmp_path / "table.tsv", "--max", 2)
    before = (tmp_path / "table.tsv").read_bytes()
    found = by_torchrun(2, tmp_path / "table.tsv", "--alpha", 0.01)

    assert found.returncode != 0
    assert found.stderr.count("alpha=0.01 must be 0.001 to resume") >= 1
    assert (tmp_path / "table.tsv").read_bytes() == before


@pytest.mark.slow
def test_two_ranks_killed_are_continued_by_one_process(tmp_path):
    one, two = tmp_path / "one.tsv", tmp_path / "two.tsv"
    in_one_process(one, "--n", 5000)
    running = subprocess.Popen(
        command(2, two, "--n", 5000),
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    shards = [tmp_path / f"two.shard-{rank}-of-2.tsv" for rank in (0, 1)]
    deadline = time.monotonic() + 200
    while not all(s.exists() and s.read_bytes().count(b"\n") > 2 for s in shards):
        assert running.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    for rank in children_of(running.pid):
        os.kill(rank, signal.SIGKILL)
    running.kill()
    running.wait()
    # The system gives a killed process's locks back only when its last thread has ended.
    for held in (two, *shards):
        with locked(held, wait=60):
            pass
    assert all(s.exists() for s in shards)
    in_one_process(two, "--n", 5000)

    assert two.read_bytes() == one.read_bytes()
    assert not any(s.exists() for s in shards)


def children_of(pid):
    """Return the processes that `pid` has started, by the system's own list."""
    found = subprocess.run(
        ["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False
    )
    return [int(child) for child in found.stdout.split()]
