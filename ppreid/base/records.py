"""The records that travel from the data sets to everything else."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class ImageRecord(NamedTuple):
    """One person crop.

    Attributes:
        path: image file.
        pid: identity; -1 is unknown. In a gallery, 0 is a distractor that matches nobody.
        camid: 0-based camera; -1 is unknown.
        track: number of the track, one passage of one person through one camera, that the image is from; it is unique
            over all cameras of the data set, and -1 where no track is known.
        time: seconds, of a clock that all tracks of the camera share unless the data set says otherwise; -1 is unknown.
    """

    path: str
    pid: int
    camid: int
    track: int = -1
    time: float = -1.0


class ReIDSplit(NamedTuple):
    """The three parts of a re-identification data set.

    Row i of every array made from a part (features, labels, distances) belongs to record i of that part.

    Attributes:
        train: images that training may look at; their identities are used for reporting only.
        query: images to search for.
        gallery: images to search among.
    """

    train: tuple[ImageRecord, ...]
    query: tuple[ImageRecord, ...]
    gallery: tuple[ImageRecord, ...]


class DatasetContents(NamedTuple):
    """A data set as a reader found it.

    Attributes:
        split: its images.
        camera_names: name of each camera, entry i of camera i; empty where cameras have numbers only.
        notes: sentences for the log, e.g. about files that were left out.
    """

    split: ReIDSplit
    camera_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def ids(records: Sequence[ImageRecord]) -> tuple[np.ndarray, np.ndarray]:
    """Identities (N,) and cameras (N,) of records, int64."""
    return (
        np.array([record.pid for record in records], dtype=np.int64),
        np.array([record.camid for record in records], dtype=np.int64),
    )


def tracks(records: Sequence[ImageRecord]) -> tuple[np.ndarray, np.ndarray]:
    """Tracks (N,) int64 and times (N,) float64 of records, -1 where unknown."""
    return (
        np.array([record.track for record in records], dtype=np.int64),
        np.array([record.time for record in records], dtype=np.float64),
    )
