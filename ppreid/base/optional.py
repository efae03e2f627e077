"""Packages that only some commands need: they are imported when one is used, and asked for by name where missing."""

from importlib import import_module
from typing import Any

from ppreid.base.errors import ConfigError

_SILENT = 0  # of OpenCV's levels of messages


def optional_module(name: str, *, install: str, what: str) -> Any:  # noqa: ANN401 - whatever the package has
    """Import a package that may be missing.

    Args:
        name: of the module, e.g. "cv2".
        install: what pip is to install, e.g. "opencv-python-headless<5".
        what: needs it, for the message.

    Returns:
        The module.

    Raises:
        ConfigError: it cannot be imported.
    """
    try:
        return import_module(name)
    except ImportError as error:
        raise ConfigError(
            f"{what} needs {name}, which cannot be imported ({error}); pip install '{install}'"
        ) from error


def opencv(what: str) -> Any:  # noqa: ANN401 - a compiled module without types
    """OpenCV, which says nothing by itself on standard error.

    Args:
        what: needs it, for the message.

    Raises:
        ConfigError: it is not installed, or too new: version 5 has no HOG detector.
    """
    cv2 = optional_module("cv2", install="opencv-python-headless>=4.10,<5", what=what)
    if not hasattr(cv2, "HOGDescriptor"):
        raise ConfigError(
            f"{what} needs OpenCV below 5, and {cv2.__version__} is installed; pip install 'opencv-python-headless<5'"
        )
    silence = (
        cv2.setLogLevel if hasattr(cv2, "setLogLevel") else cv2.utils.logging.setLogLevel
    )  # before 4.13, and since
    silence(_SILENT)
    return cv2
