"""A small ViT through the commands: trained by its recipe, evaluated, extracted, exported, searched."""

import json
import warnings

import numpy as np
import pytest

from ppreid.base.errors import ConfigError, PpreidWarning
from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.disk.features import read_features
from ppreid.disk.tensor_file import load_tensors, read_facts
from ppreid.run.folder import BEST, CONFIG, LAST
from ppreid.verbs.index_network import open_index
from ppreid.verbs.network import trained_network
from ppreid.verbs.train import train
from ppreid.weights.network import own_settings

COLOURS = ["data.mean=[0.5, 0.5, 0.5]", "data.std=[0.5, 0.5, 0.5]"]
RECIPE = [
    *COLOURS,
    "model.backbone=vit_small_ics",
    "model.base_width=2",
    "model.drop_path=0.3",
    "model.bn_chunks=2",
    "solver.optimizer=sgd",
    "solver.momentum=0.9",
    "solver.lr=0.01",
    "memory.update=hard",
    "ise.objective=baseline",
]


@pytest.fixture(scope="module")
def run(write_tiny_config, tmp_path_factory):
    """Folder of a finished run."""
    folder = tmp_path_factory.mktemp("vit")
    train(load_config(write_tiny_config(folder), RECIPE))
    return folder / "run"


def with_weights(run):
    return ["-c", str(run / CONFIG), "-o", f"model.weights={run / BEST}"]


def test_the_recipe_trains(run):
    before = own_settings(run / LAST)
    assert before["data.mean"] == before["data.std"] == "[0.5, 0.5, 0.5]"
    facts = read_facts(run / LAST)
    assert facts["config"]["solver"]["optimizer"] == "sgd"
    assert [row["epoch"] for row in facts["history"]] == [0, 1, 2]
    assert any(name.endswith("velocity_0") for name in load_tensors(run / LAST).tensors)


def test_evaluation_and_both_engines_agree(run, tmp_path):
    found = []
    for engine in ("eager", "inference"):
        arguments = [*with_weights(run), "-o", f"output_dir={tmp_path / engine}", "-o", f"eval.engine={engine}"]
        assert main(["eval", *arguments]) == 0
        found.append(json.loads((tmp_path / engine / "results.json").read_text())["results"]["mean_ap"])
    assert found[0] == pytest.approx(found[1], abs=1e-3)


@pytest.mark.slow
def test_export_predict_and_search_see_the_same_colours(run, tiny_root, tmp_path):
    images = tiny_root / "demo" / "query"
    assert main(["extract", *with_weights(run), "--images", str(images), "--out", str(tmp_path / "e.npy")]) == 0
    expected = read_features(tmp_path / "e.npy")
    assert main(["export", *with_weights(run), "--out", str(tmp_path / "net"), "--formats", "paddle"]) == 0
    description = json.loads((tmp_path / "net" / "export.json").read_text())
    assert description["input"]["mean"] == description["input"]["std"] == [0.5, 0.5, 0.5]
    assert main(["predict", str(tmp_path / "net"), str(images), "--out", str(tmp_path / "p.npy")]) == 0
    np.testing.assert_allclose(read_features(tmp_path / "p.npy").features, expected.features, rtol=0, atol=1e-4)

    index = str(tmp_path / "index")
    assert main(["search", "index", *with_weights(run), "--images", str(images), "--out", index]) == 0
    photo = sorted(images.iterdir())[0]
    assert main(["search", "query", index, str(photo), "--top", "3", "--json", str(tmp_path / "found.json")]) == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert photo.name in json.dumps(found)
    with pytest.raises(ConfigError, match=r"was made with colours .*0\.5.*, not those of ImageNet"):
        open_index(tmp_path / "index", ["data.mean=[0.485,0.456,0.406]", "data.std=[0.229,0.224,0.225]"])
    assert load_config(tmp_path / "index" / "config.yaml", alone=True).data.mean == [0.5, 0.5, 0.5]


def test_other_colours_than_the_network_was_trained_with_are_said(run, tmp_path):
    arguments = [*with_weights(run), "-o", f"output_dir={tmp_path / 'eval'}"]
    for changes, is_said in ((["data.mean=[0.4, 0.5, 0.5]"], True), ([], False)):
        cfg = load_config(run / CONFIG, [arguments[3], *changes])
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PpreidWarning)
            trained_network(cfg.model, cfg.data)
        texts = [str(each.message) for each in caught if "was trained with" in str(each.message)]
        assert bool(texts) is is_said
        if is_said:
            expected = "data.mean=[0.5, 0.5, 0.5], here it is [0.4, 0.5, 0.5]; pass -o 'data.mean=[0.5, 0.5, 0.5]'"
            assert texts[0].endswith(expected)


def test_a_stem_whose_batch_is_one_part_is_said(tiny_config):
    cfg = load_config(tiny_config, [*RECIPE, "model.bn_chunks=1", "solver.epochs=1", "solver.iters=1"])
    with pytest.warns(PpreidWarning, match="vit_small_ics was published with batch normalisation over 64 or 128"):
        train(cfg)


@pytest.mark.parametrize(
    ("overrides", "text"),
    [
        (["model.backbone=vit_small", "model.pooling=gem"], "model.pooling is gem, of which model.backbone vit_small"),
        (["model.backbone=vit_base", "model.pooling=max"], "model.pooling is max"),
        (["model.backbone=vit_small", "model.last_stride=2"], "model.last_stride is 2"),
        (["model.drop_path=0.1"], "model.drop_path is 0.1, of which model.backbone resnet18 knows nothing"),
        (["model.position_ratio=1"], "model.position_ratio is 1"),
        (["model.drop_path=1"], "less than 1"),
        (["data.mean=[0.5, 0.5]"], "data.mean"),
        (["data.std=[0.5, 0.5, 0]"], "greater than 0"),
        (["solver.momentum=1"], "less than 1"),
        (["solver.optimizer=adamw"], "did you mean 'adam'"),
    ],
)
def test_what_does_not_go_together_is_refused(tiny_config, overrides, text):
    with pytest.raises(ConfigError, match=text):
        load_config(tiny_config, overrides)


def test_images_that_are_no_patches_are_refused(tiny_config):
    cfg = load_config(tiny_config, [*RECIPE, "data.height=40"])
    with pytest.raises(ConfigError, match=r"patches of 16x16 pixels, and data.height x data.width is 40x16"):
        train(cfg)
