"""What an output may replace: nothing but an earlier output of its own kind, unless the user says --overwrite.

It is checked before the work, so that nobody waits for a result that then has no place.
"""

import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ppreid.base.errors import ConfigError, printable
from ppreid.disk.checks import check_place
from ppreid.disk.files import replacing
from ppreid.disk.places import STANDARD_OUTPUT, is_stream

if TYPE_CHECKING:
    from PIL import Image

_HEAD = 1024  # bytes in which a file shows its kind


class OutputKind(NamedTuple):
    """A kind of files that commands write.

    Attributes:
        what: one file of the kind, for messages.
        suffixes: that it may have, the usual one first.
        begins: matches the beginning of every file of this kind that ppreid wrote.
    """

    what: str
    suffixes: tuple[str, ...]
    begins: re.Pattern[bytes]


class Output(NamedTuple):
    """A file that a command is going to write.

    Attributes:
        option: that names it, e.g. "--json"; empty where the place is not the user's choice.
        path: of the file; "-" is standard output.
        kind: what it will be.
    """

    option: str
    path: Path
    kind: OutputKind


_PAGE = (
    rb'<!doctype html>\n<html lang="(en|zh-CN)">\n<head>\n<meta charset="utf-8">\n'
    rb'<meta name="generator" content="ppreid'
)
REPORT = OutputKind("a report of ppreid", (".html", ".htm"), re.compile(_PAGE))
SHEET = OutputKind(
    "a contact sheet of ppreid", (".png",), re.compile(rb"\x89PNG\r\n.{,99}tEXtSoftware\0ppreid", re.DOTALL)
)
LABELS_CSV = OutputKind("a CSV of pseudo labels", (".csv",), re.compile(rb"path,cluster\n"))
MATCHES_CSV = OutputKind(
    "a CSV of search results",
    (".csv",),
    re.compile(rb"query,rank,path,similarity,camera(,verdict)?(,time)?(,clock)?\n"),
)
MATCHES_JSON = OutputKind("a JSON file of search results", (".json",), re.compile(rb'\[(\]|\n  \{\n    "query": )'))
FINDINGS_JSON = OutputKind("a JSON file of the doctor", (".json",), re.compile(rb'\{\n  "counts": \{'))
RESULTS_JSON = OutputKind("a JSON file of an evaluation", (".json",), re.compile(rb'\{\n  "config": \{'))
THRESHOLD_JSON = OutputKind("a threshold", (".json",), re.compile(rb'\{\n  "format": "ppreid threshold"'))
CAMERAS_CSV = OutputKind("a CSV of camera names", (".csv",), re.compile(rb"camid,name\n"))
SKIPPED_TXT = OutputKind("a list of images that were left out", (".txt",), re.compile(rb"(train|query|gallery)\t"))
ABLATION_MD = OutputKind("a table of an ablation", (".md",), re.compile(rb"\| [^\n]*\bmAP\b[^\n]*\|\n\|"))
ABLATION_CSV = OutputKind("a CSV of an ablation", (".csv",), re.compile(rb"row,seed,"))
ABLATION_TABLE = OutputKind("a table of an ablation as numbers", (".csv",), re.compile(rb"row,runs,collapsed,"))
LATEX = OutputKind("a table of an ablation for LaTeX", (".tex",), re.compile(rb"% ppreid ablate: "))
ABLATION_JSON = OutputKind(
    "a JSON file of an ablation", (".json",), re.compile(rb'\{\n  "dataset": "[^\n]*\n  "epochs": ')
)

# protobuf: field 1, the version of the format, then field 2, the producer
ONNX_NETWORK = OutputKind("an ONNX file of ppreid", (".onnx",), re.compile(rb"\x08.\x12\x06ppreid", re.DOTALL))
ONNX_SIDECAR = OutputKind(
    "what boxmot reads beside an ONNX file",
    (".json",),
    re.compile(rb'\{\n  "schema_version": 1,\n  "source": "ppreid '),
)


def check_outputs(outputs: Sequence[Output], *, overwrite: bool | None, inputs: Iterable[Path] = ()) -> None:
    """Refuse names for outputs that would destroy something, or that nothing can be written to.

    What is no regular file (a pipe, a device, "-") is written into and so destroys nothing.

    Args:
        outputs: files that the command is going to write.
        overwrite: replace files of other kinds as well; inputs never. None where the command cannot be asked to.
        inputs: files that the command reads, and folders of them.

    Raises:
        ConfigError: a file is an input, or of another kind, or its suffix does not fit; or two outputs are one file.
        WriteError: the folder of an output is missing or not writable, or the output is a folder itself.
    """
    inputs = list(inputs)
    taken: dict[str, Output] = {}
    for output in outputs:
        option, path, kind = output
        place = str(path) if str(path) == STANDARD_OUTPUT else os.path.realpath(path)
        if is_stream(path) and place != STANDARD_OUTPUT:
            continue
        if place in taken:
            raise ConfigError(f"{taken[place].option} and {option} are the same file, {path}; give each its own")
        taken[place] = output
        if place == STANDARD_OUTPUT:
            continue
        if path.suffix.lower() not in kind.suffixes:
            text = f"{_named(option, path)} would be {kind.what}, which is written as {kind.suffixes[0]}"
            raise ConfigError(f"{text}; change the suffix, or give - for standard output")
        check_place(path)
        is_foreign = _is_foreign(path, kind)
        refuse_inputs(option, path, inputs, within_folders=is_foreign)
        if is_foreign and not overwrite:
            asked = "" if overwrite is None else "pass --overwrite to replace it, or "
            other = "another name" if option else "move it away"
            raise ConfigError(f"{_named(option, path)} exists and is not {kind.what}; {asked}{other}")


def refuse_inputs(option: str, path: Path, inputs: Iterable[Path], *, within_folders: bool = True) -> None:
    """Refuse an output that is an input of the same command, under whatever name.

    Args:
        option: that names the output.
        path: of the output.
        inputs: files that the command reads, and folders of them.
        within_folders: every file that is there already, anywhere in one of these folders, counts as an input.

    Raises:
        ConfigError: it is one.
    """
    if not os.path.lexists(path):
        return
    target = Path(os.path.realpath(path))
    for source in inputs:
        found = Path(os.path.realpath(source))
        if _are_one_file(target, found) or (within_folders and found in target.parents):
            text = f"{_named(option, path)} is an input of this command, or lies among them ({printable(str(source))})"
            raise ConfigError(f"{text}; inputs are never replaced, choose another name")


def _are_one_file(first: Path, second: Path) -> bool:
    """Whether two names, which may be links of either kind, mean one file."""
    try:
        return first.samefile(second)
    except OSError:
        return False


def _is_foreign(path: Path, kind: OutputKind) -> bool:
    """Whether there is a file with contents that are not of the kind; one that cannot be read is."""
    try:
        with open(path, "rb") as file:
            head = file.read(_HEAD)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return bool(head) and kind.begins.match(head) is None


def _named(option: str, path: Path) -> str:
    return f"{option} {printable(str(path))}".strip()


def write_png(path: Path, picture: "Image.Image") -> None:
    """Write a picture completely or not at all, with "ppreid" as the software that made it.

    Args:
        path: file to write, or "-" for standard output.
        picture: in any mode that PNG has.

    Raises:
        WriteError: the file cannot be written.
    """
    from PIL.PngImagePlugin import PngInfo

    mark = PngInfo()
    mark.add_text("Software", "ppreid")  # what SHEET begins with
    with replacing(path) as file:
        picture.save(file, "PNG", pnginfo=mark)
