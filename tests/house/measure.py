"""The table of the house, measured now: `python tests/house/measure.py`. Takes about three minutes.

It runs every command once, on a few generated people, and looks at what was called and loaded; the rest is read from
the source. CONTRIBUTING.md holds the same table without the last column.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import source
from law import LIMITS, PACKAGE, ROOT

PROBE = Path(__file__).with_name("probe.py")
LOOP, STEP = PACKAGE / "training" / "loop.py", PACKAGE / "training" / "step.py"
THROUGH_THE_LOOP = (LOOP, STEP, PACKAGE / "run" / "keeper.py")
TINY = (
    "data.root=data data.height=32 data.width=16 data.num_workers=0 model.base_width=8 labels.k1=5 labels.k2=2 "
    "labels.eps=0.6 labels.min_samples=2 batch.identities=4 solver.epochs=2 solver.iters=3 eval.batch_size=16 "
    "device=cpu eval.engine=eager"
)
LAST = "run/checkpoint_last.safetensors"
# every command once, in an order in which each finds what it needs; {tiny} is TINY as options, {last} is LAST
COMMANDS = {
    "make-demo-data": "make_demo_data --out data/demo --train-identities 6 --test-identities 4 --cameras 3 "
    "--distractors 4 --height 32 --width 16",
    "doctor": "doctor -c demo.yaml {tiny}",
    "config": "config -c demo.yaml",
    "train": "train -c demo.yaml {tiny} -o output_dir=run",
    "report": "report run",
    "eval": "eval -c run/config.yaml -o model.weights={last}",
    "extract": "extract -c run/config.yaml -o model.weights={last} --part train --out train.npy",
    "cluster": "cluster -c run/config.yaml --features train.npy --out labels.csv",
    "convert-weights": "convert_weights {last} other.safetensors -c run/config.yaml",
    "weights": "weights verify {last}",
    "export": "export -c run/config.yaml -o model.weights={last} --out net --formats paddle",
    "predict": "predict net data/demo/query --out query.npy --runtime paddle",
    "search index": "search index -c run/config.yaml -o model.weights={last} "
    "--images data/demo/bounding_box_test --out index",
    "search query": "search query index data/demo/query",
    "ablate": "ablate -c demo.yaml {tiny} --rows baseline,ise --seeds 1 --out ablation",
}


def run_command(name: str, folder: Path) -> dict[str, Any]:
    """Run a command of COMMANDS in a folder; what the probe saw."""
    tool, *arguments = COMMANDS[name].format(tiny=" ".join(f"-o {pair}" for pair in TINY.split()), last=LAST).split()
    notes = folder / "notes.json"
    done = subprocess.run(
        [sys.executable, PROBE, notes, ROOT / "tools" / f"{tool}.py", *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    # the machine may have problems of its own, which the doctor tells
    if done.returncode and name != "doctor":
        raise RuntimeError(f"{name} ended with {done.returncode}:\n{done.stderr}")
    return json.loads(notes.read_text(encoding="utf-8"))


def seen_in(notes: dict[str, Any]) -> dict[str, float]:
    """Numbers of a training run that the probe watched."""
    to_loss, to_model = notes["to_loss"], notes["to_model"]
    in_step = [function for _, function in to_model]
    before_loop = [file for file, _ in to_loss[1:] if not file.startswith("ppreid/training/")]
    before_loop = before_loop[: next(i for i, (file, _) in enumerate(to_loss[1:]) if "/training/" in file)]
    return {
        "frames": len(to_loss),
        "files_of_frames": len({file for file, _ in to_loss}),
        # our frames below the step, the network's own among them: as many calls as lead from the step to it
        "calls_to_model": len(in_step) - 1 - in_step.index("training_step"),
        "hops": len(set(before_loop)),
        "lookups": notes["lookups"] / max(notes["steps"] - 1, 1),
    }


def read_from_source() -> dict[str, float]:
    """Numbers that the source of the package gives; those of files that do not exist are left out."""
    every = source.files(PACKAGE)
    rooms, lines = source.rooms(PACKAGE), source.lines(every)
    found = {
        "biggest_room": max(100 * source.lines(files) / lines for files in rooms.values()),
        "loose_files": len(list(PACKAGE.glob("*.py"))) - 1,  # __init__.py
        "config_files": sum(file.stat().st_size > 0 for file in rooms["config"]),
        "scaffolding": source.scaffolding(every).total(),
        "files": len(every),
        "lines": lines,
    }
    for room in ("training", "ise", "neighbours"):
        found[f"comments_{room}"] = source.comments_per_100(rooms[room])
    if all(file.is_file() for file in THROUGH_THE_LOOP):
        loop, step, _ = texts = [file.read_text(encoding="utf-8") for file in THROUGH_THE_LOOP]
        found["keeping"] = source.keeping_share(loop)
        found["parameters"] = max({**source.parameters(loop), **source.parameters(step)}.values())
        found["fields"] = max((len(public(own)) for text in texts for own in source.fields(text).values()), default=0)
        held = rooms["training"] + rooms["run"]
        found["states"] = sum(len(source.holds_progress(file.read_text(encoding="utf-8"))) for file in held)
    return found


def public(names: list[str]) -> list[str]:
    """Names that do not start with an underscore."""
    return [name for name in names if not name.startswith("_")]


def table(found: dict[str, float]) -> str:
    """The rows of LIMITS with what was found; what was not is missing."""
    rows = [["", "first version", "limit", "now", ""], ["---"] * 5]
    for key, limit in LIMITS.items():
        now = found.get(key)
        verdict = "missing" if now is None else "" if limit.is_kept_by(now) else "over the limit"
        rows.append([*limit.row(), "" if now is None else limit.text(now), verdict])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Measure and print."""
    found = read_from_source()
    modules = {}
    with tempfile.TemporaryDirectory() as folder:
        for name in COMMANDS:
            notes = run_command(name, Path(folder))
            modules[name] = len(notes["modules"])
            found |= seen_in(notes) if name == "train" else {}
            print(f"{name}: {modules[name]} modules of ppreid", file=sys.stderr)
    found["modules"] = max(modules.values())
    print(table(found))


if __name__ == "__main__":
    main()
