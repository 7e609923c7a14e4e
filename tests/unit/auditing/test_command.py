"""`audit_command`: bounds that are programs, in whatever language the machine has."""

from __future__ import annotations

import shlex
import shutil
import sys
import time

import numpy as np
import pytest

from rsverify import audit, audit_command
from rsverify.auditing.command import CommandBound, CommandCrashError

SETTINGS = {"estimand": "mean", "n": 20, "alpha": 0.1}

HOEFFDING = {
    "Rscript": """
alpha <- as.numeric(commandArgs(trailingOnly = TRUE)[1])
x <- as.matrix(read.csv(file("stdin"), header = FALSE))
limits <- rowMeans(x) - sqrt(log(1 / alpha) / (2 * ncol(x)))
cat(format(limits, digits = 17), sep = "\\n")
""",
    "perl": """
my $alpha = $ARGV[0];
while (my $line = <STDIN>) {
    my @x = split /,/, $line;
    my $sum = 0;
    $sum += $_ for @x;
    printf "%.17g\\n", $sum / @x - sqrt(log(1 / $alpha) / (2 * @x));
}
""",
    "awk": """
BEGIN { FS = ","; alpha = ARGV[1]; ARGV[1] = "" }
{ sum = 0; for (i = 1; i <= NF; i++) sum += $i
  printf "%.17g\\n", sum / NF - sqrt(log(1 / alpha) / (2 * NF)) }
""",
    "node": """
const alpha = Number(process.argv[process.argv.length - 1]);
const lines = require("fs").readFileSync(0, "utf8").trim().split("\\n");
for (const line of lines) {
  const x = line.split(",").map(Number);
  const mean = x.reduce((a, b) => a + b, 0) / x.length;
  console.log(mean - Math.sqrt(Math.log(1 / alpha) / (2 * x.length)));
}
""",
    sys.executable: """
import math, sys
for line in sys.stdin:
    x = [float(v) for v in line.split(",")]
    print(sum(x) / len(x) - math.sqrt(math.log(1 / float(sys.argv[1])) / (2 * len(x))))
""",
}
"""Program -> Hoeffding's lower bound of a mean."""


def hoeffding(x, alpha):
    return x.mean(axis=1) - np.sqrt(np.log(1 / alpha) / (2 * x.shape[1]))


def program(tmp_path, name: str, text: str) -> list[str]:
    """Return the command that runs a text in that language."""
    if shutil.which(name) is None:
        pytest.skip(f"no {name} here")
    path = tmp_path / "bound.txt"
    path.write_text(text)
    return [name, "-f", str(path)] if name == "awk" else [name, str(path)]


def python(tmp_path, body: str) -> list[str]:
    """Return the command of a Python program that has the lines of its input in `lines`."""
    start = "import sys, os, time, math\nalpha = float(sys.argv[1])\nlines = list(sys.stdin)\n"
    return program(tmp_path, sys.executable, start + body)


LAWS = {
    "uniform": {"law": ("beta", 1.0, 1.0)},
    "three values": {"law": ("points", (0.0, 0.1, 1.0), (0.2, 0.5, 0.3))},
}
SLOW = ("Rscript", "node")  # to start: 0.2 s and 0.05 s, a hundred times


@pytest.mark.parametrize(
    "language",
    [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in HOEFFDING],
)
def test_a_program_gets_the_verdict_that_its_formula_gets(tmp_path, language):
    command = program(tmp_path, language, HOEFFDING[language])
    settings = {**SETTINGS, "scenarios": LAWS, "replications": 500}
    report = audit_command(command, **settings)
    same = audit(hoeffding, **settings)
    assert report.verdict == same.verdict == "supported"
    assert [r.uncovered for r in report.rows] == [r.uncovered for r in same.rows]
    np.testing.assert_allclose([r.gap for r in report.rows], [r.gap for r in same.rows], rtol=1e-9)
    assert report.design["bound"] == shlex.join(command)


WILSON_AWK = """
BEGIN { FS = ","; z = 1.6448536 }
{ n = $1 + $2; p = $1 / n; s = z * sqrt(p * (1 - p) / n + z * z / (4 * n * n))
  print (p + z * z / (2 * n) - s) / (1 + z * z / n) }
"""
WALD_PERL = """
while (<STDIN>) {
    my ($k, $l) = split /,/;
    my $n = $k + $l;
    my $s = 1.959964 * sqrt($k * $l / $n) / $n;
    print $k / $n - $s, " ", $k / $n + $s, "\\n";
}
"""


def test_counts_are_audited_exactly(tmp_path):
    command = [*program(tmp_path, "awk", WILSON_AWK), "level={alpha}"]
    report = audit_command(command, estimand="proportion", n=100, alpha=0.05)
    assert report.verdict == "refuted"
    assert report.witness is not None
    assert report.witness.rational
    assert report.witness.probability == pytest.approx(0.2001, abs=2e-4)


def test_two_sides_are_two_numbers_a_line(tmp_path):
    command = program(tmp_path, "perl", WALD_PERL)
    report = audit_command(command, estimand="proportion", n=30, alpha=0.05, side="two-sided")
    assert report.verdict == "refuted"
    assert report.witness is not None
    with pytest.raises(ValueError, match=r"side='two-sided'"):
        audit_command(command, estimand="proportion", n=30, alpha=0.05)


def test_numbers_as_r_writes_them(tmp_path):
    words = ["0.25", "NA", "-Inf", " 1e-3 ", '"0.5"', "NaN"]
    bound = CommandBound(tuple(python(tmp_path, f"print('\\n'.join({words!r}))")), "lower")
    limits = bound(np.zeros((6, 3)), 0.05)
    np.testing.assert_array_equal(limits, [0.25, np.nan, -np.inf, 1e-3, 0.5, np.nan])


def test_numbers_arrive_as_they_are(tmp_path):
    """Every digit of a float, and integers without a point."""
    body = "for line in lines: print(math.fsum(map(float, line.split(','))) if '.' in line else 7)"
    bound = CommandBound(tuple(python(tmp_path, body)), "lower")
    x = np.array([[0.1, 1 / 3], [2e-300, 0.0]])
    np.testing.assert_array_equal(bound(x, 0.05), x.sum(axis=1))
    np.testing.assert_array_equal(bound(np.array([[3, 4]]), 0.05), [7])
    scores = np.arange(12.0).reshape(1, 4, 3)
    np.testing.assert_array_equal(bound(scores, 0.05), [66.0])


# ---- What goes wrong.

CRASH = """
for line in lines:
    x = [float(v) for v in line.split(",")]
    if min(x) == max(x) == 0:
        sys.exit("all observations are zero: " + "x" * 400 + " the end")
    print(sum(x) / len(x) - math.sqrt(math.log(1 / alpha) / (2 * len(x))))
"""
ZEROS = {
    "mostly zeros": {"law": ("points", (0.0, 1.0), (0.82, 0.18))},
    "uniform": {"law": ("beta", 1.0, 1.0)},
}


@pytest.mark.slow
def test_a_crash_is_a_failure_with_its_text(tmp_path):
    command = python(tmp_path, CRASH)
    settings = {**SETTINGS, "alpha": 0.001, "scenarios": ZEROS, "replications": 500}
    report = audit_command(command, **settings)
    assert report.verdict == "refuted"
    (failure,) = report.failures
    assert failure.kind == "CommandCrashError"
    assert failure.message.startswith("exit code 1: … ")
    assert failure.message.endswith("the end")
    assert failure.example == [[0.0] * 20] or failure.example == [0.0] * 20
    # As many as a generator of the same numbers has: 0.82 ** 20 = 1.9 %.
    shares = {r.scenario: r.miscoverage for r in report.rows}
    assert shares["mostly zeros"] == pytest.approx(0.82**20, abs=0.02)
    assert shares["uniform"] == 0.0


def test_few_processes_find_the_rows_that_crash(tmp_path):
    counter = tmp_path / "runs"
    body = f"open({str(counter)!r}, 'a').write('.')\n" + CRASH
    bound = CommandBound(tuple(python(tmp_path, body)), "lower")
    x = np.random.default_rng(1).random((64, 5))
    x[17] = 0.0
    with pytest.raises(CommandCrashError, match="the end"):
        bound(x, 0.1)
    halving = counter.stat().st_size
    assert halving <= 2 * np.log2(64) + 1
    for i in range(64):  # as an audit asks then: nothing runs again
        if i == 17:
            with pytest.raises(CommandCrashError):
                bound(x[i : i + 1], 0.1)
        else:
            expected = hoeffding(x[i : i + 1], 0.1)
            assert bound(x[i : i + 1], 0.1) == pytest.approx(expected, abs=1e-12)
    assert counter.stat().st_size == halving
    bound(x[:1], 0.1)  # asked again, it is run again
    assert counter.stat().st_size == halving + 1


def test_a_program_that_always_crashes_cannot_be_audited(tmp_path):
    with pytest.raises(ValueError, match=r"fails on every call.*exit code 3: no such column"):
        audit_command(
            python(tmp_path, "print('no such column', file=sys.stderr); sys.exit(3)"), **SETTINGS
        )
    with pytest.raises(ValueError, match="signal 9"):
        audit_command(python(tmp_path, "os.kill(os.getpid(), 9)"), **SETTINGS)


def test_a_program_that_hangs_is_stopped(tmp_path):
    child = "import subprocess; subprocess.Popen(['sleep', '60']); time.sleep(60)"
    start = time.monotonic()
    with pytest.raises(ValueError, match=r"gave no answer to \d+ lines in 1 s: it hangs, or needs"):
        audit_command(python(tmp_path, child), **SETTINGS, timeout=1.0)
    assert time.monotonic() - start < 40
    # One that hangs later, on some data only, ends the audit too.
    later = "if any(min(map(float, line.split(','))) > 0.3 for line in lines): time.sleep(60)\n"
    high = {"low": ZEROS["mostly zeros"], "high": {"law": ("points", (0.5,), (1.0,))}}
    with pytest.raises(ValueError, match="gave no answer"):
        audit_command(
            python(tmp_path, later + "for line in lines: print(0)"),
            **SETTINGS,
            scenarios=high,
            timeout=1.0,
        )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("print(0.1)", r"must print one line for each of 7 lines of input; it printed 1"),
        ("pass", r"it printed 0"),
        ("print('alpha is', alpha)\nfor line in lines: print(0)", r"it printed 8, first 'alpha"),
        ("for line in lines: print('[1] 0.5')", r"one limit a line, as numbers .*'\[1\] 0.5'"),
        ("for i, line in enumerate(lines): print('0 ' * (1 + i % 2))", r"the same on each"),
        ("for line in lines: print(0, 1, 2)", r"shape \(7, 3\)"),
    ],
)
def test_output_of_another_form_is_an_error(tmp_path, body, message):
    with pytest.raises(ValueError, match=message):
        audit_command(python(tmp_path, body), **SETTINGS)


def test_wrong_arguments():
    with pytest.raises(TypeError, match="must be a list of texts"):
        audit_command("Rscript bound.R", **SETTINGS)
    with pytest.raises(ValueError, match="must name a program"):
        audit_command([], **SETTINGS)
    with pytest.raises(ValueError, match="timeout=0"):
        audit_command(["true"], **SETTINGS, timeout=0.0)
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        audit_command(["no-such-program"], **SETTINGS)
    with pytest.raises(ValueError, match="estimand='median of means'"):
        audit_command(["cat"], estimand="median of means", n=3, alpha=0.05)


@pytest.mark.slow
def test_an_audit_goes_on_from_its_store(tmp_path):
    command = python(tmp_path, "for line in lines: print(float(line.split(',')[0]) - 0.93)")
    uniform = {"uniform": {"law": ("beta", 1.0, 1.0)}}
    settings = {**SETTINGS, "scenarios": uniform, "store": tmp_path / "blocks.jsonl"}
    first = audit_command(command, **settings, replications=500)
    again = audit_command(command, **settings, replications=1500, resume=True)
    whole = audit_command(command, **{**settings, "store": None}, replications=1500)
    assert first.rows[0].replications == 500
    assert again.rows == whole.rows


@pytest.mark.slow
def test_a_random_program_is_judged_too(tmp_path):
    """A limit of 2 with probability 0.05: supported at alpha = 0.1, refuted at 0.02."""
    body = "import random\nfor line in lines: print(2 if random.random() < 0.05 else -1)"
    command, uniform = python(tmp_path, body), {"uniform": {"law": ("beta", 1.0, 1.0)}}
    settings = {"n": 3, "scenarios": uniform, "replications": 1000}
    assert audit_command(command, **settings, alpha=0.1).verdict == "supported"
    assert audit_command(command, **settings, alpha=0.02).verdict == "refuted"
