"""ppreid search, tools/search.py."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from ppreid.base.errors import ConfigError, DataError, WriteError
from ppreid.disk.files import replacing, write_text
from ppreid.run.log import logger
from ppreid.verbs.command import add_config_arguments, add_override, read_config

if TYPE_CHECKING:
    from ppreid.search.results import SearchResult

EXAMPLES = """\
  python tools/search.py index -c camera_folder.yaml -o model.weights=FILE --images data/crops --out index
  python tools/search.py add index --images data/more_crops
  python tools/search.py query index person.jpg --top 10 --contact-sheet found.png
  python tools/search.py query index queries/ --other-cameras --min-similarity 0.6 --json found.json

`index` makes a folder with everything that a search needs, the network included. Each action has its own --help.
"""
SHEET_ROWS, SHEET_COLUMNS = 12, 20  # more would not fit on a screen


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="index|add|query")
    index = actions.add_parser("index", help="make an index", description="Make an index of a folder of images.")
    add_config_arguments(index)
    index.add_argument("--images", type=Path, metavar="FOLDER", help="images; default: those of the data set")
    index.add_argument("--out", type=Path, required=True, metavar="INDEX", help="folder to make")
    index.add_argument("--method", default="auto", metavar="auto|exact|ivf", help="exact or approximate search")
    add = actions.add_parser("add", help="add images to an index", description="Add what an index does not have yet.")
    add.add_argument("index", type=Path, metavar="INDEX")
    add.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="images; known ones are left out")
    query = actions.add_parser("query", help="search an index", description="Find images that look like the queries.")
    query.add_argument("index", type=Path, metavar="INDEX")
    query.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="images, or folders of images")
    query.add_argument("--top", type=int, default=10, metavar="K", help="images to find (default: %(default)s)")
    query.add_argument("--min-similarity", type=float, default=-1.0, metavar="COSINE", help="least similarity, -1 to 1")
    query.add_argument("--camera", metavar="NAME", help="camera of queries that are not in the index")
    query.add_argument("--other-cameras", action="store_true", help="leave out images of the query's own camera")
    query.add_argument("--probes", type=int, default=32, metavar="N", help="lists to look into (approximate)")
    for option in ("--json", "--csv"):
        query.add_argument(option, type=Path, metavar="FILE", help=f"also write the results as {option[2:].upper()}")
    query.add_argument("--contact-sheet", type=Path, metavar="FILE.png", help="also draw the results")
    for action in (add, query):
        add_override(action, what="set a key that does not change features, e.g. device=cpu or data.num_workers=0")
    for action in (index, add, query):
        action.add_argument("--debug", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    if args.action == "index":
        cfg = read_config(args)
        from ppreid.app import build_index

        build_index(cfg, args.out, images=args.images, method=args.method)
    elif args.action == "add":
        from ppreid.app import add_to_index

        add_to_index(args.index, args.images, overrides=args.overrides)
    else:
        _query(args)


def _query(args: argparse.Namespace) -> None:
    from ppreid.app import search
    from ppreid.search.results import results_csv, results_json, results_table

    results = search(
        args.index,
        args.images,
        k=args.top,
        min_similarity=args.min_similarity,
        camera=args.camera,
        other_cameras=args.other_cameras,
        num_probes=args.probes,
        overrides=args.overrides,
    )
    logger.info("%s", results_table(results))
    for option, path, text in (("--json", args.json, results_json), ("--csv", args.csv, results_csv)):
        if path:
            try:
                write_text(path, text(results))
            except OSError as error:
                raise ConfigError(f"{option} {path} cannot be written: {error}") from error
            logger.info("written: %s", path)
    if args.contact_sheet:
        _draw(results, args.contact_sheet)


def _draw(results: "list[SearchResult]", path: Path) -> None:
    from ppreid.search.results import short_name
    from ppreid.search.sheet import Tile, result_sheet

    rows = [
        [
            Tile(result.query, ("query", result.camera, short_name(result.query, 12))),
            *(
                Tile(match.path, (f"{match.similarity:.3f}", match.camera, short_name(match.path, 12)))
                for match in result.matches[:SHEET_COLUMNS]
            ),
        ]
        for result in results[:SHEET_ROWS]
    ]
    try:
        with replacing(path) as file:
            result_sheet(rows).save(file, "PNG")
    except WriteError as error:
        text = f"--contact-sheet {path} cannot be written: {error}; give a .png in a folder that exists"
        raise DataError(text) from error
    drawn = f" (the first {SHEET_ROWS} of {len(results)} queries)" if len(results) > SHEET_ROWS else ""
    logger.info("written: %s%s", path, drawn)
