"""The compile cache is never stale, found where it can be written, and importing costs nothing."""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numba
import pytest

import rsverify
from rsverify._core import compile_cache, jit
from rsverify._core.kernel_digest import kernel_digest

CALLEE = (
    "from rsverify._core.jit import njit\n\nSHARE = {0}\n\n"
    "@njit\ndef step(x):\n    return x + {0}\n"
)
CALLER = (
    "from rsverify._core.jit import njit\nfrom rsverify.{0} import SHARE, step\n\n"
    "@njit\ndef walk(x):\n    return {1}\n"
)
RUN = (
    "from rsverify.kernels.caller import walk\n"
    "print(walk(1.0), sum(walk.stats.cache_hits.values()))"
)


def run(code: str, folder: Path, **variables: str) -> str:
    """Run `code` in a fresh interpreter that finds rsverify in `folder`; return what it prints."""
    return run_quietly(code, folder, **variables).stdout.strip()


def run_quietly(code: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"],
        capture_output=True,
        text=True,
        check=True,
        cwd=folder,
        env=os.environ | variables,
    )


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the package with nothing compiled."""
    source = Path(rsverify.__file__).parent
    shutil.copytree(source, tmp_path / "rsverify", ignore=shutil.ignore_patterns("__pycache__"))
    write_pair(tmp_path, "kernels.callee", "2.0 * step(x)", "1.0")
    return tmp_path


def write_pair(copy: Path, module: str, expression: str, value: str) -> None:
    """Write a compiled function in `module` and one in the kernels that takes it up."""
    path = copy / "rsverify" / (module.replace(".", "/") + ".py")
    path.write_text(CALLEE.format(value))
    (copy / "rsverify/kernels/caller.py").write_text(CALLER.format(module, expression))


@pytest.mark.parametrize(
    ("module", "expression"),
    [
        ("kernels.callee", "2.0 * step(x)"),
        ("auditing.exact.callee", "2.0 * (x + SHARE)"),
        ("bounds.callee", "2.0 * step(x)"),
    ],
)
def test_a_changed_source_invalidates_its_callers_in_other_files(
    copy: Path, module: str, expression: str
) -> None:
    write_pair(copy, module, expression, "1.0")
    assert run(RUN, copy) == "4.0 0"
    assert run(RUN, copy) == "4.0 1", "the second run must come from the cache"
    write_pair(copy, module, expression, "9.0")
    assert run(RUN, copy) == "20.0 0", "the caller must not run the callee's old code"
    assert run(RUN, copy) == "20.0 1"
    write_pair(copy, module, expression, "1.0")
    assert run(RUN, copy) == "4.0 1", "what was compiled for the first state is still good"


UNCHANGED = """
from rsverify._core.jit import njit
from rsverify.kernels.callee import SHARE, step

# A comment, and what was below it is now further below.


def plain(x):
    return 7


@njit
def walk(x):
    "A docstring."
    return 2.0 * step(x)  # and another comment
"""


def test_what_changes_no_kernel_keeps_what_was_compiled(copy: Path) -> None:
    """Comments, docstrings, lines, dates, plain functions, the version, another constant's file."""
    caller = copy / "rsverify/kernels/caller.py"
    caller.write_text(caller.read_text().replace("    return", "    'Other words.'\n    return"))
    assert run(RUN, copy) == "4.0 0"
    caller.write_text(UNCHANGED)
    callee = copy / "rsverify/kernels/callee.py"
    callee.write_text(callee.read_text() + "\n\nOTHER = 3\n\n@njit\ndef more(x):\n    return x\n")
    for path in (copy / "rsverify").rglob("*.py"):
        os.utime(path, (1e9, 1e9))
    assert run(RUN, copy) == "4.0 1"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("SHARE = 1.0", "SHARE = 5.0"),
        ("return x + 1.0", "return x + LEAST[1]"),
        ("LEAST = np.array([1.0, 2.0])", "LEAST = np.array([1.0, 2.5])"),
        ("FEW = (1, 2.0)", "FEW = (1, 2.5)"),
        ("ONE = 1", "ONE = True"),
    ],
)
def test_the_digest_covers_constants_and_callees(before: str, after: str) -> None:
    source = (
        "import numpy as np\nSHARE = 1.0\nLEAST = np.array([1.0, 2.0])\nFEW = (1, 2.0)\nONE = 1\n"
        "def step(x):\n    return x + 1.0\n"
        "def walk(x):\n    return step(x) + SHARE + LEAST[0] + FEW[1] + ONE\n"
    )
    digests = []
    for text in (source, source.replace(before, after)):
        names: dict[str, object] = {"__name__": "somewhere"}
        exec(text, names)
        digests.append(kernel_digest(names["walk"]))
    assert digests[0] != digests[1]


def test_a_digest_is_refused_where_it_could_miss_a_change() -> None:
    names: dict[str, object] = {"__name__": "somewhere", "box": [1.0]}
    exec("def walk(x):\n    return box[0]", names)
    with pytest.raises(TypeError, match="box"):
        kernel_digest(names["walk"])


def kernels() -> list[jit.Kernel]:
    """Return every compiled function of the package."""
    found = {}
    for module in pkgutil.walk_packages(rsverify.__path__, "rsverify."):
        if not module.name.endswith("__main__"):
            for value in vars(importlib.import_module(module.name)).values():
                if isinstance(value, jit.Kernel):
                    found[id(value)] = value
    return list(found.values())


def test_every_compiled_function_has_a_digest_of_its_own() -> None:
    digests = [kernel_digest(kernel) for kernel in kernels()]
    assert len(digests) > 100
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("numba", "__version__"),
        ("llvmlite", "__version__"),
        ("numpy", "__version__"),
        ("sys", "version"),
        ("platform", "machine"),
    ],
)
def test_the_key_changes_with_what_compiles(
    monkeypatch: pytest.MonkeyPatch, module: str, name: str
) -> None:
    before = compile_cache.versions_digest.__wrapped__()
    other = (lambda: "another") if name == "machine" else "another"
    monkeypatch.setattr(f"{module}.{name}", other)
    assert compile_cache.versions_digest.__wrapped__() != before


BOUNDS = """
import numpy as np, warnings
warnings.simplefilter("error")
import rsverify as r
x = np.random.default_rng(1).random(60)
for estimand in ("difference", "probit"):
    for k1, k2, n in [(0, 0, 1), (1, 0, 1), (0, 1, 1), (20, 0, 20), (12, 3, 20), (3, 9, 20)]:
        for alpha in (0.05, 1e-12, 0.9):
            print(repr(float(r.exact_margin_lower(k1, k2, n, alpha, estimand=estimand))))
            print(repr(float(r.bonferroni_margin_lower(k1, k2, n, alpha, estimand=estimand))))
print(r.clopper_pearson_lower([0, 1, 5, 10**7], 10**7, 1e-300).tolist())
for data in (x, np.zeros(3), np.ones(70), (x < 0.9).astype(float)):
    for bound in (r.betting_lower, r.plugin_bernstein_lower, r.betting_sequence):
        print(np.asarray(bound(data, 0.05)).ravel()[-3:].tolist())
"""


def test_without_compilation_the_results_are_the_same() -> None:
    """Bit for bit; a division by 0 or the logarithm of 0 in plain Python would raise."""
    root = compile_cache.PACKAGE.parent
    plain = run(BOUNDS, root, NUMBA_DISABLE_JIT="1")
    assert len(plain.splitlines()) == 85
    assert plain == run(BOUNDS, root)


BLOCKED = {"HOME": "/dev/null", "XDG_CACHE_HOME": "/dev/null/cache", "LOCALAPPDATA": "/dev/null"}


@pytest.fixture
def unwritable(copy: Path) -> Path:
    """A copy of the package in which the cache cannot be made, whoever runs it: a file is there."""
    (copy / "rsverify/__pycache__").write_text("")
    return copy


def test_an_installation_that_cannot_write_uses_a_private_temporary_directory(
    unwritable: Path, tmp_path: Path
) -> None:
    """Neither package nor home: one warning, the right number, and a second run from the cache."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    blocked = BLOCKED | {"TMPDIR": str(temporary), "NUMBA_CACHE_DIR": ""}
    done = run_quietly(RUN, unwritable, **blocked)
    assert done.stdout.strip() == "4.0 0"
    assert done.stderr.count("RuntimeWarning") == 1
    assert "NUMBA_CACHE_DIR" in done.stderr
    (folder,) = temporary.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    assert list(folder.rglob("*.nbc"))
    assert run(RUN, unwritable, **blocked) == "4.0 1"


@pytest.mark.slow
def test_the_command_line_does_its_work_on_such_an_installation(
    unwritable: Path, tmp_path: Path
) -> None:
    """An audit must not end with 1, which would say that the bound is refuted."""
    (tmp_path / "t").mkdir()
    blocked = BLOCKED | {"TMPDIR": str(tmp_path / "t"), "NUMBA_CACHE_DIR": ""}
    code = (
        "from rsverify.cli.app import main\n"
        "main(['audit', 'clopper_pearson_lower', '--n', '10', '--estimand', 'proportion'])"
    )
    done = run_quietly(code, unwritable, **blocked)  # raises where the exit code is not 0
    assert "supported" in done.stdout


def test_a_temporary_directory_that_others_could_fill_is_refused(
    unwritable: Path, tmp_path: Path
) -> None:
    """Machine code is loaded from there."""
    for kind in ("open to all", "link"):
        temporary = tmp_path / kind
        temporary.mkdir()
        planted = temporary / f"rsverify-{os.getuid()}"
        if kind == "link":
            (tmp_path / "elsewhere").mkdir()
            planted.symlink_to(tmp_path / "elsewhere")
        else:
            planted.mkdir()
            planted.chmod(0o777)
        blocked = BLOCKED | {"TMPDIR": str(temporary), "NUMBA_CACHE_DIR": ""}
        done = run_quietly(RUN, unwritable, **blocked)
        assert done.stdout.strip() == "4.0 0"
        assert done.stderr.count("RuntimeWarning") == 1
        assert "compiles them anew" in done.stderr
        assert not list(planted.iterdir())


def test_the_user_chooses_the_directory(copy: Path, tmp_path: Path) -> None:
    """And a package that can be written to is left alone then."""
    chosen = tmp_path / "chosen"
    run(RUN, copy, NUMBA_CACHE_DIR=str(chosen), PYTHONDONTWRITEBYTECODE="1")
    assert list(chosen.rglob("*.nbc"))
    assert not list((copy / "rsverify").rglob("*.nb?"))


def test_a_home_that_can_be_written_to_comes_before_the_temporary_directory(
    unwritable: Path, tmp_path: Path
) -> None:
    home = {"HOME": str(tmp_path / "home"), "XDG_CACHE_HOME": "", "NUMBA_CACHE_DIR": ""}
    done = run_quietly(RUN, unwritable, **home)
    assert done.stderr == ""
    assert list((tmp_path / "home").rglob("*.nbc"))


def test_decorating_leaves_the_settings_of_other_packages_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(numba.config, "CACHE_DIR", "somewhere")
    jit.njit(compile_cache._usable)  # decorated, never called
    assert numba.config.CACHE_DIR == "somewhere"


def test_only_old_folders_of_other_states_are_removed(tmp_path: Path) -> None:
    names = ("compiled-old", "compiled-young", "not-ours-old")
    for name in names:
        (tmp_path / name).mkdir()
    long_ago = time.time() - 2 * compile_cache.STALE_SECONDS
    for name in ("compiled-old", "not-ours-old"):
        os.utime(tmp_path / name, (long_ago, long_ago))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert compile_cache._usable(tmp_path / "compiled-new")
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"compiled-young", "not-ours-old", "compiled-new"}


def test_only_old_files_of_the_same_function_are_removed(copy: Path) -> None:
    """What another state of it left, a day ago; not what other functions have."""
    assert run(RUN, copy) == "4.0 0"
    (folder,) = (copy / "rsverify/__pycache__").glob("compiled-*")
    before = set(folder.glob("*"))
    young = folder / "rsverify.kernels.caller.walk-called-0123-4567.nbc"
    young.touch()
    long_ago = time.time() - 2 * compile_cache.STALE_SECONDS
    for path in before:
        os.utime(path, (long_ago, long_ago))
    write_pair(copy, "kernels.callee", "3.0 * step(x)", "1.0")
    assert run(RUN, copy) == "6.0 0"
    gone = before - set(folder.glob("*"))
    assert [path.name.split("-")[0] for path in gone] == ["rsverify.kernels.caller.walk"]
    assert young.exists()


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


STARTED_TOGETHER = """
import sys, time
from pathlib import Path
import numba.core.event as event
compiled = []
class Listener(event.Listener):
    def on_start(self, given):
        compiled.append(given.data["dispatcher"].py_func.__name__)
    def on_end(self, given):
        pass
from rsverify.kernels.caller import walk
event.register("numba:compile", Listener())
Path(sys.argv[1]).touch()
while len(list(Path(sys.argv[1]).parent.glob("ready-*"))) < 3:
    time.sleep(0.005)
assert walk(1.0) == 4.0
print(compiled.count("walk"))
"""


def test_of_processes_that_start_together_one_compiles(copy: Path, tmp_path: Path) -> None:
    (tmp_path / "ready").mkdir()
    program = f"import sys; sys.path.insert(0, {str(copy)!r})\n{STARTED_TOGETHER}"
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, str(tmp_path / "ready" / f"ready-{i}")],
            stdout=subprocess.PIPE,
            text=True,
            cwd=copy,
        )
        for i in range(3)
    ]
    told = [each.communicate(timeout=120)[0].strip() for each in started]
    assert sorted(told) == ["0", "0", "1"]
    assert not list((copy / "rsverify/__pycache__").rglob(".*lock"))


def test_a_lock_that_cannot_be_had_only_costs_time(copy: Path) -> None:
    """A file system without locks, and a process that never ends its turn."""
    for error in ("OSError(38, 'no locks')", "NotImplementedError()", "BlockingIOError()"):
        code = f"""
import contextlib
from rsverify._core import jit
@contextlib.contextmanager
def locked(path, *, wait):
    raise {error}
    yield
jit.locked = locked
from rsverify.kernels.caller import walk
print(walk(1.0))
"""
        shutil.rmtree(copy / "rsverify/__pycache__", ignore_errors=True)
        assert run(code, copy) == "4.0"


def test_literal_integers_share_one_compilation() -> None:
    """And an inner kernel that Python calls too gives the same."""

    @jit.njit
    def doubled(x: float, times: int) -> float:
        for _ in range(times):
            x = 2.0 * x
        return x

    @jit.njit
    def total(x: float) -> float:
        return doubled(x, 1) + doubled(x, 2) + doubled(x, times=int(x))

    assert total(3.0) == 6.0 + 12.0 + 24.0
    assert len(doubled.linked.overloads) == 1
    assert doubled(3.0, 2) == 12.0


@pytest.mark.parametrize(
    "code",
    [
        "rsverify.exact_margin_lower(6, 1, 9, 0.1, estimand='difference')",
        "rsverify.audit('clopper_pearson_lower', estimand='proportion', n=9, alpha=0.1)",
        "rsverify.recertify, rsverify.analyze, rsverify.certify_table, rsverify.SmoothedClassifier",
    ],
)
def test_the_distributions_of_scipy_are_loaded_where_they_are_needed(code: str) -> None:
    """They take a third of a second."""
    root = Path(rsverify.__file__).parent.parent
    program = f"import sys, rsverify\n{code}\nprint('scipy.stats' in sys.modules)"
    assert run(program, root) == "False"
