"""Networks in whole numbers of eight bits, whose ranges come from the images that are to be extracted."""

import contextlib
import io
import logging
import os
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from paddle import Tensor, nn

from ppreid import tables
from ppreid.base.errors import ConfigError, last_line
from ppreid.base.optional import optional_module
from ppreid.base.table_rows import Function
from ppreid.contracts import FeatureLoader

# more move neither mAP nor cosines, fewer cut off what other images reach, see docs/extraction.md
CALIBRATION_IMAGES = 128
FEWEST_IMAGES = 64
# Sums and means have the range of all their terms together: in float32 they cost next to nothing, and in eight bits
# generalised means would lose the small values.
_KEPT = ("Add", "ReduceMean", "ReduceMax")


def calibrated_forward(
    model: nn.Layer, images: Tensor, loader: FeatureLoader, engine: str
) -> tuple[str, Callable[[Tensor], Any]]:
    """Let an engine run a copy of a network in int8, calibrated on images of the whole data set.

    The images are evenly spaced rows, whichever rows the loader gives: every shard, process and second start of a
    command makes the same copy.

    Args:
        model: maps images (B, 3, H, W) to features (B, D), in evaluation mode; it is left as it is.
        images: a batch (B, 3, H, W) of real images, for the check.
        loader: of the images that are extracted.
        engine: a key of `tables.ENGINES`; one that chooses among others chooses what has int8.

    Returns:
        Name of the engine, and images to features (B, D) float32 by it, or what its row says.

    Raises:
        ConfigError: the engine has no int8, there are too few images, or the engine cannot run the network in int8.
        DataError: an image cannot be read.
    """
    name, function = _engine_with_int8(engine)
    count = loader.num_images
    if count < FEWEST_IMAGES:
        raise ConfigError(
            f"eval.precision is int8, whose ranges are measured on the images that are extracted: at least "
            f"{FEWEST_IMAGES} are needed, and there are {count}; set eval.precision=float32"
        )
    wanted = min(count, CALIBRATION_IMAGES)
    calibration = loader.images_of([i * count // wanted for i in range(wanted)]).numpy()
    return name, tables.resolve(function)(model, images, precision="float32", calibration=calibration)


def _engine_with_int8(engine: str) -> tuple[str, Function]:
    """Name and function of the engine that a choice means where int8 is asked for."""
    having = {name: row.function for name, row in tables.ENGINES.items() if row.has_int8 and row.function is not None}
    if engine in having:
        return engine, having[engine]
    if not tables.ENGINES[engine].tries:
        raise ConfigError(
            f"eval.precision is int8, which eval.engine={engine} does not have; set eval.engine={' or '.join(having)}, "
            "or eval.precision=float32"
        )
    return next(iter(having.items()))


def quantised(network: Any, calibration: np.ndarray, *, part: int) -> Any:  # noqa: ANN401 - of optional packages
    """A network of OpenVINO whose convolutions and matrix products compute in int8.

    Args:
        network: for batches of `part` images.
        calibration: images (N, 3, H, W): the ranges of activations are what these span.
        part: images of a batch; those that do not fill one up are left out.

    Returns:
        Another network, with the same input and output.

    Raises:
        ConfigError: nncf is not installed, or cannot quantise the network.
    """
    os.environ.setdefault("NNCF_CI", "1")  # otherwise it tells its makers of every use
    nncf = optional_module("nncf", install="ppreid[int8]", what="eval.precision=int8")
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    parts = [calibration[start : start + part] for start in range(0, len(calibration) - part + 1, part)]
    transformer = any(operation.get_type_name() == "Softmax" for operation in network.get_ops())
    try:
        with _only_errors_of_nncf():
            return nncf.quantize(
                network,
                nncf.Dataset(parts),
                subset_size=len(parts),
                model_type=nncf.ModelType.TRANSFORMER if transformer else None,
                ignored_scope=nncf.IgnoredScope(types=list(_KEPT), validate=False),
                advanced_parameters=AdvancedQuantizationParameters(
                    # measured on trained networks: with it, features were farther from those of the network
                    disable_bias_correction=True,
                    activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX,
                ),
            )
    except (RuntimeError, nncf.InternalError, nncf.UnsupportedModelError) as error:
        raise ConfigError(
            f"nncf cannot quantise this network ({last_line(error)}); set eval.precision=float32"
        ) from error


@contextlib.contextmanager
def _only_errors_of_nncf() -> Iterator[None]:
    """Keep nncf from standard output, where results belong: it draws progress there and logs.

    Its own function for this would change the level of every handler that anybody gave to its logger, and for good.
    """
    nncf_logger = logging.getLogger("nncf")
    level = nncf_logger.level
    nncf_logger.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        nncf_logger.setLevel(level)
