"""Procedures for several hypotheses, right and wrong."""

from __future__ import annotations

from functools import partial

import numpy as np
from scipy import stats

from rsverify import audit_multiple_testing

from .example import Example, monte_carlo

N, ALPHA = 10, 0.05


def step_up(p, thresholds):
    """Reject all up to the largest ordered p-value that is below its threshold."""
    n = p.shape[-1]
    order = np.sort(p, axis=-1)
    k = ((order <= thresholds) * np.arange(1, n + 1)).max(axis=-1, keepdims=True)
    cut = np.take_along_axis(order, np.maximum(k, 1) - 1, axis=-1)
    return (p <= cut) & (k > 0)


def bonferroni(p, alpha, share=1.0):
    return p <= alpha / (share * p.shape[-1])


def sidak(p, alpha):
    return p <= 1.0 - (1.0 - alpha) ** (1.0 / p.shape[-1])


def holm(p, alpha, slip=0):
    n = p.shape[-1]
    order = np.sort(p, axis=-1)
    below = order <= alpha / np.maximum(np.arange(n, 0, -1) - slip, 1)
    k = np.logical_and.accumulate(below, axis=-1).sum(axis=-1, keepdims=True)
    cut = np.take_along_axis(order, np.maximum(k, 1) - 1, axis=-1)
    return (p <= cut) & (k > 0)


def hochberg(p, alpha):
    return step_up(p, alpha / np.arange(p.shape[-1], 0, -1))


def benjamini_hochberg(p, alpha, factor=1.0):
    n = p.shape[-1]
    return step_up(p, factor * alpha * np.arange(1, n + 1) / n)


def benjamini_yekutieli(p, alpha):
    n = p.shape[-1]
    return benjamini_hochberg(p, alpha / (1.0 / np.arange(1, n + 1)).sum())


def storey(p, alpha, plus=1):
    n = p.shape[-1]
    share = (plus + (p > 0.5).sum(axis=-1, keepdims=True)) / (0.5 * n)
    with np.errstate(divide="ignore"):
        return step_up(p, alpha * np.arange(1, n + 1) / n / share) & (p <= 0.5)


def e_bh(p, alpha, calibrate=True):
    """Wang and Ramdas: e-values instead of p-values, by the calibrator 1/(2 sqrt p)."""
    e = 0.5 / np.sqrt(p) if calibrate else 1.0 / p
    n = e.shape[-1]
    return step_up(1.0 / e, alpha * np.arange(1, n + 1) / n)


def in_turn(p, alpha, stop=True):
    """Test in a fixed order at full level, until one is not rejected."""
    below = p <= alpha
    return np.logical_and.accumulate(below, axis=-1) if stop else below


def of_one(p, alpha):
    """Holm at a third of the level, for one replication, with a loop."""
    alpha /= 3
    out = np.zeros(len(p), dtype=bool)
    for i, place in enumerate(np.argsort(p, kind="stable")):
        if p[place] > alpha / (len(p) - i):
            break
        out[place] = True
    return out


def each(p, alpha):
    return p <= alpha


def protected(p, alpha):
    """Each at full level, once any is at Bonferroni's."""
    return (p <= alpha) & (p <= alpha / p.shape[-1]).any(axis=-1, keepdims=True)


def gatekeeper(p, alpha):
    """All of them, once Fisher's combination is significant."""
    total = -2.0 * np.log(p).sum(axis=-1, keepdims=True)
    return np.broadcast_to(stats.chi2.sf(total, 2 * p.shape[-1]) <= alpha, p.shape).copy()


def the_smallest(p, alpha):
    return (p <= alpha) & (p == p.min(axis=-1, keepdims=True))


def of_promising(p, alpha):
    """Bonferroni among those below 0.2 only."""
    few = np.maximum((p < 0.2).sum(axis=-1, keepdims=True), 1)
    return p <= alpha / few


def one_more(p, alpha):
    """Benjamini and Hochberg, and the next one."""
    n = p.shape[-1]
    rank = stats.rankdata(p, axis=-1, method="ordinal")
    k = benjamini_hochberg(p, alpha).sum(axis=-1, keepdims=True)
    return rank <= np.minimum(k + 1, n)


def always_one(p, alpha):
    return (p == p.min(axis=-1, keepdims=True)) | bonferroni(p, alpha)


def pooled(p, alpha):
    """Thresholds from the p-values of all replications."""
    order = np.sort(p.ravel())
    k = np.flatnonzero(order <= alpha * np.arange(1, order.size + 1) / order.size)
    return p <= (order[k[-1]] if k.size else 0.0)


# Bounds of estimates.


def bonferroni_bounds(z, alpha):
    return z - stats.norm.isf(alpha / z.shape[-1])


def sidak_bounds(z, alpha):
    return z - stats.norm.isf(1.0 - (1.0 - alpha) ** (1.0 / z.shape[-1]))


def plain_bounds(z, alpha):
    return z - stats.norm.isf(alpha)


def selected_bounds(z, alpha, adjust=True):
    """Of estimates above 1 only; `adjust`: by Benjamini and Yekutieli (2005)."""
    chosen = z > 1.0
    level = alpha * np.maximum(chosen.sum(axis=-1, keepdims=True), 1) / z.shape[-1]
    level = level if adjust else np.full_like(level, alpha)
    return np.where(chosen, z - stats.norm.isf(level), -np.inf)


def bonferroni_of_selected(z, alpha):
    chosen = z > 1.0
    few = np.maximum(chosen.sum(axis=-1, keepdims=True), 1)
    return np.where(chosen, z - stats.norm.isf(alpha / few), -np.inf)


def drawn_to_0(z, alpha):
    """Shrunk by a fifth: too high where means are below 0."""
    return 0.8 * bonferroni_bounds(z, alpha)


def the_winner(z, alpha):
    """The largest estimate only, as if it had been the only one."""
    return np.where(z == z.max(axis=-1, keepdims=True), z - stats.norm.isf(alpha), -np.inf)


# The truth, apart from the auditor: draws written anew.


def all_null(rng, rows):
    return 1.0 - rng.random((rows, N)), np.ones((rows, N), dtype=bool)


def few_null(rng, rows):
    p, truth = all_null(rng, rows)
    truth[:, N // 2 :] = False
    return np.where(truth, p, 1e-13), truth


def equal(rng, rows):
    return np.repeat(1.0 - rng.random((rows, 1)), N, axis=1), np.ones((rows, N), dtype=bool)


def between(thresholds):
    """With probability w m/k exactly k of m p-values between threshold k - 1 and k."""

    def draw(rng, rows):
        p = np.empty((rows, N))
        widths = np.diff(np.concatenate([[0.0], thresholds]))
        edges = np.concatenate([[0.0], thresholds])
        weights = widths * N / np.arange(1, N + 1)
        for i in range(rows):
            p[i] = rng.uniform(thresholds[-1], 1.0, N)
            k = rng.choice(N + 1, p=[*weights, 1.0 - weights.sum()]) + 1
            if k <= N:
                some = rng.choice(N, k, replace=False)
                p[i, some] = rng.uniform(edges[k - 1], edges[k], k)
        return p, np.ones((rows, N), dtype=bool)

    return draw


SIMES = between(ALPHA * np.arange(1, N + 1) / N)
HOCHBERG = between(ALPHA / np.arange(N, 0, -1))


def rate(procedure, controls, draw, alpha, divide=2):
    def event(data):
        p, truth = data
        if procedure is of_one:
            rejected = np.array([of_one(row, alpha) for row in p])
        else:
            rejected = procedure(p, alpha)
        wrong, found = (rejected & truth).sum(axis=1), rejected.sum(axis=1)
        return wrong > 0 if controls == "FWER" else wrong / np.maximum(found, 1)

    return monte_carlo(lambda rng, rows: draw(rng, rows // divide), event, alpha)


def bound_rate(procedure, controls, means, alpha):
    def draw(rng, rows):
        return rng.normal(size=(rows // 2, N)) + means

    def event(z):
        limits = procedure(z, alpha)
        wrong, claimed = (limits > means).sum(axis=1), (limits > -np.inf).sum(axis=1)
        return wrong > 0 if controls == "FWER" else wrong / np.maximum(claimed, 1)

    return monte_carlo(draw, event, alpha)


def example(name, procedure, valid, controls, draw, dependence="any", *, n=N, divide=2):
    options = {"controls": controls, "n": n, "alpha": ALPHA, "dependence": dependence}
    truth = rate(procedure, controls, draw, ALPHA, divide)
    return Example(name, audit_multiple_testing, procedure, options, valid, truth)


def bounds(name, procedure, valid, controls, means=0.0, dependence="independent"):
    options = {"controls": controls, "n": N, "alpha": ALPHA, "dependence": dependence}
    truth = bound_rate(procedure, controls, np.full(N, means), ALPHA)
    options["given"] = "estimates"
    return Example(name, audit_multiple_testing, procedure, options, valid, truth)


VALID = [
    example("Bonferroni", bonferroni, True, "FWER", all_null),
    example("Holm", holm, True, "FWER", few_null),
    example("one at a time", of_one, True, "FWER", all_null, divide=20),
    example("Sidak", sidak, True, "FWER", all_null, "independent"),
    example("Hochberg", hochberg, True, "FWER", few_null, "independent"),
    example("Hochberg, positive", hochberg, True, "FWER", equal, "positive"),
    example("in turn", in_turn, True, "FWER", all_null),
    example("BH", benjamini_hochberg, True, "FDR", all_null, "independent"),
    example("BH, positive", benjamini_hochberg, True, "FDR", equal, "positive"),
    example("BY", benjamini_yekutieli, True, "FDR", SIMES, divide=10),
    example("Bonferroni, FDR", bonferroni, True, "FDR", few_null),
    example("Storey", storey, True, "FDR", few_null, "independent"),
    example("e-BH", e_bh, True, "FDR", SIMES, divide=10),
    bounds("Bonferroni's bounds", bonferroni_bounds, True, "FWER", dependence="any"),
    bounds("Sidak's bounds", sidak_bounds, True, "FWER"),
    bounds("bounds after selection", selected_bounds, True, "FDR"),
]
INVALID = [
    example("each", each, False, "FWER", all_null, "independent"),
    example("BH for FWER", benjamini_hochberg, False, "FWER", few_null, "independent"),
    example("Hochberg, any", hochberg, False, "FWER", HOCHBERG, divide=10),
    example("all by Fisher", gatekeeper, False, "FWER", few_null, "independent"),
    example(
        "Bonferroni by half", partial(bonferroni, share=0.5), False, "FWER", all_null, "independent"
    ),
    example("Holm, one off", partial(holm, slip=4), False, "FWER", all_null, "independent"),
    example("protected", protected, False, "FWER", few_null, "independent"),
    example("in turn, without stop", partial(in_turn, stop=False), False, "FWER", all_null),
    example("the smallest", the_smallest, False, "FWER", all_null, "independent"),
    example("of promising ones", of_promising, False, "FWER", all_null, "independent"),
    example("BH, any", benjamini_hochberg, False, "FDR", SIMES, divide=10),
    example(
        "BH at twice",
        partial(benjamini_hochberg, factor=2.0),
        False,
        "FDR",
        all_null,
        "independent",
    ),
    example("e-BH, not calibrated", partial(e_bh, calibrate=False), False, "FDR", SIMES, divide=10),
    example("each, FDR", each, False, "FDR", all_null, "independent"),
    example(
        "Storey without 1",
        partial(storey, plus=0),
        False,
        "FDR",
        lambda rng, rows: tuple(part[:, :4] for part in all_null(rng, rows)),
        "independent",
        n=4,
    ),
    example("one more", one_more, False, "FDR", all_null, "independent"),
    example("always one", always_one, False, "FDR", all_null),
    bounds("plain bounds", plain_bounds, False, "FWER"),
    bounds("selected, plain", partial(selected_bounds, adjust=False), False, "FDR"),
    bounds("Bonferroni of selected", bonferroni_of_selected, False, "FWER"),
    bounds("the winner", the_winner, False, "FWER"),
    bounds("drawn to 0", drawn_to_0, False, "FWER", -8.0),
]
EXAMPLES = VALID + INVALID
