"""Tracks of crops that no tracker numbered: consecutive images of one camera that look alike."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ppreid.base.errors import DataError
from ppreid.base.progress import progress
from ppreid.datasets.camera_table import NamedImage, natural_order
from ppreid.datasets.colour import colour_stripes
from ppreid.datasets.image_file import load_image
from ppreid.datasets.tracks import UNKNOWN, Tracked

# Cosine of two colours. Of consecutive crops of one passage 93 % are more similar (real crops of 22 people by six
# cameras), and 13 % of those between two passages, some of which are of one person.
ALIKE = 0.8
THREADS = 4


def found_tracks(images: Sequence[NamedImage], *, alike: float = ALIKE) -> dict[str, Tracked]:
    """Find tracks: an image belongs to that of the image before it in its camera where their colours are alike.

    Args:
        images: with the names of their cameras; within a camera the natural order of paths is that of time. Images of
            an unknown camera are in no track, and neither are those that cannot be read, which end one.
        alike: least cosine of the colours, see `colour_stripes`.

    Returns:
        Camera and track of each image, by its path; when it was taken is unknown.
    """
    order = sorted((image for image in images if image.camera), key=lambda image: natural_order(image.path))
    order.sort(key=lambda image: natural_order(image.camera))
    found: dict[str, Tracked] = {}
    camera, track, before = "", UNKNOWN, np.zeros(0)
    with ThreadPoolExecutor(THREADS) as pool:
        colours = progress(pool.map(_colour, (image.path for image in order)), total=len(order), description="tracks")
        for image, colour in zip(order, colours, strict=True):
            if image.camera != camera:
                camera, track, before = image.camera, UNKNOWN, np.zeros(0)
            if len(colour):
                track += not (len(before) and float(before @ colour) >= alike)
                found[image.path] = Tracked(camera, track, UNKNOWN)
            before = colour
    return found


def _colour(path: str) -> np.ndarray:
    """Of an image; empty where it cannot be read, which is said where it is used."""
    try:
        return colour_stripes(load_image(path))
    except DataError:
        return np.zeros(0)
