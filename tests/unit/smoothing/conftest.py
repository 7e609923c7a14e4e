"""What several files here share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.simulated_gpu import SimulatedGpus


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the table of the eight points, made in one go."""
    from support.eight_points import run

    out = tmp_path_factory.mktemp("undisturbed") / "table.tsv"
    run(out)
    return out


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimulatedGpus]:
    """Give the test two simulated GPUs, of which the first is the current one."""
    from support.simulated_gpu import SimulatedGpus

    with SimulatedGpus().running(monkeypatch) as simulated:
        yield simulated


@pytest.fixture
def unprobed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the probing of models, for tests that count or record what a model is given."""
    monkeypatch.setattr("rsverify.smoothing.probing.probe.probe", lambda *_, **__: "")
    monkeypatch.setattr("rsverify.smoothing.sampling.session.probe", lambda *_, **__: "")
