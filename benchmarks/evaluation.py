"""Seconds and memory of ranking and re-ranking, beside plain numpy and scikit-learn: a table.

    python benchmarks/evaluation.py
    python benchmarks/evaluation.py --sizes 500x5000 3368x15913 --tasks ranking rerank
    python benchmarks/evaluation.py --folder /fast/disk --keep

Sizes are queries x gallery; the defaults are a small set, Market1501 and MSMT17. Tasks:

    plain     what the released code does for every query: sort its distances, then scikit-learn's
              average_precision_score; measured on --plain-queries queries and extrapolated to all of them
    ranking   ppreid, mAP, CMC and mINP of all queries, one block of queries at a time
    rerank    ppreid, k-reciprocal re-ranking and the metrics of all queries

Each task runs in a process of its own; the peak is that of the whole process, the features included (twice for
re-ranking, which stacks query and gallery). "all at once" is what the plain way needs in memory to do all queries: the
(Q, G) distances in float32 and their order in int64; for re-ranking the (Q+G, Q+G) distances in float32.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from features import write_features
from sklearn.metrics import average_precision_score

from ppreid.evaluation.ranking import evaluate_features
from ppreid.evaluation.rerank import evaluate_reranked

SIZES = ("500x5000", "3368x15913", "11659x82161")


def plain_average_precision(query, gallery, query_pids, gallery_pids, query_camids, gallery_camids):
    """Average precision of every query, (Q,), NaN without a match: one dense matrix, one full sort per query."""
    distances = (query**2).sum(axis=1)[:, None] + (gallery**2).sum(axis=1) - 2 * query @ gallery.T
    order = np.argsort(distances, axis=1)
    precisions = np.full(len(query), np.nan)
    for row, (pid, camid) in enumerate(zip(query_pids, query_camids, strict=True)):
        ranked = order[row]
        keep = (gallery_pids[ranked] != pid) | (gallery_camids[ranked] != camid)
        matches = (gallery_pids[ranked] == pid)[keep]
        if matches.any():
            precisions[row] = average_precision_score(matches, -distances[row][ranked][keep])
    return precisions


def measure(task, file, num_queries, plain_queries):
    """Run one task in this process; the result goes to standard output as one line of JSON."""
    features = np.load(file)
    with np.load(file.with_suffix(".npz")) as ids:
        pids, camids = ids["pids"], ids["camids"]
    count = min(plain_queries, num_queries) if task == "plain" else num_queries
    q, g = slice(0, count), slice(num_queries, None)
    arrays = features[q], features[g], pids[q], pids[g], camids[q], camids[g]
    if task == "rerank":  # compile and load before the clock starts
        evaluate_reranked(features[:50], features[:50], pids[:50], pids[:50], camids[:50], 1 + camids[:50])
    start = time.perf_counter()
    if task == "plain":
        mean_ap = float(np.nanmean(plain_average_precision(*arrays)))
    else:
        result = (evaluate_reranked if task == "rerank" else evaluate_features)(*arrays)
        mean_ap = result.mean_ap
    seconds = (time.perf_counter() - start) * num_queries / count
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    agreement = None
    if task == "ranking":  # after the measurement: the first queries once more, the plain way
        q = slice(0, min(plain_queries, num_queries))
        precisions = plain_average_precision(features[q], features[g], pids[q], pids[g], camids[q], camids[g])
        agreement = float(np.nanmax(np.abs(precisions - result.average_precision[q])))
    print(json.dumps({"seconds": seconds, "peak": peak, "mAP": mean_ap, "agreement": agreement, "count": count}))


def all_at_once(task, num_queries, num_gallery):
    """Memory in GB of a version without blocks."""
    return 4 * (num_queries + num_gallery) ** 2 / 2**30 if task == "rerank" else 12 * num_queries * num_gallery / 2**30


def table(args):
    print(f"D {args.dim}; {'size':>9}{'task':>16}{'seconds':>10}{'peak GB':>9}{'all at once GB':>16}{'mAP':>8}")
    notes = []
    for size in args.sizes:
        num_queries, num_gallery = map(int, size.split("x"))
        file = args.folder / f"evaluation_{size}_{args.dim}.npy"
        if not file.with_suffix(".npz").exists():
            pids, camids = write_features(file, num_queries + num_gallery, args.dim, seed=1)
            np.savez(file.with_suffix(".npz"), pids=pids, camids=camids)
        for task in args.tasks:
            command = [sys.executable, __file__, "--one", task, str(file), str(num_queries), str(args.plain_queries)]
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
            name = f"{task} ({found['count']})" if found["count"] < num_queries else task
            needed = all_at_once(task, num_queries, num_gallery)
            print(
                f"{size:>15}{name:>16}{found['seconds']:>10.1f}{found['peak']:>9.2f}{needed:>16.1f}"
                f"{100 * found['mAP']:>8.2f}",
                flush=True,
            )
            if found["agreement"] is not None:
                notes.append(f"{size}: largest difference to scikit-learn's average precision {found['agreement']:.1e}")
        if not args.keep:
            file.unlink()
            file.with_suffix(".npz").unlink()
    print("\n".join([*notes, "(n): measured on n queries, seconds extrapolated to all"]))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs="+", default=SIZES, metavar="QxG", help=f"default: {' '.join(SIZES)}")
    parser.add_argument("--tasks", nargs="+", default=("plain", "ranking", "rerank"))
    parser.add_argument("--dim", type=int, default=2048, help="dimensions of the features, default 2048")
    parser.add_argument("--plain-queries", type=int, default=100, help="queries that the plain task does, default 100")
    parser.add_argument("--folder", type=Path, help="where the features are written; default: a temporary folder")
    parser.add_argument("--keep", action="store_true", help="keep the features for the next run")
    parser.add_argument("--one", nargs=4, metavar=("TASK", "FILE", "QUERIES", "PLAIN"), help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        task, file, num_queries, plain_queries = args.one
        measure(task, Path(file), int(num_queries), int(plain_queries))
    elif args.folder:
        table(args)
    else:
        with tempfile.TemporaryDirectory() as folder:
            args.folder = Path(folder)
            table(args)


if __name__ == "__main__":
    main()
