"""What export.json and the metadata of an ONNX file say: input, output, and what evaluations do beside the network."""

import json
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from ppreid.tables import LAYOUTS

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# the only names an export has; a manifest from elsewhere cannot lead out of its folder
FileName = Literal["model.json", "model.pdmodel", "model.pdiparams", "model.onnx"]
Side = Annotated[int, Field(ge=3, le=1024)]
LEAST_SIDE = 16  # of images; channels are three


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class InputDescription(_Part):
    """What the caller gives: pixels, resized but otherwise as they are in the file, unless the layout says more."""

    name: Literal["images"] = "images"
    layout: str = "nhwc-uint8"
    """A key of LAYOUTS: the order of the axes, 0 to 255 or 0 to 1, and who subtracts the mean."""
    shape: tuple[Literal["batch"], Side, Side, Side]
    """Batch (any), height, width, channels; or batch, channels, height, width."""
    dtype: str = "uint8"
    colour: Literal["RGB"] = "RGB"
    resize: Literal["bicubic, antialiased (Pillow's Image.resize with BICUBIC)"] = (
        "bicubic, antialiased (Pillow's Image.resize with BICUBIC)"
    )
    """How an image of another size becomes height x width; the proportions are not kept."""
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    """After a division by 255, mean is subtracted and std divides: inside the network, with nchw-normalised outside."""

    @model_validator(mode="after")
    def _fits_its_layout(self) -> "InputDescription":
        row = LAYOUTS.get(self.layout)
        if row is None:
            raise ValueError(f"layout is {self.layout[:40]!r}")
        channels = self.shape[1] if row.channels_first else self.shape[3]
        if channels != 3 or min(self.size) < LEAST_SIDE or self.dtype != row.dtype:
            raise ValueError(f"shape {list(self.shape)} and type {self.dtype[:40]!r} are none of layout {self.layout}")
        return self

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the images."""
        return self.shape[2:] if LAYOUTS[self.layout].channels_first else self.shape[1:3]


class OutputDescription(_Part):
    """What the network gives."""

    name: Literal["features"] = "features"
    shape: tuple[Literal["batch"], Annotated[int, Field(ge=1)]]
    """Batch, feature dimension."""
    dtype: Literal["float32"] = "float32"
    unit_length: Literal[True] = True
    similarity: Literal["cosine: the dot product of two rows"] = "cosine: the dot product of two rows"


class EvaluationDescription(_Part):
    """What evaluations and searches of the configuration do beside the network, by key; nothing of it is in the files.

    Where all is off, the cosine of two rows is what they compare by.
    """

    flip: bool = False
    """Features of an image and its mirror image are averaged."""
    within_tracks: float = 0.0
    """Behind a map that is learned from tracks, network and colour each by itself; 0 is off."""
    camera_centre: float = 0.0
    """Less the mean of the camera, which is shrunk as if so many images had the mean of all; 0 is off."""
    colour: float = 0.0
    """Share of the colour of the images in their similarity."""

    @property
    def text(self) -> str:
        """What is not off, as a configuration says it; empty where nothing is."""
        beside = self.model_dump(exclude_defaults=True)
        return ", ".join(f"eval.{key}: {json.dumps(value)}" for key, value in beside.items())


class Description(_Part):
    """What is also inside an ONNX file, under its metadata key `ppreid`."""

    format_version: Literal[1] = 1
    ppreid: str
    paddle: str
    backbone: str
    weights_sha256: Sha256
    input: InputDescription
    output: OutputDescription
    evaluation: EvaluationDescription = EvaluationDescription()  # earlier exports do not say


class Manifest(Description):
    """Everything in export.json.

    Attributes:
        files: SHA-256 of every other file of the export.
    """

    files: dict[FileName, Sha256]
