"""Features of an index centred by camera, each of network and colour by itself, and searches with both."""

import numpy as np
import pytest

from ppreid import wiring
from ppreid.base.errors import ConfigError
from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.datasets.colour import COLOUR_DIM, colour_features
from ppreid.datasets.image_file import load_image
from ppreid.disk.features import read_features
from ppreid.neighbours.camera_centre import CameraCentres
from ppreid.search.centred import centring_of
from ppreid.search.files import part_file
from ppreid.verbs.search import Searcher, add_to_index, build_index
from ppreid.weights.files import save_weights

pytestmark = pytest.mark.filterwarnings("ignore:.*cameras have fewer")


def unit_rows(n, dim, *, seed=0):
    rows = np.random.default_rng(seed).standard_normal((n, dim))
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


CAMIDS = np.array([0, 0, 1, 1, 1, -1])


def test_network_and_colour_are_centred_each_by_itself():
    network, colour = unit_rows(6, 4), unit_rows(6, COLOUR_DIM, seed=1)
    stored = np.concatenate([np.sqrt(0.7) * network, np.sqrt(0.3) * colour], axis=1).astype(np.float32)
    centred = centring_of([stored[:2], stored[2:]], CAMIDS, shrinkage=2.0, colour_weight=0.3)
    own = [CameraCentres(each, CAMIDS, shrinkage=2.0).subtracted_from(each, CAMIDS) for each in (network, colour)]
    expected = 0.7 * own[0] @ own[0].T + 0.3 * own[1] @ own[1].T
    found = centred(stored, CAMIDS)
    np.testing.assert_allclose(found @ found.T, expected, atol=1e-5)


def test_a_row_that_is_its_mean_stays_as_it_was():
    row = unit_rows(1, 4)
    np.testing.assert_array_equal(centring_of([row], np.array([0]), shrinkage=100.0)(row, np.array([0])), row)


@pytest.fixture
def config(tiny_config, tmp_path):
    weights = tmp_path / "net.safetensors"
    save_weights(weights, wiring.reid_net(load_config(tiny_config).model))
    return lambda *more: load_config(tiny_config, [f"model.weights={weights}", *more])


HOW = ("eval.camera_centre=5", "eval.colour=0.4")


def test_a_search_compares_as_evaluation_does_also_after_an_addition(config, tiny_root, tmp_path):
    """By plain products of features that are centred by the means of all images that the index has by then."""
    index, demo = tmp_path / "index", tiny_root / "demo"
    build_index(
        config(
            *HOW,
            "data.name=camera_folder",
            "data.camera_folder.camera=regex",
            "data.camera_folder.pattern=_(?P<camera>c.)",
            f"data.root={demo / 'bounding_box_test'}",
        ),
        index,
    )
    for number, added in enumerate((None, demo / "bounding_box_train")):
        if added:
            assert add_to_index(index, added) == 48
        parts = [read_features(index / part_file(part)) for part in range(number + 1)]
        features, camids = (np.concatenate([getattr(p, name) for p in parts]) for name in ("features", "camids"))
        names = [name for part in parts for name in part.names]
        cfg = config()
        records = wiring.dataset(cfg.data).split.query[:3]
        queries = wiring.feature_extractor(cfg, wiring_model(cfg))(records)
        queries = np.concatenate([np.sqrt(0.6) * queries, np.sqrt(0.4) * colour_features(records)], axis=1)
        centred = centring_of([features], camids, shrinkage=5.0, colour_weight=0.4)
        unknown = np.full(len(records), -1)
        cosines = centred(queries, unknown) @ centred(features, camids).T
        found = Searcher(index).search([record.path for record in records], k=5)
        for row, result in zip(cosines, found, strict=True):
            best = np.argsort(-row)[:5]
            np.testing.assert_allclose([match.similarity for match in result.matches], row[best], atol=1e-5)
            assert result.matches[0].path == names[best[0]]
        in_memory = Searcher(index).search([load_image(record.path) for record in records], k=5)
        assert [result.matches for result in in_memory] == [result.matches for result in found]


def wiring_model(cfg):
    from ppreid.verbs.network import trained_network

    return trained_network(cfg.model, cfg.data).model


def test_how_an_index_compares_is_fixed(config, tmp_path, capsys):
    cfg = config(*HOW)
    build_index(cfg, tmp_path / "index")
    with pytest.raises(ConfigError, match=r"share of colour 0.4, not 0.9; make another index for that"):
        Searcher(tmp_path / "index", overrides=["eval.colour=0.9"])
    with pytest.raises(ConfigError, match="centred by camera 5, not off"):
        Searcher(tmp_path / "index", overrides=["eval.camera_centre=off"])
    with pytest.raises(ConfigError, match="approximate search cannot follow"):
        build_index(cfg, tmp_path / "other", method="ivf")


def test_the_option_sets_the_share_of_colour(tiny_config, config, tmp_path):
    config()
    command = ["search", "index", "-c", str(tiny_config), "-o", f"model.weights={tmp_path / 'net.safetensors'}"]
    assert main([*command, "--out", str(tmp_path / "index"), "--colour", "0.25"]) == 0
    features = read_features(tmp_path / "index" / part_file(0)).features
    np.testing.assert_allclose((features[:, -COLOUR_DIM:] ** 2).sum(axis=1), 0.25, atol=1e-4)
