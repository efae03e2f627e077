"""Recordings to frames: video files, folders of pictures, and streams from a network; one of them is one camera."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from ppreid.base.errors import ConfigError, DataError, printable
from ppreid.base.optional import opencv
from ppreid.base.reading import is_there, reading
from ppreid.datasets.folder_layout import IMAGE_SUFFIXES
from ppreid.datasets.image_file import load_image

_URL = re.compile(r"(rtsps?|https?|rtmp|udp|tcp|srt)://", re.IGNORECASE)
_LONGEST = 100  # letters of a camera's name
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{_LONGEST - 1}}}")  # it becomes a folder
_USUAL_RATE = 25.0  # frames per second, where a container says nothing that can be true
_MOST_FAILURES = 100  # frames one after the other that cannot be read: the end of the file
_CONTAINERS = {"MP4 or MOV": (4, b"ftyp"), "AVI": (8, b"AVI "), "Matroska or WebM": (0, b"\x1aE\xdf\xa3")}
_CONTAINERS |= {"MPEG-TS": (0, b"G"), "MPEG-PS": (0, b"\x00\x00\x01\xba"), "FLV": (0, b"FLV"), "Ogg": (0, b"OggS")}


class Frame(NamedTuple):
    """One frame.

    Attributes:
        number: from 0.
        time: in seconds, see `Recording.frames`.
        picture: (H, W, 3) uint8 RGB; None where nobody wants to see it.
    """

    number: int
    time: float
    picture: np.ndarray | None


def name_cameras(sources: Sequence[str], names: Sequence[str]) -> list[str]:
    """Names of the cameras: the given ones, or else those of files, folders and hosts.

    Args:
        sources: what the user gave.
        names: as many, or none.

    Raises:
        ConfigError: a name cannot be a folder, two are the same, or there are more or fewer names than sources.
    """
    if names and len(names) != len(sources):
        raise ConfigError(f"{len(sources)} sources, but --camera was given {len(names)} times; give it once for each")
    found = list(names) or [_usual_name(source) for source in sources]
    for source, name in zip(sources, found, strict=True):
        if not _NAME.fullmatch(name):
            text = f"the camera of {printable(source)} would be called {printable(name)!r}"
            raise ConfigError(f"{text}; give --camera with a name of letters, digits, dots, - and _")
    twice = next((name for name in found if found.count(name) > 1), None)
    if twice:
        raise ConfigError(f"two cameras are called {twice!r}; give --camera NAME once for each source")
    return found


def _usual_name(source: str) -> str:
    name = urlsplit(source).hostname or "" if _URL.match(source) else Path(source.rstrip("/")).stem
    return re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:_LONGEST]


class Recording:
    """An opened source.

    Attributes:
        source: what the user gave.
        size: width and height of the first picture.
        declared: number of frames that the source promises; None: it goes on until somebody ends it.
        damaged: frames that could not be read, so far.
        missing: frames that were promised and did not come, known at the end.
        first_number: of the frames; 0, unless somebody goes on with a stream.
    """

    def __init__(self, source: str, *, rate: float = _USUAL_RATE, timeout: float = 10.0) -> None:
        """Open a source and look at its first picture.

        Args:
            source: video file, folder of pictures, or URL.
            rate: frames per second of a folder of pictures.
            timeout: seconds after which a stream that sends nothing has ended.

        Raises:
            DataError: it is missing, empty, no recording, or its codec is missing.
            ConfigError: OpenCV is needed and missing.
        """
        self.source = source
        self.damaged = self.missing = self.first_number = 0
        self._rate = rate
        self._files: list[Path] = []
        self._capture: Any = None
        if not _URL.match(source) and os.path.isdir(source):
            self._open_folder(Path(source))
        else:
            self._open_video(source, timeout)

    @property
    def is_live(self) -> bool:
        """Whether it has no end of its own, and no frame of it can be had again."""
        return self.declared is None

    def frames(self, is_wanted: Callable[[int, float], bool]) -> Iterator[Frame]:
        """All frames, one at a time, in their order.

        Args:
            is_wanted: (number, time) -> whether the picture is to be looked at; called once for each frame.

        Yields:
            The frames that can be read. Their time is what the container says, from 0 on, in seconds (so that a varying
            frame rate does no harm); in a folder number / rate; of a stream without an end the seconds since 1970.
        """
        return self._frames_of_folder(is_wanted) if self._files else self._frames_of_video(is_wanted)

    def _open_folder(self, folder: Path) -> None:
        with reading(folder, DataError):
            names = sorted(entry.name for entry in os.scandir(folder))
        self._files = [folder / name for name in names if Path(name).suffix.lower() in IMAGE_SUFFIXES]
        if not self._files:
            raise DataError(f"{folder} holds no pictures ({len(names)} other entries); give a folder of frames")
        self.declared: int | None = len(self._files)
        self.size = (0, 0)
        for file in self._files[:_MOST_FAILURES]:
            try:
                self.size = load_image(str(file)).size
                return
            except DataError as error:
                reason = error
        raise DataError(f"none of the first pictures in {folder} can be read: {reason}")

    def _open_video(self, source: str, timeout: float) -> None:
        is_url = bool(_URL.match(source))
        if not is_url:
            is_there(source, DataError)  # says what is no file; one that is missing is noticed when it is opened
            with reading(source, DataError), open(source, "rb") as file:
                if not os.fstat(file.fileno()).st_size:
                    raise DataError(f"{source} is empty (0 bytes); was the recording stopped or the copy broken off?")
        os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")  # what is wrong is said below, in one sentence
        cv2 = opencv("reading videos")
        limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, int(timeout * 1000), cv2.CAP_PROP_READ_TIMEOUT_MSEC]
        capture = cv2.VideoCapture(source, cv2.CAP_FFMPEG, [*limits, int(timeout * 1000)] if is_url else [])
        if not capture.isOpened():
            raise DataError(_why_not_opened(source, is_url, timeout))
        count, rate = (capture.get(key) for key in (cv2.CAP_PROP_FRAME_COUNT, cv2.CAP_PROP_FPS))
        self._rate = rate if 0.1 <= rate <= 1000 else _USUAL_RATE  # 90000 and the like: a clock, no rate
        self.declared = int(count) if count > 0 else None
        self.size = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH)), int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        self._capture, self._position = capture, cv2.CAP_PROP_POS_MSEC
        self._to_rgb = lambda picture: cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)

    def _frames_of_folder(self, is_wanted: Callable[[int, float], bool]) -> Iterator[Frame]:
        for number, file in enumerate(self._files):
            moment, picture = number / self._rate, None
            if is_wanted(number, moment):
                try:
                    picture = np.asarray(load_image(str(file)))
                except DataError:
                    self.damaged += 1
                    continue
            yield Frame(number, moment, picture)

    def _frames_of_video(self, is_wanted: Callable[[int, float], bool]) -> Iterator[Frame]:
        number, last, failures = 0, -1.0, 0
        while True:
            if not self._capture.grab():
                failures += 1
                if self.declared is None or number + failures >= self.declared or failures > _MOST_FAILURES:
                    break
                continue
            self.damaged, failures = self.damaged + failures, 0
            moment = time.time() if self.is_live else self._capture.get(self._position) / 1000
            if not moment > last and number:  # containers without times, and damaged ones
                moment = last + 1 / self._rate
            last = moment
            there, picture = True, None
            if is_wanted(self.first_number + number, moment):
                there, picture = self._capture.retrieve()
            if there:
                yield Frame(self.first_number + number, moment, None if picture is None else self._to_rgb(picture))
            else:
                self.damaged += 1
            number += 1
        if number == 0:
            raise DataError(
                f"no picture of {self.source} can be decoded: its codec is missing in this OpenCV, or the file is "
                "damaged; `ffmpeg -i FILE -c:v libx264 NEW.mp4` makes a video that can be read"
            )
        self.missing = max(0, (self.declared or 0) - number - self.damaged)


def _why_not_opened(source: str, is_url: bool, timeout: float) -> str:
    if is_url:
        advice = "is the camera on, and are address, user and password right?"
        return f"{_without_password(source)} sends no video within {timeout:g} seconds; {advice}"
    with open(source, "rb") as file:
        head = file.read(64)
    container = next((name for name, (at, mark) in _CONTAINERS.items() if head[at : at + len(mark)] == mark), None)
    if container is None:
        return f"{source} is no video that OpenCV knows; give a video file, a folder of pictures or a URL"
    return (
        f"{source} is {container} by its first bytes, but cannot be opened: it is cut off or damaged, or its codec is "
        "missing in this OpenCV; `ffmpeg -i FILE -c:v libx264 NEW.mp4` may make a video that can be read"
    )


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//...@", url)
