"""What detection networks give, recognised by its shape, as boxes in pixels of the picture.

There is no standard: every family has its own order of numbers, and its own idea of what a picture is like.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ppreid.base.errors import WeightsError

_STRIDES = (8, 16, 32)  # of the three maps of YOLOX
_MOST_QUERIES = 1000  # of DETR and its kin: 300 is usual; YOLO has thousands of places
_COCO_CATEGORIES = (90, 91)  # networks that count as COCO's files do, from 1 on
_MOST_CLASSES = 1300  # Objects365 and LVIS have this many or fewer
_LARGEST_PART = 1.5  # of a picture that a box may be to count as given in parts of it; one in pixels is larger


class Layout(NamedTuple):
    """A family of networks.

    Attributes:
        name: as its authors call it.
        keeps_shape: the picture is scaled as a whole, with grey below and to the right; otherwise it is squeezed.
        mean: of the channels, 0 to 255, subtracted from the picture.
        std: of the channels, by which it is divided.
        is_bgr: channels are blue, green, red.
        first_class: number of the first class, which is a person in all data sets of these families.
        doubles: several boxes may mean one person.
        decode: (outputs, input width and height) -> boxes (N, 4) as left, top, right, bottom in pixels of the input, or
            in parts of it if `keeps_shape` is false; and the scores (N, C) of all classes.
    """

    name: str
    keeps_shape: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    is_bgr: bool
    first_class: int
    doubles: bool
    decode: Callable[[Sequence[np.ndarray], tuple[int, int]], tuple[np.ndarray, np.ndarray]]


_PLAIN = ((0.0, 0.0, 0.0), (255.0, 255.0, 255.0))  # 0 to 1
_RAW = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))  # 0 to 255
_IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))


def recognise(outputs: Sequence[np.ndarray], size: tuple[int, int], *, num_inputs: int = 1) -> Layout:
    """The layout of a network, by the shapes of what it gives for one picture.

    Args:
        outputs: of the network.
        size: width and height of its input.
        num_inputs: of the network; one more than the picture is the size of the original.

    Raises:
        WeightsError: nothing that is known has such shapes.
    """
    shapes = [output.shape for output in outputs]
    width, height = size
    places = sum((width // stride) * (height // stride) for stride in _STRIDES)
    match shapes:
        case [(1, a, b)] if a == places and b > 5:
            return Layout("YOLOX", True, *_RAW, True, 0, True, _yolox)
        case [(1, a, 6)] if a <= _MOST_QUERIES and _are_classes(outputs[0][0, :, 5]):
            if 0 < outputs[0][0, :, :4].max() <= _LARGEST_PART:
                return Layout("RT-DETR (Ultralytics, with classes)", False, *_PLAIN, False, 0, False, _chosen_parts)
            return Layout("YOLO that chooses among its boxes", True, *_PLAIN, False, 0, False, _chosen)
        case [(1, a, b)] if 5 <= a < b and a - 4 <= _MOST_CLASSES:
            return Layout("YOLOv8/11", True, *_PLAIN, False, 0, True, _yolo)
        case [(1, a, b)] if 5 <= b <= a <= _MOST_QUERIES:
            return Layout("RT-DETR (Ultralytics)", False, *_PLAIN, False, 0, False, _queries)
        case [(1, a, 4), (1, b, c)] | [(1, b, c), (1, a, 4)] if a == b and c != 4:
            if c in _COCO_CATEGORIES:
                return Layout("RF-DETR", False, *_IMAGENET, False, 1, False, _boxes_and_logits)
            return Layout("RT-DETR", False, *_PLAIN, False, 0, False, _boxes_and_logits)
        case [(1, a), (1, b, 4), (1, c)] if a == b == c and num_inputs == 2:
            return Layout("RT-DETR (with the original size)", False, *_PLAIN, False, 0, False, _labels_boxes_scores)
    text = (
        f"outputs of the shapes {', '.join(map(str, shapes))} for a picture of {width}x{height} are of no known layout"
    )
    raise WeightsError(
        f"{text}: YOLOv8/11/26 (1, 4 + classes, N) or (1, 300, 6), YOLOX (1, N, 5 + classes), RT-DETR (1, 300, 6), "
        "(1, 300, 4 + classes) or (1, 300, 4) and (1, 300, classes), RF-DETR the same with 91 classes"
    )


def class_number(wanted: str, names: Mapping[int, str], layout: Layout, num_classes: int) -> int:
    """The column of a class among the scores.

    Args:
        wanted: name of a class, or its number.
        names: number -> name, as far as the file says them.
        layout: of the network.
        num_classes: that it has.

    Raises:
        WeightsError: there is no such class.
    """
    by_name = {name.lower(): number for number, name in names.items()}
    if wanted.lower() in by_name:
        number = by_name[wanted.lower()]
    elif re.fullmatch(r"\d+", wanted):
        number = int(wanted)
    elif wanted.lower() == "person" and not names:
        number = layout.first_class
    else:
        shown = ", ".join(list(names.values())[:20]) or "none: the file does not name them; give the number"
        raise WeightsError(f"there is no class {wanted!r}; the classes are {shown}")
    if number >= num_classes or (names and number not in names):
        count = len(names) or num_classes
        raise WeightsError(f"class {wanted!r} is number {number}, but the network has {count} classes")
    return number


def _corners(boxes: np.ndarray) -> np.ndarray:
    """Centre and sides (N, 4) to left, top, right, bottom."""
    return np.concatenate([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], axis=1)


def _sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values.clip(-60, 60)))


def _yolo(outputs: Sequence[np.ndarray], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows = outputs[0][0].T  # (N, 4 + C)
    return _corners(rows[:, :4]), rows[:, 4:]


def _yolox(outputs: Sequence[np.ndarray], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Places are offsets from the corner of their cell, in cells; sides are logarithms, in cells."""
    rows, (width, height) = outputs[0][0], size  # (N, 5 + C)
    corners, cells = [], []
    for stride in _STRIDES:
        y, x = np.mgrid[: height // stride, : width // stride]
        corners.append(np.stack([x.ravel(), y.ravel()], axis=1))
        cells.append(np.full((x.size, 1), stride))
    corner, cell = np.concatenate(corners), np.concatenate(cells)  # (N, 2), (N, 1)
    boxes = np.concatenate([(rows[:, :2] + corner) * cell, np.exp(rows[:, 2:4].clip(-20, 20)) * cell], axis=1)
    return _corners(boxes), rows[:, 4:5] * rows[:, 5:]


def _queries(outputs: Sequence[np.ndarray], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows = outputs[0][0]  # (Q, 4 + C), boxes in parts of the picture, scores 0 to 1
    return _corners(rows[:, :4]), rows[:, 4:]


def _boxes_and_logits(outputs: Sequence[np.ndarray], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    boxes, logits = sorted((output[0] for output in outputs), key=lambda each: each.shape[1] != 4)
    return _corners(boxes), _sigmoid(logits)


def _labels_boxes_scores(outputs: Sequence[np.ndarray], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    labels, corners, scores = outputs[0][0].astype(int), outputs[1][0], outputs[2][0]  # (Q,), (Q, 4), (Q,)
    return corners / np.array([*size, *size]), _of_classes(labels, scores)


def _chosen(outputs: Sequence[np.ndarray], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows = outputs[0][0]  # (N, 6): corners, score, class; zeros where there are fewer boxes
    return rows[:, :4], _of_classes(rows[:, 5].astype(int), rows[:, 4])


def _chosen_parts(outputs: Sequence[np.ndarray], size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows = outputs[0][0]  # (N, 6): centre and sides, score, class
    return _corners(rows[:, :4]), _of_classes(rows[:, 5].astype(int), rows[:, 4])


def _are_classes(column: np.ndarray) -> bool:
    """Whether numbers (N,) are those of classes; scores of a class, of many boxes, are never all whole."""
    return bool(np.all((column == np.floor(column)) & (column >= 0) & (column < _MOST_CLASSES)))


def _of_classes(labels: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """The score (N,) of each box in the column of its class (N,), (N, C); what is farther right is no class."""
    of_classes = np.zeros((len(labels), _MOST_CLASSES), np.float32)
    of_classes[np.arange(len(labels)), labels.clip(0, _MOST_CLASSES - 1)] = scores
    return of_classes
