"""The helpers for other people's test suites."""

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given

from rsverify.testing import assert_covers, bounded_samples, counts, simplex_points

SETTINGS = {"estimand": "proportion", "n": 20, "alpha": 0.05}


@pytest.fixture
def pytester_run(tmp_path):
    """Return a function that runs a test file in another process and returns what it printed."""

    def run(text):
        (tmp_path / "test_other.py").write_text(text)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_other.py"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sys.path))}
        done = subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, env=environment, check=False
        )
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stdout

    return run


def test_assert_covers_passes_valid_bounds_and_raises_the_report_for_others():
    assert assert_covers("clopper_pearson_lower", **SETTINGS).verdict == "supported"
    with pytest.raises(AssertionError, match="witness: at p="):
        assert_covers(lambda counts, _alpha: counts[:, 0] / counts.sum(axis=1), **SETTINGS)


def test_inconclusive_is_an_error_only_if_asked_for():
    def slightly(x, _alpha):
        return (x[:, 0] < 0.055).astype(float)

    uniform = {"uniform": {"law": ("beta", 1.0, 1.0)}}
    settings = {"n": 1, "alpha": 0.05, "scenarios": uniform, "replications": 400}
    assert assert_covers(slightly, **settings).verdict == "inconclusive"
    with pytest.raises(AssertionError, match="inconclusive"):
        assert_covers(slightly, conclusive=True, **settings)


@given(counts(4, largest_n=50))
def test_counts_are_votes(votes):
    assert votes.shape == (4,)
    assert votes.dtype == np.int64
    assert (votes >= 0).all()
    assert 1 <= votes.sum() <= 50


@given(simplex_points(3))
def test_simplex_points_are_probabilities(p):
    assert p.shape == (3,)
    assert (p >= 0).all()
    assert p.sum() == pytest.approx(1, abs=1e-12)


def test_too_few_classes_are_refused():
    with pytest.raises(ValueError, match="classes=1 must be at least 2"):
        counts(1)
    with pytest.raises(ValueError, match="classes=0 must be at least 1"):
        simplex_points(0)


@given(bounded_samples(largest_n=30))
def test_bounded_samples_are_in_the_unit_interval(x):
    assert 1 <= x.size <= 30
    assert ((x >= 0) & (x <= 1)).all()


UNIFORM = {"uniform": {"law": ("beta", 1.0, 1.0)}}


def off_by(excess):
    """Return a bound of a mean that fails to cover with probability 0.05 + excess."""

    def bound(x, alpha):
        return (x[:, 0] < alpha + excess).astype(float)

    return bound


def test_the_power_is_what_simulation_finds():
    """An excess of the size stated is refuted in at least 33 of 40 seeds (95 % is claimed).

    Fewer than 33 of 40 have probability 0.07 % at 95 %, and 82 % at 75 %.
    """
    settings = {"n": 1, "alpha": 0.05, "scenarios": UNIFORM, "replications": 2000}
    excess = assert_covers(off_by(0.0), **settings).smallest_excess
    assert 0.01 < excess < 0.06
    found = 0
    for seed in range(40):
        try:
            assert_covers(off_by(excess), seed=seed, **settings)
        except AssertionError:
            found += 1
    assert found >= 33


def test_the_power_of_an_exact_audit():
    report = assert_covers("clopper_pearson_lower", **SETTINGS)
    assert report.smallest_excess == 0.0
    assert "every excess" in report.power

    def slack(counts, alpha):  # up to 5.2 % at alpha = 5 %
        from rsverify import clopper_pearson_lower

        return clopper_pearson_lower(counts[:, 0], counts.sum(axis=1), alpha * 1.04)

    with pytest.raises(
        AssertionError, match=r"miscoverage of 0\.05\d* or more, 0\.00\d+ above alpha"
    ):
        assert_covers(slack, **SETTINGS)


def test_too_little_power_is_an_error_with_its_remedy():
    settings = {"n": 1, "alpha": 0.05, "scenarios": UNIFORM, "replications": 2000}
    with pytest.raises(AssertionError, match=r"excess=0.011 .*; replications=\d+ finds it") as e:
        assert_covers(off_by(0.0), excess=0.011, **settings)
    settings["replications"] = int(str(e.value).rpartition("replications=")[2].split()[0])
    assert assert_covers(off_by(-0.02), excess=0.011, **settings).smallest_excess <= 0.011
    with pytest.raises(AssertionError, match=r"tolerance=0.2 must be at most 0.02"):
        assert_covers(off_by(-0.02), excess=0.001, **settings)
    with pytest.raises(ValueError, match="excess=-1"):
        assert_covers(off_by(0.0), excess=-1, **settings)


def test_a_failing_test_shows_no_frame_of_the_package(pytester_run):
    out = pytester_run(
        "from rsverify.testing import assert_covers\n"
        "def test_it():\n"
        "    assert_covers(lambda c, a: c[:, 0] / c.sum(axis=1), estimand='proportion', n=9, "
        "alpha=0.05)\n"
    )
    assert "refuted" in out
    assert "run_audit(" not in out
    assert "testing.py" not in out
