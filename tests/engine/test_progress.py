import sys

from ppreid.engine.progress import progress


def test_items_pass_through_and_plain_lines_appear_without_a_terminal(capsys):
    items = list(progress("abc", total=3, description="epoch 1 train", seconds_between_lines=0))
    assert items == ["a", "b", "c"]
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 3
    assert lines[0].startswith("epoch 1 train: 1/3 batch, ")
    assert lines[2].endswith(", 0 s left")


def test_a_short_loop_is_silent(capsys):
    assert list(progress(range(3), total=3, description="x")) == [0, 1, 2]
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert list(progress(range(3), total=3, description="epoch 1")) == [0, 1, 2]
    assert "epoch 1" in capsys.readouterr().err
