"""What a writer does with names that are no regular files: it writes into them, and they stay what they are."""

import os
import stat
import subprocess
import sys
import threading

import pytest

from ppreid.base.errors import WriteError
from ppreid.disk.csv_table import write_csv
from ppreid.disk.files import append_line, replacing, write_text
from ppreid.disk.tensor_file import save_tensors

# every function that writes a file whose name a user gives, and how a file of it begins
WRITERS = {
    "text": (lambda path: write_text(path, "new\n"), b"new\n"),
    "csv": (lambda path: write_csv(path, ("path", "cluster"), [("a.jpg", 1)]), b"path,cluster\n"),
    "tensors": (lambda path: save_tensors(path, {}, {"epoch": 1}), b""),
}


@pytest.fixture(params=WRITERS)
def writer(request):
    return WRITERS[request.param]


def test_a_pipe_gets_everything_and_stays_a_pipe(writer, tmp_path):
    write, beginning = writer
    pipe, found = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: found.append(pipe.read_bytes()))
    reader.start()
    write(pipe)
    reader.join(timeout=60)
    assert found[0] and found[0].startswith(beginning)
    assert stat.S_ISFIFO(pipe.stat().st_mode) and os.listdir(tmp_path) == ["pipe"]


def test_a_device_is_written_into_and_stays_a_device(writer):
    before = os.stat("/dev/null")
    writer[0]("/dev/null")
    assert os.path.samestat(before, os.stat("/dev/null")) and stat.S_ISCHR(os.stat("/dev/null").st_mode)


def test_a_full_device_is_an_error_that_names_it():
    with pytest.raises(WriteError, match="/dev/full cannot be written: No space left on device"):
        write_text("/dev/full", "x")


def test_a_link_stays_and_the_file_that_it_leads_to_is_replaced(writer, tmp_path):
    write, beginning = writer
    (tmp_path / "far").mkdir()
    target, middle, link = tmp_path / "far" / "target", tmp_path / "middle", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o640)
    middle.symlink_to("far/target")
    link.symlink_to(middle)
    write(link)
    assert link.readlink() == middle and middle.is_symlink()
    assert target.read_bytes().startswith(beginning) and target.read_bytes() != b"old"
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    assert sorted(os.listdir(tmp_path)) == ["far", "link", "middle"] and os.listdir(tmp_path / "far") == ["target"]


def test_an_error_behind_a_link_leaves_the_target_as_it_was(tmp_path):
    (tmp_path / "target").write_text("old")
    (tmp_path / "link").symlink_to("target")
    with pytest.raises(KeyError), replacing(tmp_path / "link") as file:
        file.write(b"half")
        raise KeyError("stop")
    assert (tmp_path / "target").read_text() == "old" and sorted(os.listdir(tmp_path)) == ["link", "target"]


def test_the_target_of_a_dangling_link_is_made(writer, tmp_path):
    (tmp_path / "link").symlink_to("target")
    writer[0](tmp_path / "link")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").is_file()


def test_links_that_lead_nowhere_are_errors_and_stay(tmp_path):
    (tmp_path / "circle").symlink_to("circle")
    (tmp_path / "away").symlink_to("missing/target")
    with pytest.raises(WriteError, match=r"circle cannot be written: Too many levels of symbolic links; it is a sym"):
        write_text(tmp_path / "circle", "x")
    with pytest.raises(WriteError, match=r"away cannot be written: No such file or directory; make its folder first"):
        write_text(tmp_path / "away", "x")
    assert sorted(os.listdir(tmp_path)) == ["away", "circle"]


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(WriteError, match="folder cannot be written: Is a directory"):
        write_text(tmp_path / "folder", "x")
    assert os.listdir(tmp_path) == ["folder"]


BETWEEN = """
import os, sys
from ppreid.disk.files import write_text
print("before")
write_text(sys.argv[1], "caf\\u00e9\\n")
print("after")
"""


@pytest.mark.parametrize("name", ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", "/proc/thread-self/fd/1", "link"])
@pytest.mark.parametrize("goes_to", ["a pipe", "a file"])
def test_standard_output_gets_it_between_what_is_said_before_and_after(name, goes_to, tmp_path):
    (tmp_path / "link").symlink_to("/dev/stdout")
    command = [sys.executable, "-c", BETWEEN, name]
    if goes_to == "a pipe":
        text = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, timeout=60, check=True).stdout
    else:
        with open(tmp_path / "out", "wb") as file:
            file.write(b"earlier\n")
            file.flush()
            subprocess.run(command, cwd=tmp_path, stdout=file, timeout=60, check=True)
        text = (tmp_path / "out").read_bytes().removeprefix(b"earlier\n")
        assert (tmp_path / "out").read_bytes() != text, "the file was replaced or emptied"
    assert text == "before\ncafé\nafter\n".encode()
    assert (tmp_path / "link").is_symlink() and set(os.listdir(tmp_path)) <= {"link", "out"}


def test_another_descriptor_is_written_into(tmp_path):
    reading, writing = os.pipe()
    write_text(f"/dev/fd/{writing}", "x\n")
    assert os.read(reading, 10) == b"x\n"
    os.close(reading)
    os.close(writing)


def test_standard_output_that_a_program_has_replaced_gets_it(capsys):
    write_text("-", "naïve\n")
    assert capsys.readouterr().out == "naïve\n"


@pytest.mark.parametrize(
    ("redirection", "code"), [(">/dev/full", 8), (">&-", 8), ("| true", 0)], ids=["full", "closed", "nobody reads"]
)
def test_a_standard_output_that_takes_nothing(redirection, code):
    program = (
        "import sys\nfrom ppreid.disk.files import WriteError, write_text\n"
        "try:\n    write_text('-', 'x' * 200_000)\nexcept WriteError as error:\n    sys.exit(error.exit_code)"
    )
    script = f'set -o pipefail; {sys.executable} -c "$PROGRAM" {redirection}'
    done = subprocess.run(
        ["bash", "-c", script], env=os.environ | {"PROGRAM": program}, stderr=subprocess.PIPE, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (code, "")


def test_lines_are_not_appended_through_a_link(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "log.txt").symlink_to("precious")
    with pytest.raises(WriteError, match=r"log\.txt cannot be written: .*; it is a symbolic link that is not followed"):
        append_line(tmp_path / "log.txt", "line")
    assert (tmp_path / "precious").read_text() == "mine"
