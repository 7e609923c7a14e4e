"""What an audit found, in one sentence: what fails, how often, where, and how sure that is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, cast

from rsverify.auditing.caller import MIXED

if TYPE_CHECKING:
    from rsverify.auditing.report import AuditReport

_MEANT = {
    "proportion": "the proportion",
    "randomized-proportion": "the proportion",
    "difference": "the margin over the runner-up",
    "probit": "the margin over the runner-up",
    "laplace": "the margin over the runner-up",
    "laplace:first": "the margin over the second class",
    "path-laplace": "the margin at every time",
    "difference:first": "the margin over the second class",
    "probit:first": "the margin over the second class",
    "path-difference": "the margin at every time",
    "path-probit": "the margin at every time",
    "score-difference": "the margin of the mean scores",
    "score-probit": "the margin of the mean scores",
    "mean": "the mean",
    "binary-mean": "the mean",
    "mean-known-variance": "the mean",
    "variance": "the variance",
    "median": "the median",
    "two-proportion-difference": "the difference of two proportions",
    "two-proportion-ratio": "the ratio of two proportions",
    "two-proportion-odds-ratio": "the odds ratio of two proportions",
    "paired-difference": "the difference of paired proportions",
    "paired-odds-ratio": "the odds ratio of pairs",
    "poisson-rate": "the rate",
    "hypergeometric": "the number of successes in the population",
}
ROUNDING = 1e-6  # of what is allowed; a smaller excess is attributed to rounding
_WORST_CASE = "worst case over "  # of an exact row


def conclusion(report: AuditReport) -> str:
    """Return the sentence that closes a report: see `AuditReport.conclusion`."""
    kind = report.design["kind"]
    if report.verdict == "refuted" and report.worst.verdict != "refuted":
        return _of_failures(report)
    if kind == "bets":
        return _of_bets(report)
    if kind == "betting":
        return _of_capital(report)
    begin = {"refuted": "", "supported": "as promised: ", "inconclusive": "undecided: "}
    return _capital(f"{begin[report.verdict]}{_found(report)}{_failed(report)}; {_sure(report)}.")


def finding(report: AuditReport) -> str:
    """Return what was found, without how sure that is, to follow a verdict."""
    if report.verdict == "refuted" and report.worst.verdict != "refuted":
        return report.failures[-1].message
    row = report.worst
    if kind_of(report) in ("bets", "betting"):
        if report.verdict == "refuted":
            return f"{row.note}, under {_named(report)}"
        if kind_of(report) == "bets":
            return f"no bet changed with the future, on {len(report.rows)} samples"
        return f"the expected capital is at most {row.miscoverage:.6g}, where 1 is the initial one"
    return _found(report)


def _found(report: AuditReport) -> str:
    """Return what has which probability (or expectation), where, beside what was promised."""
    row = report.worst
    looks_ahead = kind_of(report) == "e-value" and bool(row.note) and row.excess <= 1.0
    if looks_ahead and report.verdict == "refuted":
        return f"{row.note}, under {_named(report)}"
    allowed, value, high = _numbers(report)
    unit = "" if kind_of(report) == "e-value" else " %"
    promised = f"where {_digits(allowed)}{unit} {_promise(report)}"
    amount = f"{_digits(value, allowed)}{unit}"
    if not row.replications and row.verdict != "refuted":
        amount = f"at most {_digits(high, allowed)}{unit}"
        if row.verdict == "inconclusive":
            amount = f"{_digits(value, allowed)}{unit} to {_digits(high, allowed)}{unit}"
    how = amount if _is_expectation(report) else f"with probability {amount}"
    if row.replications and not _is_expectation(report):
        how = f"in {amount} of samples"
    return f"{_clause(report)} {how} {_where(report)}, {promised}"


def kind_of(report: AuditReport) -> str:
    """Return what kind of claim was audited."""
    return str(report.design["kind"])


def _numbers(report: AuditReport) -> tuple[float, float, float]:
    """Return what is allowed, what was seen and what is certified, in percent or as expectation."""
    row, seen = report.worst, report.worst.miscoverage
    if report.verdict == "refuted" and report.witness is not None and not row.replications:
        seen = report.witness.probability
    scale = 1.0 / row.allowed if kind_of(report) == "e-value" else 100.0
    return scale * row.allowed, scale * seen, scale * row.high


def _clause(report: AuditReport) -> str:
    d, row = report.design, report.worst
    if kind_of(report) == "e-value" and not row.replications:
        stopped = "best stopping time" in row.measure
        return "the expectation of the e-value" + (
            " at the best stopping time is" if stopped else " is"
        )
    if d.get("clause"):
        return str(d["clause"]).format(a=row.allowed, b=1.0 / row.allowed)
    thing = "interval" if d.get("side") == "two-sided" else "bound"
    name = str(d["estimand"])
    return f"the {thing} fails to cover {_MEANT.get(name, f'the estimand ({name})')}"


def _is_expectation(report: AuditReport) -> bool:
    return kind_of(report) == "e-value" or bool(report.design.get("expectation"))


def _promise(report: AuditReport) -> str:
    return "was promised" if kind_of(report) == "coverage" else "is allowed"


def _where(report: AuditReport) -> str:
    """Return the distribution, and of how many it is the worst."""
    row, many = report.worst, len(report.rows)
    if report.verdict == "refuted":
        if report.witness is not None and not row.replications:
            return "at " + ", ".join(f"{k}={v}" for k, v in report.witness.parameters.items())
        return f"under {_named(report)}"
    if not row.replications and row.scenario.startswith(_WORST_CASE):
        return f"for {row.scenario.removeprefix(_WORST_CASE)}"
    others = f", the worst of {many:,} rows" if many > 1 else ""
    return f"under {_named(report)}{others}"


def _named(report: AuditReport) -> str:
    """Return the name of the worst scenario without its level, which the sentence says."""
    row, event = report.worst, str(report.design.get("event", ""))
    name = row.scenario.removeprefix(f"{event.format(a=row.allowed)}; ")
    return f"'{name}'" if ":" in name or ";" in name else name


def _failed(report: AuditReport) -> str:
    count = sum(f.count for f in report.failures)
    if not count:
        return ""
    kinds = ", ".join(dict.fromkeys(f.kind for f in report.failures))
    if count == 1:
        return f" (a failure, {kinds}, is counted)"
    return f" ({count:,} failures, such as {kinds}, are counted)"


def _sure(report: AuditReport) -> str:
    """Return what the verdict rests on, and the probability that it is wrong."""
    row, d = report.worst, report.design
    if not row.replications:
        rational = report.witness is not None and report.witness.rational
        exact = "exact, nothing was drawn"
        if report.verdict == "refuted":
            return "exact, in rational arithmetic" if rational else exact
        return exact + _also_drawn(report)
    samples = f"{row.replications:,} samples"
    if report.verdict == "inconclusive":
        scale, unit = _scale(report)
        low, high = (f"{_digits(scale * end)}{unit}" for end in (row.low, row.high))
        more = f"; {row.note}" if row.note else ""
        return f"too near to tell after {samples}, with an interval of {low} to {high}{more}"
    sure = _percent(cast(float, d["false_alarm"]))
    if report.verdict == "refuted":
        return f"{samples}; the probability that this verdict is wrong is at most {sure}"
    return f"{samples}; {_wrongly(report)} is at most {sure}"


def _scale(report: AuditReport) -> tuple[float, str]:
    """Return by what a simulated probability is multiplied, and the unit that it then has."""
    return (1.0 / report.worst.allowed, "") if kind_of(report) == "e-value" else (100.0, " %")


def _wrongly(report: AuditReport) -> str:
    row = report.worst
    most = row.allowed * (1.0 + cast(float, report.design["tolerance"]))
    scale, unit = _scale(report)
    where = "in one of these scenarios" if len(report.rows) > 1 else "here"
    return (
        f"the probability that this verdict is wrong, with more than {_digits(scale * most)}{unit} "
        f"{where},"
    )


def _also_drawn(report: AuditReport) -> str:
    drawn = sum(1 for r in report.rows if r.replications)
    if not drawn:
        return ""
    sure = _percent(cast(float, report.design["false_alarm"]))
    return (
        f"; {drawn} more scenarios were simulated, with a probability of a wrong verdict of at "
        f"most {sure}"
    )


def _of_failures(report: AuditReport) -> str:
    """Return the sentence of a report whose rows are all right."""
    mixed = [f for f in report.failures if f.kind == MIXED]
    failure = (mixed or report.failures)[-1]
    return _capital(
        f"{failure.message}, which it must not: the same row was given twice, in other company."
    )


def _of_bets(report: AuditReport) -> str:
    if report.verdict == "refuted":
        row = report.worst
        return _capital(
            f"{row.note}, under {_named(report)}; a bet must be fixed before what it is placed on; "
            "exact: two samples with one past show it."
        )
    return (
        f"No bet changed with the future, on {len(report.rows)} samples, where none may; "
        "exact for these samples and means."
    )


def _of_capital(report: AuditReport) -> str:
    row = report.worst
    if report.verdict == "refuted":
        return _capital(
            f"{row.note}, under {_named(report)}, where the initial capital is 1; exact, summed "
            "over all paths."
        )
    return (
        f"The expected capital is at most {row.miscoverage:.6g} under each of "
        f"{len(report.rows)} distributions, where the initial capital is 1, and grows on average "
        "after no path; exact, summed over all paths."
    )


def _digits(value: float, beside: float = math.nan) -> str:
    """Return three digits, or as many as tell the number from the one it stands beside."""
    if value >= 1e4:
        return f"{float(f'{value:.4g}'):,.0f}"
    same = abs(value - beside) <= ROUNDING * beside
    for digits in range(3, 12):
        text = f"{value:.{digits}g}"
        if same or not math.isfinite(beside) or text != f"{beside:.{digits}g}":
            return text
    return f"{value:.12g}"


def _percent(value: float) -> str:
    return f"{100.0 * value:.3g} %"


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
