"""The pages of the documentation, for the tests that read them."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *sorted(ROOT.glob("README*.md")),
    *(ROOT / name for name in ("CONTRIBUTING.md", "data/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# the first word of a line in a block of code that makes the line a command
PROGRAM = re.compile(
    r"^(?:[A-Z_]+=\S+ )*"
    r"(python3?|ppreid|pip|make|docker|git|source|cd|export|df|cp|taskset|nvidia-smi|ulimit|apt-get)(?= |$)"
)
INLINE = re.compile(r"`((?:[A-Z_]+=\S+ )*(?:python3?|ppreid|pip|make|docker|taskset) [^`]+)`")


def page_name(page: Path) -> str:
    """Path from the root of the repository."""
    return str(page.relative_to(ROOT))


def code_blocks(text: str) -> Iterator[tuple[str, str]]:
    """Language ("" for an indented block) and content of every block of code."""
    for language, block in FENCE.findall(text):
        yield language, block
    rest = FENCE.sub("", text)
    for block in re.findall(r"(?:^    .*\n|^\n(?=    ))+", rest, re.MULTILINE):
        yield "", re.sub(r"^    ", "", block, flags=re.MULTILINE)


def commands(text: str) -> Iterator[str]:
    """Every command of a page: lines of its blocks of code, and whole commands between backticks."""
    for _, block in code_blocks(text):
        for line in block.replace("\\\n", " ").splitlines():
            if PROGRAM.match(line.strip()):
                yield without_comment(line.strip())
    prose = re.sub(r"^    .*$", "", FENCE.sub("", text), flags=re.MULTILINE)
    for command in INLINE.findall(prose):
        yield " ".join(command.split())


def without_comment(line: str) -> str:
    """A line of a shell without what follows a #."""
    return re.sub(r"\s+#\s.*$", "", line)


def words(command: str) -> list[str]:
    """Arguments of a command, without variables in front of it and without the file that its output goes to."""
    found = shlex.split(re.sub(r" 2?> \S+$", "", command))
    while found and re.match(r"^[A-Z_]+=", found[0]):
        found.pop(0)
    return found
