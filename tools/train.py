"""Train without identity labels: `python tools/train.py -c CONFIG`; `--help` shows examples."""

import sys

from ppreid.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
