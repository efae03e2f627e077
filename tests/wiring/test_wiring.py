import numpy as np
import pytest

from ppreid import tables, wiring
from ppreid.base.errors import ConfigError
from ppreid.base.progress import Stopwatch
from ppreid.base.records import DatasetContents, ImageRecord, ReIDSplit
from ppreid.clustering.camera_jaccard import camera_jaccard_distance
from ppreid.clustering.jaccard import jaccard_distance
from ppreid.config.load import load_config
from ppreid.config.method import EvaluationModelConfig, LabelsConfig
from ppreid.config.schema import TrainingConfig, bn_chunks_per_pass


def test_a_clusterer_from_outside_can_be_used(tmp_path, monkeypatch):
    def mine(distances, *, min_samples):
        return np.full(distances.shape[0], min_samples)

    monkeypatch.setitem(tables.CLUSTERERS, "mine", tables.Clusterer(mine, looks_at_eps=False))
    path = tmp_path / "mine.yaml"
    path.write_text("labels: {clusterer: mine, min_samples: 7}")
    cfg = load_config(path)
    assert wiring.clusterer(cfg.labels)(np.zeros((3, 3))).tolist() == [7, 7, 7]


def test_a_data_set_from_outside_gets_its_root_and_the_keys_of_its_section(tmp_path, monkeypatch):
    split = ReIDSplit((ImageRecord("a.jpg", -1, -1),), (), ())
    calls = []
    row = tables.Dataset(lambda root, **settings: calls.append((root, settings)) or split, settings="camera_folder")
    monkeypatch.setitem(tables.DATASETS, "mine", row)
    data = TrainingConfig.model_validate({"data": {"name": "mine", "root": str(tmp_path)}}).data
    assert wiring.dataset(data) == DatasetContents(split)
    assert calls == [(tmp_path, data.camera_folder.model_dump())]
    assert wiring.published_counts(data) is None


@pytest.mark.parametrize("backbone", sorted(tables.BACKBONES))
def test_every_backbone_builds(backbone):
    model = wiring.reid_net(EvaluationModelConfig(backbone=backbone, base_width=8))
    dims = {"resnet18": 64, "resnet34": 64, "osnet": 64} | {f"vit_small{stem}": 48 for stem in ("", "_ics")}
    assert model.feature_dim == (dims | {f"vit_base{stem}": 96 for stem in ("", "_ics")}).get(backbone, 256)


def test_the_schedule_counts_steps_over_all_epochs():
    cfg = TrainingConfig()
    schedule = wiring.schedule(cfg)
    assert (schedule.epochs, schedule.iters) == (70, 400)
    assert schedule.learning_rate(35 * 400) == pytest.approx(3.5e-5)
    assert schedule.pli_degree(35 * 400) == pytest.approx(0.25 * np.log((np.e - 1) * 0.5 + 1))


@pytest.mark.parametrize(("epochs", "iters"), [(1, 1), (14, 30), (70, 400), (300, 7)])
def test_the_degree_ends_at_a_quarter_whatever_the_length_of_a_run(epochs, iters):
    solver = {"epochs": epochs, "iters": iters}
    for base in (1.0, 0.5):
        cfg = TrainingConfig.model_validate({"solver": solver, "ise": {"pli_base": base}})
        degree = wiring.schedule(cfg).pli_degree
        assert degree(0) == 0
        assert degree(epochs * iters) == pytest.approx(0.25 * base)


@pytest.fixture
def arguments_of_the_distance(monkeypatch):
    """Which arguments the function of a distance gets in an epoch: (positional, by name)."""

    def arguments(labels, epoch=0):
        calls = []
        row = tables.DISTANCES[labels.distance]
        spy = row._replace(function=lambda *args, **settings: calls.append((args, settings)))
        with monkeypatch.context() as patch:
            patch.setitem(tables.DISTANCES, labels.distance, spy)
            wiring.distance(labels, epoch)("features", "camids", stopwatch="watch")
        return calls[0]

    return arguments


@pytest.mark.parametrize(
    ("clusterer", "expected"), [("dbscan", 0.4), ("infomap", 0.4), ("hdbscan", 1.0), ("agglomerative", 1.0)]
)
def test_distances_are_pruned_only_where_the_clusterer_cannot_notice(clusterer, expected, arguments_of_the_distance):
    labels = LabelsConfig(clusterer=clusterer, eps=0.4, neighbours="ivf", num_probes=9)
    assert arguments_of_the_distance(labels) == (
        ("features",),
        {"k1": 30, "k2": 6, "max_distance": expected, "method": "ivf", "num_probes": 9, "stopwatch": "watch"},
    )


def test_the_first_epoch_of_ca_jaccard_averages_over_three_and_three(arguments_of_the_distance):
    found = [arguments_of_the_distance(LabelsConfig(distance="camera_jaccard"), epoch) for epoch in (0, 1, 2)]
    assert [(settings["k2_intra"], settings["k2_inter"]) for _, settings in found] == [(3, 3), (2, 4), (2, 4)]
    positional, settings = found[1]
    assert positional == ("features", "camids")
    assert set(settings) == {
        *("k1_intra", "k1_inter", "k2_intra", "k2_inter", "max_share"),
        *("max_distance", "method", "num_probes", "stopwatch"),
    }


def test_both_distances_are_those_of_the_room_and_time_their_stages(clustered_features):
    features, _ = clustered_features(40)
    camids = np.arange(40) % 2
    for labels, expected in (
        (LabelsConfig(k1=8, k2=3), jaccard_distance(features, k1=8, k2=3, max_distance=0.4)),
        (
            LabelsConfig(distance="camera_jaccard", clusterer="hdbscan", camera={"max_share": 1.0}),
            camera_jaccard_distance(features, camids, k1_intra=5, k1_inter=20, k2_intra=2, k2_inter=4),
        ),
    ):
        watch = Stopwatch()
        found = wiring.distance(labels, epoch=1)(features, camids, stopwatch=watch)
        assert (found != expected).nnz == 0
        assert list(watch.seconds) == ["neighbours", "jaccard"]


@pytest.mark.parametrize(("objective", "topk"), [("baseline", 0), ("ise_pli", 2), ("ise_lp", 2), ("ise", 2)])
def test_every_objective_but_the_baseline_makes_supports(objective, topk):
    cfg = TrainingConfig.model_validate({"ise": {"objective": objective, "topk": 2}})
    found = wiring.objective(cfg.ise, num_clusters=5).keywords
    assert found["topk"] == topk
    contrast, preserving = objective in ("ise", "ise_pli"), objective in ("ise", "ise_lp")
    assert (found["supports_in_contrast"], found["label_preserving"]) == (contrast, preserving)


@pytest.mark.parametrize(
    ("chunks", "processes", "accumulate", "expected"), [(4, 1, 1, 4), (4, 2, 1, 2), (4, 2, 2, 1), (4, 4, 1, 1)]
)
def test_the_parts_of_a_batch_are_shared_out_among_processes_and_passes(chunks, processes, accumulate, expected):
    cfg = TrainingConfig.model_validate({"model": {"bn_chunks": chunks}, "batch": {"accumulate": accumulate}})
    assert bn_chunks_per_pass(cfg, devices=processes) == expected


def test_processes_that_cannot_share_the_parts_are_told_what_to_set():
    with pytest.raises(ConfigError, match=r"2 processes .* set -o model.bn_chunks=2 or a multiple"):
        bn_chunks_per_pass(TrainingConfig(), devices=2)


def test_the_rate_falls_by_the_factor_of_the_configuration():
    cfg = load_config("ise_market1501.yaml", ["solver.lr_gamma=0.5", "solver.lr_step=20"])
    rate = wiring.schedule(cfg).learning_rate
    assert rate(20 * cfg.solver.iters) == pytest.approx(0.5 * rate(20 * cfg.solver.iters - 1))


@pytest.mark.parametrize("keys", [["batch.accumulate=2"], ["amp.level=O1"], ["amp.level=O1", "batch.accumulate=2"]])
def test_only_the_plain_case_is_the_network_once(keys):
    plain, other = (load_config("ise_market1501.yaml", overrides) for overrides in ([], keys))
    assert wiring.forward(plain.batch, plain.amp) is None
    assert wiring.forward(other.batch, other.amp) is not None


def test_the_last_epoch_is_evaluated_whatever_the_interval():
    cfg = load_config("ise_market1501.yaml", ["solver.epochs=7", "eval.every=3"])
    evaluates = wiring.schedule(cfg, can_evaluate=True).evaluates
    assert [epoch for epoch in range(7) if evaluates(epoch)] == [2, 5, 6]
    assert not any(map(wiring.schedule(cfg).evaluates, range(7)))
