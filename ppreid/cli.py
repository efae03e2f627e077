"""The command line.

    ppreid train -c demo.yaml        the same as        python tools/train.py -c demo.yaml

Exit codes: 0 done; 1 unexpected error, or a problem of the environment (doctor); 2 wrong configuration or arguments;
3 data; 4 weights; 5 clustering; 6 training; 7 evaluation; 130 interrupted (Ctrl-C, SIGINT); 143 ended by SIGTERM.
"""

import argparse
import sys
from collections.abc import Sequence

from ppreid.commands import (
    ablate,
    cluster,
    convert_weights,
    doctor,
    evaluate,
    export,
    extract,
    make_demo_data,
    predict,
    train,
)
from ppreid.commands.command import Command
from ppreid.engine.runlog import log_to_console
from ppreid.errors import Interrupted, PpreidError

COMMANDS: dict[str, Command] = {
    "train": train.COMMAND,
    "ablate": ablate.COMMAND,
    "eval": evaluate.COMMAND,
    "extract": extract.COMMAND,
    "export": export.COMMAND,
    "predict": predict.COMMAND,
    "cluster": cluster.COMMAND,
    "convert-weights": convert_weights.COMMAND,
    "doctor": doctor.COMMAND,
    "make-demo-data": make_demo_data.COMMAND,
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: command and arguments; None takes those of the process.

    Returns:
        Exit code, see the text of this module.
    """
    args = _parser().parse_args(argv)
    log_to_console()
    try:
        args.run(args)
    except PpreidError as error:
        if args.debug:
            raise
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except Interrupted as stop:
        print(stop, file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        if args.debug:
            raise
        print("interrupted", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    """Parser of all commands."""
    parser = argparse.ArgumentParser(prog="ppreid", description="Unsupervised person re-identification with ISE.")
    parsers = parser.add_subparsers(required=True, metavar="command")
    for name, command in COMMANDS.items():
        sub = parsers.add_parser(
            name,
            help=command.what,
            description=command.what,
            epilog=f"examples:\n{command.examples}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(sub)
        sub.add_argument("--debug", action="store_true", help="show the traceback of an error")
        sub.set_defaults(run=command.run)
    return parser


if __name__ == "__main__":
    sys.exit(main())
