"""Images: which, how they are read, and how training changes them."""

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from ppreid.config.choices import Probability, Section, not_empty, one_of, refusal
from ppreid.tables import DATASETS

# of red, green and blue
Means = Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=3, max_length=3)]
Deviations = Annotated[list[Annotated[float, Field(gt=0, le=1)]], Field(min_length=3, max_length=3)]
IMAGENET_MEAN, IMAGENET_STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


def _pattern_problem(key: str, pattern: str, groups: tuple[str, ...]) -> str:
    """What is wrong with a regular expression that must have certain named groups; empty when nothing is."""
    try:
        missing = [name for name in groups if name not in re.compile(pattern).groupindex]
    except re.error as error:
        where = "" if error.pos is None else f" at position {error.pos}: {pattern[error.pos :][:20]!r}"
        return f"{key} {pattern!r} is no regular expression: {error.msg}{where}"
    return f"{key} {pattern!r} has no group (?P<{missing[0]}>...)" if missing else ""


class CameraFolderConfig(Section):
    """The data set camera_folder: where cameras and labels of one's own images come from, see docs/own-cameras.md."""

    camera: Literal["folder", "regex", "csv", "none"] = "folder"
    """Camera of a training image: the first subfolder below data.root; `pattern` on its path; `csv`; or unknown."""
    pattern: str = ""
    """For regex: expression with the group (?P<camera>...) and, if you like, pid, searched in the path below root."""
    csv: str = ""
    """For csv: file with the columns path (absolute, or below data.root), camera and, if you like, pid."""
    unmatched: Literal["error", "skip", "unknown"] = "error"
    """Images whose path does not say the camera stop the run, are left out and counted, or have an unknown camera."""
    tracks: Annotated[str, not_empty("data.camera_folder.tracks", "set it to auto, none, found or a file")] = "auto"
    """Which images are of one track: a CSV with the columns path, camera, track and time; auto is tracks.csv in
    data.root where there is one; none is none; found: consecutive images of a camera whose colours are alike."""
    query: str = ""
    """Labelled images to search for, if there are any: a folder (see `label_pattern`) or a CSV with pid."""
    gallery: str = ""
    """Labelled images to search among; without query and gallery training reports label-free health only."""
    label_pattern: str = r"(?P<pid>-?\d+)_(?P<camera>c\d+)[^/]*$"
    """As `pattern`, for folders of labelled images, whose own name counts too; default: 0002_c1s1_000451_03.jpg."""

    @model_validator(mode="after")
    def _check_together(self) -> "CameraFolderConfig":
        """Refuse patterns that are none or lack a group, and keys that need each other."""
        problems = [
            _pattern_problem("pattern", self.pattern, ("camera",)) if self.camera == "regex" else "",
            _pattern_problem("label_pattern", self.label_pattern, ("camera", "pid")),
            "camera is csv, but csv names no file" if self.camera == "csv" and not self.csv else "",
            "query and gallery need each other; set both or none" if bool(self.query) != bool(self.gallery) else "",
        ]
        for key, source in (("pattern", "regex"), ("csv", "csv")):
            if getattr(self, key) and self.camera != source:
                problems.append(f"{key} is set, but has no effect while camera is {self.camera}; set it to {source}")
        if text := "; ".join(filter(None, problems)):
            raise refusal(f"data.camera_folder: {text}")
        return self


class DataConfig(Section):
    """Which images are read and how."""

    name: Annotated[str, one_of("data.name")] = "market1501"
    """Data set; switching data sets is this one line."""
    root: str = "data"
    """Folder that holds the data set's own folder (or that folder itself)."""
    height: Annotated[int, Field(ge=16, le=1024)] = 256
    """Image height in pixels after resizing."""
    width: Annotated[int, Field(ge=16, le=1024)] = 128
    """Image width in pixels after resizing."""
    mean: Means = IMAGENET_MEAN
    """Subtracted from red, green and blue of a pixel, which are within 0 and 1; the default is ImageNet's."""
    std: Deviations = IMAGENET_STD
    """By which they are divided then. A network wants the numbers that it was trained with."""
    num_workers: Annotated[int, Field(ge=0, le=128)] = 4
    """Processes that decode images; 0 decodes in the main process. The result does not depend on it."""
    worker_timeout: Annotated[float, Field(gt=0, le=86400)] = 300.0
    """Seconds on one image after which a worker counts as hanging, which ends the run with an error."""
    on_bad_image: Literal["error", "skip"] = "error"
    """An unreadable image stops the run (error) or is left out of the whole run and counted (skip)."""
    track_pattern: str = ""
    """Regular expression that finds in the path below root which images of a camera are of one track, its group
    (?P<track>...), and when they were taken: (?P<frame>...) or, in seconds, (?P<time>...); see docs/own-cameras.md."""
    frame_rate: Annotated[float, Field(gt=0, le=1000)] = 25.0
    """Frames in a second, for track_pattern."""
    clock: Literal["camera", "shared", "track"] = "camera"
    """Which times compare: those of a camera; shared: of all cameras, and no two of them see the same place, so that
    whoever two cameras see at once is two people; track: none, every track counts from its own beginning."""
    camera_folder: CameraFolderConfig = CameraFolderConfig()

    @model_validator(mode="after")
    def _check_pattern(self) -> "DataConfig":
        """Refuse a pattern that is none or lacks its group."""
        text = _pattern_problem("track_pattern", self.track_pattern, ("track",)) if self.track_pattern else ""
        if text:
            raise refusal(f"data.{text}")
        return self

    @property
    def times_compare(self) -> bool:
        """Whether tracks of one camera that overlap in time were seen at once."""
        return self.clock != "track" and DATASETS[self.name].times_compare

    @property
    def shared_clock(self) -> bool:
        """Whether two cameras that see somebody at once see two people."""
        return self.clock == "shared"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.height, self.width

    @property
    def normalisation(self) -> dict[str, list[float]]:
        """Mean and deviation of the colours, by name."""
        return {"mean": self.mean, "std": self.std}

    @property
    def has_cameras(self) -> bool:
        """Whether the data set says which camera an image is from."""
        return getattr(self._own_section(), "camera", "") != "none"

    @property
    def is_labelled(self) -> bool:
        """Whether there are query and gallery images to evaluate with."""
        section = self._own_section()
        return not DATASETS[self.name].any_folder or bool(section and section.query and section.gallery)

    def _own_section(self) -> CameraFolderConfig | None:
        """The section with the keys of this data set; None where it has none."""
        name = DATASETS[self.name].settings
        return getattr(self, name) if name else None


class AugmentConfig(Section):
    """Random changes to training images."""

    flip: Probability = 0.5
    """Probability of mirroring."""
    pad: Annotated[int, Field(ge=0, le=256)] = 10
    """Black border in pixels before the random crop back to height x width."""
    erasing: Probability = 0.5
    """Probability of erasing a random rectangle."""
    color_jitter: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Strength of brightness, contrast and saturation changes; 0 is off, as in the released ISE."""
    grayscale: Probability = 0.0
    """Probability that an image loses its colours; 0 is off, as in the released ISE."""
    style_mix: Probability = 0.0
    """Probability that behind the first stage of the network the maps of an image get a mean and deviation between
    their own and those of an image of another camera in the batch (MixStyle); 0 is off. Cameras must be known."""
