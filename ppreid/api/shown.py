"""What the functions for programs and notebooks give: plain values that show themselves, and become tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ppreid.base.errors import printable
from ppreid.base.numbers import fixed
from ppreid.base.optional import optional_module
from ppreid.report.cluster_sheets import Thumbnails
from ppreid.search.results import SearchResult

if TYPE_CHECKING:
    from PIL import Image

MOST_ROWS, MOST_PICTURES = 12, 12  # of a page, and of each of its rows
_OUTLIERS = -1


class Comparison(NamedTuple):
    """Two images beside each other; `float` gives their similarity.

    Attributes:
        similarity: cosine of their features, -1 to 1.
        verdict: "same person", "not sure" or "other"; empty where the threshold of the network is not known.
        names: of the images.
        held: those that are in memory, by name.
    """

    similarity: float
    verdict: str
    names: tuple[str, str]
    held: Mapping[str, Image.Image]

    def __float__(self) -> float:
        """The similarity."""
        return self.similarity

    def __repr__(self) -> str:
        """The similarity, and what it says."""
        return f"{fixed(self.similarity, 3)}{self.verdict and f' ({self.verdict})'}"

    def _repr_html_(self) -> str:
        return _row([(name, [name]) for name in self.names], self.held) + f"<p>{escape(repr(self))}</p>"


class Found(list[SearchResult]):
    """What a search found, a result for each query."""

    def __init__(self, results: Iterable[SearchResult], held: Mapping[str, Image.Image]) -> None:
        """Keep results, and the queries that are in memory, by name."""
        super().__init__(results)
        self.held = held

    def _repr_html_(self) -> str:
        parts = []
        for result in self[:MOST_ROWS]:
            pictures = [(result.query, ["query", result.camera, Path(result.query).name])]
            for match in result.matches[:MOST_PICTURES]:
                lines = [fixed(match.similarity, 3), match.verdict, match.camera, Path(match.path).name]
                pictures.append((match.path, lines))
            parts.append(_row(pictures, self.held))
        return "".join(parts) + _more(len(self) - MOST_ROWS, "queries")

    def to_pandas(self) -> Any:  # noqa: ANN401 - of an optional package
        """A data frame with a row for each match: query, rank, path, similarity, camera; verdict, time where known."""
        return _frame(
            [
                {"query": result.query, "rank": rank, **match.known()}
                for result in self
                for rank, match in enumerate(result.matches, start=1)
            ]
        )


class Clusters(NamedTuple):
    """Pseudo labels.

    Attributes:
        labels: (N,) int64, -1 for outliers.
        names: (N,) of the images, or the numbers of the rows.
        cameras: (N,) as they were given; None is unknown.
        held: images that are in memory, by name.
    """

    labels: np.ndarray
    names: Sequence[str]
    cameras: Sequence[Any] | None
    held: Mapping[str, Image.Image]

    @property
    def num_clusters(self) -> int:
        """Number of clusters."""
        return int(self.labels.max(initial=-1)) + 1

    @property
    def num_outliers(self) -> int:
        """Number of images in no cluster."""
        return int((self.labels == _OUTLIERS).sum())

    def __repr__(self) -> str:
        """How many there are."""
        return f"{self.num_clusters} clusters and {self.num_outliers} outliers of {len(self.labels)} images"

    def _repr_html_(self) -> str:
        parts = [f"<p>{escape(repr(self))}</p>"]
        for label, size in Counter(self.labels[self.labels >= 0].tolist()).most_common(MOST_ROWS):
            rows = np.flatnonzero(self.labels == label)[:MOST_PICTURES]
            pictures = [
                (self.names[row], [Path(self.names[row]).name, str(self.cameras[row]) if self.cameras else ""])
                for row in rows
            ]
            parts.append(f"<p>cluster {label}: {size} images</p>" + _row(pictures, self.held))
        return "".join(parts) + _more(self.num_clusters - MOST_ROWS, "clusters")

    def to_pandas(self) -> Any:  # noqa: ANN401 - of an optional package
        """A data frame with a row for each image: image, camera (where known), cluster."""
        columns: dict[str, Any] = {"image": list(self.names), "camera": self.cameras, "cluster": self.labels}
        return _frame({name: column for name, column in columns.items() if column is not None})


class Trained(NamedTuple):
    """A training that is done.

    Attributes:
        folder: where everything is, see docs/metrics.md; `ppreid.load` takes it.
        evaluations: the rows of metrics.jsonl with mAP and Rank-k in percent; none without query and gallery.
        epochs: its rows with losses, clusters and seconds.
    """

    folder: Path
    evaluations: Sequence[Mapping[str, Any]]
    epochs: Sequence[Mapping[str, Any]]

    @property
    def metrics(self) -> Mapping[str, Any]:
        """The last evaluation; {} without one."""
        return self.evaluations[-1] if self.evaluations else {}

    def __repr__(self) -> str:
        """Where it is, and what it reached."""
        reached = f", mAP {self.metrics['mAP']:.1f} Rank-1 {self.metrics['Rank-1']:.1f}" if self.metrics else ""
        return f"{self.folder}: {len(self.epochs)} epochs{reached}"

    def _repr_html_(self) -> str:
        shown = ("epoch", "loss", "clusters", "outliers", "mAP", "Rank-1")
        cells = [[_value(row.get(key)) for key in shown] for row in self._rows()]
        lines = ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in cells]
        head = "".join(f"<th>{name}</th>" for name in shown)
        body = "".join(f"<tr>{line}</tr>" for line in lines)
        return f"<p>{escape(printable(repr(self)))}</p><table><tr>{head}</tr>{body}</table>"

    def to_pandas(self) -> Any:  # noqa: ANN401 - of an optional package
        """A data frame with a row for each epoch, with the evaluation after it; epoch 0 is before training."""
        return _frame(self._rows())

    def _rows(self) -> list[dict[str, Any]]:
        """Losses and evaluations together, by epoch."""
        rows: dict[int, dict[str, Any]] = {}
        for row in (*self.evaluations, *self.epochs):
            rows[row["epoch"]] = {**rows.get(row["epoch"], {}), **row}
        return [{key: rows[epoch][key] for key in rows[epoch] if key != "event"} for epoch in sorted(rows)]


def _frame(rows: Any) -> Any:  # noqa: ANN401 - of an optional package
    return optional_module("pandas", install="pandas", what="to_pandas").DataFrame(rows)


def _row(pictures: Sequence[tuple[str, Sequence[str]]], held: Mapping[str, Image.Image]) -> str:
    """Pictures beside each other, each with lines below it; everything that a stranger may have named is escaped."""
    thumbnails = Thumbnails(held)
    figures = []
    for name, lines in pictures:
        uri, text = thumbnails.uri(name), "<br>".join(escape(printable(line)) for line in lines if line)
        image = f'<img src="{uri}" alt="{escape(printable(name))}" style="height:96px">' if uri else "no picture"
        figures.append(
            '<figure style="margin:0 8px 8px 0;width:96px;font-size:11px;overflow-wrap:anywhere">'
            f"{image}<figcaption>{text}</figcaption></figure>"
        )
    return f'<div style="display:flex;flex-wrap:wrap">{"".join(figures)}</div>'


def _more(count: int, what: str) -> str:
    return f"<p>and {count} more {what}</p>" if count > 0 else ""


def _value(value: Any) -> str:  # noqa: ANN401 - any number of metrics.jsonl
    """A number as a table shows it."""
    return "" if value is None else f"{value:.2f}" if isinstance(value, float) else str(value)
