"""mAP and CMC of a trained network: `python tools/eval.py -c CONFIG`; `--help` shows examples."""

import sys

from ppreid.cli import main

if __name__ == "__main__":
    sys.exit(main(["eval", *sys.argv[1:]]))
