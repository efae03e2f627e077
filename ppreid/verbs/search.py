"""ppreid search, tools/search.py: an index of images, additions to it, and queries."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ppreid.config.schema import Config
from ppreid.disk.outputs import check_outputs
from ppreid.run.log import leave_standard_output_to, log_result, logger
from ppreid.verbs.command import add_override, add_overwrite, add_run_arguments, read_config

if TYPE_CHECKING:
    from ppreid.datasets.image_file import Source
    from ppreid.search.results import SearchResult

EXAMPLES = """\
  python tools/search.py index output/camera_folder --out index
  python tools/search.py index -c camera_folder.yaml -o model.weights=FILE --images data/crops --out index
  python tools/search.py add index --images data/more_crops
  python tools/search.py query index person.jpg --top 10 --other-cameras --json found.json --contact-sheet found.png

`index` makes a folder with everything that a search needs, the network included. Each action has its own --help.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="index|add|query")
    index = actions.add_parser("index", help="make an index", description="Make an index of a folder of images.")
    add_run_arguments(index)
    index.add_argument("--images", type=Path, metavar="FOLDER", help="images; default: those of the data set")
    index.add_argument("--out", type=Path, required=True, metavar="INDEX", help="folder to make")
    index.add_argument("--method", default="auto", metavar="auto|exact|ivf", help="exact or approximate search")
    index.add_argument("--colour", type=float, metavar="W", help="share of colour, 0 to 1 (default: eval.colour)")
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
    query.add_argument("--probes", type=int, metavar="N", help="lists to look into (approximate)")
    for option in ("--json", "--csv"):
        query.add_argument(option, type=Path, metavar="FILE", help=f"also write the results as {option[2:].upper()}")
    query.add_argument("--contact-sheet", type=Path, metavar="FILE.png", help="also draw the results")
    add_overwrite(index, "an index in the folder")
    add_overwrite(query, "files in the places of the results, whatever they are")
    for action in (add, query):
        add_override(action, what="set a key that does not change features, e.g. device=cpu or data.num_workers=0")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    if args.action == "index":
        args.overrides += [] if args.colour is None else [f"eval.colour={args.colour}"]
        build_index(read_config(args), args.out, images=args.images, method=args.method, overwrite=args.overwrite)
    elif args.action == "add":
        add_to_index(args.index, args.images, overrides=args.overrides)
    else:
        from ppreid.search.results import result_outputs, results_table, write_results

        outputs = result_outputs(json=args.json, csv=args.csv, sheet=args.contact_sheet)
        check_outputs(outputs, overwrite=args.overwrite, inputs=[args.index, *args.images])
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
        leave_standard_output_to(args.json, args.csv, args.contact_sheet)
        write_results(results, json=args.json, csv=args.csv, sheet=args.contact_sheet)
        log_result(results_table(results))  # last, as standard output may be full


def build_index(
    cfg: Config, folder: Path, *, images: Path | None = None, method: str = "auto", overwrite: bool = False
) -> int:
    """Make a folder with all that a search needs, the network included; the same call goes on after an interruption.

    Args:
        cfg: the network and how images are read; with data.name camera_folder also where cameras come from.
        folder: to make.
        images: folder of images, searched with its subfolders; None takes the gallery of the data set, or all of it.
        method: "exact", "ivf" (approximate) or "auto", see `ppreid.search.gallery.choose_method`.
        overwrite: replace an index in the folder, once the new one is complete.

    Returns:
        Number of images.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    from ppreid.processes.device import use_device
    from ppreid.run.lock import LOCK, run_lock
    from ppreid.search.anew import make_room
    from ppreid.search.files import MANIFEST, SKIPPED, home
    from ppreid.search.index import first_part, is_complete, require_new
    from ppreid.verbs.features import write_image_features
    from ppreid.verbs.index_network import facts_and_tracks, keep_threshold, write_network
    from ppreid.verbs.inputs import read_index_images
    from ppreid.verbs.network import trained_network

    require_new(folder, may_hold=[LOCK, MANIFEST], overwrite=overwrite)
    logger.info("device: %s", use_device(cfg.device))
    with run_lock(folder):
        place = home(folder, made := make_room(folder, overwrite=overwrite))
        contents = read_index_images(cfg.data, images, skipped_list=place / SKIPPED.format(0))
        model, weights = trained_network(cfg.model, cfg.data)
        facts, split = facts_and_tracks(cfg, weights)
        if overwrite or not is_complete(folder, contents, method=method, made_with=facts):
            maps = write_network(place, cfg, model, facts, split)
            extract = partial(write_image_features, cfg, model, weights.sha256, compared=maps, overwrite=overwrite)
            first_part(folder, contents, extract=extract, method=method, made_with=facts, made=made)
        keep_threshold(folder, weights, facts)
    return len(contents.split.train)


def add_to_index(folder: Path, images: Path, *, overrides: Sequence[str] = ()) -> int:
    """Add the images of a folder that an index does not have yet, by their paths.

    Args:
        folder: the index.
        images: folder of images, searched with its subfolders.
        overrides: "a.b=value" for keys that do not change features, e.g. device or data.num_workers.

    Returns:
        Number of images that were added.

    Raises:
        PpreidError: what its message says; the subclass tells the kind. The index is as it was then.
    """
    from ppreid.run.lock import run_lock
    from ppreid.search.files import require_index, skipped_by_next_part
    from ppreid.search.index import next_part
    from ppreid.verbs.features import write_image_features
    from ppreid.verbs.index_network import open_index, require_own_tables
    from ppreid.verbs.inputs import read_index_images

    require_index(folder)
    with run_lock(folder):
        manifest, cfg, model, maps = open_index(folder, overrides)
        require_own_tables(folder, cfg.data, overrides)
        contents = read_index_images(cfg.data, images, skipped_list=skipped_by_next_part(folder, manifest))
        extract = partial(write_image_features, cfg, model, manifest.made_with["weights"], compared=maps)
        return next_part(folder, manifest, contents, extract=extract)


class Searcher:
    """An index in memory with its network, for many searches."""

    def __init__(self, folder: Path, *, overrides: Sequence[str] = ()) -> None:
        """Check and read an index.

        Args:
            folder: the index.
            overrides: "a.b=value" for keys that do not change features, e.g. device or eval.batch_size.

        Raises:
            PpreidError: what its message says; the subclass tells the kind.
        """
        from ppreid.search.query import IndexSearch
        from ppreid.verbs.index_network import comparison, judge, open_index
        from ppreid.wiring.compared import compared_features

        manifest, cfg, model, maps = open_index(folder := Path(folder), overrides)
        self._judged = judge(folder, manifest)
        extract, skip = compared_features(cfg, model, maps=maps, finished=True), cfg.data.on_bad_image == "skip"
        workers, times, how = cfg.data.num_workers, cfg.data.times_compare, comparison(cfg.eval)
        self._index = IndexSearch(
            folder, manifest, extract=extract, skip_unreadable=skip, num_workers=workers, show_times=times, how=how
        )

    def search(
        self,
        queries: Source | Iterable[Source],
        *,
        k: int = 10,
        min_similarity: float = -1.0,
        camera: str | None = None,
        other_cameras: bool = False,
        num_probes: int | None = None,
    ) -> list[SearchResult]:
        """Find the most similar images of the index for every query, see `ppreid.search.query.IndexSearch.search`."""
        found = self._index.search(
            queries,
            k=k,
            min_similarity=min_similarity,
            camera=camera,
            other_cameras=other_cameras,
            num_probes=num_probes,
        )
        return self._judged(found)


def search(
    folder: Path,
    queries: Sequence[str | Path],
    *,
    k: int = 10,
    min_similarity: float = -1.0,
    camera: str | None = None,
    other_cameras: bool = False,
    num_probes: int | None = None,
    overrides: Sequence[str] = (),
) -> list[SearchResult]:
    """Find images in an index once; `Searcher` keeps the index open for more. The arguments are those of both."""
    return Searcher(folder, overrides=overrides).search(
        queries, k=k, min_similarity=min_similarity, camera=camera, other_cameras=other_cameras, num_probes=num_probes
    )
