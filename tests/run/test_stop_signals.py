import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from ppreid.base.errors import Interrupted
from ppreid.run.stop import stop_signals


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (signal.SIGINT, 130),
        (signal.SIGTERM, 143),
        (signal.SIGHUP, 129),
        (signal.SIGUSR1, 138),
        (signal.SIGXCPU, 152),
    ],
)
def test_a_signal_is_only_noted_outside_of_what_may_be_interrupted(number, code, request):
    # under nohup SIGHUP is ignored, and stays so
    request.addfinalizer(partial(signal.signal, number, signal.signal(number, signal.SIG_DFL)))
    with pytest.raises(Interrupted, match=f"stopped by {number.name}") as caught, stop_signals() as stop:
        assert stop.requested == 0
        stop.check()
        os.kill(os.getpid(), number)
        assert stop.requested == number
        stop.check()
    assert caught.value.exit_code == code
    assert signal.getsignal(number) == signal.SIG_DFL


def test_what_may_be_interrupted_ends_at_once():
    done = []
    with pytest.raises(Interrupted), stop_signals() as stop, stop.interruptible():
        done.append("before")
        os.kill(os.getpid(), signal.SIGTERM)
        done.append("after")
    assert done == ["before"]


def test_what_may_be_interrupted_does_not_start_after_a_signal():
    with stop_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(Interrupted), stop.interruptible():
            pytest.fail("started")


@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_process_at_once(second):
    script = (
        "import time; from ppreid.run.stop import stop_signals\n"
        "with stop_signals() as stop:\n"
        "    print('ready', flush=True)\n"
        "    while True: time.sleep(0.01)"
    )
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", script], stdout=pipe, stderr=pipe, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGTERM)
    assert process.stderr.readline() == "\n"
    assert "SIGTERM: saving and stopping; a second signal ends at once" in process.stderr.readline()
    start = time.monotonic()
    process.send_signal(second)
    assert process.wait(10) == -second
    assert time.monotonic() - start < 5  # of a machine under load; it takes milliseconds
    process.stdout.close()
    process.stderr.close()


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_the_process_within_a_compiled_function(number):
    script = (
        "from ppreid.run.stop import stop_signals\n"
        "with stop_signals() as stop:\n"
        "    print('ready', flush=True)\n"
        "    sum(range(10**13))"  # hours without a look at signals
    )
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"

    def is_handled():
        lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
        caught = next(int(line.split()[1], 16) for line in lines if line.startswith("SigCgt"))
        return bool(caught >> (number - 1) & 1)

    assert is_handled()
    process.send_signal(number)
    while is_handled():  # the first signal takes the handler away
        time.sleep(0.01)
    process.send_signal(number)
    assert process.wait(60) == -number
    process.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGXCPU])
def test_signals_that_repeat_themselves_do_not_end_a_run_that_saves(number):
    with pytest.raises(Interrupted), stop_signals() as stop:
        for _ in range(3):
            os.kill(os.getpid(), number)
        assert stop.requested == number
        stop.check()


@pytest.mark.parametrize("numbers", [(signal.SIGINT, signal.SIGTERM), (signal.SIGHUP, signal.SIGTERM)])
def test_two_signals_in_the_same_moment_are_one(numbers):
    """Both wait while they are blocked, and come at once then."""
    script = (
        "import os, signal, sys; from ppreid.base.errors import Interrupted; from ppreid.run.stop import stop_signals\n"
        f"numbers = {tuple(map(int, numbers))}\n"
        "try:\n"
        "    with stop_signals() as stop, stop.interruptible():\n"
        "        signal.pthread_sigmask(signal.SIG_BLOCK, numbers)\n"
        "        for number in numbers: os.kill(os.getpid(), number)\n"
        "        signal.pthread_sigmask(signal.SIG_UNBLOCK, numbers)\n"
        "except Interrupted as stopped: sys.exit(stopped.exit_code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode - 128 in numbers and "Traceback" not in done.stderr


def test_a_run_under_nohup_does_not_hear_that_its_terminal_closes():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_signals() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert stop.requested == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_signal_whose_terminal_is_gone_still_saves():
    script = (
        "import os, signal, sys; from ppreid.run.stop import stop_signals\n"
        "os.close(2)\n"
        "with stop_signals() as stop:\n"
        "    os.kill(os.getpid(), signal.SIGHUP)\n"
        "    sys.exit(stop.requested)"
    )
    assert subprocess.run([sys.executable, "-c", script], timeout=60).returncode == signal.SIGHUP
