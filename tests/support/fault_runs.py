"""Break a run at every call of the system; see test_faults.py.

python fault_runs.py FOLDER WORK STEP: prints what went wrong, a line each, and exits with 1 if
anything did. A process of its own, as it forks and must have no other threads.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from rsverify import audit
from rsverify.tables.lines import complete_lines, text_of
from rsverify.tables.reader import write_table

sys.path.append(str(Path(__file__).parents[1]))

from support.eight_points import run
from support.faults import try_every_call

TABLE = "sigma_[0.25]*.tsv"  # a name that patterns of files would take apart


def nothing(folder: Path) -> None:
    """Begin with an empty folder."""


def certify(folder: Path) -> None:
    run(folder / "new" / TABLE)


def certify_here(folder: Path) -> None:
    run(folder / TABLE)


def whole_table() -> tuple[Path, str, dict[int, str]]:
    """Return a table that is complete, made once, its header and its rows."""
    made = Path(sys.argv[1]) / "made" / TABLE
    if not made.exists():
        run(made)
    lines = complete_lines(made)
    return made, lines.header, lines.rows


def half_and_unsorted(folder: Path) -> None:
    """Leave five rows out of order and a part of one more, as a run of two processes could."""
    made, header, rows = whole_table()
    (folder / TABLE).write_bytes(
        text_of(header, [rows[i] for i in (1, 0, 4, 7, 2)]) + rows[3][:30].encode()
    )
    shutil.copy(made.with_suffix(".json"), (folder / TABLE).with_suffix(".json"))


def complete_but_unsorted(folder: Path) -> None:
    """Leave what a kill between the last row and the sorting leaves."""
    made, header, rows = whole_table()
    (folder / TABLE).write_bytes(text_of(header, [rows[i] for i in (7, 5, 3, 1, 0, 2, 4, 6)]))
    shutil.copy(made.with_suffix(".json"), (folder / TABLE).with_suffix(".json"))


def shards(folder: Path) -> None:
    """Leave all rows in two shards, one with a row of the other, and the rests of a third."""
    made, header, rows = whole_table()
    for rank, own in ((0, (0, 2, 4, 6)), (1, (1, 3, 5, 7, 6))):
        shard = folder / TABLE.replace(".tsv", f".shard-{rank}-of-2.tsv")
        shard.write_bytes(text_of(header, [rows[i] for i in own]))
        shutil.copy(made.with_suffix(".json"), shard.with_suffix(".json"))
    third = TABLE.replace(".tsv", ".shard-2-of-3")
    (folder / f".{third}.tsv.rsverify-lock").touch()
    (folder / f".{third}.json.rsverify-partial").write_text("{")


def foreign(folder: Path) -> None:
    """Leave another table of this name, a JSON that is none, and a shard."""
    shards(folder)
    (folder / TABLE).write_text("mine\n")
    (folder / TABLE).with_suffix(".json").write_text("[]")


def certify_by_force(folder: Path) -> None:
    run(folder / TABLE, force=True)


def near_alpha(x: np.ndarray, alpha: float) -> np.ndarray:
    """Fail to cover with probability 0.0505: never decided by so few replications."""
    return (x[:, 0] < 1.01 * alpha).astype(float)


def audited(folder: Path) -> None:
    audit(
        near_alpha,
        n=1,
        alpha=0.05,
        replications=3000,
        tolerance=0.01,
        scenarios={"uniform": {"law": ("beta", 1.0, 1.0)}},
        store=folder / "new" / "blocks.jsonl",
        resume=True,
    )


def half_a_store(folder: Path) -> None:
    """Leave a store of the design, two blocks, and a part of one more."""
    made = Path(sys.argv[1]) / "made store"
    if not made.exists():
        audited(made)
    content = (made / "new" / "blocks.jsonl").read_bytes().splitlines(keepends=True)
    (folder / "new").mkdir()
    (folder / "new" / "blocks.jsonl").write_bytes(b"".join(content[:3]) + content[3][:25])


FRAME = pd.DataFrame(
    {"idx": [0, 1], "label": [1, 0], "predict": [1, -1], "radius": [0.5, 0.0], "correct": [1, 0]}
).assign(time=1.0)


def older(folder: Path) -> None:
    write_table(FRAME.assign(radius=0.25), folder / "a.csv", configuration={"older": True})


def written_by_force(folder: Path) -> None:
    write_table(FRAME, folder / "a.csv", configuration={"n": 1}, force=True)


WORKS = {
    "run": (nothing, certify),
    "resume": (half_and_unsorted, certify_here),
    "sort": (complete_but_unsorted, certify_here),
    "merge": (shards, certify_here),
    "force": (foreign, certify_by_force),
    "store": (nothing, audited),
    "resumed store": (half_a_store, audited),
    "whole table": (nothing, written_by_force),
    "replaced table": (older, written_by_force),
}

if __name__ == "__main__":
    torch.set_num_threads(1)  # a forked process has no others
    run(Path(sys.argv[1]) / "warm" / "table.tsv")  # compiles what is to be compiled
    found = try_every_call(Path(sys.argv[1]), *WORKS[sys.argv[2]], step=int(sys.argv[3]))
    print("\n".join(found))
    sys.exit(1 if found else 0)
