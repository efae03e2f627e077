"""One ONNX file that a tracker takes: what it must hold, and what is said and written about it."""

import json
import re

import numpy as np
import paddle
import pytest
from PIL import Image

from ppreid import wiring
from ppreid.base.errors import ConfigError
from ppreid.cli import main
from ppreid.config.load import config_text, load_config
from ppreid.datasets.transforms import IMAGE_MEAN, IMAGE_STD, eval_transform, resize
from ppreid.demo.generated import draw_people
from ppreid.disk.files import file_sha256
from ppreid.export import trackers, write
from ppreid.export.exported import ExportedNetwork
from ppreid.export.inputs import bilinear, bilinear_8bit, to_input
from ppreid.export.network import PixelNetwork, require_onnx
from ppreid.export.trackers import CROP_HEIGHTS, resizing_loss
from ppreid.tables import EXPORT_TARGETS, LAYOUTS
from ppreid.verbs.command import run_config
from ppreid.verbs.evaluate import evaluate
from ppreid.verbs.network import trained_network
from ppreid.weights.files import save_weights

try:
    require_onnx()
    WITHOUT_ONNX = ""
except ConfigError as error:
    WITHOUT_ONNX = str(error)
needs_onnx = pytest.mark.skipif(bool(WITHOUT_ONNX), reason=WITHOUT_ONNX)


@pytest.fixture(autouse=True)
def few_drawn_people(monkeypatch):
    """Drawing large ones takes the longest of all that an export does."""
    monkeypatch.setattr(trackers, "CROPS_PER_HEIGHT", 2)


@pytest.fixture(scope="module")
def trained(write_tiny_config, tmp_path_factory):
    """Folder of a run: its configuration and a random network whose running statistics are not the initial ones."""
    folder = tmp_path_factory.mktemp("trackers") / "recordings"
    folder.mkdir()
    cfg = load_config(write_tiny_config(folder.parent))
    (folder / "config.yaml").write_text(config_text(cfg), encoding="utf-8")
    paddle.seed(3)
    model = wiring.reid_net(cfg.model)
    model.train()
    model(paddle.rand([8, 3, 32, 16]) * 4 - 2)
    save_weights(folder / "checkpoint_last.safetensors", model)
    return folder


@pytest.fixture(scope="module")
def files(trained):
    """The ONNX file for each tracker."""
    found = {target: trained.parent / f"{target}.onnx" for target in EXPORT_TARGETS}
    for target, file in found.items():
        assert main(["export", str(trained), "--for", target, "--out", str(file)]) == 0
    return found


@pytest.fixture(scope="module")
def people():
    """Crops of other sizes than the network's, and their features (n, D) by the network itself."""
    return [*draw_people(3, height=90, width=40), *draw_people(2, height=20, width=12, seed=1)]


def own_features(trained, people):
    """Features (n, D) by the network itself, of crops resized by Pillow."""
    cfg = run_config(trained)
    model, _ = trained_network(cfg.model, cfg.data)
    model.eval()
    images = np.stack([eval_transform(person, height=32, width=16) for person in people])
    with paddle.no_grad():
        return model(paddle.to_tensor(images)).numpy()


def session_of(file):
    """The file in ONNX Runtime, without anything of ppreid."""
    import onnxruntime

    return onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])


@needs_onnx
@pytest.mark.parametrize("count", [1, 5])
def test_the_file_for_ultralytics_takes_floats_from_0_to_1(trained, files, people, count):
    session = session_of(files["ultralytics"])
    (images,), (features,) = session.get_inputs(), session.get_outputs()
    assert (images.name, images.shape, images.type) == ("images", ["batch", 3, 32, 16], "tensor(float)")
    assert (features.shape, features.type) == (["batch", 64], "tensor(float)")
    pixels = np.stack([np.asarray(resize(person, height=32, width=16)) for person in people[:count]])
    given = pixels.transpose(0, 3, 1, 2).astype(np.float32) / 255
    found = session.run(None, {"images": given})[0]
    np.testing.assert_allclose(found, own_features(trained, people[:count]), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-5)


@needs_onnx
def test_the_file_for_boxmot_takes_images_that_are_normalised_already(trained, files, people):
    given = np.stack([eval_transform(person, height=32, width=16) for person in people])
    found = session_of(files["boxmot"]).run(None, {"images": given})[0]
    np.testing.assert_allclose(found, own_features(trained, people), atol=1e-5)


@needs_onnx
def test_height_and_width_are_fixed(files):
    with pytest.raises(Exception, match=r"Got invalid dimensions|INVALID_ARGUMENT"):
        session_of(files["ultralytics"]).run(None, {"images": np.zeros((1, 3, 40, 16), np.float32)})


@needs_onnx
def test_what_boxmot_reads_beside_the_file(trained, files):
    assert not files["ultralytics"].with_name("ultralytics.onnx.metadata.json").exists()
    found = json.loads(files["boxmot"].with_name("boxmot.onnx.metadata.json").read_text())
    assert found.pop("source").startswith("ppreid ")
    assert found == {
        "schema_version": 1,
        "source_sha256": file_sha256(trained / "checkpoint_last.safetensors"),
        "model_name": "resnet18",
        "model_kwargs_schema_version": 1,
        "model_kwargs": {"img_size": [32, 16]},  # its converters take no other key that we could give
        "img_size": [32, 16],
        "preprocess": "resize",
        "format": "onnx",
        "input_name": "images",
        "output_names": ["features"],
        "input_shape": [1, 3, 32, 16],
        "dynamic_batch": True,
        "precision": "float32",
        "opset": 17,
        "artifact_sha256": file_sha256(files["boxmot"]),
    }


@needs_onnx
def test_parity_and_the_loss_by_the_tracker_s_resizing_are_said(trained, tmp_path, capsys):
    assert main(["export", str(trained), "--for", "boxmot", "--out", str(tmp_path / "p.onnx")]) == 0
    said = capsys.readouterr().err
    differences = [float(found) for found in re.findall(r"^ONNX Runtime .* (\S+)$", said, re.MULTILINE)]
    assert len(differences) == 4 and max(differences) < 1e-5
    rows = re.findall(r"^drawn people, (\d+) pixels high +(\S+) +(\S+)$", said, re.MULTILINE)
    assert [int(height) for height, _, _ in rows] == list(CROP_HEIGHTS)
    means, least = ([float(row[column]) for row in rows] for column in (1, 2))
    assert all(0 < low <= mean <= 1 for low, mean in zip(least, means, strict=True))
    assert means[-1] < means[0]  # the more is shrunk without smoothing, the more is lost
    assert f"written: {tmp_path / 'p.onnx.metadata.json'}" in said


def test_the_loss_is_none_where_the_resizing_is_ours(trained):
    def forward(pixels):
        rows = pixels.reshape(len(pixels), -1).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    cfg = run_config(trained)
    model, _ = trained_network(cfg.model, cfg.data)
    facts = write.NetworkFacts(32, 16, IMAGE_MEAN, IMAGE_STD, "resnet18", "0" * 64)
    network = ExportedNetwork(write.describe(model, facts, layout="nchw-float"), "none", forward)
    assert [row.least for row in resizing_loss(network, resize)] == pytest.approx([1.0] * len(CROP_HEIGHTS), abs=1e-6)
    assert resizing_loss(network, bilinear)[-1].least < 0.9999


@needs_onnx
def test_both_ways_to_resize_are_evaluated_where_a_labelled_set_is_given(trained, tmp_path, capsys):
    arguments = ["export", str(trained), "--for", "ultralytics", "--out", str(tmp_path / "p.onnx"), "--evaluate"]
    assert main(arguments) == 0
    said = capsys.readouterr().err
    shown = {name: re.search(rf"^{name} +(\S+)", said, re.MULTILINE)[1] for name in ("Pillow", "theirs")}
    expected = evaluate(run_config(trained, [f"output_dir={tmp_path / 'o'}"]))
    assert float(shown["Pillow"]) == pytest.approx(100 * expected.mean_ap, abs=0.1)
    assert 0 < float(shown["theirs"]) <= 100


def bilinear_in_plain_loops(image, height, width):
    """Two taps per axis, by the definition; image is (H, W) numbers."""
    rows, columns = len(image), len(image[0])
    result = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            v = min(max((y + 0.5) * rows / height - 0.5, 0), rows - 1)
            u = min(max((x + 0.5) * columns / width - 0.5, 0), columns - 1)
            top, left = int(v), int(u)
            bottom, right = min(top + 1, rows - 1), min(left + 1, columns - 1)
            upper = image[top][left] * (1 - (u - left)) + image[top][right] * (u - left)
            lower = image[bottom][left] * (1 - (u - left)) + image[bottom][right] * (u - left)
            result[y, x] = upper * (1 - (v - top)) + lower * (v - top)
    return result


@pytest.mark.parametrize("size", [(7, 5), (3, 9), (1, 1), (40, 30), (6, 4)])
def test_bilinear_resizing_is_its_definition(size):
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    found = bilinear(Image.fromarray(pixels), height=size[0], width=size[1])
    for channel in range(3):
        expected = bilinear_in_plain_loops(pixels[:, :, channel].tolist(), *size)
        np.testing.assert_allclose(found[:, :, channel], expected, atol=1e-3)
    rounded = bilinear_8bit(Image.fromarray(pixels), height=size[0], width=size[1])
    assert rounded.dtype == np.uint8
    np.testing.assert_allclose(rounded, found, atol=0.501)


def test_one_pixel_becomes_an_image_of_its_colour():
    found = bilinear(Image.new("RGB", (1, 1), (10, 200, 30)), height=4, width=2)
    assert (found == [10, 200, 30]).all() and found.shape == (4, 2, 3)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(("mean", "std"), [(IMAGE_MEAN, IMAGE_STD), ((0.5, 0.4, 0.3), (0.5, 0.6, 0.7))])
def test_every_layout_is_the_same_network_to_who_gives_it_what_it_takes(layout, mean, std):
    network = PixelNetwork(paddle.nn.Flatten(), layout, mean=mean, std=std)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 3, 3), dtype=np.uint8)
    given = to_input(pixels, layout)
    expected = (pixels / 255 - np.array(mean)) / std  # (2, 4, 3, 3)
    found = network(paddle.to_tensor(given)).numpy()
    np.testing.assert_allclose(found, expected.transpose(0, 3, 1, 2).reshape(2, -1), atol=1e-5)
    assert given.shape[1:] == ((3, 4, 3) if LAYOUTS[layout].channels_first else (4, 3, 3))
    assert given.dtype == LAYOUTS[layout].dtype


@needs_onnx
@pytest.mark.parametrize("target", EXPORT_TARGETS)
def test_nothing_is_written_where_the_file_computes_something_else(trained, target, tmp_path, monkeypatch, capsys):
    out = tmp_path / "person.onnx"

    def other_network(network, layout, **colours):
        return PixelNetwork(paddle.nn.Sequential(network, paddle.nn.Linear(64, 64)), layout, **colours)

    monkeypatch.setattr(write, "PixelNetwork", other_network)
    assert main(["export", str(trained), "--for", target, "--out", str(out)]) == 2
    assert "ONNX Runtime differ from those of the network" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@needs_onnx
def test_an_earlier_file_is_replaced_and_a_foreign_one_is_not(trained, files, tmp_path, capsys):
    out = tmp_path / "p.onnx"
    out.write_bytes(files["ultralytics"].read_bytes())
    assert main(["export", str(trained), "--for", "ultralytics", "--out", str(out)]) == 0
    out.write_bytes(b"\x08\x08\x12\x07pytorch")
    command = ["export", str(trained), "--for", "ultralytics", "--out", str(out)]
    assert main(command) == 2
    assert "exists and is not an ONNX file of ppreid; pass --overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0
    (tmp_path / "q.onnx.metadata.json").write_text('{"mine": 1}')
    assert main(["export", str(trained), "--for", "boxmot", "--out", str(tmp_path / "q.onnx")]) == 2
    assert "q.onnx.metadata.json exists and is not what boxmot reads" in capsys.readouterr().err
    assert not (tmp_path / "q.onnx").exists()


@needs_onnx
def test_standard_output_gets_the_file_alone(trained, files, capfdbinary):
    assert main(["export", str(trained), "--for", "ultralytics", "--out", "-"]) == 0
    assert capfdbinary.readouterr().out[:10] == files["ultralytics"].read_bytes()[:10]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--for", "other", "--out", "p.onnx"], 2, "--for is 'other'; choose one of: boxmot, ultralytics"),
        (["--for", "boxmott", "--out", "p.onnx"], 2, "did you mean 'boxmot'"),
        (["--for", "boxmot", "--out", "person"], 2, "which is written as .onnx; change the suffix"),
        (["--for", "boxmot", "--out", "-"], 2, "boxmot reads a second file beside the network"),
        (["--for", "boxmot", "--out", "no/p.onnx"], 8, "no/p.onnx"),
        (["--for", "boxmot", "--out", "p.onnx", "--formats", "onnx"], 2, "leave --formats and --layout out"),
        (["--for", "boxmot", "--out", "p.onnx", "--layout", "nchw-float"], 2, "leave --formats and --layout out"),
        (["--layout", "nchw", "--out", "net"], 2, "did you mean 'nchw-float'"),
        (["--evaluate", "--out", "net"], 2, "--evaluate goes with --for"),
    ],
)
def test_wrong_requests_are_refused_before_the_work(trained, arguments, code, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["export", str(trained), *arguments]) == code
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_the_extra_is_named_where_a_package_is_missing(trained, tmp_path, monkeypatch, capsys):
    import sys

    monkeypatch.setitem(sys.modules, "paddle2onnx", None)  # as if it were not installed
    assert main(["export", str(trained), "--for", "ultralytics", "--out", str(tmp_path / "p.onnx")]) == 2
    assert "the extra ppreid[onnx]" in capsys.readouterr().err
