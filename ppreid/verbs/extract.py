"""ppreid extract, tools/extract.py: images, network, a file of features."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ppreid.base.errors import DataError
from ppreid.config.schema import Config
from ppreid.disk.outputs import refuse_inputs
from ppreid.run.log import logger
from ppreid.verbs.command import add_overwrite, add_run_arguments, add_shards, read_config

if TYPE_CHECKING:
    from ppreid.disk.shards import Shard

NETWORK, COLOUR = "network", "colour"
EXAMPLES = """\
  python tools/extract.py output/demo --part train --out train.npy
  python tools/extract.py -c ResNet50_UReID_infer.yaml --part gallery --out gallery.npy
  python tools/extract.py -c ResNet50_UReID_infer.yaml -o eval.precision=auto --images crops/ --out crops.npy
  python tools/extract.py -c demo.yaml --features colour --part train --out colour.npy

  python tools/extract.py output/demo --part train --out train.npy --shard 3/16
  python tools/extract.py output/demo --part train --out train.npy --merge 16

An interrupted extraction goes on where it stopped when the same command runs again. tools/cluster.py --features
reads the result.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_run_arguments(parser)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--part", choices=("train", "query", "gallery"), help="part of the data set that data.name names")
    what.add_argument("--images", type=Path, metavar="FOLDER", help="all images of a folder and its subfolders")
    parser.add_argument(
        "--features",
        choices=(NETWORK, COLOUR),
        default=NETWORK,
        help="colour: of six stripes of each image, which needs no network and no training; default %(default)s",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FILE", help=".npy file to write, a .csv beside it")
    add_overwrite(parser, "features that are finished, or a .csv of somebody else")
    add_shards(parser, "the images")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    from ppreid.disk.shards import parse_shard

    work = partial(
        extract,
        read_config(args),
        args.out,
        part=args.part,
        images=args.images,
        features=args.features,
        overwrite=args.overwrite,
    )
    if args.ray is not None:
        from ppreid.processes.ray_shards import run_on_ray

        run_on_ray(work, args.merge, address=args.ray, plugins=args.plugins)
    work(shard=parse_shard(args.shard) if args.shard is not None else None, merge=args.merge)


def extract(
    cfg: Config,
    output: Path,
    *,
    part: str = "train",
    images: Path | None = None,
    features: str = NETWORK,
    overwrite: bool = False,
    shard: Shard | None = None,
    merge: int | None = None,
) -> None:
    """Write the features of many images; the same call continues an extraction that was interrupted.

    Args:
        cfg: the network and how images are read; of a training configuration only the keys that evaluation reads.
        output: .npy file to write, (N, D) float32; a CSV with path, pid and camid of each row gets the same name.
        part: part of the data set: "train", "query" or "gallery".
        images: folder of images, searched with its subfolders, instead of a data set.
        features: "network", or "colour", see `colour_features`, for which no weights are needed.
        overwrite: replace a finished file, or a CSV of that name that no call has written; an input never.
        shard: write this part only, to a file of its own beside the output; of a shard that is done nothing is done.
        merge: number of shards to put together, which are not computed again.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    from ppreid.processes.device import use_device
    from ppreid.verbs.features import write_colour_features, write_image_features
    from ppreid.verbs.inputs import own_tables, read_folder, read_split
    from ppreid.verbs.network import trained_network

    for path in (output, output.with_suffix(".csv")):
        refuse_inputs("--out", path, [Path(cfg.model.weights)] * bool(cfg.model.weights) + own_tables(cfg.data))
    logger.info("device: %s", use_device(cfg.device))
    skipped_list = output.with_suffix(".bad_images.txt")
    if images:
        records = read_folder(images, cfg.data, skipped_list=skipped_list, overwrite=overwrite)
    else:
        records = getattr(read_split(cfg.data, skipped_list=skipped_list, overwrite=overwrite), part)
    if not records:
        raise DataError(f"data set {cfg.data.name} has no image in its {part} part")
    if features == COLOUR:
        write_colour_features(cfg, records, output, overwrite=overwrite, shard=shard, merge=merge)
        return
    model, weights = trained_network(cfg.model, cfg.data)
    write_image_features(cfg, model, weights.sha256, records, output, overwrite=overwrite, shard=shard, merge=merge)
