import math
import re

import pytest

from ppreid.report.ablation_table import (
    FinishedRun,
    ablation_table,
    compared_with,
    gain,
    paper_numbers,
    run_table,
    spread,
    table_cells,
)
from ppreid.tables import OBJECTIVES


def run(row, seed, last, best=None):
    evaluation = {"epoch": 4, "mAP": last, "Rank-1": last + 20}
    return FinishedRun(row, seed, f"out/{row}_seed{seed}", evaluation, {**evaluation, "mAP": best or last})


RUNS = [run("baseline", 1, 40.0), run("ise", 1, 43.0, best=44.0), run("baseline", 2, 46.0), run("ise", 2, 45.0)]


def test_the_spread_is_the_sample_standard_deviation():
    values = [46.0, 43.0, 52.0]
    mean = sum(values) / 3
    by_hand = math.sqrt(sum((value - mean) ** 2 for value in values) / 2)
    assert spread(values) == (pytest.approx(mean), pytest.approx(by_hand), 3)
    assert str(spread(values)) == "47.0 ± 4.6 (3)"


def test_one_value_has_no_spread_and_none_has_no_mean():
    assert str(spread([46.1])) == "46.1 (1)"
    assert math.isnan(spread([46.1]).std)
    assert str(spread([])) == "-"


def test_the_gain_compares_runs_of_the_same_seed():
    found = gain([*RUNS, run("ise", 3, 99.0)], "ise", "baseline")  # seed 3 has no baseline yet
    assert found == (pytest.approx((3.0 - 1.0) / 2), pytest.approx(4 / math.sqrt(2)), 2)


def test_the_table_has_a_line_per_row_also_where_no_run_is_finished():
    lines = ablation_table(table_cells(RUNS, list(OBJECTIVES), "demo")).splitlines()
    assert len(lines) == 2 + 4
    assert lines[2] == "| Baseline | 43.0 ± 4.2 (2) | 63.0 ± 4.2 (2) | 43.0 ± 4.2 (2) |  |"
    assert lines[3] == "| ISE (+PIL) | - | - | - | - |"
    assert lines[5] == "| ISE (+PIL+LP) | 44.0 ± 1.4 (2) | 64.0 ± 1.4 (2) | 44.5 ± 0.7 (2) | 1.0 ± 2.8 (2) |"


def test_the_papers_numbers_stand_beside_the_data_sets_that_it_used_and_no_other():
    assert "paper" not in ablation_table(table_cells(RUNS, list(OBJECTIVES), "demo"))
    text = ablation_table(table_cells(RUNS, list(OBJECTIVES), "msmt17"))
    assert "the paper, msmt17" in text and "| 30.1 (58.6) |" in text and "82.5" not in text


def test_the_papers_numbers_are_those_of_the_configuration_headers(checkout):
    for dataset in ("market1501", "msmt17"):
        for row, numbers in paper_numbers(dataset).items():
            header = (checkout / "configs" / f"{row}_{dataset}.yaml").read_text(encoding="utf-8")
            found = re.search(r"the paper reports ([\d.]+) mAP, ([\d.]+) Rank-1", header).groups()
            assert tuple(map(float, found)) == numbers


def test_every_run_has_a_line():
    header, lines = run_table(RUNS)
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    assert [(row["row"], row["seed"]) for row in rows] == [(run.row, run.seed) for run in RUNS]
    assert rows[1]["best mAP"] == 44.0 and rows[1]["last mAP"] == 43.0 and rows[1]["folder"] == "out/ise_seed1"


def test_the_others_are_compared_with_the_baseline_and_without_it_with_the_first():
    assert compared_with(["ise", "baseline"]) == "baseline"
    assert compared_with(["ise", "ise_lp"]) == "ise"
