"""The pages of the documentation as a reader gets them."""

import json
import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin

import pytest

pytest.importorskip("mkdocs")
pytest.importorskip("mkdocstrings")

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.slow

# Elements whose attribute makes a browser fetch something while it shows the page.
FETCHES = {
    "link": "href",
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
}


# Pages with blocks of mathematics.
TYPESET_PAGES = {
    "paper-errata",
    "theory",
    "theory-lipschitz",
    "theory-means",
    "theory-noise",
    "theory-scores",
    "theory-two-proportions",
}


class Page(HTMLParser):
    """What a page fetches, where it leads, its anchors, and its text outside code."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []
        self.ids: set[str] = set()
        self.text: list[str] = []
        self.images_without_text: list[str] = []
        self._code = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if "id" in values:
            self.ids.add(values["id"])
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        names_a_page = tag == "link" and values.get("rel") in ("canonical", "next", "prev")
        if FETCHES.get(tag) in values and not names_a_page:
            self.fetched.append(values[FETCHES[tag]])
        if tag == "img" and not values.get("alt"):
            self.images_without_text.append(values.get("src", ""))
        self._code += tag in ("pre", "code", "script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._code -= tag in ("pre", "code", "script", "style")

    def handle_data(self, data: str) -> None:
        if not self._code:
            self.text.append(data)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir"]
    subprocess.run([*command, str(folder)], cwd=ROOT, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def pages(site: Path) -> dict[str, Page]:
    found = {
        path.relative_to(site).as_posix(): Page(path.read_text("utf-8"))
        for path in sorted(site.rglob("*.html"))
        if path.name != "404.html"
    }
    assert len(found) > 15
    return found


def inside(page: str, link: str) -> tuple[str, str]:
    """Return the file and the anchor that a relative link of a page leads to."""
    path, anchor = urldefrag(urljoin(f"/{page}", link))
    path = unquote(path).lstrip("/")
    return (f"{path}index.html" if not path or path.endswith("/") else path), unquote(anchor)


def test_nothing_is_fetched_from_elsewhere(site: Path, pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        for link in page.fetched:
            assert not re.match(r"(https?:)?//", link), f"{name} fetches {link}"
            if not link.startswith("data:"):
                assert (site / inside(name, link)[0]).exists(), f"{name} lacks {link}"
        html = (site / name).read_text("utf-8")
        assert not re.search(r"""(import|fetch)\(?\s*["'`]https?:""", html), f"{name} imports"
        assert "cdnjs" not in html, name
    for path in site.rglob("*.css"):
        for link in re.findall(r"url\(([^)]*)\)", path.read_text("utf-8")):
            target = link.strip("\"'")
            assert target.startswith(("data:", "#")) or (path.parent / target).exists(), link


def test_links_and_anchors_lead_somewhere(site: Path, pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:", link):
                continue
            target, anchor = inside(name, link)
            assert (site / target).exists(), f"{name} links to {link}"
            if anchor and target in pages:
                assert anchor in pages[target].ids, f"{name} links to {link}"


def test_no_markup_is_left_over(pages: dict[str, Page], site: Path) -> None:
    raw = re.compile(
        r"\]_|\.\. \[|:(?:func|class|mod|doc|ref):|\*\*\w[^*\n]*\*\*|^\s*```", re.MULTILINE
    )
    for name, page in pages.items():
        found = raw.search("".join(page.text))
        assert found is None, f"{name}: {found and found[0]!r}"
        html = re.sub(
            r"<(pre|code)\b.*?</\1>", "", (site / name).read_text("utf-8"), flags=re.DOTALL
        )
        eaten = re.search(r"\w<em>[^<]*</em>|<em>[^<]*</em>\w", html)  # of A*A and B*B
        assert eaten is None, f"{name} lost asterisks: {eaten and eaten[0]!r}"


def test_examples_show_nothing_that_only_the_tests_need(site: Path) -> None:
    for path in site.rglob("index.html"):
        found = re.search("BLANKLINE|# doctest", path.read_text("utf-8"))
        assert found is None, f"{path.parent.name} shows {found and found[0]}"


def test_types_are_not_read_as_arithmetic(site: Path) -> None:
    """A type such as path-like, alone, is no difference of two names."""
    for path in site.glob("api/*/index.html"):
        found = re.search(r"<code>[^\n]*</span> - [a-z]+</code>", path.read_text("utf-8"))
        assert found is None, f"{path.parent.name} shows {found and found[0]}"


@pytest.mark.parametrize(
    ("page", "function", "parameter", "shown"),
    [
        # One line of the docstring names it together with others that have other defaults.
        ("smoothing", "rsverify.smoothing.planning.plan_dataset", "compile", "False"),
        ("smoothing", "rsverify.smoothing.planning.plan_dataset", "max_inputs", "None"),
        ("smoothing", "rsverify.smoothing.planning.plan_dataset", "precision", "None"),
        ("tables", "rsverify.tables.certify.certify_table", "norm", "None"),
        ("audit", "rsverify.auditing.api.audit", "false_alarm", "1e-3"),
        # It has choices, and no default.
        ("bounds", "rsverify.bounds.score_margin.score_margin_lower", "estimand", None),
        ("bounds", "rsverify.bounds.margin.exact_margin_lower", "estimand", None),
        # It has choices, and the default is not the first.
        ("audit", "rsverify.auditing.api.audit", "side", "None"),
    ],
)
def test_a_parameter_has_its_own_default(
    site: Path, page: str, function: str, parameter: str, shown: str | None
) -> None:
    html = (site / "api" / page / "index.html").read_text("utf-8")
    own = html.partition(f'id="{function}"')[2].partition('<div class="doc doc-object')[0]
    entry = re.search(rf"<b><code[^>]*>{parameter}</code></b>(.*?)–", own, re.DOTALL)
    assert entry is not None
    found = re.search(
        r"default:\s*(.*?)\s*\)", unescape(re.sub(r"<[^>]+>", "", entry[1])), re.DOTALL
    )
    assert (found and found[1].strip()) == shown


def test_figures_open_at_full_size(site: Path) -> None:
    html = (site / "limit/index.html").read_text("utf-8")
    assert re.findall(r'<a href="([^"]*)"[^>]*><img [^>]*src="\1"', html) == [
        "../figures/limit-margin.png",
        "../figures/limit-mean.png",
    ]


def test_the_first_page_leads_to_every_other() -> None:
    docs = ROOT / "docs"
    written = [*docs.rglob("*.md"), *(docs / "tutorials").glob("*.ipynb")]
    names = {path.relative_to(docs).as_posix() for path in written} - {"index.md"}
    linked = set(re.findall(r"\]\(([^)#]+)\)", (docs / "index.md").read_text("utf-8")))
    assert names <= linked


def test_figures_say_what_they_show(pages: dict[str, Page]) -> None:
    for name, page in pages.items():
        assert not page.images_without_text, f"{name}: {page.images_without_text}"


# Prints each formula that KaTeX cannot typeset, of a list of [page, formula, whether a block].
TYPESET = """
const katex = require(process.argv[1]);
const bad = [];
for (const [page, tex, displayMode] of JSON.parse(require("fs").readFileSync(0, "utf-8"))) {
  try {
    katex.renderToString(tex, { displayMode, throwOnError: true, strict: "error" });
  } catch (error) {
    bad.push([page, tex, error.message]);
  }
}
console.log(JSON.stringify(bad));
"""
FORMULA = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', flags=re.DOTALL)


def formulas_of(site: Path) -> list[tuple[str, str, bool]]:
    """Return the page, the LaTeX and whether it is a block, of every formula of the site."""
    found = []
    for path in sorted(site.rglob("index.html")):
        for tag, formula in FORMULA.findall(path.read_text("utf-8")):
            tex = unescape(formula).strip()
            block = tag == "div"
            assert (tex[:2], tex[-2:]) == (("\\[", "\\]") if block else ("\\(", "\\)")), tex
            found.append((path.parent.name, tex[2:-2], block))
    return found


def katex_refuses(formulas: list[tuple[str, str, bool]]) -> list[list[str]]:
    """Return those that the scripts of the site cannot typeset, each with the reason."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    script = ROOT / "docs/assets/katex/katex.min.js"
    command = [node, "-e", TYPESET, str(script)]
    shown = subprocess.run(
        command, input=json.dumps(formulas), capture_output=True, check=True, encoding="utf-8"
    )
    refused: list[list[str]] = json.loads(shown.stdout)
    return refused


def test_mathematics_is_typeset_by_what_the_site_holds(site: Path) -> None:
    assert (site / "assets/katex/katex.min.js").exists()
    assert len(list((site / "assets/katex/fonts").glob("*.woff2"))) == 20
    formulas = formulas_of(site)
    assert {page for page, _, block in formulas if block} >= TYPESET_PAGES
    assert katex_refuses(formulas) == []


def test_a_formula_with_a_mistake_is_found() -> None:
    wrong = [r"\frac{1}{2", r"\alphabet", "p_1_2", r"\left( x"]
    refused = katex_refuses([("page", tex, False) for tex in [*wrong, r"p \ge \tfrac12"]])
    assert [tex for _, tex, _ in refused] == wrong


def test_formulas_are_not_written_in_plain_text(site: Path) -> None:
    """Neither x_1 nor x₁ nor e^x outside code and formulas, on pages written by hand."""
    plain = re.compile(r"(?<![\w$])[A-Za-zΑ-ω]_\{?[\w*]|[₀-₉₊]|[A-Za-zΑ-ω]\^[\w{(]")
    pages = [page.stem for page in (ROOT / "docs").glob("*.md")]
    for name in sorted({*pages} - {"index", "architecture", "command-line"}):
        html = (site / name / "index.html").read_text("utf-8")
        article = html[html.index("<article") : html.index("</article>")]
        text = re.sub(r"<(pre|code)\b.*?</\1>", "", FORMULA.sub("", article), flags=re.DOTALL)
        found = plain.search(re.sub(r"<[^>]*>", "", text))
        assert found is None, f"{name}: {found and found[0]!r}"


def test_every_page_is_in_the_menu() -> None:
    menu = set(re.findall(r"([\w/.-]+\.md)\s*$", (ROOT / "mkdocs.yml").read_text("utf-8"), re.M))
    written = {p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md")}
    assert menu == written
