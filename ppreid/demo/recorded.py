"""Make recordings of procedural pedestrians: a video for each camera, and beside it who is where as MOTChallenge text.

What is true about them is known, so that the whole way from recordings to a trained network can be measured. It is no
evidence about real recordings.
"""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ppreid.base.errors import ConfigError, DataError, WriteError
from ppreid.base.optional import opencv
from ppreid.demo.recording import TrueBox, draw_frames
from ppreid.demo.walks import plan_walks
from ppreid.disk.places import temporary_folder
from ppreid.disk.text import read_json

RECORDINGS_FILE = "recordings.json"
_DRAWING_VERSION = 1  # raise it when the same arguments give other pictures
_MOST_CAMERAS = 16
_LEAST = {"cameras": 1, "people": 1, "width": 160, "height": 200, "seed": 0}  # 200: people of 90 pixels and more


def generate_recordings(
    root: Path,
    *,
    cameras: int = 2,
    people: int = 12,
    seconds: float = 30.0,
    rate: float = 10.0,
    width: int = 320,
    height: int = 240,
    difficulty: float = 0.3,
    seed: int = 0,
) -> list[Path]:
    """Write the recordings, or find that they are already there.

    The same arguments give the same bytes with the same versions of numpy, Pillow and OpenCV. The folder appears when
    it is complete; a folder that holds anything else is never touched.

    Args:
        root: folder to make; missing, empty, or made by the same call before. It gets camera1.mp4 and so on, and
            beside each a .txt with a line for every person in every frame: frame (from 1), identity (the same for all
            cameras), left, top, width and height in pixels, 1, 1, visibility (0 to 1).
        cameras: 1 to 16.
        people: at least 1; everybody walks from camera to camera, or back into the same one.
        seconds: length, above 0.
        rate: frames per second, 1 to 60.
        width: of the picture in pixels, at least 160.
        height: of the picture in pixels, at least 200; people have 0.45 to 0.64 of it.
        difficulty: 0 (cameras with equal colours) to 1 (strong casts, blur, noise).
        seed: start of all random numbers, 0 or more.

    Returns:
        The videos, camera by camera.

    Raises:
        ConfigError: arguments are out of range; all problems are listed. Or OpenCV is missing.
        DataError: the folder holds something else.
        WriteError: it cannot be written.
    """
    arguments = dict(locals())  # nothing else is local yet
    root = Path(arguments.pop("root")).expanduser()
    _check_arguments(arguments)
    videos = [root / f"camera{camera + 1}.mp4" for camera in range(cameras)]
    description = {"drawing_version": _DRAWING_VERSION, **arguments}
    if not _is_already_there(root, description, videos):
        try:
            _write_recordings(root, description, **arguments)
        except OSError as error:
            text = f"the recordings cannot be written to {root}: {error}; choose another folder"
            raise WriteError(error.errno, text) from error
    return videos


def _is_already_there(root: Path, description: dict[str, Any], videos: list[Path]) -> bool:
    """Whether a folder holds exactly what is asked for; DataError when it holds anything else."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    try:
        found = read_json(root / RECORDINGS_FILE)
    except DataError as error:
        raise DataError(
            f"{root} is not empty and holds no drawn recordings ({error}); choose another folder"
        ) from error
    missing = [file.name for video in videos for file in (video, video.with_suffix(".txt")) if not file.is_file()]
    if found != description or missing:
        raise DataError(
            f"{root} holds recordings made with other arguments, or only a part of them; "
            "delete the folder or choose another one"
        )
    return True


def _write_recordings(
    root: Path,
    description: dict[str, Any],
    *,
    cameras: int,
    people: int,
    seconds: float,
    rate: float,
    width: int,
    height: int,
    difficulty: float,
    seed: int,
) -> None:
    root.parent.mkdir(parents=True, exist_ok=True)
    size = width, height
    walks = plan_walks(people=people, cameras=cameras, seconds=seconds, aspect=width / height, seed=seed)
    with temporary_folder(root) as holder:
        temporary = holder / root.name
        temporary.mkdir()
        for camera in range(cameras):
            video = temporary / f"camera{camera + 1}.mp4"
            frames = draw_frames(
                walks, camera=camera, seconds=seconds, rate=rate, size=size, difficulty=difficulty, seed=seed
            )
            boxes = _write_video(video, frames, rate=rate, size=size)
            lines = [_line(frame, box) for frame, there in enumerate(boxes, start=1) for box in there]
            video.with_suffix(".txt").write_text("".join(lines), encoding="utf-8")
        (temporary / RECORDINGS_FILE).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        if root.exists():
            root.rmdir()  # it is empty
        temporary.rename(root)


def _write_video(
    video: Path, frames: Iterable[tuple[Image.Image, list[TrueBox]]], *, rate: float, size: tuple[int, int]
) -> list[list[TrueBox]]:
    """Write frames as an MP4 file; gives the boxes of each."""
    cv2 = opencv("--recordings")
    writer = cv2.VideoWriter(str(video), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*"mp4v"), rate, size)
    if not writer.isOpened():
        raise OSError(None, f"OpenCV {cv2.__version__} cannot write MPEG-4 videos")
    boxes = []
    for picture, there in frames:
        writer.write(np.ascontiguousarray(np.asarray(picture)[:, :, ::-1]))  # OpenCV's pictures are blue, green, red
        boxes.append(there)
    writer.release()
    return boxes


def _line(frame: int, box: TrueBox) -> str:
    return f"{frame},{box.person},{box.x},{box.y},{box.width},{box.height},1,1,{box.visibility:.3f}\n"


def _check_arguments(arguments: dict[str, Any]) -> None:
    problems = [
        f"{name} is {arguments[name]}, but must be at least {bound}"
        for name, bound in _LEAST.items()
        if arguments[name] < bound
    ]
    if arguments["cameras"] > _MOST_CAMERAS:
        problems.append(f"cameras is {arguments['cameras']}, but must be at most {_MOST_CAMERAS}")
    if not 1 <= arguments["rate"] <= 60:
        problems.append(f"rate is {arguments['rate']}, but must be from 1 to 60")
    if not arguments["seconds"] * arguments["rate"] >= 1:
        problems.append(f"seconds is {arguments['seconds']}, which is less than a frame")
    if not 0 <= arguments["difficulty"] <= 1:
        problems.append(f"difficulty is {arguments['difficulty']}, but must be from 0 to 1")
    if arguments["width"] % 2 or arguments["height"] % 2:
        problems.append("width and height must be even, as videos want it")
    if problems:
        raise ConfigError("the recordings cannot be made: " + "; ".join(problems))
