"""Images: which, how they are read, and how training changes them."""

from typing import Annotated, Literal

from pydantic import Field

from ppreid.choices import one_of
from ppreid.sections.base import Probability, Section
from ppreid.sections.camera_folder import CameraFolderConfig


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
    num_workers: Annotated[int, Field(ge=0, le=128)] = 4
    """Processes that decode images; 0 decodes in the main process. The result does not depend on it."""
    worker_timeout: Annotated[float, Field(gt=0, le=86400)] = 300.0
    """Seconds on one image after which a worker counts as hanging, which ends the run with an error."""
    on_bad_image: Literal["error", "skip"] = "error"
    """An unreadable image stops the run (error) or is left out of the whole run and counted (skip)."""
    camera_folder: CameraFolderConfig = CameraFolderConfig()


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
