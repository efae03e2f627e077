"""ppreid beside the packages that do the same and are installed here: one table, runs interleaved.

    python benchmarks/compare.py
    python benchmarks/compare.py --tasks neighbours --images 32621 --rounds 3
    python benchmarks/compare.py --tasks extraction --extracted 512 --without "ppreid eager"

Tasks:

    neighbours  the 30 nearest of every image: ppreid's ways, faiss, hnswlib and scikit-learn, with their recall
    labels      DBSCAN on the sparse distances of ppreid, and on a dense matrix by scikit-learn
    extraction  features of JPEG files by every engine of ppreid, of tensors by bare OpenVINO, and by PyTorch

Every run is a process of its own, so that its peak memory is its own, and the programs take turns, so that what else
the machine does meets all of them. What a program does once (compiling kernels, a copy of the network) comes before
its clock starts. "ratio" is to the first row, by processor time, which others disturb least.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from statistics import median

import numpy as np

K = 30
EPS = 0.6
# task -> program -> package that it needs; the first one is what the others are compared with
PROGRAMS = {
    "neighbours": {
        "ppreid certified": "ppreid",
        "ppreid exact": "ppreid",
        "ppreid ivf": "ppreid",
        "faiss exact": "faiss",
        "hnswlib": "hnswlib",
        "scikit-learn": "sklearn",
    },
    "labels": {"ppreid": "ppreid", "scikit-learn dense": "sklearn"},
    "extraction": {
        "ppreid openvino": "openvino",
        "OpenVINO bare": "openvino",
        "ppreid inference": "ppreid",
        "ppreid eager": "ppreid",
        "PyTorch": "torchvision",
    },
}


def neighbours(program: str, folder: Path):
    """What finds neighbours (N, K) of the features in a folder."""
    from ppreid.neighbours.search import nearest_neighbours

    features = np.load(folder / "features.npy")
    name, _, method = program.partition(" ")
    if name == "ppreid":
        nearest_neighbours(features[:5000], K, method=method)  # compiles
        return lambda: nearest_neighbours(features, K, method=method)[1]
    if name == "faiss":
        import faiss

        index = faiss.IndexFlatIP(features.shape[1])
        index.add(features)
        return lambda: index.search(features, K)[1]
    if name == "hnswlib":
        import hnswlib

        def graph():
            index = hnswlib.Index(space="ip", dim=features.shape[1])
            index.init_index(max_elements=len(features), M=16, ef_construction=100)
            index.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
            index.add_items(features)
            index.set_ef(100)
            return index.knn_query(features, k=K)[0]

        return graph
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=K, algorithm="brute", metric="euclidean").fit(features)
    return lambda: search.kneighbors(features, return_distance=False)


def labels(program: str, folder: Path):
    """What finds the clusters (N,) of the features in a folder."""
    from ppreid.clustering.jaccard import jaccard_distance
    from ppreid.clustering.labels import dbscan_labels

    distances = jaccard_distance(np.load(folder / "features.npy"), k1=K, k2=6, max_distance=EPS)
    if program == "ppreid":
        return lambda: dbscan_labels(distances, eps=EPS)
    from sklearn.cluster import DBSCAN

    dense = np.ones(distances.shape, np.float32)
    stored = distances.tocoo()  # nonzero() would leave out the stored zeros of duplicates
    dense[stored.row, stored.col] = stored.data
    np.fill_diagonal(dense, 0)
    return lambda: DBSCAN(eps=EPS, min_samples=4, metric="precomputed").fit_predict(dense)


def extraction(program: str, folder: Path):
    """What makes features (N, D) of the images in a folder; bare programs begin with tensors in memory."""
    from functools import partial

    import paddle

    from ppreid import wiring
    from ppreid.base.records import ImageRecord
    from ppreid.config.schema import EvaluationModelConfig
    from ppreid.datasets.image_dataset import ImageDataset
    from ppreid.datasets.loader import eval_loader
    from ppreid.datasets.transforms import eval_transform
    from ppreid.training.extract import extract_features

    height, width, batch = 256, 128, 64
    records = [ImageRecord(str(path), -1, -1) for path in sorted(folder.glob("*.jpg"))]
    if program == "PyTorch":
        return torch_resnet50(len(records), (batch, 3, height, width))
    paddle.seed(0)
    model = wiring.reid_net(EvaluationModelConfig(backbone="resnet50"))
    model.eval()
    if program == "OpenVINO bare":
        return bare_openvino(model, len(records), (8, 3, height, width))
    dataset = ImageDataset(records, partial(eval_transform, height=height, width=width))
    loader = eval_loader(dataset, batch_size=batch, image_shape=(3, height, width), num_workers=0)
    return partial(extract_features, model, loader, engine=program.split()[1])


def bare_openvino(model, count: int, shape: tuple[int, ...]):
    """Requests of noise beside each other, as OpenVINO's benchmark_app makes them."""
    import openvino

    from ppreid.export.openvino_graph import openvino_network

    threads = os.environ["OMP_NUM_THREADS"]
    options = {"NUM_STREAMS": threads, "INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(openvino_network(model, shape), "CPU", options)
    requests, noise = openvino.AsyncInferQueue(compiled), np.random.default_rng(0).random(shape, dtype=np.float32)

    def run():
        for _ in range(-(-count // shape[0])):
            requests.start_async({0: noise})
        requests.wait_all()

    return run


def torch_resnet50(count: int, shape: tuple[int, ...]):
    """The network of torchvision with the stride of re-identification."""
    import torch
    import torchvision

    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    model = torchvision.models.resnet50().eval()
    model.layer4[0].conv2.stride = model.layer4[0].downsample[0].stride = (1, 1)
    noise = torch.rand(shape)

    def run():
        with torch.inference_mode():
            for _ in range(-(-count // shape[0])):
                model(noise)

    return run


def run_one(task: str, program: str, folder: Path) -> dict[str, float]:
    """Seconds, processor seconds and peak memory of one run, and what its result is worth."""
    call = {"neighbours": neighbours, "labels": labels, "extraction": extraction}[task](program, folder)
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    result = call()
    seconds, after = time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    row = {"seconds": seconds, "processor s": used, "peak GB": after.ru_maxrss * 1024 / 1e9}
    if task == "neighbours":
        truth = folder / "exact.npy"
        if program == "ppreid certified":
            np.save(truth, result)
        row["recall"] = float(
            np.mean([len(np.intersect1d(a, b)) / K for a, b in zip(result, np.load(truth), strict=True)])
        )
    return row


def prepare(task: str, folder: Path, args: argparse.Namespace) -> None:
    """Write what the programs read."""
    if task == "extraction":
        from loader import write_images

        write_images(folder, args.extracted)
    else:
        from features import write_features

        write_features(folder / "features.npy", args.images if task == "neighbours" else args.clustered, args.dim)


def table(task: str, rows: dict[str, list[dict[str, float]]]) -> None:
    """Print medians and ratios."""
    columns = ["seconds", "processor s", "peak GB", *(["recall"] if task == "neighbours" else [])]
    print(f"\n| {task} | {' | '.join(columns)} | ratio |\n|{'---|' * (len(columns) + 2)}")
    first = None
    for program, runs in rows.items():
        middle = [median(run[column] for run in runs) for column in columns]
        first = first or middle[1]
        cells = [f"{value:.3f}" if value < 10 else f"{value:.1f}" for value in middle]
        print(f"| {program} | {' | '.join(cells)} | {middle[1] / first:.2f} |", flush=True)


def main() -> None:
    args = arguments()
    if args.one:
        print(json.dumps(run_one(*args.one[:2], Path(args.one[2]))))
        return
    processor = next((line.split(":")[1] for line in lines("/proc/cpuinfo") if line.startswith("model name")), "")
    print(f"{processor.strip() or platform.processor()}, {os.cpu_count()} cores, {args.threads} threads each")
    names = ("OMP", "OPENBLAS", "MKL", "NUMBA")
    environment = os.environ | {f"{name}_NUM_THREADS": str(args.threads) for name in names}
    for task in args.tasks:
        wanted = {program: package for program, package in PROGRAMS[task].items() if program not in args.without}
        installed = [program for program, package in wanted.items() if find_spec(package)]
        for program in wanted.keys() - set(installed):
            print(f"{task}: {program} is not installed", file=sys.stderr)
        rows: dict[str, list[dict[str, float]]] = {program: [] for program in installed}
        with tempfile.TemporaryDirectory() as folder:
            prepare(task, Path(folder), args)
            for number in range(args.rounds):
                for program in installed:
                    print(f"{task}, round {number + 1}: {program}", file=sys.stderr, flush=True)
                    command = [sys.executable, "-W", "ignore", __file__, "--one", task, program, folder]
                    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
                    rows[program].append(json.loads(done.stdout.splitlines()[-1]))
        table(task, rows)


def lines(path: str) -> list[str]:
    """Lines of a text file, none where there is no such file."""
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", nargs="+", default=list(PROGRAMS), choices=list(PROGRAMS))
    parser.add_argument("--images", type=int, default=12_936, help="whose neighbours are searched")
    parser.add_argument("--clustered", type=int, default=8_000, help="images of the task labels, whose matrix is dense")
    parser.add_argument("--extracted", type=int, default=256, help="images of the task extraction")
    parser.add_argument("--dim", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--without", nargs="+", default=[], metavar="PROGRAM", help="rows to leave out")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    main()
