"""Do drawn people say which variant of the method is better on real ones? The table of docs/scratch.md.

    python benchmarks/variants.py CROPS output/variants

trains eleven variants with small networks, on people drawn in passages (ppreid make-demo-data
--passage-images) and on CROPS, which has Market-1501's folders and names, where s3 is track 3 of that person and
camera. All are evaluated alike, as configs/scratch.yaml does it. Every variant is trained with three seeds, some two
minutes each on one core; the same command goes on where it was interrupted. What is printed: mAP of the network alone,
mean over seeds, lowest and highest, and how well the order of the variants on drawn people is that on CROPS (rank
correlation by Spearman, with 1,000 draws of the seeds).
"""

import sys
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr
from scratch import trained

from ppreid.demo.generated import generate_demo_dataset

SMALL = ["data.height=64", "data.width=32", "batch.identities=8", "solver.epochs=6", "solver.lr_step=4", "eval.every=6"]
_IMAGES = "labels.unit=image labels.eps=0.5 labels.k1=20 labels.k2=6 labels.min_samples=4 batch.across=cameras"
_ISE = f"{_IMAGES} labels.camera_centre=off labels.start.epochs=0 model.parts=1"
VARIANTS = {  # the first four lead from the published method to scratch.yaml, the others change it
    "ISE, images as nodes": _ISE,
    "+ colour as the first teacher": _ISE.replace("labels.start.epochs=0", ""),
    "+ tracks as nodes": "labels.camera_centre=off model.parts=1",
    "+ centred before clustering": "model.parts=1",
    "+ four parts: scratch.yaml": "",
    "scratch.yaml without colour as teacher": "labels.start.epochs=0",
    "scratch.yaml without colour jitter": "augment.color_jitter=0",
    "scratch.yaml with grayscale": "augment.grayscale=0.2",
    "scratch.yaml with a quota for the own camera": "labels.distance=camera_quota",
    "scratch.yaml with mixed styles": "augment.style_mix=0.5",
    "scratch.yaml with the neck centred by camera": "model.neck_centre=on",
}
SEEDS, DRAWS = (1, 2, 3), 1000
DRAWN = {
    "train_identities": 22,
    "test_identities": 10,
    "train_images_per_camera": (1, 2),
    "test_images_per_camera": (1, 1),
    "passage_images": (8, 16),
    "one_camera": 0.5,
    "distractors": 0,
    "difficulty": 0.15,
}


def correlation(drawn: np.ndarray, real: np.ndarray) -> tuple[float, float, float]:
    """Of the means over seeds (variants, seeds), with the 2.5th and 97.5th percentile over draws of seeds."""
    rng = np.random.default_rng(0)

    def of(sample: np.ndarray) -> float:
        return float(spearmanr(drawn[:, sample[0]].mean(axis=1), real[:, sample[1]].mean(axis=1)).statistic)

    seeds = np.arange(drawn.shape[1])
    draws = [of(rng.choice(seeds, (2, len(seeds)))) for _ in range(DRAWS)]
    return of(np.stack([seeds, seeds])), *np.percentile(draws, (2.5, 97.5)).tolist()


def measure(crops: Path, out: Path) -> None:
    """Train, seed after seed, and print the table after each."""
    generate_demo_dataset(out / "drawn", **DRAWN)  # type: ignore[arg-type]
    roots = {"drawn": out / "drawn", "real": crops}
    found: dict[str, dict[str, list[float]]] = {name: {variant: [] for variant in VARIANTS} for name in roots}
    for seed in SEEDS:
        for variant, words in VARIANTS.items():
            for name, root in roots.items():
                folder = out / f"{name}_{list(VARIANTS).index(variant)}_{seed}"
                options = [f"data.root={root.absolute()}", f"seed={seed}", *SMALL, *words.split()]
                last = trained(folder, options)[-1]
                found[name][variant].append(last["network alone: mAP"])
                print(seed, variant, name, last["network alone: mAP"], flush=True)
        for variant in VARIANTS:
            parts = [found[name][variant] for name in roots]
            cells = [f"{np.mean(part):.1f} ({min(part):.1f} to {max(part):.1f})" for part in parts]
            print(f"| {variant} | {' | '.join(cells)} |")
        drawn, real = (np.array(list(found[name].values())) for name in roots)
        print("rank correlation {:.2f} [{:.2f}, {:.2f}]".format(*correlation(drawn, real)), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    measure(Path(sys.argv[1]), Path(sys.argv[2]))
