"""The project is written in the words of its field, and in American English.

What readers see is searched: the pages of the documentation outside code blocks, the help of
every command, printed reports, certificates and warnings, and the docstrings of public names.
"""

import dataclasses
import inspect
import re
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

import rsverify
from rsverify.cli.app import app
from rsverify.paper.audit import PRINTED
from rsverify.tables.formatting import explanation, to_frame, to_markdown
from rsverify.tables.reader import table_row

ROOT = Path(__file__).parents[2]

# Regular expression -> what to write instead.
WORDS = {
    r"\blaws?\b": "distribution, or scenario",
    r"\bchances?\b": "probability",
    r"\bpictures?\b": "figure",
    r"\bhits and misses\b": "successes and failures",
    r"\bmiss(es|ed)?\b": "fails to cover; non-coverage",
    r"\btightness\b": "mean gap to the truth",
    r"\brivals?\b": "runner-up, or other class",
    r"\btwins?\b": "reference implementation",
    r"\bhouses?\b": "package, module",
    r"\bits job\b": "responsibility",
    r"\bmuseum\b|\bexhibits?\b": "catalog of known-invalid bounds; mutant",
    r"\bwhat one starts with\b": "initial capital",
    r"\bhopeless\b|\bg(ive|ives|ave|iven|iving) up\b": "stopped for futility",
    r"\b(until|had|has|have) answered\b": "decided",
    r"\b(votes|rows|limit|one|replication|observations?|classes|images?|numbers?|certificate)"
    r" an? (input|batch|row|count|replication|scenario)\b": "per",
    r"\bput down to\b": "attributed to",
    r"\bspoken of\b": "no claim is made for; does not cover",
    r"\bwould settle\b|\bas seen\b": "would decide it if …",
    r"\bbeside a jump\b": "just past a discontinuity",
    r"\bsoft (apart|betting)\b": "softmax scores, …",
    r"\bat each radius by itself\b": "pointwise",
    r"\blimits of level\b": "95 % confidence intervals",
    r"\bswallow(s|ed|ing)?\b": "predictions collapse to one class",
    r"\b(radii|weights) alone\b": "radii only",
    r"\brefuse inputs\b": "reject inputs",
    r"\beach [A-Z]{2,}-th\b": "every SKIP-th",
    r"\bin every way\b": "with every available bound",
    r"\bof (one's|your) own\b": "custom",
    r"\bat all times\b": "time-uniform",
    r"\b(is|are|was) no (fraction|integer|string|number|float|class|name|path|tensor|sample|claim|"
    r"scenario|argument|multiple|TorchScript|array|table|file|module)\b": "is not a …",
    r"\btells? this \w+ from another\b": "an identifier of this model",
    r"\bnothing larger does\b": "optimality",
    r"\b(dear|dearer|dearest)\b|\ba hair\b|\bha(s|ve) teeth\b": "expensive; slightly; has power",
    # American spelling.
    r"\w*(andom|ormal|ptim|inim|axim|eneral|nitial|ummar|ecogn|pecial|iscret|quant|actor|egular)"
    r"is(e|es|ed|er|ing|ation|able)\b": "-ize",
    r"\b(analys(e|ed|ing)|parametris\w*|linearis\w*|penalis\w*)\b": "-yze, -ize",
    r"\b\w*(colour|behaviour|neighbour|favour|labour|honour)\w*\b": "-or",
    r"\b(centre\w*|centring|metres?|grey\w*|licence|programme|catalogue|judgement)\b": (
        "American spelling"
    ),
    r"\b(towards|afterwards|modelling|labelled|unlabelled|cancelled|artefacts?|learnt)\b": (
        "American spelling"
    ),
}

# Phrases that are right although a pattern finds them, each with the reason.
EXCEPTIONS = {
    r"\blaw of the iterated logarithm\b": "a theorem, and the title of Robbins's paper",
    r"\bby chance\b": "an idiom: predictions that agree by chance",
    r"`(law|picture|rivals|randomised-\w+)`": "a name in code",
    r"\brivals : int\b|\bpicture : str\b": "an argument under its old name, which warns",
    r"\brivals=|\bpicture=": "an argument under its old name, which warns",
    r'"law"': "a key of the parameters of a scenario",
    r"Étude critique": "a title in French",
}

_PATTERNS = [(re.compile(p, re.IGNORECASE), instead) for p, instead in WORDS.items()]
_ALLOWED = re.compile("|".join(EXCEPTIONS))


def found(text: str) -> list[str]:
    """Return each word of the table in a text, with what surrounds it."""
    text = _ALLOWED.sub(" ", " ".join(text.split()))
    return [
        f"{text[max(0, m.start() - 30) : m.end() + 30]!r}: write {instead!r}"
        for pattern, instead in _PATTERNS
        for m in pattern.finditer(text)
    ]


def prose(page: str) -> str:
    """Return a page without its blocks and spans of code."""
    page = re.sub(r"^```.*?^```", " ", page, flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"(?<!`)`[^`\n]+`(?!`)", "code", page)


PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
def test_pages(page):
    assert not found(prose(page.read_text(encoding="utf-8")))


COMMANDS = [[], *([name] for name in sorted(typer.main.get_command(app).commands))]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: " ".join(c) or "rsverify")
def test_help(command):
    # Wide, so that no option's text is broken; the frame is no text.
    shown = CliRunner().invoke(
        app, [*command, "--help"], env={"COLUMNS": "400", "TERM": "dumb", "NO_COLOR": "1"}
    )

    assert shown.exit_code == 0
    assert "--help" in shown.output
    assert not found(re.sub(r"[│╭╮╰╯─]", " ", shown.output))


@pytest.mark.parametrize("name", rsverify.__all__)
def test_docstrings_of_public_names(name):
    value = getattr(rsverify, name)
    texts = [inspect.getdoc(value) or ""] if callable(value) else []
    if inspect.isclass(value):
        texts += [
            inspect.getdoc(member) or ""
            for key, member in vars(value).items()
            if not key.startswith("_") and callable(member)
        ]

    for text in texts:
        code = re.compile(r"^\s*(>>>|\.\.\. ).*$", re.MULTILINE)
        assert not found(code.sub(" ", text))


def certificates() -> Iterator[str]:
    """Yield certificates of counts and of scores, certified and abstaining for every reason."""
    counts = {"sigma": 0.25, "alpha": 0.001}
    for votes in ([600, 50, 350], [9, 0], [50, 60], [520, 480], [300, 200, 500]):
        certificate = rsverify.certify_counts(votes, y=0, **counts)
        yield f"{certificate} {certificate.reason}"
    for votes in ([80, 12, 8], [5000, 500, 500], [2000, 1990, 0]):
        yield str(rsverify.decide_counts(votes, target_radius=0.25, y=0, **counts))
    rng = np.random.default_rng(0)
    for weights in ([12.0, 2.0, 1.0], [2.0, 3.0, 1.0], [3.0, 2.9, 1.0]):
        scores = rng.dirichlet(weights, size=200)
        certificate = rsverify.certify_scores(scores, y=0, **counts)
        yield f"{certificate} {certificate.reason}"


def audits() -> Iterator[str]:
    """Yield reports of exact audits, simulations, searches, bets and capitals."""

    def wald(counts, _):
        n = counts.sum(axis=1)
        p = counts[:, 0] / n
        return p - 1.645 * np.sqrt(p * (1 - p) / n)

    def bets(x, m, _):
        return np.sign(x - m)

    yield str(rsverify.audit(wald, estimand="proportion", n=30, alpha=0.05))
    yield str(rsverify.audit("exact_margin_lower", estimand="difference", n=12, alpha=0.05))
    yield str(rsverify.audit("exact_margin_lower", estimand="difference:first", n=12, alpha=0.05))
    for n, estimand in ((20, "mean"), (10, "score-difference")):
        bound = "betting_lower" if estimand == "mean" else "score_margin_lower"
        yield str(
            rsverify.audit(bound, estimand=estimand, n=n, alpha=0.05, replications=200, seed=1)
        )
    yield str(rsverify.audit_bets(bets, n=10, alpha=0.05))
    yield str(rsverify.audit_capital(lambda x, m, _: np.cumprod(1 + x - m), n=4, alpha=0.05))
    for formula in PRINTED:
        yield f"{formula.place} {formula.error}"


def analyses() -> Iterator[str]:
    """Yield the tables, explanations and warnings of an analysis in which much is wrong."""
    constant = rsverify.certify_counts([1000, 0, 0], y=0, sigma=0.25, alpha=0.001, bound="cohen")
    rows = [table_row(i, i % 3, constant) for i in range(0, 180, 2) if i not in (10, 40)]
    wrong = rsverify.analyze(pd.DataFrame(rows), name="wrong", radii=[0.25])
    plain = rsverify.analyze(
        pd.DataFrame({"idx": range(60), "label": 1, "predict": 1, "correct": 1, "radius": 0.3}),
        name="plain",
        radii=[0.25],
    )
    yield to_markdown(to_frame([wrong, plain]))
    yield explanation([wrong, plain])
    yield from wrong.notes
    yield from plain.notes


@pytest.mark.parametrize("printed", [certificates, audits, analyses], ids=lambda f: f.__name__)
def test_printed_text(printed):
    texts = list(printed())

    assert all(texts)
    assert not [word for text in texts for word in found(text)]


def test_figures_of_audits(tmp_path):
    mpl.use("agg")
    sequence = rsverify.audit("betting_sequence", n=10, alpha=0.05, replications=200, seed=1)
    exact = rsverify.audit("clopper_pearson_lower", estimand="proportion", n=20, alpha=0.05)
    margin = rsverify.audit("cohen_margin_lower", estimand="difference", n=8, alpha=0.05)
    kinds = ((sequence, "zip"), (sequence, "time"), (exact, "sawtooth"), (margin, "map"))

    for report, kind in kinds:
        figure = report.plot(tmp_path / f"{kind}.svg", kind=kind)
        texts = [t.get_text() for t in figure.findobj(mpl.text.Text)]

        assert not [word for text in texts for word in found(text)]


PLANTED = (
    "the law of the data",
    "with chance 1/2",
    "draw a picture",
    "the outcomes that miss",
    "the bound misses",
    "over all rivals",
    "its 50-digit twin",
    "votes an input",
    "it is put down to rounding",
    "is given up",
    "an estimand of your own",
    "tables of radii alone",
    "that is no fraction",
    "holds at all times",
    "randomised smoothing",
    "the centre",
    "colour-blind",
    "normalisation",
)


@pytest.mark.parametrize("planted", PLANTED)
def test_a_planted_word_is_found(planted):
    assert found(f"Here is {planted}, in\nthe middle of a text.")
    assert found(prose(f"# Title\n\nHere is {planted} in a page.\n\n```\ncode\n```\n"))


def test_code_and_named_exceptions_are_not_found():
    assert not found(prose("```python\nlaw = 1\n```\nand `law`, or by chance"))
    assert not found("the law of the iterated logarithm")


def test_every_exception_is_used():
    pages = " ".join(" ".join(p.read_text(encoding="utf-8").split()) for p in PAGES)
    docs = " ".join(inspect.getdoc(getattr(rsverify, n)) or "" for n in rsverify.__all__)
    source = " ".join(p.read_text(encoding="utf-8") for p in (ROOT / "rsverify").rglob("*.py"))

    for phrase in EXCEPTIONS:
        assert re.search(phrase, f"{pages} {docs} {source}"), phrase


def test_old_names_are_accepted_and_warn(tmp_path):
    """For one version: the names of estimands, arguments and options that users may rely on."""
    bound = "randomized_clopper_pearson_lower"
    options = {"n": 10, "alpha": 0.05, "replications": 100, "seed": 1}
    new = rsverify.audit(bound, estimand="randomized-proportion", **options)
    with pytest.warns(DeprecationWarning, match="randomized-proportion"):
        old = rsverify.audit(bound, estimand="randomised-proportion", **options)
    assert [r.uncovered for r in old.rows] == [r.uncovered for r in new.rows]
    with pytest.warns(DeprecationWarning, match="kind="):
        old.plot(tmp_path / "a.svg", picture="zip")
    row = new.worst
    for before, after in {
        "misses": "uncovered",
        "tightness": "gap",
        "tightness_error": "gap_error",
    }.items():
        with pytest.warns(DeprecationWarning, match=f"Row.{before} is now Row.{after}"):
            assert getattr(row, before) == getattr(row, after)
    scores = np.random.default_rng(0).dirichlet([12.0, 2.0, 1.0], size=50)
    how = {"y": 0, "alpha": 0.05, "estimand": "difference", "selection": scores[:10]}
    with pytest.warns(DeprecationWarning, match="runners_up="):
        limit = rsverify.score_margin_lower(scores, rivals=1, **how)
    assert limit == rsverify.score_margin_lower(scores, runners_up=1, **how)


OLD = {"picture", "rivals"}  # arguments under their old names, which warn


@pytest.mark.parametrize("name", rsverify.__all__)
def test_names_of_arguments_and_fields(name):
    """What a caller writes, and what reports, tables and JSON are made of."""
    value = getattr(rsverify, name)
    names = [f.name for f in dataclasses.fields(value)] if dataclasses.is_dataclass(value) else []
    for each in (value, *(getattr(value, key) for key in dir(value) if key[0] != "_")):
        if inspect.isfunction(each):
            names += inspect.signature(each).parameters
    assert not found(" ".join(name.replace("_", " ") for name in {*names} - OLD))


def test_names_of_fields_of_reports():
    report = rsverify.audit("hoeffding_lower", n=5, alpha=0.05, replications=100)
    beside = rsverify.compare_bounds(["hoeffding_lower"], "mean", 5, 0.05, timing=False)
    for columns in (report.to_pandas().columns, beside.to_pandas().columns):
        assert not found(" ".join(name.replace("_", " ") for name in columns))


def test_the_old_option_for_a_figure_is_accepted_and_hidden(tmp_path):
    table = tmp_path / "table.tsv"
    table.write_text("idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t1\t1\t0.5\t1\t1.0\n")
    run = CliRunner()

    shown = run.invoke(app, ["analyze", str(table), "--picture", str(tmp_path / "a.png")])

    assert shown.exit_code == 0
    assert "--picture is now --figure" in shown.output
    assert (tmp_path / "a.png").exists()
    assert "--picture" not in run.invoke(app, ["analyze", "--help"]).output
