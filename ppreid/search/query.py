"""Queries to an index in memory: images, their features, the most similar images."""

import logging
import os
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from ppreid.base.errors import ConfigError, DataError, PpreidWarning, unknown_choice
from ppreid.base.reading import is_there
from ppreid.base.records import ImageRecord
from ppreid.contracts import ImageFeatures
from ppreid.datasets.image_dataset import find_unreadable
from ppreid.datasets.image_file import Source, named_images
from ppreid.datasets.image_folder import find_images
from ppreid.evaluation.inputs import Preparation
from ppreid.search.centred import Centring, centring_of
from ppreid.search.files import Manifest, read_lists, read_parts
from ppreid.search.gallery import GallerySearch, InvertedLists
from ppreid.search.results import Match, SearchResult
from ppreid.tables import DEFAULT_PROBES

logger = logging.getLogger("ppreid")
AS_THEY_ARE = Preparation()


class IndexSearch:
    """An index in memory, for many searches."""

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        *,
        extract: ImageFeatures,
        skip_unreadable: bool,
        num_workers: int,
        show_times: bool = True,
        how: Preparation = AS_THEY_ARE,
    ) -> None:
        """Read the features of an index.

        Args:
            folder: of the index.
            manifest: of the index.
            extract: images to features (n, D) with the network of the index.
            skip_unreadable: leave unreadable queries out, with a warning, instead of stopping.
            num_workers: processes that look for these.
            show_times: whether matches have the times of their images; where every track has a clock of its own, they
                would say nothing.
            how: features are compared. Colour is in those that `extract` gives and that the index holds; they are
                centred here, by the means of the index, and not where search is approximate.

        Raises:
            DataError: the index is damaged.
        """
        parts = read_parts(folder, manifest)
        self._cameras = manifest.cameras
        self._paths = [name for part in parts for name in part.names]
        self._row_of = {path: row for row, path in enumerate(self._paths)}
        self._camids = np.concatenate([part.camids for part in parts])
        times = [part.times if show_times else None for part in parts]
        self._times = np.concatenate(
            [
                np.full(len(part.names), -1.0) if known is None else known
                for known, part in zip(times, parts, strict=True)
            ]
        )
        lists = InvertedLists(*read_lists(folder, manifest)) if manifest.method == "ivf" else None
        features = [part.features for part in parts]
        self._centred: Centring = lambda rows, camids: rows
        if how.camera_centre:
            self._centred = centring_of(
                features, self._camids, shrinkage=how.camera_centre, colour_weight=how.colour_weight
            )
            features = [self._centred(part.features, part.camids) for part in parts]
        self._gallery = GallerySearch(features, self._camids, lists)
        self._extract, self._skip_unreadable, self._num_workers = extract, skip_unreadable, num_workers
        logger.info("%s: %d images, %s search", folder, len(self._paths), manifest.method)

    def search(
        self,
        queries: Source | Iterable[Source],
        *,
        k: int = 10,
        min_similarity: float = -1.0,
        camera: str | None = None,
        other_cameras: bool = False,
        num_probes: int | None = None,
    ) -> list[SearchResult]:
        """Find the most similar images for every query; a query that is in the index is not its own match.

        Args:
            queries: image files, or folders, which are searched with their subfolders; or images in memory, see
                `named_images`, which are never in the index.
            k: images per query, at most.
            min_similarity: least cosine of a match, -1 to 1.
            camera: name of the camera of queries that are not in the index; None is unknown.
            other_cameras: leave out images of the query's own camera.
            num_probes: inverted lists to look into, for an index with approximate search; None is DEFAULT_PROBES.

        Returns:
            One result per query image, in the order given.

        Raises:
            ConfigError: a number is out of range, or a camera is unknown.
            DataError: a query is missing or unreadable.
        """
        num_probes = DEFAULT_PROBES if num_probes is None else num_probes
        if k < 1 or num_probes < 1 or not -1 <= min_similarity <= 1:
            raise ConfigError("search needs k and num_probes of at least 1, and a min_similarity from -1 to 1")
        records, held = self._query_records(queries, self._camid(camera))
        camids = np.array([record.camid for record in records])
        if other_cameras and (camids < 0).any():
            path = records[int(np.argmin(camids))].path
            raise ConfigError(f"the camera of query {path} is not known: it is not in the index; name it with --camera")
        answers = self._gallery.nearest(
            self._centred(self._extract(records, held=held), camids),
            k,
            own_rows=np.array([self._row_of.get(record.path, -1) for record in records]),
            own_cameras=camids if other_cameras else np.full(len(records), -1),
            min_similarity=min_similarity,
            num_probes=num_probes,
        )
        results = []
        for record, answer in zip(records, answers, strict=True):
            rows = zip(answer.rows.tolist(), answer.similarities.tolist(), strict=True)
            matches = tuple(self._match(row, cosine) for row, cosine in rows)
            results.append(SearchResult(record.path, self._camera(record.camid), matches, record.time))
        return results

    def _query_records(
        self, queries: Source | Iterable[Source], camid: int
    ) -> tuple[list[ImageRecord], dict[int, Image.Image]]:
        """Images of files and folders, each once, with absolute paths and the cameras that are known."""
        names, held = named_images(queries)
        paths: dict[str, Image.Image | None] = {}
        for number, name in enumerate(names):
            if number in held:
                paths[name] = held[number]
                continue
            query = Path(name)
            is_folder = os.path.isdir(query)  # never raises, unlike that of pathlib
            if not is_folder and not is_there(query, DataError):
                raise DataError(f"there is no query {query}; give images, or folders of images")
            found = [record.path for record in find_images(query)] if is_folder else [str(query)]
            paths |= dict.fromkeys(map(os.path.abspath, found))
        rows = [self._row_of.get(path, -1) for path in paths]
        known = [(int(self._camids[row]), float(self._times[row])) if row >= 0 else (camid, -1.0) for row in rows]
        records = [ImageRecord(path, -1, number, time=time) for path, (number, time) in zip(paths, known, strict=True)]
        if self._skip_unreadable:
            records = self._readable(records, [record for record in records if paths[record.path] is None])
        shown = [paths[record.path] for record in records]
        return records, {row: image for row, image in enumerate(shown) if image is not None}

    def _readable(self, records: list[ImageRecord], in_files: Sequence[ImageRecord]) -> list[ImageRecord]:
        """Without those whose file cannot be read."""
        unreadable = {in_files[row]: text for row, text in find_unreadable(in_files, num_workers=self._num_workers)}
        if len(unreadable) == len(records):
            raise DataError(f"all {len(records)} queries are unreadable, e.g.: {next(iter(unreadable.values()))}")
        for reason in unreadable.values():
            warnings.warn(f"a query is left out: {reason}", PpreidWarning, stacklevel=5)
        return [record for record in records if record not in unreadable]

    def _camid(self, name: str | None) -> int:
        if name is not None and name not in self._cameras:
            raise ConfigError(unknown_choice("the camera of the queries", name, self._cameras))
        return self._cameras.index(name) if name is not None else -1

    def _match(self, row: int, similarity: float) -> Match:
        return Match(self._paths[row], similarity, self._camera(self._camids[row]), time=float(self._times[row]))

    def _camera(self, camid: int) -> str:
        return self._cameras[camid] if camid >= 0 else ""
