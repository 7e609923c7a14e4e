"""Files are written whole or not at all, never over what is there, by one writer at a time."""

import errno
import os
import subprocess
import sys

import pytest

from rsverify._core.files import GrowingFile, check_free, replace_file, write_file
from rsverify._core.lock import locked


def names(folder):
    return sorted(p.name for p in folder.iterdir())


def test_a_file_that_is_there_is_replaced_by_force_alone(tmp_path):
    path = tmp_path / "new" / "report.json"
    write_file(path, "first")
    with pytest.raises(FileExistsError, match=r"report.json exists already: .* --force"):
        write_file(path, "second")
    assert path.read_text() == "first"
    write_file(path, b"second", force=True)
    assert path.read_text() == "second"
    assert names(path.parent) == ["report.json"]


def test_a_folder_and_a_dangling_link_are_in_the_way(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with pytest.raises(FileExistsError, match="exists already"):
        write_file(tmp_path / "link", "text")
    for force in (False, True):
        with pytest.raises(FileExistsError, match="is a directory"):
            write_file(tmp_path, "text", force=force)


def test_a_link_is_followed_not_replaced(tmp_path):
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_file(tmp_path / "link", "new", force=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_text() == "new"


def test_devices_and_pipes_are_written_to(tmp_path):
    write_file("/dev/null", "text")
    check_free("/dev/stdout")
    os.mkfifo(tmp_path / "pipe")
    check_free(tmp_path / "pipe")
    assert names(tmp_path) == ["pipe"]


@pytest.mark.parametrize("name", ["open", "write", "fsync", "replace"])
def test_an_error_leaves_the_old_file_and_names_it(tmp_path, monkeypatch, name):
    path = tmp_path / "report.json"
    path.write_text("old")

    def full(*_arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with locked(path), monkeypatch.context() as patched:
        patched.setattr(os, name, full)
        with pytest.raises(OSError, match="No space left on device") as caught:
            replace_file(path, b"new")
    assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert names(tmp_path) == ["report.json"]


def test_one_writer_at_a_time_by_whatever_name(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_text("")
    (tmp_path / "link.tsv").symlink_to(path)
    with locked(path):
        for same in (path, tmp_path / "link.tsv", tmp_path / "." / "table.tsv"):
            with pytest.raises(OSError, match="another process is writing it"), locked(same):
                pass
        with pytest.raises(OSError, match="another process"):
            write_file(path, "other", force=True)
        program = f"from rsverify._core.lock import locked\nwith locked({str(path)!r}): pass"
        found = subprocess.run(
            [sys.executable, "-c", program], capture_output=True, text=True, check=False
        )
        assert "another process is writing it" in found.stderr
    with locked(path):
        pass
    assert names(tmp_path) == ["link.tsv", "table.tsv"]


def test_a_lock_file_that_a_killed_process_left_locks_nothing(tmp_path):
    (tmp_path / ".table.tsv.rsverify-lock").touch()
    with locked(tmp_path / "table.tsv"):
        pass
    assert names(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_named_by_the_file(tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "table.tsv"
    with pytest.raises(OSError, match=r"exists|directory") as caught, locked(path):
        pass
    assert caught.value.filename == str(path)


def append(path):
    with path.open("ab") as file:
        file.write(b"theirs\n")


def replace(path):
    os.replace(path, path.with_name("moved"))
    path.write_bytes(b"one\n")


@pytest.mark.parametrize(
    ("meddle", "message"),
    [
        (replace, "was removed or replaced"),
        (lambda path: path.unlink(), "was removed or replaced"),
        (append, "was changed by another program"),
        (lambda path: os.truncate(path, 1), "was changed by another program"),
    ],
    ids=["replaced", "removed", "appended", "truncated"],
)
def test_a_file_that_others_change_takes_no_more_lines(tmp_path, meddle, message):
    path = tmp_path / "table.tsv"
    file = GrowingFile(path, 0)
    file.append(b"one\n")
    meddle(path)
    with pytest.raises(OSError, match=message):
        file.append(b"two\n")
    file.close()


def test_what_a_killed_process_left_of_a_line_is_cut_off(tmp_path):
    path = tmp_path / "table.tsv"
    path.write_bytes(b"one\ntw")
    file = GrowingFile(path, 4)
    file.append(b"two\n")
    file.close()
    file.close()
    assert path.read_bytes() == b"one\ntwo\n"
    with pytest.raises(ValueError, match="is closed"):
        file.append(b"three\n")


def test_half_a_line_is_taken_back(tmp_path, monkeypatch):
    path = tmp_path / "table.tsv"
    file = GrowingFile(path, 0)
    file.append(b"one\n")
    real, written = os.write, []

    def full(descriptor, data):
        if written:
            raise OSError(errno.ENOSPC, "No space left on device")
        written.append(real(descriptor, data[:3]))
        return written[0]

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(OSError, match="No space") as caught:
            file.append(b"two two two\n")
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"one\n"
    file.append(b"two\n")
    file.close()
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_file_that_no_folder_can_hold_is_refused_before_the_work(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    check_free(tmp_path / "new" / "newer" / "report.json")
    with pytest.raises(NotADirectoryError) as caught:
        check_free(tmp_path / "file" / "new" / "report.json")
    assert caught.value.filename == str(tmp_path / "file")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PermissionError) as denied:
        check_free(tmp_path / "new" / "report.json", force=True)
    assert denied.value.filename == str(tmp_path / "new" / "report.json")
