"""Temporary files of writers that are gone are removed, those of living ones never."""

import os
import shutil
import stat
import subprocess
import sys

import pytest

from ppreid.disk.files import remove_leftovers, replacing, write_text
from ppreid.disk.places import locked_temporary, remove_abandoned, temporary_folder

KILLED = """
import os, signal, sys
from ppreid.disk.files import replacing
with replacing(sys.argv[1]) as file:
    file.write(b"half")
    file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def killed_while_writing(path):
    subprocess.run([sys.executable, "-c", KILLED, path], timeout=60)
    return {name for name in os.listdir(path.parent) if name.endswith(".tmp")}


def test_the_next_writer_of_a_file_removes_what_a_killed_one_left(tmp_path):
    path = tmp_path / "a"
    assert killed_while_writing(path) == {".a.0.tmp"}
    (tmp_path / ".b.0.tmp").write_text("of another file")
    write_text(path, "new")
    assert sorted(os.listdir(tmp_path)) == [".b.0.tmp", "a"] and path.read_text() == "new"


def test_the_next_writer_through_a_link_does_as_well(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to("far/a")
    assert killed_while_writing(tmp_path / "far" / "a")
    write_text(tmp_path / "link", "new")
    assert os.listdir(tmp_path / "far") == ["a"]


def test_several_write_one_file_at_a_time_and_the_last_one_wins(tmp_path):
    path = tmp_path / "a"
    with replacing(path) as first, replacing(path) as second:
        first.write(b"first")
        second.write(b"second")
        write_text(path, "third")
        remove_leftovers(tmp_path, ["a"])
        assert sorted(os.listdir(tmp_path)) == [".a.0.tmp", ".a.1.tmp", "a"]
    assert path.read_bytes() == b"first" and os.listdir(tmp_path) == ["a"]


def test_there_is_a_name_for_every_writer(tmp_path):
    made = [locked_temporary(tmp_path / "a") for _ in range(7)]
    assert len({name for _, name in made}) == len(os.listdir(tmp_path)) == 7
    for descriptor, name in made:
        os.close(descriptor)
        remove_abandoned(name)
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_locked_by_another_process_stays_until_that_is_gone(tmp_path):
    program = (
        "import sys\nfrom pathlib import Path\nfrom ppreid.disk.places import locked_temporary\n"
        "locked_temporary(Path(sys.argv[1]))\nprint('locked', flush=True)\nsys.stdin.read()"
    )
    command = [sys.executable, "-c", program, tmp_path / "a"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "locked\n"
        write_text(tmp_path / "a", "new")
        remove_leftovers(tmp_path, ["a"])
        assert sorted(os.listdir(tmp_path)) == [".a.0.tmp", "a"]
        process.stdin.close()
        process.wait(timeout=60)
    remove_leftovers(tmp_path, ["a"])
    assert os.listdir(tmp_path) == ["a"]


@pytest.mark.parametrize("kind", ["link", "folder"])
def test_what_stands_in_the_place_of_a_temporary_file_is_left_alone(kind, tmp_path):
    odd, precious = tmp_path / ".a.0.tmp", tmp_path / "precious"
    precious.write_text("mine")
    odd.symlink_to(precious) if kind == "link" else odd.mkdir()
    write_text(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "new" and precious.read_text() == "mine"
    assert sorted(os.listdir(tmp_path)) == [".a.0.tmp", "a", "precious"]


def test_a_file_system_without_locks_keeps_what_may_be_somebody_elses(tmp_path):
    """Every flock fails (strace), as on such a file system."""
    if not shutil.which("strace"):
        pytest.skip("strace is not there to inject faults")
    (tmp_path / ".a.0.tmp").write_text("perhaps somebody is writing")
    program = f"from ppreid.disk.files import write_text\nwrite_text({str(tmp_path / 'a')!r}, 'new')"
    strace = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=flock", "-e", "inject=flock:error=ENOLCK"]
    done = subprocess.run([*strace, sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    if "ptrace" in done.stderr:
        pytest.skip("strace may not trace here")
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path)) == [".a.0.tmp", "a"] and (tmp_path / "a").read_text() == "new"


KILLED_IN_FOLDER = """
import os, signal, sys
from pathlib import Path
from ppreid.disk.places import temporary_folder
with temporary_folder(Path(sys.argv[1])) as folder:
    (folder / "deep").mkdir()
    (folder / "deep" / "half").write_text("x")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_next_temporary_folder_removes_what_a_killed_process_left(tmp_path):
    subprocess.run([sys.executable, "-c", KILLED_IN_FOLDER, tmp_path / "a"], timeout=60)
    assert os.listdir(tmp_path) == [".a.0.tmp"]
    with temporary_folder(tmp_path / "a") as first, temporary_folder(tmp_path / "a") as second:
        assert os.listdir(first) == os.listdir(second) == []
        assert {first.name, second.name} == {".a.0.tmp", ".a.1.tmp"}
        assert stat.S_IMODE(first.stat().st_mode) == 0o700
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("kind", ["a folder that others may read", "a link to a folder", "a file"])
def test_what_is_no_temporary_folder_of_ours_is_left_alone(kind, tmp_path):
    odd, precious = tmp_path / ".a.0.tmp", tmp_path / "precious"
    precious.mkdir(mode=0o700)
    (precious / "mine").touch()
    if kind == "a file":
        odd.touch()
    elif kind == "a link to a folder":
        odd.symlink_to(precious)
    else:
        odd.mkdir(mode=0o755)
    with temporary_folder(tmp_path / "a") as folder:
        assert folder.name == ".a.1.tmp"
    assert sorted(os.listdir(tmp_path)) == [".a.0.tmp", "precious"] and os.listdir(precious) == ["mine"]


def test_a_temporary_folder_needs_a_place(tmp_path):
    with pytest.raises(FileNotFoundError), temporary_folder(tmp_path / "missing" / "a"):
        pass
