"""ppreid config, tools/config.py."""

import argparse
import re
from difflib import get_close_matches

from ppreid.base.errors import ConfigError
from ppreid.config.load import config_text, load_config
from ppreid.disk.files import write_text
from ppreid.disk.places import STANDARD_OUTPUT
from ppreid.verbs.command import add_override
from ppreid.verbs.config_reference import ConfigKey, config_keys, reference_page, section_meanings

EXAMPLES = """\
  python tools/config.py --list
  python tools/config.py --list clustering
  python tools/config.py -c ise_market1501.yaml -o solver.lr=1e-3
  python tools/config.py -c demo.yaml -o output_dir=output/mine > mine.yaml

With -c it prints the complete configuration, checked, which is a configuration file itself.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    parser.add_argument("-c", "--config", help="YAML file, found by name")
    add_override(parser)
    parser.add_argument(
        "--list",
        nargs="?",
        const="",
        metavar="WORD",
        help="all keys, or those with WORD in their name, section, meaning or choices",
    )
    parser.add_argument("--reference", action="store_true", help="all keys as the page docs/configuration.md")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    if (args.config is not None) + (args.list is not None) + args.reference != 1:
        raise ConfigError("give either -c FILE, to print a configuration, or --list, to look keys up, or --reference")
    if args.reference:
        write_text(STANDARD_OUTPUT, reference_page())
    elif args.config is not None:
        write_text(STANDARD_OUTPUT, config_text(load_config(args.config, args.overrides)))
    else:
        write_text(STANDARD_OUTPUT, "".join(f"{describe(key)}\n" for key in find_keys(args.list)))


def find_keys(word: str) -> list[ConfigKey]:
    """Configuration keys that have to do with a word.

    Args:
        word: or its beginning, looked for in name, section, meaning and choices of every key; "" finds all.

    Raises:
        ConfigError: no key has it.
    """
    meanings, keys = section_meanings(), config_keys()
    texts = {key: f"{key.name} {key.meaning} {key.allowed} {meanings[key.section]}".lower() for key in keys}
    pattern = re.compile(rf"(?<![a-z]){re.escape(word.lower())}")  # at the start of a word: eps, but not steps
    found = [key for key, text in texts.items() if pattern.search(text)]
    if not found:
        words = {part for text in texts.values() for part in text.replace(".", " ").split()}
        nearest = get_close_matches(word.lower(), sorted(words), n=1)
        hint = f"; did you mean {nearest[0]}?" if nearest else ", which lists all keys with nothing behind --list"
        raise ConfigError(f"no configuration key has to do with {word!r}{hint}")
    return found


def describe(key: ConfigKey) -> str:
    """Name, type, range and default in one line, and below it the meaning."""
    facts = ", ".join(fact for fact in (key.kind, key.allowed.replace("\\|", "|"), f"default {key.default}") if fact)
    return f"{key.name}: {facts}\n    {key.meaning}"
