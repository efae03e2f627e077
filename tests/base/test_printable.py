"""Text from strangers: shown completely, and never obeyed by a terminal."""

import logging

import pytest

from ppreid.base import errors
from ppreid.base.errors import PpreidError, PpreidWarning, WriteError, last_line, printable, printable_lines
from ppreid.run.log import log_to_console, log_to_file

HOSTILE = {
    "clears the screen": ("a\x1b[2Jb", r"a\x1b[2Jb"),
    "sets the title": ("\x1b]0;gone\x07", r"\x1b]0;gone\x07"),
    "the same in one byte": ("\x9b2J", r"\x9b2J"),
    "another line": ("a\nerror: b\r", r"a\nerror: b\r"),
    "line ends of Unicode": ("a\u2028b\x85", r"a\u2028b\x85"),
    "written backwards": ("a\u202egpj.exe", r"a\u202egpj.exe"),
    "no UTF-8": ("\udcff", r"\udcff"),
    "deletes": ("ab\b\b\x7f\0", r"ab\x08\x08\x7f\x00"),
}
HARMLESS = ["plain.jpg", "摄像机 1/人.jpg", "Müller & Søn", "日本語", "\\x1b", "é", ""]
ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, PpreidError)]


@pytest.mark.parametrize(("text", "shown"), HOSTILE.values(), ids=HOSTILE)
def test_what_a_terminal_would_obey_is_shown(text, shown):
    assert printable(text) == shown
    assert shown.encode("utf-8")
    assert printable_lines(f"found:\n\t{text}").startswith("found:\n\t")


@pytest.mark.parametrize("text", HARMLESS)
def test_letters_of_every_script_stay(text):
    assert printable(text) == text
    assert printable_lines(f"{text}\n\t{text}") == f"{text}\n\t{text}"


@pytest.mark.parametrize("kind", ERRORS)
def test_every_error_is_printable(kind):
    error = WriteError(28, "cannot write \x1b[2J") if kind is WriteError else kind("cannot write \x1b[2J")
    assert str(error) == r"cannot write \x1b[2J"


def test_so_are_the_console_and_the_log(tmp_path, capsys):
    logger = logging.getLogger("ppreid")
    logger.handlers.clear()
    log_to_console()
    with log_to_file(tmp_path / "log.txt"):
        logger.info("reading %s\nline", "\x1b[2J")
        logger.warning("%s", PpreidWarning("\x1b[2J"))
    out, err = capsys.readouterr()
    text = (tmp_path / "log.txt").read_text()
    assert "\x1b" not in out + err + text
    assert (out + err).count(r"\x1b[2J") == text.count(r"\x1b[2J") == 2
    assert "reading \\x1b[2J\nline\n" in (out + err) and "reading \\x1b[2J\nline\n" in text


def test_of_many_lines_the_last_one_says_what_it_is():
    assert last_line(RuntimeError("a stack\n\n  no memory \n\n")) == "  no memory"
    assert last_line(ValueError(" \n")) == "ValueError"
