"""A network in ONNX's format, opened as a function."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ppreid.export.manifest import ONNX_FILE

DESCRIPTION_KEY = "ppreid"  # among the model's metadata


def open_onnx_file(folder: Path, example: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """Open a network with one input and one output with ONNX Runtime, on the CPU.

    Args:
        folder: holds ONNX_FILE.
        example: an input (B, ...) that is run once, so that a network that cannot run fails here.

    Returns:
        Input (B, ...) to output (B, ...), for any B.

    Raises:
        ImportError: onnxruntime is not installed.
        RuntimeError: onnxruntime cannot read or run the network.
    """
    import onnxruntime  # an optional package
    from onnxruntime.capi import onnxruntime_pybind11_state as native

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors

    def forward(batch: np.ndarray) -> np.ndarray:
        return session.run(None, {session.get_inputs()[0].name: batch})[0]

    # its errors have no base class of their own
    errors = tuple(kind for kind in vars(native).values() if isinstance(kind, type) and issubclass(kind, Exception))
    try:
        session = onnxruntime.InferenceSession(str(folder / ONNX_FILE), options, providers=["CPUExecutionProvider"])
        forward(example)
    except errors as error:
        raise RuntimeError(str(error)) from error
    return forward
