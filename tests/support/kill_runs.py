"""Certify a data set in a process that is killed again and again; see test_kills.py.

python kill_runs.py FOLDER KILLS SEED: writes FOLDER/undisturbed.tsv and, with kills at random
moments, FOLDER/killed.tsv. Prints how many rows were there after each kill.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from rsverify import SmoothedClassifier, certify_dataset

ROWS = 120


def classifier():
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))
    return SmoothedClassifier(net, 4, 0.5)


def certify(out: Path) -> None:
    x = torch.linspace(-1, 1, ROWS * 6).reshape(6, ROWS).T.contiguous()
    certify_dataset(
        classifier(), x, out, n=400, seed=3, bound="cohen", record_time=False, progress=False
    )


def main(folder: Path, kills: int, seed: int) -> None:
    torch.set_num_threads(1)  # a forked process has no others
    certify(folder / "warm.tsv")
    started = time.monotonic()
    certify(folder / "undisturbed.tsv")
    whole = time.monotonic() - started
    moments = random.Random(seed)
    out = folder / "killed.tsv"
    for _ in range(kills):
        child = os.fork()
        if not child:
            certify(out)
            os._exit(0)
        # So that about three whole runs of work are cut into twenty pieces.
        time.sleep(moments.uniform(0.0, 0.3 * whole))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        print(max(out.read_bytes().count(b"\n") - 1, 0) if out.exists() else 0)
    certify(out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
