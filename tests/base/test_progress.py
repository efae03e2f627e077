import json
import re
import sys
import time

import pytest

from ppreid.base.progress import AS_JSON, AUTO, NOT_SHOWN, peak_memory, progress, show_progress


def test_items_pass_through_and_plain_lines_appear_without_a_terminal(capsys):
    items = list(progress("abc", total=3, description="epoch 1 train", seconds_between_lines=0))
    assert items == ["a", "b", "c"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("epoch 1 train: 1/3 batch, ")
    assert re.fullmatch(r"epoch 1 train: 3/3 batch, [\d.]+ batch/s, 0 s left, peak \d+\.\d GB", lines[2])


def test_a_short_loop_is_silent(capsys):
    assert list(progress(range(3), total=3, description="x")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress(range(3), total=3, description="epoch 1")) == [0, 1, 2]
    assert "epoch 1" in capsys.readouterr().err


def test_peak_memory_grows_with_what_is_held():
    before = peak_memory()
    block = bytearray(before + 50_000_000)
    block[::4096] = b"x" * len(block[::4096])
    assert peak_memory() > before + 40_000_000


@pytest.fixture
def shown():
    """Shows progress in another way until the end of the test."""
    yield show_progress
    show_progress(AUTO)


def test_objects_for_programs(capsys, shown, monkeypatch):
    shown(AS_JSON)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)  # no bar even so
    assert list(progress("abc", total=3, description="epoch 1 train")) == ["a", "b", "c"]
    (last,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert {key: last[key] for key in ("event", "what", "done", "total", "unit", "seconds_left")} == {
        "event": "progress",
        "what": "epoch 1 train",
        "done": 3,
        "total": 3,
        "unit": "batch",
        "seconds_left": 0,
    }
    assert last["per_second"] > 0 and last["peak_memory"] > 0


def test_objects_come_with_the_items_and_once_each(capsys, shown, monkeypatch):
    shown(AS_JSON)
    seconds = iter([0.0, 0.4, 1.2, 1.3, 2.5])
    monkeypatch.setattr(time, "monotonic", lambda: next(seconds))
    assert list(progress(range(4), total=None, description="streams", unit="frame")) == [0, 1, 2, 3]
    found = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(row["done"], row["per_second"]) for row in found] == [(2, 1.667), (4, 1.6)]
    assert all(row["total"] is None and row["seconds_left"] is None for row in found)


def test_an_empty_loop_has_no_object(capsys, shown):
    shown(AS_JSON)
    assert list(progress([], total=0, description="nothing")) == []
    assert capsys.readouterr().err == ""


def test_nothing_is_shown_where_nothing_shall_be(capsys, shown):
    shown(NOT_SHOWN)
    assert list(progress("abc", total=3, description="x", seconds_between_lines=0)) == ["a", "b", "c"]
    assert capsys.readouterr().err == ""
