"""The report in Chinese: every label of the page from one table, templates/chinese.txt."""

import re
from functools import cache
from html import escape, unescape
from pathlib import Path

TABLE = Path(__file__).parent / "templates" / "chinese.txt"

# what a gap of the table stands for
_GAPS = {r"\{\}": "(.+?)", r"\{n\}": r"([\d.,?\u2013-]+(?:e-?\d+)?[kM]?(?: ?%)?)"}
# what separates labels that stand in one text, and what separates them in Chinese
_SEPARATED = ((" · ", " · "), (", ", "\uff0c"))
_BETWEEN_SENTENCES = re.compile(r"(?<=[.;]) (?=[A-Z])")
_MARKUP = re.compile(r"(<script.*?</script>|<style.*?</style>|<pre.*?</pre>|<code.*?</code>|<[^>]*>)", re.DOTALL)
_ATTRIBUTES = re.compile(r'\b(aria-label|title|alt)="([^"]*)"')
_OF_SCRIPT = ('"', "`", "${")  # what stands in a label only if it is one of the page's own program


@cache
def table() -> dict[str, str]:
    """Labels and their translations: a label in a line, and indented below it the same in Chinese; # is a comment."""
    text = TABLE.read_text(encoding="utf-8")  # a file of this package
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {label: line.strip() for label, line in zip(lines[::2], lines[1::2], strict=True)}


def in_chinese(text: str) -> str:
    """A label in Chinese; what the table does not have, such as a name, is left as it is."""
    if text in table():
        return table()[text]
    sentences = _BETWEEN_SENTENCES.split(text)
    translated = list(map(in_chinese, sentences)) if len(sentences) > 1 else sentences
    if all(map(str.__ne__, sentences, translated)):
        return "".join(translated)
    for pattern, chinese in _patterns():
        if found := pattern.fullmatch(text):
            return chinese.format(*map(in_chinese, found.groups()))
    for separator, instead in _SEPARATED:
        parts = re.split(separator, text)
        if len(parts) > 1 and (translated := list(map(in_chinese, parts))) != parts:
            return instead.join(translated)
    return text


def page_in_chinese(html: str) -> str:
    """A page with all its labels in Chinese; code, what scripts hold, names, paths and numbers stay as they are."""
    parts = _MARKUP.split(html)
    for number, part in enumerate(parts):
        if number % 2 == 0:
            text = " ".join(unescape(part).split())
            before, behind = part[: len(part) - len(part.lstrip())], part[len(part.rstrip()) :]
            parts[number] = f"{before}{escape(in_chinese(text))}{behind}" if in_chinese(text) != text else part
        elif not part.startswith(("<script", "<style", "<pre", "<code")):
            parts[number] = _ATTRIBUTES.sub(_attribute, part)
    return "".join(parts).replace('<html lang="en">', '<html lang="zh-CN">', 1)


def script_in_chinese(script: str) -> str:
    """The page's own program with what it says in Chinese."""
    for label, chinese in table().items():
        if any(sign in label for sign in _OF_SCRIPT):
            script = script.replace(label, chinese)
    return script


@cache
def _patterns() -> list[tuple[re.Pattern[str], str]]:
    """What matches the labels with gaps: first those with the fewest open ones, of these the longest."""
    labels = sorted((label for label in table() if "{" in label), key=lambda label: (label.count("{}"), -len(label)))
    return [(_pattern(label), table()[label]) for label in labels]


def _pattern(label: str) -> re.Pattern[str]:
    pattern = re.escape(label)
    for gap, stands_for in _GAPS.items():
        pattern = pattern.replace(gap, stands_for)
    return re.compile(pattern)


def _attribute(found: re.Match[str]) -> str:
    """An attribute that is read aloud or shown."""
    text = unescape(found[2])
    return found[0] if in_chinese(text) == text else f'{found[1]}="{escape(in_chinese(text))}"'
