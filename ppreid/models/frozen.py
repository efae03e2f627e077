"""A network with frozen stages where images are at hand, and not what these stages make of them."""

import paddle
from paddle import Tensor, nn

from ppreid.models.reid_net import ReIDNet


class FrozenMaps(nn.Layer):
    """What the frozen stages make of an image as one row, so that it is computed and written like a feature.

    Args:
        model: a network whose backbone has frozen stages.
        mirrored: of the mirror image.
    """

    def __init__(self, model: ReIDNet, *, mirrored: bool = False) -> None:
        super().__init__()
        self.model = model
        self.mirrored = mirrored
        self.training = model.training

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to rows (B, C * h * w); in evaluation."""
        if self.mirrored:
            images = paddle.flip(images, axis=[3])
        return self.model.backbone.frozen_maps(images).flatten(1)


class FromImages(nn.Layer):
    """The whole of a network with frozen stages, whose own forward begins behind them.

    Args:
        model: a network whose backbone has frozen stages.
    """

    def __init__(self, model: ReIDNet) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to unit features (B, D); in evaluation."""
        return self.model(self.model.backbone.frozen_maps(images))
