"""Warnings about counts and levels that are allowed, and look like a mistake: each said once."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd
import pytest

from rsverify import certify_counts
from rsverify.certificates.assumptions import AssumptionWarning
from rsverify.certificates.early import decide_counts
from rsverify.certificates.scores import certify_scores
from rsverify.tables.analysis import analyze
from rsverify.tables.reader import table_row
from rsverify.tables.recertify import recertify

SHARED = {"sigma": 0.5, "alpha": 0.001}
SCORES = np.random.default_rng(0).dirichlet([8.0, 1.0, 1.0], size=50)


@contextmanager
def said(times: int, match: str = "") -> Iterator[None]:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    found = [str(w.message) for w in caught if issubclass(w.category, AssumptionWarning)]
    assert len(found) == times, found
    assert all(re.search(match, text) for text in found), found
    assert all(w.filename == __file__ for w in caught if times)


@pytest.mark.parametrize(
    "call",
    [
        lambda: certify_counts([900, 60, 40], selection=[900, 60, 40], **SHARED),
        lambda: certify_counts([9, 1], selection=np.array([9, 1]), bound="cohen", **SHARED),
        lambda: decide_counts([900, 100], selection=[900, 100], target_radius=0.1, **SHARED),
        lambda: certify_scores(SCORES, selection=SCORES.copy(), **SHARED),
    ],
)
def test_a_selection_sample_with_the_counts_of_the_estimation_sample(
    call: Callable[[], object],
) -> None:
    with said(1, "selection is identical to counts"):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: certify_counts([900, 60, 40], selection=[90, 6, 4], **SHARED),
        lambda: certify_counts([900, 60, 40], selection=[899, 61, 40], **SHARED),
        lambda: certify_counts([1000, 0], selection=[1000, 0], **SHARED),  # alike by certainty
        lambda: certify_counts([900, 100], y=0, **SHARED),
        lambda: certify_counts([900, 100], y=0, sigma=0.5, alpha=0.5),
        lambda: certify_scores(SCORES[:25], selection=SCORES[25:], **SHARED),
        lambda: certify_scores(
            np.tile([1.0, 0.0], (9, 1)), selection=np.tile([1.0, 0.0], (9, 1)), sigma=0.5, alpha=0.3
        ),
    ],
)
def test_ordinary_counts_warn_of_nothing(call: Callable[[], object]) -> None:
    with said(0):
        call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: certify_counts([900, 100], y=0, sigma=0.5, alpha=0.999),
        lambda: decide_counts([900, 100], y=0, sigma=0.5, alpha=0.95, target_radius=0.1),
        lambda: certify_scores(SCORES, y=0, sigma=0.5, alpha=0.99),
    ],
)
def test_a_level_that_was_meant_as_a_confidence(call: Callable[[], object]) -> None:
    with said(1, r"give alpha=0\.(001|05|01)"):
        call()


def test_a_table_is_warned_about_once() -> None:
    rows = [table_row(i, 0, certify_counts([90 - i, 10 + i], y=0, **SHARED)) for i in range(5)]
    with said(1, "alpha=0.9 is the probability of failure"):
        recertify(pd.DataFrame(rows), alpha=0.9)


def test_sampling_warns_once() -> None:
    torch = pytest.importorskip("torch")
    from rsverify import SmoothedClassifier, certify_dataset

    def halves(batch: Any) -> Any:
        return torch.stack([-batch[:, 0], batch[:, 0]], dim=1)

    smoothed = SmoothedClassifier(halves, 2, 0.5)
    for options in ({}, {"target_radius": 0.3}, {"bound": "betting"}):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            smoothed.certify(torch.tensor([0.1]), n=200, alpha=0.9, seed=0, **options)
        assert sum(w.category is AssumptionWarning for w in caught) == 1
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        smoothed.predict(torch.tensor([0.1]), n=200, alpha=0.9, seed=0)
    assert sum(w.category is AssumptionWarning for w in caught) == 1
    import pathlib
    import tempfile

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        out = pathlib.Path(folder) / "table.tsv"
        data = torch.linspace(-0.2, 0.2, 6)[:, None]
        certify_dataset(smoothed, data, out, n=100, n0=100, alpha=0.9, progress=False)
    assert sum(w.category is AssumptionWarning for w in caught) == 1


def table(predict: np.ndarray, label: np.ndarray, **columns: Any) -> pd.DataFrame:
    content = {
        "idx": np.arange(len(label)),
        "label": label,
        "predict": predict,
        "radius": 0.1,
        "correct": (predict == label).astype(int),
    }
    return pd.DataFrame(content | columns)


def notes(rows: pd.DataFrame, word: str) -> list[str]:
    return [note for note in analyze(rows).notes if word in note]


LABEL = np.arange(200) % 10


@pytest.mark.parametrize(
    ("predict", "detail"),
    [
        (LABEL + 1, r"0 of 200 predictions are right.*the label \+1 in 200"),
        (LABEL - 1, None),  # one of them is an abstention, and is left out
        (np.where(np.arange(200) % 7 == 0, LABEL, LABEL + 1), r"the label \+1 in 171"),
        ((LABEL + 3) % 10, r"0 of 200"),
        (9 - LABEL, r"0 of 200"),
        (1 - LABEL % 2, None),
    ],
)
def test_labels_that_look_shifted(predict: np.ndarray, detail: str | None) -> None:
    label = LABEL % 2 if detail is None and predict.max() < 2 else LABEL
    (note,) = notes(table(predict, label), "labels look shifted")
    assert detail is None or re.search(detail, note), note


def test_a_bad_classifier_is_not_taken_for_shifted_labels() -> None:
    rng = np.random.default_rng(0)
    for predict, label in (
        (LABEL, LABEL),
        (np.full(200, 3), LABEL),
        (np.where(rng.random(200) < 0.97, 1, LABEL % 2), np.where(rng.random(200) < 0.8, 0, 1)),
        (rng.integers(0, 10, 200), LABEL),
        (rng.integers(0, 1000, 200), rng.integers(0, 1000, 200)),
        (np.where(rng.random(200) < 0.15, LABEL, (LABEL + rng.integers(1, 10, 200)) % 10), LABEL),
        (np.full(200, -1), LABEL),
        (LABEL + 1, np.full(200, -1)),
        (LABEL[:5] + 1, LABEL[:5]),
    ):
        assert not notes(table(predict, label), "shifted")


def test_findings_of_a_table_that_contradict_what_certificates_assume() -> None:
    sigma = np.where(np.arange(200) % 3 == 0, 0.25, 0.5)
    (note,) = notes(table(LABEL, LABEL, sigma=sigma), "different sigma")
    assert "2 different sigma (0.25, 0.5)" in note
    assert "alpha / 2" in note
    assert not notes(table(LABEL, LABEL, sigma=0.5), "different sigma")
    (note,) = notes(table(LABEL, LABEL, alpha=0.999), "probability that a certificate is wrong")
    assert not notes(table(LABEL, LABEL, alpha=0.001), "probability that a certificate is wrong")
    votes = {"count_0": 90, "count_1": 10, "selected_0": 90, "selected_1": 10}
    (note,) = notes(table(LABEL % 2, LABEL % 2, **votes), "identical to the estimation votes")
    assert "in 200 of 200 rows" in note
    votes |= {"selected_0": 91, "selected_1": 9}
    assert not notes(table(LABEL % 2, LABEL % 2, **votes), "identical")
