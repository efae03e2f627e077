"""An exported network: what export.json says of it, and the network as a function, with whatever can run it here."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
from pydantic import ValidationError

from ppreid.base.errors import ConfigError, WeightsError, unknown_choice
from ppreid.base.reading import is_there, reading
from ppreid.disk.files import file_sha256
from ppreid.export.description import Description, Manifest
from ppreid.export.inputs import pixels_into

MAX_BYTES = 1 << 16  # of export.json, which has about 1,500; what comes behind is not read
STRUCTURE_FILES = ("model.json", "model.pdmodel")  # of Paddle Inference, as paddle 3 and paddle 2 name it
MANIFEST_FILE, ONNX_FILE, WEIGHTS_FILE = "export.json", "model.onnx", "model.pdiparams"
FILES = {"paddle": (*STRUCTURE_FILES, WEIGHTS_FILE), "onnx": (ONNX_FILE,)}  # by format
EXPORT_FILES = (MANIFEST_FILE, *sum(FILES.values(), ()))


def read_manifest(folder: Path) -> Manifest:
    """Read the description of an export and check that its files are whole.

    Args:
        folder: made by tools/export.py.

    Raises:
        WeightsError: it is no export, of a newer format, or a file is missing or damaged.
    """
    path = folder / MANIFEST_FILE
    if not is_there(path, WeightsError):
        raise WeightsError(f"{folder} is no exported network: no {MANIFEST_FILE}; tools/export.py makes one of a run")
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


# the file that each needs, and the package; the first one that is there is what `auto` takes
RUNTIMES = {"onnx": (ONNX_FILE, "onnxruntime"), "paddle": (WEIGHTS_FILE, "paddle")}


class ExportedNetwork(NamedTuple):
    """A network that is ready to run.

    Attributes:
        manifest: its description.
        runtime: what runs it, a key of RUNTIMES.
        forward: RGB pixels (B, H, W, 3) uint8 to unit features (B, D) float32, for any B and whatever its layout.
    """

    manifest: Description
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
    opener = open_onnx_file
    if runtime != "onnx":
        from ppreid.export.inference import open_paddle_files  # imports paddle, which onnx does without

        opener = open_paddle_files
    return pixels_into(opener, folder, layout=manifest.input.layout, size=manifest.input.size)


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
