"""Read, check and write configuration files.

A file may name a `base:` file whose keys it inherits, relative to its own folder; `-o a.b=value` overrides win over
both. All problems are reported at once, each with the key, the file and line, what was found and what is allowed.
"""

import os
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from ppreid.base.errors import ConfigError, DataError, PluginError, unknown_choice
from ppreid.base.plain_yaml import MAX_LETTERS, Key, key_lines, parse_yaml
from ppreid.base.reading import is_there, reading
from ppreid.config.choices import SHOWN, explain, key_names
from ppreid.config.schema import Config, EvaluationConfig, TrainingConfig, text_keys
from ppreid.tables import CHOICES, PLUGINS

SCHEMAS: dict[str, type[BaseModel]] = {"train": TrainingConfig, "evaluate": EvaluationConfig}


def load_config(path: str | Path, overrides: Sequence[str] = (), *, alone: bool = False) -> Config:
    """Load a configuration file with its bases and overrides, and check all of it.

    A file of PaddleClas is taken for an evaluation, as far as its keys have a counterpart; a warning lists those.

    Args:
        path: file, or a name that `find_config` looks up.
        overrides: "a.b=value" strings. The value of a text is taken as it is, any other is read as YAML.
        alone: a command wrote the file, complete; a stranger may have changed it, and no `base:` is followed.

    Returns:
        A `TrainingConfig`, or an `EvaluationConfig` when the file says `task: evaluate`.

    Raises:
        ConfigError: the file cannot be read, or keys or values are wrong (all are listed).
        DataError: it was to stand alone, and does not, or something is wrong with it before the overrides.
    """
    if not alone:
        return _checked(find_config(path), overrides, alone=False)
    if not is_there(path, DataError):
        raise DataError(f"{path} does not exist; it belongs to the other files of its folder")
    try:
        written = _checked(Path(path), (), alone=True)
    except PluginError:
        raise
    except ConfigError as error:  # nobody who gives the command has written it
        raise DataError(f"{error}\n{path} was written by a command, and was damaged or changed since") from None
    return _checked(Path(path), overrides, alone=True) if overrides else written


def _checked(file: Path, overrides: Sequence[str], *, alone: bool) -> Config:
    """The configuration that a file and overrides mean."""
    values, places = _read_yaml(file) if alone else _read_with_bases(file, chain=())
    if alone and "base" in values:
        raise DataError(f"{places[('base',)]}: there is a base:, but commands write complete files; it was changed")
    if any(str(name).strip()[:1].isupper() for name in (*values, *overrides)):  # ours begin with a small letter
        from ppreid.base.paddleclas import without_paddleclas

        values, places, overrides = without_paddleclas(file, values, places, overrides, apply=_apply_override)
    for override in overrides:
        _apply_override(values, places, override)
    if PLUGINS or values.get("plugins"):
        from ppreid.base.plugins import settled

        here = settled(values.get("plugins", {}), file, CHOICES, PLUGINS)
        values |= {} if alone else {"plugins": here}
    task = values.get("task", "train")
    if not isinstance(task, str) or task not in SCHEMAS:
        raise ConfigError(f"{places[('task',)]}: {unknown_choice('task', str(task), SCHEMAS)}")
    try:
        return SCHEMAS[task].model_validate(values)  # type: ignore[return-value]
    except ValidationError as error:
        elsewhere = set(key_names(TrainingConfig)) - set(key_names(SCHEMAS[task]))
        problems = [explain(detail, SCHEMAS[task], places, elsewhere) for detail in error.errors()]
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        raise ConfigError(f"{count} in {file}\n" + "\n".join(f"  - {line}" for line in problems)) from None


def config_text(cfg: Config) -> str:
    """The complete configuration as YAML text that can be run again as it is."""
    return yaml.safe_dump(cfg.model_dump(), sort_keys=False, allow_unicode=True)


def config_folders() -> list[Path]:
    """Folders that are searched for configuration files: the working directory's, the checkout's, the package's."""
    package = Path(__file__).resolve().parent.parent
    folders = [Path.cwd() / "configs", package.parent / "configs", package / "configs"]
    return list(dict.fromkeys(folder for folder in folders if folder.is_dir()))


def find_config(path: str | Path) -> Path:
    """The configuration file that a command line means.

    Args:
        path: an existing file; or a bare name, or a path whose folder does not exist (such as the ./ppcls/... paths of
            the method's published documentation), whose name is looked up under the folders of `config_folders`.

    Raises:
        ConfigError: no such file, or several; the message lists what there is.
    """
    wanted = Path(path)
    if not os.path.isdir(wanted) and is_there(wanted, ConfigError):  # a folder may be called like a configuration
        return wanted
    is_name = wanted.name == str(wanted) or not os.path.exists(wanted.parent)
    if is_name and (found := _named(wanted.name)):
        return found
    names = sorted({file.name for folder in config_folders() for file in folder.rglob("*.yaml")})
    nearest = get_close_matches(wanted.name if wanted.suffix else f"{wanted.name}.yaml", names, n=1)
    hint = f" Did you mean {nearest[0]}?" if nearest else ""
    raise ConfigError(f"no file {path} (working directory {Path.cwd()}).{hint} There are: {', '.join(names) or 'none'}")


def _named(name: str) -> Path | None:
    """The file of a name under the folders of `config_folders`; its suffix may be left out."""
    for folder in config_folders():
        for file_name in (name, f"{name}.yaml"):
            matches = sorted(file for file in folder.rglob("*.yaml") if file.name == file_name)
            if len(matches) > 1:
                raise ConfigError(f"{name} is ambiguous: {', '.join(map(str, matches))}; give the whole path")
            if matches:
                return matches[0]
    return None


def _read_with_bases(file: Path, chain: tuple[Path, ...]) -> tuple[dict[str, Any], dict[Key, str]]:
    """Values of a file merged over its bases, and the file and line that each key came from."""
    if file.resolve() in chain:
        raise ConfigError(f"base: goes round in a circle: {' -> '.join(map(str, (*chain, file.resolve())))}")
    values, places = _read_yaml(file)
    if not (base_file := _base_of(file, values, places)):
        return values, places
    base_values, base_places = _read_with_bases(base_file, (*chain, file.resolve()))
    return _merge(base_values, values), {**base_places, **places}


def base_files(path: str | Path) -> list[Path]:
    """A configuration file, the one that it names as its base, the base of that, and so on."""
    found = [Path(path)]
    while (base := _base_of(found[-1], *_read_yaml(found[-1]))) and base not in found:
        found.append(base)
    return found


def _base_of(file: Path, values: dict[str, Any], places: dict[Key, str]) -> Path | None:
    """The file that the values of a file name as their base, from which it is taken."""
    base_file = file.parent / str(base := values.pop("base", None))
    if base is None:
        return None
    if not os.path.isdir(base_file) and is_there(base_file, ConfigError):
        return base_file
    if found := _named(base_file.name):  # as behind -c; or the file was copied from another folder
        return found
    raise ConfigError(f"{places[('base',)]}: base file {base_file} does not exist")


def _read_yaml(file: Path) -> tuple[dict[str, Any], dict[Key, str]]:
    """One YAML file as nested dicts, and "file:line" of every key."""
    try:
        with reading(file, ConfigError), open(file, encoding="utf-8") as stream:
            text = stream.read(MAX_LETTERS + 1)  # more is refused, and may be more than there is memory
        values, node = parse_yaml(text, is_text=text_keys().__contains__)
    except UnicodeDecodeError as error:
        raise ConfigError(f"cannot read {file}: {error}") from None
    except ValueError as error:
        raise ConfigError(f"{file} is not plain YAML: {error}") from None
    if node is None:
        return {}, {}
    if not isinstance(values, dict):
        raise ConfigError(f"{file} must hold keys and values, found {type(values).__name__}")
    places: dict[Key, str] = {}
    for key, line in key_lines(node):
        if key in places:
            raise ConfigError(f"{file}:{line}: key {'.'.join(key)!r} stands twice (first at {places[key]})")
        places[key] = f"{file}:{line}"
    return values, places


def _merge(base: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """`values` over `base`, section by section; neither is changed."""
    merged = dict(base)
    for key, value in values.items():
        both_sections = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _merge(base[key], value) if both_sections else value
    return merged


def _apply_override(values: dict[str, Any], places: dict[Key, str], override: str) -> None:
    """Set one "a.b=value" in the nested dict `values`."""
    name, equals, text = override.partition("=")
    key = tuple(name.strip().split("."))
    if not equals or not all(key):
        raise ConfigError(f"-o takes KEY=VALUE, for example -o solver.lr=1e-3; found {override!r}")
    value = _override_value(override, key, text.strip())
    section = values
    for part in key[:-1]:
        if not isinstance(section.setdefault(part, {}), dict):
            raise ConfigError(f"-o {override}: {part!r} is a value, not a section")
        section = section[part]
    section[key[-1]] = value
    places[key] = f"-o {override[:SHOWN]}"


def _override_value(override: str, key: Key, text: str) -> Any:  # noqa: ANN401 - any plain value
    """The value of one override: a text as it is, unless it stands in quotes; anything else is YAML."""
    if key in text_keys() or ".".join(key) not in set(key_names(TrainingConfig)):  # an unknown one is reported as such
        quoted = text[:1] in ("'", '"') and text[:1] == text[-1:]
        try:
            value, _ = parse_yaml(text) if quoted else (text, None)
        except ValueError:
            return text
        return value if isinstance(value, str) else text
    try:
        return parse_yaml(text, is_text=lambda inner: (*key, *inner) in text_keys())[0]
    except ValueError as error:
        raise ConfigError(f"-o {override[:SHOWN]}: the value is not plain YAML: {error}") from None
