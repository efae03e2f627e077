"""Approximate neighbours in a million images by a graph that improves itself: short vectors, NN-descent, full scores.

    features (N, D) -> short vectors (N, 129) -> graph (N, k + SPARE) -> refined -> rankings (N, k)

Every image begins with the images beside it in some random trees. Then its neighbours, and those whose neighbour it
is, are compared with each other, again and again until hardly anything changes. Its time grows little faster than the
number of images, where lists compare a share of all pairs.
"""

import logging
import warnings
from typing import Any

import numba
import numpy as np

from ppreid.neighbours import approximate
from ppreid.neighbours.compiled import readable
from ppreid.neighbours.inverted_lists import EVERY_EPOCH, default_num_lists, learn_centres
from ppreid.neighbours.list_search import nearest_lists
from ppreid.neighbours.ranking import Ranking
from ppreid.neighbours.similarity_kernels import score_candidates
from ppreid.neighbours.tiles import Matmul, nearest_of_sample

# Random trees that give the first neighbours: of 100,000 images, 5 and the 10 that are usual find the same.
TREES = 5

logger = logging.getLogger(__name__)


def rank_by_descent(features: np.ndarray, ranking: Ranking, *, rng: np.random.Generator, matmul: Matmul) -> None:
    """Fill a ranking with the most similar images, as far as neighbours of neighbours lead to them.

    Args:
        features: (N, D) unit rows, float32 or float16, C-contiguous, possibly memory-mapped.
        ranking: an empty ranking over all N images, of one group, since neighbours of neighbours do not lead from one
            camera to another; filled in place.
        rng: draws the sample, what is learnt from, and the trees.
        matmul: as in `exact_tiles`.

    Note:
        One thread makes the graph: several would make one that depends on how many they are. Memory: 4 * N *
        (directions + 1) bytes for the short vectors and some 25 * N * (k + SPARE) for the graph. Where no short
        vectors will do a float32 copy of the features takes their place.

    Reference:
        Dong et al., "Efficient k-nearest neighbor graph construction for generic similarity measures", WWW 2011, as
        the package pynndescent has it.
    """
    if not ranking.indices.shape[1]:
        return
    sample = np.sort(rng.choice(len(features), min(approximate.SAMPLE, len(features)), replace=False))
    truth = nearest_of_sample(features, sample, [ranking], matmul=matmul)
    vectors = approximate.short_vectors(features, sample, truth, [ranking], rng=rng, matmul=matmul)
    (found,) = approximate.candidates_for([ranking], shortened=vectors is not features)
    logger.info(
        "%d numbers of %d for each of %d images; a graph of their neighbours begins",
        vectors.shape[1], features.shape[1], len(features),
    )  # fmt: skip
    # neighbours of few neighbours lead nowhere, so that there are spare ones also where they are not needed later
    places = ranking.indices.shape[1] + approximate.SPARE
    indices, bounds = _graph(vectors, 1 + places, seed=int(rng.integers(2**31)))
    everyone, best = np.arange(len(indices)), (found.similarities, found.indices)
    score_candidates(readable(vectors), everyone, (bounds, indices), np.inf, best)  # all of them, in our own order
    centres = learn_centres(vectors, default_num_lists(len(vectors)), learning=EVERY_EPOCH, rng=rng)
    approximate.finish(features, vectors, [ranking], [found], own_list=nearest_lists(vectors, centres, matmul))


def _graph(vectors: np.ndarray, places: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Image numbers (N, places) int32 and similarities (N, places) float32, descending; -1 and -inf are the image."""
    from pynndescent import NNDescent  # a second to import, and half a minute to compile in every process

    options: dict[str, Any] = {"metric": "euclidean", "n_trees": TREES, "random_state": seed, "n_jobs": 1}
    threads = numba.get_num_threads()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Failed to correctly find n_neighbors")  # places may stay empty
        try:
            graph = NNDescent(vectors.astype(np.float32, copy=False), n_neighbors=min(places, len(vectors)), **options)
        finally:
            numba.set_num_threads(threads)  # which it does itself, unless it is interrupted
    indices, distances = graph.neighbor_graph
    similarities = 1 - distances**2 / np.float32(2)
    itself = indices == np.arange(len(indices), dtype=np.int32)[:, None]  # at any place, where there are duplicates
    indices[itself], similarities[itself] = -1, -np.inf
    return indices, similarities
