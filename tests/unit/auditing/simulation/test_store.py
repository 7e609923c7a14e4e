"""The store of finished blocks: what resumes, what is refused, and that nothing is lost."""

import json
import random

import numpy as np
import pytest

from rsverify import Estimand
from rsverify.auditing.api import audit
from rsverify.auditing.simulation.blocks import block_span
from rsverify.auditing.simulation.store import _signed

UNIFORM = {"uniform": {"law": ("beta", 1.0, 1.0)}}
SETTINGS = {"n": 1, "alpha": 0.05, "replications": 1200, "tolerance": 0.01, "scenarios": UNIFORM}


def near_alpha(x, alpha):
    """Misses with probability 0.0505 under the uniform law: never settled by this budget."""
    return (x[:, 0] < 1.01 * alpha).astype(float)


def lines(path):
    return path.read_text().splitlines()


def test_a_finished_store_gives_the_report_without_drawing(tmp_path):
    path = tmp_path / "new folder" / "blocks.jsonl"
    first = audit(near_alpha, store=path, **SETTINGS)
    assert len(lines(path)) == 1 + 3
    calls = []

    def counted(x, alpha):
        calls.append(len(x))
        return near_alpha(x, alpha)

    counted.__name__ = "near_alpha"
    again = audit(counted, store=path, resume=True, **SETTINGS)
    assert again.to_json() == first.to_json() == audit(near_alpha, **SETTINGS).to_json()
    # The last block, to check that the bound is the same, and no other block. Smaller calls find
    # out how the bound is called, and ask some rows again.
    assert [rows for rows in calls if rows > 128] == [200]
    assert len(lines(path)) == 1 + 3


def test_half_a_line_is_cut_off_and_its_block_run_again(tmp_path):
    path = tmp_path / "blocks.jsonl"
    whole = audit(near_alpha, store=path, **SETTINGS).to_json()
    content = path.read_bytes()
    for cut in (len(content) - 1, len(content) - 40, content.index(b"\n") + 1):
        path.write_bytes(content[:cut])
        assert audit(near_alpha, store=path, resume=True, **SETTINGS).to_json() == whole
        assert path.read_bytes() == content


def test_a_larger_budget_continues_and_equals_a_fresh_audit(tmp_path):
    path = tmp_path / "blocks.jsonl"
    audit(near_alpha, store=path, **SETTINGS)
    more = SETTINGS | {"replications": 6000}
    fresh = audit(near_alpha, **more).to_json()
    assert audit(near_alpha, store=path, resume=True, **more).to_json() == fresh
    # The first two blocks were whole; the third was cut short by its budget and is run again.
    keys = [(r["block"], r["runs"]) for r in map(json.loads, lines(path)[1:])]
    assert keys[:4] == [(0, 500), (1, 500), (2, 200), (2, 500)]
    # And back: a smaller budget is a prefix.
    small = audit(near_alpha, store=path, resume=True, **SETTINGS).to_json()
    assert small == audit(near_alpha, **SETTINGS).to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"alpha": 0.04}, "alpha=0.04 must be 0.05 to resume"),
        ({"seed": 1}, "seed=1 must be 0 to resume"),
        ({"n": 2}, "n=2 must be 1 to resume"),
        ({"side": "upper"}, "side='upper' must be 'lower' to resume"),
        ({"tolerance": 0.3}, "tolerance=0.3 must be 0.01 to resume"),
        ({"scenarios": {"b": {"law": ("beta", 1.0, 2.0)}}}, "scenarios={'b'.*must be {'uniform'"),
    ],
)
def test_another_design_is_refused_by_name(tmp_path, change, message):
    path = tmp_path / "blocks.jsonl"
    audit(near_alpha, store=path, **SETTINGS)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=message):
        audit(near_alpha, store=path, resume=True, **(SETTINGS | change))
    assert path.read_bytes() == before


def test_another_bound_of_the_same_name_is_refused(tmp_path):
    path = tmp_path / "blocks.jsonl"
    audit(near_alpha, store=path, **SETTINGS)

    def other(x, alpha):
        return near_alpha(x, alpha) - 1e-6

    other.__name__ = "near_alpha"
    with pytest.raises(ValueError, match="block 1 of scenario 'uniform' comes out otherwise"):
        audit(other, store=path, resume=True, **(SETTINGS | {"replications": 1000}))
    other.__name__ = "other_name"
    with pytest.raises(ValueError, match="bound='other_name' must be 'near_alpha'"):
        audit(other, store=path, resume=True, **SETTINGS)


def test_existing_files_are_neither_overwritten_nor_taken_for_stores(tmp_path):
    path = tmp_path / "blocks.jsonl"
    path.write_text("my notes\n")
    with pytest.raises(FileExistsError, match="exists already"):
        audit(near_alpha, store=path, **SETTINGS)
    with pytest.raises(ValueError, match="line 1 is not of an audit"):
        audit(near_alpha, store=path, resume=True, **SETTINGS)
    assert path.read_text() == "my notes\n"
    with pytest.raises(ValueError, match="resume=True needs store"):
        audit(near_alpha, resume=True, **SETTINGS)


def test_a_search_resumes_with_what_it_found(tmp_path):
    path = tmp_path / "blocks.jsonl"
    settings = {"n": 3, "alpha": 0.3, "replications": 4000, "method": "search"}

    def loose(x, alpha):
        return x.min(axis=1) - alpha

    first = audit(loose, store=path, **settings).to_json()
    path.write_text("\n".join(lines(path)[:3]) + "\n")
    assert audit(loose, store=path, resume=True, **settings).to_json() == first


def test_failures_come_back_with_their_inputs(tmp_path):
    def broken(x, alpha):
        return np.where(x[:, 0] < 0.02, np.nan, near_alpha(x, alpha))

    path = tmp_path / "blocks.jsonl"
    first = audit(broken, store=path, **SETTINGS)
    assert first.failures[0].kind == "NaN"
    assert audit(broken, store=path, resume=True, **SETTINGS).failures == first.failures


def test_scenarios_with_arrays_can_be_stored(tmp_path):
    thing = Estimand(
        draw=lambda rng, rows, n, ends: rng.uniform(*ends, (rows, n)),
        truth=lambda ends: float(ends.mean()),
        scenarios={"0 to 1": {"ends": np.array([0.0, 1.0])}},
    )
    settings = {"estimand": thing, "n": 3, "alpha": 0.05, "replications": 500}
    path = tmp_path / "blocks.jsonl"
    first = audit(lambda x, _a: x.min(axis=1), store=path, **settings)
    again = audit(lambda x, _a: x.min(axis=1), store=path, resume=True, **settings)
    assert again.to_json() == first.to_json()


@pytest.mark.parametrize("n", [1, 100, 1000, 10**7])
def test_blocks_follow_one_another_and_a_larger_budget_only_adds(n):
    end = 0
    for block in range(60):
        start, rows = block_span(n, 10**9, block)
        assert start == end
        assert 8 <= rows <= 1 << 15
        assert rows * n <= max(1 << 21, 8 * n)
        end = start + rows
    small = [block_span(n, 10_000, b)[1] for b in range(1500)]
    assert sum(small) == 10_000
    assert all(
        s in (0, block_span(n, 10**9, b)[1]) for b, s in enumerate(small[: small.index(0) - 1])
    )


@pytest.mark.parametrize("content", ["my notes", "a\nb\nlast line without an end", "{}\nx"])
def test_a_file_that_is_no_store_keeps_every_byte(tmp_path, content):
    """Also one whose last line has no end: it is not taken for a torn one."""
    path = tmp_path / "notes.txt"
    path.write_text(content)
    with pytest.raises(ValueError, match=r"is not of an audit|must be"):
        audit(near_alpha, store=path, resume=True, **SETTINGS)
    assert path.read_text() == content


def test_a_torn_store_of_another_design_keeps_every_byte(tmp_path):
    path = tmp_path / "blocks.jsonl"
    audit(near_alpha, store=path, **SETTINGS)
    torn = path.read_bytes()[:-20]
    path.write_bytes(torn)
    with pytest.raises(ValueError, match="seed=1 must be 0"):
        audit(near_alpha, store=path, resume=True, **(SETTINGS | {"seed": 1}))
    assert path.read_bytes() == torn


def test_a_torn_first_line_is_begun_again(tmp_path):
    path = tmp_path / "blocks.jsonl"
    whole = audit(near_alpha, store=path, **SETTINGS).to_json()
    content = path.read_bytes()
    for cut in (0, 1, content.index(b"\n")):
        path.write_bytes(content[:cut])
        assert audit(near_alpha, store=path, resume=True, **SETTINGS).to_json() == whole
        assert path.read_bytes() == content


def test_two_audits_do_not_share_a_store(tmp_path):
    path = tmp_path / "blocks.jsonl"
    seen = []

    def meddle(done, _total):
        if not seen:
            with pytest.raises(OSError, match="another process is writing it"):
                audit(near_alpha, store=path, resume=True, **SETTINGS)
            seen.append(done)

    report = audit(near_alpha, store=path, progress=meddle, **SETTINGS)
    assert seen
    assert report.to_json() == audit(near_alpha, store=path, resume=True, **SETTINGS).to_json()


def flips(path, whole, count, seed):
    """Flip one bit of a store `count` times; return what was taken for another report."""
    content, draw, accepted = path.read_bytes(), random.Random(seed), []
    for _ in range(count):
        bit = draw.randrange(8 * len(content))
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            report = audit(near_alpha, store=path, resume=True, **SETTINGS).to_json()
        except ValueError as error:
            if str(path) not in str(error) or "\n" in str(error) or path.read_bytes() != damaged:
                accepted.append(f"{bit}: {error}")
        else:
            if report != whole or path.read_bytes() != content:
                accepted.append(f"{bit}: taken")
        path.write_bytes(content)
    return accepted


def test_no_flipped_bit_is_taken(tmp_path):
    path = tmp_path / "blocks.jsonl"
    whole = audit(near_alpha, store=path, **SETTINGS).to_json()
    assert flips(path, whole, 100, 0) == []


@pytest.mark.slow
def test_of_two_thousand_flipped_bits_none_is_taken(tmp_path):
    path = tmp_path / "blocks.jsonl"
    whole = audit(near_alpha, store=path, **SETTINGS).to_json()
    assert flips(path, whole, 2000, 1) == []


def _signed_again(line, first):
    """Return a record under the checksum that fits it."""
    record = json.dumps({k: v for k, v in json.loads(line).items() if k != "checksum"})
    return _signed(record, first or record)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r | {"misses": 10**30}, "more than runs"),
        (lambda r: r | {"misses": -1}, "must be nonnegative integers"),
        (lambda r: r | {"misses": 3.0}, "must be nonnegative integers"),
        (lambda r: r | {"runs": True}, "must be nonnegative integers"),
        (lambda r: r | {"slack": "1"}, "must be numbers"),
        (lambda r: r | {"block": [0]}, "must be nonnegative integers"),
        (lambda r: {k: v for k, v in r.items() if k != "finite"}, "'finite'"),
        (lambda r: r | {"failures": 3}, "not iterable"),
        (lambda r: r | {"failures": [{"kind": "x"}]}, "argument"),
    ],
)
def test_a_block_of_other_types_is_a_line_with_its_number(tmp_path, change, message):
    path = tmp_path / "blocks.jsonl"
    audit(near_alpha, store=path, **SETTINGS)
    first, block, *rest = lines(path)
    design = first.rpartition(', "checksum"')[0] + "}"
    changed = _signed_again(json.dumps(change(json.loads(block))), design)
    path.write_text("\n".join([first, changed, *rest]) + "\n")
    with pytest.raises(ValueError, match=f"blocks.jsonl' line 2 is not of an audit: .*{message}"):
        audit(near_alpha, store=path, resume=True, **SETTINGS)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[" * 100_000, "line 1 is not of an audit"),
        ('{"format": 1, "alpha": 0.05}', "must be of format 2"),
        ('{"format": 3, "alpha": 0.05}', "must be of format 2"),
        ('{"format": ' + "9" * 5000 + "}", "line 1 is not of an audit"),
        ("3", "must be of format 2"),
        (b"\xff\xfe", "line 1 is not of an audit: 'utf-8' codec"),
    ],
)
def test_another_file_is_a_line_and_keeps_every_byte(tmp_path, content, message):
    path = tmp_path / "blocks.jsonl"
    data = (content if isinstance(content, bytes) else content.encode()) + b"\n"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=message) as caught:
        audit(near_alpha, store=path, resume=True, **SETTINGS)
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == data


@pytest.mark.parametrize("done", [0, 1, 2])
def test_who_stops_an_audit_is_told_what_is_kept(tmp_path, done):
    path = tmp_path / "blocks.jsonl"
    whole = audit(near_alpha, **SETTINGS).to_json()
    calls = []

    def stop(_done, _total):
        calls.append(1)
        if len(calls) == done + 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt, match=f"{done + 1} finished blocks are in .*--resume"):
        audit(near_alpha, store=path, progress=stop, **SETTINGS)
    assert len(lines(path)) == 1 + done + 1
    assert audit(near_alpha, store=path, resume=True, **SETTINGS).to_json() == whole
