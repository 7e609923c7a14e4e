"""The bar: where it is shown, and when."""

import sys
import types

import numpy as np
import pytest

from rsverify._core import progress as _progress
from rsverify._core.progress import InputProgress, ProgressUpdate, check_progress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that the bar takes for the time, in a list of one."""
    now = [100.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    return now


def test_a_patient_bar_appears_once_the_whole_will_take_longer(capsys, monkeypatch, clock):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(_progress, "is_live", lambda _console: True)
    with InputProgress("working", 3, patience=1.0) as bar:
        clock[0] += 0.3
        bar.advance(1)
        assert capsys.readouterr().err == ""
        clock[0] += 0.4
        bar.advance(1)
        err = capsys.readouterr().err
        assert "working" in err
        assert "2 of 3 inputs" in err


class Kept:
    """A display that keeps what it is shown."""

    def __init__(self) -> None:
        self.updates: list[ProgressUpdate] = []
        self.closed = 0

    def show(self, update: ProgressUpdate) -> None:
        self.updates.append(update)

    def close(self) -> None:
        self.closed += 1


def test_the_first_batch_gives_rate_and_time_left(clock):
    kept = Kept()
    with InputProgress("certifying", 10, shown=kept, samples_each=1000) as bar:
        clock[0] += 2.0
        bar.advance(0.05, 50)
    update = kept.updates[-1]
    assert (update.rate, update.left) == ("25 samples/s", "about 6 min 38 s left")
    assert str(update) == "certifying: 0 of 10 inputs, 25 samples/s, about 6 min 38 s left"
    assert kept.closed == 1


def test_time_of_early_decisions_is_at_most_that_of_all_votes_until_inputs_are_done(clock):
    kept = Kept()
    with InputProgress("certifying", 10, shown=kept, samples_each=1000, early=True) as bar:
        clock[0] += 2.0
        bar.advance(0, 50)
        clock[0] += 2.0
        bar.advance(1)
    assert [u.left for u in kept.updates[1:]] == ["at most 6 min 38 s left", "about 36 s left"]


def test_log_lines_come_off_a_terminal_for_long_runs_only(capsys, monkeypatch, clock):
    monkeypatch.setenv("FORCE_COLOR", "")
    with InputProgress("certifying", 100, samples_each=10) as bar:
        for _ in range(100):
            clock[0] += 0.04
            bar.advance(1, 10)
    assert capsys.readouterr().err == ""
    with InputProgress("certifying", 100, samples_each=10) as bar:
        for _ in range(100):
            clock[0] += 2.0
            bar.advance(1, 10)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "certifying: 1 of 100 inputs, 5 samples/s, about 3 min 18 s left"
    assert lines[-1].startswith("certifying: 100 of 100 inputs")
    assert 5 <= len(lines) <= 10


def test_what_nobody_asked_for_is_shown_of_long_runs_only(capsys, monkeypatch, clock):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(_progress, "is_live", lambda _console: True)
    for seconds, seen in ((0.01, False), (1.0, True)):
        with InputProgress("sampling", 100, shown=None, samples_each=1) as bar:
            clock[0] += seconds
            bar.advance(1, 1)
        assert ("sampling" in capsys.readouterr().err) == seen


def test_a_notebook_gets_one_line_that_is_written_over(monkeypatch, capsys, clock):
    lines: list[str] = []

    class Handle:
        def update(self, text, **_):
            lines[-1] = text["text/plain"]

    def display(text, **_):
        lines.append(text["text/plain"])
        return Handle()

    fake = types.ModuleType("IPython")
    fake.get_ipython = lambda: types.SimpleNamespace(kernel=object())
    inner = types.ModuleType("IPython.display")
    inner.display = display
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setitem(sys.modules, "IPython.display", inner)
    with InputProgress("certifying", 4, samples_each=2) as bar:
        for _ in range(4):
            clock[0] += 1.0
            bar.advance(1, 2)
    assert lines == ["certifying: 4 of 4 inputs, 2 samples/s"]
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("wrong", [3, 0, 1.5, "yes", [], Kept, lambda: None, object()])
def test_what_is_no_progress_is_refused(wrong):
    with pytest.raises(TypeError, match="progress"):
        check_progress(wrong)


@pytest.mark.parametrize("right", [True, False, None, print, Kept(), np.bool_(True)])
def test_what_is_progress_is_taken(right):
    assert check_progress(right) == right


@pytest.mark.parametrize(
    ("options", "terminal", "shown"),
    [
        ({}, "1", True),
        ({"shown": False}, "1", False),
        ({}, "", False),
        ({"patience": 60.0}, "1", False),
    ],
)
def test_bar_is_shown_on_a_terminal_where_it_is_wanted(
    capsys, monkeypatch, options, terminal, shown
):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(_progress, "is_live", lambda _console: bool(terminal))
    with InputProgress("working", 2, **options) as bar:
        bar.advance(1)
    captured = capsys.readouterr()
    assert ("working" in captured.err) == shown
    assert captured.out == ""
    if not shown:
        assert captured.err == ""
