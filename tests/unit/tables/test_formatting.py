"""Tables of text: what is printed holds, and Markdown and LaTeX carry it unchanged."""

import json
import re
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rsverify.tables.analysis import analyze
from rsverify.tables.comparison import compare
from rsverify.tables.formatting import (
    UNKNOWN,
    explanation,
    to_frame,
    to_json,
    to_latex,
    to_markdown,
)


def analysis(name="mine", seed=0, radii=(0.0, 0.25), **options):
    rng = np.random.default_rng(seed)
    label, predict = np.arange(60) % 3, np.where(rng.random(60) < 0.7, np.arange(60) % 3, -1)
    rows = pd.DataFrame(
        {
            "idx": np.arange(60),
            "label": label,
            "predict": predict,
            "radius": np.where(predict == -1, 0, rng.uniform(0.01, 0.9, 60)),
            "correct": (predict == label).astype(int),
        }
    )
    told = {"n": 100_000, "sigma": 0.25, "stated_alpha": 0.001}
    return analyze(rows, name=name, radii=radii, largest_radius=1.0, **(told | options))


def test_cells_by_hand():
    a = analysis()
    column = to_frame([a])["mine"]

    assert column["inputs"] == "60"
    assert column["noise sigma"] == "0.25"
    assert column["alpha of each certificate"] == "0.001"
    e = a.certified[0]
    value, lower, upper = re.findall(r"[\d.]+", column["certified accuracy at 0"])
    assert value == f"{e.value:.3f}"
    assert Decimal(lower) <= Decimal(e.lower) < Decimal(lower) + Decimal("0.001")
    assert Decimal(upper) - Decimal("0.001") < Decimal(e.upper) <= Decimal(upper)
    assert column["wrong certificates"] == f"at most {a.wrong_certificates}"
    known = float(column["average robust radius"].removeprefix("at least "))
    assert known <= a.average_radius.robust < known + 1e-4
    assert re.fullmatch(r"\d: 0\.\d{3} \(label 0\.333\)", column["most predicted class"])


def test_rows_that_no_table_knows_are_left_out():
    a = analysis()
    poor = analyze(
        a.table[["idx", "label", "predict", "radius", "correct"]], name="poor", radii=a.radii
    )

    assert "noise sigma" not in to_frame([poor]).index
    assert "robust accuracy at 0" not in to_frame([poor]).index
    both = to_frame([poor, a])
    assert both.loc["noise sigma"].tolist() == [UNKNOWN, "0.25"]
    assert "base accuracy" not in both.index
    assert "[" not in both.loc["average certified radius", "poor"]


def test_many_values_of_a_setting_are_shown_by_their_ends():
    a = analysis()
    few = analyze(a.table.assign(n=[7, 9] * 30), name="few")
    many = analyze(a.table.assign(n=np.arange(60) + 50), name="many", radii=few.radii)

    assert to_frame([few, many]).loc["votes per input"].tolist() == ["7, 9", "50 … 109"]


def test_comparisons_stand_in_the_column_of_the_second_table():
    one, two, other = analysis("one"), analysis("two", seed=1), analysis("other", seed=2)
    found = compare(one, two)
    frame = to_frame([one, two, other], [found])

    assert frame.loc["larger / smaller / equal"].tolist() == [
        "reference",
        f"{found.larger} / {found.smaller} / {found.equal}",
        UNKNOWN,
    ]
    assert frame.loc["change of average radius", "two"].startswith(
        f"{found.difference.value:.4f} ["
    )
    assert "Changes are from one" in explanation([one, two, other], [found])


ONE = analysis()


@settings(max_examples=50)
@given(
    st.lists(
        st.text(st.characters(codec="ascii", min_codepoint=32, max_codepoint=126), min_size=1)
        .map(str.strip)
        .filter(bool),
        min_size=1,
        max_size=3,
        unique=True,
    )
)
def test_markdown_and_latex_carry_every_cell(names):
    frame = to_frame([replace(ONE, name=name) for name in names])
    expected = [["", *frame.columns], *([label, *cells] for label, *cells in frame.itertuples())]

    lines = to_markdown(frame).splitlines()
    assert lines.pop(1) == "|:--|" + "--:|" * len(names)
    cells = [re.findall(r"((?:\\.|[^|\\])*)\|", line)[1:] for line in lines]
    plain = [[without_markdown(c.strip()) for c in row] for row in cells]
    assert plain == [[" ".join(c.split()) for c in row] for row in expected]

    body = to_latex(frame).split(r"\toprule")[1].split(r"\bottomrule")[0].replace("\\midrule\n", "")
    rows = [row.strip() for row in body.strip().split("\\\\\n")]
    rows[-1] = rows[-1].removesuffix("\\\\").strip()
    assert len(rows) == len(expected)
    for row, wanted in zip(rows, expected, strict=True):
        found = [unescaped(c) for c in re.split(r"(?<!\\)&", " " + row + " ")]
        assert found == [re.sub(r"\s+", "", c) for c in wanted]


def without_markdown(cell):
    code = re.fullmatch(r"(`+) ?(.*?) ?\1", cell)
    if code:
        return code[2].replace(r"\|", "|").replace("\\ |", "\\|")
    return re.sub(r"\\(.)", r"\1", cell)


LIVE = [
    "[click](http://evil.example)",
    "![x](http://evil.example/a.png)",
    "http://evil.example",
    "HTTPS://evil.example/|x",
    "_www.evil.example",
    "ftp://evil.example`",
    "``[a](ftp://b)``",
    "someone@evil.example",
    "mailto:x",
    "[click](/relative)",
    "[click][1]",
    "[1]: //evil.example",
    "<http://evil.example>",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "\\[click](javascript:alert(1))",
    "&lt;b&gt;",
    "**bold** _it_ ~~no~~ $x$",
    "\\|http://evil.example",
    "a\n\n[x](http://evil.example)\n| b |",
]


@pytest.mark.parametrize("name", LIVE)
def test_markdown_has_neither_links_nor_markup_of_names(name):
    markdown_it = pytest.importorskip("markdown_it")
    text = to_markdown(to_frame([replace(ONE, name=name), replace(ONE, name="other")]))
    tokens = markdown_it.MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)
    assert tokens[0].type == "table_open"
    assert tokens[-1].type == "table_close"
    inline = [t for token in tokens if token.type == "inline" for t in token.children]
    assert {t.type for t in inline} <= {"text", "text_special", "code_inline"}
    for token in inline:  # of which some viewers make links
        if token.type != "code_inline":
            assert not re.search(r"(?i)://|www\.|@|mailto:", token.content)
    heading = next(t for t in tokens if t.type == "inline" and t.content)
    shown = "".join(t.content for t in heading.children).replace("\\ |", "\\|")
    assert shown == " ".join(name.split())


def test_control_characters_reach_no_format():
    name = "a\x1b[31m\x9b1m\u202eb\x00\u2028c"
    one, two = replace(ONE, name=name), replace(ONE, name="two")
    frame = to_frame([one, two])
    for text in (to_markdown(frame), to_latex(frame), to_json([one])):
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028]", text)
    assert json.loads(to_json([one]))["tables"][0]["name"] == name


LATEX = {
    r"\textbackslash": "\\",
    r"\textasciitilde": "~",
    r"\textasciicircum": "^",
    r"\space": "",
    **{"\\" + c: c for c in "&%$#_{}"},
}


def unescaped(cell):
    """Undo the escapes, and drop white space, which they move around."""
    pattern = "|".join(map(re.escape, LATEX))
    return re.sub(r"\s+", "", re.sub(pattern, lambda m: LATEX[m[0]], cell))


def test_latex_is_plain_ascii_but_for_the_dash():
    one, two = analysis("one"), analysis("two", seed=1)
    text = to_latex(to_frame([one, two], [compare(one, two)]))

    assert set(text) - {UNKNOWN} <= set(map(chr, range(128)))


def test_latex_without_jinja2_names_the_remedy(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'rsverify\[latex\]'"):
        to_latex(to_frame([analysis()]))


def test_json_holds_all_figures():
    one, two = analysis("one"), analysis("two", seed=1)
    content = json.loads(to_json([one, two], [compare(one, two)]))

    assert [t["name"] for t in content["tables"]] == ["one", "two"]
    assert content["tables"][1]["average_radius"]["lower"] == two.average_radius.lower
    assert content["comparisons"][0]["difference"]["value"] == compare(one, two).difference.value


def test_what_cannot_stand_side_by_side_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        to_frame([])
    with pytest.raises(ValueError, match="must be different"):
        to_frame([analysis(), analysis()])
    with pytest.raises(ValueError, match="must be the same for all tables"):
        to_frame([analysis("one"), analysis("two", radii=(0.1,))])


def test_explanation_names_what_is_missing():
    a = analysis()
    assert "probability 0.95" in explanation([a])
    assert "an abstention is a wrong prediction" in explanation([a])
    assert "largest possible radius" not in explanation([a])
    assert "largest possible radius" in explanation([analyze(a.table.drop(columns="n"))])
