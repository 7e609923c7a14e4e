"""Ctrl-C ends a command with 130 and one line: what is kept, and how to go on."""

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from rsverify.tables.reader import read_table

MODELS = Path(__file__).parents[1] / "support" / "shared_models.py"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


@contextmanager
def interruptible():
    """Let processes that the body starts obey SIGINT.

    A shell starts what runs in its background, these tests too, to ignore it, and that is handed
    on; a handler is not.
    """
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def interrupted(command, ready):
    """Start a command, send it SIGINT once `ready` is true; return its code and what it said."""
    with interruptible():
        process = subprocess.Popen(
            [sys.executable, "-m", "rsverify", *map(str, command)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
    deadline = time.monotonic() + 120
    while not ready():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    return process.returncode, err


def has_lines(path, count):
    return lambda: path.exists() and path.read_bytes().count(b"\n") >= count


@pytest.mark.skipif(os.name == "nt", reason="SIGINT")
def test_certify_says_how_many_rows_there_are_and_goes_on(tmp_path):
    pytest.importorskip("torch")
    out = tmp_path / "table.tsv"
    command = ["certify", f"{MODELS}:smoothed", f"{MODELS}:images", out]
    # Long enough that it is not over before the signal comes, however busy the machine is.
    command += ["--n", 100_000, "--bound", "cohen", "--no-time"]
    code, err = interrupted(command, has_lines(out, 3))
    assert code == 130
    rows = len(read_table(out))
    # The row that was being written when the signal came is taken back.
    assert 1 <= rows < 30
    assert err.splitlines(keepends=True)[-1] == (  # log lines may stand above it
        f"error: interrupted: {rows} of 30 rows are in {out}; the same call or command goes on "
        "from there\n"
    )
    assert sorted(p.name for p in tmp_path.iterdir()) == ["table.json", "table.tsv"]


@pytest.mark.skipif(os.name == "nt", reason="SIGINT")
def test_audit_says_how_many_blocks_there_are(tmp_path):
    store = tmp_path / "blocks.jsonl"
    command = ["audit", "betting_lower", "--n", 100, "--alpha", 0.001, "--store", store]
    code, err = interrupted(command, has_lines(store, 4))
    assert code == 130
    kept = store.read_bytes().count(b"\n") - 1
    assert err.splitlines(keepends=True)[-1] == (
        f"error: interrupted: {kept} finished blocks are in {store}; go on with --resume "
        "(resume=True)\n"
    )


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="SIGINT")
def test_of_two_commands_for_one_table_the_second_is_refused(tmp_path):
    """Whatever level it asks for, and from before the first row on."""
    pytest.importorskip("torch")
    out = tmp_path / "table.tsv"
    command = [sys.executable, "-m", "rsverify", "certify", f"{MODELS}:smoothed"]
    command += [f"{MODELS}:images", str(out), "--n", "100000", "--bound", "cohen", "--no-time"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with interruptible():
        first = subprocess.Popen(command, env=ENVIRONMENT, **pipes)
    lock = tmp_path / ".table.tsv.rsverify-lock"
    while not lock.exists():
        assert first.poll() is None, first.communicate()
        time.sleep(0.01)
    others = [[*command, "--alpha", "0.05"], [*command, "--force"]]
    for second in [subprocess.Popen(c, env=ENVIRONMENT, **pipes) for c in others]:
        _, err = second.communicate(timeout=300)
        assert second.returncode == 73
        assert err == f"error: {out}: another process is writing it\n"
    assert first.poll() is None, "the first one ended too soon to tell"
    first.send_signal(signal.SIGINT)
    first.communicate(timeout=60)
    assert first.returncode == 130
    table = read_table(out)
    assert table["idx"].tolist() == list(range(len(table)))
    assert set(table["alpha"]) == {0.001}
