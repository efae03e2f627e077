"""OSNet, a network of 2 million parameters for re-identification, up to its last feature maps.

Parameter names are those of torchreid, whose weights of ImageNet are published: conv1.conv, conv2.0.conv2a.conv1 ...
"""

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ppreid.base.errors import ConfigError

STAGES = ((1, 4, True), (4, 6, True), (6, 8, False))  # widths from and to, in units of the first, and whether halved
STREAMS = "abcd"  # of a block: 1, 2, 3 and 4 light convolutions see 3, 5, 7 and 9 pixels


def _pointwise(in_channels: int, out_channels: int) -> nn.Conv2D:
    he = nn.initializer.KaimingNormal()
    return nn.Conv2D(in_channels, out_channels, 1, bias_attr=False, weight_attr=paddle.ParamAttr(initializer=he))


class ConvNorm(nn.Layer):
    """Convolution and batch normalisation, and a ReLU unless it is left out."""

    def __init__(self, conv: nn.Conv2D, channels: int, *, relu: bool = True) -> None:
        super().__init__()
        self.conv = conv
        self.bn = nn.BatchNorm2D(channels)
        self.relu = relu

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (B, C, H, W) to (B, channels, H', W')."""
        out = self.bn(self.conv(x))
        return F.relu(out) if self.relu else out


class LightConv(nn.Layer):
    """A 3x3 convolution in two: one over channels, one over places."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _pointwise(channels, channels)
        self.conv2 = nn.Conv2D(channels, channels, 3, padding=1, groups=channels, bias_attr=False)
        self.bn = nn.BatchNorm2D(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (B, channels, H, W) to the same size."""
        return F.relu(self.bn(self.conv2(self.conv1(x))))


class ChannelGate(nn.Layer):
    """Weights the channels of maps by what the image is; one gate judges all streams of a block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 16, 1)
        self.fc1 = nn.Conv2D(channels, hidden, 1)
        self.fc2 = nn.Conv2D(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (B, channels, H, W) to the same size."""
        pooled = x.mean(axis=[2, 3], keepdim=True)  # (B, channels, 1, 1)
        return x * F.sigmoid(self.fc2(F.relu(self.fc1(pooled))))


class OmniScaleBlock(nn.Layer):
    """Four streams that see four sizes, summed behind one gate, and a shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        middle = out_channels // 4
        self.conv1 = ConvNorm(_pointwise(in_channels, middle), middle)
        self.conv2a = LightConv(middle)
        for depth, stream in enumerate(STREAMS[1:], start=2):
            setattr(self, f"conv2{stream}", nn.Sequential(*(LightConv(middle) for _ in range(depth))))
        self.gate = ChannelGate(middle)
        self.conv3 = ConvNorm(_pointwise(middle, out_channels), out_channels, relu=False)
        self.downsample = None
        if in_channels != out_channels:
            self.downsample = ConvNorm(_pointwise(in_channels, out_channels), out_channels, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (B, in_channels, H, W) to (B, out_channels, H, W)."""
        reduced = self.conv1(x)  # (B, out_channels / 4, H, W)
        seen = self.gate(self.conv2a(reduced)) + self.gate(self.conv2b(reduced))
        seen = seen + self.gate(self.conv2c(reduced)) + self.gate(self.conv2d(reduced))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(self.conv3(seen) + shortcut)


class OSNet(nn.Layer):
    """The network; `osnet` builds it from checked arguments.

    Attributes:
        feature_dim: number of channels of the last feature maps.
        first_stage: as of a `ResNet`.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = ConvNorm(nn.Conv2D(3, width, 7, stride=2, padding=3, bias_attr=False), width)
        for number, (before, after, halved) in enumerate(STAGES, start=2):
            blocks = [OmniScaleBlock(before * width, after * width), OmniScaleBlock(after * width, after * width)]
            if halved:
                transition = ConvNorm(_pointwise(after * width, after * width), after * width)
                blocks.append(nn.Sequential(transition, nn.AvgPool2D(2, stride=2)))
            setattr(self, f"conv{number}", nn.Sequential(*blocks))
        self.feature_dim, self.first_stage = STAGES[-1][1] * width, "conv2"
        self.conv5 = ConvNorm(_pointwise(self.feature_dim, self.feature_dim), self.feature_dim)

    def forward(self, images: Tensor) -> Tensor:
        """Feature maps of the last convolution.

        Args:
            images: (B, 3, H, W).

        Returns:
            (B, feature_dim, H/16, W/16).
        """
        x = F.max_pool2d(self.conv1(images), kernel_size=3, stride=2, padding=1)  # (B, width, H/4, W/4)
        return self.conv5(self.conv4(self.conv3(self.conv2(x))))


def osnet(*, base_width: int = 64) -> OSNet:
    """OSNet with random weights, reproducible through paddle.seed.

    Args:
        base_width: channels after the first convolution; all widths scale with it (64 is the published x1.0, 32 its
            x0.5, 16 its x0.25).

    Returns:
        The network.

    Raises:
        ConfigError: base_width is below 1.

    Reference:
        Zhou, Yang, Cavallaro, Xiang: Omni-Scale Feature Learning for Person Re-Identification, ICCV 2019, table 1.

    Note:
        Theirs has a linear layer with normalisation and ReLU behind the pooling. It is left out, and its weights are
        in a file: the neck stands in its place, as in the other networks here.
    """
    if base_width < 1:
        raise ConfigError(f"base_width must be at least 1, found {base_width!r}")
    return OSNet(base_width)
