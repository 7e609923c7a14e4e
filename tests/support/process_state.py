"""Calls that succeed, fail and are interrupted, and what each changes of the process.

Run by itself: ``python process_state.py FOLDER`` prints a line for each change.
"""

import decimal
import gc
import io
import locale
import logging
import os
import random
import signal
import sys
import tempfile
import threading
import warnings

import numpy as np
import torch

from rsverify import SmoothedClassifier, audit, certify_counts, certify_dataset
from rsverify.smoothing.lipschitz.bound import lipschitz_bound
from rsverify.tables.recertify import recertify


class Terminal(io.StringIO):
    def isatty(self):
        return True


def state():
    for thread in threading.enumerate():  # that of a bar ends a moment after the bar
        if thread is not threading.main_thread():
            thread.join(5)
    fds = os.listdir("/proc/self/fd") if os.path.exists("/proc/self/fd") else []
    descriptors = {
        os.readlink(f"/proc/self/fd/{i}") for i in fds if os.path.exists(f"/proc/self/fd/{i}")
    }
    context = decimal.getcontext()
    return {
        "gradients": torch.is_grad_enabled(),
        "floating type": torch.get_default_dtype(),
        "generator of torch": torch.get_rng_state().tolist(),
        "generator of numpy": str(np.random.get_state()),  # noqa: NPY002, the one of the process
        "generator of random": random.getstate(),
        "filters of warnings": list(warnings.filters),
        "how warnings are shown": warnings.showwarning,
        "environment": dict(os.environ),
        "folder": os.getcwd(),
        "threads of torch": torch.get_num_threads(),
        "threads": {t.name for t in threading.enumerate()},
        "signals": [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)],
        "profiler": (sys.getprofile(), sys.gettrace()),
        "hooks": (sys.excepthook, sys.unraisablehook, sys.displayhook),
        "collector": (gc.isenabled(), gc.get_threshold(), list(gc.callbacks)),
        "errors of numpy": (np.geterr(), str(np.get_printoptions())),
        "limits": (sys.getrecursionlimit(), sys.get_int_max_str_digits(), sys.getswitchinterval()),
        "logging": (logging.root.level, list(logging.root.handlers)),
        "locale": locale.setlocale(locale.LC_ALL),
        "decimals": (context.prec, context.rounding, dict(context.flags), dict(context.traps)),
        "path": list(sys.path),
        "streams": (sys.stdin, sys.stdout, sys.stderr),
        "precision": (torch.get_float32_matmul_precision(), torch.backends.mkldnn.enabled),
        "temporary files": set(os.listdir(tempfile.gettempdir())),
        "open files": {
            name
            for name in descriptors
            if name.startswith("/")
            and "fonts" not in name
            and not name.startswith(("/dev", "/proc"))
        },
    }


class Model(torch.nn.Module):
    def __init__(self, failure, after):
        super().__init__()
        self.failure, self.after = failure, after
        self.layer, self.drop = torch.nn.Linear(4, 3), torch.nn.Dropout(0.1)

    def forward(self, x):
        if self.failure is not None:
            self.after -= 1
            if self.after < 0:
                raise self.failure
        return self.drop(self.layer(x))


def bound(failure, after):
    calls = []

    def lower(samples, alpha):  # noqa: ARG001, a bound takes it
        calls.append(1)
        if failure is not None and len(calls) > after:
            raise failure
        return np.zeros(len(samples))

    return lower


data = [(torch.full((4,), 0.1 * i), 0) for i in range(4)]
votes = {"n": 60, "n0": 10, "batch_size": 10, "seed": 0}
folder = sys.argv[1]
runs = 0


def everything(failure, after):
    global runs
    runs += 1
    path = f"{folder}/{runs}.tsv"
    with torch.random.fork_rng():
        made = [Model(failure, after).train() for _ in range(5)]
    smoothed = [SmoothedClassifier(model, 3, 0.5) for model in made]
    calls = [
        lambda: smoothed[0].certify(data[0][0], progress=True, **votes),
        lambda: smoothed[1].certify(data[0][0], target_radius=0.1, **votes),
        lambda: smoothed[2].certify(
            data[0][0], bound="betting", radius="R1", lipschitz="auto", **votes
        ),
        lambda: recertify(certify_dataset(smoothed[3], data, path, **votes), alpha=0.1),
        lambda: lipschitz_bound(made[4], (4,)),
        lambda: audit(bound(failure, after), n=5, alpha=0.05, replications=100),
        lambda: audit(bound(failure, after), estimand="proportion", n=5, alpha=0.05),
        lambda: str(certify_counts([900, 100], sigma=0.25, alpha=1e-3, y=0)),
    ]
    for i, call in enumerate(calls):
        before, out = state(), None
        try:
            call()
        except BaseException as error:
            out = error
        after_it = state()
        for name in before:
            if before[name] != after_it[name]:
                print(f"call {i} {out!r} changed the {name}", file=sys.__stdout__)
        assert all(m.training for model in made for m in model.modules()), "flags"


stderr = sys.stderr
sys.stderr = Terminal()
random.seed(0)
FAILURES = None, RuntimeError("broken"), OSError(28, "full"), KeyboardInterrupt(), SystemExit(3)
for failure in FAILURES:
    for after in (0,) if failure is None else (0, 3, 25):
        everything(failure, after)
sys.stderr = stderr
print("torch._dynamo" in sys.modules, runs)
