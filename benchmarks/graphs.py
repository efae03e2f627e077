"""Ways to the approximate neighbours of many images by short vectors: graphs and codes of packages.

    python benchmarks/graphs.py --images 100000
    python benchmarks/graphs.py --images 1000000 --programs pynndescent "faiss HNSW"
    python benchmarks/graphs.py --images 100000 --features videos

Every program gets the same vectors (N, 129), see `ppreid.neighbours.certified.short_vectors`, one thread, and is asked
for 64 neighbours of every image, of which the true 30 by the features themselves should be among them: "recall". Those
that are asked image by image are asked for a sample, and "all" is that time times N. Nothing is scored in full.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from features import KINDS, write_features
from threadpoolctl import threadpool_limits

K, PLACES, ASKED = 30, 64, 1000
Find = Callable[[np.ndarray], np.ndarray]  # rows (n,) -> candidates (n, PLACES + 1)


def descent(vectors: np.ndarray) -> Find:
    from pynndescent import NNDescent

    options = {"metric": "euclidean", "n_trees": 5, "random_state": 0, "n_jobs": 1}
    indices = NNDescent(vectors, n_neighbors=PLACES + 1, **options).neighbor_graph[0]
    return lambda rows: indices[rows]


def faiss_index(kind: str, vectors: np.ndarray) -> Find:
    import faiss

    faiss.omp_set_num_threads(1)
    # codes take a whole number of parts, and the last number of a vector is no direction
    index = faiss.index_factory(vectors.shape[1] - 1, kind, faiss.METRIC_INNER_PRODUCT)
    if "HNSW" in kind:
        index.hnsw.efConstruction, index.hnsw.efSearch = 100, PLACES
    along = np.ascontiguousarray(vectors[:, :-1])
    index.train(along[::10])
    index.add(along)
    return lambda rows: index.search(along[rows], 4 * PLACES + 1 if "PQ" in kind else PLACES + 1)[1]


def hnswlib_graph(vectors: np.ndarray) -> Find:
    import hnswlib

    index = hnswlib.Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=32, ef_construction=100)
    index.set_num_threads(1)
    index.add_items(vectors)
    index.set_ef(PLACES + 1)
    return lambda rows: index.knn_query(vectors[rows], PLACES + 1)[0]


def usearch_graph(vectors: np.ndarray) -> Find:
    from usearch.index import Index

    index = Index(
        ndim=vectors.shape[1], metric="cos", dtype="i8", connectivity=32, expansion_add=100, expansion_search=PLACES
    )
    index.add(np.arange(len(vectors)), vectors, threads=1)
    return lambda rows: index.search(vectors[rows], PLACES + 1, threads=1).keys.astype(np.int64)


# name -> (package, what makes it ready, whether all are found by then)
PROGRAMS = {
    "pynndescent": ("pynndescent", descent, True),
    "faiss HNSW": ("faiss", lambda vectors: faiss_index("HNSW32_SQ8", vectors), False),
    "hnswlib": ("hnswlib", hnswlib_graph, False),
    "usearch, 8 bits": ("usearch", usearch_graph, False),
    "faiss 4-bit codes, 256 places": ("faiss", lambda vectors: faiss_index("PQ64x4fs", vectors), False),
}


def true_neighbours(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    from ppreid.neighbours.ranking import Ranking
    from ppreid.neighbours.tiles import choose_matmul, nearest_of_sample

    wanted = Ranking(np.zeros(len(features), np.int64), K, same_group=True, rows=range(0))
    return nearest_of_sample(features, rows, [wanted], matmul=choose_matmul("cpu"))[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--features", default="crowd", choices=list(KINDS), help="what they are like")
    parser.add_argument(
        "--folder", type=Path, default=None, help="where 8 kB an image are written; temporary if absent"
    )
    parser.add_argument("--programs", nargs="+", default=list(PROGRAMS), choices=list(PROGRAMS))
    args = parser.parse_args()
    from ppreid.neighbours import certified

    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        write_features(Path(name, "features.npy"), args.images, 2048, kind=args.features)
        features = np.load(Path(name, "features.npy"), mmap_mode="r")
        directions = certified.directions(features, certified.NUM_DIRECTIONS[0], np.random.default_rng(0))
        vectors = certified.short_vectors(features, directions)
        rows = np.sort(np.random.default_rng(1).choice(args.images, ASKED, replace=False))
        truth = true_neighbours(features, rows)
    print("| program | ready after, processor s | all, processor s | recall |\n|---|---|---|---|")
    for program in args.programs:
        package, make, finds_all = PROGRAMS[program]
        if not find_spec(package):
            print(f"| {program} | not installed |  |  |")
            continue
        with threadpool_limits(1):
            make(vectors[:3000])  # compiles
            start = time.process_time()
            find = make(vectors)
            ready = time.process_time()
            found = find(rows)
            asked = 0 if finds_all else (time.process_time() - ready) * args.images / ASKED
        recall = np.mean([np.isin(true, near).mean() for true, near in zip(truth, found, strict=True)])
        print(f"| {program} | {ready - start:.0f} | {ready - start + asked:.0f} | {recall:.3f} |", flush=True)


if __name__ == "__main__":
    main()
