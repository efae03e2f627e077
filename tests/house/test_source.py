"""What measure.py reads from source is what the source says."""

import source

CODE = '''"""Docstring of a file."""

# why
import os  # noqa: F401


class Both:
    """Fields that are declared, and those of __init__."""

    epoch: int

    def __init__(self, a: int, *, b: int = 0) -> None:
        """Docstring."""
        self.shown, (self._a, self._b) = a, (a, b)  # (N,) rows

        # why it is so
        self.shown += 1
'''


def test_lines_of_code_are_neither_blank_nor_comments_nor_docstrings():
    assert source.lines_of_code(CODE) == {4, 7, 10, 12, 14, 17}
    assert dict(source.functions(CODE)) == {"__init__": 3}


def test_a_text_of_several_lines_is_code_in_each():
    assert source.lines_of_code('x = """a\n\nb"""\n') == {1, 2, 3}


def test_parameters_and_fields_are_counted():
    assert source.parameters(CODE) == {"__init__": 2}
    assert source.parameters("def f(a, /, b, *c, d, **e): ...") == {"f": 5}
    assert source.fields(CODE) == {"Both": ["epoch", "shown", "_a", "_b"]}
    assert source.holds_progress(CODE) == ["Both"]


def test_only_comments_that_say_why_count(tmp_path):
    file = tmp_path / "code.py"
    file.write_text(CODE, encoding="utf-8")
    assert source.comments_per_100([file]) == 100 * 2 / 6


def test_words_that_keep_a_run_alive_are_set_against_those_of_the_method():
    assert source.keeping_share("checkpoint_set = TrainingState(model)") == 100 / 3  # checkpoint; training, model
    assert source.keeping_share("features = model(images)  # checkpoint") == 0


def test_names_that_only_tests_need_are_found_in_code_only(tmp_path):
    file = tmp_path / "code.py"
    file.write_text('"""failpoint"""\nfailpoint("save")  # failpoint\n', encoding="utf-8")
    assert source.scaffolding([file]) == {"failpoint": 1}
