"""Features without what their camera adds to all of them: light, colour balance, background.

Two images of one camera look alike whoever is on them, and a feature that was not trained well shows that more than the
person. What all images of a camera have in common is, to the first order, their mean.
"""

import warnings

import numpy as np

from ppreid.base.errors import PpreidWarning

SHRINKAGE = 100.0  # where somebody asks for centring and names no number


class CameraCentres:
    """Mean features of cameras, learned from one set of images and subtracted from any other of the same cameras."""

    def __init__(self, features: np.ndarray, camids: np.ndarray, *, shrinkage: float = SHRINKAGE) -> None:
        """Learn the means.

        Args:
            features: (N, D), N at least 1; no label is needed.
            camids: (N,) cameras, -1 unknown; images of an unknown camera count for the mean of all.
            shrinkage: the mean of a camera is drawn towards that of all images as if so many more images of the camera
                had it, since the few people whom a camera has seen are in its mean as well; 0 or more.
        """
        features, camids = np.asarray(features, dtype=np.float32), np.asarray(camids)
        # float64, since a float32 sum of a million rows has lost the digits that are left after the subtraction
        everyone = features.mean(axis=0, dtype=np.float64)  # (D,)
        cameras, counts = np.unique(camids[camids >= 0], return_counts=True)
        sums = [features[camids == camera].sum(axis=0, dtype=np.float64) for camera in cameras]
        self._everyone = everyone.astype(np.float32)
        self._of_camera = {
            int(camera): ((total + shrinkage * everyone) / (count + shrinkage)).astype(np.float32)
            for camera, count, total in zip(cameras, counts, sums, strict=True)
        }
        few = [f"camera {camera + 1}: {n}" for camera, n in zip(cameras, counts, strict=True) if n < shrinkage]
        if few:
            text = (
                f"{len(few)} of {len(cameras)} cameras have fewer than {shrinkage:g} images ({', '.join(few[:5])}"
                f"{', ...' if len(few) > 5 else ''}); their mean is mostly that of all images, so that centring by "
                "camera does little for them"
            )
            warnings.warn(text, PpreidWarning, stacklevel=3)

    def subtracted_from(self, features: np.ndarray, camids: np.ndarray) -> np.ndarray:
        """Features less the mean of their camera.

        Args:
            features: (n, D).
            camids: (n,); of a camera that is unknown, or was not there before, the mean of all images is subtracted.

        Returns:
            (n, D) float32 unit rows; a row that equals its mean is all zeros.
        """
        centred = np.array(features, dtype=np.float32)
        camids = np.asarray(camids)
        for camera in np.unique(camids):
            centred[camids == camera] -= self._of_camera.get(int(camera), self._everyone)
        length = np.linalg.norm(centred, axis=1, keepdims=True)  # (n, 1)
        return centred / np.maximum(length, np.finfo(np.float32).tiny)
