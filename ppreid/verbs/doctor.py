"""ppreid doctor, tools/doctor.py."""

import argparse
import json
from pathlib import Path

from ppreid.base.errors import ConfigError, DataError, PpreidError
from ppreid.disk.files import write_text
from ppreid.doctor.findings import findings_to_dict, format_findings, has_problem
from ppreid.doctor.machine import check_packages
from ppreid.run.log import logger
from ppreid.verbs.command import add_config_arguments, read_config

EXAMPLES = """\
  python tools/doctor.py -c ise_market1501.yaml
  python tools/doctor.py -c ise_msmt17.yaml -o data.root=/datasets --data-only --json findings.json
  python tools/doctor.py --environment-only

Exit codes: 0 no problem (there may be warnings); 3 a problem with the data set; 1 problems with the environment only.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command line takes."""
    add_config_arguments(parser, default="base.yaml")
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--data-only", action="store_true", help="check the data set and nothing else")
    group.add_argument("--environment-only", action="store_true", help="check everything but the data set")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the findings, with all files concerned")


def run(args: argparse.Namespace) -> None:
    """Do what the command line asks for."""
    cfg = read_config(args)
    packages = check_packages()
    if has_problem(packages):  # the import below needs all of them
        logger.info("packages\n%s", format_findings(packages))
        _write(args.json, packages, [])
        raise PpreidError("packages are missing or broken; nothing else was checked")
    from ppreid.app import diagnose

    environment, data = diagnose(cfg, environment=not args.data_only, data=not args.environment_only)
    _write(args.json, environment, data)
    if has_problem(data):
        raise DataError("the data set has problems, see above")
    if has_problem(environment):
        raise PpreidError("the environment has problems, see above")


def _write(path: Path | None, environment: list, data: list) -> None:
    if path:
        try:  # in ASCII, which has an escape for every file name, also for one that is no UTF-8
            write_text(path, json.dumps(findings_to_dict(environment, data), indent=2) + "\n")
        except OSError as error:
            raise ConfigError(f"--json {path} cannot be written: {error}") from error
        logger.info("written: %s", path)
