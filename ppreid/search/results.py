"""What a search found, how people and programs read it, and the files that it writes when it is asked to."""

import csv
import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ppreid.base.errors import printable
from ppreid.base.numbers import clock, fixed, moment, num_columns, padded
from ppreid.disk.files import write_text
from ppreid.disk.outputs import MATCHES_CSV, MATCHES_JSON, SHEET, Output

_ALWAYS, _WHERE_KNOWN = ("path", "similarity", "camera"), ("verdict", "time", "clock")


class Match(NamedTuple):
    """One image that was found.

    Attributes:
        path: of the image.
        similarity: cosine between its feature and the query's.
        camera: name; empty is unknown.
        verdict: "same person", "not sure" or "other"; empty where the threshold of the network is not known.
        time: when it was seen, in seconds since its recording began, or since 1970; -1 is unknown.
    """

    path: str
    similarity: float
    camera: str
    verdict: str = ""
    time: float = -1.0

    def known(self) -> dict[str, Any]:
        """What is known of it, by name, for programs."""
        verdict = {"verdict": self.verdict} if self.verdict else {}
        return {"path": self.path, "similarity": self.similarity, "camera": self.camera, **verdict, **_when(self.time)}


class SearchResult(NamedTuple):
    """What was found for one query.

    Attributes:
        query: path of the query image.
        camera: name; empty is unknown.
        matches: most similar first.
        time: of the query, as that of a match.
    """

    query: str
    camera: str
    matches: tuple[Match, ...]
    time: float = -1.0


def results_table(results: Sequence[SearchResult]) -> str:
    """Text for the terminal: a heading for each query, and a line for each match."""
    lines = []
    for result in results:
        camera = f"camera {printable(result.camera)}" if result.camera else ""
        known = ", ".join(filter(None, [camera, moment(result.time)]))
        lines.append(printable(result.query) + (f" ({known})" if known else ""))
        width = max((num_columns(printable(match.camera)) for match in result.matches), default=0)
        times = max((len(moment(match.time)) for match in result.matches), default=0)
        for rank, match in enumerate(result.matches, start=1):
            camera = f"  {padded(printable(match.camera), width)}" if width else ""
            verdict = f"  {match.verdict:<11}" if match.verdict else ""
            time = f"  {moment(match.time):>{times}}" if times else ""
            lines.append(f"{rank:>6}  {fixed(match.similarity, 3):>6}{verdict}{camera}{time}  {printable(match.path)}")
        if not result.matches:
            lines.append("        nothing was found")
    return "\n".join(lines)


def results_json(results: Sequence[SearchResult]) -> str:
    """A JSON array with an object for each query; ASCII, which has an escape for every file name."""
    rows = [
        {
            "query": result.query,
            "camera": result.camera,
            **_when(result.time),
            "matches": [{"rank": rank, **match.known()} for rank, match in _ranked(result)],
        }
        for result in results
    ]
    return json.dumps(rows, indent=2) + "\n"


def results_csv(results: Sequence[SearchResult]) -> str:
    """A CSV with a line for each match: query, rank, path, similarity, camera and, where known, verdict and time."""
    text = io.StringIO()
    found = {key for result in results for match in result.matches for key in match.known()}
    columns = [*_ALWAYS, *(key for key in _WHERE_KNOWN if key in found)]
    writer = csv.DictWriter(text, ["query", "rank", *columns], restval="", lineterminator="\n")
    writer.writeheader()
    for result in results:
        writer.writerows({"query": result.query, "rank": rank, **match.known()} for rank, match in _ranked(result))
    return text.getvalue()


def _when(seconds: float) -> dict[str, Any]:
    """A time for programs: seconds, and where they are a time of day that, too; nothing of what is not known."""
    day = {"clock": clock(seconds)} if clock(seconds) else {}
    return {"time": seconds, **day} if seconds >= 0 else {}


def _ranked(result: SearchResult) -> enumerate[Match]:
    return enumerate(result.matches, start=1)


logger = logging.getLogger("ppreid")


def result_outputs(*, json: Path | None, csv: Path | None, sheet: Path | None) -> list[Output]:
    """Those files that are asked for, as `check_outputs` takes them; the arguments are those of `write_results`."""
    places = (("--json", json, MATCHES_JSON), ("--csv", csv, MATCHES_CSV), ("--contact-sheet", sheet, SHEET))
    return [Output(option, path, kind) for option, path, kind in places if path]


def write_results(results: Sequence[SearchResult], *, json: Path | None, csv: Path | None, sheet: Path | None) -> None:
    """Write what a search found.

    Args:
        results: of the search.
        json: file to write, None for none; "-" is standard output.
        csv: the same as a table, a line for each match.
        sheet: the same as a picture of the first results.

    Raises:
        WriteError: a file cannot be written.
    """
    for path, text in ((json, results_json), (csv, results_csv)):
        if path:
            write_text(path, text(results))
            logger.info("written: %s", path)
    if sheet:
        from ppreid.search.sheet import write_sheet

        count = write_sheet(sheet, results)
        logger.info("written: %s (%d of %d queries)", sheet, count, len(results))
