"""What the demo makes of one image: rows of its tables, from one sample as far as that goes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from rsverify._core.check import FloatArray, IntArray
from rsverify.bounds.margin_decision import Answer
from rsverify.bounds.score_margin import score_margin_lower
from rsverify.certificates.case import case_of_counts, terms_given
from rsverify.certificates.counts import certify_counts, stated
from rsverify.certificates.early import decide_looks
from rsverify.certificates.parts import evidence_of
from rsverify.certificates.radius import certified_radius_r2
from rsverify.certificates.scores import certify_scores
from rsverify.tables.reader import table_row

if TYPE_CHECKING:
    from rsverify.smoothing.classifier import SmoothedClassifier

ALPHA = 0.001
SELECTION_SAMPLES = 100
BATCH = 1000
TARGETS = (0.25, 0.5, 0.75)
"""The radii asked for with early stopping."""
PLANNED = 10
"""Votes planned for each of those questions, in samples of the other bounds."""
FUTILITY = 0.1
FIRST_LOOK, GROWTH = 50, 1.05
ANSWERS = {
    Answer.AT_LEAST: "radius >= target",
    Answer.BELOW: "radius < target",
    Answer.FUTILE: "stopped for futility",
    Answer.UNDECIDED: "undecided",
}
RUNNERS_UP = 3
"""Bounded one by one from scores; the others share a column, which loses next to nothing."""
SOFT = ("softmax scores, separate bounds", "softmax scores, betting bound")

Row = dict[str, Any]


class ImageRows(NamedTuple):
    """Rows of one image."""

    votes: Row
    """Of the table of Cohen's bound, the quickest."""
    soft: dict[str, Row]
    """Of the tables of the score bounds."""
    early: list[Row]
    """One for each of `TARGETS`."""


def image_rows(
    classifier: SmoothedClassifier, x: FloatArray, label: int, idx: int, n: int, seed: int
) -> ImageRows:
    """Sample scores of noisy copies of one image, and certify it with every available bound."""
    started = time.perf_counter()
    options: dict[str, Any] = {"batch_size": BATCH}
    selection = classifier.scores(x, n=SELECTION_SAMPLES, seed=(seed, idx, 0), **options)
    scores = classifier.scores(x, n=n, seed=(seed, idx, 1), **options)
    selected, votes = _counts(selection), scores.argmax(axis=1)
    counts = np.bincount(votes, minlength=scores.shape[1])
    case = case_of_counts(counts, selected, terms_given(sigma=classifier.sigma, alpha=ALPHA))
    by_cohen, seconds = stated(case, "cohen", None), time.perf_counter() - started
    certificate = by_cohen(evidence_of(counts, selected, seed=(seed, idx), seconds=seconds))
    hard = table_row(idx, label, certificate)
    soft = _soft_rows(classifier.sigma, selection, scores, label, idx)

    def more(looks: int, k: int) -> IntArray:
        return classifier.counts(x, n=k, seed=(seed, idx, 2 + looks), **options)

    return ImageRows(hard, soft, _early_rows(classifier.sigma, selected, votes, more, label, idx))


def warm_up() -> None:
    """Call every compiled function that `image_rows` needs, on a small sample."""
    scores = np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.9, 0.1, 0.0]] * 10)
    votes = np.array([70, 20, 10])
    certify_counts(votes, sigma=1.0, alpha=ALPHA, y=0, bound="cohen")
    _soft_rows(1.0, scores, scores, 0, 0)
    _early_rows(1.0, votes, scores.argmax(axis=1), lambda _, k: k * (votes > 50), 0, 0)


def _counts(scores: FloatArray) -> IntArray:
    return np.bincount(scores.argmax(axis=1), minlength=scores.shape[1]).astype(np.int64)


def _soft_rows(
    sigma: float, selection: FloatArray, scores: FloatArray, label: int, idx: int
) -> dict[str, Row]:
    """Certify the class of the largest mean score by the baseline and by bets on a tangent."""
    best = certify_scores(
        scores, sigma=sigma, alpha=ALPHA, selection=selection, runners_up=RUNNERS_UP
    )
    margin = score_margin_lower(
        scores,
        best.y,
        ALPHA,
        estimand="probit",
        method="bonferroni",
        mean_bound="empirical-bernstein",
    )
    radii = (float(certified_radius_r2(margin, sigma)), best.radius)
    return {
        name: {
            "idx": idx,
            "label": label,
            "predict": best.y if radius > 0 else -1,
            "radius": radius,
            "correct": int(radius > 0 and best.y == label),
        }
        for name, radius in zip(SOFT, radii, strict=True)
    }


def _early_rows(
    sigma: float, selected: IntArray, votes: IntArray, more: Any, label: int, idx: int
) -> list[Row]:
    """Look at the votes as they came, then at more, until each question is answered.

    The looks up to n votes are at the sample that is there; beyond it, votes are drawn.
    """
    n, planned = len(votes), PLANNED * len(votes)
    looks = _schedule(planned)
    one_hot = votes[:, np.newaxis] == np.arange(len(selected))
    within = looks[looks <= n]
    paths = one_hot.cumsum(axis=0)[within - 1]
    question: dict[str, Any] = {
        "sigma": sigma,
        "alpha": ALPHA,
        "selection": selected,
        "horizon": planned,
        "futility": FUTILITY,
    }
    found = {t: decide_looks(paths, target_radius=t, **question) for t in TARGETS}
    counts = one_hot.sum(axis=0)
    for k in range(len(within), len(looks)):
        waiting = [t for t in TARGETS if found[t].verdict == Answer.UNDECIDED]
        if not waiting:
            break
        counts = counts + more(k, int(looks[k] - counts.sum()))
        for t in waiting:
            found[t] = decide_looks([counts], target_radius=t, **question)
    shared = {"idx": idx, "label": label, "predict": int(selected.argmax())}
    return [
        shared | {"target": t, "decision": ANSWERS[Answer(int(f.verdict))], "n": int(f.votes)}
        for t, f in found.items()
    ]


def _schedule(planned: int) -> IntArray:
    """Return the numbers of votes at which to look."""
    looks = [min(FIRST_LOOK, planned)]
    while looks[-1] < planned:
        looks.append(min(planned, max(looks[-1] + 1, int(looks[-1] * GROWTH))))
    return np.array(looks)
