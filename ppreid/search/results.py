"""What a search found, how people and programs read it, and the files that it writes when it is asked to."""

import csv
import io
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ppreid.base.errors import printable
from ppreid.base.numbers import fixed
from ppreid.disk.files import write_text
from ppreid.disk.outputs import MATCHES_CSV, MATCHES_JSON, SHEET, Output


class Match(NamedTuple):
    """One image that was found.

    Attributes:
        path: of the image.
        similarity: cosine between its feature and the query's.
        camera: name; empty is unknown.
        verdict: "same person", "not sure" or "other"; empty where the threshold of the network is not known.
    """

    path: str
    similarity: float
    camera: str
    verdict: str = ""


class SearchResult(NamedTuple):
    """What was found for one query.

    Attributes:
        query: path of the query image.
        camera: name; empty is unknown.
        matches: most similar first.
    """

    query: str
    camera: str
    matches: tuple[Match, ...]


def results_table(results: Sequence[SearchResult]) -> str:
    """Text for the terminal: a heading for each query, and a line for each match."""
    lines = []
    for result in results:
        lines.append(printable(result.query) + (f" (camera {printable(result.camera)})" if result.camera else ""))
        width = max((len(printable(match.camera)) for match in result.matches), default=0)
        for rank, match in enumerate(result.matches, start=1):
            camera = f"  {printable(match.camera):<{width}}" if width else ""
            verdict = f"  {match.verdict:<11}" if match.verdict else ""
            lines.append(f"{rank:>6}  {fixed(match.similarity, 3):>6}{verdict}{camera}  {printable(match.path)}")
        if not result.matches:
            lines.append("        nothing was found")
    return "\n".join(lines)


def results_json(results: Sequence[SearchResult]) -> str:
    """A JSON array with an object for each query; ASCII, which has an escape for every file name."""
    fields = _fields(results)
    rows = [
        {**result._asdict(), "matches": [{"rank": rank, **_first(match, fields)} for rank, match in _ranked(result)]}
        for result in results
    ]
    return json.dumps(rows, indent=2) + "\n"


def results_csv(results: Sequence[SearchResult]) -> str:
    """A CSV with a line for each match: query, rank, path, similarity, camera and, where known, verdict."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    fields = _fields(results)
    writer.writerow(["query", "rank", *fields])
    for result in results:
        writer.writerows([result.query, rank, *_first(match, fields).values()] for rank, match in _ranked(result))
    return text.getvalue()


def _fields(results: Sequence[SearchResult]) -> tuple[str, ...]:
    """What is written of a match: the verdict only where there is one."""
    judged = any(match.verdict for result in results for match in result.matches)
    return Match._fields if judged else Match._fields[:-1]


def _first(match: Match, fields: Sequence[str]) -> dict[str, Any]:
    return dict(zip(fields, match, strict=False))


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
