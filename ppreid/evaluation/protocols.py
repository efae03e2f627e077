"""What re-identification papers do differently when they compute average precision; `ppreid.tables` names them."""

import numpy as np

from ppreid.evaluation.scores import Hits


def average_precision(hits: Hits) -> float:
    """Area under the precision-recall steps, equal distances taken as one step.

    The value does not depend on the order of the gallery. It equals `sklearn.metrics.average_precision_score` of the
    negated distances, which the released ISE code reports.

    Args:
        hits: at least one hit.

    Returns:
        Average precision within (0, 1].
    """
    return float(np.mean(hits.hits_within / hits.within))


def average_precision_by_rank(hits: Hits) -> float:
    """Mean precision at the rank of every hit, equal distances in the order of the gallery (as fast-reid does).

    Args:
        hits: at least one hit.

    Returns:
        Average precision within (0, 1]; without ties the same as `average_precision`.

    Example:
        Hits at the first and the third place: precision 1/1 and 2/3.

        >>> ranks = np.array([0, 2])
        >>> round(average_precision_by_rank(Hits(ranks, within=ranks + 1, hits_within=np.array([1, 2]))), 4)
        0.8333
    """
    return float(np.mean(np.arange(1, hits.ranks.size + 1) / (hits.ranks + 1)))


def average_precision_trapezoid(hits: Hits) -> float:
    """Area under the precision-recall curve by the trapezoid rule, as in the MATLAB code of Market-1501.

    Every hit contributes the mean of the precision at its rank and at the rank before it (1 before the first rank).

    Args:
        hits: at least one hit.

    Returns:
        Average precision within (0, 1], never above `average_precision_by_rank`.

    Reference:
        Zheng et al., "Scalable Person Re-identification: A Benchmark", ICCV 2015 (evaluation code of the data set).
    """
    found = np.arange(hits.ranks.size)
    at_hit = (found + 1) / (hits.ranks + 1)
    before = np.where(hits.ranks > 0, found / np.maximum(hits.ranks, 1), 1.0)
    return float(np.mean((before + at_hit) / 2))
