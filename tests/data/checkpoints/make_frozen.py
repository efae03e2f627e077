"""Makes the frozen checkpoint of the current format, in the middle of the second epoch of a tiny run.

    python tests/data/checkpoints/make_frozen.py

Run once for each checkpoint.FORMAT; the file is never made again. The images have the names of the test suite's tiny
data set, so that the run can go on with it.
"""

import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np

TESTS = Path(__file__).parents[2]
sys.path[:0] = [str(TESTS), str(TESTS / "reliability"), str(TESTS.parent)]

from conftest import write_tiny_data  # noqa: E402
from faults import faults  # noqa: E402

from ppreid.base.errors import Interrupted  # noqa: E402
from ppreid.config.load import load_config  # noqa: E402
from ppreid.run.checkpoint import FORMAT  # noqa: E402
from ppreid.run.folder import LAST  # noqa: E402
from ppreid.verbs.train import train  # noqa: E402

with tempfile.TemporaryDirectory() as name:
    write_tiny_data(Path(name) / "data", np.random.default_rng(0))
    overrides = [f"data.root={name}/data", f"output_dir={name}/run"]
    try:
        with faults("step=4:SIGTERM"):
            train(load_config(Path(__file__).with_name("frozen.yaml"), overrides))
    except Interrupted:
        target = Path(__file__).with_name(f"format_{FORMAT}.safetensors")
        shutil.copyfile(Path(name) / "run" / LAST, target)
        print(f"written: {target}, {target.stat().st_size:,} bytes")
