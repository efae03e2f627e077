"""Time and memory of pseudo labels, from ten thousand to a million images.

    python benchmarks/pseudo_labels.py --sizes 12936 32621 --methods exact ivf dense

Prints one table row for each size and method. Every run is a process of its own, so that peak memory is its own; the
kernels are compiled before the clock starts. Memory is anonymous memory, read from /proc ten times a second: pages
of the memory-mapped features, which the system can drop at any time, do not count. Linux only.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from features import KINDS, write_features

COLUMNS = (
    "images", "method", "search s", "jaccard s", "dbscan s", "centroids s", "total s", "total / search", "peak GB",
    "clusters", "outliers %", "ARI", "recall", "ARI to exact",
)  # fmt: skip
# The dense way needs about 13 bytes for each pair of images and Python loops over them.
DENSE_LIMIT = 20_000


@contextmanager
def peak_memory() -> Iterator[list[float]]:
    """Watch the anonymous memory of this process; the list that it gives holds the peak in GB afterwards."""
    readings = [0.0]
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.1):
            fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
            readings[0] = max(readings[0], int(fields["RssAnon"].split()[0]) * 1024 / 1e9)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield readings
    finally:
        done.set()
        thread.join()


def run_one(folder: Path, method: str, k1: int, k2: int, eps: float, num_probes: int | None) -> dict:
    """One row of the table for the features in a folder."""
    from sklearn.metrics import adjusted_rand_score

    from ppreid.clustering.jaccard import jaccard_distance, jaccard_from_neighbours
    from ppreid.clustering.labels import cluster_centroids, dbscan_labels
    from ppreid.clustering.quality import clustering_statistics
    from ppreid.neighbours.search import estimate_recall, nearest_neighbours

    features = np.load(folder / "features.npy", mmap_mode="r")
    pids = np.load(folder / "pids.npy")
    if method == "dense":
        from dense_pseudo_labels import dense_pseudo_labels

        in_memory = np.array(features, np.float32)
        with peak_memory() as peak:
            start = time.perf_counter()
            labels = dense_pseudo_labels(in_memory, k1=k1, k2=k2, eps=eps, min_samples=4)
            row = {"total s": time.perf_counter() - start, "peak GB": peak[0]}
    else:
        some = 21_000 if method == "nn_descent" else 1500  # of fewer it makes no graph
        dbscan_labels(jaccard_distance(features[:some], k1=k1, k2=k2, method=method), eps=eps)  # compiles
        with peak_memory() as peak:
            clock = [time.perf_counter()]
            _, indices = nearest_neighbours(features, max(k1, k2), method=method, num_probes=num_probes)
            clock.append(time.perf_counter())
            distances = jaccard_from_neighbours(features, indices, k1=k1, k2=k2, max_distance=eps)
            clock.append(time.perf_counter())
            labels = dbscan_labels(distances, eps=eps)
            clock.append(time.perf_counter())
            cluster_centroids(features, labels)
            clock.append(time.perf_counter())
        row = dict(zip(COLUMNS[2:6], np.diff(clock), strict=True))
        row |= {"total s": clock[-1] - clock[0], "total / search": (clock[-1] - clock[0]) / (clock[1] - clock[0])}
        row["peak GB"] = peak[0]
        if method not in ("exact", "certified"):
            row["recall"] = estimate_recall(features, indices, rng=np.random.default_rng(1))
    statistics = clustering_statistics(labels)
    alone = np.where(labels < 0, len(labels) + np.arange(len(labels)), labels)
    row |= {"images": len(labels), "method": method, "clusters": statistics.clusters}
    row |= {"outliers %": 100 * statistics.outliers / len(labels), "ARI": adjusted_rand_score(pids, alone)}
    if method == "exact" or (method == "certified" and not (folder / "exact.npy").exists()):
        np.save(folder / "exact.npy", alone)
    elif (folder / "exact.npy").exists():
        row["ARI to exact"] = adjusted_rand_score(np.load(folder / "exact.npy"), alone)
    return row


def formatted(row: dict) -> str:
    """A row as a line of a Markdown table."""
    cells = []
    for column in COLUMNS:
        value = row.get(column, "")
        digits = 3 if column in ("ARI", "recall", "ARI to exact") else 1 if column.endswith(("s", "%")) else 2
        cells.append(f"{value:.{digits}f}" if isinstance(value, float) else str(value))
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[12_936, 32_621], help="numbers of images")
    parser.add_argument(
        "--methods", nargs="+", default=["exact", "ivf"], choices=["exact", "certified", "nn_descent", "ivf", "dense"]
    )
    parser.add_argument("--dim", type=int, default=2048, help="dimension of the features")
    parser.add_argument("--dtype", default="float32", choices=["float32", "float16"])
    parser.add_argument("--features", default="crowd", choices=list(KINDS), help="what they are like")
    parser.add_argument("--k1", type=int, default=30)
    parser.add_argument("--k2", type=int, default=6)
    parser.add_argument("--eps", type=float, default=0.6)
    parser.add_argument(
        "--num-probes", type=int, default=None, help="lists that ivf searches per image; absent: enough"
    )
    parser.add_argument("--folder", type=Path, default=None, help="where the features are written; temporary if absent")
    parser.add_argument("--one", nargs=2, metavar=("FOLDER", "METHOD"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        row = run_one(Path(args.one[0]), args.one[1], args.k1, args.k2, args.eps, args.num_probes)
        print(json.dumps({key: value if isinstance(value, str | int) else float(value) for key, value in row.items()}))
        return
    print("| " + " | ".join(COLUMNS) + " |\n|" + " --- |" * len(COLUMNS), flush=True)
    for size in args.sizes:
        with tempfile.TemporaryDirectory(dir=args.folder) as name:
            pids, _ = write_features(Path(name, "features.npy"), size, args.dim, dtype=args.dtype, kind=args.features)
            np.save(Path(name, "pids.npy"), pids)
            for method in args.methods:
                if method == "dense" and size > DENSE_LIMIT:
                    continue
                command = [sys.executable, *sys.argv, "--one", name, method]
                done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
                print(formatted(json.loads(done.stdout.splitlines()[-1])), flush=True)


if __name__ == "__main__":
    main()
