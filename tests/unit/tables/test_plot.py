import itertools
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from rsverify.bounds.proportion import clopper_pearson_interval
from rsverify.tables.analysis import analyze
from rsverify.tables.plot import plot_analyses, plot_certified_accuracy
from rsverify.tables.reader import certified_accuracy


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


def test_highlighted_curves_lie_over_the_others_which_stay_visible(tmp_path):
    tables = {name: table(i) for i, name in enumerate(("theirs", "ours", "also theirs"))}
    figure = plot_certified_accuracy(
        tables, tmp_path / "a.png", highlight=["ours"], title="what is found\nof a_b$"
    )

    first, ours, last = figure.axes[0].lines
    for other in (first, last):
        assert ours.get_zorder() > other.get_zorder()
        assert ours.get_linewidth() < other.get_linewidth()  # so that the other is seen beside it
    assert ours.get_linestyle() == "-"
    assert figure.axes[0].get_title("left") == "what is found\nof a_b\\$"


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
    program = "import sys, rsverify.tables.plot; print('matplotlib' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout.strip() == "False"


def analyzed(seed, name, classes=4):
    rng = np.random.default_rng(seed)
    label, predict = rng.integers(0, classes, (2, 40))
    rows = table(seed).assign(idx=np.arange(40), label=label, predict=predict)
    return analyze(rows.assign(correct=(label == predict).astype(int)), name=name, alpha=0.1)


def test_band_holds_the_limits_at_each_radius(tmp_path):
    one = analyzed(1, "one")
    figure = plot_analyses([one, analyzed(2, "two")], tmp_path / "a.png")

    band = figure.axes[0].collections[0].get_paths()[0].vertices
    radii = np.sort(one.table.loc[one.table["correct"] == 1, "radius"].to_numpy())
    assert radii.size > 3
    for r in (radii[:-1] + radii[1:]) / 2:
        drawn = sorted(
            {
                y
                for (x, y), (z, w) in itertools.pairwise(band)
                if min(x, z) <= r <= max(x, z) and y == w
            }
        )
        k = int((radii >= r).sum())
        np.testing.assert_allclose(drawn, clopper_pearson_interval(k, 40, 0.1))


def test_predictions_are_drawn_over_the_labels(tmp_path):
    one, two = analyzed(1, "one"), analyzed(2, r"_a $\name$ of any length")
    figure = plot_analyses([one, two], tmp_path / "a.png", title="two")

    right = figure.axes[1]
    assert [bar.get_height() for bar in right.patches] == [one.labels[c] / 40 for c in range(4)]
    for line, a in zip(right.lines, (one, two), strict=True):
        assert line.get_ydata().tolist() == [a.predictions[c] / 40 for c in range(4)]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend[0].startswith("one (average radius")
    assert legend[1].startswith(r" _a \$\name\$ of any length")
    assert figure.get_suptitle() == "two"


def test_abstentions_and_unknown_labels_have_no_class(tmp_path):
    one = analyzed(1, "one")
    rows = one.table.assign(label=-1, correct=0, predict=[-1] * 20 + [2] * 20)
    figure = plot_analyses([analyze(rows)], tmp_path / "a.pdf")

    assert figure.axes[1].lines[0].get_ydata().tolist() == [1.0]
    assert "labels" not in figure.axes[1].get_title()


def test_no_analysis_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one analysis"):
        plot_analyses([], tmp_path / "a.png")


@pytest.mark.parametrize(
    "name", ["$", "$x$", "_hidden", r"$\frac{$", "$\\notacommand$", "a\x1b[31m\n"]
)
@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_names_and_titles_are_drawn_as_they_are(name, ending, tmp_path):
    figure = plot_certified_accuracy({name: table(1)}, tmp_path / f"a.{ending}", title=name)
    (label,) = figure.axes[0].get_legend().get_texts()
    for text in (label.get_text(), figure.axes[0].get_title("left")):
        assert name[:1].replace("$", r"\$") in text
    if ending == "svg":
        assert b"\x1b" not in (tmp_path / "a.svg").read_bytes()
