"""The story of an export: network, files for other programs, proof that they compute the same."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import paddle
from PIL import Image

import ppreid
from ppreid.app.inputs import trained_network
from ppreid.base.errors import ConfigError, WriteError, unknown_choice
from ppreid.config.schema import Config
from ppreid.datasets.transforms import IMAGE_MEAN, IMAGE_STD, normalise, resize
from ppreid.demo.generated import draw_people
from ppreid.disk.files import file_sha256, replacing, write_text
from ppreid.export.manifest import (
    FILES,
    MANIFEST_FILE,
    ONNX_FILE,
    Description,
    InputDescription,
    Manifest,
    OutputDescription,
)
from ppreid.export.network import (
    ParityRow,
    PixelNetwork,
    compare_runtimes,
    convert_to_onnx,
    export_paddle,
    parity_table,
    require_onnx,
    require_parity,
)
from ppreid.export.onnx_files import open_onnx_file
from ppreid.export.paddle_files import open_paddle_files
from ppreid.processes.device import use_device

logger = logging.getLogger("ppreid")

FORMATS = ("paddle", "onnx")


def export(cfg: Config, output: Path, *, formats: Sequence[str] = FORMATS, overwrite: bool = False) -> list[ParityRow]:
    """Write a trained network as files that run without ppreid; nothing is written unless they compute the same.

    The check runs on the CPU, whatever `device` says, with noise and with drawn people of the real size.

    Args:
        cfg: the network and the size of its images; of a training configuration only the keys that evaluation reads.
        output: folder to make.
        formats: "paddle" (Paddle Inference), "onnx", or both.
        overwrite: replace an earlier export in `output`.

    Returns:
        How far every format is from the network.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    _check_request(output, formats, overwrite)
    use_device("cpu")
    model, weights = trained_network(cfg.model)
    height, width = cfg.data.height, cfg.data.width
    network = PixelNetwork(model)
    network.eval()
    description = Description(
        ppreid=ppreid.__version__,
        paddle=paddle.__version__,
        backbone=cfg.model.backbone,
        weights_sha256=weights["sha256"],
        input=InputDescription(shape=("batch", height, width, 3), mean=_plain(IMAGE_MEAN), std=_plain(IMAGE_STD)),
        output=OutputDescription(shape=("batch", model.feature_dim)),
    )
    with TemporaryDirectory(prefix="ppreid.") as name:
        folder = Path(name)
        export_paddle(network, folder, height=height, width=width)
        batches = _check_batches(height, width)
        if "onnx" in formats:
            (folder / ONNX_FILE).write_bytes(convert_to_onnx(folder, description.model_dump_json()))
        rows = compare_runtimes(_features_by(model), _opened(folder, formats, batches[0][1]), batches)
        logger.info("features of the exported network beside those of the original\n%s", parity_table(rows))
        require_parity(rows)
        wanted = [name for kind in formats for name in FILES[kind] if (folder / name).exists()]
        _write(output, description, {name: (folder / name).read_bytes() for name in wanted})
    logger.info("written: %s (%s, %s)", output, ", ".join(wanted), MANIFEST_FILE)
    return rows


def _check_request(output: Path, formats: Sequence[str], overwrite: bool) -> None:
    """Refuse before the work what would be refused after it."""
    for name in formats or ("",):
        if name not in FORMATS:
            raise ConfigError(unknown_choice("--formats", name, FORMATS))
    if output.exists() and not output.is_dir():
        raise ConfigError(f"{output} is a file; give a folder for the export")
    earlier = [name for name in (MANIFEST_FILE, *sum(FILES.values(), ())) if (output / name).exists()]
    if earlier and not overwrite:
        raise ConfigError(f"{output} holds an export ({', '.join(earlier)}); pass --overwrite or another folder")
    if "onnx" in formats:
        require_onnx()


def _opened(folder: Path, formats: Sequence[str], example: np.ndarray) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """What runs each format, by its name in the table."""
    openers = {"paddle": ("Paddle Inference", open_paddle_files), "onnx": ("ONNX Runtime", open_onnx_file)}
    runtimes = {}
    for kind in formats:
        name, opener = openers[kind]
        try:
            runtimes[name] = opener(folder, example)
        except (RuntimeError, ValueError, OSError) as error:
            raise ConfigError(f"{name} cannot run the exported network: {error}; nothing was written") from error
    return runtimes


def _features_by(model: paddle.nn.Layer) -> Callable[[np.ndarray], np.ndarray]:
    """The original network behind the image transforms of ppreid: pixels (B, H, W, 3) uint8 to features (B, D)."""

    @paddle.no_grad()
    def features(pixels: np.ndarray) -> np.ndarray:
        images = np.stack([normalise(Image.fromarray(image)) for image in pixels])  # (B, 3, H, W)
        return model(paddle.to_tensor(images)).numpy()

    return features


def _check_batches(height: int, width: int) -> list[tuple[str, np.ndarray]]:
    """Pixels (B, H, W, 3) uint8 to compare on, a single image and several."""
    noise = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    drawn = [resize(person, height=height, width=width) for person in draw_people(4, height=256, width=128)]
    people = np.stack([np.asarray(person) for person in drawn])
    return [("noise", noise[:1]), ("noise", noise), ("drawn people", people[:1]), ("drawn people", people)]


def _write(output: Path, description: Description, files: dict[str, bytes]) -> None:
    """Write the files, and last the manifest, without which the folder is no export."""
    try:
        output.mkdir(parents=True, exist_ok=True)
        for name in (MANIFEST_FILE, *sum(FILES.values(), ())):
            (output / name).unlink(missing_ok=True)
        for name, content in files.items():
            with replacing(output / name) as file:
                file.write(content)
        digests = {name: file_sha256(output / name) for name in files}
        manifest = Manifest.model_validate({**description.model_dump(), "files": digests})
        write_text(output / MANIFEST_FILE, manifest.model_dump_json(indent=2) + "\n")
    except OSError as error:
        raise WriteError(error.errno, f"the export cannot be written to {output}: {error}") from error


def _plain(numbers: np.ndarray) -> tuple[float, float, float]:
    """Three float32 numbers with the digits that they were written with."""
    red, green, blue = (round(float(number), 6) for number in numbers)
    return red, green, blue
