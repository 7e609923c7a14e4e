"""The martingale audit: fair bets pass, bets that see what they should not are refuted."""

import numpy as np
import pytest

from rsverify import audit_bets, audit_capital
from rsverify.auditing.capital import capital_from_bets


def plugin_bets(x, m, alpha, *, peek=0):
    """Predictable plug-in bets; with peek=1 the variance includes the observation bet on."""
    n = x.shape[1]
    t = np.arange(1, n + 1)
    sums = np.cumsum(x, axis=1)
    means = (0.5 + sums) / (t + 1)
    spread = (0.25 + np.cumsum((x - means) ** 2, axis=1)) / (t + 1)
    if not peek:
        spread = np.c_[np.full(len(x), 0.25), spread[:, :-1]]
    return np.minimum(np.sqrt(2 * np.log(1 / alpha) / (n * spread)), 0.5 / m)


def test_fair_bets_are_supported():
    report = audit_capital(capital_from_bets(plugin_bets), n=12, alpha=0.05)
    assert report.verdict == "supported"
    assert {r.verdict for r in report.rows} == {"supported"}
    assert report.worst.miscoverage == pytest.approx(1, abs=1e-9)


def test_peeking_bets_are_refuted():
    def peeking(x, m, alpha):
        return plugin_bets(x, m, alpha, peek=1)

    report = audit_capital(capital_from_bets(peeking), n=12, alpha=0.05)
    assert report.verdict == "refuted"
    assert "is above 1" in report.worst.note


def test_looking_ahead_is_seen_even_where_the_final_capital_is_fair():
    def ahead(x, m, alpha):
        capital = capital_from_bets(plugin_bets)(x, m, alpha).copy()
        capital[:, 0] *= 1 + 0.1 * (x[:, -1] - m)
        return capital

    report = audit_capital(ahead, n=6, alpha=0.05)
    assert report.verdict == "refuted"
    assert any("later observations" in r.note for r in report.rows)


def test_growth_in_the_middle_is_seen_even_where_the_end_is_fair():
    def resting(x, m, alpha):
        del m, alpha
        capital = np.ones_like(x)
        capital[:, 2] = 1.5
        return capital

    report = audit_capital(resting, n=6, alpha=0.05)
    assert report.verdict == "refuted"
    assert all("grows by" in r.note for r in report.rows)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda x, _m, _a: np.full_like(x, np.nan), "capital is NaN"),
        (lambda x, _m, _a: np.full_like(x, -1.0), "is negative"),
    ],
)
def test_broken_capital_is_a_failure(broken, message):
    report = audit_capital(broken, n=4, alpha=0.05)
    assert report.verdict == "refuted"
    assert message in report.failures[0].message


def test_predictable_bets_are_supported_and_peeking_ones_refuted():
    assert audit_bets(plugin_bets, n=12, alpha=0.05).verdict == "supported"

    def peeking(x, m, alpha):
        return plugin_bets(x, m, alpha, peek=1)

    report = audit_bets(peeking, n=12, alpha=0.05)
    assert report.verdict == "refuted"
    assert any("bet 1 changes with observation 1" in r.note for r in report.rows)


def test_broken_bets_are_a_failure():
    def seldom(x, m, _alpha):
        return x[:, 0] if m == 0.002 else 0.0 * x

    report = audit_bets(seldom, n=4, alpha=0.05)
    assert report.verdict == "refuted"
    assert "must have the shape" in report.failures[0].message
    with pytest.raises(TypeError, match="bets='betting_lower' must be a callable"):
        audit_bets("betting_lower", n=4, alpha=0.05)


def test_a_bet_that_peeks_late_only_is_refuted():
    """Fair on all paths that can be enumerated: it looks at its observation from t = 60 on."""

    def late(x, m, alpha):
        bets = plugin_bets(x, m, alpha)
        bets[:, 60:] *= np.where(x[:, 60:] > m, 1.0, 0.5)
        return bets

    report = audit_capital(capital_from_bets(late), n=100, alpha=0.05)
    assert report.verdict == "refuted"
    assert all("random pasts" in r.scenario for r in report.rows if r.verdict == "refuted")
    report = audit_bets(late, n=100, alpha=0.05)
    assert report.verdict == "refuted"
    assert "bet 6" in report.worst.note
    assert audit_bets(late, n=60, alpha=0.05).verdict == "supported"


def test_fair_bets_are_supported_over_long_paths_too():
    assert audit_bets(plugin_bets, n=300, alpha=0.05).verdict == "supported"
    capital = capital_from_bets(plugin_bets)
    assert audit_capital(capital, n=300, alpha=0.05).verdict == "supported"


def test_a_late_failure_is_a_failure():
    def broken(x, m, alpha):
        capital = capital_from_bets(plugin_bets)(x, m, alpha).copy()
        capital[:, 50:] = np.nan
        return capital

    report = audit_capital(broken, n=80, alpha=0.05)
    assert report.verdict == "refuted"
    assert any("capital is NaN" in r.note for r in report.rows)


def test_a_function_of_one_sample_is_called_sample_by_sample():
    def one(x, m, alpha):
        assert x.ndim == 1
        del alpha
        return np.cumprod(1 + 0.5 * (x - m))

    def bets(x, m, alpha):
        assert x.ndim == 1
        return [0.5 * min(m, alpha)] * len(x)

    report = audit_capital(one, n=6, alpha=0.05)
    assert report.verdict == "supported"
    assert (
        report.rows
        == audit_capital(
            lambda x, m, _a: np.cumprod(1 + 0.5 * (x - m), axis=-1), n=6, alpha=0.05
        ).rows
    )
    assert audit_bets(bets, n=6, alpha=0.05).verdict == "supported"


def fair_or_peeking(inside):
    """Fair bets, which peek against some means only."""

    def bets(x, m, alpha):
        return plugin_bets(x, m, alpha, peek=1 if inside(m) else 0)

    return bets


SOME_MEANS = {
    "above 0.6": lambda m: m > 0.6,
    "below 0.4": lambda m: m < 0.4,
    "near 0": lambda m: m < 0.01,
    "near 1": lambda m: m > 0.99,
    "a twentieth": lambda m: 0.62 < m < 0.67,
    "not one half": lambda m: m != 0.5,
}


@pytest.mark.parametrize("name", SOME_MEANS)
def test_bets_that_peek_against_some_means_only_are_refuted(name):
    report = audit_bets(fair_or_peeking(SOME_MEANS[name]), n=40, alpha=0.05)
    assert report.verdict == "refuted"
    assert "against m=" in report.worst.note


# Means at which none of the eight distributions stands.
OTHER_MEANS = {
    "0.6 to 0.8": lambda m: 0.6 < m < 0.8,
    "0.2 to 0.4": lambda m: 0.2 < m < 0.4,
    "above 0.95": lambda m: m > 0.95,
    "below 0.005": lambda m: m < 0.005,
}


@pytest.mark.parametrize("n", [10, 60])
@pytest.mark.parametrize("name", OTHER_MEANS)
def test_capital_that_is_unfair_against_some_means_only_is_refuted(name, n):
    inside = OTHER_MEANS[name]

    def capital(x, m, alpha):
        process = capital_from_bets(plugin_bets)(x, m, alpha).copy()
        if inside(m):
            process[:, 3:] *= 1.01
        return process

    report = audit_capital(capital, n=n, alpha=0.05)
    assert report.verdict == "refuted"
    assert "is above 1" in str(report)


@pytest.mark.parametrize("auditor", [audit_capital, audit_bets])
@pytest.mark.parametrize(
    "broken",
    [
        lambda x, _m, _a: x[:, :1] if x.ndim == 2 else x[:1],
        lambda _x, _m, _a: 1 / 0,
        lambda _x, _m, _a: None,
    ],
)
def test_what_fails_on_every_call_is_refused(auditor, broken):
    with pytest.raises((TypeError, ValueError), match="fails on every call"):
        auditor(broken, n=5, alpha=0.05)


@pytest.mark.parametrize("auditor", [audit_capital, audit_bets])
def test_arguments_are_checked_before_any_work(auditor):
    with pytest.raises(TypeError, match=r"must take \(x, m, alpha\)"):
        auditor(lambda x: x, n=5, alpha=0.05)
    for options, message in (
        ({"n": 0}, "n=0 must be between"),
        ({"alpha": 1.5}, "alpha=1.5 must be in"),
        ({"seed": -1}, "seed=-1 must be a nonnegative integer"),
    ):
        with pytest.raises(ValueError, match=message):
            auditor(plugin_bets, **({"n": 5, "alpha": 0.05} | options))


def test_rows_say_what_they_measured():
    fair = audit_capital(capital_from_bets(plugin_bets), n=5, alpha=0.05)
    assert {r.measure for r in fair.rows} == {"expected capital"}
    bets = audit_bets(plugin_bets, n=5, alpha=0.05)
    assert {r.measure for r in bets.rows} == {"a bet changes with the future"}
    for report in (fair, bets):
        assert "miscoverage [interval]" not in str(report)
        for row in report.rows:
            assert row.low <= row.miscoverage <= row.high


@pytest.mark.parametrize("edge", [2e-6, 2e-4, 1 - 2e-4, 1 - 2e-6])
def test_a_fault_at_means_near_an_end_is_refuted(edge):
    def at_end(m):
        return m < edge if edge < 0.5 else m > edge

    def capital(x, m, alpha):
        del alpha
        return np.ones_like(x) * (1.3 if at_end(m) else 1.0)

    def bets(x, m, alpha):
        del alpha
        return np.sign(x - m) if at_end(m) else np.zeros_like(x)

    assert audit_capital(capital, n=8, alpha=0.05).verdict == "refuted"
    assert audit_bets(bets, n=8, alpha=0.05).verdict == "refuted"


def test_a_loop_over_one_sample_is_called_sample_by_sample():
    """It takes a table too, whose rows it then takes for observations."""

    def capital(x, m, _alpha, gift=0.0):
        value, path = 1.0, []
        for each in x:
            value = value * (1.0 + 0.5 * (each - m) + gift)
            path.append(value)
        return path

    def bets(x, m, _alpha, first=0):
        total, placed = 0.5, []
        for t, each in enumerate(x, 1):
            placed.append((total + first * each) / (t + first) - m)
            total = total + each
        return placed

    assert audit_capital(capital, n=10, alpha=0.05).verdict == "supported"
    unfair = audit_capital(lambda x, m, a: capital(x, m, a, 0.01), n=10, alpha=0.05)
    assert unfair.verdict == "refuted"
    assert audit_bets(bets, n=10, alpha=0.05).verdict == "supported"
    assert audit_bets(lambda x, m, a: bets(x, m, a, 1), n=10, alpha=0.05).verdict == "refuted"


def _past_mean(x):
    """A sum less its last term, which depends on that term by rounding."""
    t = np.arange(x.shape[-1])
    return np.where(t > 0, (np.cumsum(x, axis=-1) - x) / np.maximum(t, 1), 0.5)


def _past_deviation(x):
    t = np.arange(1, x.shape[-1] + 1)
    squares = np.cumsum((x - _past_mean(x)) ** 2, axis=-1) - (x - _past_mean(x)) ** 2
    return np.sqrt((0.25 + np.maximum(squares, 0.0)) / t)


ROUNDED_BETS = {
    "mean": lambda x, m, _a: np.clip(2 * (_past_mean(x) - m), 0, 0.5),
    "deviation": lambda x, m, _a: (
        np.minimum(0.5, 0.3 / _past_deviation(x)) * (_past_mean(x) > m + 1e-6)
    ),
}


@pytest.mark.parametrize("name", ["mean", "deviation"])
@pytest.mark.parametrize("n", [3, 50, 150])
def test_bets_that_depend_on_the_future_by_rounding_alone_are_supported(name, n):
    report = audit_bets(ROUNDED_BETS[name], n=n, alpha=0.05)
    assert report.verdict == "supported", str(report)


@pytest.mark.parametrize("by", [1e-2, 1e-5, 1e-8])
def test_bets_that_depend_on_the_future_by_more_are_refuted(by):
    def peeks(x, m, _alpha):
        return np.clip(2 * (_past_mean(x) - m), 0, 0.5) + by * (x > m)

    assert audit_bets(peeks, n=50, alpha=0.05).verdict == "refuted"


@pytest.mark.parametrize("at", [0, 41, 333, 498, 499])
@pytest.mark.parametrize("single", [False, True])
def test_bets_that_peek_at_one_time_alone_are_refuted(at, single):
    def peeks(x, m, _alpha):
        return np.where(np.arange(x.shape[-1]) == at, 0.1 * (x > m), 0.2)

    def of_one(x, m, alpha):
        assert x.ndim == 1
        return peeks(x, m, alpha)

    report = audit_bets(of_one if single else peeks, n=500, alpha=0.05)
    assert report.verdict == "refuted"
    assert f"bet {at + 1} changes with observation {at + 1} or a later one" in str(report)
