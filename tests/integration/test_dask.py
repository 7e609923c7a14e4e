"""The script for workers of dask on the page about scale, as it stands there."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("distributed")

from rsverify import SmoothedClassifier, certify_dataset  # noqa: E402

ROOT = Path(__file__).parents[2]
MODELS = """
import torch
from rsverify import SmoothedClassifier

def smoothed():
    net = torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.eye_(net.weight)
    return SmoothedClassifier(net, num_classes=2, sigma=0.5)

def images():
    return torch.tensor([[2.0, 0], [0, 2], [1, 0], [0, 0], [0.3, 0.1], [0.2, 0.9]])
"""


@pytest.mark.slow
def test_the_script_of_the_page_makes_the_table_of_one_process(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "certifying-at-scale.md").read_text(encoding="utf-8")
    (script,) = [b for b in re.findall(r"```python\n(.*?)```", page, re.S) if "share=(i" in b]
    (tmp_path / "models.py").write_text(MODELS)
    (tmp_path / "script.py").write_text(script)
    subprocess.run(
        [sys.executable, "script.py"],
        cwd=tmp_path,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
        check=True,
        capture_output=True,
        timeout=500,
    )
    made: dict[str, object] = {}
    exec(MODELS, made)
    smoothed, images = made["smoothed"], made["images"]
    assert callable(smoothed)
    assert callable(images)
    classifier = smoothed()
    assert isinstance(classifier, SmoothedClassifier)
    one = tmp_path / "one.tsv"
    certify_dataset(classifier, images(), one, n=1000, seed=0, progress=False)

    def timeless(path: Path) -> list[list[str]]:
        head, *rows = (line.split("\t") for line in path.read_text().splitlines())
        kept = [i for i, name in enumerate(head) if name not in ("time", "checksum")]
        return [[row[i] for i in kept] for row in rows]

    assert timeless(tmp_path / "table.tsv") == timeless(one)
