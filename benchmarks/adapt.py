"""Training of a whole network beside `ppreid adapt`, from the same weights and in turns: minutes and mAP.

    python benchmarks/adapt.py
    python benchmarks/adapt.py -c scratch.yaml --start FILE -o data.root=/my/crops -o data.name=market1501

Without --start, a network is first trained on drawn people, and then on others whom other cameras saw; one run takes
about a minute on one core. The minutes are those of the whole run with its two evaluations, and of `adapt` with the
computation of the maps. The whole network is trained with the augmentation of the configuration, `adapt` with what maps
allow of it.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

from ppreid.cli import main as ppreid
from ppreid.config.load import load_config
from ppreid.verbs.train import train

SHORT = ["model.base_width=16", "solver.epochs=4", "solver.iters=15", "solver.lr=5e-4"]
OPTIONS = ["report.enabled=false", "checkpoint.fallback_dir=", "device=cpu"]
WAYS = {"whole": [], "adapt": ["model.frozen_stages=3", "augment.color_jitter=0"]}


def main() -> None:
    args = _arguments()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        options, start = [*OPTIONS, *args.overrides], args.start
        if not start:
            options = [*OPTIONS, *SHORT, *args.overrides]
            start = _trained_on_other_people(folder, args.config, options)
            options = [f"data.root={_drawn(folder / 'target', seed=2, difficulty=0.6)}", *options]
        print(f"{'way':<6}{'seed':>5}{'minutes':>9}{'before':>8}{'after':>7} mAP", flush=True)
        found = {name: [] for name in WAYS}
        for seed in range(1, args.seeds + 1):
            for name, own in WAYS.items():
                run = [f"model.weights={start}", f"seed={seed}", f"output_dir={folder / f'{name}{seed}'}"]
                found[name].append(minutes_and_map(args.config, [*options, *own, *run]))
                minutes, before, after = found[name][-1]
                print(f"{name:<6}{seed:>5}{minutes:>9.2f}{before:>8.1f}{after:>7.1f}", flush=True)
        means = {name: [statistics.mean(column) for column in zip(*rows, strict=True)] for name, rows in found.items()}
        for name, (minutes, before, after) in means.items():
            spread = statistics.stdev(row[2] for row in found[name]) if args.seeds > 1 else 0.0
            print(f"{name:<6} mean{minutes:>9.2f}{before:>8.1f}{after:>7.1f} +- {spread:.1f}")
        print(f"adapt takes {means['adapt'][0] / means['whole'][0]:.2f} of the time")


def minutes_and_map(config: str, options: list[str]) -> tuple[float, float, float]:
    """Minutes of a run, mAP before and after it."""
    cfg = load_config(config, options)
    cfg = cfg.model_copy(update={"eval": cfg.eval.model_copy(update={"every": cfg.solver.epochs})})
    begin = time.perf_counter()
    rows = train(cfg)
    minutes = (time.perf_counter() - begin) / 60
    if not rows:
        raise SystemExit("this data has no labelled query and gallery: there is no mAP to compare")
    return minutes, rows[0]["mAP"], rows[-1]["mAP"]


def _trained_on_other_people(folder: Path, config: str, options: list[str]) -> Path:
    """Weights of a network from random ones."""
    root = _drawn(folder / "source", seed=1, difficulty=0.3)
    train(load_config(config, [f"data.root={root}", *options, f"output_dir={folder / 'start'}", "eval.every=1000"]))
    return folder / "start" / "checkpoint_last.safetensors"


def _drawn(root: Path, *, seed: int, difficulty: float) -> Path:
    """A data root with drawn people."""
    people = ["--train-identities", "48", "--test-identities", "32", "--distractors", "100"]
    drawing = ["--out", str(root / "demo"), "--seed", str(seed), "--difficulty", str(difficulty), "--quiet"]
    if code := ppreid(["make-demo-data", *people, *drawing]):
        raise SystemExit(code)
    return root


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-c", "--config", default="demo.yaml")
    parser.add_argument("--start", help="file of weights; the data are those of the configuration then")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("-o", dest="overrides", action="append", default=[], metavar="KEY=VALUE", help="of all runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
