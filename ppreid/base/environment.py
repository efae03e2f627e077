"""Environment variables that make paddle's GPU kernels give the same result in every run.

Paddle and CUDA read them when they are loaded, so they are set before paddle is imported. A CPU needs none of them.
"""

import os
from collections.abc import Mapping, MutableMapping

DETERMINISTIC: Mapping[str, str] = {
    "FLAGS_cudnn_deterministic": "1",  # convolutions: no algorithm that adds in varying order
    "FLAGS_cudnn_exhaustive_search": "0",  # convolutions: no algorithm chosen by measuring time
    "FLAGS_embedding_deterministic": "1",  # gradients of rows that are gathered
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",  # matrix products
}


def ask_for_determinism(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the variables; call this before anything imports paddle.

    Args:
        environment: where to set them.
    """
    environment.update(DETERMINISTIC)


def missing_for_determinism(environment: Mapping[str, str] = os.environ) -> list[str]:
    """The variables that are not set as they should be, as NAME=VALUE."""
    return [f"{name}={value}" for name, value in DETERMINISTIC.items() if environment.get(name) != value]


def launched_processes() -> int:
    """How many processes paddle's launcher started, with this one; 1 without it."""
    return int(os.environ.get("PADDLE_TRAINERS_NUM", "1"))
