"""Configuration keys and complete configurations; `--help` shows examples."""

import sys

from ppreid.cli import main

if __name__ == "__main__":
    sys.exit(main(["config", *sys.argv[1:]]))
