"""Who is seen by which camera how often: the images of a generated data set before they are drawn."""

from typing import NamedTuple

import numpy as np

from ppreid.datasets.folder_layout import BOUNDING_BOX_LAYOUT
from ppreid.demo.appearance import FAMILY_SIZE, Appearance, random_appearance
from ppreid.demo.camera import Camera, random_camera

_TRAIN, _QUERY, _GALLERY = BOUNDING_BOX_LAYOUT
_FRAME_STEP = 25  # between two images of one person: a second of video
_FIRST_DISTRACTOR = 1_000_003  # far from the identities, and the first of a family; see `person_numbered`

# Each kind of randomness has its own stream, so that, for example, more identities leave the cameras as they are.
_CAMERA, _FAMILY, _PERSON, _SIGHTING, _IMAGE, _WAY, _FRAME = range(7)


class Shot(NamedTuple):
    """One image to be made.

    Attributes:
        file: path inside the data set.
        person: number of the person; a distractor has one of its own although its file says identity 0.
        camera: 0-based.
        number: 0, 1, ... for the images of this person in this camera.
    """

    file: str
    person: int
    camera: int
    number: int


def plan_shots(
    *,
    train_identities: int,
    test_identities: int,
    cameras: int,
    train_images_per_camera: tuple[int, int],
    test_images_per_camera: tuple[int, int],
    distractors: int,
    seed: int,
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

    Returns:
        All images of the data set.
    """
    shots = []
    for person in range(1, train_identities + test_identities + 1):
        in_training = person <= train_identities
        least, most = train_images_per_camera if in_training else test_images_per_camera
        rng = _stream(seed, _SIGHTING, person)
        num_seen_by = rng.integers(max(2, -(-2 * cameras // 3)), cameras, endpoint=True)
        for camera in np.sort(rng.permutation(cameras)[:num_seen_by]).tolist():
            first_frame, count = int(rng.integers(1, 60_000)), int(rng.integers(least, most, endpoint=True))
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


def camera_numbered(seed: int, camera: int, *, difficulty: float) -> Camera:
    """The camera of this 0-based number."""
    return random_camera(_stream(seed, _CAMERA, camera), difficulty=difficulty)


def person_numbered(seed: int, person: int) -> Appearance:
    """The person of this number, counted from 1; each FAMILY_SIZE numbers are a family."""
    family = (person - 1) // FAMILY_SIZE
    return random_appearance(_stream(seed, _PERSON, person), _stream(seed, _FAMILY, family))


def image_stream(seed: int, shot: Shot) -> np.random.Generator:
    """Random numbers of one image."""
    return _stream(seed, _IMAGE, shot.person, shot.camera, shot.number)


def way_stream(seed: int, person: int) -> np.random.Generator:
    """Random numbers of where a person walks in a recording."""
    return _stream(seed, _WAY, person)


def frame_stream(seed: int, camera: int, frame: int) -> np.random.Generator:
    """Random numbers of one frame of a recording; those of the camera's street have frame -1 as their number."""
    return _stream(seed, _FRAME, camera, frame + 1)


def _file_name(pid: int, camera: int, frame: int) -> str:
    return f"{pid:04d}_c{camera + 1}s1_{frame:06d}_00.jpg"


def _stream(seed: int, *key: int) -> np.random.Generator:
    return np.random.default_rng((seed, *key))
