"""Analyses as one table of text: for the terminal, Markdown and LaTeX; and as JSON.

One row a figure, one column a table. Limits are rounded outward, so that what is printed
holds with the confidence of what was computed; values are rounded to nearest.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from rsverify._core.decimals import EXACT, exactly, fixed
from rsverify._core.optional import need
from rsverify._core.text import complement_text, number_text, printable, unprintable_escaped
from rsverify.certificates.certificate import ABSTAIN
from rsverify.tables.abstentions import NOT_SAID

if TYPE_CHECKING:
    from rsverify.tables.abstentions import Abstentions
    from rsverify.tables.analysis import Analysis
    from rsverify.tables.comparison import Comparison
    from rsverify.tables.input_limits import Estimate

__all__ = ["explanation", "to_frame", "to_json", "to_latex", "to_markdown"]

UNKNOWN = "—"
"""Stands for a figure that is not known."""

REFERENCE = "reference"
"""Stands in the column of the table that the others are compared with."""

SHARE_DECIMALS, RADIUS_DECIMALS = 3, 4
_SETTINGS = {
    "sigma": "noise sigma",
    "noise": "noise",
    "norm": "norm of the radii",
    "ignored": "classes ignored",
    "top_k": "among so many most probable",
    "n": "votes per input",
    "alpha": "alpha of each certificate",
    "bound": "bound",
}
_MOST_VALUES, _MOST_SIGNS = 3, 40
# What viewers of Markdown make a link of by itself.
_LINK = re.compile(r"(?i)://|www\.|@|mailto:|xmpp:")


def to_frame(analyses: Sequence[Analysis], comparisons: Sequence[Comparison] = ()) -> pd.DataFrame:
    """Return the figures as text, one row a figure and one column a table.

    Parameters
    ----------
    analyses : sequence of Analysis
        At least one, of different names.
    comparisons : sequence of Comparison
        Of tables among them with the first one.

    Raises
    ------
    ValueError
        If there is no analysis, two have one name, or they are at different radii.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsverify.tables.analysis import analyze
    >>> from rsverify.tables.formatting import to_frame
    >>> table = pd.DataFrame({"idx": range(50), "label": 1, "predict": 1, "correct": 1,
    ...                       "radius": [0.2, 0.4] * 25})
    >>> to_frame([analyze(table, name="mine", radii=[0.25])]).loc["certified accuracy at 0.25"]
    mine    0.500 [0.355, 0.645]
    Name: certified accuracy at 0.25, dtype: object
    """
    names = [a.name for a in analyses]
    if not names or len(set(names)) < len(names):
        raise ValueError(f"names={names} must be different, and at least one")
    if len({a.radii for a in analyses}) > 1:
        raise ValueError(f"radii={[a.radii for a in analyses]} must be the same for all tables")
    reasons = list(dict.fromkeys(r.reason for a in analyses for r in a.reasons))
    columns = [_figures(a, reasons) | _changes(a.name, comparisons) for a in analyses]
    rows = {label: [column[label] for column in columns] for label in columns[0]}
    known = {label: cells for label, cells in rows.items() if set(cells) != {UNKNOWN}}
    return pd.DataFrame(known.values(), index=list(known), columns=names, dtype=object)


def _figures(a: Analysis, reasons: Sequence[str] = ()) -> dict[str, str]:
    """Return the text of each figure of one table, by its label."""
    why = {r.reason: _reason(r) for r in a.reasons}
    wrong = UNKNOWN if a.wrong_certificates is None else f"at most {a.wrong_certificates}"
    at = [(np.format_float_positional(r, trim="-"), estimate) for r, estimate in a.at_radii()]
    return (
        {"inputs": str(a.inputs)}
        | {label: values_text(a.settings.get(c, ())) for c, label in _SETTINGS.items()}
        | {
            "base accuracy": estimate_text(a.base, SHARE_DECIMALS),
            "smoothed accuracy": estimate_text(a.smoothed, SHARE_DECIMALS),
            "abstained": estimate_text(a.abstained, SHARE_DECIMALS),
        }
        | {
            f"abstained: {r}": why.get(r, "0" if a.reasons else UNKNOWN)
            for r in reasons
            if r != NOT_SAID
        }
        | {
            "most predicted class": _most_frequent(a),
        }
        | {f"certified accuracy at {r}": estimate_text(e, SHARE_DECIMALS) for r, e in at}
        | {f"robust accuracy at {r}": _at_least(e, SHARE_DECIMALS) for r, e in at}
        | {
            "average certified radius": estimate_text(a.average_radius, RADIUS_DECIMALS),
            "average robust radius": _at_least(a.average_radius, RADIUS_DECIMALS),
            "wrong certificates": wrong,
        }
        | _claims(a)
        | _votes(a)
        | _sampled(a)
    )


def _claims(a: Analysis) -> dict[str, str]:
    """Return the text of what the level of each certificate buys for all of them."""
    labels = ("wrong on average", "all certificates hold", "alpha for all to hold")
    if a.claims is None:
        return dict.fromkeys(labels, UNKNOWN)
    hold = _rounded(a.claims.all_hold, SHARE_DECIMALS, ROUND_FLOOR)
    cells = (
        f"at most {a.claims.expected_wrong:.4g}",
        f"with probability {hold}",
        _level(a.claims.level_for_all),
    )
    return dict(zip(labels, cells, strict=True))


def _level(alpha: float) -> str:
    """Return a level with two digits, rounded down."""
    level = exactly(alpha)
    step = Decimal((0, (1,), level.adjusted() - 1))
    return f"{level.quantize(step, context=EXACT):.2g}"


def _votes(a: Analysis) -> dict[str, str]:
    """Return the text of the distribution of limits of p_y, and of who carries the average."""
    label, easiest = "p_y: 10 %, 25 %, median", "radii of easiest tenth"
    if a.vote_limits is None:
        return {label: UNKNOWN, easiest: UNKNOWN}
    three = a.vote_limits.quantiles[:3]
    carried = a.vote_limits.easiest_tenth
    return {
        label: ", ".join(_rounded(q, SHARE_DECIMALS, ROUND_FLOOR) for q in three),
        easiest: UNKNOWN if carried is None else f"{carried:.{SHARE_DECIMALS}f}",
    }


def _sampled(a: Analysis) -> dict[str, str]:
    """Return the text of what a run that stopped says of the whole data set."""
    if a.sampled is None:
        labels = [f"of all inputs, certified at {_radius(r)}" for r in a.radii]
        return dict.fromkeys(["inputs in the data set", *labels], UNKNOWN)
    found = {"inputs in the data set": str(a.sampled.population)}
    for r, (lower, upper) in zip(a.radii, a.sampled.certified, strict=True):
        ends = _rounded(lower, SHARE_DECIMALS, ROUND_FLOOR), _rounded(upper, SHARE_DECIMALS)
        found[f"of all inputs, certified at {_radius(r)}"] = f"[{ends[0]}, {ends[1]}]"
    return found


def _radius(r: float) -> str:
    return np.format_float_positional(r, trim="-")


def _reason(r: Abstentions) -> str:
    if r.n_for_half is None:
        return str(r.rows)
    most = "" if r.n_for_most is None else f" … {r.n_for_most:,}"
    return f"{r.rows} (n ≈ {r.n_for_half:,}{most})"


def _changes(name: str, comparisons: Sequence[Comparison]) -> dict[str, str]:
    """Return the text of the comparison of the table `name` with the first one."""
    labels = ("change of average radius", "larger / smaller / equal", "gain: 10 %, median, 90 %")
    found = [c for c in comparisons if c.second == name]
    if not found:
        cell = REFERENCE if any(c.first == name for c in comparisons) else UNKNOWN
        return dict.fromkeys(labels, cell)
    c = found[0]
    gains = UNKNOWN
    if c.gains is not None:
        shown = (c.gains.tenth, c.gains.median, c.gains.nine_tenths)
        gains = ", ".join(f"{g:+.{RADIUS_DECIMALS}f}" for g in shown)
    cells = (
        estimate_text(c.difference, RADIUS_DECIMALS),
        f"{c.larger} / {c.smaller} / {c.equal}",
        gains,
    )
    return dict(zip(labels, cells, strict=True))


def values_text(values: Sequence[object]) -> str:
    """Return the different values of a setting, or the ends of many."""
    texts = [number_text(v) if isinstance(v, float) else _shortened(str(v)) for v in values]
    if len(texts) > _MOST_VALUES:
        return f"{texts[0]} … {texts[-1]}"
    return ", ".join(texts) or UNKNOWN


def _shortened(text: str) -> str:
    """Return a text cut short in its middle: noise may have thousands of parameters."""
    return text if len(text) <= _MOST_SIGNS else f"{text[:20]}…{text[-12:]}"


def estimate_text(e: Estimate | None, decimals: int) -> str:
    if e is None:
        return UNKNOWN
    text = f"{e.value:.{decimals}f}"
    if e.lower is None or e.upper is None:
        return text
    lower, upper = _rounded(e.lower, decimals, ROUND_FLOOR), _rounded(e.upper, decimals)
    return f"{text} [{lower}, {upper}]"


def _at_least(e: Estimate, decimals: int) -> str:
    return UNKNOWN if e.robust is None else f"at least {_rounded(e.robust, decimals, ROUND_FLOOR)}"


def _rounded(value: float, decimals: int, rounding: str = ROUND_CEILING) -> str:
    return fixed(value, decimals, rounding)


def _most_frequent(a: Analysis) -> str:
    answered = {class_: times for class_, times in a.predictions.items() if class_ != ABSTAIN}
    if not answered:
        return UNKNOWN
    top = max(answered, key=lambda class_: answered[class_])
    text = f"{top}: {answered[top] / sum(answered.values()):.{SHARE_DECIMALS}f}"
    known = sum(times for class_, times in a.labels.items() if class_ != ABSTAIN)
    return f"{text} (label {a.labels.get(top, 0) / known:.{SHARE_DECIMALS}f})" if known else text


def explanation(analyses: Sequence[Analysis], comparisons: Sequence[Comparison] = ()) -> str:
    """Return what the figures of `to_frame` mean, in a few sentences."""
    level = complement_text(analyses[0].alpha)
    sentences = [
        "[lower, upper]: confidence limits of the figure over all inputs of this kind, certified "
        "in the same way. Robust figures are those of the smoothed classifier itself under any "
        "perturbation of that size, wrong certificates allowed for. Each limit holds with "
        f"probability {level} separately, for inputs drawn independently."
    ]
    if any(not a.has_votes for a in analyses):
        sentences.append(
            "Without vote counts, an abstention is a wrong prediction in the smoothed accuracy."
        )
    if any(a.average_radius.lower is None for a in analyses):
        sentences.append(
            "The average radius has limits where the largest possible radius is known: from n, "
            "sigma, alpha and bound if all rows share them, or as stated."
        )
    if any(a.vote_limits is not None for a in analyses):
        sentences.append(
            "p_y: so probable is a vote for the certified class at least, for all but a tenth, a "
            "quarter and half of the inputs, 0 where wrong. An average radius rewards a few easy "
            "inputs: it can rise while most radii fall."
        )
    if any(a.sampled is not None for a in analyses):
        sentences.append(
            "The run stopped over inputs when enough was known: its limits hold at any such time, "
            "and those of all inputs are of the data set itself, for a random order."
        )
    if any(r.n_for_half is not None for a in analyses for r in a.reasons):
        sentences.append(
            "n ≈: about how many votes per input would certify half of the inputs that abstain for "
            "that reason, and nine of ten, at their vote shares."
        )
    if comparisons:
        sentences.append(
            f"Changes are from {comparisons[0].first}, input by input: how many radii are larger, "
            "smaller and equal, wrong answers and abstentions counted as radius 0."
        )
    told = [c.gains.said for c in comparisons if c.gains is not None]
    if told:
        sentences.append(
            f"{'. '.join(told)}. So no interval is needed; gains are what nine of ten, half and "
            "one of ten of the inputs gain at least."
        )
    return " ".join(sentences)


def to_markdown(frame: pd.DataFrame) -> str:
    r"""Return a frame of text as a table in Markdown, ending in a line break.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsverify.tables.formatting import to_markdown
    >>> print(to_markdown(pd.DataFrame({"a|b": ["500"]}, index=["inputs"])), end="")
    |  | a\|b |
    |:--|--:|
    | inputs | 500 |
    """
    first = str(frame.index.name or "")
    rows = [[first, *frame.columns], *([label, *cells] for label, *cells in frame.itertuples())]
    lines = ["| " + " | ".join(map(_escaped_markdown, row)) + " |" for row in rows]
    return "\n".join([lines[0], "|:--|" + "--:|" * frame.shape[1], *lines[1:]]) + "\n"


def _escaped_markdown(text: str) -> str:
    """Return a cell of Markdown that shows `text`, and has neither markup nor links."""
    text = printable(" ".join(text.split()))
    if _LINK.search(text):  # made a link even where punctuation is escaped, but not in code
        fence = "`" * (1 + max(map(len, re.findall("`+", text)), default=0))
        # In a table a bar is escaped in code too, unless a backslash has been before it.
        code = text.replace("\\|", "\\ |").replace("|", r"\|")
        return f"{fence} {code} {fence}" if "`" in text else f"{fence}{code}{fence}"
    text = re.sub(r"([\\`*_<>|~#&$])", r"\\\1", text)
    # Other brackets stay: without a link behind them they are text.
    return re.sub(r"\](?=[\[(:])", r"\\]", text)


def _printable(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a frame of text with all of it on one line and without control characters."""

    def shown(text: str) -> str:
        return printable(" ".join(text.split()))

    cells = [[shown(cell) for cell in row] for row in frame.to_numpy()]
    rows, columns = map(shown, map(str, frame.index)), map(shown, frame.columns)
    return pd.DataFrame(cells, index=list(rows), columns=list(columns), dtype=object)


def to_latex(frame: pd.DataFrame) -> str:
    r"""Return a frame of text as a tabular in LaTeX, for documents with the package booktabs.

    Raises
    ------
    ModuleNotFoundError
        If jinja2 is not installed.

    Examples
    --------
    >>> import pandas as pd
    >>> from rsverify.tables.formatting import to_latex
    >>> print(to_latex(pd.DataFrame({"a_b": ["500"]}, index=["inputs"])), end="")
    \begin{tabular}{lr}
    \toprule
     & a\_b \\
    \midrule
    inputs & 500 \\
    \bottomrule
    \end{tabular}
    """
    need("jinja2")
    texts = 1  # columns at the left that hold no numbers
    named = frame.index.name is not None
    if named:
        frame = frame.reset_index()
        texts = 3 if "table" in frame else 2
    styled = _printable(frame).style.format(escape="latex")
    for axis in ("index", "columns"):
        styled = styled.format_index(escape="latex", axis=axis)
    if named:
        styled = styled.hide(axis="index")
    width = frame.shape[1] + (not named)
    return styled.to_latex(hrules=True, column_format="l" * texts + "r" * (width - texts))


def to_json(analyses: Sequence[Analysis], comparisons: Sequence[Comparison] = ()) -> str:
    """Return all figures as JSON: ``{"tables": [...], "comparisons": [...]}``."""
    content = {
        "tables": [a.to_dict() for a in analyses],
        "comparisons": [c.to_dict() for c in comparisons],
    }
    text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
    return unprintable_escaped(text) + "\n"
