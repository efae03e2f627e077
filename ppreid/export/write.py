"""Write a network as files for other programs, and prove that they compute the same."""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from typing import NamedTuple

import numpy as np
import paddle
from PIL import Image

import ppreid
from ppreid.base.errors import ConfigError
from ppreid.datasets.transforms import IMAGE_MEAN, IMAGE_STD, normalise, resize
from ppreid.demo.generated import draw_people
from ppreid.disk.checks import holds, make_folder
from ppreid.disk.files import explained, replacing
from ppreid.disk.places import temporary_folder
from ppreid.export.description import (
    Description,
    EvaluationDescription,
    InputDescription,
    Manifest,
    OutputDescription,
)
from ppreid.export.exported import (
    EXPORT_FILES,
    FILES,
    MANIFEST_FILE,
    ONNX_FILE,
    ExportedNetwork,
    open_onnx_file,
)
from ppreid.export.inference import open_paddle_files
from ppreid.export.inputs import input_shape, pixels_into
from ppreid.export.network import (
    ParityRow,
    PixelNetwork,
    compare_runtimes,
    convert_to_onnx,
    export_paddle,
    parity_table,
    require_parity,
)
from ppreid.models.reid_net import ReIDNet
from ppreid.neighbours.checks import check_not_collapsed
from ppreid.tables import LAYOUTS

logger = logging.getLogger("ppreid")

RUNTIME_NAMES = {"paddle": "Paddle Inference", "onnx": "ONNX Runtime"}  # by format


class NetworkFacts(NamedTuple):
    """What others must be told of a network, since it cannot be seen in it.

    Attributes:
        height: of the images, in pixels.
        width: of the images, in pixels.
        mean: of the colours that the network was trained with, see `transforms.normalise`.
        std: see `transforms.normalise`.
        backbone: its name.
        weights_sha256: of the file of the weights.
        evaluation: what else evaluations and searches do, see `EvaluationDescription`.
    """

    height: int
    width: int
    mean: Sequence[float]
    std: Sequence[float]
    backbone: str
    weights_sha256: str
    evaluation: EvaluationDescription = EvaluationDescription()


def write_export(
    model: ReIDNet,
    output: Path,
    facts: NetworkFacts,
    *,
    formats: Sequence[str],
    layout: str = "nhwc-uint8",
    overwrite: bool = False,
) -> list[ParityRow]:
    """Write a network into a folder, unless a format does not compute its features.

    Args:
        model: with its weights; on the CPU.
        output: folder to make; what a killed export of the same network left in it is finished.
        facts: of the network.
        formats: "paddle" (Paddle Inference), "onnx", or both.
        layout: what the exported network takes, a key of LAYOUTS.
        overwrite: replace another export that is there.

    Returns:
        How far every format is from the network.

    Raises:
        ConfigError: a format cannot run the network or computes something else, or `output` holds another export.
        WeightsError: the network gives every image the same features.
        WriteError: the folder cannot be written.
    """
    described = describe(model, facts, layout=layout)
    with checked_export(model, described, mean=facts.mean, std=facts.std, formats=formats) as (folder, _, rows):
        wanted = [name for kind in formats for name in FILES[kind] if (folder / name).exists()]
        files = {name: (folder / name).read_bytes() for name in wanted}
    digests = {name: sha256(content).hexdigest() for name, content in files.items()}
    manifest = Manifest.model_validate({**described.model_dump(), "files": digests}).model_dump_json(indent=2)
    _write(output, files | {MANIFEST_FILE: f"{manifest}\n".encode()}, overwrite=overwrite)
    return rows


def describe(model: ReIDNet, facts: NetworkFacts, *, layout: str) -> Description:
    """What is written of a network; the arguments are those of `write_export`."""
    # what callers apply, see `PixelNetwork`
    mean, std = (facts.mean, facts.std) if LAYOUTS[layout].normalises else (IMAGE_MEAN, IMAGE_STD)
    shape = input_shape(layout, height=facts.height, width=facts.width)
    given = {"layout": layout, "shape": ("batch", *shape), "dtype": LAYOUTS[layout].dtype, "mean": mean, "std": std}
    return Description(
        ppreid=ppreid.__version__,
        paddle=paddle.__version__,
        backbone=facts.backbone,
        weights_sha256=facts.weights_sha256,
        input=InputDescription.model_validate(given),
        output=OutputDescription(shape=("batch", model.feature_dim)),
        evaluation=facts.evaluation,
    )


@contextmanager
def checked_export(
    model: ReIDNet, described: Description, *, mean: Sequence[float], std: Sequence[float], formats: Sequence[str]
) -> Iterator[tuple[Path, dict[str, ExportedNetwork], list[ParityRow]]]:
    """Export a network into a temporary folder, and prove with noise and drawn people that it computes the same.

    Args:
        model: with its weights; on the CPU.
        described: see `describe`.
        mean: of the colours that the network was trained with, see `transforms.normalise`.
        std: see `transforms.normalise`.
        formats: "paddle" (Paddle Inference), "onnx", or both.

    Yields:
        The folder, the exported network by format, and how far each is from the original.

    Raises:
        ConfigError: a format cannot run the network, or computes something else.
        WeightsError: the network gives every image the same features.
    """
    height, width = described.input.size
    network = PixelNetwork(model, described.input.layout, mean=mean, std=std)
    network.eval()
    batches = _check_batches(height, width)
    different = [pixels for _, pixels in batches if len(pixels) > 1]
    original = _features_by(model, mean, std)
    check_not_collapsed(np.concatenate(list(map(original, different))), min_rows=2)
    with temporary_folder(Path(gettempdir(), "ppreid")) as folder:
        export_paddle(network, folder, height=height, width=width)
        if "onnx" in formats:
            (folder / ONNX_FILE).write_bytes(convert_to_onnx(folder, described.model_dump_json()))
        opened = {kind: ExportedNetwork(described, kind, _opened(kind, folder, described)) for kind in formats}
        runtimes = {RUNTIME_NAMES[kind]: network.forward for kind, network in opened.items()}
        rows = compare_runtimes(original, runtimes, batches)
        logger.info("features of the exported network beside those of the original\n%s", parity_table(rows))
        require_parity(rows)
        yield folder, opened, rows


def _opened(kind: str, folder: Path, described: Description) -> Callable[[np.ndarray], np.ndarray]:
    """What runs a format, from pixels to features."""
    try:
        opener = {"paddle": open_paddle_files, "onnx": open_onnx_file}[kind]
        return pixels_into(opener, folder, layout=described.input.layout, size=described.input.size)
    except (RuntimeError, ValueError, OSError) as error:
        name = RUNTIME_NAMES[kind]
        raise ConfigError(f"{name} cannot run the exported network: {error}; nothing was written") from error


def _features_by(
    model: paddle.nn.Layer, mean: Sequence[float], std: Sequence[float]
) -> Callable[[np.ndarray], np.ndarray]:
    """The original network behind the image transforms of ppreid: pixels (B, H, W, 3) uint8 to features (B, D)."""

    @paddle.no_grad()
    def features(pixels: np.ndarray) -> np.ndarray:
        images = np.stack([normalise(Image.fromarray(image), mean=mean, std=std) for image in pixels])  # (B, 3, H, W)
        return model(paddle.to_tensor(images)).numpy()

    return features


def _check_batches(height: int, width: int) -> list[tuple[str, np.ndarray]]:
    """Pixels (B, H, W, 3) uint8 to compare on, a single image and several."""
    noise = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    drawn = [resize(person, height=height, width=width) for person in draw_people(4, height=256, width=128)]
    people = np.stack([np.asarray(person) for person in drawn])
    return [("noise", noise[:1]), ("noise", noise), ("drawn people", people[:1]), ("drawn people", people)]


def _write(output: Path, files: dict[str, bytes], *, overwrite: bool) -> None:
    """Write the files, the last of which is the manifest: without it the folder is no export."""
    make_folder(output)
    with explained(output):
        there = [name for name in EXPORT_FILES if (output / name).exists()]
        other = [name for name in there if not holds(output / name, files.get(name, b""))]
        if other and not overwrite:
            raise ConfigError(f"{output} holds another export ({', '.join(other)}); pass --overwrite or another folder")
        if not other and len(there) == len(files):
            logger.info("%s is complete already (%s)", output, ", ".join(files))
            return
        for name in (MANIFEST_FILE, *other):
            (output / name).unlink(missing_ok=True)
        for name, content in files.items():
            with replacing(output / name) as file:
                file.write(content)
    logger.info("written: %s (%s)", output, ", ".join(files))
