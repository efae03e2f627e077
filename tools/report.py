"""Make the report of a run, or compare runs: `python tools/report.py RUN`; `--help` shows examples."""

import sys

from ppreid.cli import main

if __name__ == "__main__":
    sys.exit(main(["report", *sys.argv[1:]]))
