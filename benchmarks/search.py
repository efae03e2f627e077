"""Time of searches in a gallery of generated features, exact and in inverted lists, and what the lists miss.

python benchmarks/search.py --images 50000 --dim 256
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from features import write_features

from ppreid.search.gallery import GallerySearch, learn_lists

K, QUERIES = 10, 100


def timed(call):
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--dim", type=int, default=256)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_features(Path(folder) / "features.npy", args.images, args.dim)
        features = np.load(Path(folder) / "features.npy")
    queries = features[:: max(1, len(features) // QUERIES)][:QUERIES]
    nobody, camids = np.full(len(queries), -1), np.full(len(features), -1)

    def search(gallery, **settings):
        return gallery.nearest(queries, K, own_rows=nobody, own_cameras=nobody, **settings)

    exact, opening = timed(lambda: GallerySearch([features], camids))
    truth, seconds = timed(lambda: search(exact))
    print(f"{len(features):,} images of {args.dim} dimensions, {len(queries)} queries at once")
    print(f"{'':20}{'open':>9}{'a query':>12}{'found':>8}")
    print(f"{'exact':20}{opening:>7.2f} s{1000 * seconds / len(queries):>9.2f} ms{1:>8.3f}")
    lists, learning = timed(lambda: learn_lists(features))
    gallery, opening = timed(lambda: GallerySearch([features], camids, lists))
    for num_probes in (1, 8, 32):
        answers, seconds = timed(lambda probes=num_probes: search(gallery, num_probes=probes))
        found = np.mean([len(np.intersect1d(a.rows, b.rows)) / K for a, b in zip(answers, truth, strict=True)])
        name = f"ivf, {num_probes} probes"
        print(f"{name:20}{opening:>7.2f} s{1000 * seconds / len(queries):>9.2f} ms{found:>8.3f}")
    print(f"learning {len(lists.centroids):,} lists took {learning:.1f} s, once")


if __name__ == "__main__":
    main()
