"""The auditor refuses every known-invalid bound and no valid bound of the package."""

import pytest
from support import mutants

from rsverify import audit, audit_bets, audit_capital

VALID = [
    ("clopper_pearson_lower", "proportion", 300, 0.05),
    ("clopper_pearson_upper", "proportion", 300, 0.001),
    ("bonferroni_margin_lower", "difference", 30, 0.05),
    ("bonferroni_margin_lower", "probit", 30, 0.001),
    ("cohen_margin_lower", "difference", 30, 0.05),
    ("cohen_margin_lower", "probit", 30, 0.05),
    ("exact_margin_lower", "difference", 12, 0.05),
    ("exact_margin_lower", "probit", 12, 0.05),
]
VALID_MEANS = [
    "hoeffding_lower",
    "hoeffding_upper",
    "empirical_bernstein_lower",
    "plugin_bernstein_lower",
    "betting_lower",
    "betting_interval",
    "plugin_bernstein_sequence",
]


QUICK = ("wald", "strict tail", "three digits", "float ties", "second class")
QUICK += ("runner-up from other data", "normal mean", "peeking bet", "peeking bernstein capital")
QUICK += ("running variance", "centerd now", "peeking bernstein bets", "pooled over the batch")


@pytest.mark.parametrize(
    "mutant",
    [
        pytest.param(m, id=m.name, marks=() if m.name in QUICK else pytest.mark.slow)
        for m in mutants.REFUTED
    ],
)
def test_mutant_is_refuted(mutant):
    """By the default budget. A missed alarm fails this test; exact audits miss none."""
    report = mutant.audited()
    assert report.verdict == "refuted", str(report)


def test_catalog_holds_at_least_thirty_kinds():
    names = [m.name for m in [*mutants.REFUTED, *mutants.UNSEEN]]
    assert len(set(names)) == len(names)
    assert len(mutants.REFUTED) >= 30


@pytest.mark.parametrize("mutant", mutants.UNSEEN, ids=lambda m: m.name)
def test_what_cannot_be_refused_is_within_the_tolerance(mutant):
    """The audit's limit of how wrong it can be is near 20 % of alpha.

    The best of several bounds does miss too often, by a ninth of alpha, and is refuted for
    some seeds; the printed bound was never seen to miss.
    """
    report = mutant.audited()
    assert report.verdict != "refuted" or mutant.name == "best of bounds"
    assert max(r.high for r in report.rows) < 1.4 * mutant.options["alpha"]


@pytest.mark.slow
@pytest.mark.statistical
@pytest.mark.parametrize("fault", mutants.LOOSE)
def test_four_faults_pass_the_simulation_and_fail_the_martingale_audit(fault):
    """The simulation may refute one of these bounds with probability at most 1e-3 each."""
    process = mutants.LOOSE[fault]
    covered = audit(mutants.bound_of(process), n=30, alpha=0.05, replications=4000)
    assert covered.verdict == "supported", str(covered)
    assert audit_capital(process, n=12, alpha=0.05).verdict == "refuted"


@pytest.mark.parametrize("name", mutants.FAIR_CAPITAL)
def test_fair_capital_is_supported(name):
    bound = mutants.FAIR_CAPITAL[name]
    assert audit_capital(bound, n=12, alpha=0.05).verdict == "supported"


def test_fair_bets_are_predictable():
    assert audit_bets(mutants.fair_bets, n=40, alpha=0.05).verdict == "supported"


@pytest.mark.parametrize(("name", "estimand", "n", "alpha"), VALID)
def test_valid_count_bounds_are_supported_exactly(name, estimand, n, alpha):
    report = audit(name, estimand=estimand, n=n, alpha=alpha)
    assert report.verdict == "supported", str(report)
    assert report.design["method"] == "exact"


@pytest.mark.statistical
@pytest.mark.parametrize("name", VALID_MEANS)
def test_valid_mean_bounds_are_supported(name):
    """False alarm probability 1e-3 each; their miscoverage is below 0.05, so that the budget
    of 20,000 settles it.
    """
    report = audit(name, n=30, alpha=0.05, seed=3)
    assert report.verdict == "supported", str(report)


@pytest.mark.slow
@pytest.mark.statistical
def test_no_false_alarm_in_200_audits_at_exact_level():
    """A bound that misses with probability exactly alpha, 200 seeds: the hardest valid one.

    Each audit has a false alarm with probability at most 1e-3, so two or more in 200 happen
    with probability below 0.018; one is allowed.
    """

    def at_level(x, alpha):
        return (x[:, 0] < alpha).astype(float)

    uniform = {"uniform": {"law": ("beta", 1.0, 1.0)}}
    alarms = [
        audit(at_level, n=1, alpha=0.05, scenarios=uniform, seed=seed).verdict == "refuted"
        for seed in range(200)
    ]
    assert sum(alarms) <= 1
