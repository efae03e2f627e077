"""Who is seen by which camera how often: the images of a generated data set before they are drawn."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ppreid.datasets.folder_layout import BOUNDING_BOX_LAYOUT
from ppreid.demo.appearance import FAMILY_SIZE, Appearance, random_appearance
from ppreid.demo.camera import Camera, Step, random_camera

_TRAIN, _QUERY, _GALLERY = BOUNDING_BOX_LAYOUT
_FRAME_STEP = 25  # between two images of one person: a second of video
_PASSAGE_STEP = 4  # between two images of a passage
_SLIDE = 0.13  # crop heights that somebody walks in that time, at most
_STRIDE = 0.31  # of half a turn of the legs, in that time
_FIRST_DISTRACTOR = 1_000_003  # far from the identities, and the first of a family; see `person_numbered`

# Each kind of randomness has its own stream, so that, for example, more identities leave the cameras as they are.
_CAMERA, _FAMILY, _PERSON, _SIGHTING, _IMAGE, _WAY, _FRAME, _ONE_CAMERA, _PASSAGE = range(9)


class Shot(NamedTuple):
    """One image to be made.

    Attributes:
        file: path inside the data set.
        person: number of the person; a distractor has one of its own although its file says identity 0.
        camera: 0-based.
        number: 0, 1, ... for the images of this person in this camera, or for the passages.
        frame: 0, 1, ... for the images of a passage; None where images are single.
    """

    file: str
    person: int
    camera: int
    number: int
    frame: int | None = None


def plan_shots(
    *,
    train_identities: int,
    test_identities: int,
    cameras: int,
    train_images_per_camera: tuple[int, int],
    test_images_per_camera: tuple[int, int],
    distractors: int,
    seed: int,
    passage_images: tuple[int, int] | None = None,
    one_camera: float = 0.0,
) -> list[Shot]:
    """Decide who is seen by which camera how often, and the names of the files.

    Args:
        train_identities: number of people to learn from.
        test_identities: number of people to search for.
        cameras: number of cameras.
        train_images_per_camera: least and most.
        test_images_per_camera: least and most.
        distractors: number of images.
        seed: start of the random numbers.
        passage_images: least and most images of a passage; None: images are single. With passages the two numbers for
            a camera are numbers of passages, each a track of its own.
        one_camera: share of the people to learn from whom one camera sees.

    Returns:
        All images of the data set.
    """
    shots: list[Shot] = []
    for person in range(1, train_identities + test_identities + 1):
        in_training = person <= train_identities
        least, most = train_images_per_camera if in_training else test_images_per_camera
        rng = _stream(seed, _SIGHTING, person)
        num_seen_by = int(rng.integers(max(2, -(-2 * cameras // 3)), cameras, endpoint=True))
        if in_training and _stream(seed, _ONE_CAMERA, person).random() < one_camera:
            num_seen_by = 1
        for camera in np.sort(rng.permutation(cameras)[:num_seen_by]).tolist():
            first_frame, count = int(rng.integers(1, 60_000)), int(rng.integers(least, most, endpoint=True))
            if passage_images:
                sizes = rng.integers(*passage_images, count, endpoint=True).tolist()
                shots += _passages(sizes, person, camera, first_frame, is_searched=not in_training)
                continue
            for number in range(count):
                folder = _TRAIN if in_training else _GALLERY if number else _QUERY
                name = _file_name(person, camera, first_frame + number * _FRAME_STEP)
                shots.append(Shot(f"{folder}/{name}", person, camera, number))
    for number in range(distractors):
        person = _FIRST_DISTRACTOR + FAMILY_SIZE * number
        rng = _stream(seed, _SIGHTING, person)
        camera, frame = int(rng.integers(cameras)), number * _FRAME_STEP + int(rng.integers(1, _FRAME_STEP))
        shots.append(Shot(f"{_GALLERY}/{_file_name(0, camera, frame)}", person, camera, 0))
    return shots


def _passages(sizes: Sequence[int], person: int, camera: int, frame: int, *, is_searched: bool) -> Iterator[Shot]:
    """Images of passages that follow each other; the first of each is a query, where people are searched for."""
    for number, size in enumerate(sizes):
        for image in range(size):
            folder = _TRAIN if not is_searched else _GALLERY if image else _QUERY
            name = _file_name(person, camera, frame + image * _PASSAGE_STEP, sequence=number + 1)
            yield Shot(f"{folder}/{name}", person, camera, number, image)
        frame += size * _PASSAGE_STEP + _FRAME_STEP


def camera_numbered(seed: int, camera: int, *, difficulty: float) -> Camera:
    """The camera of this 0-based number."""
    return random_camera(_stream(seed, _CAMERA, camera), difficulty=difficulty)


def person_numbered(seed: int, person: int) -> Appearance:
    """The person of this number, counted from 1; each FAMILY_SIZE numbers are a family."""
    family = (person - 1) // FAMILY_SIZE
    return random_appearance(_stream(seed, _PERSON, person), _stream(seed, _FAMILY, family))


def image_stream(seed: int, shot: Shot) -> np.random.Generator:
    """Random numbers of one image, and of all images of a passage."""
    return _stream(seed, _IMAGE, shot.person, shot.camera, shot.number)


def passage_step(seed: int, shot: Shot) -> Step | None:
    """Where in its passage an image is; None for a single one."""
    if shot.frame is None:
        return None
    key = _PASSAGE, shot.person, shot.camera, shot.number
    slide = _stream(seed, *key).uniform(-_SLIDE, _SLIDE)
    return Step(shot.frame * slide, shot.frame * _STRIDE * np.pi, _stream(seed, *key, shot.frame))


def way_stream(seed: int, person: int) -> np.random.Generator:
    """Random numbers of where a person walks in a recording."""
    return _stream(seed, _WAY, person)


def frame_stream(seed: int, camera: int, frame: int) -> np.random.Generator:
    """Random numbers of one frame of a recording; those of the camera's street have frame -1 as their number."""
    return _stream(seed, _FRAME, camera, frame + 1)


def _file_name(pid: int, camera: int, frame: int, *, sequence: int = 1) -> str:
    return f"{pid:04d}_c{camera + 1}s{sequence}_{frame:06d}_00.jpg"


def _stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng((seed, *key))
