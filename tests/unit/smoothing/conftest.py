"""What several files here share."""

from pathlib import Path

import pytest


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the table of the eight points, made in one go."""
    from support.eight_points import run

    out = tmp_path_factory.mktemp("undisturbed") / "table.tsv"
    run(out)
    return out


@pytest.fixture
def unprobed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the probing of models, for tests that count or record what a model is given."""
    monkeypatch.setattr("rsverify.smoothing.probe.probe", lambda *_, **__: "")
    monkeypatch.setattr("rsverify.smoothing.sampling.session.probe", lambda *_, **__: "")
