"""Published files of weights; `--help` shows examples."""

import sys

from ppreid.cli import main

if __name__ == "__main__":
    sys.exit(main(["weights", *sys.argv[1:]]))
