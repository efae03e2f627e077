"""A network in the files of Paddle Inference, opened as a function."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from paddle import inference

from ppreid.export.manifest import STRUCTURE_FILES, WEIGHTS_FILE


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
    options.set_cpu_math_library_num_threads(_num_threads())
    if precision == "bfloat16":
        options.enable_mkldnn_bfloat16()
    return options


def _num_threads() -> int:
    """OMP_NUM_THREADS where it is above 1, the value that paddle itself sets; else the cores this process may use."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 1:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
