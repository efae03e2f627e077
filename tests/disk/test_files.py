import errno
import os
import shutil
import stat
import subprocess
import sys

import pytest

from ppreid.base.errors import DataError, WriteError
from ppreid.disk.files import (
    append_line,
    check_published,
    file_sha256,
    publish,
    remove_leftovers,
    replacing,
    write_text,
)


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["a.txt"]


def test_an_error_leaves_the_old_file_and_no_leftovers(tmp_path):
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with pytest.raises(KeyError), replacing(path) as file:
        file.write(b"half of the new")
        raise KeyError("stop")
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_the_mode_of_an_existing_file_is_kept_and_a_new_one_follows_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        write_text(tmp_path / "new", "x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == mode
    (tmp_path / "new").chmod(0o640)
    write_text(tmp_path / "new", "y")
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640


def test_a_missing_folder_is_an_error_that_names_the_file_and_what_to_do(tmp_path):
    text = r"missing/a\.txt cannot be written: No such file or directory; make"
    with pytest.raises(WriteError, match=text) as caught:
        write_text(tmp_path / "missing" / "a.txt", "x")
    assert isinstance(caught.value, OSError) and caught.value.errno == errno.ENOENT


def test_the_temporary_file_lies_beside_the_file_and_not_in_the_temporary_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", "/nonexistent")
    with replacing(tmp_path / "a") as file:
        (temporary,) = os.listdir(tmp_path)
        assert temporary.startswith(".a.") and temporary.endswith(".tmp")
        file.write(b"x")
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("number", [errno.EXDEV, errno.ENOSYS, errno.EPERM])
@pytest.mark.parametrize("failing", [1, 2])
def test_a_rename_that_fails_leaves_the_newest_file_where_it_was(tmp_path, monkeypatch, number, failing):
    """The first rename puts the old file aside, the second one the new one in its place."""
    path, aside, real, calls = tmp_path / "a", tmp_path / "b", os.replace, []
    write_text(path, "newer")
    write_text(aside, "old")

    def replace(source, target):
        calls.append(target)
        if len(calls) == failing:
            raise OSError(number, os.strerror(number))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)
    with pytest.raises(WriteError, match=os.strerror(number)) as caught, replacing(path, keep_as=aside) as file:
        file.write(b"newest")
    assert ("cannot rename" in str(caught.value)) == (number != errno.EPERM)
    assert path.read_text() == "newer"
    assert sorted(os.listdir(tmp_path)) == (["a", "b"] if failing == 1 else ["a"])


SAVES = """
import sys
from pathlib import Path
from ppreid.disk.files import replacing
for number in range(3):
    with replacing(sys.argv[1], keep_as=Path(sys.argv[1]).with_name("previous")) as file:
        file.write(b"%d" % number * 100_000)
"""


@pytest.fixture
def strace_saves(tmp_path):
    """Saves three times, each time a text of one digit, while strace injects a fault; gives the exit code."""
    if not shutil.which("strace"):
        pytest.skip("strace is not there to inject faults")

    def run(fault):
        calls = fault.partition(":")[0]
        inject = ["strace", "-f", "-qq", "-o", tmp_path / "trace", "-e", f"trace={calls}", "-e", f"inject={fault}"]
        run = [*inject, sys.executable, "-c", SAVES, tmp_path / "run" / "last"]
        done = subprocess.run(run, capture_output=True, text=True, timeout=120)
        if "ptrace" in done.stderr:
            pytest.skip("strace may not trace here")
        return done

    (tmp_path / "run").mkdir()
    return run


def test_a_process_killed_at_any_commit_point_leaves_the_last_or_the_previous_file(strace_saves, tmp_path):
    folder, points = tmp_path / "run", 0
    for calls in ("rename,renameat,renameat2", "fsync", "fchmod"):
        for number in range(1, 10):
            shutil.rmtree(folder)
            folder.mkdir()
            done = strace_saves(f"{calls}:signal=KILL:when={number}")
            if done.returncode == 0:
                break
            points += 1
            found = [file.read_text() for file in (folder / "last", folder / "previous") if file.exists()]
            assert all(text in ("0" * 100_000, "1" * 100_000, "2" * 100_000) for text in found)
            saved = [int(text[0]) for text in found]
            assert saved == sorted(saved, reverse=True)
            assert saved or number <= 2, "what was saved is gone"
            remove_leftovers(folder, ["last"])
            assert {file.name for file in folder.iterdir()} <= {"last", "previous"}
    assert points == 5 + 6 + 3  # renames (the first file replaces none); a file and its folder each; one mode each


@pytest.mark.parametrize("error", ["EXDEV", "ENOSYS", "EPERM"])
def test_a_file_system_without_rename_refuses_and_keeps_what_is_there(strace_saves, tmp_path, error):
    last = tmp_path / "run" / "last"
    last.write_text("before")
    done = strace_saves(f"rename,renameat,renameat2:error={error}")
    assert f"{last} cannot be written: {os.strerror(getattr(errno, error))}" in done.stderr
    assert last.read_text() == "before" and os.listdir(tmp_path / "run") == ["last"]


def test_a_folder_that_cannot_be_flushed_is_no_error_where_its_file_system_has_no_such_thing(tmp_path, monkeypatch):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, "no")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    number = errno.EINVAL
    write_text(tmp_path / "a", "x")
    number = errno.EIO
    with pytest.raises(WriteError, match="Input/output error"):
        write_text(tmp_path / "a", "y")


def test_names_that_are_no_utf8_stay_as_they_are(tmp_path):
    write_text(tmp_path / "a", b"caf\xe9 \xf0\x9f\x90\xb1\n".decode("utf-8", "surrogateescape"))
    assert (tmp_path / "a").read_bytes() == b"caf\xe9 \xf0\x9f\x90\xb1\n"


def test_lines_are_appended_and_an_unfinished_one_is_ended(tmp_path):
    path = tmp_path / "log"
    for line in ("one", "two"):
        append_line(path, line)
    path.write_bytes(path.read_bytes() + b"half of a l")
    append_line(path, "three", flush=False)
    assert path.read_text().splitlines() == ["one", "two", "half of a l", "three"]


def test_a_line_that_does_not_fit_is_not_there_at_all(tmp_path, monkeypatch):
    path = tmp_path / "log"
    append_line(path, "one")

    def full(descriptor):
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WriteError, match="No space left on device"):
        append_line(path, "two")
    assert path.read_text() == "one\n"


def test_a_published_file_is_checked_against_its_checksum(tmp_path):
    path, temporary = tmp_path / "a.npy", tmp_path / "a.npy.partial"
    temporary.write_bytes(b"abc")
    publish(temporary, path, sha256=file_sha256(temporary))
    assert sorted(os.listdir(tmp_path)) == ["a.npy", "a.npy.sha256"]
    assert (tmp_path / "a.npy.sha256").read_text() == f"{file_sha256(path)}  a.npy\n"
    check_published(path)
    path.write_bytes(b"abd")
    with pytest.raises(DataError, match=r"a\.npy is damaged: .* delete a\.npy\.sha256"):
        check_published(path)
    (tmp_path / "a.npy.sha256").unlink()
    check_published(path)


def test_sha256_of_a_known_text(tmp_path):
    write_text(tmp_path / "abc", "abc")
    assert file_sha256(tmp_path / "abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
