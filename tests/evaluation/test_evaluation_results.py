import json

import numpy as np
import pytest

from ppreid.evaluation.ranking import evaluate_distances
from ppreid.evaluation.results import format_results, result_to_dict, results_file


@pytest.fixture
def result(random_problem):
    return evaluate_distances(*random_problem(), max_rank=10)


def test_table(result):
    header, values, invalid = format_results({"plain": result}).splitlines()
    columns = ["market1501", "mAP", "Rank-1", "Rank-5", "Rank-10", "mINP", "valid", "queries"]  # no Rank-20
    assert header.split() == columns
    assert len(header) == len(values)
    expected = [result.mean_ap, result.cmc[0], result.cmc[4], result.cmc[9], result.mean_inp]
    assert values.split() == ["plain", *[f"{100 * value:.2f}" for value in expected], str(result.num_valid_queries)]
    counts = result.num_identity_absent, result.num_same_camera_only
    assert f"{sum(counts)} of 12 queries have no valid match and are left out" in invalid
    assert f"{counts[0]} have an identity that is not in the gallery, {counts[1]} have it on their own" in invalid


def test_table_of_two_results_counts_invalid_queries_once(result):
    lines = format_results({"plain": result, "re-ranked": result._replace(mean_ap=0.5)}).splitlines()
    assert len(lines) == 4
    assert len({len(line) for line in lines[:3]}) == 1
    assert lines[2].startswith("re-ranked ")
    assert " 50.00" in lines[2]


def test_table_says_when_invalid_queries_count(random_problem):
    counted = evaluate_distances(*random_problem(), protocol="all_queries")
    assert "count as misses" in format_results({"plain": counted})


def test_table_without_invalid_queries():
    result = evaluate_distances(np.zeros((1, 1)), *np.array([[1], [1], [0], [1]]))
    assert len(format_results({"plain": result}).splitlines()) == 2


def test_dict_survives_json(result):
    plain = json.loads(json.dumps(result_to_dict(result), allow_nan=False))
    assert set(plain) == set(result._fields) - {"beside"}  # which has rows of its own
    assert plain["mean_ap"] == result.mean_ap
    assert plain["cmc"] == result.cmc.tolist()
    assert plain["average_precision"].count(None) == 12 - result.num_valid_queries


@pytest.mark.parametrize(
    ("path", "stem"),
    [
        ("output/demo/checkpoint_best.safetensors", "checkpoint_best"),
        ("model_best.pth.tar", "model_best"),
        ("weights", "weights"),
        (".hidden", ".hidden"),
        ("a b/\xe9 (1)\n.pdparams", "_1_"),
        ("n" * 300 + ".pth", "n" * 60),
    ],
)
def test_results_are_kept_by_data_set_and_weights(path, stem):
    assert results_file("market1501", path, "1a2b3c4d" + 56 * "0") == f"results_market1501_{stem}-1a2b3c4d.json"


def test_results_of_weights_with_the_same_name_have_two_files():
    names = {results_file(dataset, "best.pth", 64 * digit) for dataset in ("demo", "msmt17") for digit in "ab"}
    assert len(names) == 4
