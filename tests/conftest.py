"""Settings that all tests share."""

import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis.database import DirectoryBasedExampleDatabase

# Studies take mutants and slow loops from tests.support. Last, so that the installed package wins.
sys.path.append(str(Path(__file__).parents[1]))

# The first example of a property compiles kernels, which no deadline allows for.
# The test command draws the same examples each time, for everybody: what it says of a commit does
# not depend on luck. Fresh examples are drawn by `.ci/explore`, which keeps what fails.
settings.register_profile("rsverify", deadline=None, derandomize=True, database=None)
settings.register_profile(
    "explore",
    deadline=None,
    derandomize=False,
    print_blob=True,
    database=DirectoryBasedExampleDatabase(Path(__file__).parents[1] / ".hypothesis" / "examples"),
)
settings.load_profile("rsverify")


@pytest.fixture(autouse=True)
def _gradients_stay_on():
    """Let no test leave gradients off: some later test that trains would fail, and not say why."""
    yield
    if (torch := sys.modules.get("torch")) is not None:
        off, _ = not torch.is_grad_enabled(), torch.set_grad_enabled(True)
        assert not off, "gradients were left off"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Return the folder of published certificates and counts kept beside the checkout."""
    folder = Path(__file__).parents[1].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no real data beside the checkout")
    return folder
