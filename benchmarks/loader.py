"""Images per second of the loader, and the processor time that an image takes in the main process and in its workers.

    python benchmarks/loader.py
    python benchmarks/loader.py --workers 0 2 --batch-size 256

The images are smooth noise, which is as large and as slow to decode as photographs of people.
"""

import argparse
import resource
import tempfile
import time
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from ppreid.base.records import ImageRecord
from ppreid.datasets.image_dataset import ImageDataset
from ppreid.datasets.loader import eval_loader
from ppreid.datasets.transforms import eval_transform

IMAGE_SIZE = (64, 128)  # width, height of the crops of Market-1501
PROCESSES = (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)


def main() -> None:
    args = _arguments()
    with tempfile.TemporaryDirectory() as folder:
        records = write_images(Path(folder), args.images)
        dataset = ImageDataset(records, partial(eval_transform, height=args.height, width=args.width))
        print(f"{args.images} images of {args.height} x {args.width}, batches of {args.batch_size}\n")
        print("workers  images/s  ms per image: main process  workers")
        for num_workers in args.workers:
            shape = (3, args.height, args.width)
            loader = eval_loader(dataset, batch_size=args.batch_size, image_shape=shape, num_workers=num_workers)
            start, before = time.perf_counter(), [_seconds(who) for who in PROCESSES]
            for _ in loader:
                pass
            rate = args.images / (time.perf_counter() - start)
            used = [1000 * (_seconds(who) - old) / args.images for who, old in zip(PROCESSES, before, strict=True)]
            print(f"{num_workers:7d}  {rate:8.0f}  {used[0]:26.2f}  {used[1]:7.2f}", flush=True)


def _seconds(who: int) -> float:
    """Processor time of this process or of its children that have ended."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def write_images(folder: Path, number: int) -> list[ImageRecord]:
    """Write smooth noise as JPEG files of the size of Market-1501's crops."""
    rng = np.random.default_rng(0)
    records = []
    for index in range(number):
        small = Image.fromarray(rng.integers(0, 256, (16, 8, 3), dtype=np.uint8))
        path = folder / f"{index}.jpg"
        small.resize(IMAGE_SIZE, Image.Resampling.BICUBIC).save(path, quality=90)
        records.append(ImageRecord(str(path), pid=-1, camid=-1))
    return records


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2048)
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2, 4], metavar="N")
    return parser.parse_args()


if __name__ == "__main__":
    main()
