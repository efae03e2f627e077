import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from ppreid.base.errors import ConfigError, DataError, EvaluationError
from ppreid.evaluation.inputs import Identities
from ppreid.evaluation.ranking import evaluate_blocks, evaluate_distances, evaluate_features
from ppreid.tables import PROTOCOLS


def valid_ranking(distances, query_pid, gallery_pids, query_camid, gallery_camids, ignore_camera=False):
    """Matches of one query in the order of the ranking, and their distances."""
    order = np.argsort(distances, kind="stable")
    same = gallery_pids[order] == query_pid
    keep = (gallery_pids[order] != -1) & (ignore_camera | ~(same & (gallery_camids[order] == query_camid)))
    return same[keep], distances[order][keep]


def ranking_oracle(problem, max_rank=10, ignore_camera=False):
    """Full sort per query, scikit-learn's average precision: (mAP, CMC, mINP, APs)."""
    distances, query_pids, gallery_pids, query_camids, gallery_camids = problem
    precisions, curves, penalties = [], [], []
    for row, pid, camid in zip(distances, query_pids, query_camids, strict=True):
        matches, sorted_distances = valid_ranking(row, pid, gallery_pids, camid, gallery_camids, ignore_camera)
        if matches.any():
            precisions.append(average_precision_score(matches, -sorted_distances))
            ranks = np.flatnonzero(matches)
            curves.append(np.arange(max_rank) >= ranks[0])
            penalties.append(ranks.size / (ranks[-1] + 1))
    return np.mean(precisions), np.mean(curves, axis=0), np.mean(penalties), precisions


def matlab_average_precision(matches):
    """Trapezoid rule, item after item."""
    total, found, old_recall, old_precision = 0.0, 0, 0.0, 1.0
    for rank, match in enumerate(matches):
        found += match
        recall, precision = found / matches.sum(), found / (rank + 1)
        total += (recall - old_recall) * (old_precision + precision) / 2
        old_recall, old_precision = recall, precision
    return total


def golden_problem(arrays, distances):
    return distances, arrays["q_ids"], arrays["g_ids"], arrays["q_cams"], arrays["g_cams"]


def known_average_precision(result):
    return result.average_precision[~np.isnan(result.average_precision)]


def test_released_ise_without_ties(golden):
    arrays, meta = golden("eval_50x300")
    problem = golden_problem(arrays, arrays["rank_u16"].astype(np.float32) / 300)
    result = evaluate_distances(*problem, max_rank=100)
    assert result.mean_ap == pytest.approx(meta["ise_mAP"], abs=1e-9)
    np.testing.assert_allclose(known_average_precision(result), arrays["ise_ap"], atol=1e-9)
    np.testing.assert_allclose(result.cmc, arrays["ise_cmc100"], atol=1e-9)
    assert (result.num_queries, result.num_valid_queries) == (50, meta["valid_queries"])
    assert (result.num_identity_absent, result.num_same_camera_only) == (3, 1)


def test_fastreid_without_ties(golden):
    arrays, meta = golden("eval_50x300")
    problem = golden_problem(arrays, arrays["rank_u16"].astype(np.float32) / 300)
    result = evaluate_distances(*problem, protocol="fastreid", max_rank=50)
    assert result.mean_ap == pytest.approx(meta["fastreid_mAP"], abs=1e-9)
    assert result.mean_inp == pytest.approx(meta["fastreid_mINP"], abs=1e-9)
    np.testing.assert_allclose(known_average_precision(result), arrays["fastreid_ap"], atol=1e-9)
    for rank, value in meta["fastreid_cmc"].items():
        assert result.cmc[int(rank) - 1] == pytest.approx(value, abs=1e-6)  # float32 there


def test_trapezoid_without_ties(golden):
    arrays, meta = golden("eval_50x300")
    problem = golden_problem(arrays, arrays["rank_u16"].astype(np.float32) / 300)
    result = evaluate_distances(*problem, protocol="market1501_trapezoid")
    assert result.mean_ap == pytest.approx(meta["trapezoid_mAP_market_matlab"], abs=1e-9)


def test_released_ise_with_ties(golden):
    # CMC, mINP and fast-reid's AP of this file depend on an unstable sort, so only the released AP is compared
    arrays, meta = golden("eval_ties_30x120")
    result = evaluate_distances(*golden_problem(arrays, arrays["dist"]))
    assert result.mean_ap == pytest.approx(meta["ise_mAP"], abs=1e-9)
    np.testing.assert_allclose(known_average_precision(result), arrays["ise_ap"], atol=1e-9)


@pytest.mark.parametrize("levels", [None, 4, 1])
@pytest.mark.parametrize("ignore_camera", [False, True])
def test_metrics_equal_full_sort(random_problem, levels, ignore_camera):
    problem = random_problem(levels=levels)
    result = evaluate_distances(*problem, ignore_camera=ignore_camera, max_rank=10)
    mean_ap, cmc, mean_inp, precisions = ranking_oracle(problem, ignore_camera=ignore_camera)
    assert result.mean_ap == pytest.approx(mean_ap, abs=1e-12)
    assert result.mean_inp == pytest.approx(mean_inp, abs=1e-12)
    np.testing.assert_allclose(result.cmc, cmc, atol=1e-12)
    assert result.num_valid_queries == len(precisions)
    assert result.num_valid_queries + result.num_identity_absent + result.num_same_camera_only == 12


@pytest.mark.parametrize("levels", [None, 4])
def test_protocols_equal_loops(random_problem, levels):
    problem = random_problem(seed=3, levels=levels)
    distances, query_pids, gallery_pids, query_camids, gallery_camids = problem
    trapezoid, by_rank = [], []
    for row, pid, camid in zip(distances, query_pids, query_camids, strict=True):
        matches, _ = valid_ranking(row, pid, gallery_pids, camid, gallery_camids)
        if matches.any():
            trapezoid.append(matlab_average_precision(matches))
            by_rank.append(np.mean([matches[: rank + 1].mean() for rank in np.flatnonzero(matches)]))
    assert evaluate_distances(*problem, protocol="market1501_trapezoid").mean_ap == pytest.approx(np.mean(trapezoid))
    assert evaluate_distances(*problem, protocol="fastreid").mean_ap == pytest.approx(np.mean(by_rank))


def test_all_queries_counts_invalid_ones_as_misses(random_problem):
    problem = random_problem(seed=1)
    skipped, counted = (evaluate_distances(*problem, protocol=name) for name in ("market1501", "all_queries"))
    share = skipped.num_valid_queries / skipped.num_queries
    assert 0 < share < 1
    assert counted.mean_ap == pytest.approx(skipped.mean_ap * share)
    assert counted.mean_inp == pytest.approx(skipped.mean_inp * share)
    np.testing.assert_allclose(counted.cmc, skipped.cmc * share)


@given(seed=st.integers(0, 1000), levels=st.sampled_from([None, 5]))
@settings(max_examples=25, deadline=None)
def test_only_the_order_of_distances_matters(random_problem, seed, levels):
    distances, *ids = random_problem(seed=seed, levels=levels)
    original = evaluate_distances(distances, *ids)
    stretched = evaluate_distances(np.exp(3 * distances.astype(np.float64)) - 7, *ids)
    assert stretched.mean_ap == original.mean_ap
    assert stretched.mean_inp == original.mean_inp
    assert (stretched.cmc == original.cmc).all()


@given(order=st.permutations(range(60)))
@settings(max_examples=25, deadline=None)
def test_default_map_does_not_depend_on_the_order_of_the_gallery(random_problem, order):
    distances, query_pids, gallery_pids, query_camids, gallery_camids = random_problem(levels=4)
    original = evaluate_distances(distances, query_pids, gallery_pids, query_camids, gallery_camids)
    permuted = evaluate_distances(
        distances[:, order], query_pids, gallery_pids[order], query_camids, gallery_camids[order]
    )
    assert permuted.mean_ap == pytest.approx(original.mean_ap, abs=1e-12)


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
def test_perfect_ranking(protocol):
    ids = np.array([3, 8]), np.array([3, 8, 3, 0, -1]), np.array([0, 0]), np.array([1, 1, 2, 0, 1])
    distances = np.array([[0.1, 0.9, 0.2, 0.8, 0.0], [0.9, 0.1, 0.8, 0.7, 0.0]], np.float32)
    result = evaluate_distances(distances, *ids, protocol=protocol, max_rank=3)
    assert (result.mean_ap, result.mean_inp, result.cmc.tolist()) == (1.0, 1.0, [1.0, 1.0, 1.0])
    assert result.protocol == protocol


def test_first_match_beyond_max_rank_is_a_miss():
    gallery_pids = np.array([2, 2, 2, 1])
    distances = np.array([[0.1, 0.2, 0.3, 0.4]])
    ids = np.array([1]), gallery_pids, np.array([0]), np.ones(4, int)
    assert evaluate_distances(distances, *ids, max_rank=3).cmc.tolist() == [0, 0, 0]
    # the curve is as long as asked for, also when the gallery is shorter
    assert evaluate_distances(distances, *ids, max_rank=6).cmc.tolist() == [0, 0, 0, 1, 1, 1]


def test_distractors_stay_and_junk_goes():
    ids = np.array([1]), np.array([-1, 0, 1]), np.array([0]), np.array([5, 5, 5])
    result = evaluate_distances(np.array([[0.0, 0.1, 0.2]]), *ids, max_rank=2)
    assert result.cmc.tolist() == [0.0, 1.0]
    assert result.mean_ap == 0.5


@pytest.mark.parametrize("protocol", sorted(PROTOCOLS))
@pytest.mark.parametrize("ignore_camera", [False, True])
def test_removed_items_change_nothing(random_problem, protocol, ignore_camera):
    """Junk (pid -1) and, unless cameras are ignored, the query's own camera: as if they were not in the gallery."""
    distances, query_pids, gallery_pids, query_camids, gallery_camids = random_problem(seed=2, levels=6)
    settings = {"protocol": protocol, "ignore_camera": ignore_camera}
    valid = 0
    for row, pid, camid in zip(distances, query_pids, query_camids, strict=True):
        same_camera = (gallery_pids == pid) & (gallery_camids == camid) & (not ignore_camera)
        keep = (gallery_pids != -1) & ~same_camera
        if not (gallery_pids[keep] == pid).any():
            continue
        valid += 1
        everything = np.ones(len(row), bool)
        whole, cleaned = (
            evaluate_distances(row[None, kept], [pid], gallery_pids[kept], [camid], gallery_camids[kept], **settings)
            for kept in (everything, keep)
        )
        assert whole.mean_ap == cleaned.mean_ap
        assert whole.mean_inp == cleaned.mean_inp
        assert (whole.cmc == cleaned.cmc).all()
    assert valid > 3


@pytest.mark.parametrize("sizes", [[12], [5, 7], [1] * 12, [0, 12]])
def test_blocks_equal_the_whole(random_problem, sizes):
    distances, *ids = random_problem(levels=5)
    expected = evaluate_distances(distances, *ids)
    blocks = np.split(distances, np.cumsum(sizes)[:-1])
    result = evaluate_blocks(iter(blocks), Identities(*ids))
    np.testing.assert_array_equal(result.average_precision, expected.average_precision)
    assert (result.cmc == expected.cmc).all()


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(5, 60), (8, 60)], r"rows 5 to 12 of the distances have shape \(8, 60\); there are 12 queries and 60"),
        ([(5, 60), (7, 59)], r"rows 5 to 11 of the distances have shape \(7, 59\)"),
        ([(5, 60)], "the distances have 5 rows; there are 12 queries"),
    ],
)
def test_blocks_that_do_not_fit(random_problem, shapes, message):
    _, *ids = random_problem()
    with pytest.raises(DataError, match=message):
        evaluate_blocks(map(np.zeros, shapes), Identities(*ids))


@pytest.mark.parametrize("block_bytes", [1, 500, 2**28])
def test_features_equal_their_distances(block_bytes):
    rng = np.random.default_rng(5)
    query, gallery = rng.standard_normal((13, 6)), rng.standard_normal((40, 6))
    ids = rng.integers(0, 5, 13), rng.integers(0, 5, 40), rng.integers(0, 3, 13), rng.integers(0, 3, 40)
    distances = np.linalg.norm(query[:, None] - gallery[None], axis=2)
    expected = evaluate_distances(distances, *ids)
    result = evaluate_features(query, gallery, *ids, block_bytes=block_bytes)
    np.testing.assert_allclose(result.average_precision, expected.average_precision, atol=1e-12)
    assert (result.cmc == expected.cmc).all()
    assert result.mean_inp == pytest.approx(expected.mean_inp)


def test_no_valid_query_names_the_reasons():
    ids = np.array([1, 1, 9]), np.array([1, 2]), np.array([0, 0, 0]), np.array([0, 1])
    message = "none of 3 queries has a valid match: 1 have an identity that is not .*, 2 have it on their own camera"
    with pytest.raises(EvaluationError, match=message):
        evaluate_distances(np.zeros((3, 2)), *ids)
    assert evaluate_distances(np.zeros((3, 2)), *ids, ignore_camera=True).num_valid_queries == 2


def test_unknown_identities_match_nobody():
    ids = np.array([-1, -1]), np.array([-1, 2]), np.array([0, 0]), np.array([1, 1])
    with pytest.raises(EvaluationError, match="2 have an identity that is not in the gallery"):
        evaluate_distances(np.zeros((2, 2)), *ids)


def test_nan_distances_name_the_rows(random_problem):
    distances, *ids = random_problem()
    distances[[2, 7], 5] = np.nan
    with pytest.raises(DataError, match=r"distances are NaN in 2 rows \(2, 7\)"):
        evaluate_distances(distances, *ids)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_features_that_are_not_finite_name_the_rows(value):
    query, gallery = np.ones((3, 4)), np.ones((9, 4))
    gallery[1:8, 2] = value
    ids = np.ones(3), np.ones(9), np.zeros(3), np.ones(9)
    with pytest.raises(DataError, match=r"gallery features are not finite in 7 rows \(1, 2, 3, 4, 5, \.\.\.\)"):
        evaluate_features(query, gallery, *ids)


@pytest.mark.parametrize("which", range(4))
def test_length_of_identities(random_problem, which):
    distances, *ids = random_problem()
    name = ("query_pids", "gallery_pids", "query_camids", "gallery_camids")[which]
    length = len(ids[which])
    ids[which] = ids[which][:-1]
    with pytest.raises(DataError, match=rf"{name} has shape \({length - 1},\); expected \({length},\)"):
        evaluate_distances(distances, *ids)


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (4,)])
def test_shape_of_distances(shape):
    with pytest.raises(DataError, match="distances have shape"):
        evaluate_distances(np.zeros(shape), *[np.zeros(0, int)] * 4)


@pytest.mark.parametrize("shape", [(0, 4), (4,)])
def test_shape_of_features(shape):
    with pytest.raises(DataError, match="query features have shape"):
        evaluate_features(np.zeros(shape), np.zeros((2, 4)), *[np.zeros(0, int)] * 4)


def test_dimensions_of_features_differ():
    with pytest.raises(DataError, match="query features have 4 dimensions, gallery features 5"):
        evaluate_features(np.zeros((2, 4)), np.zeros((2, 5)), *[np.zeros(2, int)] * 4)


def test_bad_settings(random_problem):
    problem = random_problem()
    with pytest.raises(ConfigError, match="did you mean 'market1501'"):
        evaluate_distances(*problem, protocol="market")
    with pytest.raises(ConfigError, match="max_rank is 0"):
        evaluate_distances(*problem, max_rank=0)


def test_inputs_are_not_changed(random_problem):
    problem = random_problem()
    before = [array.copy() for array in problem]
    evaluate_distances(*problem)
    assert all((array == copy).all() for array, copy in zip(problem, before, strict=True))
