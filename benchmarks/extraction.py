"""Images per second of the extraction engines, how far their features are from the eager ones, and the decoding rate.

    python benchmarks/extraction.py
    python benchmarks/extraction.py --backbone resnet18 --height 64 --width 32 --images 512

The network has random weights and sees noise, which takes as long as people would.
"""

import argparse
import io
import time

import numpy as np
import paddle
from PIL import Image

from ppreid import tables, wiring
from ppreid.config.schema import EvaluationModelConfig
from ppreid.datasets.transforms import eval_transform
from ppreid.export.inference import inference_forward, usable_precision

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
    print("engine     precision  batch  export s  images/s  least cosine to eager")
    precisions = ["float32", "bfloat16"] if usable_precision("auto") == "bfloat16" else ["float32"]
    for batch_size in args.batch_sizes:
        images = paddle.to_tensor(noise[:batch_size])
        with paddle.no_grad():
            expected = model(images).numpy()
            rate = _rate(lambda batch: model(batch).numpy(), images, args.images)
        print(f"eager      float32    {batch_size:5d}  {'-':>8}  {rate:8.1f}  -", flush=True)
        for precision in precisions:
            start = time.perf_counter()
            forward = inference_forward(model, images[:1], precision=precision)
            export = time.perf_counter() - start
            cosine = (forward(images) * expected).sum(axis=1).min()
            rate = _rate(forward, images, args.images)
            print(f"inference  {precision:9}  {batch_size:5d}  {export:8.1f}  {rate:8.1f}  {cosine:.7f}", flush=True)


def _rate(forward, images: paddle.Tensor, num_images: int) -> float:
    """Images per second."""
    repeats = -(-num_images // len(images))
    start = time.perf_counter()
    for _ in range(repeats):
        forward(images)
    return repeats * len(images) / (time.perf_counter() - start)


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
