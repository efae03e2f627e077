"""Whether everything that ppreid needs can be imported. This file itself needs the standard library only."""

import platform
from collections.abc import Mapping
from importlib import import_module

from ppreid.doctor.findings import Finding, ok, problem

# Name to import -> name of the package. Paddle comes first: it may crash when another library was loaded before it.
PACKAGES = {
    "paddle": "paddlepaddle or paddlepaddle-gpu",
    "numpy": "numpy",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "faiss": "faiss-cpu or faiss-gpu",
    "numba": "numba",
    "PIL": "Pillow",
    "safetensors": "safetensors",
    "pydantic": "pydantic",
    "jinja2": "Jinja2",
}


def check_packages(packages: Mapping[str, str] = PACKAGES) -> list[Finding]:
    """Import every package and report its version.

    Args:
        packages: name to import -> name to install.

    Returns:
        One "ok" with the versions of Python and of what could be imported, and a problem for each that could not.
    """
    versions, findings = [f"Python {platform.python_version()}"], []
    for module, package in packages.items():
        try:
            versions.append(f"{module} {getattr(import_module(module), '__version__', '(version unknown)')}")
        except Exception as error:  # noqa: BLE001 - a broken installation fails in any way, and must be reported
            reason = (str(error).splitlines() or [""])[0]
            text = f"{module} cannot be imported: {type(error).__name__}: {reason}"
            advice = f"install {package} as in requirements.txt: pip install -r requirements.txt"
            findings.append(problem("packages", text, advice))
    return [ok("packages", f"{platform.platform()}\n{', '.join(versions)}"), *findings]
