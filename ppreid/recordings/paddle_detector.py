"""Networks that PaddleDetection exported (PicoDet, PP-YOLOE and others), run by Paddle Inference."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ppreid.base.errors import DataError, WeightsError, last_line
from ppreid.base.plain_yaml import parse_yaml
from ppreid.disk.text import read_text
from ppreid.export.inference import PADDLE_ERRORS, silenced

SETTINGS = "infer_cfg.yml"
_STRUCTURES, _WEIGHTS = ("model.json", "model.pdmodel"), "model.pdiparams"
_MIN_SCORE = 0.5
# of OpenCV, whose numbers PaddleDetection writes
_INTERPOLATIONS = {0: Image.Resampling.NEAREST, 1: Image.Resampling.BILINEAR, 2: Image.Resampling.BICUBIC}


def open_paddle(place: Path, *, min_score: float | None, wanted: str) -> Callable[[np.ndarray], np.ndarray]:
    """A detector from a folder that PaddleDetection's tools/export_model.py wrote.

    Args:
        place: the folder, with infer_cfg.yml, model.pdiparams, and model.json or model.pdmodel.
        min_score: least score, 0 to 1; None is draw_threshold of the folder.
        wanted: class, by the name in label_list or by number.

    Returns:
        A `contracts.Detector`.

    Raises:
        WeightsError: a file is missing or damaged, pictures would have to be prepared in an unknown way, or there is no
            such class.
    """
    settings = _read_settings(place / SETTINGS)
    steps = settings["Preprocess"]
    number = _class_number(wanted, settings.get("label_list") or [], place)
    least = float(settings.get("draw_threshold", _MIN_SCORE)) if min_score is None else min_score
    run = _open_network(place)

    def detect(picture: np.ndarray) -> np.ndarray:
        rows = run(_inputs_of(picture, steps, place))  # class, score, left, top, right, bottom
        rows = rows[(rows[:, 0] == number) & (rows[:, 1] >= least)]
        return np.concatenate([rows[:, 2:4], rows[:, 4:6] - rows[:, 2:4], rows[:, 1:2]], axis=1).astype(np.float64)

    try:
        detect(np.zeros((64, 64, 3), np.uint8))
    except PADDLE_ERRORS as error:
        raise WeightsError(f"{place} cannot be run by Paddle Inference: {last_line(error)[:300]}") from error
    return detect


def _read_settings(file: Path) -> Mapping[str, Any]:
    try:
        settings, _ = parse_yaml(read_text(file))
    except DataError as error:
        raise WeightsError(str(error)) from None
    except ValueError as error:
        raise WeightsError(f"{file} is no YAML: {error}") from None
    if not isinstance(settings, dict) or not isinstance(settings.get("Preprocess"), list):
        raise WeightsError(f"{file} has no list Preprocess; it is not what PaddleDetection's export_model.py writes")
    return settings


def _class_number(wanted: str, names: list[Any], place: Path) -> int:
    lower = [str(name).lower() for name in names]
    if wanted.lower() in lower:
        return lower.index(wanted.lower())
    if wanted.isdecimal():
        return int(wanted)
    if wanted.lower() == "person" and "pedestrian" in lower:  # as PaddleDetection's pedestrian networks say
        return lower.index("pedestrian")
    raise WeightsError(
        f"{place} has no class {wanted!r}; its classes are {', '.join(map(str, names[:20])) or 'unnamed'}"
    )


def _open_network(place: Path) -> Callable[[Mapping[str, np.ndarray]], np.ndarray]:
    from paddle import inference

    structure = next((place / name for name in _STRUCTURES if (place / name).is_file()), None)
    if structure is None or not (place / _WEIGHTS).is_file():
        raise WeightsError(f"{place} needs {_WEIGHTS}, and {' or '.join(_STRUCTURES)}, as PaddleDetection exports them")
    options = inference.Config(str(structure), str(place / _WEIGHTS))
    options.disable_glog_info()
    try:
        with silenced(1):
            predictor = inference.create_predictor(options)
    except PADDLE_ERRORS as error:
        raise WeightsError(f"{place} cannot be opened by Paddle Inference: {last_line(error)[:300]}") from error

    def run(values: Mapping[str, np.ndarray]) -> np.ndarray:
        for name in predictor.get_input_names():
            if name not in values:
                raise WeightsError(f"{place} takes {name!r}; what is known is {', '.join(values)}")
            predictor.get_input_handle(name).copy_from_cpu(np.ascontiguousarray(values[name]))
        predictor.run()
        return predictor.get_output_handle(predictor.get_output_names()[0]).copy_to_cpu().reshape(-1, 6)

    return run


def _inputs_of(picture: np.ndarray, steps: list[Any], place: Path) -> dict[str, np.ndarray]:
    """What a network is given for a picture: the steps of infer_cfg.yml, one after the other."""
    height, width = picture.shape[:2]
    values: Any = picture.astype(np.float32)  # (H, W, 3)
    factors = 1.0, 1.0  # of height and width
    for step in steps:
        match dict(step) if isinstance(step, dict) else {}:
            case {"type": "Resize", "target_size": [h, w], **more}:
                factors = float(h) / height, float(w) / width
                if more.get("keep_ratio", False):
                    short, long = min(h, w) / min(height, width), max(h, w) / max(height, width)
                    factors = (min(short, long), min(short, long))
                how = _INTERPOLATIONS.get(more.get("interp", 1), Image.Resampling.BILINEAR)
                size = round(width * factors[1]), round(height * factors[0])
                values = np.asarray(Image.fromarray(picture).resize(size, how), np.float32)
            case {"type": "NormalizeImage", **more}:
                values = values / 255 if more.get("is_scale", True) else values
                if more.get("norm_type", "mean_std") == "mean_std":
                    values = (values - np.float32(more["mean"])) / np.float32(more["std"])
            case {"type": "PadStride", **more}:
                stride = int(more.get("stride", 0)) or 1
                below, right = (-side % stride for side in values.shape[:2])
                values = np.pad(values, ((0, below), (0, right), (0, 0)))
            case {"type": "Permute"}:
                pass  # below, for all
            case other:
                raise WeightsError(f"{place / SETTINGS} asks for the step {other or step}, which is not known")
    image = values.transpose(2, 0, 1)[None].astype(np.float32)
    shape = np.array([image.shape[2:]], np.float32)
    return {"image": image, "scale_factor": np.array([factors], np.float32), "im_shape": shape}
