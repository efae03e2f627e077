"""Three convolutions before the patches of a ViT, half of whose channels are normalised image by image (ICS)."""

from paddle import Tensor, nn

from ppreid.models.resnet import InstanceBatchNorm, conv


class ConvStem(nn.Layer):
    """From images to tokens of 16x16 pixels each, by way of maps of half the resolution.

    Args:
        width: channels of the convolutions (64 is the published network).
        dim: D, size of a token.

    Reference:
        Luo et al.: Self-Supervised Pre-Training for Transformer-Based Person Re-Identification, 2021, section 3.3
        (IBN-based convolution stem).
    """

    def __init__(self, width: int, dim: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(
            conv(3, width, 7, stride=2),
            InstanceBatchNorm(width),
            nn.ReLU(),
            conv(width, width, 3),
            InstanceBatchNorm(width),
            nn.ReLU(),
            conv(width, width, 3),
            nn.BatchNorm2D(width),
            nn.ReLU(),
        )
        self.proj = nn.Conv2D(width, dim, 8, stride=8)

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) to maps (B, D, H/16, W/16)."""
        return self.proj(self.conv(images))
