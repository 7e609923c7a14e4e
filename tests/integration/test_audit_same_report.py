"""One report: for any number of workers, of any kind, and after a kill in the middle.

Each audit below must give the same bytes. The killed one is the command line, ended by SIGKILL
while it runs, with half a line appended to its store as if it had died while writing.
"""

import importlib
import json
import os
import signal
import subprocess
import sys
import time

import cloudpickle
import joblib
import pytest

from rsverify.auditing.api import audit

BOUND = """
import os, time
import numpy as np

def wald(x, alpha):
    if len(x) > 100:  # a whole block
        time.sleep(float(os.environ.get("SECONDS_A_BLOCK", 0)))
    if (x.sum(axis=-1) == 17).any():
        raise ArithmeticError("seventeen ones")
    return x.mean(axis=-1) - 1.3 * x.std(axis=-1) / np.sqrt(x.shape[-1]) - 0.06

def other(x, alpha):
    return wald(x, alpha) - 1e-9
"""
SETTINGS = {"n": 20, "alpha": 0.05, "replications": 12_000, "tolerance": 0.01, "seed": 11}
# Far enough from alpha on either side that some scenarios stop early, and some at the end.
SCENARIOS = {
    "fair coin": {"law": ("points", (0.0, 1.0), (0.5, 0.5))},
    "uniform": {"law": ("beta", 1.0, 1.0)},
    "middle": {"law": ("beta", 2.0, 2.0)},
}


@pytest.fixture
def bounds(tmp_path, monkeypatch):
    """A module of bounds that workers of every kind can find: by its path, or by value."""
    path = tmp_path / "bounds_to_interrupt.py"
    path.write_text(BOUND)
    monkeypatch.syspath_prepend(tmp_path)
    inherited = os.environ.get("PYTHONPATH")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(tmp_path), inherited])))
    module = importlib.import_module(path.stem)
    cloudpickle.register_pickle_by_value(module)
    yield module
    cloudpickle.unregister_pickle_by_value(module)
    del sys.modules[path.stem]


def run_and_kill(store, lines):
    """Audit in a process of its own and kill it when its store has that many lines."""
    program = (
        "import json, sys, bounds_to_interrupt; from rsverify import audit;"
        "audit(bounds_to_interrupt.wald, store=sys.argv[1], **json.loads(sys.argv[2]))"
    )
    settings = json.dumps({**SETTINGS, "scenarios": SCENARIOS})
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(store), settings],
        env={**os.environ, "SECONDS_A_BLOCK": "0.3"},
    )
    deadline = time.monotonic() + 120
    while not store.exists() or store.read_bytes().count(b"\n") < lines:
        assert process.poll() is None, "the audit ended before it was killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.filterwarnings("default")  # of the cluster's own libraries
def test_report_is_the_same_for_workers_threads_a_cluster_and_after_a_kill(bounds, tmp_path):
    settings = {**SETTINGS, "scenarios": SCENARIOS}
    alone = audit(bounds.wald, **settings).to_json()
    report = json.loads(alone)
    assert len({row["replications"] for row in report["rows"]}) > 1, "no scenario stopped early"
    assert report["failures"][0]["message"] == "seventeen ones"
    assert audit(bounds.wald, n_jobs=2, **settings).to_json() == alone
    with joblib.parallel_config("threading"):
        assert audit(bounds.wald, n_jobs=2, **settings).to_json() == alone

    store = tmp_path / "blocks.jsonl"
    run_and_kill(store, lines=5)
    blocks = store.read_bytes().count(b"\n") - 1
    with store.open("a") as file:
        file.write('{"scenario": 0, "blo')
    calls = []
    resumed = audit(
        bounds.wald,
        store=store,
        resume=True,
        n_jobs=2,
        progress=lambda *seen: calls.append(seen),
        **settings,
    )
    assert resumed.to_json() == alone
    assert len(calls) >= blocks + 1

    distributed = pytest.importorskip("distributed")
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    with (
        distributed.LocalCluster(**options) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        assert audit(bounds.wald, n_jobs=2, **settings).to_json() == alone
