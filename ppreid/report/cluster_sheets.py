"""Which clusters and identities to look at, which of their images, and small pictures that live inside the page."""

import io
from base64 import b64encode
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from ppreid.base.errors import DataError
from ppreid.datasets.image_dataset import load_image
from ppreid.report.tables import ClusterFacts, all_known

LARGEST, MIXED, SPLIT, CAMERAS = "largest", "mixed", "split", "cameras"
OUTLIERS = "outliers"


class Group(NamedTuple):
    """Images that belong together: their caption, the rows of those shown, and how many are not shown."""

    name: str
    rows: list[int]
    more: int


class Sheet(NamedTuple):
    """A contact sheet.

    Attributes:
        kind: "largest", "mixed", "split" or "cameras".
        title: which cluster or identity it is.
        facts: in one line.
        groups: the images.
    """

    kind: str
    title: str
    facts: str
    groups: list[Group]


class TrainingImages(NamedTuple):
    """Pseudo labels (N,) (-1 outlier), identities (N,) and cameras (N,) (-1 unknown) of the training images."""

    labels: np.ndarray
    pids: np.ndarray
    camids: np.ndarray


def cluster_sheets(train: TrainingImages, facts: list[ClusterFacts], *, per_kind: int, images: int) -> list[Sheet]:
    """Choose the clusters and identities that show most.

    Args:
        train: labels, identities and cameras.
        facts: of all clusters, the largest first.
        per_kind: sheets of a kind at most.
        images: on a sheet at most.

    Returns:
        The largest clusters; then, where all identities are known, the clusters with the most images of other
        identities than their most frequent one, and the identities with the most images outside of their largest
        cluster; otherwise the clusters with the best mixture of cameras.
    """
    sheets = [_cluster_sheet(LARGEST, fact, train, images) for fact in facts[:per_kind]]
    if all_known(train.pids):
        mixed = sorted((fact for fact in facts if (fact.identities or 0) > 1), key=_strangers, reverse=True)
        sheets += [_cluster_sheet(MIXED, fact, train, images) for fact in mixed[:per_kind]]
        return sheets + _split_sheets(train, per_kind, images)
    over_cameras = sorted((fact for fact in facts if fact.cameras > 1), key=lambda fact: -(fact.camera_mixing or 0))
    return sheets + [_cluster_sheet(CAMERAS, fact, train, images) for fact in over_cameras[:per_kind]]


def outlier_group(train: TrainingImages, *, images: int, rng: np.random.Generator) -> Group:
    """Random outliers, in the order of the data set."""
    rows = np.flatnonzero(train.labels < 0)
    shown = np.sort(rng.permutation(rows)[:images])
    return Group("", shown.tolist(), len(rows) - len(shown))


def _strangers(fact: ClusterFacts) -> float:
    """Images that are not of the cluster's most frequent identity."""
    return fact.images * (1 - (fact.purity or 0))


def _cluster_sheet(kind: str, fact: ClusterFacts, train: TrainingImages, images: int) -> Sheet:
    members = np.flatnonzero(train.labels == fact.cluster)
    texts = [_count(fact.images, "image")] + ([_count(fact.cameras, "camera")] if fact.cameras else [])
    if fact.identities is None or fact.purity is None:
        groups = _shared_out({"": members}, train.camids, images)
    else:
        texts += [_count(fact.identities, "identity", "identities"), f"purity {fact.purity:.0%}"]
        people = {f"identity {pid}": members[train.pids[members] == pid] for pid in np.unique(train.pids[members])}
        groups = _shared_out(people, train.camids, images)
    return Sheet(kind, f"Cluster {fact.cluster}", " · ".join(texts), groups)


def _split_sheets(train: TrainingImages, per_kind: int, images: int) -> list[Sheet]:
    """Identities with the most images outside of the cluster that holds most of them."""
    inside = np.flatnonzero(train.labels >= 0)
    pairs, counts = np.unique(np.stack([train.pids, train.labels])[:, inside], axis=1, return_counts=True)
    people, starts, parts = np.unique(pairs[0], return_index=True, return_counts=True)
    if not len(people):
        return []
    outside = np.add.reduceat(counts, starts) - np.maximum.reduceat(counts, starts)  # per identity
    sheets = []
    for index in np.argsort(-outside, kind="stable")[:per_kind]:
        if parts[index] < 2:
            break
        rows = np.flatnonzero(train.pids == people[index])
        clusters = pairs[1, starts[index] : starts[index] + parts[index]].tolist()
        groups = {f"cluster {cluster}": rows[train.labels[rows] == cluster] for cluster in clusters}
        outliers = rows[train.labels[rows] < 0]
        if len(outliers):
            groups["outliers"] = outliers
        facts = [_count(len(rows), "image"), f"{parts[index]} clusters", _count(len(outliers), "outlier")]
        shown = _shared_out(groups, train.camids, images)
        sheets.append(Sheet(SPLIT, f"Identity {people[index]}", " · ".join(facts), shown))
    return sheets


def _shared_out(groups: dict[str, np.ndarray], camids: np.ndarray, images: int) -> list[Group]:
    """Give each group its share of a number of images, at least one; the largest groups first, outliers last."""
    names = sorted(groups, key=lambda name: (name == OUTLIERS, -len(groups[name])))[:images]
    total, shown, left = sum(map(len, groups.values())), [], images
    for place, name in enumerate(names):
        fair = round(images * len(groups[name]) / total)
        share = max(1, min(fair, left - (len(names) - place - 1)))
        rows = _over_cameras(groups[name], camids)[:share]
        shown.append(Group(name, sorted(rows), len(groups[name]) - len(rows)))
        left -= len(rows)
    return shown


def _over_cameras(rows: np.ndarray, camids: np.ndarray) -> list[int]:
    """Rows in an order whose beginning shows every camera: the first of each, then the second of each, ..."""
    cameras = camids[rows]
    turn = np.zeros(len(rows), dtype=np.int64)
    for camera in np.unique(cameras):
        turn[cameras == camera] = np.arange((cameras == camera).sum())
    return rows[np.lexsort((cameras, turn))].tolist()


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"


HEIGHT, MAX_WIDTH = 128, 128  # twice the size on the page, for sharp displays
_QUALITIES = (75, 55, 35)
MAX_BYTES = 2600  # what keeps a page of 5,000 pictures below 20 MB; few crops of people reach it


class Thumbnails:
    """Pictures as data URIs, each file read once."""

    def __init__(self, held: Mapping[str, Image.Image] | None = None) -> None:
        """Nothing is read yet; what is in memory already is not looked for in files."""
        self._uris: dict[str, str] = {name: _data_uri(image.copy()) for name, image in (held or {}).items()}

    def uri(self, path: str) -> str:
        """The picture of a file as a JPEG data URI; "" if the file cannot be read."""
        if path not in self._uris:
            try:
                self._uris[path] = _data_uri(load_image(path))
            except DataError:
                self._uris[path] = ""
        return self._uris[path]


def _data_uri(image: Image.Image) -> str:
    """At most HEIGHT high and MAX_WIDTH wide, of the best quality that fits into MAX_BYTES, else of the lowest."""
    image.thumbnail((MAX_WIDTH, HEIGHT), Image.Resampling.BICUBIC)
    for quality in _QUALITIES:
        data = io.BytesIO()
        image.save(data, "JPEG", quality=quality)
        if data.tell() <= MAX_BYTES:
            break
    return "data:image/jpeg;base64," + b64encode(data.getvalue()).decode("ascii")
