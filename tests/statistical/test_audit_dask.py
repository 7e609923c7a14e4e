"""The same report from threads, processes and a cluster of two workers."""

import numpy as np
import pytest

from rsverify.audit import audit


def wald(x, alpha):
    del alpha
    return x.mean(axis=-1) - 1.645 * x.std(axis=-1) / np.sqrt(x.shape[-1])


SETTINGS = {
    "n": 20,
    "alpha": 0.05,
    "replications": 2000,
    "seed": 11,
    "scenarios": {
        "fair coin": {"law": ("points", (0.0, 1.0), (0.5, 0.5))},
        "uniform": {"law": ("beta", 1.0, 1.0)},
    },
}


def test_threads_give_the_same_report():
    joblib = pytest.importorskip("joblib")
    alone = audit(wald, **SETTINGS).to_json()
    with joblib.parallel_config("threading"):
        assert audit(wald, n_jobs=2, **SETTINGS).to_json() == alone


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the cluster's own libraries
def test_a_cluster_of_two_workers_gives_the_same_report():
    joblib = pytest.importorskip("joblib")
    distributed = pytest.importorskip("distributed")
    alone = audit(wald, **SETTINGS).to_json()
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        assert audit(wald, n_jobs=2, **SETTINGS).to_json() == alone
