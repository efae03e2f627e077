"""export.json: what an exported network is, what it wants and what it gives."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ppreid.base.errors import WeightsError
from ppreid.base.reading import is_there, reading
from ppreid.disk.files import file_sha256

MAX_BYTES = 1 << 16  # of export.json, which has about 1,500; what comes behind them is not read
MANIFEST_FILE, ONNX_FILE = "export.json", "model.onnx"
STRUCTURE_FILES = ("model.json", "model.pdmodel")  # of Paddle Inference, as paddle 3 and paddle 2 name it
WEIGHTS_FILE = "model.pdiparams"
FILES = {"paddle": (*STRUCTURE_FILES, WEIGHTS_FILE), "onnx": (ONNX_FILE,)}  # by format
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
# the only names an export has; a manifest from elsewhere cannot lead out of its folder
FileName = Literal["model.json", "model.pdmodel", "model.pdiparams", "model.onnx"]
Side = Annotated[int, Field(ge=16, le=1024)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)


class InputDescription(_Part):
    """What the caller gives: pixels, resized but otherwise as they are in the file."""

    name: Literal["images"] = "images"
    shape: tuple[Literal["batch"], Side, Side, Literal[3]]
    """Batch (any), height, width, channels."""
    dtype: Literal["uint8"] = "uint8"
    colour: Literal["RGB"] = "RGB"
    resize: Literal["bicubic, antialiased (Pillow's Image.resize with BICUBIC)"] = (
        "bicubic, antialiased (Pillow's Image.resize with BICUBIC)"
    )
    """How an image of another size becomes height x width; the proportions are not kept."""
    mean: tuple[float, float, float]
    """Subtracted inside the network, after a division by 255."""
    std: tuple[float, float, float]
    """By which the network divides then."""


class OutputDescription(_Part):
    """What the network gives."""

    name: Literal["features"] = "features"
    shape: tuple[Literal["batch"], Annotated[int, Field(ge=1)]]
    """Batch, feature dimension."""
    dtype: Literal["float32"] = "float32"
    unit_length: Literal[True] = True
    similarity: Literal["cosine: the dot product of two rows"] = "cosine: the dot product of two rows"


class Description(_Part):
    """What is also inside an ONNX file, under its metadata key `ppreid`."""

    format_version: Literal[1] = 1
    ppreid: str
    paddle: str
    backbone: str
    weights_sha256: Sha256
    input: InputDescription
    output: OutputDescription


class Manifest(Description):
    """Everything in export.json.

    Attributes:
        files: SHA-256 of every other file of the export.
    """

    files: dict[FileName, Sha256]


def read_manifest(folder: Path) -> Manifest:
    """Read the description of an export and check that its files are whole.

    Args:
        folder: made by tools/export.py.

    Raises:
        WeightsError: it is no export, of a newer format, or a file is missing or damaged.
    """
    path = folder / MANIFEST_FILE
    if not is_there(path, WeightsError):
        raise WeightsError(f"{folder} is no exported network: it has no {MANIFEST_FILE}; tools/export.py makes one")
    try:
        with reading(path, WeightsError), open(path, "rb") as stream:
            manifest = Manifest.model_validate_json(stream.read(MAX_BYTES))
    except ValidationError as error:
        first = error.errors()[0]
        reason = f"{'.'.join(map(str, first['loc']))[:100]}: {first['msg'][:200]}"
        raise WeightsError(f"{path} is damaged or from another version of ppreid ({reason}); export again") from None
    for name, digest in manifest.files.items():
        file = folder / name
        if not is_there(file, WeightsError):
            raise WeightsError(f"{file} is missing, but {MANIFEST_FILE} lists it; copy all of the folder")
        with reading(file, WeightsError):
            found = file_sha256(file)
        if found != digest:
            raise WeightsError(f"{file} is damaged: its sha256 is not the one in {MANIFEST_FILE}; export again")
    return manifest
