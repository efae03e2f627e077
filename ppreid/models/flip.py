"""Features of an image and its mirror image together."""

import paddle
import paddle.nn.functional as F
from paddle import nn


class FlipAveraged(nn.Layer):
    """A network whose feature of an image is the mean over the image and its mirror image, of unit norm again."""

    def __init__(self, model: nn.Layer) -> None:
        """Wrap a network; its train/eval mode stays as it is.

        Args:
            model: maps images (B, 3, H, W) to unit features (B, D).
        """
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, images: paddle.Tensor) -> paddle.Tensor:
        """Map images (B, 3, H, W) to unit features (B, D), in twice the time of the network."""
        mirrored = paddle.flip(images, axis=[3])
        return F.normalize(self.model(images) + self.model(mirrored), axis=1)
