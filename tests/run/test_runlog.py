import json
import logging
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from ppreid.base.errors import DataError, PpreidWarning
from ppreid.base.progress import Stopwatch
from ppreid.run.log import leave_standard_output_to, log_result, log_to_console, log_to_file, logger
from ppreid.run.metrics import MetricsFile, read_metrics


def test_every_line_is_one_json_object_with_plain_numbers(tmp_path):
    metrics = MetricsFile(tmp_path / "m.jsonl")
    nested = {"a": [np.float64(1e-9)]}
    metrics.write("epoch", loss=np.float32(0.5), count=np.int64(3), broken=float("nan"), nested=nested)
    row = json.loads((tmp_path / "m.jsonl").read_text())
    assert row.pop("seconds") >= 0
    assert row == {"event": "epoch", "loss": 0.5, "count": 3, "broken": None, "nested": {"a": [1e-9]}}


def test_a_half_written_last_line_is_left_out(tmp_path):
    metrics = MetricsFile(tmp_path / "m.jsonl")
    metrics.write("epoch", epoch=1)
    with open(metrics.path, "a") as file:
        file.write('{"event": "epo')
    assert [row["epoch"] for row in read_metrics(metrics.path)] == [1]


@pytest.mark.parametrize("line", ["{", "[1]", "{}", "[" * 100_000, '{"event": "epoch", "epoch": "two"}'])
def test_another_damaged_line_is_named(tmp_path, line):
    (tmp_path / "m.jsonl").write_text(f'{{"event": "epoch", "epoch": 1}}\n{line}\n')
    with pytest.raises(DataError, match=r"m\.jsonl, line 2, is damaged"):
        read_metrics(tmp_path / "m.jsonl")


def test_rewinding_forgets_later_epochs_and_the_summary(tmp_path):
    metrics = MetricsFile(tmp_path / "m.jsonl")
    for epoch in (0, 1, 2, 3):
        metrics.write("epoch", epoch=epoch)
    metrics.write("summary")
    metrics.rewind(2)
    metrics.write("epoch", epoch=3)
    assert [(row["event"], row.get("epoch")) for row in read_metrics(metrics.path)] == [("epoch", e) for e in range(4)]


def test_the_stopwatch_adds_up_and_survives_errors():
    watch = Stopwatch()
    for _ in range(2):
        with watch.stage("a"):
            pass
    try:
        with watch.stage("b"):
            raise KeyError
    except KeyError:
        pass
    assert set(watch.seconds) == {"a", "b"}
    assert all(value >= 0 for value in watch.seconds.values())


def test_a_log_on_a_full_disk_is_said_once_and_does_not_stop_the_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(logger, "level", logging.INFO)
    log = tmp_path / "log.txt"
    with log_to_file(log):
        logger.info("one")
        real = open

        def full(path, *arguments, **settings):
            return real("/dev/full" if path == log else path, *arguments, **settings)

        monkeypatch.setattr("builtins.open", full)
        logger.info("two")
        logger.info("three")
        monkeypatch.setattr("builtins.open", real)
        logger.info("four")
    first, gap, last = log.read_text().splitlines()
    assert (first[-4:], gap, last[-5:]) == (" one", "[2 messages could not be written here]", " four")
    error = capsys.readouterr().err
    assert error.count("log.txt cannot be written: No space left on device") == 1


def test_messages_and_warnings_reach_console_and_file(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", True)
    monkeypatch.setattr(logger, "level", logging.NOTSET)
    with warnings.catch_warnings():
        log_to_console()
        with log_to_file(tmp_path / "log.txt"):
            logger.info("hello %d", 3)
            warnings.warn("watch out", PpreidWarning, stacklevel=1)
            log_result("a table")
        logger.info("not in the file")
        leave_standard_output_to(None, Path("-"))
        log_result("another table")
    shown = capsys.readouterr()
    assert shown.out == "a table\n"
    assert shown.err == "hello 3\nwarning: watch out\nnot in the file\nanother table\n"
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert [line.split(" ", 2)[2] for line in lines] == ["hello 3", "warning: watch out", "a table"]


def test_a_command_whose_output_nobody_reads_any_more_does_its_work(tmp_path):
    code = (
        "import sys; from pathlib import Path\n"
        "from ppreid.run.log import log_result, log_to_console, logger, open_standard_streams\n"
        "open_standard_streams(); log_to_console(); sys.stdin.readline()\n"
        "for _ in range(3): logger.info('a line'); log_result('a table'); print('progress', file=sys.stderr)\n"
        "Path(sys.argv[1]).touch()"
    )
    done = tmp_path / "done"
    pipe = subprocess.PIPE
    process = subprocess.Popen([sys.executable, "-c", code, done], stdin=pipe, stdout=pipe, stderr=pipe)
    process.stdout.close()
    process.stderr.close()
    process.stdin.write(b"nobody reads any more\n")
    process.stdin.close()
    assert process.wait() == 0
    assert done.exists()
