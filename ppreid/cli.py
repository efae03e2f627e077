"""The command line.

    ppreid train -c demo.yaml        the same as        python tools/train.py -c demo.yaml

Exit codes: 0 done; 1 unexpected error, or a problem of the environment (doctor); 2 wrong configuration or arguments;
3 data; 4 weights; 5 clustering; 6 training; 7 evaluation; 8 a file cannot be written; 130 interrupted (Ctrl-C, SIGINT);
143 ended by SIGTERM.
"""

from __future__ import annotations

import signal
import sys
from typing import TYPE_CHECKING, NamedTuple, Protocol, cast

if TYPE_CHECKING:  # next to nothing is imported before `main` can answer Ctrl-C
    import argparse
    from collections.abc import Sequence


class Verb(NamedTuple):
    """One command, known before its module is imported.

    Attributes:
        module: below ppreid.verbs.
        what: one line for the help.
    """

    module: str
    what: str


class VerbModule(Protocol):
    """What the module of a verb has."""

    EXAMPLES: str  # worked examples for the help, three or more

    def add_arguments(self, parser: argparse.ArgumentParser) -> None:
        """Add its arguments to a parser."""

    def run(self, args: argparse.Namespace) -> None:
        """Do it, given the parsed arguments. Imports paddle only here, after the arguments were found good."""


VERBS: dict[str, Verb] = {
    "crops": Verb("crops", "recordings to crops of people, in tracks"),
    "train": Verb("train", "train without identity labels"),
    "adapt": Verb("adapt", "train the last stage of a trained network on other images"),
    "ablate": Verb("ablate", "the paper's ablation: rows x seeds, with means and spreads"),
    "eval": Verb("evaluate", "mAP and CMC of a trained network"),
    "extract": Verb("extract", "features of images to a file"),
    "export": Verb("export", "a network for programs without ppreid: Paddle Inference and ONNX"),
    "predict": Verb("predict", "features with an exported network, without training code"),
    "search": Verb("search", "find a person in a gallery of images"),
    "cluster": Verb("cluster", "pseudo labels, or what every eps would do"),
    "convert-weights": Verb("convert_weights", "weights of other code bases to ours, and back"),
    "weights": Verb("weights", "published files of weights: which there are, fetch one, look at one"),
    "report": Verb("report", "one page to look at a run, or to compare several"),
    "doctor": Verb("doctor", "check an environment and a data set before a long run"),
    "config": Verb("config", "look configuration keys up, or print a complete configuration"),
    "make-demo-data": Verb("make_demo_data", "draw pedestrians with the folders and names of Market-1501"),
}

EXIT_CODES = """\
exit codes: 0 done, 2 configuration or arguments, 3 data, 4 weights, 5 clustering, 6 training, 7 evaluation,
  8 a file that cannot be written, 130 interrupted (Ctrl-C), 143 ended by SIGTERM,
  1 unexpected or (doctor) a problem of the environment"""
ANYWHERE = {  # options of every command, which may stand anywhere
    "--debug": "show the traceback of an error",
    "--quiet": "say nothing on standard error but warnings and errors",
    "--progress-json": "show progress as JSON objects, one a line, on standard error",
}
_OF_ALL = ("-h", "--help", "--version")  # what may stand in the place of a command
SEVERAL_PROCESSES = ("train", "eval")  # commands that paddle.distributed.launch may start


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: command and arguments; None takes those of the process.

    Returns:
        Exit code, see the text of this module.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        import atexit

        from ppreid.run.log import log_to_console, open_standard_streams
        from ppreid.verbs.ending import Ending
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    open_standard_streams()
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_DFL)  # a late Ctrl-C ends the process without a traceback
    with Ending(debug="--debug" in arguments) as ending:
        from ppreid.base.environment import launched_processes
        from ppreid.base.errors import ConfigError
        from ppreid.base.progress import AS_JSON, AUTO, NOT_SHOWN, show_progress

        quiet, as_json = "--quiet" in arguments, "--progress-json" in arguments
        arguments = [argument for argument in arguments if argument not in ANYWHERE]
        if not arguments:
            parser([]).print_help(sys.stderr)
            return ConfigError.exit_code
        args = _parse(arguments)
        log_to_console(quiet=quiet)
        show_progress(AS_JSON if as_json else NOT_SHOWN if quiet else AUTO)
        if getattr(args, "plugins", ()):
            from ppreid.verbs.command import load_plugins

            load_plugins(args.plugins)
        if launched_processes() > 1 and arguments[0] not in SEVERAL_PROCESSES:
            raise ConfigError(f"{arguments[0]} runs in one process; start it without paddle.distributed.launch")
        verb_module(arguments[0]).run(args)
    return ending.code


def verb_module(name: str) -> VerbModule:
    """The module of a command, which is imported here."""
    from importlib import import_module

    return cast(VerbModule, import_module(f"ppreid.verbs.{VERBS[name].module}"))


def parser(names: Sequence[str] = tuple(VERBS)) -> argparse.ArgumentParser:
    """Parser of all commands; programs that write shell completions take it (docs/command-line.md).

    Args:
        names: commands whose arguments are wanted, which imports their modules; of the others there is only one line
            of help.
    """
    import argparse

    whole = argparse.ArgumentParser(
        prog="ppreid",
        description="Unsupervised person re-identification with ISE.",
        epilog=f"ppreid COMMAND --help shows arguments and examples.\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=_versions())
    parsers = whole.add_subparsers(required=True, metavar="command")
    for name, verb in VERBS.items():
        sub = parsers.add_parser(
            name,
            help=verb.what,
            description=verb.what,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if name in names:
            module = verb_module(name)
            sub.epilog = f"examples:\n{module.EXAMPLES}\n{EXIT_CODES}"
            module.add_arguments(sub)
            for option, meaning in ANYWHERE.items():
                sub.add_argument(option, action="store_true", help=meaning)
            sub.set_defaults(parser=sub)
    return whole


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Arguments as a namespace; a command or an option that does not exist is answered with the nearest one."""
    from ppreid.base.errors import ConfigError, unknown_choice

    if arguments[0] == "help":  # as other programs have it
        arguments = [*arguments[1:], "--help"]
    name = arguments[0]
    if name not in VERBS and name not in _OF_ALL:
        raise ConfigError(unknown_choice("the command", name, VERBS))
    args, unknown = parser([name]).parse_known_args(arguments)
    if unknown:
        from ppreid.verbs.ending import explain_unknown

        raise ConfigError(explain_unknown(unknown, args, args.parser))
    return args


def _versions() -> str:
    """Versions of ppreid, paddle and Python, found without importing paddle."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    import ppreid

    found = []
    for package in ("paddlepaddle", "paddlepaddle-gpu"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"ppreid {ppreid.__version__}, {', '.join(found) or 'no paddle'}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
