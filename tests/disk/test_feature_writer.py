import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from ppreid.base.errors import ConfigError, DataError, WriteError
from ppreid.base.records import ImageRecord
from ppreid.disk.feature_writer import write_features
from ppreid.disk.features import npy_header
from ppreid.disk.files import check_published

RECORDS = [ImageRecord(f"{i}.jpg", i, -1) for i in range(5)]
VALUES = np.arange(15, dtype=np.float32).reshape(5, 3)


def blocks_of_two(first_row):
    for start in range(first_row, 5, 2):
        rows = np.arange(start, min(start + 2, 5))
        yield VALUES[rows], rows


def test_half_a_block_on_the_disk_is_written_again(tmp_path):
    path, partial = tmp_path / "a.npy", tmp_path / "a.npy.partial"

    def broken(first_row):
        yield from list(blocks_of_two(first_row))[:1]
        raise KeyboardInterrupt

    settings = {"dim": 3, "origin": {"weights": "x"}}
    with pytest.raises(KeyboardInterrupt):
        write_features(path, RECORDS, blocks_from=broken, **settings)
    with open(partial, "ab") as file:
        file.write(b"half a row")
    assert write_features(path, RECORDS, blocks_from=blocks_of_two, **settings) == 2
    np.testing.assert_array_equal(np.load(path), VALUES)
    with open(tmp_path / "a.csv", newline="") as file:
        assert next(csv.reader(file)) == ["path", "pid", "camid"]


def test_a_complete_part_only_gets_its_name(tmp_path, monkeypatch):
    path = tmp_path / "a.npy"
    settings = {"dim": 3, "origin": {}}
    with monkeypatch.context() as patch:
        patch.setattr("ppreid.disk.feature_writer.write_records", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_features(path, RECORDS, blocks_from=blocks_of_two, **settings)
    assert write_features(path, RECORDS, blocks_from=lambda first_row: 1 / 0, **settings) == 5
    np.testing.assert_array_equal(np.load(path), VALUES)


def test_rows_out_of_order_are_refused(tmp_path):
    with pytest.raises(DataError, match="row 3, expected was row 0"):
        write_features(
            tmp_path / "a.npy", RECORDS, dim=3, origin={}, blocks_from=lambda _: iter([(VALUES[3:], np.array([3, 4]))])
        )


def test_too_little_space_is_seen_before_the_work(tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=59))
    with pytest.raises(WriteError, match="GB are needed"):
        write_features(tmp_path / "a.npy", RECORDS, dim=3, origin={}, blocks_from=lambda _: 1 / 0)
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_progress_file_is_an_error(tmp_path):
    (tmp_path / "a.npy.partial").write_bytes(b"x")
    (tmp_path / "a.npy.progress").write_text("{")
    with pytest.raises(ConfigError, match=r"a\.npy\.progress is damaged.* start anew"):
        write_features(tmp_path / "a.npy", RECORDS, dim=3, origin={}, blocks_from=blocks_of_two)


SETTINGS = {"dim": 3, "origin": {"weights": "x"}}


def interrupted(path, *, after):
    """Write some blocks, then stop with Ctrl-C."""

    def broken(first_row):
        yield from list(blocks_of_two(first_row))[:after]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_features(path, RECORDS, blocks_from=broken, **SETTINGS)


def zeroed(content):
    return content[:-24] + bytes(24)


def flipped(content):
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize("damage", [zeroed, flipped, lambda content: content[:-1], lambda content: b""])
def test_rows_that_are_not_what_an_earlier_call_wrote_are_never_published(damage, tmp_path):
    path, partial = tmp_path / "a.npy", tmp_path / "a.npy.partial"
    interrupted(path, after=2)
    partial.write_bytes(damage(partial.read_bytes()))
    with pytest.raises(
        DataError, match=r"a\.npy\.partial is damaged: the 4 rows .* delete it, and the \.progress file"
    ):
        write_features(path, RECORDS, blocks_from=blocks_of_two, **SETTINGS)
    assert not path.exists()
    partial.unlink()
    (tmp_path / "a.npy.progress").unlink()
    assert write_features(path, RECORDS, blocks_from=blocks_of_two, **SETTINGS) == 0
    np.testing.assert_array_equal(np.load(path), VALUES)


@pytest.mark.parametrize("rows", ["-1", "5", "true", '"4"', "null"])
def test_a_progress_file_that_claims_odd_numbers_of_rows_is_refused(rows, tmp_path):
    path, progress = tmp_path / "a.npy", tmp_path / "a.npy.progress"
    interrupted(path, after=2)
    progress.write_text(progress.read_text().replace('"rows": 4', f'"rows": {rows}'))
    with pytest.raises((ConfigError, DataError), match=r"is damaged"):
        write_features(path, RECORDS, blocks_from=blocks_of_two, **SETTINGS)
    assert not path.exists()


def test_rows_beyond_the_last_image_are_refused_though_they_are_what_was_written(tmp_path):
    path, partial, progress = (tmp_path / f"a.npy{end}" for end in ("", ".partial", ".progress"))
    content = npy_header(5, 3) + bytes(9 * 3 * 4)
    partial.write_bytes(content)
    notes = {"rows": 9, "sha256": hashlib.sha256(content).hexdigest(), **SETTINGS["origin"]}
    progress.write_text(json.dumps(notes))
    with pytest.raises(ConfigError, match=r"was begun with other images \(9 rows of 5\); delete it and .* start anew"):
        write_features(path, RECORDS, blocks_from=blocks_of_two, **SETTINGS)
    assert not path.exists()


@pytest.mark.parametrize("notes", ["{", '{"rows": 4, "sha256": "0", "weights": "another"}'])
def test_a_part_of_something_else_is_begun_anew_when_asked_to(notes, tmp_path):
    path, progress = tmp_path / "a.npy", tmp_path / "a.npy.progress"
    interrupted(path, after=2)
    progress.write_text(notes)
    with pytest.raises(ConfigError, match="to start anew"):
        write_features(path, RECORDS, blocks_from=blocks_of_two, **SETTINGS)
    assert write_features(path, RECORDS, blocks_from=blocks_of_two, overwrite=True, **SETTINGS) == 0
    np.testing.assert_array_equal(np.load(path), VALUES)
    check_published(path)


def test_the_checksum_is_that_of_what_was_computed(tmp_path, monkeypatch):
    """A disk that loses rows without an error: whoever reads the file finds out."""
    real = os.fsync

    def losing(descriptor):
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        if name.endswith(".partial") and os.fstat(descriptor).st_size == 128 + 60:
            with open(name, "r+b") as file:
                file.seek(128)
                file.write(bytes(12))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", losing)
    write_features(tmp_path / "a.npy", RECORDS, blocks_from=blocks_of_two, **SETTINGS)
    with pytest.raises(DataError, match=r"a\.npy is damaged"):
        check_published(tmp_path / "a.npy")


def test_a_finished_file_is_replaced_only_when_asked_to(tmp_path):
    path = tmp_path / "a.npy"
    write_features(path, RECORDS, blocks_from=blocks_of_two, **SETTINGS)
    with pytest.raises(ConfigError, match=r"a\.npy exists already; .* pass --overwrite"):
        write_features(path, RECORDS, blocks_from=blocks_of_two, **SETTINGS)
    others = [ImageRecord("other.jpg", 1, 1)]
    write_features(path, others, blocks_from=lambda _: iter([(VALUES[:1], [0])]), overwrite=True, **SETTINGS)
    check_published(path)
    np.testing.assert_array_equal(np.load(path), VALUES[:1])
    assert "other.jpg" in (tmp_path / "a.csv").read_text()


def test_a_csv_of_somebody_else_is_not_replaced(tmp_path):
    path, theirs = tmp_path / "a.npy", tmp_path / "a.csv"
    theirs.write_text("path,pid,camid\nmine.jpg,1,2\n")
    with pytest.raises(ConfigError, match=r"a\.csv exists, and .* pass --overwrite"):
        write_features(path, RECORDS, blocks_from=lambda first_row: 1 / 0, **SETTINGS)
    assert "mine.jpg" in theirs.read_text() and os.listdir(tmp_path) == ["a.csv"]
    write_features(path, RECORDS, blocks_from=blocks_of_two, overwrite=True, **SETTINGS)
    assert "mine.jpg" not in theirs.read_text()


def test_features_behind_a_link_are_written_where_it_leads(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "a.npy").symlink_to("far/b.npy")
    write_features(tmp_path / "a.npy", RECORDS, blocks_from=blocks_of_two, **SETTINGS)
    assert (tmp_path / "a.npy").is_symlink()
    assert sorted(os.listdir(tmp_path / "far")) == ["b.csv", "b.npy", "b.npy.sha256"]


def test_a_link_in_the_place_of_the_unfinished_file_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "a.npy.partial").symlink_to("precious")
    with pytest.raises(WriteError, match=r"a\.npy\.partial cannot be written: .*symbolic link that is not followed"):
        write_features(tmp_path / "a.npy", RECORDS, blocks_from=blocks_of_two, **SETTINGS)
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize("name", ["a.csv", "-", "/dev/null", "pipe.npy"])
def test_what_is_written_in_parts_must_be_an_npy_file(name, tmp_path):
    os.mkfifo(tmp_path / "pipe.npy")
    with pytest.raises(ConfigError, match=r"is no name for an \.npy file"):
        write_features(tmp_path / name, RECORDS, blocks_from=blocks_of_two, **SETTINGS)


def test_a_folder_that_cannot_be_written_to_is_an_error_of_writing(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match=r"file/a\.npy\.progress cannot be written"):
        write_features(tmp_path / "file" / "a.npy", RECORDS, blocks_from=blocks_of_two, **SETTINGS)


PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from ppreid.base.records import ImageRecord
from ppreid.disk.feature_writer import write_features
values = np.arange(15, dtype=np.float32).reshape(5, 3)
def blocks_from(first_row):
    for start in range(first_row, 5, 2):
        rows = np.arange(start, min(start + 2, 5))
        yield values[rows], rows
    if sys.argv[2:] == ["wait"]:
        print("waiting", flush=True)
        sys.stdin.read()
records = [ImageRecord(f"{i}.jpg", i, -1) for i in range(5)]
write_features(Path(sys.argv[1]), records, dim=3, origin={"weights": "x"}, blocks_from=blocks_from)
"""


def test_two_processes_do_not_write_one_file(tmp_path):
    path = tmp_path / "a.npy"
    command = [sys.executable, "-c", PROGRAM, path, "wait"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "waiting\n"
        with pytest.raises(ConfigError, match=r"a\.npy\.partial is being written by another process"):
            write_features(path, RECORDS, blocks_from=blocks_of_two, **SETTINGS)
        process.stdin.close()
        assert process.wait(timeout=60) == 0
    np.testing.assert_array_equal(np.load(path), VALUES)


def test_killed_at_any_point_the_same_call_goes_on_and_nothing_is_left_behind(tmp_path):
    """The kills are those of strace: at every rename, fsync and unlink in turn."""
    if not shutil.which("strace"):
        pytest.skip("strace is not there to inject faults")
    points = 0
    for calls in ("rename,renameat,renameat2", "fsync", "unlink,unlinkat"):
        for number in range(1, 30):
            folder = tmp_path / f"{calls[:2]}{number}"
            folder.mkdir()
            path = folder / "a.npy"
            inject = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={calls}"]
            inject += ["-e", f"inject={calls}:signal=KILL:when={number}"]
            run = [*inject, sys.executable, "-c", PROGRAM, path]
            done = subprocess.run(run, capture_output=True, text=True, timeout=60)
            if "ptrace" in done.stderr:
                pytest.skip("strace may not trace here")
            if done.returncode == 0:
                break
            points += 1
            write_features(path, RECORDS, blocks_from=blocks_of_two, **SETTINGS)
            assert sorted(os.listdir(folder)) == ["a.csv", "a.npy", "a.npy.sha256"]
            check_published(path)
            np.testing.assert_array_equal(np.load(path), VALUES)
    # renames: the progress file after each of three blocks, CSV, checksum, features; fsync: each block, the features
    # once more, each of those five small files and each rename; unlink: the progress file
    assert points == 6 + (3 + 1 + 5 + 6) + 1
