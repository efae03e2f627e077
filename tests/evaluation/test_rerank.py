import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppreid.base.errors import ConfigError, DataError
from ppreid.evaluation import rerank as module
from ppreid.evaluation.ranking import evaluate_distances
from ppreid.evaluation.rerank import evaluate_reranked, rerank, rerank_blocks
from ppreid.neighbours import tiles


def rerank_oracle(query, gallery, k1, k2, lambda_value):
    """The paper in sets and loops, float64."""
    features = np.concatenate([query, gallery]).astype(np.float64)
    distances = ((features[:, None] - features[None]) ** 2).sum(axis=2)
    distances /= distances.max(axis=1, keepdims=True)
    ranking = np.argsort(distances, axis=1, kind="stable").tolist()
    images = range(len(features))

    def reciprocal(image, k):
        return {other for other in ranking[image][: k + 1] if image in ranking[other][: k + 1]}

    weights = np.zeros_like(distances)
    for image in images:
        neighbours = reciprocal(image, k1)
        expanded = set(neighbours)
        for candidate in neighbours:
            theirs = reciprocal(candidate, round(k1 / 2))
            if len(theirs & neighbours) > 2 / 3 * len(theirs):
                expanded |= theirs
        for other in expanded:
            weights[image, other] = np.exp(-distances[image, other])
        weights[image] /= weights[image].sum()
    if k2 > 1:
        weights = np.array([weights[ranking[image][:k2]].mean(axis=0) for image in images])
    num_queries = len(query)
    jaccard = np.empty((num_queries, len(gallery)))
    for row, column in np.ndindex(jaccard.shape):
        shared = np.minimum(weights[row], weights[num_queries + column]).sum()
        jaccard[row, column] = 1 - shared / (2 - shared)
    return (1 - lambda_value) * jaccard + lambda_value * distances[:num_queries, num_queries:]


def random_features(seed, queries, gallery):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((queries, 5)).astype(np.float32), rng.standard_normal((gallery, 5)).astype(np.float32)


@pytest.mark.parametrize(
    ("squared_input", "key", "metrics"),
    [(True, "rerank_official_sq", "rerank_official_sq"), (False, "rerank_fastreid_euclid", "rerank_euclid")],
)
def test_released_code(golden, squared_input, key, metrics):
    arrays, meta = golden("eval_rerank_40x160")
    distances = rerank(arrays["q"], arrays["g"], squared_input=squared_input)
    assert distances.dtype == np.float32
    np.testing.assert_allclose(distances, arrays[key], atol=2e-6)
    result = evaluate_distances(distances, arrays["q_ids"], arrays["g_ids"], arrays["q_cams"], arrays["g_cams"])
    assert result.mean_ap == pytest.approx(meta[metrics]["ise_mAP"], abs=1e-9)
    assert result.mean_inp == pytest.approx(meta[metrics]["fastreid_mINP"], abs=1e-9)


@pytest.mark.parametrize(
    ("k1", "k2", "lambda_value"), [(6, 3, 0.3), (5, 1, 0.0), (7, 9, 0.9), (1, 1, 0.5), (50, 60, 0.3)]
)
def test_rerank_equals_sets_and_loops(k1, k2, lambda_value):
    query, gallery = random_features(k1, 6, 20)
    result = rerank(query, gallery, k1=k1, k2=k2, lambda_value=lambda_value)
    np.testing.assert_allclose(result, rerank_oracle(query, gallery, k1, k2, lambda_value), atol=2e-6)


@pytest.mark.parametrize("block_bytes", [1, 700, 2**27])
def test_blocks_are_the_rows_of_the_whole_up_to_rounding(block_bytes):
    query, gallery = random_features(1, 13, 40)
    blocks = list(rerank_blocks(query, gallery, k1=6, k2=3, block_bytes=block_bytes))
    assert {len(block) for block in blocks[:-1]} <= {max(1, block_bytes // (4 * 40))}
    whole = rerank(query, gallery, k1=6, k2=3)
    np.testing.assert_allclose(np.concatenate(blocks), whole, rtol=0, atol=module.BLOCK_ROUNDING)


def test_tiles_of_the_search_do_not_matter(monkeypatch):
    query, gallery = random_features(2, 13, 40)
    whole = rerank(query, gallery, k1=6, k2=3)
    for owner in (tiles, module):
        monkeypatch.setattr(owner, "ROWS_PER_TILE", 7)
    np.testing.assert_allclose(rerank(query, gallery, k1=6, k2=3), whole, atol=1e-6)


def test_paddle_gives_the_same_products(monkeypatch):
    query, gallery = random_features(6, 13, 40)
    on_cpu = rerank(query, gallery, k1=6, k2=3)
    monkeypatch.setattr(module, "choose_matmul", lambda backend: tiles.choose_matmul("paddle"))
    np.testing.assert_allclose(rerank(query, gallery, k1=6, k2=3), on_cpu, atol=1e-6)


@given(order=st.permutations(range(25)), scale=st.sampled_from([0.01, 1.0, 30.0]))
@settings(max_examples=15, deadline=None)
def test_neither_the_order_of_the_gallery_nor_the_length_of_features_matters(order, scale):
    query, gallery = random_features(3, 5, 25)
    expected = rerank(query, gallery, k1=6, k2=3)[:, order]
    np.testing.assert_allclose(rerank(scale * query, scale * gallery[order], k1=6, k2=3), expected, atol=2e-6)


@pytest.mark.parametrize("protocol", ["market1501", "all_queries"])
def test_metrics_of_blocks_equal_those_of_the_whole(protocol):
    query, gallery = random_features(4, 12, 50)
    rng = np.random.default_rng(4)
    ids = rng.integers(0, 9, 12), rng.integers(0, 7, 50), rng.integers(0, 2, 12), rng.integers(0, 2, 50)
    expected = evaluate_distances(rerank(query, gallery, k1=5, k2=2), *ids, protocol=protocol, max_rank=7)
    result = evaluate_reranked(query, gallery, *ids, k1=5, k2=2, protocol=protocol, max_rank=7)
    np.testing.assert_array_equal(result.average_precision, expected.average_precision)
    np.testing.assert_array_equal(result.cmc, expected.cmc)
    assert result[:1] + result[2:8] == expected[:1] + expected[2:8]


def test_no_matrix_of_all_distances_exists(monkeypatch):
    for owner in (tiles, module):
        monkeypatch.setattr(owner, "ROWS_PER_TILE", 200)
    query, gallery = random_features(5, 1000, 1000)
    rerank(query[:300], gallery[:300])  # compiling takes memory as well
    blocks = rerank_blocks(query, gallery, block_bytes=2**18)
    tracemalloc.start()
    rows = sum(len(block) for block in blocks)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert rows == 1000
    assert peak < 4 * 1000 * 1000  # that of the (Q, G) distances; those of all images would be four times as large


def test_reranking_helps_where_neighbours_tell_identities_apart():
    rng = np.random.default_rng(0)
    pids = np.repeat(np.arange(20), 10)
    features = rng.standard_normal((20, 16))[pids] + 1.1 * rng.standard_normal((200, 16))
    ids = pids[::5], pids, np.zeros(40, int), np.ones(200, int)
    distances = np.linalg.norm(features[::5, None] - features, axis=2)
    plain = evaluate_distances(distances, *ids).mean_ap
    assert evaluate_reranked(features[::5], features, *ids, k1=10).mean_ap > plain + 0.03


def test_lambda_one_is_the_original_order():
    rng = np.random.default_rng(0)
    query, gallery = rng.standard_normal((4, 3)), rng.standard_normal((15, 3))
    original = np.linalg.norm(query[:, None] - gallery[None], axis=2)
    assert (rerank(query, gallery, k1=5, lambda_value=1.0).argsort(axis=1) == original.argsort(axis=1)).all()


def test_neighbours_of_a_cluster_overtake_a_closer_stranger():
    # the stranger at 1.2 is nearer to the query at 0 than cluster members at 1.3 and 1.35, but has other neighbours
    cluster, strangers = [[0.5, 0], [1.0, 0], [1.3, 0], [1.35, 0]], [[0, 1.2], [0, 2.2], [0, 2.3], [0, 2.4]]
    distances = rerank(np.array([[0.0, 0.0]]), np.array(cluster + strangers), k1=4, k2=1, lambda_value=0.0)[0]
    assert distances[:4].max() < distances[4]


@pytest.mark.parametrize("gallery", [1, 5])
def test_identical_images_stay_finite(gallery):
    distances = rerank(np.ones((2, 3)), np.ones((gallery, 3)), k1=3, k2=2)
    assert np.isfinite(distances).all()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"k1": 0}, r"eval\.rerank_k1 is 0"),
        ({"k2": 0}, r"eval\.rerank_k2 is 0"),
        ({"lambda_value": 1.5}, r"eval\.rerank_lambda is 1\.5"),
    ],
)
def test_bad_settings_are_refused_before_anything_is_computed(wrong, message):
    with pytest.raises(ConfigError, match=message):
        rerank_blocks(np.ones((2, 3)), np.ones((5, 3)), **wrong)


def test_features_must_be_finite():
    with pytest.raises(DataError, match=r"query features are not finite in 1 rows \(1\)"):
        rerank_blocks(np.array([[1.0], [np.nan]]), np.ones((5, 1)))


def test_identities_must_fit():
    with pytest.raises(DataError, match=r"gallery_pids has shape \(4,\); expected \(5,\)"):
        evaluate_reranked(np.ones((2, 3)), np.ones((5, 3)), [1, 1], [1] * 4, [0, 0], [1] * 5)
