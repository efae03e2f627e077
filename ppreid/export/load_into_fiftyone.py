"""Load the folder of this file into FiftyOne: python load_into_fiftyone.py [NAME]; needs fiftyone and numpy.

tools/export.py --to fiftyone puts a copy of this file beside samples.json and features.npy; it needs nothing of ppreid.
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np


def samples_of(folder: Path) -> list[Any]:
    """One fiftyone.Sample per image.

    Args:
        folder: holds samples.json and features.npy.

    Returns:
        Samples with `embedding`, and with `cluster`, `identity` and `camera` where they are known.
    """
    import fiftyone

    features = np.load(folder / "features.npy", allow_pickle=False)  # (N, D)
    facts = json.loads((folder / "samples.json").read_text(encoding="utf-8-sig"))["samples"]
    samples = []
    for vector, values in zip(features, facts, strict=True):
        sample = fiftyone.Sample(filepath=values.pop("filepath"), embedding=vector)
        for name, label in values.items():
            sample[name] = fiftyone.Classification(label=label)
        samples.append(sample)
    return samples


def main() -> None:
    """Make a persistent dataset."""
    import fiftyone

    folder = Path(__file__).resolve().parent
    dataset = fiftyone.Dataset(sys.argv[1] if len(sys.argv) > 1 else folder.name, persistent=True)
    dataset.add_samples(samples_of(folder))
    print(f"{len(dataset)} images; look at them with: fiftyone app launch {dataset.name}")


if __name__ == "__main__":
    main()
