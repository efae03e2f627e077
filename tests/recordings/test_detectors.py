"""Detectors: every layout from a tiny network that gives planted outputs, and how pictures are prepared."""

import sys

import numpy as np
import onnx
import paddle
import pytest
from onnx import TensorProto, helper, numpy_helper

from ppreid import tables
from ppreid.base.errors import ConfigError, WeightsError
from ppreid.recordings.hog import open_hog
from ppreid.recordings.layouts import class_number, recognise
from ppreid.recordings.onnx_detector import _input_of, open_onnx
from ppreid.recordings.paddle_detector import open_paddle

SIDE = 64  # of the networks' input
PICTURE = np.zeros((32, 128, 3), np.uint8)  # 128 wide: boxes are halved in a picture that keeps its shape
INSIDE = {"min_score": 0.5, "wanted": "person"}


def write_onnx(path, *outputs, inputs=1, names=None, size=(SIDE, SIDE)):
    """A network that gives the same outputs for every picture."""
    nodes = [
        helper.make_node("Constant", [], [f"out{row}"], value=numpy_helper.from_array(output, f"value{row}"))
        for row, output in enumerate(outputs)
    ]
    takes = [helper.make_tensor_value_info("images", TensorProto.FLOAT, [1, 3, *size])]
    takes += [helper.make_tensor_value_info("orig_target_sizes", TensorProto.INT64, [1, 2])] * (inputs - 1)
    kinds = [TensorProto.INT64 if output.dtype == np.int64 else TensorProto.FLOAT for output in outputs]
    gives = [
        helper.make_tensor_value_info(f"out{row}", kind, output.shape)
        for row, (output, kind) in enumerate(zip(outputs, kinds, strict=True))
    ]
    graph = helper.make_graph(nodes, "planted", takes, gives)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    if names:
        helper.set_model_props(model, {"names": str(names)})
    onnx.save(model, str(path))
    return path


def yolo(num_classes=20, person=0):
    """Two boxes on each other, one of another class, one elsewhere; centre and sides in pixels of the input."""
    output = np.zeros((1, 4 + num_classes, 200), np.float32)
    output[0, :4, :4] = np.array([[20, 12, 10, 8], [20.5, 12, 10, 8], [40, 12, 10, 8], [50, 8, 6, 10]]).T
    output[0, 4 + person, :2] = 0.7, 0.9
    output[0, 4 + person, 3] = 0.6
    output[0, 4 + (person + 1) % num_classes, 2] = 0.95
    return output


def yolox():
    """The same people: cell (2, 1) of stride 8, and cell (1, 0) of stride 32."""
    output = np.zeros((1, 64 + 16 + 4, 85), np.float32)
    first, last = 1 * 8 + 2, 64 + 16 + 1
    output[0, first] = np.concatenate([[0.5, 0.5, np.log(10 / 8), np.log(1)], [0.9, 1.0], np.zeros(79)])
    output[0, last] = np.concatenate([[0.5625, 0.25, np.log(6 / 32), np.log(10 / 32)], [1.0, 0.6], np.zeros(79)])
    return output


def close_to(found, expected):
    assert found.shape == (len(expected), 5)
    assert np.allclose(found[np.argsort(-found[:, 4])], expected, atol=1e-4)


# left, top, width, height in the picture of 128x32
KEPT = [[31, 16, 20, 16, 0.9], [94, 6, 12, 20, 0.6]]


def test_yolo(tmp_path):
    close_to(open_onnx(write_onnx(tmp_path / "a.onnx", yolo()), **INSIDE)(PICTURE), KEPT)


def test_yolo_with_names_of_its_own(tmp_path):
    file = write_onnx(tmp_path / "a.onnx", yolo(3, person=2), names={0: "car", 1: "dog", 2: "Person"})
    close_to(open_onnx(file, **INSIDE)(PICTURE), KEPT)
    assert open_onnx(file, min_score=0.5, wanted="car")(PICTURE)[:, 4].tolist() == [pytest.approx(0.95)]
    with pytest.raises(WeightsError, match="there is no class 'cat'; the classes are car, dog, Person"):
        open_onnx(file, min_score=0.5, wanted="cat")


def test_yolox(tmp_path):
    expected = [[30, 16, 20, 16, 0.9], [94, 6, 12, 20, 0.6]]
    close_to(open_onnx(write_onnx(tmp_path / "a.onnx", yolox()), **INSIDE)(PICTURE), expected)


# centre and sides in parts of the picture, and what that is in one of 128x32
QUERIES = np.array([[0.25, 0.5, 0.125, 0.5], [0.5, 0.5, 0.1, 0.1], [0.75, 0.25, 0.25, 0.25]], np.float32)
SQUEEZED = [[24, 8, 16, 16, 0.9], [80, 4, 32, 8, 0.6]]


def scores(num_classes, person):
    found = np.full((5, num_classes), 0.01, np.float32)
    found[[0, 2], person] = 0.9, 0.6
    found[1, person + 1] = 0.8
    return found


def queries():
    return np.concatenate([QUERIES, np.zeros((2, 4), np.float32)])


def logits(found):
    return np.log(found / (1 - found))


def test_rt_detr_of_ultralytics(tmp_path):
    output = np.concatenate([queries(), scores(80, 0)[:, :1]], axis=1)[None]
    close_to(open_onnx(write_onnx(tmp_path / "a.onnx", output), **INSIDE)(PICTURE), SQUEEZED)


def chosen(boxes, classes):
    """What networks give that choose among their boxes: box, score and class, then nothing."""
    rows = np.zeros((300, 6), np.float32)
    rows[: len(boxes)] = np.column_stack([boxes, (0.9, 0.8, 0.6), classes])
    return rows[None]


CORNERS = [[15, 8, 25, 16], [35, 8, 45, 16], [47, 3, 53, 13]]  # of `yolo`, without its double


@pytest.mark.parametrize("person", [0, 7, 364])
def test_yolo_that_chooses_among_its_boxes(tmp_path, person):
    output = chosen(CORNERS, [person, person + 1, person])
    expected = [[30, 16, 20, 16, 0.9], [94, 6, 12, 20, 0.6]]
    detect = open_onnx(write_onnx(tmp_path / "a.onnx", output), min_score=0.5, wanted=str(person))
    close_to(detect(PICTURE), expected)


def test_rt_detr_that_gives_one_class_for_a_box(tmp_path):
    close_to(open_onnx(write_onnx(tmp_path / "a.onnx", chosen(QUERIES, [0, 3, 0])), **INSIDE)(PICTURE), SQUEEZED)


def test_rt_detr_with_two_classes_is_not_taken_for_boxes_with_a_class(tmp_path):
    output = np.concatenate([queries(), scores(2, 0)], axis=1)[None]
    output = np.concatenate([output, np.full((1, 295, 6), 0.01, np.float32)], axis=1)
    close_to(open_onnx(write_onnx(tmp_path / "a.onnx", output), **INSIDE)(PICTURE), SQUEEZED)


def test_an_empty_picture_hides_no_layout():
    """The first picture has nobody in it: what chooses gives nothing then."""
    nobody = np.zeros((1, 300, 6))
    layout = recognise([nobody], (SIDE, SIDE))
    corners, found = layout.decode([chosen(CORNERS, [3, 70, 1299])], (SIDE, SIDE))
    assert layout.decode([nobody], (SIDE, SIDE))[1].shape == (300, found.shape[1])
    assert layout.keeps_shape and corners[:3].tolist() == CORNERS
    assert found[[0, 1, 2], [3, 70, 1299]].tolist() == pytest.approx([0.9, 0.8, 0.6])


@pytest.mark.parametrize(("num_classes", "person"), [(80, 0), (91, 1)])
@pytest.mark.parametrize("is_swapped", [False, True])
def test_boxes_and_logits_of_rt_detr_and_rf_detr(tmp_path, num_classes, person, is_swapped):
    """With 91 classes they are counted as COCO's files do: a person is 1."""
    outputs = [queries()[None], logits(scores(num_classes, person))[None]]
    close_to(open_onnx(write_onnx(tmp_path / "a.onnx", *outputs[:: 1 - 2 * is_swapped]), **INSIDE)(PICTURE), SQUEEZED)


def test_rt_detr_that_is_told_the_original_size(tmp_path):
    centres = queries()
    corners = np.concatenate([centres[:, :2] - centres[:, 2:] / 2, centres[:, :2] + centres[:, 2:] / 2], axis=1)
    labels, values = np.array([[0, 1, 0, 0, 0]]), np.array([[0.9, 0.8, 0.6, 0.1, 0.1]], np.float32)
    file = write_onnx(tmp_path / "a.onnx", labels, corners[None] * SIDE, values, inputs=2)
    close_to(open_onnx(file, **INSIDE)(PICTURE), SQUEEZED)


@pytest.mark.parametrize(
    "outputs",
    [
        [np.zeros((1, 10), np.float32)],
        [np.zeros((1, 25200, 85), np.float32)],  # YOLOv5: three boxes in every cell
        [np.zeros((7, 6), np.float32)],
    ],
)
def test_an_unknown_layout_is_refused_with_its_shapes(tmp_path, outputs):
    with pytest.raises(WeightsError, match=r"are of no known layout: YOLOv8/11/26 \(1, 4 \+ classes, N\)"):
        open_onnx(write_onnx(tmp_path / "a.onnx", *outputs), **INSIDE)


def test_the_class_may_be_a_number_and_must_be_there():
    layout = recognise([yolo()], (SIDE, SIDE))
    assert class_number("person", {}, layout, 80) == 0
    assert class_number("7", {}, layout, 80) == 7
    with pytest.raises(WeightsError, match="number 80, but the network has 80 classes"):
        class_number("80", {}, layout, 80)
    with pytest.raises(WeightsError, match="number 2, but the network has 2 classes"):
        class_number("2", {0: "person", 1: "dog"}, layout, 1300)
    with pytest.raises(WeightsError, match="give the number"):
        class_number("dog", {}, layout, 80)


def test_pictures_are_prepared_as_each_family_wants_them():
    picture = np.zeros((32, 128, 3), np.uint8)
    picture[:, :] = 255, 102, 0
    values, factors = _input_of(picture, recognise([yolo()], (SIDE, SIDE)), (SIDE, SIDE))
    assert values.shape == (1, 3, 64, 64) and factors.tolist() == [2, 2, 2, 2]
    assert np.allclose(values[0, :, 0, 0], [1, 0.4, 0]) and np.allclose(values[0, :, 63, 0], 114 / 255)
    values, _ = _input_of(picture, recognise([yolox()], (SIDE, SIDE)), (SIDE, SIDE))
    assert values[0, :, 0, 0].tolist() == [0, 102, 255]  # blue, green, red, as they are
    rf_detr = recognise([np.zeros((1, 300, 4)), np.zeros((1, 300, 91))], (SIDE, SIDE))
    values, factors = _input_of(picture, rf_detr, (SIDE, SIDE))
    expected = (np.array([1, 0.4, 0]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    assert np.allclose(values[0, :, 63, 63], expected) and factors.tolist() == [128, 32, 128, 32]


def test_files_that_are_no_networks_are_named(tmp_path):
    with pytest.raises(WeightsError, match=r"missing.onnx does not exist"):
        open_onnx(tmp_path / "missing.onnx", **INSIDE)
    (tmp_path / "a.onnx").write_bytes(b"no network")
    with pytest.raises(WeightsError, match=r"a.onnx is no ONNX network"):
        open_onnx(tmp_path / "a.onnx", **INSIDE)
    with pytest.raises(WeightsError, match=r"a detector takes pictures"):
        open_onnx(write_onnx(tmp_path / "b.onnx", yolo(), size=(SIDE,)), **INSIDE)


def test_a_missing_onnxruntime_is_asked_for(tmp_path, monkeypatch):
    file = write_onnx(tmp_path / "a.onnx", yolo())
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ConfigError, match=r"--detector onnx:FILE needs onnxruntime.*pip install 'onnxruntime'"):
        open_onnx(file, **INSIDE)


CONFIG = """\
mode: paddle
draw_threshold: 0.5
arch: PicoDet
Preprocess:
- interp: 2
  keep_ratio: false
  target_size: [64, 64]
  type: Resize
- is_scale: true
  mean: [0.5, 0.25, 0.0]
  norm_type: mean_std
  std: [0.5, 0.5, 2.0]
  type: NormalizeImage
- type: Permute
label_list: [bicycle, person]
"""


class Planted(paddle.nn.Layer):
    """Gives boxes in the original picture, as PaddleDetection's networks do, and the means of what it was given."""

    def __init__(self):
        super().__init__()
        boxes = [[1, 0.9, 16, 8, 32, 40], [1, 0.7, 0, 0, 0, 0], [0, 0.95, 0, 0, 5, 5], [1, 0.2, 0, 0, 5, 5]]
        planted = paddle.nn.initializer.Assign(np.array(boxes, np.float32))
        self.boxes = self.create_parameter([4, 6], default_initializer=planted)  # in pixels of the input

    def forward(self, image, scale_factor):
        height, width, none = scale_factor[:, :1], scale_factor[:, 1:], scale_factor[:, :1] * 0
        factors = paddle.concat([none + 1, none + 1, width, height, width, height], axis=1)  # (1, 6)
        means = image.mean(axis=[2, 3])  # (1, 3)
        second = paddle.concat([none, none + 1, none, none], axis=1).T  # (4, 1)
        return self.boxes / factors + second * paddle.concat([none, none, means, none], axis=1)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("picodet")
    spec = [paddle.static.InputSpec([None, 3, 64, 64], "float32", "image")]
    spec.append(paddle.static.InputSpec([None, 2], "float32", "scale_factor"))
    paddle.jit.save(Planted(), str(folder / "model"), input_spec=spec)
    (folder / "infer_cfg.yml").write_text(CONFIG)
    return folder


def test_a_network_of_paddledetection(exported):
    picture = np.zeros((32, 128, 3), np.uint8)
    picture[:, :] = 255, 102, 51
    found = open_paddle(exported, min_score=None, wanted="person")(picture)
    assert np.allclose(found[0], [32, 4, 32, 16, 0.9], atol=1e-4)  # squeezed by 1/2 across and stretched by 2 down
    red, green, blue = (1 - 0.5) / 0.5, (0.4 - 0.25) / 0.5, 0.2 / 2
    assert np.allclose(found[1], [red, green, blue - red, -green, 0.7], atol=1e-4)
    assert len(found) == 2
    assert open_paddle(exported, min_score=0.1, wanted="person")(picture).shape == (3, 5)
    assert np.allclose(open_paddle(exported, min_score=None, wanted="bicycle")(picture), [[0, 0, 10, 2.5, 0.95]])


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("Preprocess:", "Before:", "has no list Preprocess"),
        ("type: Permute", "type: Rotate", "asks for the step .*Rotate.* which is not known"),
        ("arch: PicoDet", "arch: [", "is no YAML"),
    ],
)
def test_settings_of_paddledetection_that_are_not_known_are_refused(exported, tmp_path, old, new, words):
    for file in exported.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "infer_cfg.yml").write_text(CONFIG.replace(old, new))
    with pytest.raises(WeightsError, match=words):
        open_paddle(tmp_path, **INSIDE)


def test_a_folder_without_a_network_or_a_class_that_is_missing(exported, tmp_path):
    (tmp_path / "infer_cfg.yml").write_text(CONFIG)
    with pytest.raises(WeightsError, match=r"needs model.pdiparams, and model.json or model.pdmodel"):
        open_paddle(tmp_path, **INSIDE)
    with pytest.raises(WeightsError, match="has no class 'cat'; its classes are bicycle, person"):
        open_paddle(exported, min_score=None, wanted="cat")


def test_hog_finds_nobody_in_an_empty_or_a_tiny_picture():
    detect = open_hog(min_score=None, min_height=96)
    assert detect(np.full((240, 320, 3), 99, np.uint8)).shape == (0, 5)
    assert detect(np.zeros((5, 7, 3), np.uint8)).shape == (0, 5)


def test_every_detector_and_tracker_of_the_tables_is_there():
    for row in tables.DETECTORS.values():
        assert callable(tables.resolve(row.open)) and set(row.keys) <= {"min_score", "min_height", "wanted"}
    for row in tables.TRACKERS.values():
        assert tables.resolve(row.function)(max_gap=1.0).living == set()
