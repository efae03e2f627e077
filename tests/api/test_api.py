"""The functions for programs and notebooks: they give what the commands give, bit for bit."""

import json
import logging
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import paddle
import pytest
from PIL import Image

import ppreid
from ppreid import wiring
from ppreid.api.person import override_texts
from ppreid.base.errors import ClusteringError, ConfigError, DataError, WeightsError
from ppreid.cli import main
from ppreid.config.load import config_text, load_config
from ppreid.disk.features import read_features
from ppreid.search.threshold import Threshold, write_threshold
from ppreid.weights.files import save_weights


@pytest.fixture(scope="module")
def trained_once(write_tiny_config, tiny_root, tmp_path_factory):
    """A folder with a run, in which two images have EXIF data that turn them."""
    folder = tmp_path_factory.mktemp("api")
    cfg = load_config(write_tiny_config(folder))
    (folder / "run").mkdir()
    (folder / "run" / "config.yaml").write_text(config_text(cfg), encoding="utf-8")
    for seed, name in enumerate(("checkpoint_best.safetensors", "checkpoint_last.safetensors")):
        paddle.seed(seed)
        save_weights(folder / "run" / name, wiring.reid_net(cfg.model))
    shutil.copytree(tiny_root / "demo" / "bounding_box_test", folder / "crops")
    for number, file in enumerate(sorted((folder / "crops").iterdir())[:2]):
        exif = Image.Exif()
        exif[0x0112] = 3 + number
        Image.open(file).save(file, exif=exif)
    return folder


@pytest.fixture
def here(trained_once, tmp_path, monkeypatch):
    """A copy of it, in which the test is."""
    shutil.copytree(trained_once, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def crops():
    return sorted(map(str, Path("crops").iterdir()))


def pixels(path):
    return np.array(Image.open(path).convert("RGB"))


def test_embedding_is_extraction_bit_for_bit(here):
    assert main(["extract", "run", "--images", "crops", "--out", "f.npy"]) == 0
    file = read_features(here / "f.npy")
    person = ppreid.load("run")
    features = person.embed(file.names)
    assert features.dtype == np.float32 and features.shape == (24, person.dim)
    assert np.array_equal(features, file.features)
    assert np.array_equal(person.embed(Image.open(name) for name in file.names), features)
    upright = file.names[2:]
    arrays = ppreid.load("run").embed([pixels(name) for name in upright])
    assert np.array_equal(arrays, person.embed(upright))
    assert np.array_equal(person.embed(np.stack([pixels(name) for name in upright])), arrays)
    with_workers = ppreid.load("run", {"data.num_workers": 2, "eval.batch_size": 16})
    assert np.array_equal(with_workers.embed([*file.names[:2], *map(pixels, upright)]), features)


def test_one_image_and_none(here):
    person = ppreid.load("run", network="last")
    one = crops()[5]
    assert np.array_equal(person.embed(one), person.embed([one]))
    assert np.array_equal(person.embed(pixels(one)), person.embed(Path(one)))
    assert person.embed([]).shape == (0, person.dim)
    assert "resnet18, 64 dimensions" in repr(person)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((8, 8, 3), np.float32), r"image 1 is an array of float32, \(8, 8, 3\); give RGB as uint8"),
        (np.zeros((8, 8), np.uint8), r"image 1 is an array of uint8, \(8, 8\)"),
        (np.zeros((0, 8, 3), np.uint8), r"image 1 is an array of uint8, \(0, 8, 3\)"),
        (7, "image 1 is a int; give a path, an image of Pillow or a numpy array"),
        ("nothing.jpg", "cannot read image nothing.jpg: the file does not exist"),
        (Image.new("F", (4, 4)), "cannot read image 1: floating-point pixels"),
    ],
)
def test_what_is_no_image(here, image, message):
    with pytest.raises(DataError, match=message):
        ppreid.load("run").embed([crops()[0], image])


def test_which_network(here):
    image = crops()[3]
    best, last = (ppreid.load("run", network=name).embed(image) for name in ("best", "last"))
    assert not np.array_equal(best, last)
    assert np.array_equal(ppreid.load("run").embed(image), best)
    file = here / "run" / "checkpoint_last.safetensors"
    overrides = {"model.weights": file, "data.mean": (0.485, 0.456, 0.406)}
    assert np.array_equal(ppreid.load(here / "run" / "config.yaml", overrides).embed(image), last)
    with pytest.raises(ConfigError, match="chooses among the networks of a run"):
        ppreid.load(file, network="best")
    with pytest.raises(WeightsError, match=r"ISE_M_model.pdparams"):
        ppreid.load("pd_model_trace/ISE/ISE_M_model.pdparams")
    with pytest.raises(ConfigError, match=r"Did you mean demo\.yaml"):
        ppreid.load("demmo")
    with pytest.raises(ConfigError, match="give them to load_config"):
        ppreid.evaluate(load_config("demo"), {"device": "cpu"})


def test_comparing_two_images(here):
    person = ppreid.load("run")
    first, second = crops()[3:5]
    found = person.compare(first, pixels(second))
    a, b = person.embed([first, second])
    assert float(found) == found.similarity == float(a @ b)
    assert found.verdict == "" and found.names == (first, "image 1")
    sha256 = person._trained.weights.sha256
    write_threshold(here / "run" / "threshold.json", Threshold(-0.9, -1, 0.01, sha256))
    assert repr(person.compare(first, second)).endswith(" (same person)")
    assert person.compare(first, second)._repr_html_().count('src="data:image/jpeg;base64,') == 2


def test_search_gives_what_the_command_gives(here):
    assert main(["search", "index", "run", "--images", "crops", "--out", "index"]) == 0
    queries = crops()[4:7]
    assert main(["search", "query", "index", *queries, "--top", "3", "--json", "found.json"]) == 0
    index = ppreid.open_index("index", {"device": "cpu"})
    found = index.search(queries, k=3)
    expected = json.loads(Path("found.json").read_text())
    assert [result.query for result in found] == [row["query"] for row in expected]
    for result, row in zip(found, expected, strict=True):
        assert [(match.path, match.similarity) for match in result.matches] == [
            (match["path"], match["similarity"]) for match in row["matches"]
        ]
    (in_memory,) = index.search(pixels(queries[0]), k=3)
    assert in_memory.query == "image 0"
    assert in_memory.matches[0].path == str(here / queries[0])  # it is not known to be this image of the index
    assert in_memory.matches[1:] == found[0].matches[:2]
    mixed = index.search([queries[1], pixels(queries[0])], k=3)
    assert [result.matches for result in mixed] == [found[1].matches, in_memory.matches]
    with pytest.raises(ConfigError, match="the camera of query image 0 is not known"):
        index.search(Image.open(queries[0]), other_cameras=True)


def test_an_index_is_made_from_a_run(here):
    index = ppreid.make_index("run", "mine", images="crops", overrides={"data.num_workers": 0})
    assert [result.query for result in index.search("crops")] == [str(here / name) for name in crops()]
    with pytest.raises(WeightsError, match="there is no weights file other"):
        ppreid.make_index("run", "mine", images="crops", overrides={"model.weights": "other"})


def test_unreadable_queries_are_left_out_and_those_in_memory_stay(here):
    index = ppreid.make_index("run", "mine", images="crops", overrides={"data.on_bad_image": "skip"})
    Path("bad.jpg").write_bytes(b"nothing")
    image = pixels(crops()[3])
    with pytest.warns(ppreid.base.errors.PpreidWarning, match=r"a query is left out: .*bad.jpg"):
        found = index.search(["bad.jpg", image, crops()[4]])
    assert [result.query for result in found] == ["image 1", str(here / crops()[4])]
    assert found[0] == index.search([crops()[5], image])[1]


def test_clustering_gives_what_the_command_gives(here):
    rng = np.random.default_rng(0)
    rows = np.repeat(rng.standard_normal((6, 16)), 10, axis=0) + 0.25 * rng.standard_normal((60, 16))
    features = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    cameras = ["hall", "yard"] * 30
    np.savez("f.npz", features=features, camids=np.arange(60) % 2)
    options = {"labels.k1": 10, "labels.k2": 3}
    for extra in ({}, {"labels.distance": "camera_jaccard", "labels.camera.max_share": 0.2}):
        texts = [part for text in override_texts(options | extra | {"labels.eps": 0.5}) for part in ("-o", text)]
        assert main(["cluster", "--features", "f.npz", "--out", "l.csv", *texts]) == 0
        expected = [int(line.split(",")[1]) for line in Path("l.csv").read_text().splitlines()[1:]]
        found = ppreid.cluster(features, cameras=cameras, eps=0.5, overrides=options | extra)
        assert found.labels.tolist() == expected
    assert repr(found) == "6 clusters and 0 outliers of 60 images"
    with pytest.raises(ClusteringError):
        ppreid.cluster(features, eps=1e-6, overrides=options)
    with pytest.raises(DataError, match="60 features and 2 cameras"):
        ppreid.cluster(features, cameras=[1, 2])
    with pytest.raises(DataError, match="not of unit norm"):
        ppreid.cluster(2 * features)
    with pytest.raises(ConfigError, match=r"labels\.eps"):
        ppreid.cluster(features, eps=2)


def test_training_gives_folder_and_metrics(here, tiny_config, tmp_path):
    found = ppreid.train(tiny_config, {"solver.epochs": 1, "eval.batch_size": 8})
    assert found.folder == tmp_path / "run"
    assert [row["epoch"] for row in found.evaluations] == [0, 1] and [row["epoch"] for row in found.epochs] == [1]
    assert found.metrics == found.evaluations[-1] and 0 < found.metrics["mAP"] <= 100
    assert repr(found).startswith(f"{found.folder}: 1 epochs, mAP ")
    assert ppreid.load(found.folder).embed(crops()).shape == (24, 64)
    last = ppreid.load(found.folder, network="last").embed(crops())
    shutil.copy(found.folder / "checkpoint_last.safetensors", "elsewhere.safetensors")
    for file in (found.folder / "checkpoint_last.safetensors", "elsewhere.safetensors"):
        assert np.array_equal(ppreid.load(file, {"eval.batch_size": 16}).embed(crops()), last)
    result = ppreid.evaluate(found.folder, {"data.num_workers": 0})
    assert 100 * result.mean_ap == pytest.approx(found.metrics["mAP"])
    with pytest.raises(ConfigError, match="holds an earlier run"):
        ppreid.train(tiny_config)
    again = ppreid.train(tiny_config, {"solver.epochs": 1, "eval.batch_size": 8}, resume="auto")
    assert [row["mAP"] for row in again.evaluations] == [row["mAP"] for row in found.evaluations]
    with pytest.raises(ConfigError, match="is for evaluation only"):
        ppreid.train("ResNet50_UReID_infer")
    with pytest.raises(ConfigError, match="give them to load_config"):
        ppreid.train(load_config(tiny_config), {"seed": 1})


def test_a_run_without_evaluations_has_no_metrics(tmp_path):
    from ppreid.api.shown import Trained

    found = Trained(tmp_path, [], [{"event": "epoch", "epoch": 1, "loss": 0.5}])
    assert found.metrics == {} and repr(found) == f"{tmp_path}: 1 epochs"
    assert "<td>0.50</td>" in found._repr_html_()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "a.b=true"),
        (1e-3, "a.b=0.001"),
        (np.float32(0.5), "a.b=0.5"),
        ((1, 2), "a.b=[1, 2]"),
        ("x: y", "a.b=x: y"),
        (Path("c/d"), "a.b=c/d"),
        (None, "a.b=null"),
    ],
)
def test_overrides_as_a_command_line_has_them(value, text):
    assert override_texts({"a.b": value}) == [text]


def test_paddle_changes_no_logger_and_says_nothing(here):
    code = (
        "import logging, ppreid; root = logging.getLogger(); "
        "ppreid.load('run').embed('crops/' + __import__('os').listdir('crops')[0]); "
        "print(root.level, root.handlers)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"{logging.WARNING} []\n" and "ccache" not in done.stderr and "INFO" not in done.stderr
