"""The toy example of docs/evaluation.md by every protocol; `python docs/protocol_example.py` prints its table."""

from collections.abc import Iterator

import numpy as np

from ppreid.evaluation.ranking import RankingResult, evaluate_distances
from ppreid.tables import PROTOCOLS

# (pid, camera): query A has two matches; B has one; C has one on its own camera only; D has none
QUERY = np.array([(1, 0), (2, 0), (3, 0), (4, 0)])
GALLERY = np.array([(1, 0), (-1, 1), (2, 1), (1, 1), (0, 1), (1, 2), (3, 0)])
DISTANCES = np.array(
    [
        [0.1, 0.2, 0.3, 0.4, 0.4, 0.5, 0.6],
        [0.5, 0.2, 0.1, 0.4, 0.3, 0.7, 0.6],
        [0.5, 0.2, 0.6, 0.4, 0.3, 0.7, 0.1],
        [0.5, 0.2, 0.6, 0.4, 0.3, 0.7, 0.1],
    ]
)


def example_rows() -> Iterator[str]:
    """The lines of the table."""
    yield "| eval.protocol | AP of A | AP of B | AP of C | AP of D | mAP | Rank-1 | mINP | valid queries |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
    for name in PROTOCOLS:
        yield _row(name, name, ignore_camera=False)
    yield _row("market1501, eval.ignore_camera=true", "market1501", ignore_camera=True)


def _row(title: str, protocol: str, *, ignore_camera: bool) -> str:
    ids = QUERY[:, 0], GALLERY[:, 0], QUERY[:, 1], GALLERY[:, 1]
    result: RankingResult = evaluate_distances(DISTANCES, *ids, protocol=protocol, ignore_camera=ignore_camera)
    invalid = "0 (miss)" if PROTOCOLS[protocol].count_invalid else "left out"
    cells = [invalid if np.isnan(value) else f"{value:.4f}" for value in result.average_precision]
    cells += [f"{value:.4f}" for value in (result.mean_ap, result.cmc[0], result.mean_inp)]
    return f"| {title} | {' | '.join(cells)} | {result.num_valid_queries} of {result.num_queries} |"


if __name__ == "__main__":
    print("\n".join(example_rows()))
