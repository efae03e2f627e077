"""The command line.

    ppreid train -c demo.yaml        the same as        python tools/train.py -c demo.yaml

Exit codes: 0 done; 1 unexpected error, or a problem of the environment (doctor); 2 wrong configuration or arguments;
3 data; 4 weights; 5 clustering; 6 training; 7 evaluation; 8 a file cannot be written; 130 interrupted (Ctrl-C, SIGINT);
143 ended by SIGTERM.
"""

import argparse
import platform
import sys
from collections.abc import Sequence
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version

import ppreid
from ppreid.base.environment import launched_processes
from ppreid.base.errors import ConfigError, Interrupted, PpreidError, unknown_choice
from ppreid.commands import (
    ablate,
    cluster,
    config,
    convert_weights,
    doctor,
    evaluate,
    export,
    extract,
    make_demo_data,
    predict,
    report,
    search,
    train,
)
from ppreid.commands.command import Command
from ppreid.run.log import log_to_console

COMMANDS: dict[str, Command] = {
    "train": train.COMMAND,
    "ablate": ablate.COMMAND,
    "eval": evaluate.COMMAND,
    "extract": extract.COMMAND,
    "export": export.COMMAND,
    "predict": predict.COMMAND,
    "search": search.COMMAND,
    "cluster": cluster.COMMAND,
    "convert-weights": convert_weights.COMMAND,
    "report": report.COMMAND,
    "doctor": doctor.COMMAND,
    "config": config.COMMAND,
    "make-demo-data": make_demo_data.COMMAND,
}

EXIT_CODES = """\
exit codes: 0 done, 2 configuration or arguments, 3 data, 4 weights, 5 clustering, 6 training, 7 evaluation,
  8 a file that cannot be written, 130 interrupted (Ctrl-C), 143 ended by SIGTERM,
  1 unexpected or (doctor) a problem of the environment"""
SEVERAL_PROCESSES = ("train", "eval")  # commands that paddle.distributed.launch may start


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: command and arguments; None takes those of the process.

    Returns:
        Exit code, see the text of this module.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    if not arguments:
        parser().print_help(sys.stderr)
        return 2
    debug = "--debug" in arguments
    try:
        args = _parse(arguments)
        log_to_console()
        if launched_processes() > 1 and arguments[0] not in SEVERAL_PROCESSES:
            raise ConfigError(f"{arguments[0]} runs in one process; start it without paddle.distributed.launch")
        args.run(args)
    except PpreidError as error:
        if debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        if debug:
            raise
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def parser() -> argparse.ArgumentParser:
    """Parser of all commands; programs that write shell completions take it (docs/command-line.md)."""
    whole = argparse.ArgumentParser(
        prog="ppreid",
        description="Unsupervised person re-identification with ISE.",
        epilog=f"ppreid COMMAND --help shows arguments and examples.\n\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whole.add_argument("--version", action="version", version=_versions())
    parsers = whole.add_subparsers(required=True, metavar="command")
    for name, command in COMMANDS.items():
        sub = parsers.add_parser(
            name,
            help=command.what,
            description=command.what,
            epilog=f"examples:\n{command.examples}\n{EXIT_CODES}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(sub)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        sub.set_defaults(run=command.run, options=list(sub._option_string_actions))
    return whole


def _parse(arguments: list[str]) -> argparse.Namespace:
    """Arguments as a namespace; a command or an option that does not exist is answered with the nearest one."""
    command = arguments[0]
    if not command.startswith("-") and command not in COMMANDS:
        raise ConfigError(unknown_choice("the command", command, COMMANDS))
    args, unknown = parser().parse_known_args(arguments)
    if unknown:
        nearest = get_close_matches(unknown[0], args.options, n=1)
        hint = f"did you mean {nearest[0]}? " if nearest else ""
        raise ConfigError(f"ppreid {command} does not take {unknown[0]!r}; {hint}ppreid {command} --help lists all")
    return args


def _versions() -> str:
    """Versions of ppreid, paddle and Python, found without importing paddle."""
    found = []
    for package in ("paddlepaddle", "paddlepaddle-gpu"):
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            continue
    return f"ppreid {ppreid.__version__}, {', '.join(found) or 'no paddle'}, Python {platform.python_version()}"


if __name__ == "__main__":
    sys.exit(main())
