"""Damages honest files at random and reads them: every reader gives a value or an error of ppreid, and nothing else.

    python tests/reliability/fuzz_readers.py --seconds 600 --seed 1

The suite runs a small fixed sample of it. A failure is kept in the folder that is named, with its traceback.
"""

import argparse
import json
import pickle
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np

import ppreid  # noqa: F401 - before paddle
from ppreid.base.errors import PpreidError
from ppreid.config.load import load_config
from ppreid.datasets.camera_table import read_camera_table
from ppreid.datasets.msmt17 import read_list
from ppreid.disk.features import read_features
from ppreid.disk.tensor_file import save_tensors
from ppreid.disk.text import read_csv
from ppreid.run.checkpoint import read_checkpoint
from ppreid.run.metrics import read_metrics
from ppreid.weights.files import read_tensors

DATA = Path(__file__).parents[1] / "data"
MEMORY = 3_000_000_000  # bytes of address space that reading may add
INTERESTING = [
    b"\x00" * 8,
    b"\xff" * 8,
    b"\x7f\xff\xff\xff",
    b"(",
    b"[" * 40,
    b"{",
    b'"',
    b"\n",
    b"-1",
    b"9" * 30,
    b"*a",
    b"!!python/",
    b"../",
]

Reader = Callable[[Path], object]


def honest_files(folder: Path) -> dict[str, tuple[bytes, str, Reader]]:
    """{name: (content, suffix, reader)}; a reader gets the path of a damaged copy."""
    rng = np.random.default_rng(0)
    tensors = {f"layer{i}.weight": rng.standard_normal((3, 2)).astype(np.float32) for i in range(3)}
    save_tensors(folder / "own.safetensors", tensors, {"epoch": 1})
    np.save(folder / "f.npy", tensors["layer0.weight"])
    np.savez(folder / "f.npz", features=tensors["layer0.weight"], pids=[1, 2, 3], paths=np.array(["a", "b", "c"]))
    metrics = "".join(json.dumps({"event": "epoch", "epoch": i, "loss": 0.5}) + "\n" for i in range(4)).encode()
    config = (DATA / "checkpoints" / "frozen.yaml").read_bytes()
    csv = b'path,pid,camid\na.jpg,1,0\n"b,\n.jpg",2,1\nc.jpg,-1,-1\n'
    listed = b"0000/0000_000_01_a.jpg 0\n0001/0001_000_02_b.jpg 1\n"
    table, labels = b'path,camera,pid\na.jpg,1,0\n"b,\n.jpg",2,1\n', b'path,cluster\na.jpg,0\n"b,\n.jpg",-1\n'

    def read_records(path: Path) -> object:
        np.save(path.with_suffix(".npy"), tensors["layer0.weight"])
        return read_features(path.with_suffix(".npy"))

    return {
        "weights": ((folder / "own.safetensors").read_bytes(), ".safetensors", read_tensors),
        "checkpoint": ((DATA / "checkpoints" / "format_1.safetensors").read_bytes(), ".safetensors", read_checkpoint),
        "pickle 2": (pickle.dumps(tensors, 2), ".pdparams", read_tensors),
        "pickle 4": (pickle.dumps(tensors, 4), ".pdparams", read_tensors),
        "torch archive": ((DATA / "torch" / "checkpoint_archive.pth").read_bytes(), ".pth", read_tensors),
        "torch legacy": ((DATA / "torch" / "checkpoint_legacy.pth").read_bytes(), ".pth", read_tensors),
        "npy": ((folder / "f.npy").read_bytes(), ".npy", read_features),
        "npz": ((folder / "f.npz").read_bytes(), ".npz", read_features),
        "csv of features": (csv, ".csv", read_records),
        "configuration": (config, ".yaml", load_config),
        "metrics": (metrics, ".jsonl", read_metrics),
        "list of MSMT17": (listed, ".txt", lambda path: read_list(path, path.parent)),
        "table of cameras": (table, ".csv", lambda path: read_camera_table(path, path.parent)),
        "labels": (labels, ".csv", lambda path: read_csv(path, ["path", "cluster"])),
    }


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """A copy with one to four random changes, most of them near the start, where the structure is."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        limit = len(data) if rng.random() < 0.5 else min(len(data), 400)
        place = int(rng.integers(0, limit + 1))
        end = place + int(rng.integers(0, 9))
        match rng.integers(0, 6):
            case 0 if place < len(data):
                data[place] ^= 1 << int(rng.integers(0, 8))
            case 1:
                data[place:end] = rng.bytes(int(rng.integers(0, 9)))
            case 2:
                data[place:end] = INTERESTING[int(rng.integers(0, len(INTERESTING)))]
            case 3:
                del data[place:end]
            case 4:
                source = int(rng.integers(0, limit + 1))
                data[place:place] = data[source : source + int(rng.integers(0, 60))]
            case _ if rng.random() < 0.2:
                del data[place:]
    return bytes(data)


def read_damaged(path: Path, reader: Reader) -> bool:
    """Whether the file was read; False if it was refused in the way that it must be."""
    try:
        reader(path)
    except PpreidError:
        return False
    return True


def main() -> int:
    """Fuzz until the time is over; 1 if anything but an error of ppreid came."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    folder, rng, end = (
        Path(tempfile.mkdtemp(prefix="fuzz.")),
        np.random.default_rng(args.seed),
        time.monotonic() + args.seconds,
    )
    files, counts, failures = honest_files(folder), {}, 0
    while time.monotonic() < end:
        for name, (content, suffix, reader) in files.items():
            path, start = folder / f"case{suffix}", time.process_time()
            path.write_bytes(damaged(content, rng))
            try:
                outcome = "read" if read_damaged(path, reader) else "refused"
            except BaseException:  # noqa: BLE001 - whatever it is, it is what this program looks for
                outcome, failures = "FAILED", failures + 1
                kept = path.rename(folder / f"failure{failures}{suffix}")
                kept.with_suffix(".txt").write_text(f"{name}\n{traceback.format_exc()}")
            if time.process_time() - start > 10:
                print(f"{name}: {time.process_time() - start:.0f} s, kept in {folder}")
                failures += 1
                (folder / f"slow{failures}{suffix}").write_bytes(path.read_bytes())
            counts[name, outcome] = counts.get((name, outcome), 0) + 1
    for (name, outcome), count in sorted(counts.items()):
        print(f"{name:<16} {outcome:<8} {count:>8}")
    print(f"seed {args.seed}, {failures} failures" + (f", see {folder}" if failures else ""))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
