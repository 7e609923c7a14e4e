"""The page on models: every kind of model and of data set that it shows, in three lines."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from support.foreign import DATA, IMAGES, LABELS, MODELS, image, network  # noqa: E402

from rsverify import SmoothedClassifier, certify_dataset  # noqa: E402
from rsverify.smoothing.data.items import Items  # noqa: E402

PAGE = Path(__file__).parents[4] / "docs" / "models.md"
LINES = 3


def section(title: str) -> str:
    return PAGE.read_text("utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def blocks(title: str) -> dict[str, str]:
    """Return the block of code under each heading of a section."""
    found = re.findall(r"^### ([^\n]+)\n\n```python\n(.*?)```$", section(title), re.M | re.S)
    return dict(found)


NAMES: dict[str, Any] = {}
exec(section("Models of all kinds, in three lines").split("```")[1].removeprefix("python"), NAMES)
OF_MODELS = blocks("Models of all kinds, in three lines")
OF_DATA = blocks("Data sets of all kinds")


def test_the_page_shows_all_that_is_tested_and_no_more() -> None:
    assert list(OF_MODELS) == list(MODELS)
    assert list(OF_DATA) == list(DATA)
    assert len(OF_MODELS) >= 15
    assert len(OF_DATA) >= 10
    headings = re.findall(r"^### (.+)$", section("Models of all kinds, in three lines"), re.M)
    assert headings == list(OF_MODELS)
    for code in (*OF_MODELS.values(), *OF_DATA.values()):
        assert 1 <= len(code.splitlines()) <= LINES


def test_the_table_of_models_links_every_heading() -> None:
    links = re.findall(
        r"^\| \[(.+?)\]\(#(.+?)\)", section("Models of all kinds, in three lines"), re.M
    )
    anchors = [re.sub(r"[^\w\s-]", "", name.lower()).replace(" ", "-") for name in OF_MODELS]
    assert [anchor for _, anchor in links] == anchors


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("kind", OF_MODELS)
def test_a_model_is_certified(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = {**NAMES, "x": image(), **MODELS[kind](tmp_path)}
    exec(OF_MODELS[kind], names)
    certificate = names["certificate"]
    assert certificate.n == sum(certificate.counts) == 1000
    assert certificate.prediction in range(-1, len(certificate.counts))
    assert certificate.probed


@pytest.mark.parametrize("kind", OF_DATA)
def test_a_data_set_is_certified(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    floats = IMAGES.astype(np.float32) / 255
    names = {**NAMES, "images": floats, "labels": LABELS, **DATA[kind](tmp_path)}
    exec(OF_DATA[kind], names)
    data = names["data"]
    expected = {
        "an array without labels": [-1, -1, -1],
        "several labels per item": [1, 0, 1],
        "images of Pillow": [1, 2],
        "torch data set": [0, 1, 2, 0],
    }.get(kind, [0, 1, 2])
    items = list(Items(data, 3).load(range(len(expected))))
    assert [item.label for item in items] == expected
    which = [0, 0] if kind == "images of Pillow" else [i % 3 for i in range(len(expected))]
    for item, i in zip(items, which, strict=True):
        shape = (192,) if kind == "DataFrame" else (3, 8, 8)
        assert item.x.shape == shape
        assert np.allclose(item.x.numpy().reshape(floats[i].shape), floats[i], atol=1e-7)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(192, 3))
    table = certify_dataset(
        SmoothedClassifier(model, 3, 0.25), data, "table.tsv", n=50, n0=10, seed=0, progress=False
    )
    assert table["label"].tolist() == expected


def test_the_network_of_the_blocks_is_none_that_always_abstains() -> None:
    certificate = SmoothedClassifier(network(), 3, 0.25).certify(image(), n=1000, seed=0)
    assert certificate.radius > 0
