"""What a check found, and how people and programs read it."""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ppreid.base.errors import printable
from ppreid.disk.files import write_text
from ppreid.run.log import log_result, logger

Level = Literal["ok", "warning", "problem"]
LEVELS: tuple[Level, ...] = ("ok", "warning", "problem")
_SHOWN = 3  # items of a finding on the console; the JSON file has all
_LONGEST = 400  # letters of a line on the console, for example of one that names 20,000 equal files


class Finding(NamedTuple):
    """One line of the doctor's report.

    Attributes:
        check: what was looked at, e.g. "duplicates".
        level: "ok"; "warning" (a run works, but look at it); "problem" (a run fails, or its results are worthless).
        text: what was found; it may have several lines.
        advice: what to do; empty for "ok".
        items: the files concerned, or other names.
    """

    check: str
    level: Level
    text: str
    advice: str = ""
    items: tuple[str, ...] = ()


def ok(check: str, text: str) -> Finding:
    """A finding that nobody needs to act on."""
    return Finding(check, "ok", text)


def warning(check: str, text: str, advice: str, items: Iterable[str] = ()) -> Finding:
    """A finding to look at; a run works nevertheless."""
    return Finding(check, "warning", text, advice, tuple(items))


def problem(check: str, text: str, advice: str, items: Iterable[str] = ()) -> Finding:
    """A finding because of which a run would fail or its results would be worthless."""
    return Finding(check, "problem", text, advice, tuple(items))


def has_problem(findings: Iterable[Finding]) -> bool:
    """Whether one of the findings is a problem."""
    return any(finding.level == "problem" for finding in findings)


def format_findings(findings: Iterable[Finding]) -> str:
    """Text for the terminal: level, text, advice and the first items of each finding."""
    lines = []
    for finding in findings:
        first, *others = finding.text.splitlines()
        details = others + ([f"-> {finding.advice}"] if finding.advice else [])
        details += [f"   {item}" for item in finding.items[:_SHOWN]]
        if len(finding.items) > _SHOWN:
            details.append(f"   ... ({len(finding.items) - _SHOWN:,} more)")
        lines += [f"  {finding.level:9}{_short(first)}", *(f"{'':11}{_short(line)}" for line in details)]
    return "\n".join(lines)


def _short(line: str) -> str:
    """A line for the console, cut where nobody would read on."""
    if len(line) > _LONGEST:
        line = f"{line[:_LONGEST]}... ({len(line):,} letters)"
    return printable(line)


def shown(title: str, check: Callable[[], list[Finding]]) -> list[Finding]:
    """Run a check below its title on the console, and show and return what it found."""
    log_result(title)
    found = check()
    log_result(format_findings(found))
    return found


def summary_line(findings: Sequence[Finding]) -> str:
    """Number of findings of each level, e.g. "14 ok, 1 warning, 0 problems"."""
    count = Counter(finding.level for finding in findings)
    return (
        f"{count['ok']} ok, {count['warning']} warning{'s' * (count['warning'] != 1)}, "
        f"{count['problem']} problem{'s' * (count['problem'] != 1)}"
    )


def findings_to_dict(environment: Sequence[Finding], data: Sequence[Finding]) -> dict[str, Any]:
    """The report as plain values for JSON, with all items of every finding."""
    count = Counter(finding.level for finding in (*environment, *data))
    return {
        "counts": {level: count[level] for level in LEVELS},
        "environment": [finding._asdict() for finding in environment],
        "data": [finding._asdict() for finding in data],
    }


def write_findings(path: Path | None, environment: Sequence[Finding], data: Sequence[Finding]) -> None:
    """Write the report as JSON; None: nowhere.

    Raises:
        WriteError: the file cannot be written.
    """
    if path:
        # in ASCII, which has an escape for every file name, also for one that is no UTF-8
        write_text(path, json.dumps(findings_to_dict(environment, data), indent=2) + "\n")
        logger.info("written: %s", path)
