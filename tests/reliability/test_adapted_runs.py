"""A run with frozen stages that is stopped anywhere goes on bit for bit, also where its maps are gone."""

import pytest
from faults import VARIABLE

from ppreid import wiring
from ppreid.base.errors import DataError, Interrupted
from ppreid.config.load import load_config
from ppreid.disk.tensor_file import load_tensors
from ppreid.run.checkpoint_set import AUTO
from ppreid.run.folder import BEST, LAST, METRICS
from ppreid.run.metrics import read_metrics
from ppreid.verbs.train import train
from ppreid.weights.files import save_weights


@pytest.fixture(scope="module")
def weights(write_tiny_config, tmp_path_factory):
    """A file to start from."""
    folder = tmp_path_factory.mktemp("weights")
    save_weights(folder / "net.safetensors", wiring.reid_net(load_config(write_tiny_config(folder)).model))
    return folder / "net.safetensors"


def options(weights, *more):
    return ["model.frozen_stages=3", f"model.weights={weights}", *more]


@pytest.fixture(scope="module")
def unstopped(write_tiny_config, tmp_path_factory, weights):
    """Folder of a run that nobody stopped."""
    folder = tmp_path_factory.mktemp("unstopped")
    train(load_config(write_tiny_config(folder), options(weights, "ema.decay=0.5")))
    return folder / "run"


def stopped(cfg, monkeypatch, step, **settings):
    monkeypatch.setenv(VARIABLE, f"step={step}:SIGTERM")
    with pytest.raises(Interrupted, match="stopped by SIGTERM"):
        train(cfg, **settings)
    monkeypatch.delenv(VARIABLE)


def assert_equal(run, unstopped):
    for name in (LAST, BEST):
        found, wanted = load_tensors(run / name).tensors, load_tensors(unstopped / name).tensors
        assert found.keys() == wanted.keys()
        assert not [key for key, array in wanted.items() if array.tobytes() != found[key].tobytes()]
    found, wanted = ([row["mAP"] for row in read_metrics(each / METRICS) if "mAP" in row] for each in (run, unstopped))
    assert found == wanted and len(wanted) == 3


@pytest.mark.parametrize(("step", "are_gone"), [(2, False), (4, True)])
def test_a_run_on_kept_maps_goes_on_bit_for_bit(tiny_config, tmp_path, monkeypatch, weights, unstopped, step, are_gone):
    cfg = load_config(tiny_config, options(weights, "ema.decay=0.5", "data.num_workers=2"))
    stopped(cfg, monkeypatch, step)
    run = tmp_path / "run"
    maps = {file.name: file.read_bytes() for file in run.glob("maps_*.npy")}
    assert len(maps) == 2  # of images and of mirror images
    if are_gone:
        for file in run.glob("maps_*"):
            file.unlink()
        cfg = cfg.model_copy(update={"model": cfg.model.model_copy(update={"weights": str(tmp_path / "moved")})})
    train(cfg, resume=AUTO)
    assert {file.name: file.read_bytes() for file in run.glob("maps_*.npy")} == maps
    assert_equal(run, unstopped)


def test_maps_that_are_damaged_are_not_trained_on(tiny_config, tmp_path, monkeypatch, weights):
    cfg = load_config(tiny_config, options(weights))
    stopped(cfg, monkeypatch, 2)
    file = sorted((tmp_path / "run").glob("maps_*.npy"))[0]
    content = bytearray(file.read_bytes())
    content[-5] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match=r"maps_\w+\.npy is damaged: it does not match its checksum"):
        train(cfg, resume=AUTO)


def test_an_overwritten_run_takes_its_maps_along(tiny_config, tmp_path, weights):
    train(load_config(tiny_config, options(weights, "solver.epochs=1", "augment.flip=0")))
    before = list((tmp_path / "run").glob("maps_*"))
    train(load_config(tiny_config, ["solver.epochs=1"]), overwrite=True)
    assert len(before) == 3 and not list((tmp_path / "run").glob("maps_*"))
