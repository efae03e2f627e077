"""Make a data set of procedural pedestrians with the folders and names of Market-1501.

It needs no download and shows no real person. It shows that the pipeline learns; it is no evidence about real people,
or for one method over another.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ppreid.base.errors import ConfigError, DataError, WriteError
from ppreid.base.records import ReIDSplit
from ppreid.datasets.folder_layout import BOUNDING_BOX_LAYOUT, read_split
from ppreid.demo.camera import take_picture
from ppreid.demo.shots import Shot, camera_numbered, image_stream, passage_step, person_numbered, plan_shots
from ppreid.disk.places import followed, temporary_folder
from ppreid.disk.text import read_json

DESCRIPTION_FILE = "generated.json"
_DRAWING_VERSION = 1  # raise it when the same arguments give other images


def generate_demo_dataset(
    root: Path,
    *,
    train_identities: int = 72,
    test_identities: int = 64,
    cameras: int = 6,
    train_images_per_camera: tuple[int, int] = (3, 6),
    test_images_per_camera: tuple[int, int] = (3, 5),
    distractors: int = 200,
    passage_images: tuple[int, int] | None = None,
    one_camera: float = 0.0,
    difficulty: float = 0.3,
    height: int = 128,
    width: int = 64,
    seed: int = 0,
) -> ReIDSplit:
    """Write the data set, or find that it is already there.

    The same arguments give the same bytes with the same versions of numpy and Pillow. The folder appears when it is
    complete; a folder that holds anything else is never touched.

    Args:
        root: folder to make; missing, empty, or made by the same call before.
        train_identities: people in bounding_box_train, at least 1.
        test_identities: people in query and bounding_box_test, at least 1; nobody is in training and test.
        cameras: at least 2; each person is seen by two thirds of them or more.
        train_images_per_camera: least and most images of a person in a camera that sees the person.
        test_images_per_camera: the same for test people, at least 2; the first one is a query, the rest is gallery.
        distractors: gallery images of further people, each under identity 0.
        passage_images: least (2 or more) and most images of a passage: nearly equal images of one walk, with the street
            behind it, in names like 0002_c1s3_000100_00.jpg for passage 3. The two numbers for a camera, then 1 or
            more, are numbers of passages, and the first image of each is a query. None: images are single.
        one_camera: share of the training people whom one camera sees, 0 to 1.
        difficulty: 0 (cameras with equal colours, nothing hidden) to 1 (strong casts, noise, much hidden).
        height: of the images in pixels, at least 16.
        width: of the images in pixels, 8 to `height`.
        seed: start of all random numbers, 0 or more.

    Returns:
        The records of the data set on disk.

    Raises:
        ConfigError: arguments are out of range; all problems are listed.
        DataError: the folder holds something else or is damaged.
        WriteError: it cannot be written.
    """
    arguments = dict(locals())  # nothing else is local yet
    root = Path(arguments.pop("root")).expanduser()
    _check_arguments(arguments)
    for name, unused in (("passage_images", None), ("one_camera", 0.0)):
        if arguments[name] == unused:
            del arguments[name]  # so that folders made before there was such a thing are known again
    shots = plan_shots(
        train_identities=train_identities,
        test_identities=test_identities,
        cameras=cameras,
        train_images_per_camera=train_images_per_camera,
        test_images_per_camera=test_images_per_camera,
        distractors=distractors,
        seed=seed,
        passage_images=passage_images,
        one_camera=one_camera,
    )
    description = json.dumps({"drawing_version": _DRAWING_VERSION, **arguments}, indent=2)
    if not _is_already_there(root, description, shots):
        images = _draw_images(shots, cameras=cameras, difficulty=difficulty, height=height, width=width, seed=seed)
        try:
            _write_dataset(followed(root), description, images)
        except OSError as error:
            text = f"the demo data cannot be written to {root}: {error}; choose another folder"
            raise WriteError(error.errno, text) from error
    return read_split(root, BOUNDING_BOX_LAYOUT)


def draw_people(number: int, *, height: int, width: int, seed: int = 0) -> list[Image.Image]:
    """Images of different people, for checks that need something more like a photograph than noise.

    Args:
        number: of people, one image each.
        height: of the images in pixels, at least 16.
        width: of the images in pixels, 8 to `height`.
        seed: start of all random numbers.

    Returns:
        The images, RGB.
    """
    shots = [Shot("", person, person % 2, 0) for person in range(1, number + 1)]
    drawn = _draw_images(shots, cameras=2, difficulty=0.3, height=height, width=width, seed=seed)
    return [picture for _, picture, _ in drawn]


def _is_already_there(root: Path, description: str, shots: list[Shot]) -> bool:
    """Whether a folder holds exactly the data set that is asked for; DataError when it holds anything else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = read_json(root / DESCRIPTION_FILE)
    except DataError as error:
        raise DataError(
            f"{root} is not empty and holds no generated data ({DESCRIPTION_FILE} cannot be read: {error}); "
            "choose another folder"
        ) from error
    wanted = json.loads(description)
    if found != wanted:
        keys = [key for key in {**wanted, **found} if found.get(key) != wanted.get(key)]
        changes = [f"{key} is {found.get(key, 'not given')}, not {wanted.get(key, 'left out')}" for key in keys]
        raise DataError(
            f"{root} holds demo data made with other arguments: {'; '.join(changes)}; "
            "delete the folder or choose another one"
        )
    missing = [shot.file for shot in shots if not (root / shot.file).is_file()]
    if missing:
        raise DataError(
            f"{root} is damaged: {len(missing):,} of {len(shots):,} images are missing, the first is {missing[0]}; "
            "delete the folder and make it again"
        )
    return True


def _draw_images(
    shots: list[Shot], *, cameras: int, difficulty: float, height: int, width: int, seed: int
) -> Iterator[tuple[str, Image.Image, int]]:
    """File, picture and JPEG quality of each image."""
    devices = [camera_numbered(seed, camera, difficulty=difficulty) for camera in range(cameras)]
    people = {person: person_numbered(seed, person) for person in {shot.person for shot in shots}}
    for shot in shots:
        camera, rng = devices[shot.camera], image_stream(seed, shot)
        step = passage_step(seed, shot)
        picture = take_picture(camera, people[shot.person], rng, height=height, width=width, step=step)
        yield shot.file, picture, camera.jpeg_quality


def _write_dataset(root: Path, description: str, images: Iterable[tuple[str, Image.Image, int]]) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    with temporary_folder(root) as holder:
        temporary = holder / root.name
        for folder in BOUNDING_BOX_LAYOUT:
            (temporary / folder).mkdir(parents=True)
        for file, picture, quality in images:
            picture.save(temporary / file, quality=quality)
        (temporary / DESCRIPTION_FILE).write_text(description + "\n", encoding="utf-8")
        if root.exists():
            root.rmdir()  # it is empty
        temporary.rename(root)


def _check_arguments(arguments: Mapping[str, Any]) -> None:
    least = {"train_identities": 1, "test_identities": 1, "cameras": 2, "distractors": 0}
    least |= {"height": 16, "width": 8, "seed": 0}
    problems = [
        f"{name} is {arguments[name]}, but must be at least {bound}"
        for name, bound in least.items()
        if arguments[name] < bound
    ]
    ranges = {"train_images_per_camera": 1, "test_images_per_camera": 1 if arguments["passage_images"] else 2}
    if arguments["passage_images"]:
        ranges["passage_images"] = 2
    for name, bound in ranges.items():
        low, high = arguments[name]
        if not bound <= low <= high:
            problems.append(f"{name} is {low} to {high}, but must rise and start at {bound} or more")
    problems += [
        f"{name} is {arguments[name]}, but must be from 0 to 1"
        for name in ("difficulty", "one_camera")
        if not 0 <= arguments[name] <= 1
    ]
    if arguments["width"] > arguments["height"]:
        problems.append(f"width is {arguments['width']}, but must not exceed height, {arguments['height']}")
    if problems:
        raise ConfigError("the demo data cannot be made: " + "; ".join(problems))
