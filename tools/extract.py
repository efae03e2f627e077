"""Features of a data set or of any folder of images, to a file; `--help` shows examples."""

import sys

from ppreid.cli import main

if __name__ == "__main__":
    sys.exit(main(["extract", *sys.argv[1:]]))
