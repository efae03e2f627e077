"""Inverted lists where faiss sees a GPU, which is pretended: the answers are those of the CPU, also where it fails."""

import faiss
import numpy as np
import pytest

from ppreid.base.errors import PpreidWarning
from ppreid.neighbours.inverted_lists import EVERY_EPOCH, MOST_ON_GPU, learn_centres
from ppreid.search.gallery import GallerySearch, learn_lists

IMAGES = 3000  # more than an index on a GPU can be asked for at once


class PretendedCopy:
    """What a copy on a GPU must do, done by the index it was made of; it counts."""

    def __init__(self, index, error=None):
        self.index, self.error, self.searches = index, error, []

    def search(self, queries, width):
        if self.error:
            raise self.error
        self.index.nprobe = self.nprobe
        self.searches.append(width)
        return self.index.search(queries, width)


@pytest.fixture
def features():
    rows = np.random.default_rng(0).standard_normal((IMAGES, 8)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def lists(features):
    return learn_lists(features)  # before a GPU is pretended


def pretend_gpu(monkeypatch, copies, error=None):
    def copy(resources, device, index):
        copies.append(PretendedCopy(index, error))
        return copies[-1]

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", copy, raising=False)


def answers(features, lists, k=5):
    search = GallerySearch([features], np.zeros(len(features), np.int64), lists)
    none = np.full(4, -1)
    found = search.nearest(features[:4], k, own_rows=none, own_cameras=none, num_probes=7)
    return [answer.rows.tolist() for answer in found]


def test_lists_are_searched_on_the_gpu_where_faiss_sees_one(features, lists, monkeypatch):
    expected, copies = answers(features, lists), []
    pretend_gpu(monkeypatch, copies)
    assert answers(features, lists) == expected
    assert [len(copy.searches) for copy in copies] == [1]


def test_more_than_a_gpu_can_do_is_done_on_the_cpu(features, lists, monkeypatch):
    expected, copies = answers(features, lists, k=MOST_ON_GPU), []
    pretend_gpu(monkeypatch, copies)
    assert answers(features, lists, k=MOST_ON_GPU) == expected
    assert copies[0].searches == []


def test_a_search_that_fails_on_the_gpu_is_done_on_the_cpu(features, lists, monkeypatch):
    expected = answers(features, lists)
    pretend_gpu(monkeypatch, [], error=RuntimeError("Error in alloc\nout of memory"))
    with pytest.warns(PpreidWarning, match=r"faiss sees a GPU and cannot use it \(out of memory\)"):
        assert answers(features, lists) == expected


def test_an_exact_search_never_asks_for_a_gpu(features, monkeypatch):
    copies = []
    pretend_gpu(monkeypatch, copies)
    answers(features, None)
    assert copies == []


def test_centres_are_learned_on_the_cpu_where_the_gpu_fails(features, monkeypatch):
    def centres():
        return learn_centres(features, 5, learning=EVERY_EPOCH, rng=np.random.default_rng(3))

    expected = centres()
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1)  # and this build of faiss has nothing for it
    with pytest.warns(PpreidWarning, match="faiss sees a GPU and cannot use it"):
        found = centres()
    np.testing.assert_array_equal(found, expected)
