"""A report for a colleague: one page that needs nothing else, and one sentence that says it all."""

import html
import re

import numpy as np
import pytest

from rsverify import (
    audit,
    audit_bets,
    audit_capital,
    audit_e_value,
    audit_multiple_testing,
    audit_prediction_set,
    audit_test,
)
from rsverify.auditing.report_text import report_lines, table_cells

SUITE = {
    "even": {"law": ("points", (0.0, 1.0), (0.5, 0.5))},
    "mostly 1": {"law": ("points", (0.0, 1.0), (0.02, 0.98))},
    "all alike": {"law": ("points", (0.7,), (1.0,))},
}


def wald(x, alpha):
    del alpha
    return x.mean(axis=1) - 1.645 * x.std(axis=1) / np.sqrt(x.shape[1])


def above(x, alpha):
    del alpha
    return x.mean(axis=1) + 0.9


def halves(x, _m, _alpha):
    return np.full_like(x, 0.5)


def peeking(x, m, _alpha):
    return np.sign(x - m)


def fair(x, m, _alpha):
    return np.cumprod(1.0 + (x - m), axis=1)


def all_in(x, m, _alpha):
    return np.cumprod(1.0 + np.abs(x - m), axis=1)


def symmetric(x, y, x_new, alpha):
    del x, x_new
    n = y.shape[1]
    k = min(n, int(np.ceil((n + 1) * (1.0 - alpha))))
    q = np.sort(np.abs(y), axis=1)[:, k - 1]
    return np.column_stack([-q, q])


def too_small(x, y, x_new, alpha):
    return 0.2 * symmetric(x, y, x_new, alpha)


def bonferroni(p, alpha):
    return p <= alpha / p.shape[-1]


def each(p, alpha):
    return p <= alpha


def uniform_p(x):
    return np.where(x.mean(axis=1) > 0.9, 0.04, 1.0)


def always(x):
    return np.zeros(len(x))


def fair_wealth(x):
    return np.cumprod(1.0 + (x - 0.5), axis=1)


def largest_wealth(x):
    return np.maximum.accumulate(fair_wealth(x), axis=1)


MEAN = {"n": 20, "alpha": 0.05, "replications": 4000, "scenarios": SUITE}
NULL = {"null": (None, 0.5), "n": 6}
SETS = {"n": 19, "alpha": 0.2, "replications": 4000}
FEW = {"n": 5, "alpha": 0.1, "replications": 9000}
MADE = {
    "bound": (lambda: audit(wald, **MEAN), "refuted"),
    "good bound": (lambda: audit("hoeffding_lower", **MEAN), "supported"),
    "too few": (
        lambda: audit("hoeffding_lower", **(MEAN | {"replications": 20})),
        "inconclusive",
    ),
    "proportion": (
        lambda: audit("clopper_pearson_lower", estimand="proportion", n=9, alpha=0.05),
        "supported",
    ),
    "wrong proportion": (
        lambda: audit(lambda c, _a: c[:, 0] / c.sum(axis=1), estimand="proportion", n=9, alpha=0.1),
        "refuted",
    ),
    "interval": (
        lambda: audit("clopper_pearson_interval", estimand="proportion", n=9, alpha=0.05),
        "supported",
    ),
    "p-value": (lambda: audit_test(always, estimand="proportion", **NULL), "refuted"),
    "good p-value": (lambda: audit_test(lambda x: np.ones(len(x)), **NULL), "supported"),
    "e-process": (lambda: audit_e_value(largest_wealth, **NULL), "refuted"),
    "good e-process": (lambda: audit_e_value(fair_wealth, **NULL), "supported"),
    "rule": (lambda: audit_e_value(lambda e: e.prod(axis=1), inputs="e-values", n=2), "refuted"),
    "set": (lambda: audit_prediction_set(too_small, **SETS), "refuted"),
    "good set": (lambda: audit_prediction_set(symmetric, **SETS), "supported"),
    "procedure": (lambda: audit_multiple_testing(each, controls="FWER", **FEW), "refuted"),
    "FDR": (lambda: audit_multiple_testing(each, controls="FDR", **FEW), "refuted"),
    "good procedure": (
        lambda: audit_multiple_testing(bonferroni, controls="FWER", **FEW),
        "supported",
    ),
    "bets": (lambda: audit_bets(peeking, n=6, alpha=0.05), "refuted"),
    "good bets": (lambda: audit_bets(halves, n=6, alpha=0.05), "supported"),
    "capital": (lambda: audit_capital(all_in, n=6, alpha=0.05), "refuted"),
    "good capital": (lambda: audit_capital(fair, n=6, alpha=0.05), "supported"),
    "mixing": (lambda: audit(lambda x, _a: np.full(len(x), x.min() - 1.0), **MEAN), "refuted"),
}


@pytest.fixture(scope="module")
def reports():
    return {name: make() for name, (make, _) in MADE.items()}


@pytest.mark.parametrize("name", MADE)
def test_every_kind_has_a_page_a_sentence_and_a_view(name, reports, tmp_path):
    report = reports[name]
    assert report.verdict == MADE[name][1], str(report)
    page = report.to_html(tmp_path / "a folder" / "report.html")
    assert (tmp_path / "a folder" / "report.html").read_text() == page
    assert page.startswith("<!DOCTYPE html>")
    # Nothing is asked for from outside, and nothing runs.
    assert "<script" not in page
    assert "<link" not in page
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert all(s.startswith("data:image/svg+xml;base64,") for s in sources)
    assert html.escape(report.worst.scenario) in page
    assert report.verdict in report._repr_html_()
    sentence = report.conclusion
    assert sentence[0].isupper() or sentence[0] == "E"
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert sentence in str(report)


@pytest.mark.parametrize(
    ("name", "said"),
    {
        "bound": (
            "The bound fails to cover the mean in ",
            "% of samples under mostly 1, where 5 % was promised; ",
            "samples; the probability that this verdict is wrong is at most 0.1 %.",
        ),
        "good bound": ("As promised: ", "the worst of 3 rows", "more than 6 %", "at most 0.1 %."),
        "too few": ("Undecided: ", "too near to tell after 20 samples", "replications in all"),
        "proportion": ("for every p, where 5 % was promised; exact",),
        "wrong proportion": ("at p=", "where 10 % was promised; exact, in rational arithmetic."),
        "interval": ("the interval fails to cover the proportion",),
        "p-value": ("The p-value is at most 0.01 with probability 100 % at p=", "1 % is allowed"),
        "e-process": ("The expectation of the e-value at the best stopping time is ", "1 is allow"),
        "set": ("The next y is outside its set in ", "where 20 % is allowed", "at most 0.1 %."),
        "procedure": ("The procedure rejects a true null in ", "where 10 % is allowed"),
        "FDR": ("The expected share of false rejections is ", "where 10 % is allowed"),
        "bets": ("Bet 1 changes with observation 1", "fixed before"),
        "capital": ("E[K] = ", "the initial capital is 1"),
        "mixing": ("The bound of a replication changes with the others",),
    }.items(),
)
def test_the_sentence_says_what_fails_how_often_where_and_how_sure(name, said, reports):
    for part in said:
        assert part in reports[name].conclusion


def test_the_sentence_has_the_numbers_of_the_table(reports):
    report = reports["bound"]
    assert f"in {100 * report.worst.miscoverage:.3g} % of samples" in report.conclusion
    assert f"{report.worst.replications:,} samples" in report.conclusion


def test_a_small_excess_is_not_rounded_away():
    """7 of 2,000 samples above 5 %: at three digits both would be 5 %."""
    suite = {"flat": {"law": ("beta", 1.0, 1.0)}}
    report = audit(
        lambda x, _a: np.where(x[:, 0] < 0.05004, 1.0, 0.0),
        n=1,
        alpha=0.05,
        scenarios=suite,
        replications=20_000,
    )
    said = re.search(r"in ([0-9.]+) % of samples", report.conclusion)
    assert said is not None
    assert float(said.group(1)) != 5.0 or report.worst.miscoverage == 0.05


def test_samples_that_are_all_alike_are_the_worst_only_where_no_other_is(reports):
    assert reports["bound"].worst.scenario == "mostly 1"
    report = audit(above, **MEAN)
    assert {r.verdict for r in report.rows} == {"refuted"}
    assert not report.worst.degenerate
    alone = audit(above, **(MEAN | {"scenarios": {"all alike": SUITE["all alike"]}}))
    assert alone.worst.degenerate


def test_levels_are_compared_by_their_excess():
    """P(p <= 0.1) is always larger than P(p <= 0.01), but exactly what is allowed."""

    def p(x):
        u = x[:, 0]
        return np.where(u < 0.05, 0.01, np.where(u < 0.1, 0.1, 1.0))

    report = audit_test(
        p,
        null=(None, 0.5),
        n=1,
        alpha=(0.01, 0.1),
        scenarios={"flat": {"law": ("beta", 1.0, 1.0)}},
        replications=20_000,
    )
    assert report.worst.allowed == 0.01
    assert "The p-value is at most 0.01 in " in report.conclusion
    assert "under flat," in report.conclusion


def test_the_worst_row_comes_first_marked_and_the_columns_fit(reports):
    for name, report in reports.items():
        rows = [line for line in report_lines(report, 80) if line.verdict is not None]
        assert rows[1].worst, name  # after the headline
        assert rows[1].text.startswith("> ")
        assert sum(line.worst for line in rows) == 1
        first = report.worst.scenario.split()[0]
        assert first[:10] in rows[1].text
        table = rows[1:-1]
        assert max(len(line.text) for line in table) <= 80, name


@pytest.mark.parametrize("width", [40, 60, 79])
def test_narrow_screens_cut_nothing(width, reports):
    for report in reports.values():
        text = " ".join(line.text for line in report_lines(report, width) if line.verdict)
        squeezed = re.sub(r"\s+", "", text)
        for row in table_cells(report)[1:]:
            for cell in row[1:-1]:
                assert cell.split()[0] in squeezed


def test_what_has_no_truth_has_no_column_of_it(reports):
    for name, report in reports.items():
        shown = "truth" in table_cells(report)[0]
        assert shown == (
            name not in ("set", "good set", "procedure", "good procedure", "FDR", "rule")
        ), name


def test_e_values_are_shown_as_expectations(reports):
    """Of those simulated a report has the probability alpha E[min(e, 1/alpha)]."""
    report = reports["good e-process"]
    heads, *rows = table_cells(report)
    assert heads[2] == "expectation [interval]"
    for row, cells in zip(report.ranked, rows, strict=True):
        assert row.truth <= 0.5 + 1e-9, "the mean, of every row"
        value = row.miscoverage / (0.05 if row.replications else 1.0)
        assert cells[2].startswith(f"{value:.4g} [")
    both = audit_e_value(fair_wealth, **NULL, scenarios={"flat": {"law": ("beta", 1.0, 1.0)}})
    assert table_cells(both)[0][2] == "E[min(e, 20)] [interval]"


def test_the_page_says_in_words_what_was_asked(reports):
    page = html.unescape(reports["p-value"].to_html())
    assert "the estimand is at most 0.5" in page
    assert "0.01, 0.05, 0.1" in page
    assert "&lt;" not in page, "escaped once"
    assert ">side<" not in page
    assert ">maximum replications<" not in page, "nothing was drawn"
    whole = html.unescape(reports["interval"].to_html())
    assert ">side<" in whole
    assert "{'" not in whole


def test_text_of_the_user_is_escaped():
    def audited(x, _alpha):
        return x.min(axis=1) - 1.0

    audited.__name__ = '<img src="http://a.example/x" onerror="alert(1)">'
    suite = {'"><script>alert(2)</script>': SUITE["even"]}
    report = audit(audited, **(MEAN | {"scenarios": suite}))
    for page in (report.to_html(), report._repr_html_()):
        assert "<script" not in page
        assert "<img src=" not in page.replace('<img alt="', "")
        assert 'onerror="' not in page


def test_a_file_is_replaced_only_where_that_is_asked(reports, tmp_path):
    path = tmp_path / "report.html"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="exists already"):
        reports["bets"].to_html(path)
    assert path.read_text() == "mine"
    reports["bets"].to_html(path, force=True)
    assert path.read_text() != "mine"
    reports["bets"].write(tmp_path / "other.html")
    assert (tmp_path / "other.html").read_text() == path.read_text()


def test_the_same_report_is_the_same_page(reports):
    again = audit("clopper_pearson_lower", estimand="proportion", n=9, alpha=0.05)
    assert again.to_html() == reports["proportion"].to_html()


def test_without_matplotlib_the_page_says_what_is_missing(reports, monkeypatch):
    import importlib.util

    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "matplotlib" else found(name)
    )
    page = reports["bound"].to_html()
    assert "no figure: matplotlib is not installed" in page
    assert "<img" not in page
