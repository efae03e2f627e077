"""What training hangs onto a network that looks at the cameras of a batch; in evaluation none of it is there.

Whatever looks at other images looks within the part of the batch that is normalised together (model.bn_chunks), so that
a batch that comes in parts, or is shared out among processes, gives what it does as a whole.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import paddle
from paddle import Tensor, nn

from ppreid.base.errors import ConfigError

if TYPE_CHECKING:
    from ppreid.models.reid_net import ReIDNet

STYLE_BETA = 0.1  # of both parameters: mostly the style of one of the two images, as published
_EPSILON = 1e-6
_SALT = 0x517E  # apart from the numbers that batches, images and drop path draw with the same seed


class BatchCameras:
    """Cameras of the images of a training step, and which of them a pass through the network has.

    Args:
        parts: of the batch, contiguous and of equal size, each normalised by itself.
        rank: number of this process, which takes the rank-th share of the batch.
        num_ranks: number of processes.

    Attributes:
        step: number of the step.
        camids: (B,) cameras of the whole batch, -1 unknown; empty before the first step.
        parts: see above.
        rows: (b,) images of this pass, in the order of its rows.
    """

    def __init__(self, *, parts: int = 1, rank: int = 0, num_ranks: int = 1) -> None:
        self.step, self.parts = 0, parts
        self.camids = self.rows = np.empty(0, np.int64)
        self._rank, self._num_ranks, self._given = rank, num_ranks, 0

    def start(self, step: int, camids: np.ndarray) -> None:
        """Begin a step with these images."""
        self.step, self.camids, self._given = step, np.asarray(camids), 0

    def part_of(self, rows: np.ndarray) -> np.ndarray:
        """Part of the batch that images are in."""
        return rows // (len(self.camids) // self.parts)

    def next_pass(self, backbone: nn.Layer, inputs: tuple[Tensor, ...]) -> None:
        """Before a pass of images through the backbone: the next ones of the share, or after the last the first."""
        if not (backbone.training and len(self.camids)):
            return
        share, count = len(self.camids) // self._num_ranks, inputs[0].shape[0]
        rows = self._rank * share + self._given + np.arange(count)
        self._given = (self._given + count) % share
        # as `interleave_chunks` does where the pass has several parts
        parts = count * self.parts // len(self.camids)
        self.rows = rows.reshape(parts, -1).T.ravel()


def look_at_cameras(
    model: "ReIDNet", cameras: BatchCameras, *, style_mix: float = 0.0, neck_centre: float = 0.0, seed: int = 0
) -> None:
    """Let a network look at the cameras of its batches in training.

    Args:
        model: the network, whose `cameras` these become.
        cameras: of the batches.
        style_mix: probability that the maps of an image behind the backbone's first stage get a style between their own
            and that of an image of another camera, see `style_partners` and `mixed_styles`; 0 is off.
        neck_centre: shrinkage with which rows are centred before the necks, see `centred_by_camera`; 0 is off.
        seed: of the run.

    Raises:
        ConfigError: styles are to be mixed, and the backbone has no stages.
    """
    backbone, stage = model.backbone, getattr(model.backbone, "first_stage", "")
    if style_mix and not stage:
        raise ConfigError(
            f"augment.style_mix is {style_mix:g}, and a {type(backbone).__name__} has no stages of maps whose style "
            "could be mixed; set augment.style_mix=0, or choose a ResNet or osnet as model.backbone"
        )
    model.cameras = cameras
    backbone.register_forward_pre_hook(cameras.next_pass)
    if style_mix:
        getattr(backbone, stage).register_forward_post_hook(_style_hook(cameras, style_mix, seed))
    for neck in (model.neck, *(model.stripe_necks or ())) if neck_centre else ():
        neck.register_forward_pre_hook(_centre_hook(cameras, neck_centre))


def _style_hook(cameras: BatchCameras, probability: float, seed: int) -> Callable[..., Tensor]:
    def mix(stage: nn.Layer, _: Any, maps: Tensor) -> Tensor:  # noqa: ANN401 - what the stage got
        if not (stage.training and len(cameras.camids)):
            return maps
        partners, weights = style_partners(cameras, probability=probability, seed=seed)
        place = np.zeros(len(partners), np.int64)  # in this pass, of each image that it has
        place[cameras.rows] = np.arange(len(cameras.rows))
        return mixed_styles(maps, place[partners[cameras.rows]], weights[cameras.rows])

    return mix


def _centre_hook(cameras: BatchCameras, shrinkage: float) -> Callable[..., Tensor | None]:
    def centre(neck: nn.Layer, inputs: tuple[Tensor, ...]) -> Tensor | None:
        if not (neck.training and len(cameras.camids)):
            return None  # the input stays
        own = cameras.rows
        return centred_by_camera(inputs[0], cameras.camids[own], cameras.part_of(own), shrinkage=shrinkage)

    return centre


def style_partners(cameras: BatchCameras, *, probability: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw whose style each image of a step gets, and how much of its own it keeps.

    Args:
        cameras: of the step.
        probability: of an image to be mixed.
        seed: of the run; with the step all that the draws depend on.

    Returns:
        (B,) images, each of another camera in the same part of the batch, any with the same probability, or the image
        itself; and (B,) float32 weights of its own style, 1 where it is not mixed.
    """
    camids, everyone = cameras.camids, np.arange(len(cameras.camids))
    rng = np.random.default_rng([seed, cameras.step, _SALT])
    is_mixed, draws = rng.random(len(camids)) < probability, rng.random(len(camids))
    weights = rng.beta(STYLE_BETA, STYLE_BETA, len(camids)).astype(np.float32)
    part = cameras.part_of(everyone)
    fits = (part[:, None] == part) & (camids[:, None] != camids)  # (B, B)
    count = fits.sum(axis=1)
    partners = np.argmax(np.cumsum(fits, axis=1) > np.floor(draws * count)[:, None], axis=1)
    is_mixed &= count > 0
    return np.where(is_mixed, partners, everyone), np.where(is_mixed, weights, np.float32(1))


def mixed_styles(maps: Tensor, partners: np.ndarray, weights: np.ndarray) -> Tensor:
    """Give maps a mean and deviation of each channel between their own and those of another image.

    Args:
        maps: (b, C, h, w).
        partners: (b,) row of the other image.
        weights: (b,) share of one's own in [0, 1]; with 1 the maps stay, bit for bit.

    Returns:
        Like maps; no gradient flows through mean and deviation.

    Reference:
        Zhou, Yang, Qiao, Xiang: Domain Generalization with MixStyle, ICLR 2021, section 3.1.

    Note:
        There all images of a batch are mixed or none, with any image of it; here each by itself, with one of another
        camera.
    """
    with paddle.no_grad():
        seen = maps.astype("float32")  # a variance has no digits to spare
        mean = seen.mean(axis=[2, 3], keepdim=True)  # (b, C, 1, 1)
        deviation = (seen.var(axis=[2, 3], unbiased=False, keepdim=True) + _EPSILON).sqrt()
        own = paddle.to_tensor(weights).reshape([-1, 1, 1, 1])
        other = paddle.to_tensor(partners)
        scale = (own * deviation + (1.0 - own) * deviation[other]) / deviation
        shift = own * mean + (1.0 - own) * mean[other] - scale * mean
    return maps * scale.astype(maps.dtype) + shift.astype(maps.dtype)


def centred_by_camera(rows: Tensor, camids: np.ndarray, parts: np.ndarray, *, shrinkage: float) -> Tensor:
    """Subtract from each row of a batch how far the mean of its camera is from that of its part of the batch.

    Args:
        rows: (b, D).
        camids: (b,) cameras; rows of an unknown one, -1, stay.
        parts: (b,) part of the batch that a row is in; those of other parts do not count.
        shrinkage: the mean of a camera is drawn towards that of the part as if so many more of its rows had it, since
            the few people of a camera in a batch are in its mean as well; more than 0.

    Returns:
        (b, D), through whose means gradients flow; the mean of a part moves no more than the shrinkage lets it.
    """
    same_part = parts[:, None] == parts  # (b, b)
    same = same_part & (camids[:, None] == camids) & (camids >= 0)
    count = same.sum(axis=1, keepdims=True)  # (b, 1)
    # (sum of the camera + s * mean of the part) / (count + s) - mean of the part, as weights of the rows
    share = (same - count * same_part / same_part.sum(axis=1, keepdims=True)) / (count + shrinkage)
    return rows - paddle.matmul(paddle.to_tensor(share.astype(np.float32)), rows)
