"""Code of the user's own that puts rows into the tables: a file named on the command line, or an installed package.

A configuration, run, checkpoint or index only asks for a plugin by its name, and nothing in it leads to code. What
runs is a file that the command line names, or a package that somebody installed as a plugin of ppreid.
"""

import hashlib
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import Any, NamedTuple

from ppreid.base.errors import PluginError, PpreidWarning
from ppreid.base.reading import is_there, reading

GROUP = "ppreid.plugins"  # of entry points
MAX_BYTES = 1 << 20  # a method has some thousand; weights that were named by mistake have millions
_NAME = re.compile("[A-Za-z0-9_][A-Za-z0-9_-]{0,63}")  # of plugins and rows: they become parts of messages and folders
Tables = Mapping[str, Any]  # configuration key -> dict of its rows


class Plugin(NamedTuple):
    """A plugin of this process.

    Attributes:
        source: absolute path of its file, or its name where a package has it: what --plugin takes.
        sha256: of the file; of a package see `_of_package`.
        file: for messages.
        rows: configuration key and name of every row that it put into a table.
    """

    source: str
    sha256: str
    file: str
    rows: tuple[tuple[str, str], ...] = ()


def load_plugin(source: str, tables: Tables, loaded: dict[str, Plugin]) -> None:
    """Run a plugin, once, and note it; where it fails the tables are as they were.

    Args:
        source: path of a .py file, or the name of an entry point in GROUP of an installed package.
        tables: configuration key -> the dict that the plugin puts rows into.
        loaded: plugins of this process by name, which it is added to.

    Raises:
        PluginError: it cannot be found, read or run, puts no row into a table, or one in the place of another.
    """
    is_file = source.endswith(".py")
    if is_file and not is_there(source, PluginError):
        raise PluginError(f"cannot read the plugin {source}: there is no such file")
    name = Path(source).name.removesuffix(".py") if is_file else source
    if not _NAME.fullmatch(name):
        text = f"--plugin is {source[:200]!r}; it takes a file NAME.py, or the NAME of a plugin that is installed"
        raise PluginError(f"{text}; a name has letters, digits, _ and -")
    plugin, run = _of_file(Path(source), name) if is_file else _of_package(name)
    if name not in loaded:
        loaded[name] = plugin._replace(rows=_rows_of(run, plugin.file, tables))
    elif loaded[name].sha256 != plugin.sha256:
        raise PluginError(f"two plugins are called {name}: {loaded[name].file} and {plugin.file}; rename one of them")


def settled(wanted: Any, file: Path, tables: Tables, loaded: dict[str, Plugin]) -> Any:  # noqa: ANN401 - from a stranger
    """Answer what a configuration asks for: an installed plugin is loaded, a file only by the command line.

    Args:
        wanted: what stands under `plugins`: name -> the digest that was recorded, "" for any. Anything else is left to
            whoever checks the configuration.
        file: that asks.
        tables: see `load_plugin`.
        loaded: see `load_plugin`.

    Returns:
        Name and digest of all plugins of this process; what was not understood as it is.

    Raises:
        PluginError: a plugin is neither loaded nor installed, or cannot be loaded. Another digest is a warning.
    """
    texts = [each for pair in wanted.items() for each in pair] if isinstance(wanted, Mapping) else [None]
    if not all(isinstance(each, str) for each in texts) or not all(map(_NAME.fullmatch, wanted)):
        return wanted
    for name, recorded in wanted.items():
        if name not in loaded:
            if not any(point.name == name for point, _ in _installed()):
                raise PluginError(
                    f"{file} asks for the plugin {name}, whose code it cannot bring along: pass --plugin {name}.py, "
                    "the file with the code, or install the package that has it"
                )
            load_plugin(name, tables, loaded)
        if recorded and recorded != loaded[name].sha256:
            _say_changed(str(file), name, recorded[:12], loaded[name].sha256[:12])
    return digests(loaded)


def digests(loaded: Mapping[str, Plugin], values: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Name and digest of plugins, as they are recorded.

    Args:
        loaded: plugins by name.
        values: a configuration as nested dicts, to have only those whose rows it names; None has all.
    """

    def is_used(plugin: Plugin) -> bool:
        parts = [(*key.split("."), row) for key, row in plugin.rows]
        return values is None or any(values.get(section, {}).get(name) == row for section, name, row in parts)

    return {name: plugin.sha256 for name, plugin in loaded.items() if is_used(plugin)}


@cache
def _say_changed(file: str, name: str, recorded: str, found: str) -> None:
    """Once for each file, however often it is read."""
    text = f"{file} was made with another version of the plugin {name} (sha256 {recorded}..., here {found}...)"
    warnings.warn(f"{text}; results may differ", PpreidWarning, stacklevel=4)


def _of_file(file: Path, name: str) -> tuple[Plugin, Callable[[], None]]:
    """A plugin of one file, and what runs it."""
    with reading(file, PluginError), open(file, "rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    if len(content) > MAX_BYTES:
        raise PluginError(f"the plugin {file} has more than {MAX_BYTES:,} bytes; it cannot be the code of a method")

    def run() -> None:
        module = ModuleType(f"ppreid_plugin_{name}")
        module.__file__ = str(file)
        sys.modules[module.__name__] = module  # dataclasses look there
        # the bytes that the digest is of; an import would read again, perhaps from __pycache__
        exec(compile(content, str(file), "exec"), vars(module))  # noqa: S102

    return Plugin(str(file.absolute()), hashlib.sha256(content).hexdigest(), str(file)), run


def _places() -> list[str]:
    """Where packages are installed; not the working directory, which may be the folder of a stranger."""
    return [place for place in sys.path if place and os.path.realpath(place) != os.path.realpath(os.curdir)]


def _installed() -> Iterator[tuple[metadata.EntryPoint, str]]:
    """Plugins that are installed, with the names of their packages."""
    for package in metadata.distributions(path=_places()):
        yield from ((point, str(package.metadata["Name"])) for point in package.entry_points if point.group == GROUP)


def _of_package(name: str) -> tuple[Plugin, Callable[[], None]]:
    """An installed plugin, and what runs it: its module is imported, and a function behind a colon is called.

    The digest is of all .py files of the package that the module is in, with their names; a single file has its own.
    """
    found = {point.value: (point, package) for point, package in _installed() if point.name == name}
    if not found:
        raise PluginError(f"no installed package has a plugin {name}; a file needs its suffix: --plugin {name}.py")
    if len(found) > 1:
        owners = " and ".join(sorted(package for _, package in found.values()))
        raise PluginError(f"{owners} have a plugin {name} each; uninstall one of them")
    ((point, _),) = found.values()
    spec = PathFinder.find_spec(point.module.partition(".")[0], _places())
    if spec is None or spec.origin is None:
        raise PluginError(f"the plugin {name} is installed as {point.value}, which is not there; install it anew")
    main = Path(spec.origin)
    files = sorted(main.parent.rglob("*.py")) if spec.submodule_search_locations else [main]
    with reading(main, PluginError):
        lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.relative_to(main.parent)}" for file in files]
    digest = lines[0][:64] if files == [main] else hashlib.sha256("\n".join(lines).encode()).hexdigest()

    def run() -> None:
        target = point.load()
        if point.attr:
            target()

    return Plugin(name, digest, spec.origin), run


def _rows_of(run: Callable[[], None], file: str, tables: Tables) -> tuple[tuple[str, str], ...]:
    """Key and name of the rows that a plugin puts into the tables."""
    before = {key: dict(table) for key, table in tables.items()}
    try:
        run()
        rows = [(key, name) for key, table in tables.items() for name in _new_names(file, key, before[key], table)]
        if not rows:
            raise PluginError(f"the plugin {file} registers nothing: it puts no row into a table (docs/extending.md)")
    except BaseException as error:
        for key, table in tables.items():
            table.clear()
            table.update(before[key])
        if isinstance(error, PluginError) or not isinstance(error, Exception | SystemExit):
            raise
        lines = [number for frame, number in walk_tb(error.__traceback__) if frame.f_code.co_filename == file]
        lines += [error.lineno] if isinstance(error, SyntaxError) and error.filename == file and error.lineno else []
        what = error.msg if isinstance(error, SyntaxError) else error
        text = f"the plugin {file}{f':{lines[-1]}' if lines else ''} failed: {type(error).__name__}: {what}"
        raise PluginError(text) from error
    return tuple(rows)


def _new_names(file: str, key: str, before: Mapping[str, Any], table: Mapping[str, Any]) -> list[str]:
    """Rows that a table has and had not.

    Raises:
        PluginError: one is no row of it, or one of before is another now.
    """
    if changed := [name for name, row in before.items() if table.get(name) is not row]:
        raise PluginError(f"the plugin {file} replaces {changed[0]!r} of {key}, which exists; take another name")
    kind = type(next(iter(before.values())))
    for name in (names := [name for name in table if name not in before]):
        if not (isinstance(name, str) and _NAME.fullmatch(name)):
            raise PluginError(f"the plugin {file} calls a row of {key} {name!r}; take letters, digits, _ and -")
        if not isinstance(table[name], kind):
            found = f"a {type(table[name]).__name__} for {name!r} of {key}"
            raise PluginError(f"the plugin {file} gives {found}; it takes a row, tables.{kind.__name__}(...)")
    return names
