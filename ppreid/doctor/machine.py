"""Whether packages, processor, GPUs, memory and disk are up to a run; each check is told what the run needs.

This file itself needs the standard library only: it reports what else cannot be imported.
"""

import os
import platform
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

from ppreid.doctor.findings import Finding, format_findings, ok, problem, warning

# Name to import -> name of the package. Paddle comes first: it may crash when another library was loaded before it.
PACKAGES = {
    "paddle": "paddlepaddle or paddlepaddle-gpu",
    "numpy": "numpy",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "faiss": "faiss-cpu or faiss-gpu",
    "numba": "numba",
    "pynndescent": "pynndescent",
    "PIL": "Pillow",
    "safetensors": "safetensors",
    "pydantic": "pydantic",
    "yaml": "PyYAML",
    "tqdm": "tqdm",
    "jinja2": "Jinja2",
}

# What paddle, oneDNN and faiss profit from; bfloat16 is slow on a processor without one of the last two.
INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "amx_int8", "avx512_bf16", "amx_bf16")


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
            advice = f"install {package}: {_install_command()}"
            findings.append(problem("packages", text, advice))
    return [ok("packages", f"{platform.platform()}\n{', '.join(versions)}"), *findings]


def missing_packages() -> str:
    """What is wrong with the packages, as a message; empty where all can be imported."""
    found = [finding for finding in check_packages() if finding.level == "problem"]
    return f"packages are missing or broken\n{format_findings(found)}" if found else ""


def _install_command() -> str:
    """What installs all packages: beside a checkout its requirements, otherwise those of the installed ppreid."""
    requirements = Path(__file__).parents[2] / "requirements.txt"
    if requirements.is_file():
        return f"pip install -r {requirements}"
    return 'pip install "ppreid[cpu]", or "ppreid[gpu]" with an NVIDIA GPU'


def check_processor(*, onednn: bool, cpuinfo: Path = Path("/proc/cpuinfo")) -> Finding:
    """Report the processor and the instruction sets that matter.

    Args:
        onednn: whether paddle was built with oneDNN.
        cpuinfo: the kernel's description of the processors; it may be missing (other systems than Linux).

    Returns:
        "ok", or a warning where an x86 processor lacks AVX2.
    """
    entries: dict[str, str] = {}
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition(":")
            entries.setdefault(key.strip(), value.strip())
    flags = entries.get("flags", "").split()
    found = [name for name in INSTRUCTION_SETS if name in flags]
    text = (
        f"processor: {entries.get('model name') or 'unknown'}; "
        f"{', '.join(found) or 'instruction sets unknown'}; oneDNN in paddle: {'yes' if onednn else 'no'}"
    )
    if flags and "avx2" not in flags:
        return warning("processor", f"{text}; no AVX2", "paddle and faiss will be slow here; use a newer processor")
    return ok("processor", text)


def check_cores(*, num_workers: int, usable: int) -> Finding:
    """Compare the loader's workers with the cores that this process may use."""
    text = f"{usable} cores to use, data.num_workers {num_workers}"
    if num_workers > usable:
        return warning("cores", text, f"more workers than cores do not help: -o data.num_workers={usable}")
    return ok("cores", text)


def check_device(name: str, *, gpus: Sequence[str], built_for_gpu: bool, has_driver: bool) -> Finding:
    """Compare the device that the configuration asks for with those that paddle sees.

    Args:
        name: "auto", "cpu", "gpu" or "gpu:N".
        gpus: a description of each GPU that paddle sees.
        built_for_gpu: whether paddle was built with CUDA.
        has_driver: whether NVIDIA's driver is installed.

    Returns:
        "ok"; a problem where the configured GPU is not there; a warning where a GPU is left idle.
    """
    seen = ", ".join(f"gpu:{number} {gpu}" for number, gpu in enumerate(gpus)) or "no GPU"
    text = f"device: {name}; paddle sees {seen}"
    install = "install paddle's GPU build (requirements-gpu.txt)"
    if name.startswith("gpu") and int(name.partition(":")[2] or 0) >= len(gpus):
        driver = "check the driver with nvidia-smi" if built_for_gpu else install
        return problem("device", text, f"{driver}, or -o device=auto")
    if not gpus and name == "auto" and has_driver:
        return warning("device", f"{text}, although a driver is installed", install)
    if gpus and name == "cpu":
        return warning("device", text, "the run will use the processor only: -o device=auto")
    return ok("device", text)


def check_memory(*, needed: int, available: int | None, purpose: str, advice: str) -> Finding:
    """Compare the main memory that something needs with what is available.

    Args:
        needed: bytes.
        available: bytes; None where the system does not say.
        purpose: what needs it.
        advice: what to do when there is not enough.

    Returns:
        "ok" or a warning: the need is an estimate.
    """
    if available is None:
        return ok("memory", f"{purpose}: about {_size(needed)}; this system does not say how much is available")
    text = f"{purpose}: about {_size(needed)} of {_size(available)} available memory"
    return ok("memory", text) if needed <= available else warning("memory", text, advice)


def check_disk(folder: Path, *, needed: int) -> Finding:
    """Whether a run can write its folder, and the disk has room for its checkpoints.

    Args:
        folder: output_dir; it need not exist, and is not made.
        needed: bytes.

    Returns:
        "ok" or a problem.
    """
    existing = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        reason = error.strerror or str(error)
        return problem("disk", f"output_dir {folder} cannot be written: {reason}", "choose another: -o output_dir=...")
    free = shutil.disk_usage(existing).free
    text = f"output_dir {folder}: {_size(needed)} for checkpoints of {_size(free)} free"
    if needed > free:
        return problem("disk", text, "free some room, or choose another disk: -o output_dir=...")
    return ok("disk", text)


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _size(num_bytes: int) -> str:
    return f"{num_bytes / 1e9:.1f} GB" if num_bytes >= 1e8 else f"{num_bytes / 1e6:.1f} MB"
