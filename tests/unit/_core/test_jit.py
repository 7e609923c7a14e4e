"""The compile cache is never stale, and importing the package costs nothing."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import rsverify

CALLEE = "from rsverify._core.jit import njit\n\n@njit\ndef step(x):\n    return x + {}\n"
CALLER = (
    "from rsverify._core.jit import njit\nfrom rsverify.kernels.callee import step\n\n"
    "@njit\ndef walk(x):\n    return 2.0 * step(x)\n"
)
RUN = (
    "from rsverify.kernels.caller import walk\n"
    "print(walk(1.0), sum(walk.stats.cache_hits.values()))"
)


def run(code: str, folder: Path) -> str:
    """Run `code` in a fresh interpreter that finds rsverify in `folder`."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
    )
    return done.stdout.strip()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package with two more kernels, one calling the other."""
    source = Path(rsverify.__file__).parent
    shutil.copytree(source, tmp_path / "rsverify", ignore=shutil.ignore_patterns("__pycache__"))
    (tmp_path / "rsverify/kernels/callee.py").write_text(CALLEE.format("1.0"))
    (tmp_path / "rsverify/kernels/caller.py").write_text(CALLER)
    return tmp_path


def test_a_changed_kernel_invalidates_its_callers_in_other_files(copy: Path) -> None:
    assert run(RUN, copy) == "4.0 0"
    assert run(RUN, copy) == "4.0 1", "the second run must come from the cache"
    (copy / "rsverify/kernels/callee.py").write_text(CALLEE.format("9.0"))
    assert run(RUN, copy) == "20.0 0", "the caller must not run the callee's old code"
    assert run(RUN, copy) == "20.0 1"


def test_importing_the_package_is_fast_and_loads_nothing_heavy() -> None:
    root = Path(rsverify.__file__).parent.parent
    code = (
        "import time; start = time.perf_counter(); import rsverify\n"
        "print(time.perf_counter() - start)\n"
        "print([m for m in ('torch', 'matplotlib', 'numba', 'pandas') if m in sys.modules])"
    )
    # The least of three: a busy machine can only make an import look slower.
    runs = [run(code, root).splitlines() for _ in range(3)]
    assert min(float(seconds) for seconds, _ in runs) < 0.5
    assert {loaded for _, loaded in runs} == {"[]"}


def test_a_bound_loads_neither_torch_nor_matplotlib() -> None:
    root = Path(rsverify.__file__).parent.parent
    code = (
        "from rsverify import clopper_pearson_lower\n"
        "print([m for m in ('torch', 'matplotlib') if m in sys.modules])"
    )
    assert run(code, root) == "[]"


def test_the_auditor_loads_no_tables() -> None:
    """What writes certification tables brings pandas along: a third of a second."""
    root = Path(rsverify.__file__).parent.parent
    code = (
        "from rsverify import audit; audit\n"
        "print([m for m in ('torch', 'matplotlib', 'pandas') if m in sys.modules])"
    )
    assert run(code, root) == "[]"


def test_every_public_name_is_listed_and_unknown_ones_raise() -> None:
    assert set(dir(rsverify)) == set(rsverify.__all__)
    with pytest.raises(AttributeError, match="No rsverify attribute clopper"):
        _ = rsverify.clopper
