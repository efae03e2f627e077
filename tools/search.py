"""Find a person in a gallery of images; `--help` shows examples."""

import sys

from ppreid.cli import main

if __name__ == "__main__":
    sys.exit(main(["search", *sys.argv[1:]]))
