"""Features with an exported network; `--help` shows examples."""

import sys

from ppreid.cli import main

if __name__ == "__main__":
    sys.exit(main(["predict", *sys.argv[1:]]))
