"""What a run does to files: one writer, nothing replaced, names apart, Ctrl-C, damage."""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from support.eight_points import SIGMA, X, Y, halves, run  # noqa: E402

from rsverify import SmoothedClassifier  # noqa: E402
from rsverify._core.files import Interrupted  # noqa: E402
from rsverify.tables.lines import complete_lines, signed, text_of  # noqa: E402
from rsverify.tables.metadata import metadata_path, read_metadata, write_metadata  # noqa: E402
from rsverify.tables.reader import read_table, write_table  # noqa: E402


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def files(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in folder.iterdir()}


def watched(watch: Any) -> SmoothedClassifier:
    """Return the classifier of the eight points, which calls `watch` with the number of a call."""
    calls: list[int] = []

    def model(batch: torch.Tensor) -> torch.Tensor:
        calls.append(len(calls))
        watch(calls[-1])
        return halves(batch)

    model.__module__, model.__qualname__ = halves.__module__, halves.__qualname__
    return SmoothedClassifier(model, 3, SIGMA)


def has_rows(out: Path) -> int:
    return max(out.read_bytes().count(b"\n") - 1, 0) if out.exists() else 0


@pytest.fixture
def copied(undisturbed: Path, tmp_path: Path) -> Path:
    for name in ("table.tsv", "table.json"):
        shutil.copy(undisturbed.with_name(name), tmp_path / name)
    return tmp_path / "table.tsv"


# Two writers


@pytest.mark.parametrize("options", [{}, {"alpha": 0.05}, {"force": True}], ids=str)
@pytest.mark.parametrize("call", [0, 1, 9])
def test_a_second_run_is_refused_from_the_first_try_of_the_model_to_the_end(
    tmp_path: Path, undisturbed: Path, call: int, options: dict[str, Any]
) -> None:
    out, seen = tmp_path / "table.tsv", []

    def second(number: int) -> None:
        if number == call:
            before = files(tmp_path)
            with pytest.raises(OSError, match="another process is writing it") as caught:
                run(out, **options)
            assert caught.value.filename == str(out)
            with pytest.raises(OSError, match="another process is writing it"):
                write_table(read_table(undisturbed), out, configuration={}, force=True)
            assert files(tmp_path) == before
            seen.append(number)

    run(out, classifier=watched(second))
    assert set(seen) == {call}, "what counts the calls is set back when the model is probed"
    assert out.read_bytes() == undisturbed.read_bytes()
    assert names(tmp_path) == ["table.json", "table.tsv"]


@pytest.mark.parametrize("rows", [1, 3, 6])
@pytest.mark.parametrize("how", ["replaced", "removed", "appended", "truncated"])
def test_a_table_that_another_program_changes_loses_no_row_in_silence(
    tmp_path: Path, undisturbed: Path, how: str, rows: int
) -> None:
    out = tmp_path / "table.tsv"

    done: list[int] = []

    def meddle(call: int) -> None:
        if done or has_rows(out) < rows:
            return
        done.append(call)
        content = out.read_bytes()
        if how == "appended":
            with out.open("ab") as file:
                file.write(b"0\t")
        elif how == "truncated":
            with out.open("rb+") as file:
                file.truncate(len(content) // 2)
        else:
            out.unlink()
            if how == "replaced":
                out.write_bytes(content)

    with pytest.raises(OSError, match=r"table.tsv was .* while it was written"):
        run(out, classifier=watched(meddle))
    if how == "appended":
        out.write_bytes(out.read_bytes().removesuffix(b"0\t"))
    run(out)
    assert out.read_bytes() == undisturbed.read_bytes()


# Nothing is replaced


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("table.json", '{"mine": 1}'),
        ("table.json", "[]"),
        ("table.json", ""),
        ("table.tsv", "mine"),
        ("table.tsv", ""),
        ("table.shard-0-of-2.tsv", "mine"),
        ("table.shard-1-of-3.json", "{}"),
    ],
)
def test_a_file_of_the_users_stops_the_run_and_stays(
    tmp_path: Path, undisturbed: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    called: list[int] = []
    for options in ({}, {"resume": False}):
        with pytest.raises((ValueError, FileExistsError), match="table"):
            run(tmp_path / "table.tsv", classifier=watched(called.append), **options)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(name, content)]
    assert not called
    run(tmp_path / "table.tsv", force=True)
    assert files(tmp_path) == files(undisturbed.parent)


@pytest.mark.parametrize("name", ["table.txt", "table", "table.tsv.json.bak", "Table.json.tsv~"])
def test_files_of_like_names_are_not_touched(tmp_path: Path, undisturbed: Path, name: str) -> None:
    others = [
        name,
        "table.tsv.json",
        "table.shard-0-of-2.csv",
        "table.shard-0-of.tsv",
        "table.lock",
    ]
    for other in others:
        (tmp_path / other).write_text("mine")
    run(tmp_path / "table.tsv")
    for other in others:
        assert (tmp_path / other).read_text() == "mine"
        (tmp_path / other).unlink()
    assert files(tmp_path) == files(undisturbed.parent)


def test_a_finished_table_is_begun_anew_by_force_alone(copied: Path) -> None:
    with pytest.raises(ValueError, match=r"alpha=0.01 must be 0.001 to resume .*; --force"):
        run(copied, alpha=0.01)
    run(copied, alpha=0.01, force=True)
    assert set(read_table(copied)["alpha"]) == {0.01}
    assert read_metadata(copied)["configuration"]["alpha"] == 0.01


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("table.json", "must not end in .json"),
        ("a.meta.tsv", "must not end in .meta.tsv"),
        ("a.shard-0-of-2.tsv", "must not hold .shard-"),
    ],
)
def test_names_that_are_taken_are_refused_before_any_work(
    tmp_path: Path, name: str, message: str
) -> None:
    called: list[int] = []
    with pytest.raises(ValueError, match=message):
        run(tmp_path / name, classifier=watched(called.append))
    assert not called
    assert not names(tmp_path)


# Names


PAIRS = [
    ("sigma_0.25", "sigma_0.50"),
    ("a.tsv", "a.csv"),
    ("t[1].tsv", "t1.tsv"),
    ("all*.tsv", "all_of_them.tsv"),
    ("x?.csv", "xy.csv"),
    ("{a,b}", "a"),
    ("(a).tsv", "a.tsv"),
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_shards_go_to_the_table_of_their_name(
    tmp_path: Path, undisturbed: Path, first: str, second: str
) -> None:
    """Whatever the names mean as patterns, and also where both tables have shards."""
    lines = complete_lines(undisturbed)
    for name in (first, second):
        out = tmp_path / name
        for rank in (0, 1):
            shard = out.with_name(f"{out.stem}.shard-{rank}-of-2{out.suffix}")
            own = [lines.rows[i] for i in range(rank, 8, 2) if (name, i) != (second, 3)]
            shard.write_bytes(text_of(lines.header, own))
            shutil.copy(metadata_path(undisturbed), metadata_path(shard))
    run(tmp_path / first)
    assert (tmp_path / first).read_bytes() == undisturbed.read_bytes()
    assert len(names(tmp_path)) == 2 + 4
    run(tmp_path / second)
    assert (tmp_path / second).read_bytes() == undisturbed.read_bytes()
    assert len(names(tmp_path)) == 4


def test_a_table_that_was_killed_before_it_was_sorted_is_sorted(copied: Path) -> None:
    whole, lines = copied.read_bytes(), complete_lines(copied)
    for order in ((7, 6, 5, 4, 3, 2, 1, 0), (0, 2, 4, 6, 1, 3, 5, 7), (1, 0, 2, 3, 4, 5, 6, 7)):
        copied.write_bytes(text_of(lines.header, (lines.rows[i] for i in order)))
        run(copied)
        assert copied.read_bytes() == whole


# Ctrl-C


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        (-1, r"no row of .*table.tsv is written yet; run the same again"),
        (0, r"no row of .*table.tsv is written yet; run the same again"),
        (2, r"[2-7] of 8 rows are in .*table.tsv; the same call or command goes on"),
    ],
)
def test_who_stops_a_run_is_told_how_far_it_came(
    tmp_path: Path, undisturbed: Path, rows: int, said: str
) -> None:
    out = tmp_path / "table.tsv"

    def stop(_call: int) -> None:
        if rows < 0 or (out.exists() and has_rows(out) >= rows):
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match=f"interrupted: {said}") as caught:
        run(out, classifier=watched(stop))
    if rows > 0:
        assert f"{len(read_table(out))} of 8 rows" in str(caught.value)
    else:
        assert not names(tmp_path)
    run(out)
    assert out.read_bytes() == undisturbed.read_bytes()


def test_a_json_that_a_killed_run_left_is_kept_or_replaced(copied: Path) -> None:
    """Its seed too is used again, where nothing else has changed."""
    beside = metadata_path(copied)
    run(copied, seed=None, force=True)
    content, seed = beside.read_bytes(), read_metadata(copied)["configuration"]["seed"]
    copied.unlink()
    run(copied, seed=None)
    assert beside.read_bytes() == content
    copied.unlink()
    run(copied, seed=None, alpha=0.02)
    assert set(read_table(copied)["alpha"]) == {0.02}
    assert read_metadata(copied)["configuration"]["alpha"] == 0.02
    assert read_metadata(copied)["configuration"]["seed"] != seed


def test_who_stops_the_comparison_is_told_how_many_rows_there_are(copied: Path) -> None:
    class Data:
        def __len__(self) -> int:
            return 8

        def __getitem__(self, i: int) -> Any:
            if i == 2:
                raise KeyboardInterrupt
            return X[i], int(Y[i])

    with pytest.raises(KeyboardInterrupt, match="8 of 8 rows are in"):
        run(copied, Data())


def test_a_run_that_fails_at_its_first_row_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "table.tsv"

    def fail(_call: int) -> None:
        if metadata_path(out).exists():
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run(out, classifier=watched(fail))
    assert not names(tmp_path)
    run(out, alpha=0.02)


# Damage


def flips(out: Path, undisturbed: Path, count: int, seed: int) -> list[str]:
    """Flip one bit of the table or its JSON `count` times; return what was accepted wrongly."""
    draw = random.Random(seed)
    paths = [out, metadata_path(out)]
    whole = [p.read_bytes() for p in paths]
    accepted = []
    for _ in range(count):
        which = draw.choices((0, 1), [len(w) for w in whole])[0]
        bit = draw.randrange(8 * len(whole[which]))
        damaged = bytearray(whole[which])
        damaged[bit // 8] ^= 1 << bit % 8
        paths[which].write_bytes(damaged)
        try:
            run(out)
        except ValueError as error:
            named = str(paths[which]) in str(error) and "\n" not in str(error)
            if not named or [p.read_bytes() for p in paths] != [
                bytes(damaged) if i == which else w for i, w in enumerate(whole)
            ]:
                accepted.append(f"bit {bit} of {paths[which].name}: {error}")
        else:
            if out.read_bytes() != undisturbed.read_bytes():
                accepted.append(f"bit {bit} of {paths[which].name} was taken")
        for path, content in zip(paths, whole, strict=True):
            path.write_bytes(content)
    return accepted


def test_no_flipped_bit_is_taken(copied: Path, undisturbed: Path) -> None:
    assert flips(copied, undisturbed, 60, 0) == []


@pytest.mark.slow
def test_of_two_thousand_flipped_bits_none_is_taken(copied: Path, undisturbed: Path) -> None:
    assert flips(copied, undisturbed, 2000, 1) == []


def edited(out: Path, row: int, columns: dict[str, str]) -> None:
    """Change fields of a row, and the checksum that goes with them."""
    lines = complete_lines(out)
    fields = lines.fields(row) | columns
    text = "\t".join(v for k, v in fields.items() if k != "checksum")
    rows = lines.rows | {row: signed(text, lines.header)}
    out.write_bytes(text_of(lines.header, rows.values()))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"radius": "9.298"}, "radius='9.298' of idx=2 in .*table.tsv must be '0"),
        ({"predict": "2"}, "predict='2' of idx=2 in .* must be '1'"),
        ({"correct": "0"}, "correct='0' of idx=2 in .* must be '1'"),
        ({"alpha": "0.1"}, "alpha='0.1' of idx=2 in .* must be '0.001'"),
        ({"bound": "exact"}, "bound='exact' of idx=2 in .* must be 'cohen'"),
        ({"seed": "7,3"}, "seed='7,3' of idx=2 in .* must be '7,2'"),
        ({"sigma": "inf"}, "sigma='inf' of idx=2 in .* must be '0.5'"),
        ({"count_1": "301"}, "row idx=2 of .*table.tsv is damaged: it has .* votes and must have"),
        ({"count_1": "9" * 25}, "row idx=2 of .*table.tsv is damaged: "),
        ({"count_0": "-1"}, "row idx=2 of .*table.tsv is damaged: "),
        ({"count_0": "many"}, "row idx=2 of .*table.tsv is damaged: invalid literal"),
        ({"selected_1": "0", "selected_0": "100"}, "idx=2 in .* must be '.*', which its votes"),
        ({"margin": "nan"}, "margin='nan' of idx=2 in .* must be '"),
        ({"idx": "3000000"}, "idx=3000000 of .*table.tsv must be one of the inputs certified"),
    ],
)
def test_a_row_that_its_votes_do_not_give_is_refused_with_its_checksum(
    copied: Path, columns: dict[str, str], message: str
) -> None:
    edited(copied, 2, columns)
    before = copied.read_bytes()
    with pytest.raises(ValueError, match=message):
        run(copied)
    assert copied.read_bytes() == before


@pytest.mark.parametrize(
    ("options", "columns", "message"),
    [
        ({"bound": "exact"}, {"radius": "1.5"}, "radius='1.5' of idx=2"),
        ({"target_radius": 0.3}, {"decision": "radius < target"}, "decision='radius < target' of"),
        ({"target_radius": 0.3}, {"radius": "0.9"}, "radius='0.9' of idx=2"),
        ({"bound": "betting", "n": 60}, {"radius": "2.0"}, "radius='2.0' of idx=2"),
        ({"bound": "betting", "n": 60}, {"predict": "0"}, "predict='0' of idx=2"),
        ({"bound": "betting", "n": 60, "radius": "R1"}, {"radius": "2.0"}, "radius='2.0' of idx=2"),
        ({"certify_label": True}, {"radius": "1.0"}, "radius='1.0' of idx=2"),
    ],
    ids=str,
)
def test_every_kind_of_row_is_computed_again(
    tmp_path: Path, options: dict[str, Any], columns: dict[str, str], message: str
) -> None:
    out = tmp_path / "table.tsv"
    run(out, **options)
    whole = out.read_bytes()
    run(out, **options)
    assert out.read_bytes() == whole
    edited(out, 2, columns)
    with pytest.raises(ValueError, match=message):
        run(out, **options)


def test_a_batch_size_that_no_run_has_is_refused(copied: Path) -> None:
    content = read_metadata(copied)
    write_metadata(copied, content["configuration"], content["execution"] | {"batch_size": 10**12})
    with pytest.raises(ValueError, match=r"batch_size=1000000000000 of .*table.json must be"):
        run(copied)
