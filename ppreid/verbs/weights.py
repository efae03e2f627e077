"""ppreid weights, tools/weights.py: the table of published files, a download, a look at a file."""

import argparse
from pathlib import Path

from ppreid.base.errors import ConfigError, WeightsError, printable, unknown_choice
from ppreid.disk.checks import check_place, make_folder_for
from ppreid.disk.files import write_text
from ppreid.disk.places import STANDARD_OUTPUT
from ppreid.run.log import logger

EXAMPLES = """\
  python tools/weights.py list
  python tools/weights.py fetch ISE_M_model.pdparams
  python tools/weights.py fetch resnet50-0676ba61.pth --out weights/resnet50.pth
  python tools/weights.py verify pd_model_trace/ISE/ISE_M_model.pdparams
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    actions = parser.add_subparsers(required=True, metavar="action", dest="action")
    actions.add_parser("list", help="what is known of every published file")
    fetch = actions.add_parser("fetch", help="download one, over https")
    fetch.add_argument("name", metavar="NAME", help="of a file in the list")
    fetch.add_argument(
        "--out", type=Path, metavar="FILE", help="default: where configurations look for it, else ./NAME"
    )
    fetch.add_argument("--url", metavar="ADDRESS", help="of a copy elsewhere; the digest is that of the list")
    fetch.add_argument("--sha256", metavar="DIGEST", default="", help="that the file must have")
    fetch.add_argument("--max-size", type=int, metavar="MIB", default=2048, help="refuse larger files; default 2048")
    verify = actions.add_parser("verify", help="whether a file is the published one, is safe, and of which network")
    verify.add_argument("files", nargs="+", type=Path, metavar="FILE")
    verify.add_argument("--sha256", metavar="DIGEST", default="", help="that it must have")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    if args.action == "list":
        list_files()
    elif args.action == "fetch":
        fetch_file(args.name, args.out, url=args.url, sha256=args.sha256, max_size=args.max_size)
    else:
        write_text(STANDARD_OUTPUT, "".join(f"{describe(path, sha256=args.sha256)}\n" for path in args.files))


def list_files() -> None:
    """Print the table of published files, a paragraph each."""
    from ppreid.weights.known import KNOWN, digest_in_words

    text = ""
    for row in KNOWN.values():
        size = f"{row.size} MiB" if row.size else "unknown"
        text += f"{row.name}: {row.what}\n    {row.url or 'no address of its own'}, published by {row.page}\n"
        text += f"    size: {size}; digest: {digest_in_words(row.digest)}; licence: {row.licence}\n"
        text += f"    configurations look for it at {row.place}\n" if row.place else ""
    write_text(STANDARD_OUTPUT, text)


def fetch_file(name: str, out: Path | None, *, url: str | None, sha256: str, max_size: int) -> None:
    """Download a file of the list, look at it, and put it where configurations look for it.

    Args:
        name: of the file in the list.
        out: where it goes; None takes the place in the list, else this folder.
        url: another address; None takes that in the list.
        sha256: that it must have; "" takes what the list knows.
        max_size: MiB; a larger file is refused.

    Raises:
        ConfigError: the name is unknown, or there is another file already.
        WeightsError: the file has no address or cannot be had, or it is another one or not of weights.
        WriteError: it cannot be written.
    """
    from ppreid.weights.fetch import check_digest, fetch
    from ppreid.weights.known import KNOWN

    if name not in KNOWN:
        raise ConfigError(unknown_choice("NAME", name, KNOWN))
    row = KNOWN[name]
    target = out or Path(row.place or name).expanduser()
    by_hand = f"Take {name} from {row.page} on any machine, put it at {target}, and: ppreid weights verify {target}"
    if out:
        check_place(out)
    digest = f"sha256:{sha256}" if sha256 else row.digest
    if target.exists():
        if not digest:
            raise ConfigError(
                f"{target} exists, and no digest of {name} is known: move it away, or ppreid weights verify"
            )
        check_digest(target, digest, what=f"{target}, which is not replaced,")
        logger.info("%s is there already", target)
        return
    if not (url or row.url):
        raise WeightsError(f"{name} has no address that a program could fetch. {by_hand}")
    make_folder_for(target)
    logger.info("licence: %s; from %s", row.licence, url or row.url)
    if not digest:
        logger.info("no digest of this file is known: that it is the right one cannot be checked")
    found = fetch(
        url or row.url,
        target,
        digest=digest,
        max_bytes=max_size << 20,
        advice=by_hand,
        check=_looked,
    )
    logger.info("written: %s, sha256 %s", target, found)


def describe(path: Path, *, sha256: str = "") -> str:
    """What a file of weights is, in one line.

    Args:
        path: of the file.
        sha256: that it must have; "" for any.

    Raises:
        WeightsError: it cannot be read, holds numbers that no network has, or is another file than asked for, or than
            the published one of its name.
    """
    from ppreid.disk.files import file_sha256
    from ppreid.weights.fetch import check_digest
    from ppreid.weights.known import KNOWN, digest_in_words

    text = _looked(path)
    row = KNOWN.get(path.name)
    digest = f"sha256:{sha256}" if sha256 else row.digest if row else ""
    check_digest(path, digest, what=str(path))
    published = f"as published ({digest_in_words(digest)})" if digest else "compared with nothing"
    compared = "as asked for" if sha256 else published
    return f"{printable(str(path))}: {text}; sha256 {file_sha256(path)}, {compared}"


def _looked(path: Path) -> str:
    """Which network a file is of; a WeightsError if it cannot be loaded safely or its numbers cannot be."""
    from ppreid.weights.checks import check_numbers
    from ppreid.weights.files import read_tensors
    from ppreid.weights.names import find_naming
    from ppreid.weights.network import network_of

    tensors = read_tensors(path).tensors
    check_numbers(path, tensors)
    wrapper, naming = find_naming(tensors)
    count = f"{len(tensors):,} tensors, {sum(array.size for array in tensors.values()):,} numbers, all finite"
    if naming is None:
        return f"names of no network that ppreid knows; {count}"
    shapes = {name.removeprefix(wrapper): array.shape for name, array in tensors.items() if name.startswith(wrapper)}
    network = network_of(shapes, naming).get("model.backbone", "a network of another depth")
    return f"{naming} names, {network}; {count}"
