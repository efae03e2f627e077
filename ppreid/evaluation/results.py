"""Ranking results as text and as JSON."""

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from ppreid.evaluation.ranking import RankingResult
from ppreid.tables import PROTOCOLS

RANKS = (1, 5, 10, 20)
_LONGEST_PART = 60  # of a file name, which has 255 bytes


def format_results(results: Mapping[str, RankingResult]) -> str:
    """Table of the metrics that papers report, in percent.

    Args:
        results: by name, at least one; of the same queries, protocol and max_rank.

    Returns:
        A header that begins with the protocol and a line of values for each result; a last line counts the queries
        without a valid match and says why, if there are any. Ranks beyond the CMC curve are not shown.
    """
    one = next(iter(results.values()))
    ranks = [rank for rank in RANKS if rank <= one.cmc.size]
    width = max(map(len, [one.protocol, *results]))
    columns = ["mAP", *(f"Rank-{rank}" for rank in ranks), "mINP"]
    lines = [f"{one.protocol:<{width}}" + "".join(f"{name:>9}" for name in columns) + f"{'valid queries':>15}"]
    for name, result in results.items():
        values = [result.mean_ap, *(result.cmc[rank - 1] for rank in ranks), result.mean_inp]
        shares = "".join(f"{100 * value:>9.2f}" for value in values)
        lines.append(f"{name:<{width}}{shares}{result.num_valid_queries:>15}")
    invalid = one.num_queries - one.num_valid_queries
    if invalid:
        treatment = "count as misses" if PROTOCOLS[one.protocol].count_invalid else "are left out"
        lines.append(
            f"{invalid} of {one.num_queries} queries have no valid match and {treatment}: "
            f"{one.num_identity_absent} have an identity that is not in the gallery, "
            f"{one.num_same_camera_only} have it on their own camera only"
        )
    return "\n".join(lines)


def result_to_dict(result: RankingResult) -> dict[str, Any]:
    """The result as plain numbers for JSON.

    Args:
        result: what `evaluate_features` or `evaluate_distances` returned.

    Returns:
        All fields by name but `beside`; `cmc` as a list, and `average_precision` as a list with None for invalid
        queries.
    """
    plain = {name: value for name, value in result._asdict().items() if name != "beside"}
    plain["cmc"] = result.cmc.tolist()
    plain["average_precision"] = [None if value != value else value for value in result.average_precision.tolist()]
    return plain


def results_file(dataset: str, weights_path: str, weights_sha256: str) -> str:
    """Name of the file that keeps the results of a data set and weights beside those of others.

    Args:
        dataset: its name.
        weights_path: of the weights; its name is for people, and weights of the same name differ in the digits.
        weights_sha256: of the weights.

    Returns:
        E.g. "results_market1501_checkpoint_best-1a2b3c4d.json".
    """
    stem = PurePath(weights_path).name.removesuffix(".tar").rpartition(".")[0] or PurePath(weights_path).name
    return f"results_{_in_file_name(dataset)}_{_in_file_name(stem)}-{weights_sha256[:8]}.json"


def _in_file_name(text: str) -> str:
    """Letters that no shell and no file system minds, at most 60 of them."""
    return re.sub(r"[^A-Za-z0-9._-]+", "_", text)[:_LONGEST_PART]
