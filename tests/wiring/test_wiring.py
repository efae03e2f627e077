import numpy as np
import pytest

from ppreid import tables, wiring
from ppreid.base.errors import ConfigError
from ppreid.config.choices import BUILTIN_CHOICES
from ppreid.config.load import load_config
from ppreid.config.schema import EvaluationModelConfig, TrainingConfig
from ppreid.processes.ranks import Ranks


def test_the_names_known_before_paddle_are_those_of_the_tables():
    assert tables.choices() == {key: set(names) for key, names in BUILTIN_CHOICES.items()}


def test_a_clusterer_from_outside_can_be_used(tmp_path, monkeypatch):
    monkeypatch.setitem(tables.CLUSTERERS, "mine", lambda distances, cfg: np.full(distances.shape[0], cfg.min_samples))
    path = tmp_path / "mine.yaml"
    path.write_text("labels: {clusterer: mine, min_samples: 7}")
    cfg = load_config(path, choices=tables.choices())
    assert wiring.clusterer(cfg.labels)(np.zeros((3, 3))).tolist() == [7, 7, 7]


@pytest.mark.parametrize("backbone", sorted(BUILTIN_CHOICES["model.backbone"]))
def test_every_backbone_builds(backbone):
    model = wiring.reid_net(EvaluationModelConfig(backbone=backbone, base_width=8))
    assert model.feature_dim == (64 if backbone in ("resnet18", "resnet34") else 256)


def test_the_schedule_counts_steps_over_all_epochs():
    cfg = TrainingConfig()
    schedule = wiring.schedule(cfg, epoch=35)
    assert (schedule.steps[0], schedule.steps[-1]) == (35 * 400, 36 * 400 - 1)
    assert schedule.learning_rate(schedule.steps[0]) == pytest.approx(3.5e-5)
    assert schedule.pli_degree(35 * 400) == pytest.approx(0.25 * np.log((np.e - 1) * 0.5 + 1))


@pytest.mark.parametrize(("clusterer", "expected"), [("dbscan", 0.4), ("infomap", 0.4), ("hdbscan", 1.0)])
def test_distances_are_pruned_only_where_the_clusterer_cannot_notice(clusterer, expected, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(f"labels: {{clusterer: {clusterer}, eps: 0.4}}")
    assert wiring.distance(load_config(path).labels, 0).distance.keywords["max_distance"] == expected


def test_the_first_epoch_of_ca_jaccard_averages_over_three_and_three(monkeypatch, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text("labels: {distance: camera_jaccard}")
    cfg = load_config(path).labels
    k2 = ("k2_intra", "k2_inter")
    monkeypatch.setattr(tables, "camera_jaccard_method", lambda **settings: tuple(settings[name] for name in k2))
    assert [wiring.distance(cfg, epoch) for epoch in (0, 1, 2)] == [(3, 3), (2, 4), (2, 4)]


@pytest.mark.parametrize(
    ("chunks", "processes", "accumulate", "expected"), [(4, 1, 1, 4), (4, 2, 1, 2), (4, 2, 2, 1), (4, 4, 1, 1)]
)
def test_the_parts_of_a_batch_are_shared_out_among_processes_and_passes(chunks, processes, accumulate, expected):
    model, batch = {"bn_chunks": chunks}, {"accumulate": accumulate}
    cfg = TrainingConfig.model_validate({"model": model, "batch": batch}, context={"choices": tables.choices()})
    assert wiring.bn_chunks_per_pass(cfg, Ranks(0, processes)) == expected


def test_processes_that_cannot_share_the_parts_are_told_what_to_set():
    with pytest.raises(ConfigError, match=r"2 processes .* set -o model.bn_chunks=2 or a multiple"):
        wiring.bn_chunks_per_pass(TrainingConfig(), Ranks(1, 2))
