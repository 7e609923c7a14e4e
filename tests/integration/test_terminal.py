"""On a real terminal, and off one: where bars, log lines and results go."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("torch")
pty = pytest.importorskip("pty")
pytestmark = pytest.mark.slow

MODELS = Path(__file__).parents[1] / "support" / "shared_models.py"
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if name not in {"COLUMNS", "FORCE_COLOR", "NO_COLOR"}
} | {"TERM": "xterm", "OMP_NUM_THREADS": "1"}
CONTROL = re.compile(r"\x1b\[[0-9;?]*[a-zA-Z]")


def on_terminal(arguments, columns, out=None):
    """Run a command with stderr, and stdout unless it goes to a file, on a terminal."""
    import fcntl
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    command = [sys.executable, "-m", "rsverify", *map(str, arguments)]
    with open(out or os.devnull, "w") as file:
        process = subprocess.Popen(
            command,
            stdin=theirs,
            stdout=theirs if out is None else file,
            stderr=theirs,
            env=ENVIRONMENT,
        )
        os.close(theirs)
        said = b""
        while True:
            try:
                part = os.read(ours, 65536)
            except OSError:  # as Linux has it for a terminal that nobody writes to any more
                break
            if not part:
                break
            said += part
    os.close(ours)
    return process.wait(), said.decode()


def certify(out, *more):
    command = ["certify", f"{MODELS}:smoothed", f"{MODELS}:images", out, "--bound", "cohen"]
    return [*command, "--n", 20_000, "--max", 6, *more]


@pytest.mark.parametrize("columns", [60, 80])
def test_a_bar_with_rate_and_time_left_and_results_in_the_file_alone(tmp_path, columns):
    code, said = on_terminal(certify(tmp_path / "t.tsv"), columns, tmp_path / "out.txt")
    assert code == 0, said
    shown = " ".join(CONTROL.sub("", said).split())
    assert "loading torch" in shown
    # How many are done when it is first drawn depends on the machine.
    assert re.search(r"certifying: [0-5] of 6 inputs, [\d,]+ samples/s, about \d+ (min|s)", shown)
    assert "…" not in shown
    results = (tmp_path / "out.txt").read_text()
    assert results.startswith("Certified accuracy of 6 inputs within a radius\n")
    assert "certifying" not in results
    assert "\x1b" not in results
    assert "Certified accuracy" not in said


def test_results_are_printed_above_a_bar_that_stands(tmp_path):
    path = tmp_path / "printing.py"
    path.write_text(
        "def lower(x, alpha):\n    print('said by the bound')\n    return 0 * x.sum(axis=-1)\n"
    )
    options = ["--n", 5, "--replications", 300, "--method", "simulation", "--format", "json"]
    code, said = on_terminal(["audit", f"{path}:lower", *options], 80, tmp_path / "out.json")
    assert code in (0, 2)
    assert json.loads((tmp_path / "out.json").read_text())["verdict"]
    assert "said by the bound" in said
    assert "auditing" in said


@pytest.mark.parametrize("forced", [{}, {"FORCE_COLOR": "1"}, {"TERM": "dumb"}])
def test_a_log_gets_lines_and_no_control_characters(tmp_path, forced):
    """The run is long enough that its end is worth knowing, and stopped once a line is there."""
    command = certify(tmp_path / "t.tsv")
    command[command.index(20_000)] = 1_000_000
    process = subprocess.Popen(
        [sys.executable, "-m", "rsverify", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT | forced,
    )
    estimate, line = process.stderr.readline(), process.stderr.readline()
    process.kill()
    process.communicate()
    assert estimate.startswith("estimate: ")
    assert re.fullmatch(r"certifying: \d of 6 inputs, [\d,]+ samples/s, about .* left\n", line), (
        line
    )


def test_the_demo_says_something_within_two_seconds_of_its_start(tmp_path):
    """Of the time that Python needs to begin at all, nothing can be said."""
    command = [sys.executable, "-m", "rsverify"]
    begun = time.monotonic()
    subprocess.run([*command, "--version"], check=True, env=ENVIRONMENT, capture_output=True)
    alone = time.monotonic() - begun
    begun = time.monotonic()
    process = subprocess.Popen(
        [*command, "demo", "-o", str(tmp_path)], stderr=subprocess.PIPE, text=True, env=ENVIRONMENT
    )
    line = process.stderr.readline()
    needed = time.monotonic() - begun
    process.kill()
    process.communicate()
    assert line.startswith("demo: loading torch")
    assert needed < 2 * alone + 2
