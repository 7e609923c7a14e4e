"""The page of the scoreboard, from the table of `coverage_studies/other_libraries.py`.

python -m coverage_studies.scoreboard_page [--results FILE] [--out docs/scoreboard.md]
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

Line = dict[str, str]
RESULTS = Path(__file__).parent / "results" / "other_libraries.tsv"
PAGE = Path(__file__).parents[1] / "docs" / "scoreboard.md"

INTRODUCTION = """\
# What other packages claim

Each line below is one audit of a function of another package, called as its documentation says, with the
versions named here. *Claim* is what the documentation promises: **exact** means the level for every finite
sample, in some words; **nominal** means an approximation or an average, for which "refuted" is expected at
small $n$ and says how far off it can be. *Seen* is the largest probability found (of an e-value: the expectation) beside
what was promised. *Where* is the distribution that shows it; for "supported", the worst one. *Failures* are counts for which the function
raised, or returned NaN or an interval with its ends exchanged: they count as not covered. Counts are audited
exactly, samples by simulation: there a verdict is wrong with probability at most 0.1 %, and nothing is claimed for other
distributions ([what a verdict means](auditing.md#what-a-verdict-means)). Sample sizes are small on purpose.

The packages are those of the table's versions (grecov asks for a newer Python than it needs):

```text
{install}
```

Each line is made again by `python -m coverage_studies.other_libraries --only NAME`, all of them by the same command
without `--only`: {total} of one core, with rsverify {rsverify}. The table is
`coverage_studies/results/other_libraries.tsv`; a test holds this page against it.
"""

HEADS = ("name", "call", "claim", "$n$", "verdict", "seen / promised", "where", "seconds")

KNOWN = """\
## One limit and its exact value

grecov 0.2.2 orders outcomes by the difference of the votes and inverts the tail numerically. For 18, 9 and 3 votes its
lower limit of the difference at 5 % on one side is −0.009639. The exact limit of that ordering, which
`exact_margin_lower(18, 9, 30, 0.05, estimand="difference", ordering="difference")` encloses from below, is −0.0097082:
the optimizer stops 0.00007 above it. The command above with `--only grecov` prints both.
"""

NOTES = """\
## How to read it

- **Nominal intervals** fail most where a success is rare: one count then decides, and the interval around it is too
  short or empty. Wald's interval has no length at 0 successes, so there the probability of non-coverage goes to 1.
  Wilson's, which fails to cover about 16 % at $n = 50$, does so on a very short range of $p$.
- **Two-sided central intervals of exact tests** (Clopper-Pearson, exact Poisson) are never above the promise.
- **`mapie`'s betting bound** adds the maxima of two halves of the sample, each over its own time; a betting bound may use
  the maximum of one capital only. Its Hoeffding and Bernstein bounds and its p-values are as promised.
- **Asymptotic sequences and bootstraps** promise their level in the limit. A sequence can be far on the safe side at
  small $n$.
- An audit is of the function as it is called here: other options may do better or worse.
"""


def page(lines: Iterable[Line]) -> str:
    """Return the page as Markdown."""
    rows = list(lines)
    packages = dict.fromkeys(f"{r['package']}=={r['version']}" for r in rows)
    seconds = sum(float(r["seconds"]) for r in rows)
    total = f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"
    head = INTRODUCTION.format(
        install="pip install --ignore-requires-python " + " ".join(packages),
        total=total,
        rsverify=rows[-1]["rsverify"],
    )
    parts = [head]
    for package in dict.fromkeys(r["package"] for r in rows):
        own = [r for r in rows if r["package"] == package]
        parts.append(f"## {package} {own[0]['version']}\n\n{_table(own)}\n")
        if package == "grecov":
            parts.append(KNOWN.replace("## ", "### "))
    return "\n".join([*parts, NOTES])


def _table(rows: list[Line]) -> str:
    lines = ["| " + " | ".join(HEADS) + " |", "|" + "---|" * len(HEADS)]
    for r in rows:
        seen = f"{_number(r['seen'])} / {r['promised']}"
        cells = (
            f"`{r['name']}`",
            f"`{r['call']}`",
            r["claims"],
            r["n"],
            r["verdict"],
            seen,
            r["where"] + (f" (failures: {r['failures']})" if r["failures"] else ""),
            r["seconds"],
        )
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def _number(text: str) -> str:
    return f"{float(text):.3g}"


def read(path: Path = RESULTS) -> list[Line]:
    """Return the lines of the table."""
    head, *lines = path.read_text("utf-8").splitlines()
    return [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--results", type=Path, default=RESULTS)
    parser.add_argument("--out", type=Path, default=PAGE)
    args = parser.parse_args(argv)
    args.out.write_text(page(read(args.results)), "utf-8")


if __name__ == "__main__":
    main()
