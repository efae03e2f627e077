import subprocess
import sys

import pytest


@pytest.mark.slow
def test_the_benchmark_prints_a_row_for_every_task(checkout, tmp_path):
    command = [sys.executable, checkout / "benchmarks" / "evaluation.py", "--sizes", "30x90", "--dim", "8"]
    arguments = [*map(str, command), "--plain-queries", "20", "--folder", str(tmp_path)]
    environment = {"PYTHONPATH": str(checkout), "PATH": "", "OMP_NUM_THREADS": "1"}
    found = subprocess.run(arguments, check=True, capture_output=True, text=True, env=environment)
    header, *rows = found.stdout.splitlines()
    assert header.split()[2:] == ["size", "task", "seconds", "peak", "GB", "all", "at", "once", "GB", "mAP"]
    assert [row.split()[:2] for row in rows[:3]] == [["30x90", "plain"], ["30x90", "ranking"], ["30x90", "rerank"]]
    assert "(n): measured on n queries" in rows[-1]
    assert not list(tmp_path.iterdir())
