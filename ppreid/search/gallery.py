"""Search among the features of a gallery with faiss: exact, or within inverted lists."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ppreid.base.errors import DataError, unknown_choice
from ppreid.neighbours.checks import check_features
from ppreid.neighbours.inverted_lists import (
    MOST_ON_GPU,
    ONCE,
    default_num_lists,
    gpu_copy,
    learn_centres,
    on_gpu_or_cpu,
)
from ppreid.tables import DEFAULT_PROBES

METHODS = ("auto", "exact", "ivf")
# Up to this many images "auto" compares a query with all of them.
AUTO_EXACT_IMAGES = 500_000
_ROWS_PER_BLOCK = 8192
_FIRST_WIDTH, _WIDER = 16, 4  # neighbours that are asked for beyond k, and the factor when too few of them may be shown


class InvertedLists(NamedTuple):
    """A partition of the gallery by the nearest of some centroids.

    Attributes:
        centroids: (L, D) float32.
        lists: (N,) int64, list of every image.
    """

    centroids: np.ndarray
    lists: np.ndarray


class Neighbours(NamedTuple):
    """Answer to one query.

    Attributes:
        rows: of the gallery, most similar first.
        similarities: cosine of each.
    """

    rows: np.ndarray
    similarities: np.ndarray


def choose_method(method: str, num_images: int) -> str:
    """What "auto" means for a gallery of this size.

    Raises:
        DataError: there is no such method.
    """
    if method not in METHODS:
        raise DataError(unknown_choice("the search method", method, METHODS))
    return ("exact" if num_images <= AUTO_EXACT_IMAGES else "ivf") if method == "auto" else method


def learn_lists(features: np.ndarray, *, seed: int = 0) -> InvertedLists:
    """Partition a gallery into about 4 * sqrt(N) lists by k-means on a sample.

    Args:
        features: (N, D) float32 unit rows, in memory or memory-mapped.
        seed: of the sample and of k-means.

    Returns:
        The lists.
    """
    rng = np.random.default_rng(seed)
    centroids = learn_centres(features, default_num_lists(len(features)), learning=ONCE, rng=rng)
    return InvertedLists(centroids, assign_lists(centroids, features))


def assign_lists(centroids: np.ndarray, features: np.ndarray) -> np.ndarray:
    """List (N,) int64 of every feature (N, D): that of the most similar centroid (L, D)."""
    quantizer = _flat(centroids)
    return np.concatenate([quantizer.search(block, 1)[1][:, 0] for _, block in _blocks([features])])


class GallerySearch:
    """Features of a gallery in a faiss index in memory."""

    def __init__(self, parts: Sequence[np.ndarray], camids: np.ndarray, lists: InvertedLists | None = None) -> None:
        """Copy the features into an index; inverted lists are copied to a GPU too, where faiss sees one.

        Args:
            parts: features (n, D) float32 unit rows of each part; together (N, D).
            camids: (N,) cameras, -1 unknown.
            lists: search within inverted lists; None compares a query with every image.

        Raises:
            DataError: the features are not usable, see `check_features`.
        """
        self._camids = camids
        self._lists = lists
        self._index = _flat_parts(parts) if lists is None else _inverted(parts, lists)
        self._on_gpu = None if lists is None else gpu_copy(self._index)

    def nearest(
        self,
        queries: np.ndarray,
        k: int,
        *,
        own_rows: np.ndarray,
        own_cameras: np.ndarray,
        min_similarity: float = -1.0,
        num_probes: int = DEFAULT_PROBES,
    ) -> list[Neighbours]:
        """The most similar images of every query.

        Args:
            queries: (Q, D) float32 unit rows.
            k: images per query, at most.
            own_rows: (Q,) row of the gallery that is the query itself and is left out; -1 where it is none.
            own_cameras: (Q,) camera whose images are left out; -1 leaves out none.
            min_similarity: images below this cosine are left out.
            num_probes: inverted lists that are looked into, where there are any.

        Returns:
            One answer per query; equal similarities are in the order of rows.
        """
        answers: list[Neighbours | None] = [None] * len(queries)
        waiting, width = np.arange(len(queries)), k + _FIRST_WIDTH
        while len(waiting):
            width = min(width, len(self._camids))
            similarities, rows = self._search(np.ascontiguousarray(queries[waiting], np.float32), width, num_probes)
            for query, row, similarity in zip(waiting, rows, similarities, strict=True):
                order = np.lexsort((row, -similarity))
                row, similarity = row[order], similarity[order]
                shown = (row >= 0) & (row != own_rows[query]) & (similarity >= min_similarity)
                if own_cameras[query] >= 0:
                    shown &= self._camids[row] != own_cameras[query]
                is_all = width == len(self._camids) or row.min() < 0 or similarity[-1] < min_similarity
                if is_all or shown.sum() >= k:
                    answers[query] = Neighbours(row[shown][:k], similarity[shown][:k])
            waiting, width = np.array([i for i in waiting if answers[i] is None], dtype=np.int64), width * _WIDER
        return [answer for answer in answers if answer is not None]

    def _search(self, queries: np.ndarray, width: int, num_probes: int) -> tuple[np.ndarray, np.ndarray]:
        """Similarities and rows (Q, width), most similar first; row -1 where there are too few."""
        if self._lists is None:
            return self._index.search(queries, width)
        probes = min(num_probes, len(self._lists.centroids))

        def within(index: Any) -> tuple[np.ndarray, np.ndarray]:  # noqa: ANN401 - a faiss index
            index.nprobe = probes
            return index.search(queries, width)

        if self._on_gpu is None or max(width, probes) > MOST_ON_GPU:
            return within(self._index)
        return on_gpu_or_cpu(lambda: within(self._on_gpu), lambda: within(self._index))


def _flat(features: np.ndarray) -> Any:  # noqa: ANN401 - a faiss index; its types are not known where faiss has no stubs
    return _flat_parts([features])


def _flat_parts(parts: Sequence[np.ndarray]) -> Any:  # noqa: ANN401 - likewise
    import faiss

    index = faiss.IndexFlatIP(parts[0].shape[1])
    for _, block in _blocks(parts):
        index.add(block)
    return index


def _inverted(parts: Sequence[np.ndarray], lists: InvertedLists) -> Any:  # noqa: ANN401 - likewise
    """An inverted file whose lists are known: nothing is learned, and no image is compared with a centroid."""
    import faiss

    quantizer = _flat(lists.centroids)
    index = faiss.IndexIVFFlat(quantizer, parts[0].shape[1], len(lists.centroids), faiss.METRIC_INNER_PRODUCT)
    index.is_trained = True
    for start, block in _blocks(parts):
        rows = np.ascontiguousarray(lists.lists[start : start + len(block)], np.int64)
        index.add_core(len(block), faiss.swig_ptr(block), None, faiss.swig_ptr(rows))
    return index


def _blocks(parts: Iterable[np.ndarray]) -> Iterator[tuple[int, np.ndarray]]:
    """First row, counted through all parts, and features of one block after another, in memory and checked."""
    first = 0
    for part in parts:
        for start in range(0, len(part), _ROWS_PER_BLOCK):
            yield first + start, check_features(np.array(part[start : start + _ROWS_PER_BLOCK], np.float32))
        first += len(part)
