"""Claims about alpha = 0.001 are affordable. Times are CPU seconds, as the machine may be busy."""

import os
import resource
import time

import pytest
from joblib.externals.loky import get_reusable_executor

from rsverify.auditing.api import audit

FAIR = {"fair coin": {"law": ("points", (0.0, 1.0), (0.5, 0.5))}}


def test_clopper_pearson_of_a_thousand_votes_is_exact_in_under_a_second():
    settings = {"estimand": "proportion", "alpha": 0.001}
    audit("clopper_pearson_lower", n=10, **settings)  # compiles
    before = time.process_time()
    report = audit("clopper_pearson_lower", n=1000, **settings)
    assert time.process_time() - before < 1.0
    assert report.verdict == "supported"
    assert report.design["method"] == "exact"
    assert 0.999e-3 < report.worst.miscoverage <= report.worst.high < 1e-3 * (1 + 1e-6)


@pytest.mark.slow
def test_a_million_replications_of_betting_take_under_two_minutes_on_two_cores():
    """So sure a verdict is asked for that nothing settles it, and all are drawn."""
    settings = {"n": 100, "alpha": 0.001, "false_alarm": 1e-12, "tolerance": 1e-4}
    settings["scenarios"] = FAIR
    audit("betting_lower", replications=10, **settings)  # compiles
    before = cpu_seconds()
    report = audit("betting_lower", replications=10**6, n_jobs=2, **settings)
    spent = cpu_seconds() - before
    assert spent > 1, "the workers' time was not counted"
    assert report.rows[0].replications == 10**6
    assert report.verdict == "inconclusive"
    assert report.rows[0].low < 0.001
    assert spent / 2 < 120, f"{spent:.0f} CPU seconds, {os.cpu_count()} cores"


def cpu_seconds():
    """Of this process and of its workers, which are counted once they have ended."""
    get_reusable_executor().shutdown(wait=True)
    who = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    return sum(r.ru_utime + r.ru_stime for r in map(resource.getrusage, who))
