"""Text on a picture: a font that has its letters, and names that fit below an image."""

import logging
import os
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from PIL import ImageFont

from ppreid.base.errors import printable

logger = logging.getLogger("ppreid")

_SIZE = 10  # of the letters, in pixels; that of Pillow's own font
# where fontconfig looks as well, and macOS
_FOLDERS = (
    *("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts", "$XDG_DATA_HOME/fonts"),
    *("/System/Library/Fonts", "/Library/Fonts", "~/Library/Fonts"),
)
_FOLDERS_OF_WINDOWS = ("C:/Windows/Fonts",)
# Fonts that have Chinese, Japanese and Korean letters, then those of Europe, by the beginning of the file's name.
_FAMILIES = (
    *(
        "NotoSansCJK",
        "NotoSansSC",
        "SourceHanSans",
        "wqy",
        "DroidSansFallback",
        "msyh",
        "simhei",
        "PingFang",
        "Hiragino",
    ),
    *("DejaVuSans.", "NotoSans-", "LiberationSans-", "arial"),
)
_INSTEAD = "~"  # of letters that no font has
_CUT = ".."
_LONGEST = 300  # letters that are measured


def fonts() -> Iterable[Any]:
    """Pillow's own font, then those of the system that have more letters."""
    yield ImageFont.load_default(_SIZE)
    for file in _font_files(tuple(_FOLDERS + _FOLDERS_OF_WINDOWS)):
        try:
            yield ImageFont.truetype(str(file), _SIZE)
        except OSError:  # damaged, or of a kind that Pillow cannot read
            continue


@cache
def _font_files(folders: Sequence[str]) -> tuple[Path, ...]:
    """Files of the families, in their order."""
    found = []
    for folder in folders:
        place = Path(os.path.expandvars(folder)).expanduser()
        found += [file for file in place.rglob("*") if file.suffix.lower() in (".ttf", ".ttc", ".otf")]
    ranks = {file: _rank(file.name) for file in found}
    return tuple(
        sorted(
            (file for file in found if ranks[file] < len(_FAMILIES)),
            key=lambda file: (ranks[file], "regular" not in file.name.lower(), file),
        )
    )


def _rank(name: str) -> int:
    """Place of the family that a file's name begins with; behind all of them for another one."""
    return next((i for i, family in enumerate(_FAMILIES) if name.lower().startswith(family.lower())), len(_FAMILIES))


def font_for(texts: Iterable[str], candidates: Iterable[Any] | None = None) -> tuple[Any, str]:
    """The first font that has every letter of some texts.

    Args:
        texts: to be drawn.
        candidates: at least one font; None are `fonts`.

    Returns:
        The font that lacks fewest letters, and those that it lacks.
    """
    letters = sorted(set("".join(texts)) - {" "})
    tried = []
    for font in fonts() if candidates is None else candidates:
        blank = bytes(font.getmask("\U0010ffff"))  # what the font draws for a letter that it has not
        tried.append((font, "".join(letter for letter in letters if bytes(font.getmask(letter)) == blank)))
        if not tried[-1][1]:
            break
    return min(tried, key=lambda item: len(item[1]))


def drawable(texts: Sequence[str], lacking: str, *, what: str) -> list[str]:
    """Texts that a font can draw, each unlike the others; the log says what stands for what.

    Args:
        texts: to be drawn, each once.
        lacking: letters that the font lacks.
        what: stands, with a number, for a text of which too little is left.
    """
    shown, changed = [], []
    for number, text in enumerate(texts, start=1):
        short = _without(text, lacking)
        if short != text:
            if short in shown or short in texts or not any(letter.isalnum() for letter in short):
                short = f"{what} {number}"
            changed.append(f"{short} is {printable(text)}")
        shown.append(short)
    if changed:
        logger.warning(
            "no font of this machine has all letters of the names, as Noto Sans CJK would; on the picture %s",
            ", ".join(changed[:8]) + (f" and {len(changed) - 8} more" if len(changed) > 8 else ""),
        )
    return shown


def _without(text: str, lacking: str) -> str:
    """The text with one sign in the place of neighbouring letters that cannot be drawn."""
    short = ""
    for letter in text:
        if letter not in lacking:
            short += letter
        elif not short.endswith(_INSTEAD):
            short += _INSTEAD
    return short


def fitting(text: str, width: int, font: Any) -> str:  # noqa: ANN401 - Pillow has two classes of fonts
    """The text, or its two ends where all of it does not fit: names differ in the beginning or in the end.

    Args:
        text: one line.
        width: in pixels.
        font: that it will be drawn with.
    """
    if len(text) <= _LONGEST and font.getlength(text) <= width:
        return text
    for kept in range(min(len(text), _LONGEST) - 1, 1, -1):
        end = (kept + 1) // 2
        short = text[: kept - end] + _CUT + text[-end:]
        if font.getlength(short) <= width:
            return short
    return _CUT
