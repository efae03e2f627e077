"""An exported network as a function, with whatever can run it here."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ppreid.base.errors import ConfigError, WeightsError, unknown_choice
from ppreid.export.manifest import ONNX_FILE, WEIGHTS_FILE, Manifest, read_manifest

# the file that each needs, and the package; the first one that is there is what `auto` takes
RUNTIMES = {"onnx": (ONNX_FILE, "onnxruntime"), "paddle": (WEIGHTS_FILE, "paddle")}


class ExportedNetwork(NamedTuple):
    """A network that is ready to run.

    Attributes:
        manifest: its description.
        runtime: what runs it, a key of RUNTIMES.
        forward: RGB pixels (B, H, W, 3) uint8 to unit features (B, D) float32, for any B.
    """

    manifest: Manifest
    runtime: str
    forward: Callable[[np.ndarray], np.ndarray]


def open_exported(folder: Path, *, runtime: str = "auto") -> ExportedNetwork:
    """Open what tools/export.py wrote.

    Args:
        folder: the export.
        runtime: "onnx" or "paddle", both on the CPU; "auto" is the first of the two that the folder has the file of
            and that is installed.

    Raises:
        ConfigError: the runtime is unknown or not installed.
        WeightsError: the folder has no file for it, or one is damaged or cannot be run.
    """
    manifest = read_manifest(folder)
    if runtime != "auto" and runtime not in RUNTIMES:
        raise ConfigError(unknown_choice("runtime", runtime, ("auto", *RUNTIMES)))
    wanted = RUNTIMES if runtime == "auto" else (runtime,)
    exported = [name for name in wanted if RUNTIMES[name][0] in manifest.files]
    if not exported:
        raise WeightsError(f"{folder} holds {', '.join(manifest.files)}, which runtime {runtime!r} cannot run; export "
                           "again with --formats, or choose another runtime")  # fmt: skip
    usable = [name for name in exported if find_spec(RUNTIMES[name][1])]
    if not usable:
        packages = " or ".join(RUNTIMES[name][1] for name in exported)
        raise ConfigError(f"{folder} needs {packages}, which is not installed: pip install onnxruntime")
    try:
        return ExportedNetwork(manifest, usable[0], _open(usable[0], folder, manifest))
    except (RuntimeError, ValueError, OSError) as error:
        raise WeightsError(f"{usable[0]} cannot run {folder} ({error}); export again") from error


def _open(runtime: str, folder: Path, manifest: Manifest) -> Callable[[np.ndarray], np.ndarray]:
    example = np.zeros((1, *manifest.input.shape[1:]), np.uint8)
    if runtime == "onnx":
        return open_onnx_file(folder, example)
    from ppreid.export.inference import open_paddle_files  # imports paddle, which onnx does without

    return open_paddle_files(folder, example)


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
