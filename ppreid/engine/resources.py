"""How much memory there is, and a warning before work that will not fit."""

import warnings
from pathlib import Path

from ppreid.errors import PpreidWarning

# Measured with benchmarks/pseudo_labels.py: at k1 = 30 a million images take 1.7 GB, tiles included; features that
# cluster worse store more pairs, so the estimate is twice that.
LABEL_BYTES_PER_NEIGHBOUR = 110


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes that can be used without swapping; None where the system does not say (it is not Linux)."""
    try:
        lines = meminfo.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kilobytes = [int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")]
    return kilobytes[0] * 1024 if kilobytes else None


def warn_if_labels_do_not_fit(num_images: int, *, neighbours: int, available: int | None) -> None:
    """Say before the start that pseudo labels will need more memory than there is.

    Args:
        num_images: N.
        neighbours: neighbours per image, k1.
        available: see `available_memory`; None is not checked.

    Warns:
        PpreidWarning: the estimate, LABEL_BYTES_PER_NEIGHBOUR * k1 bytes per image, is above what is available.
    """
    needed = LABEL_BYTES_PER_NEIGHBOUR * neighbours * num_images
    if available is not None and needed > available:
        warnings.warn(
            f"pseudo labels of {num_images:,} images with {neighbours} neighbours need about {needed / 1e9:.1f} GB "
            f"beyond the features; {available / 1e9:.1f} GB are available. Lower labels.k1, or free memory",
            PpreidWarning,
            stacklevel=2,
        )
