"""What all sections have in common, the types of their values, and what is said about a wrong one."""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import ErrorDetails, PydanticCustomError

from ppreid.base.errors import unknown_choice
from ppreid.base.plain_yaml import Key
from ppreid.tables import CHOICES

PositiveInt = Annotated[int, Field(ge=1)]
Probability = Annotated[float, Field(ge=0, le=1)]


def _on_or_off(on: float) -> BeforeValidator:
    """YAML's `on` and `off`, which are true and false, as numbers."""
    return BeforeValidator(lambda value: on * value if isinstance(value, bool) else value)


# the shrinkage of `neighbours.within_tracks.WithinTracks`, 0: off
WithinTracks = Annotated[float, Field(ge=0), _on_or_off(1.0)]
# images as which the mean of all counts in that of a camera (`neighbours.camera_centre.SHRINKAGE` where it is on)
CameraCentre = Annotated[float, Field(ge=0), _on_or_off(100.0)]
# rows as which the mean of all counts in that of a camera in a batch, which has some ten of each
NeckCentre = Annotated[float, Field(ge=0), _on_or_off(10.0)]
SHOWN = 200  # letters of a wrong value


class Section(BaseModel):
    """Base of all sections: strict types, no unknown keys, immutable, finite numbers, defaults checked as well."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        validate_default=True,
        use_attribute_docstrings=True,
    )


def refusal(reason: str) -> PydanticCustomError:
    """An error of a validator. Pydantic takes messages as templates; braces in a user's value must not be places."""
    return PydanticCustomError("refused", "{reason}", {"reason": reason})


def one_of(key: str) -> AfterValidator:
    """Check that a string names a row in the table of a key.

    Args:
        key: configuration key, e.g. "labels.clusterer". The rows are those that the table has at that moment.
    """

    def check(value: str) -> str:
        if value not in CHOICES[key]:
            raise refusal(unknown_choice(key, value, CHOICES[key]))
        return value

    return AfterValidator(check)


def not_empty(key: str, meaning: str) -> AfterValidator:
    """Check that a text is not empty, which as a path would be the working directory."""

    def check(value: str) -> str:
        if not value.strip():
            raise refusal(f"{key} is {value!r}; {meaning}")
        return value

    return AfterValidator(check)


def _not_of_another_program(value: object) -> object:
    """Names of devices that other programs use are answered with ours."""
    name, _, number = str(value).lower().partition(":")
    if name.isdecimal():
        name, number = "cuda", name
    if name == "cuda":
        raise refusal(f"device is {value!r}; it should be {'gpu:' + number if number else 'gpu'}")
    if isinstance(value, str) and not re.fullmatch(_DEVICE, value):
        raise refusal(f"device is {value!r}; it should be auto, cpu, gpu, or gpu:N for one of several")
    return value


_DEVICE = r"^(auto|cpu|gpu(:\d+)?)$"
Device = Annotated[str, Field(pattern=_DEVICE), BeforeValidator(_not_of_another_program)]

_PLUGIN, _SHA256 = r"^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$", "^([0-9a-f]{64})?$"
Plugins = Annotated[
    dict[Annotated[str, Field(pattern=_PLUGIN)], Annotated[str, Field(pattern=_SHA256)]], Field(max_length=20)
]


def switched_off(name: str, section: Section, switch: str) -> Iterator[str]:
    """What is wrong where keys of a section are set that a key of 0 switches off."""
    changed = [key for key, value in section if value != getattr(type(section)(), key)]
    if changed and not getattr(section, switch):
        yield f"{name}.{changed[0]} is set, but has no effect while {name}.{switch} is 0; set that as well"


def explain(
    detail: ErrorDetails, schema: type[BaseModel], places: Mapping[Key, str], elsewhere: Collection[str] = ()
) -> str:
    """One line for one problem that pydantic found: where, which key, what was found, what is allowed.

    Args:
        detail: what pydantic says.
        schema: of the whole configuration.
        places: file and line, or override, that each key came from.
        elsewhere: keys of another task, which this one does not read.
    """
    key = tuple(map(str, detail["loc"]))
    name = ".".join(key)
    place = next((places[key[:n]] for n in range(len(key), 0, -1) if key[:n] in places), "")
    if key and not place:  # of a section, perhaps only the keys in it have places
        key = next((other for other in places if other[: len(key)] == key), key)
        place = places.get(key, "")
    found = _shown(detail["input"])
    match detail["type"]:
        case "extra_forbidden":
            text = _explain_unknown_key(key, schema, elsewhere)
        case "refused":
            text = detail["msg"]
        case "literal_error":
            choices = detail["ctx"]["expected"].replace("'", "").replace(" or ", ", ").split(", ")
            text = unknown_choice(name, detail["input"], choices)
        case "model_type":
            text = f"{name} is {found}; it is a section and needs keys of its own"
        case _:
            text = f"{name} is {found}; {detail['msg'].replace('Input should', 'it should')}"
    return f"{place or 'together'}: {text}"


def _shown(value: object) -> str:
    """A wrong value on a line of the message."""
    if isinstance(value, int) and value.bit_length() > SHOWN:
        return f"a number of {value.bit_length():,} bits"  # Python does not write thousands of digits
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _explain_unknown_key(key: Key, schema: type[BaseModel], elsewhere: Collection[str]) -> str:
    """Nearest match and neighbours of a key that the schema does not have."""
    name, known = ".".join(key), list(key_names(schema))
    if name in elsewhere:
        return f"evaluation does not read {name}; remove it (a key without effect is an error under task: evaluate)"
    by_last_part = [other for other in known if other.rpartition(".")[2] == key[-1]]
    nearest = by_last_part or get_close_matches(name, known, n=1)
    hint = f"did you mean {' or '.join(nearest)}? " if nearest else ""
    section = ".".join(key[:-1]) if ".".join(key[:-1]) in known else ""
    siblings = [other.rpartition(".")[2] for other in known if other.rpartition(".")[0] == section]
    return f"unknown key {name}; {hint}allowed{f' in {section}' if section else ''}: {', '.join(siblings)}"


def key_names(schema: type[BaseModel], prefix: str = "") -> Iterable[str]:
    """All dotted key names of a schema, sections included."""
    for field, info in schema.model_fields.items():
        yield prefix + field
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from key_names(info.annotation, f"{prefix}{field}.")
