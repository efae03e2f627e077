"""Runs of an ablation side by side, each in a process of its own; only for ablate --jobs and --devices."""

import ctypes
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import ppreid
from ppreid.base.errors import (
    ClusteringError,
    ConfigError,
    DataError,
    EvaluationError,
    Interrupted,
    PpreidError,
    TrainingError,
    WeightsError,
    WriteError,
)
from ppreid.config.load import config_text
from ppreid.config.schema import TrainingConfig
from ppreid.disk.checks import make_folder
from ppreid.disk.files import write_text
from ppreid.run.stop import StopSignals, stop_signals
from ppreid.tables import PLUGINS
from ppreid.verbs.ablate import Ended

# the working directory is no place of modules: it may be the folder of a stranger
PROGRAM = "import sys; del sys.path[0]; from ppreid.cli import main; sys.exit(main())"
_KINDS = (ConfigError, DataError, WeightsError, ClusteringError, TrainingError, EvaluationError)
_DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of prctl(2)
_LOOK_SECONDS = 0.2


class _Child(NamedTuple):
    """A run under way.

    Attributes:
        cfg: of the run.
        process: that trains.
        said: what it writes to standard error.
        device: that it has; "" where none is shared out.
    """

    cfg: TrainingConfig
    process: subprocess.Popen[bytes]
    said: IO[bytes]
    device: str


def train_side_by_side(runs: Sequence[tuple[TrainingConfig, bool]], *, jobs: int, devices: Sequence[str] = ()) -> Ended:
    """Train several runs at a time, each as `ppreid train` would; gives the output_dir of each that ends.

    With it comes what it failed of, where another may do better (clustering, training). A signal is passed on: the runs
    save and stop, and then this raises. Where this process is killed they do as well.

    Args:
        runs: configurations, each with an output_dir of its own, and whether an earlier run in it is replaced.
        jobs: processes at a time.
        devices: GPUs by number, one for each process that runs; empty: as each configuration says.

    Raises:
        PpreidError: a run failed of something else; the others saved and stopped.
        Interrupted: a signal came.
    """
    waiting, running, free = list(runs), list[_Child](), list(devices)
    with stop_signals() as stop:
        try:
            while running or (waiting and not stop.requested):
                while waiting and len(running) < jobs and not stop.requested:
                    running.append(_start(*waiting.pop(0), device=free.pop(0) if devices else "", jobs=jobs))
                ended = [child for child in running if child.process.poll() is not None]
                for child in ended:
                    running.remove(child)
                    free.append(child.device)
                    error = _error_of(child)
                    if stop.requested:
                        continue
                    if error is not None and not isinstance(error, ClusteringError | TrainingError):
                        raise error
                    yield child.cfg.output_dir, error
                _pass_on(stop, running)
                time.sleep(0 if ended else _LOOK_SECONDS)
        finally:  # of an error, here or where the runs are waited for
            for child in running:
                child.process.terminate()
            for child in running:
                child.process.wait()
        if stop.requested:
            raise Interrupted(stop.requested)


def _start(cfg: TrainingConfig, is_replaced: bool, *, device: str, jobs: int) -> _Child:
    """Begin or go on with a run."""
    folder = Path(cfg.output_dir)
    file = folder.with_name(f"{folder.name}.yaml")
    make_folder(folder.parent)
    write_text(file, config_text(cfg))
    plugins = [part for plugin in PLUGINS.values() for part in ("--plugin", plugin.source)]
    how = ["--overwrite"] if is_replaced else ["--resume"]
    environment = dict(os.environ)
    places = [str(Path(ppreid.__file__).parent.parent), environment.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // jobs)))
    if device:
        environment["CUDA_VISIBLE_DEVICES"] = device
    said = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the run has ended
    libc = ctypes.CDLL(None)
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "train", "-c", str(file), *how, *plugins],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=said,
        start_new_session=True,  # a Ctrl-C comes once, from here
        preexec_fn=lambda: libc.prctl(_DIE_WITH_PARENT, signal.SIGTERM) if hasattr(libc, "prctl") else None,
    )
    return _Child(cfg, process, said, device)


def _pass_on(stop: StopSignals, running: list[_Child]) -> None:
    """Send a signal that came to the runs, once: a second one would end them without saving."""
    if stop.requested:
        for child in running:
            child.process.send_signal(stop.requested)
        for child in running:
            child.process.wait()


def _error_of(child: _Child) -> PpreidError | None:
    """What a run that has ended said; None where it is done."""
    with child.said:
        child.said.seek(0)
        lines = child.said.read().decode(errors="replace").strip().splitlines()
    code = child.process.returncode
    if not code:
        return None
    if code < 0:  # it could not say so itself
        how = f"the run in {child.cfg.output_dir} was ended by {signal.Signals(-code).name}"
        return PpreidError(f"{how}; its log.txt says how far it came, and the same command goes on with it")
    begins = next((number for number, line in enumerate(lines) if line.startswith("error: ")), len(lines) - 1)
    text = "\n".join(lines[begins:]).removeprefix("error: ")
    if code == WriteError.exit_code:
        return WriteError(None, text)
    kinds: dict[int, Any] = {kind.exit_code: kind for kind in _KINDS}
    return kinds.get(code, PpreidError)(text or f"the run in {child.cfg.output_dir} ended with exit code {code}")
