"""One of two processes that certify one data set; see test_lost_processes.py.

python two_ranks.py FOLDER: rank and world come from the environment, as torchrun sets them. The
second process writes its pid to FOLDER/ready in the middle of its share, and waits there.
"""

import os
import sys
import time
from datetime import timedelta
from pathlib import Path

import torch

from rsverify import SmoothedClassifier, certify_dataset
from rsverify.smoothing import distributed


def model(batch: torch.Tensor) -> torch.Tensor:
    return torch.stack([-batch[:, 0], batch[:, 0]], dim=1)


class Slow(torch.utils.data.Dataset):
    """Inputs, of which one stops the second process for good."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __len__(self) -> int:
        return 8

    def __getitem__(self, i: int) -> torch.Tensor:
        if i == 5 and os.environ["RANK"] == "1":
            (self.folder / "ready").write_text(str(os.getpid()))
            time.sleep(300)
        return torch.tensor([float(i) - 3.5, 0.0])


if __name__ == "__main__":
    torch.set_num_threads(1)
    distributed._LEAST_PATIENCE = timedelta(seconds=3)
    folder = Path(sys.argv[1])
    try:
        certify_dataset(
            SmoothedClassifier(model, 2, 0.5),
            Slow(folder),
            folder / "table.tsv",
            n=200,
            bound="cohen",
            seed=0,
            progress=False,
        )
    except OSError as error:
        print(f"OSError: {error}", flush=True)
        sys.exit(3)
