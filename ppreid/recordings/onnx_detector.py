"""Detection networks in ONNX files, run by onnxruntime."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ppreid.base.errors import WeightsError
from ppreid.base.optional import optional_module
from ppreid.base.reading import is_there
from ppreid.recordings.boxes import without_doubles
from ppreid.recordings.layouts import Layout, class_number, recognise

_MIN_SCORE = 0.4
_MAX_IOU = 0.6
_GREY = 114  # what is added to a picture that keeps its shape
_USUAL_SIDE = 640  # where a network takes pictures of any size


def open_onnx(place: Path, *, min_score: float | None, wanted: str) -> Callable[[np.ndarray], np.ndarray]:
    """A detector from an ONNX file; its layout is recognised by the shapes of what it gives.

    Args:
        place: the file.
        min_score: least score, 0 to 1; None is 0.4.
        wanted: class, by name or number; "person" is the first where the file has no names.

    Returns:
        A `contracts.Detector`.

    Raises:
        ConfigError: onnxruntime is missing.
        WeightsError: the file is missing or damaged, its layout is not known, or it has no such class.
    """
    if not is_there(place, WeightsError):
        raise WeightsError(f"{place} does not exist; give --detector onnx:FILE")
    session = _open_session(place)
    inputs = session.get_inputs()
    size = _input_size(place, inputs[0].shape)
    is_half = inputs[0].type == "tensor(float16)"

    def run(values: np.ndarray) -> list[np.ndarray]:
        feeds = {inputs[0].name: values.astype(np.float16 if is_half else np.float32)}
        feeds |= {each.name: np.array([size], np.int64) for each in inputs[1:]}
        return [np.asarray(output, np.float64) for output in session.run(None, feeds)]

    try:
        outputs = run(np.zeros((1, 3, size[1], size[0])))
    except Exception as error:  # onnxruntime has a class of its own for each reason
        raise WeightsError(f"{place} cannot be run: {str(error).splitlines()[0][:300]}") from error
    try:
        layout = recognise(outputs, size, num_inputs=len(inputs))
        _, scores = layout.decode(outputs, size)
        column = class_number(wanted, _class_names(session), layout, scores.shape[1])
    except WeightsError as error:
        raise WeightsError(f"{place}: {error}") from None

    def detect(picture: np.ndarray) -> np.ndarray:
        values, scale = _input_of(picture, layout, size)
        corners, scores = layout.decode(run(values), size)
        boxes = np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], axis=1) * scale
        found = np.concatenate([boxes, scores[:, column, None]], axis=1)
        found = found[found[:, 4] >= (_MIN_SCORE if min_score is None else min_score)]
        return without_doubles(found, max_iou=_MAX_IOU) if layout.doubles else found[np.argsort(-found[:, 4])]

    return detect


def _open_session(place: Path) -> Any:  # noqa: ANN401 - a class of an optional package
    onnxruntime = optional_module("onnxruntime", install="onnxruntime", what="--detector onnx:FILE")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(place), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise WeightsError(f"{place} is no ONNX network that onnxruntime can run: {str(error)[:300]}") from error


def _input_size(place: Path, shape: list[Any]) -> tuple[int, int]:
    """Width and height of the input (batch, 3, height, width)."""
    if len(shape) != 4 or shape[1] not in (3, "channels", None):
        raise WeightsError(f"{place} takes {shape}; a detector takes pictures (1, 3, height, width)")
    height, width = (side if isinstance(side, int) and side > 0 else _USUAL_SIDE for side in shape[2:])
    return width, height


def _class_names(session: Any) -> dict[int, str]:  # noqa: ANN401
    """Number -> name, where the file has them as Ultralytics writes them: "{0: 'person', 1: ...}"."""
    text = session.get_modelmeta().custom_metadata_map.get("names", "")
    try:
        names = ast.literal_eval(text)
        return {int(number): str(name) for number, name in names.items()}
    except (ValueError, SyntaxError, AttributeError, TypeError, RecursionError, MemoryError):
        return {}


def _input_of(picture: np.ndarray, layout: Layout, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """A picture as a network of this layout wants it, (1, 3, h, w), and the factors (4,) from its boxes to ours."""
    height, width = picture.shape[:2]
    if layout.keeps_shape:
        ratio = min(size[0] / width, size[1] / height)
        shape = round(width * ratio), round(height * ratio)
        whole = np.full((size[1], size[0], 3), _GREY, np.float32)
        scaled = Image.fromarray(picture).resize(shape, Image.Resampling.BILINEAR)
        whole[: shape[1], : shape[0]] = np.asarray(scaled)
        factors = np.full(4, 1 / ratio)
    else:
        whole = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BILINEAR), np.float32)
        factors = np.array([width, height, width, height], float)
    if layout.is_bgr:
        whole = whole[:, :, ::-1]
    normalised = (whole - np.array(layout.mean)) / np.array(layout.std)
    return normalised.transpose(2, 0, 1)[None], factors
