"""The bar: where it is shown, and when."""

import pytest

from rsverify._core import progress as _progress
from rsverify._core.progress import InputProgress


@pytest.fixture
def clock(monkeypatch):
    """Seconds that the bar takes for the time, in a list of one."""
    now = [100.0]
    monkeypatch.setattr(_progress.time, "monotonic", lambda: now[0])
    return now


def test_a_patient_bar_appears_at_the_first_advance_after_its_patience(capsys, monkeypatch, clock):
    monkeypatch.setenv("FORCE_COLOR", "1")
    with InputProgress("working", 3, patience=1.0) as bar:
        clock[0] += 0.9
        bar.advance(1)
        assert capsys.readouterr().err == ""
        clock[0] += 0.2
        bar.advance(1)
        err = capsys.readouterr().err
        assert "working" in err
        assert "2/3" in err


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
    monkeypatch.setenv("FORCE_COLOR", terminal)
    with InputProgress("working", 2, **options) as bar:
        bar.advance(1)
    captured = capsys.readouterr()
    assert ("working" in captured.err) == shown
    assert captured.out == ""
    if not shown:
        assert captured.err == ""
