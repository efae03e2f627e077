"""ppreid make-demo-data, tools/make_demo_data.py."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ppreid.base.errors import ConfigError
from ppreid.disk.checks import check_folder
from ppreid.disk.outputs import SHEET, Output, check_outputs
from ppreid.run.log import logger
from ppreid.verbs.command import add_overwrite

EXAMPLES = """\
  python tools/make_demo_data.py
  python tools/make_demo_data.py --out data/demo_hard --difficulty 0.8 --seed 1
  python tools/make_demo_data.py --out data/demo --sheet demo.png
  python tools/make_demo_data.py --unlabelled data/crops
  python tools/make_demo_data.py --out data/passages --train-images-per-camera 1 2 --passage-images 8 16
  python tools/make_demo_data.py --recordings data/recordings --cameras 2 --seconds 60
"""

_NUMBERS = {
    "train-identities": (72, "people in bounding_box_train"),
    "test-identities": (64, "people in query and bounding_box_test"),
    "cameras": (6, "cameras; each person is seen by two thirds of them or more"),
    "distractors": (200, "gallery images of further people, identity 0"),
    "height": (128, "of the images in pixels"),
    "width": (64, "of the images in pixels"),
    "seed": (0, "start of all random numbers"),
}
# what is different with --recordings
_RECORDED = {
    "cameras": (2, "cameras"),
    "people": (12, "people, who walk from camera to camera and back"),
    "seconds": (30, "length of a recording"),
    "height": (240, "of the picture in pixels"),
    "width": (320, "of the picture in pixels"),
}
_RANGES = {
    "train-images-per-camera": ((3, 6), "least and most images of a person in a camera that sees the person"),
    "test-images-per-camera": ((3, 5), "the same for test people; one image is the query"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument("--out", type=Path, default=Path("data/demo"), help="folder to make (default: %(default)s)")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png", help="also draw identities x cameras to look at")
    parser.add_argument(
        "--unlabelled", type=Path, metavar="FOLDER", help="also copy the training images, a subfolder for each camera"
    )
    add_overwrite(parser, "a picture in the place of the sheet; folders that hold other things are never touched")
    parser.add_argument(
        "--recordings", type=Path, metavar="DIR", help="draw videos instead, with true boxes and identities as MOT text"
    )
    for name in dict.fromkeys((*_NUMBERS, *_RECORDED)):
        parser.add_argument(f"--{name}", type=int, help=_meaning(name))
    for name, (pair, meaning) in _RANGES.items():
        parser.add_argument(
            f"--{name}", type=int, nargs=2, default=pair, metavar=("LEAST", "MOST"), help=f"{meaning} (default: {pair})"
        )
    parser.add_argument(
        "--passage-images",
        type=int,
        nargs=2,
        metavar=("LEAST", "MOST"),
        help="as many nearly equal images of one walk wherever there would be a single one (default: single ones)",
    )
    parser.add_argument("--one-camera", type=float, default=0.0, help="share of training people whom one camera sees")
    parser.add_argument(
        "--difficulty", type=float, default=0.3, help="0 (equal cameras) to 1 (strong colour casts, noise, occlusion)"
    )


def _meaning(name: str) -> str:
    """What a number is and what it is by default, for the help."""
    texts = [f"{meaning} (default: {default})" for default, meaning in [_NUMBERS[name]]] if name in _NUMBERS else []
    if name in _RECORDED:
        default, meaning = _RECORDED[name]
        texts.append(f"with --recordings {meaning} (default: {default})")
    return "; ".join(texts)


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    if args.recordings:
        _draw_recordings(args)
        return
    if args.sheet:
        check_outputs([Output("--sheet", args.sheet, SHEET)], overwrite=args.overwrite)
    for folder in filter(None, (args.out, args.unlabelled)):
        check_folder(folder.expanduser())
    from ppreid.datasets.summary import summarise_split
    from ppreid.demo.contact_sheet import contact_sheet
    from ppreid.demo.generated import DESCRIPTION_FILE, generate_demo_dataset
    from ppreid.demo.unlabelled import copy_unlabelled
    from ppreid.disk.outputs import write_png

    settings: dict[str, Any] = _numbers(args, _NUMBERS)
    settings |= {name.replace("-", "_"): tuple(getattr(args, name.replace("-", "_"))) for name in _RANGES}
    settings |= {"passage_images": args.passage_images and tuple(args.passage_images), "one_camera": args.one_camera}
    is_new = not (args.out.expanduser() / DESCRIPTION_FILE).exists()
    if is_new:
        logger.info("drawing pedestrians for %s ...", args.out)
    split = generate_demo_dataset(args.out, difficulty=args.difficulty, **settings)
    logger.info("%s is %s:", args.out, "ready" if is_new else "already there, with the same arguments")
    logger.info("%s", summarise_split(split).table)
    if args.unlabelled:
        is_copied = copy_unlabelled(split.train, args.unlabelled.expanduser(), seed=args.seed)
        logger.info("%s %s", args.unlabelled, "is ready" if is_copied else "holds the training images already")
    if args.sheet:
        write_png(args.sheet, contact_sheet(split.train))
        logger.info("written: %s", args.sheet)


def _numbers(args: argparse.Namespace, defaults: Mapping[str, tuple[int, str]]) -> dict[str, int]:
    """The numbers that were given, and the defaults of the others."""
    given = {name.replace("-", "_"): getattr(args, name.replace("-", "_")) for name in defaults}
    values = zip(given.items(), defaults.values(), strict=True)
    return {name: default if value is None else value for (name, value), (default, _) in values}


def _draw_recordings(args: argparse.Namespace) -> None:
    from ppreid.demo.recorded import RECORDINGS_FILE, generate_recordings

    of_images = ("sheet", "unlabelled", "passage_images", "one_camera")
    if given := [f"--{name.replace('_', '-')}" for name in of_images if getattr(args, name)]:
        raise ConfigError(f"{', '.join(given)}: about drawn images; leave this out with --recordings")
    check_folder(args.recordings.expanduser())
    is_new = not (args.recordings.expanduser() / RECORDINGS_FILE).exists()
    if is_new:
        logger.info("drawing recordings for %s ...", args.recordings)
    settings = _numbers(args, _RECORDED) | _numbers(args, {"seed": _NUMBERS["seed"]})
    videos = generate_recordings(args.recordings, difficulty=args.difficulty, **settings)
    state = "ready" if is_new else "already there, with the same arguments"
    logger.info("%s is %s: %s", args.recordings, state, ", ".join(video.name for video in videos))
