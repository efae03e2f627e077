"""The charts of a run, or of several runs over each other."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ppreid.report.charts import Chart, Points, area_chart, line_chart, stacked_bars
from ppreid.report.ranked_queries import DistanceHistogram
from ppreid.report.run_files import RunFiles, series

STAGES = ("extract", "neighbours", "jaccard", "cluster", "train", "evaluate")
QUALITY = {"ARI": "ari", "NMI": "nmi", "mixed clusters": "mixed_clusters", "split people": "split_identities"}
HEALTH = {
    "label stability": "label_stability",
    "camera mixing": "camera_mixing",
    "clusters of several cameras": "cross_camera_clusters",
}


def run_charts(run: RunFiles) -> list[Chart]:
    """Everything that changes from epoch to epoch."""
    epochs, evaluations = run.epochs, run.evaluations
    losses = {"total": "loss", "contrast": "loss_contrast", "label preserving": "loss_lp"}
    charts = [
        line_chart(
            "mAP and Rank-1",
            {name: series(evaluations, name) for name in ("mAP", "Rank-1", "mINP")},
            unit="%",
            note="On query and gallery; epoch 0 is before training.",
            from_zero=True,
        ),
        line_chart(
            "Losses",
            {name: series(epochs, key) for name, key in losses.items()},
            note="Means over an epoch. Every epoch has other clusters, so a rise between epochs is no alarm.",
        ),
        *_label_charts(epochs),
        line_chart("PLI degree", {"degree": series(epochs, "pli_degree")}, from_zero=True),
        line_chart("Learning rate", {"learning rate": series(epochs, "lr")}, from_zero=True),
        stacked_bars("Time", {key: series(epochs, "stage_seconds", key) for key in STAGES}, unit="s per epoch"),
    ]
    return [chart for chart in charts if chart]


def _label_charts(epochs: Sequence[dict[str, Any]]) -> list[Chart | None]:
    """The pseudo labels from epoch to epoch, with and without knowing the truth."""
    return [
        line_chart("Clusters", {"clusters": series(epochs, "clusters")}, from_zero=True),
        line_chart(
            "Outliers and the largest cluster",
            {"outliers": _share(epochs, "outliers"), "largest cluster": _share(epochs, "largest")},
            unit="% of images",
            note="An epoch does not train on outliers. One cluster that swallows the others: labels.eps is too high.",
            from_zero=True,
        ),
        line_chart(
            "Pseudo labels against the truth",
            {name: series(epochs, "label_quality", key) for name, key in QUALITY.items()},
            note="For the report only; training never sees an identity.",
            from_zero=True,
        ),
        line_chart(
            "Health of the labels",
            {name: series(epochs, key) for name, key in HEALTH.items()},
            note="Needs no identities: do clusters stay the same from epoch to epoch, and do they join cameras?",
            from_zero=True,
        ),
    ]


def compared_charts(runs: Sequence[tuple[str, RunFiles]]) -> list[Chart]:
    """The same quantity of several runs in one chart.

    Args:
        runs: (name, run), at least two.
    """

    def over(rows: str, *keys: str) -> dict[str, Points]:
        return {name: series(getattr(run, rows), *keys) for name, run in runs}

    charts = [
        line_chart("mAP", over("evaluations", "mAP"), unit="%", from_zero=True),
        line_chart("Rank-1", over("evaluations", "Rank-1"), unit="%", from_zero=True),
        line_chart("Loss", over("epochs", "loss")),
        line_chart("Clusters", over("epochs", "clusters"), from_zero=True),
        line_chart(
            "Outliers",
            {name: _share(run.epochs, "outliers") for name, run in runs},
            unit="% of images",
            from_zero=True,
        ),
        line_chart("ARI of the pseudo labels", over("epochs", "label_quality", "ari"), from_zero=True),
        *(line_chart(name.capitalize(), over("epochs", key), from_zero=True) for name, key in HEALTH.items()),
        line_chart("PLI degree", over("epochs", "pli_degree"), from_zero=True),
        line_chart("Learning rate", over("epochs", "lr"), from_zero=True),
        line_chart(
            "Time", {name: _epoch_seconds(run.epochs) for name, run in runs}, unit="s per epoch", from_zero=True
        ),
    ]
    return [chart for chart in charts if chart]


def cmc_chart(cmc: np.ndarray) -> Chart | None:
    """Share of queries with a right match within the first k."""
    points = [(rank, 100 * float(share)) for rank, share in enumerate(cmc, start=1)]
    note = "Share of queries whose first right match stands at this rank or before."
    return line_chart("CMC", {"queries": points}, unit="%", note=note, x_name="rank", from_zero=True)


def histogram_chart(histogram: DistanceHistogram) -> Chart:
    """Distances of right and wrong pairs; the less they overlap, the better the feature."""
    shares = {"same person": histogram.positives, "other people": histogram.negatives}
    note = "Pairs of a query and a gallery image of another camera; the less the areas overlap, the better."
    return area_chart("Distances", histogram.edges, shares, unit="% of pairs", note=note, x_name="Euclidean distance")


def _share(epochs: Sequence[dict[str, Any]], key: str) -> Points:
    """A count of an epoch in percent of its images."""
    counts, totals = series(epochs, key), series(epochs, "images")
    return [
        (epoch, None if count is None or not total else 100 * count / total)
        for (epoch, count), (_, total) in zip(counts, totals, strict=True)
    ]


def _epoch_seconds(epochs: Sequence[dict[str, Any]]) -> Points:
    """Seconds of all stages of every epoch."""
    stages = [series(epochs, "stage_seconds", name) for name in STAGES]
    return [(points[0][0], sum(value or 0.0 for _, value in points)) for points in zip(*stages, strict=True)]
