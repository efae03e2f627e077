"""eval.within_tracks where there are no labels: in an index and its additions, and in error rates."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ppreid import wiring
from ppreid.base.errors import ConfigError, DataError
from ppreid.base.records import ids, tracks
from ppreid.config.load import load_config
from ppreid.datasets.colour import colour_features
from ppreid.disk.files import file_sha256
from ppreid.disk.tensor_file import load_tensors, save_tensors
from ppreid.evaluation.ranking import evaluate_distances
from ppreid.models.flip import FlipAveraged
from ppreid.search.files import CONFIG, MANIFEST
from ppreid.search.track_maps import MAPS
from ppreid.training.extract import extract_features
from ppreid.verbs.evaluate import evaluate
from ppreid.verbs.network import trained_network
from ppreid.verbs.search import Searcher, add_to_index, build_index
from ppreid.verbs.without_labels import evaluate_without_labels, measured
from ppreid.weights.files import save_weights
from ppreid.wiring import within_tracks

TRACKS = [r"data.track_pattern=(?P<track>\d+_c\d+s\d+)_(?P<frame>\d+)", "data.num_workers=0"]
ALL = ["eval.within_tracks=2", "eval.colour=0.4", "eval.camera_centre=5", "eval.flip=true"]
ALONE = ["eval.within_tracks=2", "eval.colour=0.4"]
pytestmark = [pytest.mark.filterwarnings("ignore:.*cameras have fewer"), pytest.mark.usefixtures("hard_demo")]


@pytest.fixture
def config(tiny_config, tmp_path):
    """Loads a configuration with tracks and with weights of a random network."""
    weights = tmp_path / "run" / "net.safetensors"
    weights.parent.mkdir()
    save_weights(weights, wiring.reid_net(load_config(tiny_config).model))
    fixed = [*TRACKS, f"model.weights={weights}", f"output_dir={weights.parent}"]
    return lambda *more: load_config(tiny_config, [*fixed, *more])


def similarities(index, queries, names, **settings):
    """(Q, G) cosines that an index finds, each camera's queries by themselves, of images in this order."""
    found, row_of = np.full((len(queries), len(names)), np.nan), {name: row for row, name in enumerate(names)}
    searcher = Searcher(index)
    for camid in sorted({record.camid for record in queries}):
        own = [row for row, record in enumerate(queries) if record.camid == camid]
        paths = [queries[row].path for row in own]
        for row, result in zip(own, searcher.search(paths, k=1000, camera=str(camid + 1), **settings), strict=True):
            for match in result.matches:
                found[row, row_of[match.path]] = match.similarity
    assert np.isfinite(found).all()
    return found


def oracle(cfg, records, *, weight, averaged):
    """Cosines (N, N) behind maps of network and colour: each the inverse of its covariance within the tracks."""
    split, total = wiring.dataset(cfg.data).split, 0.0
    model = trained_network(cfg.model, cfg.data).model
    network = FlipAveraged(model) if averaged else model

    def features(images):
        return extract_features(network, wiring.feature_loader(images, cfg.data, cfg.eval))

    for share, of in ((1 - weight, features), (weight, lambda images: colour_features(list(images)))):
        known, covariance = of(split.train).astype(np.float64), 0.0
        for track in set(tracks(split.train)[0].tolist()):
            own = known[tracks(split.train)[0] == track]
            covariance += sum(np.outer(row - own.mean(axis=0), row - own.mean(axis=0)) for row in own) / len(own)
        inverse = np.linalg.inv(covariance + 2.0 * np.trace(covariance) / len(covariance) * np.eye(len(covariance)))
        rows = of(records).astype(np.float64)
        products = rows @ inverse @ rows.T
        total += share * products / np.sqrt(np.outer(np.diag(products), np.diag(products)))
    return total


def test_a_search_ranks_as_the_labelled_evaluation_does(config, tmp_path):
    cfg = config(*ALL)
    build_index(cfg, tmp_path / "index")
    split = wiring.dataset(cfg.data).split
    cosines = similarities(tmp_path / "index", split.query, [record.path for record in split.gallery])
    (query_pids, query_camids), (gallery_pids, gallery_camids) = ids(split.query), ids(split.gallery)
    found = evaluate_distances(1 - cosines, query_pids, gallery_pids, query_camids, gallery_camids)
    assert 0 < found.mean_ap < 0.99
    assert found.mean_ap == pytest.approx(evaluate(cfg).mean_ap, abs=1e-9)
    build_index(config(*ALL[1:]), tmp_path / "without")
    without = similarities(tmp_path / "without", split.query, [record.path for record in split.gallery])
    assert np.abs(cosines - without).max() > 0.05


@pytest.mark.parametrize("method", ["exact", "ivf"])
@pytest.mark.parametrize("keys", [ALONE, ["eval.within_tracks=2", "eval.flip=true"]])
def test_cosines_are_those_of_plain_loops_and_an_addition_uses_the_same_maps(config, tmp_path, method, keys):
    cfg = config(*keys)
    split = wiring.dataset(cfg.data).split
    folders = [tmp_path / "crops", tmp_path / "more"]
    for number, record in enumerate(split.gallery):
        folders[number % 2].mkdir(exist_ok=True)
        shutil.copy(record.path, folders[number % 2])
    index = tmp_path / "index"
    build_index(cfg, index, images=folders[0], method=method)
    maps = file_sha256(index / MAPS)
    assert add_to_index(index, folders[1]) == len(list(folders[1].iterdir())) == 12
    assert file_sha256(index / MAPS) == maps
    queries = [record._replace(camid=-1) for record in split.query[:3]]
    names = [str(path) for folder in folders for path in sorted(folder.iterdir())]
    images = [*queries, *(queries[0]._replace(path=name) for name in names)]
    expected = oracle(cfg, images, weight=cfg.eval.colour, averaged=cfg.eval.flip)[:3, 3:]
    found = Searcher(index).search([record.path for record in queries], k=100, num_probes=1000)
    for row, result in zip(expected, found, strict=True):
        assert len(result.matches) == len(names) == 24
        got = {match.path: match.similarity for match in result.matches}
        np.testing.assert_allclose([got[name] for name in names], row, atol=2e-5)


@pytest.fixture
def index(config, tmp_path):
    build_index(config(*ALONE), tmp_path / "index")
    return tmp_path / "index"


def renewed(index, *names, **changes):
    """As somebody would change an index who knows of its checksums."""
    content = json.loads((index / MANIFEST).read_text())
    files = {**content["files"], **{name: file_sha256(index / name) for name in names}}
    (index / MANIFEST).write_text(json.dumps({**content, "files": files, **changes}))


@pytest.mark.parametrize("damage", ["truncated", "missing"])
def test_a_damaged_file_of_maps_is_found(index, damage):
    content = (index / MAPS).read_bytes()
    (index / MAPS).unlink()
    if damage == "truncated":
        (index / MAPS).write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"tracks\.safetensors is (missing|damaged or of another index)"):
        Searcher(index)


def _infinite(lower):
    lower[1, 0] = np.inf


def _singular(lower):
    lower[3, 3] = 0


def _full(lower):
    lower[0, 1] = 1


@pytest.mark.parametrize("change", [_infinite, _singular, _full])
def test_maps_that_no_index_writes_are_refused(index, change):
    tensors = load_tensors(index / MAPS).tensors
    change(tensors["colour"])
    save_tensors(index / MAPS, tensors, {})
    renewed(index, MAPS)
    with pytest.raises(DataError, match="holds no maps that fit the features of the index"):
        Searcher(index)


@pytest.mark.parametrize(
    "change",
    [
        lambda tensors: {"network": tensors["network"]},
        lambda tensors: {**tensors, "network": tensors["network"][:-1, :-1]},
        lambda tensors: {**tensors, "network": tensors["network"].astype(np.float32)},
    ],
)
def test_maps_of_other_features_are_refused(index, change):
    save_tensors(
        index / MAPS, {name: each.copy() for name, each in change(load_tensors(index / MAPS).tensors).items()}, {}
    )
    renewed(index, MAPS)
    with pytest.raises(DataError, match="holds no maps that fit the features of the index"):
        Searcher(index)


def test_how_an_index_compares_is_fixed(index, config):
    for override, text in (
        ("eval.within_tracks=3", "within tracks 2, not 3"),
        ("eval.flip=on", "images off, not aver"),
    ):
        with pytest.raises(ConfigError, match=f"was made with .*{text}.*; make another index for that"):
            Searcher(index, overrides=[override])
    with pytest.raises(ConfigError, match="holds an index, of other images or another network"):
        build_index(config("eval.within_tracks=3", "eval.colour=0.4"), index)
    content = json.loads((index / MANIFEST).read_text())
    del content["made_with"]["within tracks"]
    renewed(index, made_with=content["made_with"])
    with pytest.raises(DataError, match="list of files are not those of an index"):
        Searcher(index)


def test_an_index_from_before_there_were_maps_compares_as_it_did(config, tmp_path):
    """Then the configuration of an index had these keys, and nothing of them was done."""
    index, query = tmp_path / "index", wiring.dataset(config().data).split.query[0].path
    build_index(config("eval.colour=0.4"), index)
    before = Searcher(index).search([query])
    text = (index / CONFIG).read_text()
    for old, new in (("within_tracks: 0.0", "within_tracks: 2.0"), ("  flip: false", "  flip: true")):
        assert text.count(old) == 1
        text = text.replace(old, new)
    (index / CONFIG).write_text(text)
    renewed(index, CONFIG, version=2)
    assert not (index / MAPS).exists()
    assert Searcher(index).search([query]) == before
    assert add_to_index(index, Path(query).parent) == 8
    assert Searcher(index).search([query], k=100)[0].matches[0].similarity <= 1 and not (index / MAPS).exists()
    with pytest.raises(ConfigError, match="within tracks off, not 2"):
        Searcher(index, overrides=["eval.within_tracks=2"])


def test_an_interrupted_call_learns_once(config, tmp_path, monkeypatch):
    from ppreid.search import index as made

    cfg, learned, real = config(*ALONE), [], within_tracks.learned_maps

    def counted(*arguments):
        learned.append(1)
        return real(*arguments)

    monkeypatch.setattr(within_tracks, "learned_maps", counted)
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(made, "write_manifest", lambda *_: 1 / 0)
        build_index(cfg, tmp_path / "index")
    assert build_index(cfg, tmp_path / "index") == build_index(cfg, tmp_path / "index") == 24
    assert learned == [1]
    build_index(config("eval.within_tracks=3"), tmp_path / "index", overwrite=True)
    assert learned == [1, 1] and not (tmp_path / "index" / MAPS).exists()
    assert load_tensors(tmp_path / "index" / "made_0001" / MAPS).tensors.keys() == {"network"}


def test_an_index_says_what_it_lacks_to_learn(config, tmp_path):
    query = Path(wiring.dataset(config().data).split.query[0].path)
    with pytest.raises(DataError, match=r"(?s)these cannot be read: .*data\.root=FOLDER.*eval\.within_tracks: off"):
        build_index(config(*ALONE, f"data.root={tmp_path}"), tmp_path / "index", images=query.parent)
    with pytest.raises(DataError, match=r"eval\.within_tracks needs images whose track is known, and there is none"):
        build_index(config(*ALONE, "data.track_pattern="), tmp_path / "index")


def test_error_rates_are_of_what_a_search_compares(config):
    cfg = config(*ALONE, "data.frame_rate=1")
    split = wiring.dataset(cfg.data).split
    found = evaluate_without_labels(cfg)
    records = [*split.query, *split.gallery]
    rows = np.linalg.cholesky(oracle(cfg, records, weight=0.4, averaged=False) + 1e-9 * np.eye(len(records)))
    expected = measured(rows.astype(np.float32), records)
    assert found.auc == pytest.approx(expected.auc, abs=1e-4) and found.same == pytest.approx(expected.same, abs=1e-4)
    plain = evaluate_without_labels(config("eval.colour=0.4", "data.frame_rate=1"))
    assert found.same != pytest.approx(plain.same, abs=1e-3)


def test_the_verdict_needs_the_threshold_of_the_same_maps(config, tmp_path, monkeypatch):
    rate = "data.frame_rate=1"
    found = evaluate_without_labels(config(*ALONE, rate))
    query = wiring.dataset(config().data).split.query[0].path

    def verdicts(*keys, **settings):
        build_index(config(*keys, rate), tmp_path / "index", overwrite=True, **settings)
        return {
            (match.similarity >= found.same, match.verdict)
            for match in Searcher(tmp_path / "index").search([query])[0].matches
        }

    assert verdicts(*ALONE) <= {(True, "same person"), (False, "not sure"), (False, "other")}
    assert {verdict for _, verdict in verdicts("eval.colour=0.4", "eval.within_tracks=3")} == {""}
    assert {verdict for _, verdict in verdicts(*ALONE, "eval.flip=true")} == {""}
    cameras = r"data.track_pattern=(?P<track>000)\d_c\ds\d_(?P<frame>\d+)"  # other tracks of the same images
    assert {verdict for _, verdict in verdicts(*ALONE, cameras)} == {""}
