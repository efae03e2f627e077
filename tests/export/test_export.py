import json
import shutil
import subprocess
import sys

import numpy as np
import paddle
import pytest
from PIL import Image

from ppreid import wiring
from ppreid.base.errors import ConfigError, WeightsError
from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.disk.features import read_features
from ppreid.disk.files import file_sha256
from ppreid.export import write
from ppreid.export.exported import open_exported, read_manifest
from ppreid.export.network import ParityRow, PixelNetwork, compare_runtimes, require_onnx, require_parity
from ppreid.export.predict import compare, predict
from ppreid.tables import LAYOUTS
from ppreid.verbs.export import export
from ppreid.verbs.extract import extract
from ppreid.weights.files import save_weights

PADDLE_ONLY = ["paddle"]
try:
    require_onnx()
    BOTH = ["paddle", "onnx"]
    WITHOUT_ONNX = ""
except ConfigError as error:
    BOTH, WITHOUT_ONNX = PADDLE_ONLY, str(error)
needs_onnx = pytest.mark.skipif(bool(WITHOUT_ONNX), reason=WITHOUT_ONNX)


def config_with_weights(tiny_config, folder, *overrides):
    """The tiny configuration with weights of a random network whose running statistics are not the initial ones."""
    cfg = load_config(tiny_config, overrides)
    paddle.seed(3)
    model = wiring.reid_net(cfg.model, image_size=cfg.data.size)
    model.train()
    model(paddle.rand([8, 3, 32, 16]) * 4 - 2)
    save_weights(folder / "net.safetensors", model)
    return load_config(tiny_config, [*overrides, f"model.weights={folder / 'net.safetensors'}"])


@pytest.fixture(scope="module")
def exported(write_tiny_config, tmp_path_factory):
    """(configuration, folder of its export)"""
    folder = tmp_path_factory.mktemp("export")
    cfg = config_with_weights(write_tiny_config(folder), folder)
    export(cfg, folder / "net", formats=BOTH)
    return cfg, folder / "net"


@pytest.mark.parametrize("layout", list(LAYOUTS)[1:])
def test_prediction_takes_a_network_of_any_layout(exported, layout, tiny_root, tmp_path):
    cfg, net = exported
    arguments = ["-c", "demo.yaml", "-o", f"model.weights={cfg.model.weights}", "-o", "model.base_width=8"]
    size = ["-o", "data.height=32", "-o", "data.width=16"]
    made = ["export", *arguments, *size, "--out", str(tmp_path / "net"), "--layout", layout, "--formats", BOTH[-1]]
    assert main(made) == 0
    assert read_manifest(tmp_path / "net").input.shape == ("batch", 3, 32, 16)
    images = sorted((tiny_root / "demo" / "query").iterdir())[:2]
    assert compare(tmp_path / "net", *images) == pytest.approx(compare(net, *images), abs=1e-4)
    manifest = json.loads((tmp_path / "net" / "export.json").read_text())
    edit(tmp_path / "net", input={**manifest["input"], "shape": ["batch", 32, 16, 3]})
    with pytest.raises(WeightsError, match=f"are none of layout {layout}"):
        read_manifest(tmp_path / "net")


@pytest.mark.parametrize("runtime", BOTH)
def test_prediction_gives_the_features_of_extraction(exported, runtime, tiny_root, tmp_path):
    cfg, net = exported
    images = tiny_root / "demo" / "query"
    extract(cfg, tmp_path / "extracted.npy", images=images)
    assert main(["predict", str(net), str(images), "--out", str(tmp_path / "p.npy"), "--runtime", runtime]) == 0
    expected, found = read_features(tmp_path / "extracted.npy"), read_features(tmp_path / "p.npy")
    assert found.names == expected.names
    assert np.ptp(expected.features, axis=0).max() > 0.01  # images differ, so the comparison means something
    np.testing.assert_allclose(found.features, expected.features, atol=1e-4)


def test_the_manifest_describes_the_files_and_the_preprocessing(exported, tmp_path):
    cfg, net = exported
    manifest = json.loads((net / "export.json").read_text())
    assert manifest["weights_sha256"] == file_sha256(cfg.model.weights)
    assert manifest["input"]["shape"] == ["batch", 32, 16, 3]
    assert manifest["input"]["mean"] == [0.485, 0.456, 0.406]
    assert manifest["output"]["shape"] == ["batch", 64]
    assert {name: file_sha256(net / name) for name in manifest["files"]} == manifest["files"]
    assert {file.name for file in net.iterdir()} == {"export.json", *manifest["files"]}
    assert manifest["evaluation"] == {"flip": False, "within_tracks": 0.0, "camera_centre": 0.0, "colour": 0.0}
    del manifest["evaluation"]  # as before it was written
    (shutil.copytree(net, tmp_path / "net") / "export.json").write_text(json.dumps(manifest))
    assert read_manifest(tmp_path / "net").evaluation == read_manifest(net).evaluation


def test_an_export_says_what_evaluations_do_beside_the_network(tiny_config, tmp_path, caplog):
    cfg = config_with_weights(tiny_config, tmp_path, "eval.within_tracks=3", "eval.colour=0.7", "eval.camera_centre=on")
    said = "eval.within_tracks: 3.0, eval.camera_centre: 100.0, eval.colour: 0.7"
    caplog.set_level("INFO", logger="ppreid")
    export(cfg, tmp_path / "net", formats=BOTH[-1:])
    assert said in caplog.text
    found = read_manifest(tmp_path / "net").evaluation
    assert found.model_dump() == {"flip": False, "within_tracks": 3.0, "camera_centre": 100.0, "colour": 0.7}
    caplog.clear()
    image = tmp_path / "grey.png"
    Image.new("RGB", (16, 32), "grey").save(image)
    predict(tmp_path / "net", [image], tmp_path / "p.npy")
    assert said in caplog.text


@needs_onnx
def test_the_onnx_file_has_a_free_batch_and_the_description_inside(exported):
    import onnx

    _, net = exported
    model = onnx.load(net / "model.onnx")
    (image,), (features,) = model.graph.input, model.graph.output
    assert (image.name, features.name) == ("images", "features")
    sizes = [axis.dim_param or axis.dim_value for axis in image.type.tensor_type.shape.dim]
    assert sizes == ["batch", 32, 16, 3]
    (prop,) = model.metadata_props
    manifest = read_manifest(net).model_dump(mode="json", exclude={"files"})
    assert (prop.key, json.loads(prop.value)) == ("ppreid", manifest)


def test_pixels_are_normalised_inside():
    network = PixelNetwork(paddle.nn.Flatten(), mean=(0.485, 0.456, 0.406), std=(0.5, 0.224, 0.225))
    found = network(paddle.to_tensor(np.array([[[[0, 128, 255]]]], np.uint8))).numpy()
    expected = [(0 - 0.485) / 0.5, (128 / 255 - 0.456) / 0.224, (1 - 0.406) / 0.225]
    np.testing.assert_allclose(found, [expected], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    "overrides",
    [
        ["model.pooling=gem", "model.embedding_dim=16"],
        ["model.backbone=resnet50_ibn_a", "model.pooling=max", "model.last_stride=2"],
        ["model.backbone=vit_small", "model.base_width=2"],
        ["model.backbone=vit_small_ics", "model.base_width=2", "data.mean=[0.5, 0.4, 0.3]", "data.std=[0.5, 0.6, 0.7]"],
    ],
)
def test_every_kind_of_network_exports(tiny_config, tmp_path, overrides):
    cfg = config_with_weights(tiny_config, tmp_path, *overrides)
    rows = export(cfg, tmp_path / "net", formats=BOTH)
    assert len(rows) == 4 * len(BOTH)
    assert max(row.difference for row in rows) < 1e-5
    assert {row.batch for row in rows} == {1, 3, 4}
    description = read_manifest(tmp_path / "net").input
    assert (list(description.mean), list(description.std)) == (cfg.data.mean, cfg.data.std)


def test_nothing_is_left_behind_when_the_copy_computes_something_else(tiny_config, tmp_path, monkeypatch):
    cfg = config_with_weights(tiny_config, tmp_path)

    def other_network(network, layout, **normalisation):
        other = PixelNetwork(network, layout, **normalisation)
        other.mean.set_value(other.mean + 0.1)
        return other

    monkeypatch.setattr(write, "PixelNetwork", other_network)
    with pytest.raises(ConfigError, match=r"Paddle Inference differ .* nothing was written"):
        export(cfg, tmp_path / "net", formats=PADDLE_ONLY)
    assert not (tmp_path / "net").exists()


def test_parity_is_the_largest_difference_and_nan_or_another_shape_is_none():
    pixels = np.zeros((2, 4, 4, 3), np.uint8)
    runtimes = {
        "near": lambda batch: np.array([[0, 1], [1, 5e-5]]),
        "far": lambda batch: np.array([[0, 1], [1, 2e-4]]),
        "nan": lambda batch: np.full((2, 2), np.nan),
        "wide": lambda batch: np.zeros((2, 3)),
    }
    rows = compare_runtimes(lambda batch: np.array([[0, 1], [1, 0]]), runtimes, [("zeros", pixels)])
    assert [row.difference for row in rows[:2]] == [pytest.approx(5e-5), pytest.approx(2e-4)]
    require_parity(rows[:1])
    with pytest.raises(ConfigError, match="far, nan, wide differ"):
        require_parity(rows)
    assert rows[0] == ParityRow("near", "zeros", 2, rows[0].difference)


def test_an_earlier_export_is_kept_unless_overwrite(exported, tmp_path):
    cfg, net = exported
    before = file_sha256(net / "export.json")
    with pytest.raises(ConfigError, match=r"holds another export .* --overwrite"):
        export(cfg, net, formats=PADDLE_ONLY, layout="nchw-float")
    assert file_sha256(net / "export.json") == before
    old = tmp_path / "net"
    old.mkdir()
    (old / "model.onnx").write_bytes(b"of an earlier export")
    (old / "notes.txt").write_text("mine")
    export(cfg, old, formats=PADDLE_ONLY, overwrite=True)
    assert not (old / "model.onnx").exists()
    assert (old / "notes.txt").read_text() == "mine"
    open_exported(old)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--formats", "onx"], "did you mean 'onnx'"), (["--formats", ""], "choose one of: onnx, paddle")],
)
def test_an_unknown_format_is_refused(exported, tmp_path, arguments, message, capsys):
    cfg = exported[0]
    weights = f"model.weights={cfg.model.weights}"
    assert main(["export", "-c", "demo.yaml", "-o", weights, "--out", str(tmp_path / "x"), *arguments]) == 2
    assert message in capsys.readouterr().err


def test_a_missing_or_unfitting_converter_is_said_before_the_work(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "paddle2onnx", None)  # as if it were not installed
    with pytest.raises(ConfigError, match=r"ONNX needs a package .* pip install 'paddle2onnx.*leave onnx out"):
        export(load_config("demo.yaml"), tmp_path / "net", formats=[*BOTH, "onnx"])


# reading an export


@pytest.fixture
def copy_of_export(exported, tmp_path):
    return shutil.copytree(exported[1], tmp_path / "copy")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda net: (net / "model.pdiparams").write_bytes(b"x"), "model.pdiparams is damaged"),
        (lambda net: (net / "model.pdiparams").unlink(), "model.pdiparams is missing"),
        (lambda net: (net / "export.json").unlink(), "no exported network"),
        (lambda net: (net / "export.json").write_text("{"), "export.json is damaged or from another version"),
        (lambda net: edit(net, format_version=2), r"another version of ppreid \(format_version"),
        (lambda net: edit(net, files={"../../etc/passwd": "0" * 64}), "export.json is damaged"),
    ],
)
def test_a_damaged_export_is_refused(copy_of_export, damage, message):
    damage(copy_of_export)
    with pytest.raises(WeightsError, match=message):
        open_exported(copy_of_export)


def edit(net, **changes):
    manifest = json.loads((net / "export.json").read_text())
    (net / "export.json").write_text(json.dumps({**manifest, **changes}))


def test_a_file_that_no_runtime_can_run_is_refused(copy_of_export):
    (copy_of_export / "model.pdiparams").write_bytes(b"not weights")
    edit(copy_of_export, files={"model.onnx": file_sha256(copy_of_export / "model.pdiparams")})
    (copy_of_export / "model.pdiparams").rename(copy_of_export / "model.onnx")
    if WITHOUT_ONNX:
        pytest.skip(WITHOUT_ONNX)
    with pytest.raises(WeightsError, match="onnx cannot run"):
        open_exported(copy_of_export)


@needs_onnx
def test_a_description_of_another_image_size_is_noticed(copy_of_export):
    manifest = json.loads((copy_of_export / "export.json").read_text())
    manifest["input"]["shape"] = ["batch", 40, 30, 3]
    edit(copy_of_export, input=manifest["input"])
    with pytest.raises(WeightsError, match="onnx cannot run"):
        open_exported(copy_of_export)


def test_a_runtime_without_its_file_or_name_is_an_error(copy_of_export):
    manifest = json.loads((copy_of_export / "export.json").read_text())
    manifest["files"].pop("model.onnx", None)
    edit(copy_of_export, files=manifest["files"])
    with pytest.raises(WeightsError, match="runtime 'onnx' cannot run"):
        open_exported(copy_of_export, runtime="onnx")
    with pytest.raises(ConfigError, match="did you mean 'paddle'"):
        open_exported(copy_of_export, runtime="padle")
    assert open_exported(copy_of_export).runtime == "paddle"


# prediction


def test_two_images_are_compared_as_json(exported, tiny_root, tmp_path, capsys):
    _, net = exported
    first, second = sorted((tiny_root / "demo" / "query").iterdir())[:2]
    assert main(["predict", str(net), str(first), str(second), "--compare"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["images"] == [str(first), str(second)]
    assert found["similarity"] == pytest.approx(compare(net, second, first), abs=1e-5)
    assert compare(net, first, first) == pytest.approx(1, abs=1e-5)


def test_files_and_folders_in_batches_of_any_size(exported, tiny_root, tmp_path):
    _, net = exported
    Image.new("RGB", (50, 90), "red").save(tmp_path / "red.png")
    images = [str(tmp_path / "red.png"), str(tiny_root / "demo" / "query")]
    for size in ("1", "4"):
        arguments = ["--out", str(tmp_path / f"{size}.npy"), "--batch-size", size]
        assert main(["predict", str(net), *images, *arguments]) == 0
    one, four = read_features(tmp_path / "1.npy"), read_features(tmp_path / "4.npy")
    assert one.names[0] == images[0] and len(one.names) == 9
    np.testing.assert_allclose(one.features, four.features, atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "a.npy", "no.jpg"], 3, "no.jpg: the file does not exist"),
        (["no.jpg", "--out", "a.npy"], 3, "no.jpg: the file does not exist"),
        (["--compare", "a.jpg"], 2, "--compare takes two images, found 1"),
        (["a.jpg", "--out", "a.npy", "--batch-size", "0"], 2, "must be at least 1"),
    ],
)
def test_wrong_arguments_of_prediction(exported, arguments, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["predict", str(exported[1]), *arguments]) == code
    assert message in capsys.readouterr().err


def test_prediction_needs_no_code_of_training(exported, tiny_root, tmp_path):
    """With onnxruntime not even paddle; with Paddle Inference nothing that builds or trains networks."""
    forbidden = (
        "ppreid.models",
        "ppreid.ise",
        "ppreid.clustering",
        "ppreid.wiring",
        "ppreid.verbs.export",
        "ppreid.training.loop",
    )
    code = (
        "import sys; from ppreid.cli import main; "
        "code = main(['predict', *sys.argv[2:]]); "
        f"bad = [name for name in sys.modules if name.startswith({forbidden!r} + tuple(sys.argv[1].split()))]; "
        "sys.exit(code or repr(bad) if bad else code)"
    )
    for runtime in BOTH:
        also = "paddle." if runtime == "onnx" else "-"
        arguments = [exported[1], tiny_root / "demo" / "query", "--out", tmp_path / f"{runtime}.npy"]
        command = [sys.executable, "-c", code, also, *map(str, arguments), "--runtime", runtime]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


@needs_onnx
def test_the_example_needs_only_numpy_pillow_and_onnxruntime(exported, tiny_root, checkout):
    _, net = exported
    first, *others = map(str, sorted((tiny_root / "demo" / "query").iterdir())[:3])
    script = str(checkout / "examples" / "predict_onnx.py")
    command = [sys.executable, script, str(net / "model.onnx"), first, *others]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = {line.split()[1]: float(line.split()[0]) for line in done.stdout.splitlines()}
    assert found == {other: pytest.approx(compare(net, first, other), abs=1e-3) for other in others}
    assert done.stderr == ""
