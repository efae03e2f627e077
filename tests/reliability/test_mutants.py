"""Every wrong change of mutants.py can be made, and the tests that should notice it exist."""

import ast

import mutants
import pytest
from mutants import MUTANTS, ROOT, Mutant, changed


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: f"{mutant.file}: {mutant.wrong}".replace("/", "|"))
def test_the_change_can_be_made_and_is_python(mutant):
    assert mutant.right != mutant.wrong
    ast.parse(changed(mutant, ROOT / "ppreid"))
    assert all((ROOT / "tests" / path).exists() for path in mutant.tests.split())


def test_there_are_many_and_no_two_are_the_same():
    assert len(MUTANTS) >= 60
    assert len({mutant[:3] for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("text", ["x = 1\nx = 1\n", "y = 1\n"])
def test_a_change_that_does_not_fit_exactly_once_is_refused(text, tmp_path):
    (tmp_path / "file.py").write_text(text)
    with pytest.raises(ValueError, match="stands there"):
        changed(Mutant("file.py", "x = 1", "x = 2", "ise"), tmp_path)


def test_a_change_that_nothing_notices_survives_and_leaves_no_trace(tmp_path, monkeypatch):
    (tmp_path / "ppreid" / "wiring").mkdir(parents=True)
    file = tmp_path / "ppreid" / "wiring" / "__init__.py"
    file.write_text((ROOT / "ppreid" / "wiring" / "__init__.py").read_text("utf-8"), encoding="utf-8")
    before, seen = file.read_text("utf-8"), []
    monkeypatch.setattr(mutants, "tests_pass", lambda tests, folder: (seen.append(file.read_text("utf-8")) or True, ""))
    assert mutants.survives(
        Mutant("wiring/__init__.py", "lr_gamma=solver.lr_gamma,", "lr_gamma=0.1,", "wiring"), tmp_path
    )
    assert "lr_gamma=0.1," in seen[0]
    assert file.read_text("utf-8") == before
