"""Which versions and which device a run uses, for people who compare runs later."""

import json
import os
import platform
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import paddle

import ppreid
from ppreid.disk.files import write_text

_PACKAGES = ("numpy", "scipy", "scikit-learn", "numba", "Pillow")


def write_environment(path: Path) -> None:
    """Write the versions, the device and the time of day as JSON."""
    write_text(path, json.dumps(_environment(), indent=2, ensure_ascii=False) + "\n")


def _environment() -> dict[str, Any]:
    """No names of the host or of the user are among it: reports are passed on."""
    device = str(paddle.get_device())
    is_gpu = device.startswith("gpu")
    facts = {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "ppreid": ppreid.__version__,
        "python": platform.python_version(),
        "paddle": paddle.__version__,
        "device": device,
        "device name": paddle.device.cuda.get_device_name() if is_gpu else platform.machine(),
        "processor cores": os.cpu_count(),
        "system": platform.platform(),
    }
    return facts | {name: _version(name) for name in _PACKAGES}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed as a package"
