"""The files that a search writes when it is asked to."""

import logging
from collections.abc import Sequence
from pathlib import Path

from ppreid.disk.files import write_text
from ppreid.disk.outputs import MATCHES_CSV, MATCHES_JSON, SHEET, Output
from ppreid.search.results import SearchResult, results_csv, results_json
from ppreid.search.sheet import write_sheet

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
        count = write_sheet(sheet, results)
        logger.info("written: %s (%d of %d queries)", sheet, count, len(results))
