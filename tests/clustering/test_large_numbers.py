"""Numbers beyond 32 bits: products of labels and sizes, positions behind 2**31 entries, ids of any size.

The large arrays are files with holes: 8.6 GB to look at, a few pages to hold.
"""

import numpy as np
import pytest
from scipy import sparse

from ppreid.base.errors import DataError
from ppreid.base.records import DatasetContents, ImageRecord, ReIDSplit
from ppreid.clustering import alternative_labels, jaccard
from ppreid.clustering.alternative_labels import agglomerative_labels
from ppreid.clustering.labels import in_order
from ppreid.clustering.quality import label_health, pseudo_label_quality
from ppreid.datasets.sampler import identity_batches
from ppreid.doctor.identities import check_cameras
from ppreid.evaluation.ranking import evaluate_distances
from ppreid.neighbours import reciprocal
from ppreid.neighbours.checks import check_row_ids
from ppreid.neighbours.compiled import SparseRows, part_bounds
from ppreid.neighbours.search import camera_neighbours
from ppreid.neighbours.similarity_kernels import pair_similarities

FAR = 2**31 + 11  # where rows begin in the large arrays
LARGE = 10**18 - 7  # identity or camera, the largest that a file name may carry


def test_agglomerative_labels_stay_apart_when_clusters_times_images_leave_int32(monkeypatch):
    rng = np.random.default_rng(0)
    places = np.sort(rng.uniform(0, 100, 300)).astype(np.float32)
    dense = np.abs(places[:, None] - places[None])
    rows, columns = np.nonzero(dense < 0.9)
    graph = sparse.csr_matrix((dense[rows, columns], (rows, columns)), shape=dense.shape)
    expected = agglomerative_labels(graph, eps=0.2, min_samples=2)
    assert len(set(expected.tolist())) > 20
    plain = alternative_labels.fcluster

    def many_clusters(*arguments, **options):
        """Numbers as high as those of large parts; with N = 300 images their product leaves int32 as there."""
        clusters = plain(*arguments, **options)
        assert clusters.dtype == np.int32
        return clusters * np.int32(10_000_000)

    monkeypatch.setattr(alternative_labels, "fcluster", many_clusters)
    np.testing.assert_array_equal(agglomerative_labels(graph, eps=0.2, min_samples=2), expected)


# Positions


def far(tmp_path, name, dtype, content=()):
    """A large array with a content at FAR."""
    array = np.asarray(np.memmap(tmp_path / name, dtype, mode="w+", shape=(FAR + 1000,)))
    array[FAR : FAR + len(content)] = content
    return array


@pytest.fixture
def encoded():
    """Features (N, D), a ranking (N, k) and an encoding of it."""
    rng = np.random.default_rng(1)
    features = rng.standard_normal((12, 8)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    ranking = np.argsort(-features @ features.T, axis=1)[:, :6].astype(np.int32)
    ranking[:, 0], ranking[:, 1:] = np.arange(12), [[j for j in row if j != i][:5] for i, row in enumerate(ranking)]
    neighbours = reciprocal.reciprocal_neighbours(ranking, 6)
    half = reciprocal.reciprocal_neighbours(ranking, 4)
    return features, ranking, neighbours, half, reciprocal.neighbour_weights(features, neighbours)


def far_rows(tmp_path, rows, name):
    """The same rows behind 2**31 entries that belong to nobody."""
    indices = far(tmp_path, f"{name}.columns", np.int32, rows.indices)
    return rows.indptr + FAR, indices, far(tmp_path, f"{name}.values", np.float32, rows.values)


def filled(kernel, arguments, expected, tmp_path):
    """What a kernel writes from FAR on; where its rows begin was counted before."""
    indices, values = far(tmp_path, "out.columns", np.int32), far(tmp_path, "out.values", np.float32)
    kernel(*arguments, expected.indptr + FAR, indices, values, True)
    stop = FAR + len(expected.indices)
    return indices[FAR:stop], values[FAR:stop]


def test_similarities_are_written_behind_2_to_the_31_entries(encoded, tmp_path):
    features, _, neighbours, _, _ = encoded
    indptr, columns, values = far_rows(tmp_path, neighbours, "in")
    pair_similarities(features, indptr, columns, values)
    expected = np.empty(len(neighbours.indices), np.float32)
    pair_similarities(features, neighbours.indptr, neighbours.indices, expected)
    np.testing.assert_array_equal(values[FAR : FAR + len(expected)], expected)


def test_neighbour_sets_are_read_and_written_behind_2_to_the_31_entries(encoded, tmp_path):
    _, ranking, neighbours, half, _ = encoded
    columns, _ = filled(reciprocal._mutual_columns, (ranking,), neighbours, tmp_path)
    np.testing.assert_array_equal(columns, neighbours.indices)
    expected = reciprocal.expand_neighbours(neighbours, half)
    sets = far_rows(tmp_path, neighbours, "sets")[:2] + far_rows(tmp_path, half, "half")[:2]
    columns, _ = filled(reciprocal._expanded_columns, (*sets, part_bounds(12)), expected, tmp_path)
    np.testing.assert_array_equal(columns, expected.indices)


def test_means_and_distances_are_read_and_written_behind_2_to_the_31_entries(encoded, tmp_path):
    _, ranking, _, _, encoding = encoded
    mean = reciprocal.average_rows(encoding, ranking[:, :2])
    rows = far_rows(tmp_path, encoding, "encoding")
    arguments = (*rows, np.ascontiguousarray(ranking[:, :2]), part_bounds(12))
    columns, values = filled(reciprocal._mean_rows, arguments, mean, tmp_path)
    np.testing.assert_array_equal(columns, mean.indices)
    np.testing.assert_array_equal(values, mean.values)

    by_column = jaccard._transpose(*mean)
    parts, limit = part_bounds(12), np.float32(1)
    expected = jaccard.fill_rows(jaccard._near_rows, 12, *mean, *by_column, parts, limit, with_values=True)
    by_column = SparseRows(*by_column)
    arguments = (*far_rows(tmp_path, mean, "mean"), *far_rows(tmp_path, by_column, "columns"), parts, limit)
    columns, values = filled(jaccard._near_rows, arguments, expected, tmp_path)
    np.testing.assert_array_equal(columns, expected.indices)
    np.testing.assert_array_equal(values, expected.values)


# Identities and cameras: values, never positions


def test_a_camera_of_18_digits_costs_no_memory():
    labels, camids = np.array([0, 0, 1, 1]), np.array([LARGE, 1, LARGE, LARGE])
    small = label_health(labels, None, np.array([0, 1, 0, 0]))
    assert label_health(labels, None, camids) == pytest.approx(small, nan_ok=True)
    assert list(identity_batches(labels, camids, identities=2, images=2, rng=np.random.default_rng(0)))
    features = np.eye(4, dtype=np.float32)
    intra, inter = camera_neighbours(features, camids, k_intra=3, k_inter=2)
    assert sorted(intra[0].tolist()) == [0, 2, 3] and set(inter[0].tolist()) == {1, -1}


def test_identities_of_18_digits_are_counted_and_ranked():
    labels, pids = np.array([0, 0, 1, 1]), np.array([LARGE, LARGE, 1, 1])
    assert pseudo_label_quality(labels, pids).ari == 1
    assert in_order(labels * LARGE).tolist() == [0, 0, 1, 1]
    distances = np.array([[0.1, 0.2]], np.float32)
    result = evaluate_distances(
        distances, np.array([LARGE]), np.array([LARGE - 1, LARGE]), np.array([LARGE]), np.array([0, 0])
    )
    assert result.mean_ap == 0.5
    split = ReIDSplit((ImageRecord("a", LARGE, LARGE), ImageRecord("b", LARGE, 1)), (), ())
    assert str(LARGE + 1) in check_cameras(split)[0].text


def test_the_cameras_of_an_index_are_those_that_occur(monkeypatch):
    from ppreid.config.data import DataConfig
    from ppreid.verbs import inputs

    gallery = tuple(ImageRecord(f"{camid}.jpg", 1, camid) for camid in (LARGE, 2, -1, 2))
    monkeypatch.setattr(inputs, "read_split", lambda cfg, skipped_list: ReIDSplit((), (), gallery))
    contents = inputs.read_index_images(DataConfig(name="market1501"), None, skipped_list=None)
    assert isinstance(contents, DatasetContents)
    assert contents.camera_names == ("3", str(LARGE + 1))
    assert [record.camid for record in contents.split.train] == [1, 0, -1, 0]


def test_numbers_that_int64_cannot_hold_are_refused_and_not_turned_around():
    assert check_row_ids(np.array([2**63 - 1], np.uint64), 1, "pids").tolist() == [2**63 - 1]
    with pytest.raises(DataError, match="pids go up to 9223372036854775808, which int64 cannot hold"):
        check_row_ids(np.array([1, 2**63], np.uint64), 2, "pids")
