"""The paper's ablation, rows x seeds: `python tools/ablate.py -c CONFIG --seeds 3`; `--help` shows examples."""

import sys

from ppreid.cli import main

if __name__ == "__main__":
    sys.exit(main(["ablate", *sys.argv[1:]]))
