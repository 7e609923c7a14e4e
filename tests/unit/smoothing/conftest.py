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
