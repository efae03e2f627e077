"""Every configuration key with type, allowed values, default and meaning, read from the schema.

`python tools/config.py --reference > docs/configuration.md` makes the page of the documentation.
"""

from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Any, NamedTuple

from pydantic import BaseModel

from ppreid.config.schema import EvaluationConfig, TrainingConfig
from ppreid.tables import CHOICES

PAGE_HEAD = """\
# Configuration reference

<!-- made by `python tools/config.py --reference > docs/configuration.md` from the docstrings of ppreid/config/ -->

A configuration is a YAML file of these keys. Any of them can be set on the command line: `-o solver.lr=1e-3`. A text is
taken as it is written, also where it looks like something else: `-o data.root=2024-05-01`. A file may name another one
whose keys it inherits (`base: ise_market1501.yaml`). The default is what holds when neither a file nor the command line
says anything; most files under `configs/` inherit `base.yaml`, which sets more. Unknown keys, wrong types and values
that are not allowed are errors, all reported at once with file, line and the nearest right key.

A file with `task: evaluate` may have the keys marked under "eval" and no others; `tools/eval.py` takes files of both
tasks.
"""
BOUNDS = ("minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum")
TABLE_HEAD = "| key | type | allowed | default | eval | meaning |\n" + "|---" * 6 + "|"


class ConfigKey(NamedTuple):
    """One key of the configuration.

    Attributes:
        name: dotted, e.g. "solver.lr".
        kind: "number", "integer", "true or false", "text", ...; "or" joins several.
        allowed: range or choices in words; "" for anything of that kind.
        default: as it would stand in YAML.
        meaning: one or two sentences.
        in_evaluation: whether a file with `task: evaluate` may have it.
    """

    name: str
    kind: str
    allowed: str
    default: str
    meaning: str
    in_evaluation: bool

    @property
    def section(self) -> str:
        """Everything before the last dot; "" at the top."""
        return self.name.rpartition(".")[0]


def config_keys() -> list[ConfigKey]:
    """All keys of a training configuration, in the order of the schema; evaluation has no others."""
    in_evaluation = {name for name, _ in _leaves(EvaluationConfig)}
    return [_config_key(name, facts, name in in_evaluation) for name, facts in _leaves(TrainingConfig)]


def section_meanings() -> dict[str, str]:
    """Dotted section name -> what the section is about, in the order of the schema."""
    return {name: " ".join((schema.__doc__ or "").split()) for name, schema in _sections(TrainingConfig)}


def reference_page() -> str:
    """docs/configuration.md."""
    meanings = section_meanings()
    parts = [PAGE_HEAD]
    for section, keys in groupby(sorted(config_keys(), key=lambda key: list(meanings).index(key.section)), _section):
        rows = [
            f"| `{key.name}` | {key.kind} | {key.allowed} | `{key.default}` | {'yes' if key.in_evaluation else ''} "
            f"| {key.meaning} |"
            for key in keys
        ]
        title = f"## `{section}`\n\n{meanings[section]}" if section else "## Top level"
        parts.append("\n".join([title, "", TABLE_HEAD, *rows]))
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def _section(key: ConfigKey) -> str:
    return key.section


def _sections(schema: type[BaseModel], name: str = "") -> Iterator[tuple[str, type[BaseModel]]]:
    """Dotted name and class of a schema and of every section in it."""
    yield name, schema
    for field, info in schema.model_fields.items():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from _sections(info.annotation, f"{name}.{field}".lstrip("."))


def _leaves(schema: type[BaseModel]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Dotted name and JSON-schema facts of every key that is no section."""
    sections = dict(_sections(schema))
    for section, part in sections.items():
        for field, facts in part.model_json_schema()["properties"].items():
            name = f"{section}.{field}".lstrip(".")
            if name not in sections:
                yield name, facts


def _config_key(name: str, facts: Mapping[str, Any], in_evaluation: bool) -> ConfigKey:
    """One key from its JSON-schema facts."""
    variants = facts.get("anyOf", [facts])
    names = CHOICES.get(name)
    allowed = [", ".join(sorted(names))] if names else [_allowed(variant) for variant in variants]
    return ConfigKey(
        name,
        kind=" or ".join(_kind(variant) for variant in variants),
        allowed="; ".join(text for text in allowed if text),
        default=_yaml(facts.get("default")),
        meaning=" ".join(facts.get("description", "").split()),
        in_evaluation=in_evaluation,
    )


def _kind(facts: Mapping[str, Any]) -> str:
    """A JSON-schema type in plain words."""
    kind = facts.get("type", "any")
    if kind == "array":
        return f"list of {_kind(facts.get('items', {}))}"
    return {"boolean": "true or false", "string": "text", "object": "keys and values"}.get(kind, kind)


def _allowed(facts: Mapping[str, Any]) -> str:
    """Range, choices or pattern of a JSON-schema type."""
    if "const" in facts:
        return _yaml(facts["const"])
    if "enum" in facts:
        return ", ".join(map(_yaml, facts["enum"]))
    if "pattern" in facts:
        return f"`{facts['pattern']}`".replace("|", "\\|")
    # 1.0 is shown as 1: pydantic versions differ in which of them they give
    bounds = {name: int(value) if value == int(value) else value for name, value in facts.items() if name in BOUNDS}
    low, above = bounds.get("minimum"), bounds.get("exclusiveMinimum")
    high, below = bounds.get("maximum"), bounds.get("exclusiveMaximum")
    texts = [
        f"{low} or more" if low is not None else f"more than {above}" if above is not None else "",
        f"{high} or less" if high is not None else f"less than {below}" if below is not None else "",
    ]
    if low is not None and high is not None:
        return f"{low} to {high}"
    return ", ".join(text for text in texts if text)


def _yaml(value: object) -> str:
    """A plain value as it stands in YAML."""
    if isinstance(value, bool):
        return str(value).lower()
    if value is None:
        return "null"
    return '""' if value == "" else str(value)
