import json
import logging
import shutil

import numpy as np
import pytest

from ppreid import tables
from ppreid.base.errors import ClusteringError, ConfigError, DataError, PpreidWarning, TrainingError
from ppreid.config.load import load_config
from ppreid.disk.tensor_file import load_tensors
from ppreid.run.checkpoint_set import AUTO
from ppreid.run.folder import BAD_IMAGES, BEST, CONFIG, ENVIRONMENT, LABELS, LAST, LOG, METRICS, PREVIOUS, RESULTS
from ppreid.run.metrics import read_metrics
from ppreid.training import loop
from ppreid.verbs.evaluate import evaluate
from ppreid.verbs.train import train


def without_seconds(folder):
    rows = read_metrics(folder / METRICS)
    return [{key: row[key] for key in row if key not in ("seconds", "stage_seconds", "peak_memory_gb")} for row in rows]


def same_tensors(a, b):
    one, other = load_tensors(a).tensors, load_tensors(b).tensors
    assert one.keys() == other.keys()
    for name, array in one.items():
        np.testing.assert_array_equal(array, other[name], err_msg=name)


def test_a_run_trains_evaluates_and_leaves_everything_behind(tiny_config, tmp_path, caplog):
    caplog.set_level(logging.INFO, "ppreid")  # what goes to the log file
    history = train(load_config(tiny_config))
    run = tmp_path / "run"
    assert {file.name for file in run.iterdir()} == {CONFIG, ENVIRONMENT, METRICS, LOG, LABELS, LAST, PREVIOUS, BEST}
    assert [row["epoch"] for row in history] == [0, 1, 2]
    rows = read_metrics(run / METRICS)
    assert [row["event"] for row in rows] == ["evaluation", "epoch", "evaluation", "epoch", "evaluation", "summary"]
    for row in rows:
        if row["event"] == "epoch":
            assert row["clusters"] >= 2
            assert np.isfinite([row["loss"], row["loss_contrast"], row["loss_lp"]]).all()
            assert set(row["stage_seconds"]) >= {"extract", "neighbours", "jaccard", "cluster", "train"}
            assert 0 < row["pli_degree"] < 0.25
            assert set(row["label_quality"]) == {"ari", "nmi", "mixed_clusters", "split_identities"}
    best = max(history[1:], key=lambda row: row["mAP"])
    assert rows[-1]["best"]["epoch"] == best["epoch"]

    # the checkpoints are what was evaluated
    for name, row in ((LAST, history[-1]), (BEST, best)):
        cfg = load_config(run / CONFIG, [f"model.weights={run / name}", f"output_dir={tmp_path / 'eval'}"])
        result = evaluate(cfg)
        assert 100 * result.mean_ap == pytest.approx(row["mAP"], abs=1e-9)
        results = json.loads((tmp_path / "eval" / RESULTS).read_text())
        assert results["results"]["mean_ap"] == pytest.approx(result.mean_ap)
        assert len(results["weights"]["sha256"]) == 64


def test_the_resolved_configuration_gives_the_same_run(tiny_config, tmp_path):
    train(load_config(tiny_config))
    again = load_config(tmp_path / "run" / CONFIG, [f"output_dir={tmp_path / 'again'}"])
    train(again)
    assert without_seconds(tmp_path / "run") == without_seconds(tmp_path / "again")
    same_tensors(tmp_path / "run" / LAST, tmp_path / "again" / LAST)
    assert (tmp_path / "run" / LABELS).read_text() == (tmp_path / "again" / LABELS).read_text()


def test_the_number_of_workers_does_not_change_the_run(tiny_config, tmp_path):
    train(load_config(tiny_config, ["solver.epochs=1"]))
    train(load_config(tiny_config, ["solver.epochs=1", "data.num_workers=2", f"output_dir={tmp_path / 'two'}"]))
    assert without_seconds(tmp_path / "run") == without_seconds(tmp_path / "two")
    same_tensors(tmp_path / "run" / LAST, tmp_path / "two" / LAST)


def test_a_resumed_run_equals_an_uninterrupted_one(tiny_config, tmp_path, monkeypatch):
    train(load_config(tiny_config))
    stopped = tmp_path / "stopped"
    cfg = load_config(tiny_config, [f"output_dir={stopped}"])
    real, calls = loop.ClusterMemory, []

    def stop_in_second_epoch(*args, **kwargs):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    monkeypatch.setattr(loop, "ClusterMemory", stop_in_second_epoch)
    with pytest.raises(KeyboardInterrupt):
        train(cfg)
    monkeypatch.setattr(loop, "ClusterMemory", real)
    train(cfg, resume=AUTO)
    assert without_seconds(tmp_path / "run") == without_seconds(stopped)
    same_tensors(tmp_path / "run" / LAST, stopped / LAST)


def test_training_reads_no_identity(tiny_config, tiny_root, tmp_path):
    """Names of the training images with shuffled identities lead to the same weights."""
    train(load_config(tiny_config))
    root = tmp_path / "shuffled"
    shutil.copytree(tiny_root, root)
    folder = root / "demo" / "bounding_box_train"
    for number, file in enumerate(sorted(folder.iterdir())):  # the order of the names stays as it is
        camera = file.name.split("_")[1]
        file.rename(folder / f"{number + 1:04d}_{camera}_999999_00.jpg")
    train(load_config(tiny_config, [f"data.root={root}", f"output_dir={tmp_path / 'other'}"]))
    same_tensors(tmp_path / "run" / LAST, tmp_path / "other" / LAST)


@pytest.mark.parametrize("row", ["baseline", "ise_pli", "ise_lp"])
def test_every_row_of_the_ablation_trains(tiny_config, row):
    history = train(load_config(tiny_config, ["solver.epochs=1", f"ise.objective={row}"]))
    assert len(history) == 2


@pytest.mark.filterwarnings("ignore::ppreid.base.errors.PpreidWarning")  # some find fewer clusters than a batch wants
@pytest.mark.parametrize(
    "override",
    [
        "memory.update=sequential",
        "labels.distance=camera_jaccard",
        "labels.clusterer=agglomerative",
        "labels.clusterer=hdbscan",
        "model.bn_chunks=2",
        "model.pooling=gem",
        "model.embedding_dim=16",
        "eval.protocol=market1501_trapezoid",
    ],
)
def test_other_choices_train(tiny_config, override):
    history = train(load_config(tiny_config, ["solver.epochs=1", "solver.iters=2", override]))
    assert np.isfinite(history[-1]["mAP"])


def test_a_run_in_parts_of_the_batch_is_the_run_on_whole_batches(tiny_config, tmp_path):
    """One epoch only: in the next one a label may hang on the last digit of a distance."""
    one_epoch = ["solver.epochs=1", "model.bn_chunks=4"]
    train(load_config(tiny_config, one_epoch))
    train(load_config(tiny_config, [*one_epoch, "batch.accumulate=2", f"output_dir={tmp_path / 'parts'}"]))
    whole, parts = (read_metrics(tmp_path / name / METRICS)[1] for name in ("run", "parts"))
    for name in ("loss", "loss_contrast", "loss_lp"):
        assert parts[name] == pytest.approx(whole[name], rel=1e-3)


def test_a_smaller_device_gets_a_scaled_recipe_that_can_be_run_again(tiny_config, tmp_path, caplog):
    with caplog.at_level(logging.INFO, "ppreid"):
        train(load_config(tiny_config, ["solver.epochs=1", "batch.per_device=8"]))
    assert "recipe: 16 images a step; here 1 device x 8: batch.identities 4 -> 2, solver.iters 3 -> 6" in caplog.text
    run, again = tmp_path / "run", tmp_path / "again"
    train(load_config(run / CONFIG, [f"output_dir={again}"]))
    assert without_seconds(run) == without_seconds(again)
    same_tensors(run / LAST, again / LAST)


def test_an_earlier_run_is_kept_unless_overwrite(tiny_config):
    cfg = load_config(tiny_config, ["solver.epochs=1", "solver.iters=1"])
    train(cfg)
    with pytest.raises(ConfigError, match="holds an earlier run"):
        train(cfg)
    train(cfg, overwrite=True)


def test_no_cluster_is_an_error_that_says_what_to_change(tiny_config):
    with pytest.raises(ClusteringError, match=r"all 48 images are outliers .*labels\.eps"):
        train(load_config(tiny_config, ["labels.min_samples=40"]))


def test_one_cluster_trains_without_supports(tiny_config, monkeypatch):
    one = tables.Clusterer(lambda distances, **_: np.zeros(distances.shape[0], np.int64))
    monkeypatch.setitem(tables.CLUSTERERS, "dbscan", one)
    with pytest.warns(PpreidWarning) as caught:
        history = train(load_config(tiny_config, ["solver.epochs=1"]))
    text = "\n".join(str(warning.message) for warning in caught)
    assert "only 1 clusters exist; 0 supports per image this epoch" in text
    assert np.isfinite(history[-1]["mAP"])


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_checkpoint(tiny_config, tmp_path, monkeypatch):
    row = tables.OBJECTIVES["ise"]
    real = tables.resolve(row.function)

    def broken_in_second_epoch(features, labels, centroids, degree, **settings):
        terms = real(features, labels, centroids, degree, **settings)
        if degree > 0.14:
            terms = terms._replace(total=terms.total * float("nan"))
        return terms

    monkeypatch.setitem(tables.OBJECTIVES, "ise", row._replace(function=broken_in_second_epoch))
    with pytest.raises(TrainingError, match="loss, gradient became NaN or infinite"):
        train(load_config(tiny_config))
    assert load_tensors(tmp_path / "run" / LAST).facts["epoch"] == 1


def test_an_unreadable_image_stops_the_run_or_is_left_out(tiny_config, tiny_root, tmp_path):
    root = tmp_path / "damaged"
    shutil.copytree(tiny_root, root)
    victim = sorted((root / "demo" / "bounding_box_train").iterdir())[5]
    victim.write_bytes(victim.read_bytes()[:100])
    overrides = [f"data.root={root}", "solver.epochs=1"]
    with pytest.raises(DataError, match=victim.name):
        train(load_config(tiny_config, overrides))
    with pytest.warns(PpreidWarning, match=r"1 unreadable images are left out \(train 1\); they are listed in"):
        train(load_config(tiny_config, [*overrides, "data.on_bad_image=skip"]), overwrite=True)
    assert victim.name in (tmp_path / "run" / BAD_IMAGES).read_text()
    assert victim.name not in (tmp_path / "run" / LABELS).read_text()


def test_evaluation_needs_trained_weights(tiny_config):
    with pytest.raises(ConfigError, match=r"model\.weights is 'none'"):
        evaluate(load_config(tiny_config))


def test_a_missing_data_set_shows_what_was_expected(tiny_config, tmp_path):
    with pytest.raises(DataError, match="bounding_box_train"):
        train(load_config(tiny_config, [f"data.root={tmp_path}", "data.name=market1501"]))
