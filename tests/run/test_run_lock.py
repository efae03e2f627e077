import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ppreid.base.errors import ConfigError, WriteError
from ppreid.run import lock as module
from ppreid.run.lock import LOCK, run_lock

HOLDER = """
    import sys, time
    from pathlib import Path
    from ppreid.run.lock import run_lock
    with run_lock(Path(sys.argv[1])):
        print("locked", flush=True)
        if sys.argv[2] == "wait":
            time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds the lock of tmp_path."""
    command = [sys.executable, "-c", textwrap.dedent(HOLDER), tmp_path, "wait"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    yield process
    process.kill()
    process.wait()


def facts(**changes):
    return json.dumps({**module._this_process(), **changes})


def test_a_second_run_is_refused_and_told_who_has_the_folder(holder, tmp_path):
    with pytest.raises(ConfigError, match=rf"in use by process {holder.pid} on .* \(started 20..-"), run_lock(tmp_path):
        pass
    assert (tmp_path / LOCK).exists()


def test_the_lock_of_a_killed_process_is_taken_over_with_a_sentence(holder, tmp_path):
    holder.kill()
    holder.wait()
    assert (tmp_path / LOCK).exists()
    with run_lock(tmp_path) as recovered:
        assert f"left behind by process {holder.pid} on" in recovered
    assert not (tmp_path / LOCK).exists()


def test_without_proc_a_process_is_asked_for_by_its_number(holder, tmp_path, monkeypatch):
    """As on macOS: that it is gone is known, when it started is not."""
    real = Path.read_text

    def read_text(path, *arguments, **options):
        if str(path).startswith("/proc"):
            raise FileNotFoundError(path)
        return real(path, *arguments, **options)

    monkeypatch.setattr(Path, "read_text", read_text)
    monkeypatch.setattr("os.path.isdir", lambda path: not str(path).startswith("/proc"))
    assert module._boot_id() == socket.gethostname()
    assert "(started at an unknown time)" in module._named(module._this_process())
    assert module._start_ticks(holder.pid) == 0
    holder.kill()
    holder.wait()
    assert module._start_ticks(holder.pid) is None


@pytest.mark.parametrize("error", [None, RuntimeError, KeyboardInterrupt, SystemExit])
def test_the_lock_is_released_on_every_exit(tmp_path, error):
    try:
        with run_lock(tmp_path / "new" / "folder") as recovered:
            assert recovered == ""
            if error:
                raise error
    except BaseException as caught:  # noqa: BLE001
        assert type(caught) is error
    assert os.listdir(tmp_path / "new" / "folder") == []


def test_a_process_is_kept_from_itself(tmp_path):
    with run_lock(tmp_path), pytest.raises(ConfigError, match=f"in use by process {os.getpid()}"), run_lock(tmp_path):
        pass


@pytest.mark.parametrize(
    "changes",
    [
        {"pid": 1},  # alive, but the kernel gave us the lock: the number was used again
        {"ticks": 1},  # this process's number, used again
        {"boot": "other"},  # before a restart of this machine
        {"host": "container-1"},  # another name for this machine
    ],
)
def test_a_stale_lock_of_this_machine_is_taken_over(tmp_path, changes):
    (tmp_path / LOCK).write_text(facts(**changes))
    with run_lock(tmp_path) as recovered:
        assert "is gone; the folder is taken over" in recovered


def test_the_lock_of_another_machine_is_refused_with_what_to_do(tmp_path):
    (tmp_path / LOCK).write_text(facts(boot="other", host="node7"))
    with pytest.raises(ConfigError, match=rf"on node7 .* delete {tmp_path / LOCK}"), run_lock(tmp_path):
        pass
    assert (tmp_path / LOCK).exists()


@pytest.mark.parametrize("content", ["", '{"pid": 1', "[]", "{}"])
def test_a_half_written_lock_is_nobodys(tmp_path, content):
    (tmp_path / LOCK).write_text(content)
    with run_lock(tmp_path) as recovered:
        assert recovered == ""


def test_forked_children_do_not_keep_the_lock(tmp_path):
    script = "import os, time\nif os.fork() == 0:\n    time.sleep(60)\n"
    body = textwrap.dedent(HOLDER).replace('print("locked"', script.replace("\n", "\n    ") + 'print("locked"')
    process = subprocess.Popen([sys.executable, "-c", body, tmp_path, "wait"], stdout=subprocess.PIPE, text=True,
                               start_new_session=True)  # fmt: skip
    assert process.stdout.readline() == "locked\n"
    process.kill()
    process.wait()
    try:
        with run_lock(tmp_path) as recovered:
            assert "is gone" in recovered
    finally:
        os.killpg(process.pid, 9)


def test_a_file_in_the_place_of_the_folder_is_reported(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(WriteError, match="cannot be written to: Not a directory"), run_lock(tmp_path / "file"):
        pass


@pytest.mark.parametrize("exists", [True, False])
def test_a_link_in_the_place_of_the_lock_is_not_followed(exists, tmp_path):
    if exists:
        (tmp_path / "precious").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK).symlink_to(tmp_path / "precious")
    with (
        pytest.raises(WriteError, match=r"cannot be written to: .*symbolic links \(run\.lock\)"),
        run_lock(tmp_path / "run"),
    ):
        pass
    assert (tmp_path / "precious").exists() == exists
    assert not exists or (tmp_path / "precious").read_text() == "mine"
