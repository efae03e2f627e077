"""The score of every query, from its distances to the gallery."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from ppreid.base.errors import DataError
from ppreid.evaluation.hits import Hits, find_hits, hits_and_junk
from ppreid.evaluation.inputs import Identities, row_list


class Scores(NamedTuple):
    """One value per query, (Q,) float64, NaN where there is no valid match.

    Attributes:
        average_precision: by the convention that was asked for.
        inverse_penalty: number of hits / (1 + rank of the last hit).
        first_hit: 0-based rank of the first hit.
    """

    average_precision: np.ndarray
    inverse_penalty: np.ndarray
    first_hit: np.ndarray


def score_queries(
    blocks: Iterable[np.ndarray], ids: Identities, average_precision: Callable[[Hits], float], *, ignore_camera: bool
) -> Scores:
    """Rank the gallery for one query after the other.

    Args:
        blocks: the (Q, G) distances from top to bottom, some rows at a time.
        ids: identities and cameras.
        average_precision: value of one query that has a valid match.
        ignore_camera: keep the items of the query's own camera.

    Returns:
        The scores.

    Raises:
        DataError: if a distance is NaN, or the blocks are not (Q, G) together.
    """
    num_queries, num_gallery = len(ids.query_pids), len(ids.gallery_pids)
    scores = Scores(*np.full((3, num_queries), np.nan))
    targets = hits_and_junk(ids, ignore_camera=ignore_camera)
    done, broken = 0, []
    for block in blocks:
        rows = range(done, done + len(block))
        if block.shape[1:] != (num_gallery,) or rows.stop > num_queries:
            found = f"rows {rows.start} to {rows.stop - 1} of the distances have shape {block.shape}"
            raise DataError(f"{found}; there are {num_queries} queries and {num_gallery} gallery items")
        for query, distances, (hits, junk) in zip(rows, block, targets, strict=False):
            if np.isnan(distances).any():
                broken.append(query)
            elif hits.size:
                ranked = find_hits(distances, hits, junk)
                scores.average_precision[query] = average_precision(ranked)
                scores.inverse_penalty[query] = hits.size / (1 + ranked.ranks[-1])
                scores.first_hit[query] = ranked.ranks[0]
        done = rows.stop
    if done < num_queries:
        raise DataError(f"the distances have {done} rows; there are {num_queries} queries")
    if broken:
        raise DataError(f"distances are NaN in {row_list(broken)}; check the features of these queries")
    return scores
