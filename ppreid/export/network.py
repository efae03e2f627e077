"""A trained network as files that run without ppreid, and the proof that they compute the same."""

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import paddle
from paddle import Tensor, nn

from ppreid.base.errors import ConfigError
from ppreid.datasets.transforms import IMAGE_MEAN, IMAGE_STD, of_channels
from ppreid.export.exported import DESCRIPTION_KEY, WEIGHTS_FILE
from ppreid.export.inference import PADDLE_ERRORS, save_network, silenced, structure_file
from ppreid.export.inputs import input_shape
from ppreid.tables import LAYOUTS

TOLERANCE = 1e-4  # largest difference of a number in a unit feature vector
PRODUCER = "ppreid"  # by which `outputs.ONNX_NETWORK` knows a file
OPSET = 17  # of ONNX; runtimes since 2022 know it


class PixelNetwork(nn.Layer):
    """A network behind the normalisation of its images, so that callers cannot get the latter wrong.

    Args:
        network: normalised images (B, 3, H, W) to features (B, D).
        layout: what it is to take, a key of LAYOUTS.
        mean: of the colours that the network wants, see `transforms.normalise`.
        std: see `transforms.normalise`.

    Note:
        Where callers normalise, they do it by ImageNet's numbers; for a network that wants others this is undone.
    """

    def __init__(
        self, network: nn.Layer, layout: str = "nhwc-uint8", *, mean: Sequence[float], std: Sequence[float]
    ) -> None:
        super().__init__()
        self.network = network
        self.layout = layout
        self.has_other_colours = (tuple(mean), tuple(std)) != (IMAGE_MEAN, IMAGE_STD)
        numbers = {"mean": mean, "std": std, "given_mean": IMAGE_MEAN, "given_std": IMAGE_STD}
        for name, values in numbers.items():
            self.register_buffer(name, paddle.to_tensor(of_channels(values)[None]))  # (1, 3, 1, 1)

    def forward(self, images: Tensor) -> Tensor:
        """RGB images in the layout, resized already, to features (B, D)."""
        row = LAYOUTS[self.layout]
        if row.dtype == "uint8":
            images = images.astype("float32") / 255
        if not row.channels_first:
            images = images.transpose([0, 3, 1, 2])  # (B, 3, H, W)
        if not row.normalises and self.has_other_colours:
            images = images * self.given_std + self.given_mean
        if row.normalises or self.has_other_colours:
            images = (images - self.mean) / self.std
        return self.network(images)


class ParityRow(NamedTuple):
    """How far an exported network is from the original on one batch.

    Attributes:
        runtime: what ran the exported network.
        images: which images.
        batch: how many.
        difference: largest difference of a number of the features.
    """

    runtime: str
    images: str
    batch: int
    difference: float


def export_paddle(network: PixelNetwork, folder: Path, *, height: int, width: int) -> None:
    """Write the files of Paddle Inference.

    Args:
        network: in evaluation mode.
        folder: exists; see `ppreid.export.inference`.
        height: of the images, in pixels.
        width: of the images, in pixels.

    Raises:
        ConfigError: paddle cannot export the network.
    """
    shape = input_shape(network.layout, height=height, width=width)
    inputs = paddle.static.InputSpec([None, *shape], LAYOUTS[network.layout].dtype, name="images")
    try:
        save_network(network, inputs, folder)
    except PADDLE_ERRORS as error:
        raise ConfigError(f"paddle cannot export this network: {error}") from error


def require_onnx(*, otherwise: str = "") -> None:
    """Check that a network can be converted to ONNX here.

    Args:
        otherwise: what a user without the packages may do instead, for the message.

    Raises:
        ConfigError: a package is missing, or does not fit the version of paddle.
    """
    fitting = "paddle2onnx<2" if paddle.__version__.startswith("2.") else "paddle2onnx>=2"
    install = f"pip install '{fitting}' onnx onnxruntime (the extra ppreid[onnx]){otherwise}"
    if sys.version_info >= (3, 12):
        install += "; paddle2onnx has no wheels for Python 3.12 and newer, but what 3.11 exports runs there as well"
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import paddle2onnx
    except ImportError as error:
        raise ConfigError(f"ONNX needs a package that is missing here ({error}): {install}") from error
    except ValueError as error:  # paddle2onnx 2 refuses paddle 2 like this
        raise ConfigError(f"paddle2onnx does not fit paddle {paddle.__version__} ({error}): {install}") from error
    if paddle2onnx.__version__.startswith("1.") == (fitting == "paddle2onnx>=2"):
        version = paddle2onnx.__version__
        raise ConfigError(f"paddle2onnx {version} does not fit paddle {paddle.__version__}: {install}")


def convert_to_onnx(folder: Path, description: str) -> bytes:
    """Convert the files of Paddle Inference, with the batch size free and a description inside.

    Args:
        folder: with the files of `export_paddle`.
        description: goes to the metadata, under DESCRIPTION_KEY.

    Returns:
        Content of an ONNX file whose input is `images` and whose output is `features`.

    Raises:
        ConfigError: the network cannot be converted.
    """
    import onnx  # both are optional packages
    import paddle2onnx

    files = str(structure_file(folder)), str(folder / WEIGHTS_FILE)
    try:
        # Without save_file no other tool reworks the result; the default one would install packages while it runs.
        with silenced(1, 2):
            model = onnx.load_model_from_string(paddle2onnx.export(*files, opset_version=OPSET, verbose=False))
        _rename(model.graph)
        onnx.helper.set_model_props(model, {DESCRIPTION_KEY: description})
        model.producer_name = PRODUCER
        onnx.checker.check_model(model, full_check=True)
    except (*PADDLE_ERRORS, onnx.checker.ValidationError) as error:
        raise ConfigError(f"paddle2onnx cannot convert this network: {error}") from error
    return model.SerializeToString()


def _rename(graph: Any) -> None:  # noqa: ANN401 - onnx.GraphProto, of a package that may be missing
    """Call the free axis "batch" and the output "features"."""
    (output,) = graph.output
    for value in (*graph.input, output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    (last,) = (node for node in graph.node if output.name in node.output)
    last.output[list(last.output).index(output.name)] = output.name = "features"


def compare_runtimes(
    expected: Callable[[np.ndarray], np.ndarray],
    runtimes: Mapping[str, Callable[[np.ndarray], np.ndarray]],
    batches: Sequence[tuple[str, np.ndarray]],
) -> list[ParityRow]:
    """Run every exported network on every batch beside the original.

    Args:
        expected: the original: pixels (B, H, W, 3) uint8 to features (B, D).
        runtimes: the exported networks, by name.
        batches: names of images, and the images (B, H, W, 3) uint8.

    Returns:
        One row for each runtime and batch.
    """
    rows = []
    for images, pixels in batches:
        features = expected(pixels)  # (B, D)
        for name, forward in runtimes.items():
            found = forward(pixels)
            differs = np.abs(found - features).max() if found.shape == features.shape else np.inf
            rows.append(ParityRow(name, images, len(pixels), float(differs)))
    return rows


def parity_table(rows: Sequence[ParityRow]) -> str:
    """Text table of a comparison."""
    header = f"{'runtime':<18}{'images':<14}{'batch':>6}{'largest difference':>20}"
    lines = [f"{row.runtime:<18}{row.images:<14}{row.batch:>6}{row.difference:>20.1e}" for row in rows]
    return "\n".join([header, "-" * len(header), *lines])


def require_parity(rows: Sequence[ParityRow]) -> None:
    """Refuse an export that computes something else.

    Raises:
        ConfigError: a difference is above TOLERANCE or not a number.
    """
    wrong = [row for row in rows if not row.difference <= TOLERANCE]
    if wrong:
        names = ", ".join(dict.fromkeys(row.runtime for row in wrong))
        raise ConfigError(
            f"the features of {names} differ from those of the network by more than {TOLERANCE:g}, see the table; "
            "nothing was written"
        )
