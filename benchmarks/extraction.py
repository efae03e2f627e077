"""Images per second of the extraction engines, how far their features are from the eager ones, and the decoding rate.

    python benchmarks/extraction.py
    python benchmarks/extraction.py --backbone resnet18 --height 64 --width 32 --images 512

The network has random weights and sees noise, which takes as long as people would.
"""

import argparse
import io
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec

import numpy as np
import paddle
from PIL import Image

from ppreid import tables, wiring
from ppreid.config.schema import EvaluationModelConfig
from ppreid.datasets.transforms import eval_transform
from ppreid.export.inference import inference_forward, usable_precision
from ppreid.export.int8 import CALIBRATION_IMAGES

IMAGE_SIZE = (64, 128)  # width, height of the crops of Market-1501


def main() -> None:
    args = _arguments()
    paddle.seed(0)
    rng = np.random.default_rng(0)
    model = wiring.reid_net(EvaluationModelConfig(backbone=args.backbone))
    model.eval()
    noise = rng.standard_normal((max(args.batch_sizes), 3, args.height, args.width), dtype=np.float32)
    print(f"{args.backbone}, {args.height} x {args.width}, {args.images} images, paddle {paddle.__version__}")
    print(f"decode and transform: {_decode_rate(args, rng):.0f} images/s per worker\n")
    print("engine     precision  batch  export s  images/s  per processor s  least cosine to eager")
    for batch_size in args.batch_sizes:
        images = paddle.to_tensor(noise[:batch_size])
        with paddle.no_grad():
            expected = model(images).numpy()
            rates = _rates(lambda batch: model(batch).numpy(), images, args.images)
        print(f"eager      float32    {batch_size:5d}  {'-':>8}  {rates}  -", flush=True)
        for engine, precision, copy in _copies(model, images[:1], rng):
            start = time.perf_counter()
            forward = copy()
            export = time.perf_counter() - start
            cosine = (_there(forward(images)) * expected).sum(axis=1).min()
            rates = _rates(forward, images, args.images)
            print(f"{engine:9}  {precision:9}  {batch_size:5d}  {export:8.1f}  {rates}  {cosine:.7f}", flush=True)


def _copies(model, images: paddle.Tensor, rng: np.random.Generator) -> Iterator[tuple[str, str, Callable]]:
    """Engine, precision and what makes the copy, for all that is installed and that this machine computes in."""
    precisions = ["float32", "bfloat16"] if usable_precision("auto") == "bfloat16" else ["float32"]
    for precision in precisions:
        yield "inference", precision, partial(inference_forward, model, images, precision=precision)
    if find_spec("openvino"):
        from ppreid.export.openvino_engine import openvino_forward

        copy = partial(openvino_forward, model, images)
        for precision in precisions:
            yield "openvino", precision, partial(copy, precision=precision)
        if find_spec("nncf"):
            calibration = rng.standard_normal((CALIBRATION_IMAGES, *images.shape[1:]), dtype=np.float32)
            yield "openvino", "int8", partial(copy, precision="float32", calibration=calibration)


def _rates(forward, images: paddle.Tensor, num_images: int) -> str:
    """Images per second, and per second of processor time, which other programs disturb less."""
    repeats = -(-num_images // len(images))
    start, used = time.perf_counter(), time.process_time()
    begun = [forward(images) for _ in range(repeats)]
    for features in begun:
        _there(features)
    seconds, used = time.perf_counter() - start, time.process_time() - used
    return f"{repeats * len(images) / seconds:8.1f}  {repeats * len(images) / used:15.1f}"


def _there(features) -> np.ndarray:
    """Features (B, D), once an engine that computes beside Python has them."""
    return features if isinstance(features, np.ndarray) else features.result()


def _decode_rate(args: argparse.Namespace, rng: np.random.Generator) -> float:
    """Images per second that one process reads from JPEG bytes in memory and transforms."""
    # smooth, because noise would make files that are larger, and slower to decode, than photographs
    small = Image.fromarray(rng.integers(0, 256, (16, 8, 3), dtype=np.uint8))
    file = io.BytesIO()
    small.resize(IMAGE_SIZE, Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
    start = time.perf_counter()
    for _ in range(args.images):
        with Image.open(file) as image:
            eval_transform(image.convert("RGB"), height=args.height, width=args.width)
    return args.images / (time.perf_counter() - start)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=256, help="images per measurement")
    parser.add_argument("--backbone", default="resnet50", choices=sorted(tables.BACKBONES))
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[32, 256], metavar="B")
    return parser.parse_args()


if __name__ == "__main__":
    main()
