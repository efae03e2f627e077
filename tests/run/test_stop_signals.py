import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ppreid.base.errors import Interrupted
from ppreid.run.stop import stop_signals


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_is_only_noted_outside_of_what_may_be_interrupted(number, code):
    before = signal.getsignal(number)
    with pytest.raises(Interrupted, match=f"stopped by {number.name}") as caught, stop_signals() as stop:
        assert stop.requested == 0
        stop.check()
        os.kill(os.getpid(), number)
        assert stop.requested == number
        stop.check()
    assert caught.value.exit_code == code
    assert signal.getsignal(number) == before


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
