"""Ranking metrics of re-identification: mAP, CMC and mINP in bounded memory."""

from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from ppreid.base.errors import ConfigError, EvaluationError, unknown_choice
from ppreid.base.progress import progress
from ppreid.evaluation.inputs import NETWORK_ALONE, Identities, checked_features, checked_identities
from ppreid.evaluation.scores import score_queries
from ppreid.tables import PROTOCOLS, resolve


class RankingResult(NamedTuple):
    """Metrics of a set of queries; shares lie within [0, 1].

    Attributes:
        mean_ap: mean average precision.
        cmc: (max_rank,) float64, share of queries whose first hit is at that rank or before.
        mean_inp: mean inverse negative penalty: number of hits / (1 + 0-based rank of the last hit).
        protocol: convention that was used, a key of `PROTOCOLS`.
        num_queries: queries given.
        num_valid_queries: queries with a valid match; the means are over these, except for protocol "all_queries".
        num_same_camera_only: queries whose identity is in the gallery, but on no other camera.
        num_identity_absent: queries whose identity is not in the gallery, or is unknown (-1).
        average_precision: (num_queries,) float64, NaN where there is no valid match.
        beside: what some of the dimensions of the features reach alone, by name.
    """

    mean_ap: float
    cmc: np.ndarray
    mean_inp: float
    protocol: str
    num_queries: int
    num_valid_queries: int
    num_same_camera_only: int
    num_identity_absent: int
    average_precision: np.ndarray
    beside: Mapping[str, "RankingResult"] = MappingProxyType({})


def evaluate_distances(
    distances: np.ndarray,
    query_pids: np.ndarray,
    gallery_pids: np.ndarray,
    query_camids: np.ndarray,
    gallery_camids: np.ndarray,
    *,
    protocol: str = "market1501",
    ignore_camera: bool = False,
    max_rank: int = 50,
) -> RankingResult:
    """Metrics of a distance matrix.

    For each query, gallery items of the same identity on the same camera and items with pid -1 are left out. The
    distractors of Market-1501 (pid 0) stay: no query carries their pid.

    Args:
        distances: (Q, G), smaller is more similar; only the order within a row matters. No NaN.
        query_pids: (Q,) identities.
        gallery_pids: (G,) identities.
        query_camids: (Q,) cameras.
        gallery_camids: (G,) cameras.
        protocol: a key of `PROTOCOLS`.
        ignore_camera: keep items of the same camera, for data of a single camera; the gallery must not contain the
            query images themselves then.
        max_rank: length of the CMC curve, at least 1; a first hit beyond it is a miss.

    Returns:
        The metrics, and how many queries were left out for which reason.

    Raises:
        DataError: if shapes do not fit or a distance is NaN.
        EvaluationError: if no query has a valid match.
        ConfigError: if `protocol` is unknown or `max_rank` is less than 1.

    Example:
        One query, person 7 on camera 0. Of the gallery the first image is its own camera's and left out; the right one
        is then behind one of person 8.

        >>> result = evaluate_distances([[0.1, 0.2, 0.3]], [7], [7, 8, 7], [0], [0, 1, 1], max_rank=2)
        >>> result.mean_ap, result.cmc.tolist()
        (0.5, [0.0, 1.0])

    Note:
        Items at equal distance keep the order of the gallery in CMC and mINP, where the released code leaves their
        order to an unstable sort. Its mAP takes equal distances as one step and so does "market1501".
    """
    distances = np.asarray(distances)
    ids = checked_identities(distances.shape, Identities(query_pids, gallery_pids, query_camids, gallery_camids))
    return evaluate_blocks([distances], ids, protocol=protocol, ignore_camera=ignore_camera, max_rank=max_rank)


def evaluate_features(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    query_pids: np.ndarray,
    gallery_pids: np.ndarray,
    query_camids: np.ndarray,
    gallery_camids: np.ndarray,
    *,
    protocol: str = "market1501",
    ignore_camera: bool = False,
    max_rank: int = 50,
    block_bytes: int = 2**28,
) -> RankingResult:
    """Metrics by Euclidean distance between features, without ever holding the (Q, G) matrix.

    Args:
        query_features: (Q, D); unit rows give the order of the cosine similarity.
        gallery_features: (G, D).
        query_pids: (Q,) identities.
        gallery_pids: (G,) identities.
        query_camids: (Q,) cameras.
        gallery_camids: (G,) cameras.
        protocol: a key of `PROTOCOLS`.
        ignore_camera: see `evaluate_distances`.
        max_rank: length of the CMC curve, at least 1.
        block_bytes: memory for the distances of one block of queries; a block has at least one query. Only images
            whose distances differ by no more than the rounding of the matrix product may change places with it.

    Returns:
        The metrics, and how many queries were left out for which reason.

    Raises:
        DataError: if shapes do not fit or a feature is not finite.
        EvaluationError: if no query has a valid match.
        ConfigError: if `protocol` is unknown or `max_rank` is less than 1.
    """
    query, gallery = checked_features(query_features, gallery_features)
    ids = Identities(query_pids, gallery_pids, query_camids, gallery_camids)
    ids = checked_identities((len(query), len(gallery)), ids)
    blocks = _distance_blocks(query, gallery, rows=max(1, block_bytes // (4 * len(gallery))))
    return evaluate_blocks(blocks, ids, protocol=protocol, ignore_camera=ignore_camera, max_rank=max_rank)


def evaluate_with_network_alone(
    query_features: np.ndarray,
    gallery_features: np.ndarray,
    *identities: np.ndarray,
    protocol: str,
    ignore_camera: bool,
) -> RankingResult:
    """As `evaluate_features` of features that end with colour, with what those of the network reach alone beside it."""
    from ppreid.datasets.colour import COLOUR_DIM

    rank = partial(evaluate_features, protocol=protocol, ignore_camera=ignore_camera)
    alone = rank(query_features[:, :-COLOUR_DIM], gallery_features[:, :-COLOUR_DIM], *identities)
    return rank(query_features, gallery_features, *identities)._replace(beside={NETWORK_ALONE: alone})


def _distance_blocks(query: np.ndarray, gallery: np.ndarray, rows: int) -> Iterator[np.ndarray]:
    """Yield |g|^2 - 2 q.g for blocks of queries; |q|^2 is constant within a row and changes no rank."""
    buffer = np.empty((min(rows, len(query)), len(gallery)), dtype=np.float32)
    squared_norms = np.einsum("gd,gd->g", gallery, gallery)  # (G,)
    starts = range(0, len(query), rows)
    for start in progress(starts, total=len(starts), description="rank", unit="block"):
        part = query[start : start + rows]
        block = np.matmul(-2.0 * part, gallery.T, out=buffer[: len(part)])
        block += squared_norms
        yield block


def evaluate_blocks(
    blocks: Iterable[np.ndarray],
    ids: Identities,
    *,
    protocol: str = "market1501",
    ignore_camera: bool = False,
    max_rank: int = 50,
) -> RankingResult:
    """Metrics of distances that come block by block, so that they need not exist as a whole.

    Args:
        blocks: the (Q, G) distances of `evaluate_distances` from top to bottom, some rows at a time.
        ids: identities and cameras, from `checked_identities`.
        protocol: a key of `PROTOCOLS`.
        ignore_camera: see `evaluate_distances`.
        max_rank: length of the CMC curve, at least 1.

    Returns:
        The metrics, and how many queries were left out for which reason.

    Raises:
        DataError: if a distance is NaN, or the blocks are not (Q, G) together.
        EvaluationError: if no query has a valid match.
        ConfigError: if `protocol` is unknown or `max_rank` is less than 1.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(unknown_choice("eval.protocol", protocol, PROTOCOLS))
    if max_rank < 1:
        raise ConfigError(f"max_rank is {max_rank}; the CMC curve needs at least rank 1")
    average_precision = resolve(PROTOCOLS[protocol].average_precision)
    scores = score_queries(blocks, ids, average_precision, ignore_camera=ignore_camera)
    num_queries, num_valid = len(ids.query_pids), int(np.count_nonzero(~np.isnan(scores.average_precision)))
    num_absent = int(np.count_nonzero(~np.isin(ids.query_pids, ids.gallery_pids) | (ids.query_pids == -1)))
    num_same_camera = num_queries - num_valid - num_absent
    if num_valid == 0:
        raise EvaluationError(
            f"none of {num_queries} queries has a valid match: {num_absent} have an identity that is not in the "
            f"gallery, {num_same_camera} have it on their own camera only; check pids and camids of query and gallery, "
            "or set eval.ignore_camera for data of a single camera"
        )
    counted = num_queries if PROTOCOLS[protocol].count_invalid else num_valid
    first_hits = np.bincount(scores.first_hit[scores.first_hit < max_rank].astype(np.int64), minlength=max_rank)
    return RankingResult(
        mean_ap=float(np.nansum(scores.average_precision) / counted),
        cmc=np.cumsum(first_hits) / counted,
        mean_inp=float(np.nansum(scores.inverse_penalty) / counted),
        protocol=protocol,
        num_queries=num_queries,
        num_valid_queries=num_valid,
        num_same_camera_only=num_same_camera,
        num_identity_absent=num_absent,
        average_precision=scores.average_precision,
    )
