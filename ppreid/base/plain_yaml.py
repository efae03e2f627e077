"""YAML that may come from anywhere: plain values only, and no text makes the reader work for long."""

import re
from collections.abc import Callable, Iterator
from typing import Any

import yaml

MAX_LETTERS = 200_000  # our longest configuration has about 2,000, a complete one about 3,000
MAX_NODES = 20_000  # our longest configuration has about 100
MAX_DEPTH = 50

Key = tuple[str, ...]

_CORE = "tag:yaml.org,2002:"
_INTEGER, _FLOAT, _TEXT = _CORE + "int", _CORE + "float", _CORE + "str"


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with the numbers of YAML 1.2: 1e-3 is one, and 59:59 (base 60 in YAML 1.1) is a text."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - that is how PyYAML takes them
        first: [pair for pair in pairs if pair[0] not in (_INTEGER, _FLOAT)]
        for first, pairs in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def number(self, node: yaml.ScalarNode) -> int | float:
        """An integer or a float; one that was only tagged as such, with !!int, may be none."""
        if ":" in node.value:  # PyYAML would take it in base 60, in a time that grows with the square of its length
            raise ValueError(f"{node.value[:20]!r} is no number")
        return self.construct_yaml_int(node) if node.tag == _INTEGER else self.construct_yaml_float(node)


for _tag, _pattern in (
    (_INTEGER, r"[-+]?(0b[01_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)"),
    (_FLOAT, r"[-+]?((\d[\d_]*\.[\d_]*|\.\d[\d_]*)([eE][-+]?\d+)?|\d+[eE][-+]?\d+|\.(inf|Inf|INF))|\.(nan|NaN|NAN)"),
):
    _Loader.add_implicit_resolver(_tag, re.compile(f"^({_pattern})$"), list("-+.0123456789"))
    _Loader.add_constructor(_tag, _Loader.number)


def parse_yaml(text: str, *, is_text: Callable[[Key], bool] = lambda key: False) -> tuple[Any, yaml.Node | None]:
    """Read one YAML document.

    Args:
        text: of the document.
        is_text: whether the value of a key, given with the sections that it is in, is a text: it is then taken as it
            stands there, also where it looks like a number, a date or a truth value.

    Returns:
        Its value, of dict, list, str, int, float, bool, None and dates; and its root node, which knows the lines. Twice
        None for an empty text.

    Raises:
        ValueError: the text is no YAML, asks for anything that is not a plain value, or is too large.
    """
    if len(text) > MAX_LETTERS:
        raise ValueError(f"it has {len(text):,} characters, and more than {MAX_LETTERS:,} are not read")
    try:
        _check_events(text)
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, None
        _check_size(node)
        _take_texts(loader, node, (), is_text)
        return loader.construct_document(node), node
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from None


def _check_events(text: str) -> None:
    """Refuse what has too many or too deep values before they are made: a node takes about a kilobyte."""
    depth = num_nodes = 0
    for event in yaml.parse(text, Loader=_Loader):
        num_nodes += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        _check_count(num_nodes)


def _check_size(root: yaml.Node) -> None:
    """Refuse what is small as a text but large as a value: an alias (*name) counts wherever it stands."""
    waiting, num_nodes = [root], 0
    while waiting:
        node = waiting.pop()
        num_nodes += 1
        _check_count(num_nodes)
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            waiting.extend(part for pair in node.value for part in pair)


def _check_count(num_nodes: int) -> None:
    if num_nodes > MAX_NODES:
        raise ValueError(f"it holds more than {MAX_NODES:,} values, those behind aliases counted every time")


def _take_texts(loader: _Loader, node: yaml.Node, key: Key, is_text: Callable[[Key], bool]) -> None:
    """Make texts of the values that are to be texts; an empty value stays null, as it was probably forgotten."""
    if not isinstance(node, yaml.MappingNode):
        return
    loader.flatten_mapping(node)
    for number, (name, value) in enumerate(node.value):
        inner = (*key, str(name.value))
        if isinstance(value, yaml.ScalarNode) and value.value and value.tag.startswith(_CORE) and is_text(inner):
            # a new node, since an alias may stand for the old one under a key that is no text
            node.value[number] = (name, yaml.ScalarNode(_TEXT, value.value, value.start_mark, value.end_mark))
        _take_texts(loader, value, inner, is_text)


def key_lines(node: yaml.Node | None, prefix: Key = ()) -> Iterator[tuple[Key, int]]:
    """Every key path below a YAML node with its line number, counted from 1."""
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            key = (*prefix, str(key_node.value))
            yield key, key_node.start_mark.line + 1
            yield from key_lines(value_node, key)
