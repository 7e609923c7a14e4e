"""Whatever is given for an argument: one line, of the kinds that callers catch, with its name."""

from decimal import Decimal
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import rsverify
from rsverify.smoothing.device import DeviceNotFoundError, choose_device
from rsverify.smoothing.lipschitz.bound import lipschitz_bound


class _NoText:
    def __repr__(self):
        raise RuntimeError("no text")


class _Lines:
    def __repr__(self):
        return "two\nlines"


class _NoNumber:
    def __float__(self):
        raise ZeroDivisionError

    def __index__(self):
        raise ZeroDivisionError


HOSTILE = {
    "nothing": None,
    "bytes": b"x",
    "text with a line break": "a\nb",
    "two numbers": [0.1, 0.2],
    "an array": np.array([0.1, 0.2]),
    "a matrix": np.array([[0.1]]),
    "a mapping": {"a": 1},
    "NaN": float("nan"),
    "a huge integer": 10**400,
    "complex": 1j,
    "no text": _NoText(),
    "two lines": _Lines(),
    "no number": _NoNumber(),
    "a series": pd.Series([0.05, 0.1]),
    "a masked array": np.ma.array([1.0], mask=[True]),
    "missing": pd.NA,
    "a type": object,
    "no numbers": (),
    "a range": range(3),
    "a decimal": Decimal("0.05"),
    "a fraction": Fraction(-1, 20),
}

TABLE = pd.DataFrame(
    {"idx": [0, 1], "label": [0, 1], "predict": [0, 1], "radius": [0.5, 0.2], "correct": [1, 1]}
)


def _fair(x, m, _alpha):
    return np.ones_like(x) + 0.0 * m


def _exact(counts):
    return stats.binom.sf(counts[:, 0] - 1, counts.sum(axis=1), 0.5)


def _wealth(x):
    return np.cumprod(0.5 + x, axis=1)


def _conformal(_x, y, _x_new, alpha):
    return np.full(len(y), -np.inf), np.sort(y, axis=1)[:, -1] + 0.0 * alpha


def _holm(p, alpha):
    return p <= alpha / p.shape[1]


_PROCESS = {"n": 4, "alpha": 0.1}
CERTIFICATE = rsverify.certify_counts([9, 1], sigma=0.5, alpha=0.1, y=0)


def _audit(**given):
    settings = {"estimand": "proportion", "n": 5, "alpha": 0.1, "false_alarm": 0.01}
    return rsverify.audit(**({"bound": "clopper_pearson_lower", **settings} | given))


def _radii(**given):
    return rsverify.recertify_radii(
        **({"table": TABLE, "n": 1000, "sigma": 0.5, "stated_alpha": 0.001} | given)
    )


ANALYSIS = rsverify.analyze(TABLE, largest_radius=0.5)
CALLS = {
    "audit": (
        _audit,
        "bound estimand n alpha side scenarios method replications tolerance false_alarm seed "
        "n_jobs resume",
        {
            **{name: {"nothing"} for name in ("scenarios", "side", "replications")},
            "seed": {"a huge integer"},
        },
    ),
    "audit_capital": (
        lambda **given: rsverify.audit_capital(
            **({"capital": _fair, "n": 4, "alpha": 0.1} | given)
        ),
        "capital n alpha seed name",
        {"name": {"nothing", "text with a line break"}, "seed": {"a huge integer"}},
    ),
    "audit_bets": (
        lambda **given: rsverify.audit_bets(**(_PROCESS | {"bets": _fair} | given)),
        "bets n alpha seed name",
        {"name": {"nothing", "text with a line break"}, "seed": {"a huge integer"}},
    ),
    "audit_test": (
        lambda **given: rsverify.audit_test(
            **({"test": _exact, "null": (None, 0.5), "estimand": "proportion", "n": 5} | given)
        ),
        "test null estimand n alpha scenarios method replications tolerance false_alarm seed "
        "n_jobs",
        {
            "null": {"two numbers", "an array"},
            "alpha": {"two numbers", "an array"},
            "scenarios": {"nothing"},
            "replications": {"nothing"},
            "seed": {"a huge integer"},
        },
    ),
    "audit_e_value": (
        lambda **given: rsverify.audit_e_value(
            **({"e": _wealth, "null": (None, 0.5), "n": 4} | given)
        ),
        "e null estimand inputs n alpha scenarios replications tolerance false_alarm seed n_jobs",
        {
            "null": {"two numbers", "an array", "nothing"},
            "alpha": {"two numbers", "an array"},
            "scenarios": {"nothing"},
            "replications": {"nothing"},
            "seed": {"a huge integer"},
        },
    ),
    "audit_prediction_set": (
        lambda **given: rsverify.audit_prediction_set(
            **({"predict": _conformal, "n": 9, "alpha": 0.1} | given)
        ),
        "predict n alpha target claim delta scenarios replications tolerance false_alarm seed "
        "n_jobs",
        {
            **{name: {"nothing"} for name in ("scenarios", "replications", "delta")},
            "seed": {"a huge integer"},
        },
    ),
    "audit_multiple_testing": (
        lambda **given: rsverify.audit_multiple_testing(
            **({"procedure": _holm, "controls": "FWER", "n": 4, "alpha": 0.1} | given)
        ),
        "procedure controls n alpha given dependence scenarios replications tolerance false_alarm "
        "seed n_jobs",
        {"scenarios": {"nothing"}, "replications": {"nothing"}, "seed": {"a huge integer"}},
    ),
    "verify_certificate": (
        lambda **given: rsverify.verify_certificate(**({"certificate": CERTIFICATE} | given)),
        "certificate budget",
        {},
    ),
    "verify_table": (
        lambda **given: rsverify.verify_table(**given),
        "path",
        {"path": {"text with a line break"}},
    ),
    "analyze": (lambda **given: rsverify.analyze(**given), "table", {}),
    "compare": (
        lambda **given: rsverify.compare(**({"first": ANALYSIS, "second": ANALYSIS} | given)),
        "first second alpha",
        {},
    ),
    "recertify": (lambda **given: rsverify.recertify(**given), "table", {}),
    "recertify_radii": (_radii, "table n sigma stated_alpha digits force", {"digits": {"nothing"}}),
    "read_table": (
        lambda **given: rsverify.read_table(**given),
        "path",
        {"path": {"text with a line break"}},
    ),
    "lipschitz_bound": (
        lambda **given: lipschitz_bound(
            **({"module": torch.nn.Linear(2, 2), "input_shape": (2,)} | given)
        ),
        "input_shape device dtype",
        {
            "device": {"nothing"},
            "dtype": {"nothing"},
            "input_shape": {"a range"},
        },
    ),
}


@pytest.mark.parametrize(
    ("call", "argument"),
    [(call, name) for call, (_, names, _) in CALLS.items() for name in names.split()],
)
def test_a_hostile_value_is_refused_by_the_arguments_name(call, argument):
    function, _, fitting = CALLS[call]
    for what, value in HOSTILE.items():
        if what in fitting.get(argument, ()):
            continue
        with pytest.raises((TypeError, ValueError)) as caught:
            function(**{argument: value})
        message = str(caught.value)
        # What takes other arguments than it is called with is known by its own name.
        assert argument in message or (what == "a type" and "object must take" in message), what
        assert "\n" not in message, what


def test_the_smallest_level_is_audited():
    assert _audit(alpha=5e-324).verdict == "supported"


@pytest.mark.parametrize("name", ["meta", "hpu", "vulkan:0"])
def test_a_device_that_holds_no_numbers_is_refused_at_once(name):
    with pytest.raises(DeviceNotFoundError, match=f"device='{name}' must be on this machine"):
        choose_device(name)
