"""Every method of docs/beyond-ise.md beside ISE, small and with seeds: the tables of that page.

    python benchmarks/methods.py output/methods                                  generated people
    python benchmarks/methods.py output/mine -o data.name=market1501 -o data.root=/datasets

Each row is a configuration of a few lines over demo.yaml, written into OUT/configs: a narrow network from random
weights, pictures of 64x32, 6 epochs, three seeds, about a minute each on one core. `ppreid ablate --compare` trains
them, so the same command goes on where it was interrupted; the table is OUT/ablation.md, the numbers OUT/ablation.csv.
"""

import sys
from pathlib import Path

import yaml

from ppreid.cli import main

SMALL = """
data.height=64 data.width=32 data.num_workers=0 model.base_width=16 batch.identities=8 solver.epochs=6 eval.every=6
report.enabled=false device=cpu
"""
HALVES = "refine.parts=halves refine.part_alpha=0.3 refine.part_weight=0.2 refine.part_distance=0.2"
ROWS = {
    "ise": "",
    "baseline": "ise.objective=baseline",
    "ise_gem": "model.pooling=gem",
    "ise_ncplr": "refine.weight=1.0",
    "ise_gl_ncplr": f"refine.weight=1.0 {HALVES}",
    "ise_cie": "ise.contrast_weights=camera_entropy",
    "ise_cie_chd": "ise.contrast_weights=camera_entropy memory.update=chd memory.momentum=0.1 memory.rows=originals",
    "ise_proxies": "camera_proxies.weight=0.5",
    "ise_cajaccard": "labels.distance=camera_jaccard",
    "ise_ema": "ema.decay=0.99",
}


def nested(options: str) -> dict[str, dict[str, object]]:
    """As in YAML: {"ise": {"objective": "baseline"}}."""
    found: dict[str, dict[str, object]] = {}
    for section, key, value in (word.replace(".", "=", 1).split("=", 2) for word in options.split()):
        found.setdefault(section, {})[key] = yaml.safe_load(value)
    return found


def configs(folder: Path) -> list[Path]:
    """A file for each row."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, options in ROWS.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump({"base": "demo.yaml", **nested(options)}))
    return [folder / f"{name}.yaml" for name in ROWS]


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    out = Path(sys.argv[1])
    words = [word for file in configs(out / "configs") for word in ("-c", str(file))]
    words += [word for option in SMALL.split() for word in ("-o", option)] + sys.argv[2:]
    tables = ["--csv", str(out / "ablation.csv"), "--overwrite"]
    sys.exit(main(["ablate", *words, "--seeds", "3", "--compare", "--out", str(out), *tables]))
