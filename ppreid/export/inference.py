"""Networks run by Paddle Inference: from its files, or the network of this moment, several times as fast as eager.

Paddle's eager CPU kernels know neither oneDNN nor fused batch normalisation. Paddle Inference does, but it runs an
exported copy of the network, so the copy is made anew whenever features are wanted.
"""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import paddle
from paddle import Tensor, inference, nn

from ppreid.base.errors import ConfigError, last_line
from ppreid.disk.places import temporary_folder
from ppreid.export.exported import STRUCTURE_FILES, WEIGHTS_FILE

MIN_COSINE = 0.999  # between the features of both engines; measured: float32 0.999999, bfloat16 0.9997
CHECKED_IMAGES = 8
# what paddle raises when it cannot export or run a network
PADDLE_ERRORS = (RuntimeError, ValueError, TypeError, AttributeError, OSError, SystemError)


def inference_forward(model: nn.Layer, images: Tensor, *, precision: str) -> Callable[[Tensor], np.ndarray]:
    """Export a network and check that the copy computes what the network does.

    Args:
        model: maps images (B, 3, H, W) to features (B, D), in evaluation mode; it is left as it is.
        images: a batch (B, 3, H, W) of real images, for the size and the check.
        precision: "float32" or "bfloat16" of the copy, see `usable_precision`; features are float32 in any case.

    Returns:
        Images of the same size, any number of them, to features (B, D) float32. Keeps its own copy of the weights.

    Raises:
        ConfigError: Paddle Inference cannot run the network, or its features differ.
    """
    sample = images[:CHECKED_IMAGES]
    try:
        with temporary_folder(Path(tempfile.gettempdir(), "ppreid")) as folder:
            save_network(model, paddle.static.InputSpec([None, *images.shape[1:]], "float32"), folder)
            forward = open_paddle_files(folder, sample.numpy(), gpu=_gpu_number(), precision=precision)
        found = forward(sample.numpy())  # (b, D)
    except PADDLE_ERRORS as error:
        raise ConfigError(
            f"Paddle Inference cannot run this network ({last_line(error)}); set eval.engine=eager"
        ) from error
    check_same_features(model, sample, found, of="Paddle Inference", precision=precision)
    return lambda batch: forward(batch.numpy())


@paddle.no_grad()
def check_same_features(
    model: nn.Layer, images: Tensor, found: np.ndarray, *, of: str, precision: str, least: float = MIN_COSINE
) -> None:
    """Check that an engine computes what the network does.

    Args:
        model: maps images (B, 3, H, W) to features (B, D), in evaluation mode.
        images: a batch (B, 3, H, W).
        found: features (B, D) that the engine made of it.
        of: the engine, for the message.
        precision: what it computes in, for the message.
        least: cosine that the features of every image must have.

    Raises:
        ConfigError: the features differ.
    """
    cosine = _least_cosine(found, model(images).numpy())
    if not cosine >= least:  # also when it is NaN
        raise ConfigError(
            f"features of {of} in {precision} differ from those of the network: cosine {cosine:.4f}, at least "
            f"{least} is expected; set eval.engine=eager or eval.precision=float32"
        )


def usable_precision(precision: str) -> str:
    """Precision in which Paddle Inference is to compute on the current device.

    Args:
        precision: "float32", "bfloat16", or "auto": bfloat16 where the device computes in it.

    Returns:
        "float32" or "bfloat16".

    Raises:
        ConfigError: bfloat16 is asked for and the device would only emulate it.
    """
    if precision != "float32" and _computes_in_bfloat16():
        return "bfloat16"
    if precision == "bfloat16":
        raise ConfigError(
            "eval.precision is 'bfloat16', but this device does not compute in bfloat16 (a processor needs avx512_bf16 "
            "or amx_bf16, a GPU compute capability 8.0); use auto or float32"
        )
    return "float32"


def _computes_in_bfloat16() -> bool:
    if _gpu_number() is not None:
        return paddle.device.cuda.get_device_capability()[0] >= 8
    try:
        flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    except OSError:  # not Linux
        return False
    return bool(flags & {"avx512_bf16", "amx_bf16"})


def save_network(model: nn.Layer, inputs: paddle.static.InputSpec, folder: Path) -> None:
    """Save structure and weights of a network for Paddle Inference.

    Args:
        model: a network with one input and one output, in evaluation mode; it is left as it is.
        inputs: shape, type and name of the input.
        folder: exists; gets the files that `ppreid.export.inference` opens.

    Raises:
        RuntimeError, ValueError, TypeError, AttributeError, OSError: paddle cannot export the network.
    """
    with silenced(1, 2):  # paddle 3 warns about itself; what is wrong with the network comes as an exception
        paddle.jit.save(model, str(folder / "model"), input_spec=[inputs])


def _least_cosine(a: np.ndarray, b: np.ndarray) -> float:
    """Smallest cosine of the angle between row i of a (B, D) and row i of b (B, D)."""
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(axis=1) / np.maximum(lengths, 1e-12)).min())


def _gpu_number() -> int | None:
    """Number of the GPU that paddle computes on; None is the CPU."""
    kind, _, number = str(paddle.get_device()).partition(":")
    return int(number or 0) if kind == "gpu" else None


def open_paddle_files(
    folder: Path, example: np.ndarray, *, gpu: int | None = None, precision: str = "float32"
) -> Callable[[np.ndarray], np.ndarray]:
    """Open a network with one input and one output.

    Args:
        folder: holds WEIGHTS_FILE and one of STRUCTURE_FILES; it is not needed any more afterwards.
        example: an input (B, ...) that is run once, so that a network that cannot run fails here.
        gpu: number of the GPU that computes; None is the CPU.
        precision: "float32" or "bfloat16", what the network computes in.

    Returns:
        Input (B, ...) to output (B, ...), for any B.

    Raises:
        RuntimeError, ValueError, OSError: paddle cannot read or run it.
    """

    def forward(batch: np.ndarray) -> np.ndarray:
        predictor.get_input_handle(predictor.get_input_names()[0]).copy_from_cpu(np.ascontiguousarray(batch))
        predictor.run()
        return predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu()

    with silenced(1):  # paddle's own switch misses some lines of its optimisation passes
        predictor = inference.create_predictor(_options(folder, gpu, precision))
        forward(example)
    return forward


def structure_file(folder: Path) -> Path:
    """The file with the structure of the network, as paddle 3 or paddle 2 name it."""
    found = [folder / name for name in STRUCTURE_FILES if (folder / name).exists()]
    return found[0] if found else folder / STRUCTURE_FILES[0]


@contextmanager
def silenced(*descriptors: int) -> Iterator[None]:
    """Drop what the block writes to these file descriptors (1 is standard output, 2 standard error)."""
    saved, nowhere = [os.dup(descriptor) for descriptor in descriptors], os.open(os.devnull, os.O_WRONLY)
    for descriptor in descriptors:
        os.dup2(nowhere, descriptor)
    try:
        yield
    finally:
        for descriptor, copy in zip(descriptors, saved, strict=True):
            os.dup2(copy, descriptor)
            os.close(copy)
        os.close(nowhere)


def _options(folder: Path, gpu: int | None, precision: str) -> inference.Config:
    options = inference.Config(str(structure_file(folder)), str(folder / WEIGHTS_FILE))
    options.disable_glog_info()
    if gpu is not None:
        types = {"float32": inference.PrecisionType.Float32, "bfloat16": inference.PrecisionType.Bfloat16}
        options.enable_use_gpu(256, gpu, types[precision])
        return options
    options.enable_mkldnn()
    options.set_cpu_math_library_num_threads(num_threads())
    if precision == "bfloat16":
        options.enable_mkldnn_bfloat16()
    return options


def num_threads() -> int:
    """OMP_NUM_THREADS where it is above 1, the value that paddle itself sets; else the cores this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 1:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
