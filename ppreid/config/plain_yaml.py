"""YAML that may come from anywhere: plain values only, and no text makes the reader work for long."""

import re
from typing import Any

import yaml

MAX_NODES = 20_000  # our longest configuration has about 100


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, reading 1e-3 as a number (YAML 1.2) and not as a string (YAML 1.1)."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+(\.\d*)?|\.\d+)[eE][-+]?\d+$"), list("-+.0123456789")
)


def parse_yaml(text: str) -> tuple[Any, yaml.Node | None]:
    """Read one YAML document.

    Args:
        text: of the document.

    Returns:
        Its value, of dict, list, str, int, float, bool, None and dates; and its root node, which knows the lines. Twice
        None for an empty text.

    Raises:
        ValueError: the text is no YAML, asks for anything that is not a plain value, or is too large.
    """
    try:
        loader = _Loader(text)
        node = loader.get_single_node()
        if node is None:
            return None, None
        _check_size(node)
        return loader.construct_document(node), node
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (yaml.YAMLError, ValueError, TypeError, OverflowError) as error:
        raise ValueError(str(error)) from None


def _check_size(root: yaml.Node) -> None:
    """Refuse what is small as a text but large as a value: an alias (*name) counts wherever it stands."""
    waiting, num_nodes = [root], 0
    while waiting:
        node = waiting.pop()
        num_nodes += 1
        if num_nodes > MAX_NODES:
            raise ValueError(f"it holds more than {MAX_NODES:,} values, those behind aliases counted every time")
        if isinstance(node, yaml.SequenceNode):
            waiting.extend(node.value)
        elif isinstance(node, yaml.MappingNode):
            waiting.extend(part for pair in node.value for part in pair)
