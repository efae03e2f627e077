"""Adapt a trained network to other images: `python tools/adapt.py RUN -o data.root=FOLDER`; `--help` shows examples."""

import sys

from ppreid.cli import main

if __name__ == "__main__":
    sys.exit(main(["adapt", *sys.argv[1:]]))
