"""Every argument of every public function, given what does not belong there.

The answer is a valid result, or a ValueError or TypeError of one line that names the argument:
never another exception, a warning of numpy's, a hang or NaN.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.arguments import hostile, outcome

import rsverify
from rsverify.bounds.buehler import buehler_lower
from rsverify.bounds.confidence_sequences import (
    betting_interval_sequence,
    clopper_pearson_sequence,
    kt_mixture_sequence,
    plugin_hoeffding_sequence,
)
from rsverify.bounds.mean import plugin_hoeffding_lower
from rsverify.bounds.proportion import (
    randomized_clopper_pearson_lower,
    randomized_clopper_pearson_upper,
)
from rsverify.certificates.early import decide_looks
from rsverify.certificates.margins import level_of_bound, margin_lower_bounds
from rsverify.certificates.radius import (
    certified_radius_r1,
    certified_radius_r2,
    round_down_digits,
)
from rsverify.certificates.simplex import hardmax, scores_lipschitz, softmax, sparsemax
from rsverify.probit import probit as probit_of
from rsverify.probit import taylor_coefficients, taylor_probit, taylor_remainder
from rsverify.tables.limits import (
    mean_interval,
    mean_lower,
    robust_lower,
    wrong_certificates_upper,
)
from rsverify.tables.reader import average_certified_radius, certified_accuracy
from rsverify.tables.recertify import recertify_radii

SAMPLE = np.linspace(0.1, 0.9, 20)
SCORES = np.stack([SAMPLE, 1 - SAMPLE], axis=1)
TABLE = pd.DataFrame(
    {
        "idx": range(30),
        "label": 1,
        "predict": 1,
        "radius": 0.2,
        "correct": 1,
        "time": 0.0,
        "count_0": 5,
        "count_1": 95,
        "n": 100,
        "n0": 0,
        "alpha": 0.001,
        "sigma": 0.5,
        "bound": "cohen",
        "radius_kind": "R2",
        "y": 1,
    }
)
BINARY = (SAMPLE > 0.3).astype(float)
VOTES: dict[str, Any] = {"k1": 60, "k2": 25, "n": 100, "alpha": 0.05, "estimand": "difference"}
MEAN: dict[str, Any] = {"x": SAMPLE, "alpha": 0.05}
COUNT: dict[str, Any] = {"k": 7, "n": 10, "alpha": 0.05}
TWO_COUNTS: dict[str, Any] = {"x1": 7, "n1": 10, "x2": 3, "n2": 9, "alpha": 0.05}

CALLS: dict[Callable[..., Any], dict[str, Any]] = {
    rsverify.clopper_pearson_lower: COUNT,
    rsverify.clopper_pearson_upper: COUNT,
    rsverify.clopper_pearson_interval: COUNT,
    randomized_clopper_pearson_lower: COUNT | {"u": 0.5},
    randomized_clopper_pearson_upper: COUNT | {"u": 0.5},
    rsverify.two_proportion_lower: TWO_COUNTS,
    rsverify.two_proportion_upper: TWO_COUNTS,
    rsverify.two_proportion_interval: TWO_COUNTS,
    rsverify.population_share_interval: {
        "successes": 4,
        "drawn": 9,
        "population": 20,
        "alpha": 0.05,
    },
    rsverify.cohen_margin_lower: {"k1": 60, "n": 100, "alpha": 0.05, "estimand": "probit"},
    rsverify.bonferroni_margin_lower: VOTES,
    rsverify.exact_margin_lower: VOTES | {"ordering": "difference"},
    buehler_lower: {
        "counts": [6, 3, 1],
        "alpha": 0.05,
        "estimand": "difference",
        "ordering": lambda x1, x2: x1 - x2,
    },
    rsverify.hoeffding_lower: MEAN,
    rsverify.hoeffding_upper: MEAN,
    rsverify.empirical_bernstein_lower: MEAN,
    rsverify.empirical_bernstein_upper: MEAN,
    rsverify.plugin_bernstein_lower: MEAN,
    rsverify.plugin_bernstein_upper: MEAN,
    plugin_hoeffding_lower: MEAN,
    rsverify.betting_lower: MEAN,
    rsverify.betting_upper: MEAN,
    rsverify.betting_interval: MEAN,
    rsverify.plugin_bernstein_sequence: MEAN,
    plugin_hoeffding_sequence: MEAN,
    rsverify.betting_sequence: MEAN,
    betting_interval_sequence: MEAN,
    kt_mixture_sequence: {"x": BINARY, "alpha": 0.05},
    clopper_pearson_sequence: {"x": BINARY, "alpha": 0.05},
    rsverify.score_margin_lower: {
        "scores": SCORES,
        "y": 0,
        "alpha": 0.05,
        "estimand": "difference",
        "selection": SCORES[:5],
    },
    rsverify.margin_sequence: {
        "counts": [[3, 1], [8, 2]],
        "y": 0,
        "alpha": 0.05,
        "estimand": "difference",
    },
    rsverify.decide_margin: {
        "counts": [[30, 10], [80, 20]],
        "y": 0,
        "alpha": 0.05,
        "estimand": "difference",
        "threshold": 0.1,
        "horizon": 200,
    },
    rsverify.certify_counts: {
        "counts": [60, 30, 10],
        "sigma": 0.5,
        "alpha": 0.05,
        "y": 0,
        "bound": "cohen",
        "radius": "R1",
        "lipschitz": 2.0,
    },
    rsverify.certify_table: {
        "counts": [[60, 30, 10], [50, 50, 0]],
        "sigma": 0.5,
        "alpha": 0.05,
        "y": 0,
        "label": [0, 1],
        "bound": "cohen",
        "radius": "R1",
        "lipschitz": 2.0,
    },
    rsverify.decide_counts: {
        "counts": [60, 30, 10],
        "sigma": 0.5,
        "alpha": 0.05,
        "y": 0,
        "target_radius": 0.1,
        "horizon": 200,
        "futility": 0.1,
    },
    rsverify.decide_margins: {
        "counts": [[6, 3, 1], [60, 30, 10]],
        "y": 0,
        "thresholds": [0.1, 0.3],
        "alpha": 0.05,
        "estimand": "difference",
        "below": [0.05, 0.3],
        "weights": [1.0, 1.0, 1.0],
        "prior": [3, 2, 1],
        "horizon": 200,
        "futility": 0.1,
    },
    rsverify.radius_interval_counts: {
        "counts": [60, 30, 10],
        "sigma": 0.5,
        "alpha": 0.05,
        "y": 0,
        "precision": 0.1,
        "radius": "R1",
        "lipschitz": 2.0,
    },
    decide_looks: {
        "looks": [[30, 10], [80, 20]],
        "sigma": 0.5,
        "alpha": 0.05,
        "y": 0,
        "target_radius": 0.1,
        "horizon": 200,
    },
    rsverify.certify_scores: {
        "scores": SCORES,
        "sigma": 0.5,
        "alpha": 0.05,
        "y": 0,
        "selection": SCORES[:5],
        "bound": "hoeffding",
    },
    margin_lower_bounds: {"counts": [60, 40], "y": 0, "alpha": 0.05, "estimand": "difference"},
    level_of_bound: {"alpha": 0.05, "noise_excess": 0.001},
    certified_radius_r1: {"margin": 0.5, "sigma": 0.5, "lipschitz": 1.0},
    certified_radius_r2: {"margin": 0.5, "sigma": 0.5},
    round_down_digits: {"radius": 0.5, "digits": 3},
    softmax: {"logits": [1.0, 2.0], "temperature": 1.0},
    sparsemax: {"logits": [1.0, 2.0], "temperature": 1.0},
    hardmax: {"logits": [1.0, 2.0]},
    scores_lipschitz: {"name": "softmax", "model_lipschitz": 2.0, "temperature": 1.0},
    probit_of: {"p": 0.3},
    taylor_probit: {"p": 0.3, "order": 3},
    taylor_remainder: {"p": 0.3, "order": 3},
    taylor_coefficients: {"order": 3},
    mean_lower: MEAN | {"low": 0.0, "high": 1.0},
    mean_interval: MEAN | {"low": 0.0, "high": 1.0},
    robust_lower: {"limit": 0.7, "certificate_alpha": 0.001},
    wrong_certificates_upper: {"n": 10, "alpha": 0.05, "certificate_alpha": 0.001},
    rsverify.analyze: {"table": TABLE, "radii": [0.1], "alpha": 0.05},
    rsverify.recertify: {"table": TABLE, "alpha": 0.01},
    recertify_radii: {
        "table": TABLE[["idx", "label", "predict", "radius", "correct", "time"]],
        "n": 100,
        "sigma": 0.5,
        "stated_alpha": 0.001,
        "force": True,
    },
    certified_accuracy: {"table": TABLE, "radii": [0.1]},
    average_certified_radius: {"table": TABLE},
}

# Functions of the user's may stand there, and raise what they like.
_CALLABLES = {
    (buehler_lower, "estimand"),
    (buehler_lower, "ordering"),
    (rsverify.score_margin_lower, "mean_bound"),
}
# What is not one of numbers and options: a caller who gives something else for these has not
# mistaken a number, and no message is promised.
# A store would be a file of any such name.
_NOT_WALKED = {"table", "progress", "name", "store", "rivals"}  # the last: an old name, which warns


def names_of(function: Callable[..., Any]) -> list[str]:
    return [name for name in inspect.signature(function).parameters if name not in _NOT_WALKED]


@pytest.mark.parametrize("function", CALLS, ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_the_call_itself_is_valid(function: Callable[..., Any]) -> None:
    function(**CALLS[function])


@pytest.mark.parametrize("function", CALLS, ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_what_does_not_belong_there_is_refused_by_name(function: Callable[..., Any]) -> None:
    faults = []
    for name in names_of(function):
        for kind, make in hostile().items():
            if (function, name) in _CALLABLES and callable(make()):
                continue
            found = outcome(function, CALLS[function] | {name: make()}, name)
            if found:
                faults.append(f"{name}: {kind}: {found}")
    assert not faults, "\n".join(faults)


def test_every_public_function_is_walked() -> None:
    # In tests of their own: `_core/test_hostile_arguments.py`, `smoothing/test_arguments.py`.
    audits = {name for name in rsverify.__all__ if name.startswith("audit")}
    checkers = {"verify_certificate", "verify_table"}
    # Of these `unit/tables/test_planning.py`, `unit/smoothing/test_planning.py`,
    # `unit/auditing/comparing/test_compare.py` and `unit/tables/test_writer.py`.
    others = {"plan_samples", "plan_dataset", "compare_bounds", "merge_tables"}
    tables = {"certify_dataset", "compare", "read_table", "read_counts"}
    apart = audits | checkers | others | tables
    public = {
        getattr(rsverify, name)
        for name in rsverify.__all__
        if name not in apart and not isinstance(getattr(rsverify, name), type | int)
    }
    assert public <= {*CALLS, rsverify.__version__}


@pytest.mark.parametrize("n_jobs", [10**400, -(10**6), 1025, 0, True, 1.5, None, "all"])
def test_numbers_of_processes(n_jobs: Any) -> None:
    options: dict[str, Any] = {"estimand": "proportion", "n": 4, "alpha": 0.2}
    with pytest.raises(ValueError, match=r"n_jobs=.* must be a number of processes"):
        rsverify.audit("clopper_pearson_lower", n_jobs=n_jobs, **options)
