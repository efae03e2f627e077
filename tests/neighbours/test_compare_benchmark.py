import subprocess
import sys

import pytest


@pytest.mark.slow
def test_programs_take_turns_and_are_compared_with_the_first(checkout):
    command = [sys.executable, checkout / "benchmarks" / "compare.py", "--tasks", "neighbours", "labels"]
    command += ["--images", "300", "--clustered", "300", "--dim", "16", "--rounds", "1", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    rows = [line.split(" | ") for line in done.stdout.splitlines() if line.startswith("| ")]
    labels = next(number for number, row in enumerate(rows) if row[0] == "| labels")
    assert [row[0] for row in rows[labels + 1 :]] == ["| ppreid", "| scikit-learn dense"]
    rows = rows[:labels]
    assert rows[0][0] == "| neighbours" and rows[0][-1] == "ratio |"
    cells = {row[0]: row for row in rows[1:]}
    assert cells["| ppreid certified"][-1] == "1.00 |"
    for program in ("| ppreid exact", "| faiss exact", "| scikit-learn"):
        assert float(cells[program][4]) > 0.999, "all of them are exact"
    order = [line.partition(": ")[2] for line in done.stderr.splitlines() if line.startswith("neighbours, round 1: ")]
    assert order == [name.removeprefix("| ") for name in cells]
