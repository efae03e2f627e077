"""A trained network as files for other programs, checked; `--help` shows examples."""

import sys

from ppreid.cli import main

if __name__ == "__main__":
    sys.exit(main(["export", *sys.argv[1:]]))
