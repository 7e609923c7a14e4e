"""What every command prints at 80 columns, kept in ``tests/unit/cli/screens``.

``python -m tests.support.screens`` writes all screens again: the help of every command of the
command line, and every command that a screen begins with. A new command gets its screen by

    python -m tests.support.screens NAME COMMAND --its options

with NAME beginning with the command's own. `tests/unit/cli/test_screens.py` fails where a command
has no screen, or prints something else.
"""

from __future__ import annotations

import contextlib
import io
import os
import shlex
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import pandas as pd

from rsverify.certificates.counts import certify_counts
from rsverify.cli.app import COMMANDS, main
from rsverify.tables.writer import TableWriter

FOLDER = Path(__file__).parents[1] / "unit" / "cli" / "screens"
WIDTH = 80
NAMES = [name for commands in COMMANDS.values() for name in commands]
_PROMPT = "$ rsverify "

_NET = """
import torch

def net():
    net = torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.eye_(net.weight)
    return net
"""
_BOUNDS = """
def point(counts, alpha):
    return counts[:, 0] / counts.sum(axis=1)
"""
_PUBLISHED = """\
idx\tlabel\tpredict\tradius\tcorrect\ttime
0\t3\t3\t0.486\t1\t0:00:16.600000
20\t7\t7\t1.84\t1\t0:00:17.200000
40\t4\t-1\t0.0\t0\t0:00:17.500000
"""


_COUNTS = """\
label,count_0,count_1,count_2
0,900,60,40
1,300,650,50
2,340,330,330
"""


class Screen(NamedTuple):
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    def text(self, command: str) -> str:
        """Return the screen as it is kept."""
        parts = [f"{_PROMPT}{command}", self.out.rstrip("\n")]
        if self.err:
            parts += ["--- standard error", self.err.rstrip("\n")]
        if self.code:
            parts.append(f"--- exit code {self.code}")
        return "\n".join(parts) + "\n"


def kept() -> dict[str, str]:
    """Return the name of each screen that is kept, and its command."""
    first = {p.stem: p.read_text("utf-8").partition("\n")[0] for p in FOLDER.glob("*.txt")}
    return {name: line.removeprefix(_PROMPT) for name, line in sorted(first.items())}


def wanted() -> dict[str, str]:
    """Return the screens that there must be: those kept, and the help of every command."""
    helps = {f"{name}.help": f"{name} --help" for name in NAMES}
    return {"help": "--help", **helps, **kept()}


@contextlib.contextmanager
def folder_of_files() -> Iterator[None]:
    """Run the body in a folder that holds what the commands of the screens read."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            for name, alpha in (("strict", 0.001), ("loose", 0.05)):
                _write_table(Path(f"{name}.tsv"), alpha)
            for share in (1, 2):
                rows = range(share - 1, 12, 2)
                _write_table(Path(f"part_{share}.tsv"), 0.001, rows, {"inputs": 12, "skip": 1})
            Path("published.tsv").write_text(_PUBLISHED)
            Path("counts.csv").write_text(_COUNTS)
            Path("net.py").write_text(_NET)
            Path("my_bounds.py").write_text(_BOUNDS)
            x = np.array([[2, 0], [0, 2], [1, 0], [0, 0]], dtype=np.float32)
            np.savez("images.npz", x=x, y=np.array([0, 1, 0, 1]))
            yield
        finally:
            os.chdir(before)


def _write_table(
    path: Path,
    alpha: float,
    rows: range = range(12),
    configuration: Mapping[str, object] = MappingProxyType({}),
) -> None:
    with TableWriter(path, configuration=configuration) as writer:
        for i in rows:
            counts = [900 - 30 * i, 60 + 30 * i, 40]
            certificate = certify_counts(counts, sigma=0.5, alpha=alpha, y=0, bound="cohen")
            writer.write(i, int(i == 9), certificate)


def show(command: str, width: int | None = WIDTH) -> Screen:
    """Run a command in this process; without a width, as into a pipe.

    What depends on the machine or takes long is replaced: what `info` finds, what the demo trains.
    """
    out, err = io.StringIO(), io.StringIO()
    columns = {} if width is None else {"COLUMNS": str(width)}
    with (
        mock.patch.dict(os.environ, columns),
        mock.patch("rsverify.cli.info._found", _found),
        mock.patch("rsverify.demo.run.run_demo", _demo),
        mock.patch("rsverify._core.progress.LONG", 1e9),  # log lines tell of time
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        if width is None:
            os.environ.pop("COLUMNS", None)
        try:
            main(shlex.split(command))
        except SystemExit as stopped:
            code = stopped.code if isinstance(stopped.code, int) else 1
    return Screen(code, out.getvalue(), err.getvalue())


def _found() -> dict[str, object]:
    return {
        "rsverify": "0.2.0",
        "python": "3.11.7 (/home/user/.venv/bin/python)",
        "system": "Linux 6.1.0, x86_64",
        "packages": {"numpy": "2.4.6", "scipy": "1.17.1", "rich": None},
        "extras": {"torch": {"torch": "2.13.0"}, "dask": {"dask": "2026.8.0", "distributed": None}},
        "cores": {"usable": 2, "of the machine": 8},
        "devices": ["cpu", "cuda:0 (NVIDIA H100 80GB HBM3, 79.2 GiB)"],
        "compiled_functions": "/home/user/.venv/lib/python3.11/site-packages/rsverify/__pycache__",
    }


def _demo(out: Path, **_options: Any) -> object:
    """Return a result of the demo that nothing was trained for."""
    from rsverify.demo.rows import SOFT, TARGETS
    from rsverify.demo.run import DemoResult

    rows = pd.DataFrame({"predict": 1, "correct": 1, "n": 10_000}, index=range(120))
    names = ("cohen", "bonferroni", "exact", *SOFT)
    gain = dict(zip(names, (1.0, 1.02, 1.04, 0.7, 0.8), strict=True))
    tables = {k: rows.assign(radius=g * np.linspace(0.1, 0.8, 120)) for k, g in gain.items()}
    decisions = ["radius >= target"] * 70 + ["radius < target"] * 49 + ["undecided"]
    early = [
        pd.DataFrame({"target": t, "decision": decisions, "n": np.arange(120) * 90 + 100})
        for t in TARGETS
    ]
    return DemoResult(
        {k: tables[k] for k in names[:3]},
        {k: tables[k] for k in SOFT},
        pd.concat(early),
        out / "table.tsv",
        out / "early_stopping.tsv",
        out / "certified_accuracy.png",
        0.974,
    )


def _write_all(screens: dict[str, str]) -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, command in screens.items():
        with folder_of_files():
            text = show(command).text(command)
        (FOLDER / f"{name}.txt").write_text(text, encoding="utf-8")
        print(text)


if __name__ == "__main__":
    given = sys.argv[1:]
    _write_all({given[0]: shlex.join(given[1:])} if given else wanted())
