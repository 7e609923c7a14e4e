"""The summary that commands print after a table is made."""

import numpy as np
import pandas as pd
import pytest

from rsverify.cli import summary
from rsverify.cli.console import PlainConsole


@pytest.mark.parametrize("width", [60, 80, 200])
@pytest.mark.parametrize("largest", [0.2, 0.38, 1.9, 3.7])
@pytest.mark.parametrize("names", [("exact",), ("before", "after"), ("a longer name",)])
def test_no_figure_is_cut(monkeypatch, capsys, width, largest, names):
    monkeypatch.setattr(summary, "out_console", PlainConsole())
    summary.out_console.width = width
    radius = np.linspace(0.0, largest, 8)
    table = pd.DataFrame({"radius": radius, "predict": 1, "correct": 1})
    summary.print_summary(dict.fromkeys(names, table))
    printed = capsys.readouterr().out
    assert "…" not in printed
    assert "abstained" in printed
    for name in names:
        line = next(each for each in printed.splitlines() if each.strip().startswith(name))
        assert len(line.removeprefix("  " + name).split()) >= 4
        assert f"{radius.mean():.4f}" in line
