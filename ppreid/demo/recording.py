"""Draw what cameras record: people who walk, meet, leave and come back, with their true boxes and identities.

It shows no real person. As with the other drawn data, what is measured on it says that a chain works from its beginning
to its end, and nothing about real recordings.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from ppreid.demo.appearance import Appearance
from ppreid.demo.body import draw_person
from ppreid.demo.camera import Camera, develop
from ppreid.demo.canvas import Canvas
from ppreid.demo.scene import MARGIN, cut_background
from ppreid.demo.shots import camera_numbered, frame_stream, person_numbered
from ppreid.demo.walks import Place, Walk, place_at

_SUPERSAMPLING = 2  # people are drawn this much larger and averaged down, which makes edges smooth
_REACH = 0.35  # body heights to either side within which all of a person is drawn
_LEAST_SIDE = 8  # pixels of a box that count as something to see: less is a hand at the edge


class TrueBox(NamedTuple):
    """Where somebody is in a frame.

    Attributes:
        person: number, from 1, the same in all cameras.
        x: left edge in pixels.
        y: upper edge in pixels.
        width: in pixels, within the picture.
        height: in pixels, within the picture.
        visibility: share of the person in the picture that nobody nearer hides, 0 to 1.
    """

    person: int
    x: int
    y: int
    width: int
    height: int
    visibility: float


def draw_frames(
    walks: Sequence[Walk],
    *,
    camera: int,
    seconds: float,
    rate: float,
    size: tuple[int, int],
    difficulty: float,
    seed: int,
) -> Iterator[tuple[Image.Image, list[TrueBox]]]:
    """Draw the frames of one camera.

    Args:
        walks: of all people; those through other cameras are left out.
        camera: 0-based.
        seconds: length of the recording.
        rate: frames per second.
        size: width and height of the picture in pixels.
        difficulty: 0 to 1, see `ppreid.demo.camera.random_camera`; nothing but other people hides anybody.
        seed: start of all random numbers.

    Yields:
        Frames, RGB, with the boxes of everybody of whom there is something to see, the farthest person first.
    """
    device = camera_numbered(seed, camera, difficulty=difficulty)
    street = _street(device, frame_stream(seed, camera, -1), size)
    own = sorted((walk for walk in walks if walk.camera == camera), key=lambda walk: walk.depth)
    looks = {walk.person: person_numbered(seed, walk.person) for walk in own}
    aspect = size[0] / size[1]
    for frame in range(round(seconds * rate)):
        there = [(walk.person, place_at(walk, frame / rate, aspect)) for walk in own]
        seen = [(person, looks[person], place) for person, place in there if place is not None]
        picture, boxes = _draw_people(street, seen, size)
        yield develop(device, picture, frame_stream(seed, camera, frame)), boxes


def _street(camera: Camera, rng: np.random.Generator, size: tuple[int, int]) -> Image.Image:
    """The part of a camera's scene that is behind everybody, larger by _SUPERSAMPLING."""
    width, height = (side * _SUPERSAMPLING for side in size)
    whole = Canvas(Image.new("RGB", (width, height)), scale=height / (1 + 2 * MARGIN), origin=(0, height))
    cut_background(camera.scene, rng, whole)
    return whole.image


def _draw_people(
    street: Image.Image, seen: Sequence[tuple[int, Appearance, Place]], size: tuple[int, int]
) -> tuple[Image.Image, list[TrueBox]]:
    """A frame before the camera's colours, and its boxes; `seen` has the farthest person first."""
    picture, scale = street.copy(), street.height
    owner = np.zeros((street.height, street.width), np.int32)  # whose pixel it is: row of `seen`, from 1
    drawn = []
    for row, (_, look, place) in enumerate(seen, start=1):
        body, x, y = place.size * look.stature * scale, place.x * scale, place.y * scale
        # drawing takes time with the size of what is drawn on, so that is a part, which may go beyond the picture
        left, top, right = round(x - _REACH * body), max(0, round(y - 1.2 * body)), round(x + _REACH * body)
        part = picture.crop((left, top, right, street.height))
        before = np.asarray(part)
        draw_person(Canvas(part, scale=body, origin=(x - left, y - top)), look, place.pose)
        picture.paste(part, (left, top))
        mask = (np.asarray(part) != before).any(axis=2)[:, max(0, -left) : max(0, street.width - left)]
        left = max(0, left)
        owner[top:, left : left + mask.shape[1]][mask] = row
        drawn.append((left, top, mask))
    boxes = [
        _box(person, left, top, mask, int((owner == row).sum()))
        for row, ((person, _, _), (left, top, mask)) in enumerate(zip(seen, drawn, strict=True), start=1)
    ]
    return picture.resize(size, Image.Resampling.BOX), [box for box in boxes if box is not None]


def _box(person: int, left: int, top: int, mask: np.ndarray, visible: int) -> TrueBox | None:
    """Box of the pixels of a person; None where there is hardly anything of the person in the picture."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return None
    x, y = (left + columns[0]) // _SUPERSAMPLING, (top + rows[0]) // _SUPERSAMPLING
    width = (left + columns[-1]) // _SUPERSAMPLING + 1 - x
    height = (top + rows[-1]) // _SUPERSAMPLING + 1 - y
    if min(width, height) < _LEAST_SIDE:
        return None
    return TrueBox(person, int(x), int(y), int(width), int(height), visible / int(mask.sum()))
