"""OpenCV's people detector, which needs no file: histograms of oriented gradients and a linear classifier."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ppreid.base.optional import opencv
from ppreid.recordings.boxes import without_doubles

_WINDOW = 128  # pixels: the detector's window is 64 x 128, and people fill a part of it
# what of the window is cut out: left, top, width, height; a little more than a person takes
_PERSON = np.array([0.19, 0.06, 0.62, 0.88])
_MAX_ENLARGED = 2.0  # beyond that there is nothing more to be seen
_MAX_IOU = 0.45


def open_hog(*, min_score: float | None, min_height: int) -> Callable[[np.ndarray], np.ndarray]:
    """A detector of upright people.

    Args:
        min_score: least value of the classifier, 0 and above; None is 0.
        min_height: of people in pixels. Pictures are scaled such that people of this height are just found, so that the
            time grows with the square of 1 / min_height.

    Returns:
        A `contracts.Detector`.

    Reference: Dalal and Triggs, Histograms of Oriented Gradients for Human Detection, CVPR 2005.
    """
    cv2 = opencv("--detector hog")
    hog = cv2.HOGDescriptor()
    hog.setSVMDetector(cv2.HOGDescriptor_getDefaultPeopleDetector())
    scale = min(_MAX_ENLARGED, _PERSON[3] * _WINDOW / min_height)

    def detect(picture: np.ndarray) -> np.ndarray:
        height, width = picture.shape[:2]
        size = max(64, round(width * scale)), max(_WINDOW, round(height * scale))
        scaled = cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
        # padding: people at the edges of the picture
        windows, scores = hog.detectMultiScale(scaled, winStride=(8, 8), padding=(16, 16), scale=1.05)
        windows = np.asarray(windows, float).reshape(-1, 4)
        boxes = np.concatenate([windows, np.reshape(scores, (-1, 1))], axis=1)
        boxes = without_doubles(boxes[boxes[:, 4] >= (min_score or 0.0)], max_iou=_MAX_IOU)
        boxes[:, :2] += boxes[:, 2:4] * _PERSON[:2]
        boxes[:, 2:4] *= _PERSON[2:]
        boxes[:, :4] *= np.array([width / size[0], height / size[1]] * 2)
        return boxes

    return detect
