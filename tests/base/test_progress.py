import re
import sys

from ppreid.base.progress import peak_memory, progress


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
