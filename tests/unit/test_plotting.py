import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from rsverify.plotting import plot_certified_accuracy
from rsverify.table import certified_accuracy


def table(seed):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"correct": rng.integers(0, 2, 40), "radius": rng.uniform(0, 1, 40)})


def test_curves_are_the_certified_accuracy(tmp_path):
    tables = {"one": table(1), "two": table(2)}
    figure = plot_certified_accuracy(tables, tmp_path / "curves.png", title="two")

    for line, drawn in zip(figure.axes[0].lines, tables.values(), strict=True):
        assert line.get_drawstyle() == "steps-pre"
        x, y = line.get_data()
        radii = np.linspace(0.001, x[-1], 50)
        # In a "pre" step the height over (x[i-1], x[i]] is y[i].
        height = np.asarray(y)[np.searchsorted(x, radii, side="left")]
        np.testing.assert_array_equal(height, certified_accuracy(drawn, radii))
        assert y[-1] == 0


def test_picture_is_the_same_each_time_and_named_in_the_legend(tmp_path):
    figure = plot_certified_accuracy({"exact": table(1)}, tmp_path / "a.png")
    plot_certified_accuracy({"exact": table(1)}, tmp_path / "new folder" / "b.png")

    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "new folder" / "b.png").read_bytes()
    assert figure.axes[0].get_legend().get_texts()[0].get_text().startswith("exact (average")
    assert figure.axes[0].get_xlabel()
    assert figure.axes[0].get_ylabel()


def test_table_without_a_correct_row_is_a_line_at_zero(tmp_path):
    wrong = table(1).assign(correct=0)
    figure = plot_certified_accuracy({"wrong": wrong}, tmp_path / "a.png")

    assert set(figure.axes[0].lines[0].get_ydata()) == {0.0}


def test_no_table_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one table"):
        plot_certified_accuracy({}, tmp_path / "a.png")
    with pytest.raises(ValueError, match="no rows"):
        plot_certified_accuracy({"empty": table(1).iloc[:0]}, tmp_path / "a.png")
    assert not (tmp_path / "a.png").exists()


def test_module_loads_without_matplotlib():
    program = "import sys, rsverify.plotting; print('matplotlib' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout.strip() == "False"
