"""What loading weights did, in a line for the log: nothing that was left out is hidden behind something harmless."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from ppreid.base.errors import printable
from ppreid.weights.state_dict import listed

COUNTER = "num_batches_tracked"  # torch's, in every normalisation; nothing reads it
MAX_OF_A_GROUP = 4  # names; of larger groups, e.g. a second network, the number is said


class LoadReport(NamedTuple):
    """What `load_weights` did.

    Attributes:
        path: the file.
        sha256: its digest, 64 hexadecimal digits.
        entry: the part of the file that was read, e.g. "state_dict"; "" is the whole file.
        naming: whose parameter names the file uses, a key of NAMINGS.
        num_loaded: number of tensors copied into the model.
        dropped: names in the file that were left out (classifier heads, counters of batches).
        kept: names in the model that kept their initial value.
        note: what else to know about the file; "" is nothing.
    """

    path: Path
    sha256: str
    entry: str
    naming: str
    num_loaded: int
    dropped: tuple[str, ...]
    kept: tuple[str, ...]
    note: str = ""

    def __str__(self) -> str:
        """One line for the log."""
        place = f"{self.path}, entry {self.entry!r}" if self.entry else str(self.path)
        parts = [f"{self.num_loaded} tensors from {place} ({self.naming} names, sha256 {self.sha256})"]
        if self.dropped:
            parts.append(f"left out: {grouped(self.dropped)}")
        if self.kept:
            parts.append(f"not in the file: {listed(self.kept)}")
        return "; ".join([*parts, self.note] if self.note else parts)


def grouped(names: Iterable[str]) -> str:
    """Names for a person: every head and every layer is named, however many counters there are."""
    names = list(names)
    counters = [name for name in names if name.endswith(COUNTER)]
    layers: dict[str, list[str]] = {}
    for name in names:
        if not name.endswith(COUNTER):
            layers.setdefault(_layer(name), []).append(name)
    parts: list[str] = []
    for layer, members in layers.items():
        few = len(members) <= MAX_OF_A_GROUP
        parts += map(printable, members) if few else [f"{printable(layer)}.* ({len(members)} tensors)"]
    if counters:
        parts.append(f"{len(counters)} counters ({COUNTER})")
    return ", ".join(parts)


def _layer(name: str) -> str:
    """First part of a name that says something: "module.encoder_k.layer1.0" -> "module.encoder_k"."""
    parts = name.split(".")
    depth = next((i for i, part in enumerate(parts) if part not in ("module", "_orig_mod", "model", "network")), 0)
    return ".".join(parts[: depth + 1])
