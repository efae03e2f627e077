"""Runs with the methods beyond ISE: resumed, in parts, in two processes, and what is evaluated."""

import numpy as np
import pytest
from faults import VARIABLE
from launched import run_ranks

from ppreid.base.errors import ConfigError, Interrupted
from ppreid.config.load import load_config
from ppreid.disk.tensor_file import load_tensors
from ppreid.run.checkpoint import read_checkpoint
from ppreid.run.checkpoint_set import AUTO
from ppreid.run.folder import LABELS, LAST, METRICS, TWIN
from ppreid.run.metrics import read_metrics
from ppreid.verbs.evaluate import evaluate
from ppreid.verbs.train import train

CAMERAS = ["ise.contrast_weights=camera_entropy", "memory.update=chd", "memory.momentum=0.1"]
REFINE = ["refine.weight=1.0", "refine.max_clusters=40", "refine.radius=0.7", "model.pooling=gem"]
PROXIES = ["camera_proxies.weight=0.5"]
EMA = ["ema.decay=0.9"]
# everything together, so that one run shows that parts go together
ALL = [*CAMERAS, *REFINE, *PROXIES, *EMA]
TIMES = {"seconds", "stage_seconds", "peak_memory_gb"}


def rows(folder):
    return [{key: value for key, value in row.items() if key not in TIMES} for row in read_metrics(folder / METRICS)]


def assert_same(one, two):
    tensors, others = (load_tensors(folder / LAST).tensors for folder in (one, two))
    assert tensors.keys() == others.keys()
    for name, array in tensors.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)
    assert rows(one) == rows(two)


@pytest.fixture(scope="module")
def uninterrupted(write_tiny_config, tmp_path_factory):
    """Folder of a run with everything that nobody disturbed."""
    folder = tmp_path_factory.mktemp("beyond")
    train(load_config(write_tiny_config(folder), ALL))
    return folder / "run"


@pytest.mark.parametrize("step", [2, 5])
def test_a_run_that_was_stopped_in_an_epoch_goes_on_bit_for_bit(
    uninterrupted, tiny_config, tmp_path, monkeypatch, step
):
    cfg = load_config(tiny_config, ALL)
    monkeypatch.setenv(VARIABLE, f"step={step}:SIGTERM")
    with pytest.raises(Interrupted):
        train(cfg)
    monkeypatch.delenv(VARIABLE)
    assert len(read_checkpoint(tmp_path / "run" / LAST).progress.kept) == 6  # neighbours and proxies, three each
    train(cfg, resume=AUTO)
    assert_same(tmp_path / "run", uninterrupted)
    network, other = (load_tensors(folder / TWIN).tensors for folder in (tmp_path / "run", uninterrupted))
    for name, array in network.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_losses_and_both_networks_are_in_the_numbers(uninterrupted, tiny_config, tmp_path):
    epochs = [row for row in rows(uninterrupted) if row["event"] == "epoch"]
    assert all(row["loss_refine"] > 0 and row["loss_camera"] >= 0 and row["loss_contrast"] > 0 for row in epochs)
    for row in epochs:
        parts = row["loss_contrast"] + 0.1 * row["loss_lp"] + row["loss_refine"] + row["loss_camera"]
        assert row["loss"] == pytest.approx(parts, rel=1e-5)
    before, *evaluated = [row for row in rows(uninterrupted) if row["event"] == "evaluation"]
    assert "twin: mAP" not in before and evaluated
    for name, prefix in ((LAST, ""), (TWIN, "twin: ")):
        cfg = load_config(tiny_config, [f"model.weights={uninterrupted / name}", "model.pooling=gem"])
        assert 100 * evaluate(cfg, overwrite=True).mean_ap == pytest.approx(evaluated[-1][f"{prefix}mAP"], abs=1e-4), (
            name
        )
    assert evaluated[-1]["twin: mAP"] != evaluated[-1]["mAP"]


def test_the_head_is_trained_starts_on_the_centroids_and_is_no_part_of_features(uninterrupted):
    tensors = load_tensors(uninterrupted / LAST).tensors
    head = tensors["model.auxiliary.weight"]
    assert head.shape == (40, 512 // 8) and "optimizer.auxiliary.weight/moment1_0" in tensors
    clusters = [row for row in rows(uninterrupted) if row["event"] == "epoch"][-1]["clusters"]
    norms = np.linalg.norm(head, axis=1)
    np.testing.assert_allclose(norms[:clusters], 1.0, atol=0.1)
    assert norms[clusters:].max() < 0.5
    assert not [name for name in tensors if name.startswith("twin.auxiliary")]
    assert not [name for name in load_tensors(uninterrupted / TWIN).tensors if "auxiliary" in name]


def test_another_method_cannot_go_on_with_a_run(uninterrupted, write_tiny_config, tmp_path):
    cfg = load_config(write_tiny_config(tmp_path), [*ALL, "refine.alpha=0.2", "ema.decay=0.5"])
    with pytest.raises(ConfigError, match=r"(?s)refine\.alpha: 0\.1 then, 0\.2 now.*ema\.decay: 0\.9 then, 0\.5 now"):
        train(cfg, resume=str(uninterrupted))


def test_a_loss_that_starts_later_leaves_the_epochs_before_it_alone(tiny_config, tmp_path, monkeypatch):
    """And a checkpoint of before, whose head has no moments yet, goes on."""
    cfg = load_config(tiny_config, [*REFINE, *PROXIES, "refine.start_epoch=1", "camera_proxies.start_epoch=1"])
    monkeypatch.setenv(VARIABLE, "step=2:SIGTERM")
    with pytest.raises(Interrupted):
        train(cfg)
    monkeypatch.delenv(VARIABLE)
    train(cfg, resume=AUTO)
    first, second = [row for row in rows(tmp_path / "run") if row["event"] == "epoch"]
    assert "loss_refine" not in first and "loss_camera" not in first
    assert second["loss_refine"] > 0 and "loss_camera" in second


def test_labels_may_come_from_the_twin(tiny_config, tmp_path):
    """A twin that hardly moves gives the labels of the first epoch again; the network itself has moved on."""
    still = ["ema.decay=0.999999", "ema.buffers=average", "ema.cluster=true", "solver.lr=0.01"]
    train(load_config(tiny_config, still))
    progress = [row for row in rows(tmp_path / "run") if row["event"] == "epoch"]
    assert progress[0]["clusters"] == progress[1]["clusters"]
    assert progress[1]["label_stability"] == pytest.approx(1.0)


def test_in_parts_the_numbers_are_the_same(write_tiny_config, tmp_path):
    found = []
    for accumulate in (1, 2):
        folder = tmp_path / str(accumulate)
        folder.mkdir()
        parts = ["model.bn_chunks=2", f"batch.accumulate={accumulate}", "solver.epochs=1"]
        train(load_config(write_tiny_config(folder), [*ALL, *parts]))
        found += [row for row in rows(folder / "run") if row["event"] == "epoch"]
    for name in ("loss_contrast", "loss_refine", "loss_camera"):
        assert found[1][name] == pytest.approx(found[0][name], rel=1e-3), name


@pytest.mark.slow
@pytest.mark.ranks
def test_two_processes_train_as_one_does(checkout, write_tiny_config, tmp_path_factory):
    alone, together = (tmp_path_factory.mktemp(name) for name in ("alone", "together"))
    settings = [*ALL, "model.bn_chunks=2"]
    train(load_config(write_tiny_config(alone), settings))
    options = [part for setting in settings for part in ("-o", setting)]
    script = checkout / "tests" / "reliability" / "faults.py"
    done = run_ranks([script, "train", "-c", write_tiny_config(together), *options])
    assert [code for code, _, _ in done] == [0, 0], done
    for one, two in zip(rows(alone / "run"), rows(together / "run"), strict=True):
        assert one.keys() == two.keys()
        for key, value in one.items():
            assert two[key] == (pytest.approx(value, rel=1e-4, abs=1e-4) if isinstance(value, float) else value), key
    assert (alone / "run" / LABELS).read_text() == (together / "run" / LABELS).read_text()
    weights = [load_tensors(folder / "run" / LAST).tensors for folder in (alone, together)]
    assert weights[0].keys() == weights[1].keys()
    for name, array in weights[0].items():
        # sums round differently, and the moments of a few steps of Adam are mostly noise
        if not name.startswith("optimizer."):
            np.testing.assert_allclose(weights[1][name], array, rtol=2e-3, atol=2e-3, err_msg=name)


def test_halves_are_trained_beside_the_whole_image_resumed_and_left_out_of_features(tiny_config, tmp_path, monkeypatch):
    halves = [*REFINE, "refine.parts=halves", *PROXIES, *EMA, "ema.cluster=true"]
    cfg = load_config(tiny_config, halves)
    monkeypatch.setenv(VARIABLE, "step=2:SIGTERM")
    with pytest.raises(Interrupted):
        train(cfg)
    monkeypatch.delenv(VARIABLE)
    assert read_checkpoint(tmp_path / "run" / LAST).progress.centroids.shape[1] == 3 * 64
    train(cfg, resume=AUTO)
    (tmp_path / "run").rename(tmp_path / "resumed")
    train(cfg)
    assert_same(tmp_path / "resumed", tmp_path / "run")
    tensors = load_tensors(tmp_path / "run" / LAST).tensors
    assert {"model.parts.necks.1.weight", "model.auxiliary.2.weight", "twin.parts.poolings.0.p"} <= tensors.keys()
    evaluated = [row for row in rows(tmp_path / "run") if row["event"] == "evaluation"][-1]
    for name, prefix in ((LAST, ""), (TWIN, "twin: ")):
        weights = [f"model.weights={tmp_path / 'run' / name}", "model.pooling=gem", "output_dir=" + str(tmp_path / "e")]
        found = evaluate(load_config(tiny_config, weights), overwrite=True)
        assert 100 * found.mean_ap == pytest.approx(evaluated[f"{prefix}mAP"], abs=1e-4), name
