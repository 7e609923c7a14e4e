"""Settings that all tests share."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import settings

# Studies take mutants and slow loops from tests.support. Last, so that the installed package wins.
sys.path.append(str(Path(__file__).parents[1]))

# The first example of a property compiles kernels, which no deadline allows for.
# Continuous integration draws the same examples each time; everybody else draws fresh ones.
settings.register_profile("rsverify", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("rsverify")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of published certificates and counts kept beside the checkout."""
    folder = Path(__file__).parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data beside the checkout")
    return folder
