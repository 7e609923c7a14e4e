"""Rows of sigma and bound, columns of radii."""

import pytest

from rsverify import analyze, certify_table
from rsverify.tables.formatting import to_latex, to_markdown
from rsverify.tables.paper_table import paper_table

VOTES = [[900, 60, 40], [400, 350, 250], [1000, 0, 0]]


def analysis(sigma, bound, name, radii=(0, 0.5, 1)):
    table = certify_table(VOTES, sigma=sigma, alpha=0.001, y=0, label=0, bound=bound)
    return analyze(table, name=name, radii=radii)


def test_rows_are_sorted_by_sigma_and_hold_percentages():
    found = paper_table([analysis(1.0, "cohen", "b"), analysis(0.5, "exact", "a")])
    assert found.index.name == "sigma"
    assert found.index.tolist() == ["0.5", "1"]
    assert list(found.columns) == ["bound", "0", "0.5", "1", "average radius"]
    assert found.loc["1", "bound"] == "cohen"
    assert found.loc["1", ["0", "0.5", "1"]].tolist() == ["66.7", "66.7", "66.7"]
    assert found.loc["0.5", ["0", "0.5", "1"]].tolist() == ["66.7", "66.7", "33.3"]


def test_names_tell_rows_apart_where_settings_do_not():
    found = paper_table([analysis(0.5, "cohen", "mine"), analysis(0.5, "cohen", "theirs")])
    assert found["table"].tolist() == ["mine", "theirs"]


def test_as_markdown_and_latex():
    pytest.importorskip("jinja2")
    found = paper_table([analysis(0.5, "cohen", "my_model"), analysis(0.5, "cohen", "other")])
    lines = to_markdown(found).splitlines()
    assert lines[0] == "| sigma | bound | table | 0 | 0.5 | 1 | average radius |"
    assert lines[2].startswith("| 0.5 | cohen | my\\_model | 66.7 |")
    latex = to_latex(found).splitlines()
    assert latex[0] == r"\begin{tabular}{lllrrrr}"
    assert latex[2] == r"sigma & bound & table & 0 & 0.5 & 1 & average radius \\"
    assert latex[4].startswith(r"0.5 & cohen & my\_model & 66.7 &")


def test_other_radii_are_refused():
    with pytest.raises(ValueError, match="must be the same for all tables"):
        paper_table([analysis(0.5, "cohen", "a"), analysis(1.0, "cohen", "b", radii=(0, 1))])
    with pytest.raises(ValueError, match="must be the same"):
        paper_table([])


def test_tables_that_say_nothing_of_their_settings():
    bare = certify_table(VOTES, sigma=1, alpha=0.1, y=0, label=0, bound="cohen")
    bare = bare[["idx", "label", "predict", "radius", "correct", "time"]]
    assert paper_table([analyze(bare, radii=[0])]).index.tolist() == ["—"]
