"""Peak memory of a training step with gradient accumulation, each setting in a process of its own.

    python benchmarks/training_memory.py
    python benchmarks/training_memory.py --identities 16 --images 16 --device gpu

On a CPU it is the process's resident memory beyond what it had before the step; on a GPU what paddle's allocator had
handed out at most. The network has random weights and sees noise.
"""

import argparse
import subprocess
import sys
from functools import partial

import numpy as np
import paddle

from ppreid import wiring
from ppreid.base.batches import StepBatch
from ppreid.base.progress import peak_memory
from ppreid.config.schema import EvaluationModelConfig
from ppreid.ise.memory import ClusterMemory, update_hard
from ppreid.ise.objective import ise_objective
from ppreid.training.finite import FiniteGuard
from ppreid.training.optimizer import adam_with_l2
from ppreid.training.step import micro_batches, training_step

CHUNKS = 4


def main() -> None:
    args = _arguments()
    if args.one:
        print(_measure(args, args.one))
        return
    rows = args.identities * args.images
    print(f"{args.backbone}, {rows} images of {args.height} x {args.width}, {args.device}, paddle {paddle.__version__}")
    print("batch.accumulate   GB")
    for parts in (1, 2, 4):
        command = [sys.executable, __file__, *sys.argv[1:], "--one", str(parts)]
        print(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1], flush=True)


def _measure(args: argparse.Namespace, parts: int) -> str:
    """One line of the table."""
    paddle.set_device(args.device)
    model = wiring.reid_net(EvaluationModelConfig(backbone=args.backbone), bn_chunks=CHUNKS // parts)
    model.train()
    rng = np.random.default_rng(0)
    rows = args.identities * args.images
    centroids = rng.standard_normal((4 * args.identities, model.feature_dim)).astype(np.float32)
    memory = ClusterMemory(centroids / np.linalg.norm(centroids, axis=1, keepdims=True), update_hard, 0.2)
    optimizer = adam_with_l2(model, lr=1e-5, weight_decay=5e-4)
    images = paddle.to_tensor(rng.standard_normal((rows, 3, args.height, args.width), dtype=np.float32))
    batch = StepBatch(0, np.arange(rows), np.repeat(np.arange(args.identities), args.images), degree=0.1)
    forward, guard = partial(micro_batches, parts=parts), FiniteGuard(lambda *_: sys.exit("not finite"))
    before = peak_memory()
    training_step(model, memory, images, batch, optimizer, ise_objective, forward=forward, guard=guard)
    guard.check()  # waits for the device
    used = peak_memory() - before if args.device == "cpu" else paddle.device.cuda.max_memory_allocated()
    return f"{parts:16d} {used / 1e9:4.1f}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backbone", default="resnet50")
    parser.add_argument("--height", type=int, default=256)
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--identities", type=int, default=8)
    parser.add_argument("--images", type=int, default=4)
    parser.add_argument("--device", choices=("cpu", "gpu"), default="cpu")
    parser.add_argument("--one", type=int, help="measure this setting only, in this process")
    return parser.parse_args()


if __name__ == "__main__":
    main()
