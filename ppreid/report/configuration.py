"""Configurations as tables: one against a reference, or several against each other."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple


class ConfigRow(NamedTuple):
    """A key, its value, and the reference's value ("" where it does not have the key)."""

    key: str
    value: str
    reference: str


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Nested keys as dotted names, with their values as text."""
    rows: dict[str, str] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            rows |= flat(value, f"{prefix}{key}.")
        else:
            rows[f"{prefix}{key}"] = _text(value)
    return rows


def against(config: Mapping[str, Any], reference: Mapping[str, Any]) -> tuple[list[ConfigRow], list[ConfigRow]]:
    """Keys whose values differ from the reference's, and the others."""
    known = flat(reference)
    rows = [ConfigRow(key, value, known.get(key, "")) for key, value in flat(config).items()]
    return [row for row in rows if row.value != row.reference], [row for row in rows if row.value == row.reference]


def differences(configs: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Keys on which configurations do not agree, with the value of each ("" where it does not have the key)."""
    tables = [flat(config) for config in configs]
    keys = dict.fromkeys(key for table in tables for key in table)
    rows = [(key, [table.get(key, "") for table in tables]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return "null" if value is None else str(value)
