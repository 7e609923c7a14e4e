"""The summary that commands print after a table is made."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest

from rsverify.cli.summary import print_summary, summary_content
from rsverify.tables.reader import certified_accuracy


@pytest.mark.parametrize("width", [20, 60, 80, 200])
@pytest.mark.parametrize("largest", [0.2, 0.38, 1.9, 3.7])
@pytest.mark.parametrize("names", [("exact",), ("before", "after"), ("a-longer-name",)])
def test_every_figure_is_there_whole(monkeypatch, capsys, width, largest, names):
    monkeypatch.setenv("COLUMNS", str(width))
    radius = np.linspace(0.0, largest, 8)
    table = pd.DataFrame({"radius": radius, "predict": 1, "correct": 1})
    print_summary(dict.fromkeys(names, table))
    words = Counter(capsys.readouterr().out.split())

    content = summary_content({"only": table})["only"]
    accuracies = content["certified_accuracy"]
    assert len(accuracies) >= 4
    figures = Counter(f"{a:.3f}" for a in accuracies.values())
    for r, accuracy in accuracies.items():
        assert accuracy == certified_accuracy(table, [float(r)])[0]
        assert words[r] >= 1
        assert words[f"{accuracy:.3f}"] >= figures[f"{accuracy:.3f}"] * len(names)
    assert words[f"{radius.mean():.4f}"] == len(names)
    for name in names:
        assert words[name] >= 1
