"""Recordings to crops of people, in tracks: `python tools/crops.py SOURCE... --out DIR`; `--help` shows examples."""

import sys

from ppreid.cli import main

if __name__ == "__main__":
    sys.exit(main(["crops", *sys.argv[1:]]))
