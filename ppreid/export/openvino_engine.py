"""The network of this moment run by OpenVINO on a CPU: rebuilt from its operations, and checked."""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import Any

import numpy as np
from paddle import Tensor, nn

from ppreid.base.errors import ConfigError, last_line
from ppreid.base.optional import optional_module
from ppreid.export.inference import CHECKED_IMAGES, MIN_COSINE, check_same_features, num_threads

# Images of a request. ResNet50 gives as many images per second of processor time with 4 to 64 of them, and small ones
# spread a batch evenly over the cores.
PART = 8
_TYPES = {"float32": "f32", "bfloat16": "bf16"}
MIN_INT8_COSINE = 0.97  # measured: the least of any image 0.985 on trained networks, see docs/extraction.md


def openvino_forward(
    model: nn.Layer, images: Tensor, *, precision: str, calibration: np.ndarray | None = None
) -> Callable[[Tensor], "Pending"]:
    """Rebuild a network for OpenVINO and check that the copy computes what the network does.

    Args:
        model: maps images (B, 3, H, W) to features (B, D), in evaluation mode; it is left as it is.
        images: a batch (B, 3, H, W) of real images, for the size and the check.
        precision: "float32" or "bfloat16" of the copy, see `usable_precision`; features are float32 in any case.
        calibration: images (N, 3, H, W) that the ranges of int8 are measured on; what int8 cannot do keeps `precision`.
            None: no int8.

    Returns:
        Images of the same size, any number of them, to features (B, D) float32 that are on their way; bits do not
        depend on what else is in the batch. Keeps its own copy of the weights.

    Raises:
        ConfigError: OpenVINO (or for int8 nncf) is not installed or cannot run the network, or its features differ.
    """
    openvino = optional_module("openvino", install="openvino>=2025.0", what="eval.engine=openvino")
    from ppreid.export.openvino_graph import openvino_network

    sample = images[:CHECKED_IMAGES]
    options = {
        "INFERENCE_PRECISION_HINT": _TYPES[precision],
        # a stream for each core: two cores on two parts need not wait for each other behind every layer
        "NUM_STREAMS": str(num_threads()),
        "INFERENCE_NUM_THREADS": str(num_threads()),
    }
    try:
        network = openvino_network(model, (PART, *images.shape[1:]))
        if calibration is not None:
            from ppreid.export.int8 import quantised

            network = quantised(network, calibration, part=PART)
        compiled = openvino.Core().compile_model(network, "CPU", options)
        forward = _in_parts([compiled.create_infer_request() for _ in range(num_threads())])
        found = forward(sample).result()  # (b, D)
    except RuntimeError as error:
        raise ConfigError(
            f"OpenVINO cannot run this network ({last_line(error)}); set eval.engine=inference"
        ) from error
    computed_in, least = (precision, MIN_COSINE) if calibration is None else ("int8", MIN_INT8_COSINE)
    check_same_features(model, sample, found, of="OpenVINO", precision=computed_in, least=least)
    return forward


class Pending:
    """Features of a batch that are being computed."""

    def __init__(self, parts: list[Future[np.ndarray]], count: int) -> None:
        """Keep the features of its parts, (PART, D) each, and the number of its images."""
        self._parts = parts
        self._count = count

    def result(self) -> np.ndarray:
        """The features (B, D), once they are there."""
        return np.concatenate([part.result() for part in self._parts])[: self._count]

    def cancel(self) -> None:
        """Leave out what has not begun: nobody wants it any more."""
        for part in self._parts:
            part.cancel()


def _in_parts(requests: list[Any]) -> Callable[[Tensor], Pending]:
    """Batches of any size on requests of PART images; no request waits for the last part of a batch."""
    idle: SimpleQueue[Any] = SimpleQueue()
    for request in requests:
        idle.put(request)
    pool = ThreadPoolExecutor(max_workers=len(requests))

    def infer(part: np.ndarray) -> np.ndarray:
        if len(part) < PART:  # the copy is for parts of one size; no image sees its neighbours
            part = np.concatenate([part, np.zeros((PART - len(part), *part.shape[1:]), part.dtype)])
        request = idle.get()
        try:
            return request.infer({0: part})[0].copy()  # the next part overwrites what the request gives
        finally:
            idle.put(request)

    def forward(images: Tensor) -> Pending:
        pixels = images.numpy()  # (B, 3, H, W)
        starts = range(0, max(len(pixels), 1), PART)  # of no images, one part says how long a feature is
        return Pending([pool.submit(infer, pixels[start : start + PART]) for start in starts], len(pixels))

    return forward
