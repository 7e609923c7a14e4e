"""Wrong bounds of a margin: counts (R, m), column 0 the class certified."""

from functools import cache

import numpy as np
from scipy.special import ndtri
from scipy.stats import multinomial

from rsverify import Estimand, bonferroni_margin_lower, clopper_pearson_lower
from rsverify.paper import FORMULAS as PAPER
from rsverify.paper.as_printed import printed_selected_runner_up_lower
from rsverify.probit import taylor_probit

from .mutant import counted, drawn
from .proportions import clopper_pearson, votes


def bonferroni_full_alpha(counts, alpha):
    k, n = votes(counts)
    other = counts[:, 1:].max(axis=1)
    return clopper_pearson(k, n, alpha) - (1 - clopper_pearson(n - other, n, alpha))


def second_class(counts, alpha):
    n = counts.sum(axis=1)
    return bonferroni_margin_lower(counts[:, 0], counts[:, 1], n, alpha, estimand="difference")


def wald_margin(counts, alpha):
    n = counts.sum(axis=1)
    p, q = counts[:, 0] / n, counts[:, 1:].max(axis=1) / n
    return p - q + ndtri(alpha) * np.sqrt(np.maximum(p + q - (p - q) ** 2, 0) / n)


def plug_in_probit(counts, alpha):
    n = counts.sum(axis=1)
    lower = clopper_pearson(counts[:, 0], n, alpha)
    with np.errstate(invalid="ignore"):
        return np.nan_to_num(ndtri(lower) - ndtri(counts[:, 1:].max(axis=1) / n), neginf=-np.inf)


def taylor_everywhere(counts, alpha):
    n = counts.sum(axis=1)
    lower = clopper_pearson(counts[:, 0], n, alpha / 2)
    other = counts[:, 1:].max(axis=1)
    upper = np.minimum(1 - clopper_pearson(n - other, n, alpha / 2), 1 - lower)
    return np.asarray(taylor_probit(lower, 3)) - np.asarray(taylor_probit(upper, 3))


@cache
def float_tied_table(n, alpha):
    """Buehler's bound ordered by X1 - X2, the observed value written another way."""
    x = np.array([(a, b) for a in range(n + 1) for b in range(n + 1 - a)])
    keys = x[:, 0] / n - x[:, 1] / n
    table = np.full((n + 1, n + 1), -1.0)
    full = np.column_stack([x, n - x.sum(axis=1)])
    for (a, b), observed in zip(x, (x[:, 0] - x[:, 1]) / n, strict=True):
        low, high = -1.0, 1.0
        for _ in range(30):
            margin = (low + high) / 2
            t = np.linspace(max(0, -margin), (1 - margin) / 2, 24)
            q = np.clip(np.column_stack([t + margin, t, 1 - 2 * t - margin]), 0, 1)
            tail = [multinomial.pmf(full[keys >= observed], n, row).sum() for row in q]
            low, high = (low, margin) if max(tail) > alpha else (margin, high)
        table[a, b] = low
    return table


def float_ties(counts, alpha):
    table = float_tied_table(int(counts[0].sum()), alpha)
    return table[counts[:, 0], counts[:, 1]]


WINNER = Estimand(
    draw=lambda rng, rows, n, p: rng.multinomial(n, p, rows),
    truth=lambda p: max(p),
    scenarios={"ten equal classes": {"p": (0.1,) * 10}, "clear winner": {"p": (0.8, 0.1, 0.1)}},
    space=(0, 1),
    name="probability of the winner",
)


def winner_of_the_same_counts(counts, alpha):
    return clopper_pearson(counts.max(axis=1), counts.sum(axis=1), alpha)


def _selection_and_counts(rng, rows, n, p):
    return np.hstack([rng.multinomial(1, p, rows), rng.multinomial(n, p, rows)])


SELECTED = Estimand(
    draw=_selection_and_counts,
    truth=lambda p: p[0] - max(p[1:]),
    scenarios={"runners-up 0.3 and 0.2": {"p": (0.5, 0.3, 0.2)}},
    space=(-1, 1),
    name="margin, runner-up selected on one vote",
)


def runner_up_from_other_data(data, alpha):
    m = data.shape[1] // 2
    return printed_selected_runner_up_lower(
        data[:, :m], data[:, m:], alpha, y=0, estimand="difference"
    )


def _draw_first_votes(rng, rows, n, p):
    return np.hstack([rng.multinomial(10, p, rows), rng.multinomial(n - 10, p, rows)])


REUSED = Estimand(
    draw=_draw_first_votes,
    truth=lambda p: max(p),
    scenarios={"ten equal classes": {"p": (0.1,) * 10}},
    space=(0, 1),
    name="probability of the class selected on the first ten votes",
)


def selection_votes_used_again(data, alpha):
    m = data.shape[1] // 2
    selected = data[:, :m].argmax(axis=1)
    rows = np.arange(len(data))
    k = data[rows, selected] + data[rows, m + selected]
    return clopper_pearson(k, data.sum(axis=1), alpha)


def two_step_at_full_alpha(counts, alpha):
    """Test p1 >= 1/2 at alpha/2, then Cohen's margin at alpha/2; else Bonferroni's at alpha."""
    n = counts.sum(axis=1)
    other = counts[:, 1:].max(axis=1)
    low = clopper_pearson_lower(counts[:, 0], n, alpha / 2)
    fallback = bonferroni_margin_lower(counts[:, 0], other, n, 2 * alpha, estimand="difference")
    return np.where(low >= 0.5, 2 * low - 1, fallback)


def later_classes_ignored(counts, alpha):
    """Bonferroni over classes 2 and 3, whatever the number of classes."""
    n = counts.sum(axis=1)
    other = counts[:, 1:3].max(axis=1)
    return bonferroni_margin_lower(counts[:, 0], other, n, alpha, estimand="difference")


REFUTED = [
    counted("second class", "runner-up fixed, another may be it", second_class, "difference", 60),
    counted("wald margin", "normal approximation", wald_margin, "difference", 60),
    counted("estimated runner-up", "no limit for p2", plug_in_probit, "probit", 60),
    counted("taylor everywhere", "polynomial used below 1/2", taylor_everywhere, "probit", 60),
    counted("float ties", "equal outcomes with unequal keys", float_ties, "difference:first", 10),
    counted("printed difference", "> for >= (7)", PAPER["printed_margin_lower"], "difference", 5),
    counted("printed probit", "> for >= (7)", PAPER["printed_margin_lower"], "probit", 5),
    counted("printed Taylor", "> for >= (7), (11)", PAPER["printed_taylor_lower"], "probit", 1),
    counted("printed two-step", "> for >= (7)", PAPER["printed_two_step_lower"], "probit", 5, 0.1),
    drawn(
        "rivals by name",
        "the fourth class and later ones forgotten",
        later_classes_ignored,
        60,
        estimand="difference",
        method="simulation",
    ),
    drawn(
        "winner of the same counts",
        "selection without correction",
        winner_of_the_same_counts,
        100,
        estimand=WINNER,
    ),
    drawn(
        "selection votes used again",
        "the ten votes that chose the class are counted too",
        selection_votes_used_again,
        100,
        estimand=REUSED,
    ),
    drawn(
        "runner-up from other data",
        "3.3: a smaller rival's margin",
        runner_up_from_other_data,
        500,
        estimand=SELECTED,
    ),
]
UNSEEN = [
    counted("bonferroni at alpha", "alpha for alpha/2", bonferroni_full_alpha, "difference", 60),
    counted(
        "two-step at full alpha",
        "the fallback does not share alpha",
        two_step_at_full_alpha,
        "difference",
        60,
    ),
    counted(
        "printed Bonferroni",
        "(4)-(6): nothing, although printed with an empty domain",
        PAPER["printed_bonferroni_lower"],
        "difference",
        60,
    ),
]
