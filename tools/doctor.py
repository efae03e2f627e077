"""Check environment and data set before a long run: `python tools/doctor.py -c CONFIG`; `--help` shows examples."""

import sys

from ppreid.cli import main

if __name__ == "__main__":
    sys.exit(main(["doctor", *sys.argv[1:]]))
