"""ResNet without classifier, with stride 1 in the last stage and optional instance normalisation (IBN-a).

The layout is version 1.5 (the stride of a bottleneck sits in its 3x3 convolution). Parameter names are those of
torchvision and paddle.vision: conv1, bn1, layer1.0.conv1, layer1.0.downsample.0 ...
"""

import math

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ppreid.base.errors import ConfigError, unknown_choice

# Residual blocks per stage; He et al. 2016, table 1.
BASIC_STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3)}
BOTTLENECK_STAGES = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
IBN_DEPTHS = (50, 101)
IBN_STAGES = 3  # layer4 keeps plain batch normalisation, which holds what tells identities apart


def conv(in_channels: int, out_channels: int, kernel_size: int, stride: int = 1) -> nn.Conv2D:
    """Convolution without bias whose maps are in_channels' size / stride, drawn from N(0, 2 / fan_out)."""
    fan_out = out_channels * kernel_size**2
    return nn.Conv2D(
        in_channels,
        out_channels,
        kernel_size,
        stride=stride,
        padding=kernel_size // 2,
        bias_attr=False,
        weight_attr=nn.initializer.Normal(std=math.sqrt(2.0 / fan_out)),
    )


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Layer | None:
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(conv(in_channels, out_channels, 1, stride), nn.BatchNorm2D(out_channels))


class InstanceBatchNorm(nn.Layer):
    """IBN-a: instance normalisation on the first half of the channels, batch normalisation on the rest.

    Args:
        channels: number of channels.

    Reference:
        Pan, Luo, Shi, Tang: Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net, ECCV 2018.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.IN = nn.InstanceNorm2D(half)
        self.BN = nn.BatchNorm2D(channels - half)

    def forward(self, x: Tensor) -> Tensor:
        """Normalise feature maps, (B, channels, H, W)."""
        half = self.IN.scale.shape[0]
        return paddle.concat([self.IN(x[:, :half]), self.BN(x[:, half:])], axis=1)


class BasicBlock(nn.Layer):
    """Two 3x3 convolutions, the first carrying the stride, and a shortcut (ResNet-18 and 34)."""

    expansion = 1

    def __init__(self, in_channels: int, width: int, stride: int, first_norm: type[nn.Layer]) -> None:
        super().__init__()
        self.conv1 = conv(in_channels, width, 3, stride)
        self.bn1 = first_norm(width)
        self.conv2 = conv(width, width, 3)
        self.bn2 = nn.BatchNorm2D(width)
        self.downsample = _shortcut(in_channels, width, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (B, in_channels, H, W) to (B, width, H/stride, W/stride)."""
        out = F.relu(self.bn1(self.conv1(x)))  # (B, width, H/stride, W/stride)
        out = self.bn2(self.conv2(out))
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(out + shortcut)


class Bottleneck(nn.Layer):
    """1x1, 3x3 (carrying the stride) and 1x1 convolutions, and a shortcut (ResNet-50, 101 and 152)."""

    expansion = 4

    def __init__(self, in_channels: int, width: int, stride: int, first_norm: type[nn.Layer]) -> None:
        super().__init__()
        out_channels = width * self.expansion
        self.conv1 = conv(in_channels, width, 1)
        self.bn1 = first_norm(width)
        self.conv2 = conv(width, width, 3, stride)
        self.bn2 = nn.BatchNorm2D(width)
        self.conv3 = conv(width, out_channels, 1)
        self.bn3 = nn.BatchNorm2D(out_channels)
        self.downsample = _shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """Feature maps (B, in_channels, H, W) to (B, 4 * width, H/stride, W/stride)."""
        out = F.relu(self.bn1(self.conv1(x)))  # (B, width, H, W)
        out = F.relu(self.bn2(self.conv2(out)))  # (B, width, H/stride, W/stride)
        out = self.bn3(self.conv3(out))  # (B, 4 * width, H/stride, W/stride)
        shortcut = x if self.downsample is None else self.downsample(x)
        return F.relu(out + shortcut)


class ResNet(nn.Layer):
    """Residual network up to its last feature maps; `resnet` builds it from checked arguments.

    Attributes:
        first_stage: name of the stage behind which styles are mixed, see `look_at_cameras`.
        feature_dim: number of channels of the last feature maps.
        frozen_stages: stages that are not trained, the stem with the first of them. `forward` begins behind these,
            with what `frozen_maps` makes of the images.
    """

    def __init__(self, depth: int, *, base_width: int, ibn: bool, last_stride: int, frozen_stages: int) -> None:
        super().__init__()
        block = BasicBlock if depth in BASIC_STAGES else Bottleneck
        num_blocks = (BASIC_STAGES | BOTTLENECK_STAGES)[depth]
        self.conv1 = conv(3, base_width, 7, stride=2)
        self.bn1 = nn.BatchNorm2D(base_width)
        in_channels = base_width
        # The pooling before layer1 has already halved the resolution, so layer1 keeps it.
        for stage, stride in enumerate((1, 2, 2, last_stride)):
            width = base_width * 2**stage
            first_norm = InstanceBatchNorm if ibn and stage < IBN_STAGES else nn.BatchNorm2D
            blocks = [block(in_channels, width, stride, first_norm)]
            in_channels = width * block.expansion
            blocks += [block(in_channels, width, 1, first_norm) for _ in range(1, num_blocks[stage])]
            setattr(self, f"layer{stage + 1}", nn.Sequential(*blocks))
        self.feature_dim, self.first_stage = in_channels, "layer1"
        self.frozen_stages = frozen_stages
        for layer in self.frozen_layers():
            for parameter in layer.parameters():
                parameter.stop_gradient = True

    def frozen_layers(self) -> list[nn.Layer]:
        """The layers that are not trained."""
        layers = [self.conv1, self.bn1, self.layer1, self.layer2, self.layer3]
        return layers[: 2 + self.frozen_stages] if self.frozen_stages else []

    def forward(self, images: Tensor) -> Tensor:
        """Feature maps of the last stage.

        Args:
            images: (B, 3, H, W); where stages are frozen, their maps.

        Returns:
            (B, feature_dim, H/16, W/16) with last_stride 1, half as high and wide with 2; sides are rounded up.
        """
        x = images if self.frozen_stages else self.layer1(self._stem(images))
        if self.frozen_stages < 2:
            x = self.layer2(x)
        if self.frozen_stages < 3:
            x = self.layer3(x)
        return self.layer4(x)

    def frozen_maps(self, images: Tensor) -> Tensor:
        """What the frozen stages make of images; in evaluation mode, since nothing of them is trained.

        Args:
            images: (B, 3, H, W).

        Returns:
            (B, C, h, w), nowhere negative; h is H / 4 behind the first stage and half as much behind each other one.
        """
        x = self.layer1(self._stem(images))
        if self.frozen_stages > 1:
            x = self.layer2(x)
        return self.layer3(x) if self.frozen_stages > 2 else x

    def _stem(self, images: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(images)))  # (B, base_width, H/2, W/2)
        return F.max_pool2d(x, kernel_size=3, stride=2, padding=1)  # (B, base_width, H/4, W/4)


def resnet(
    depth: int, *, base_width: int = 64, ibn: bool = False, last_stride: int = 1, frozen_stages: int = 0
) -> ResNet:
    """Residual network with random weights, reproducible through paddle.seed.

    Args:
        depth: 18, 34, 50, 101 or 152.
        base_width: channels after the first convolution; all widths scale with it (64 is the published network).
        ibn: instance normalisation on the first half of the channels behind the first convolution of each block
            in layers 1 to 3 (IBN-a); depth 50 and 101 only.
        last_stride: stride of layer4; re-identification uses 1, which doubles the resolution of the last maps.
        frozen_stages: of layers 1 to 3, the first of them with all before it are not trained; 0 is none.

    Returns:
        The network; convolutions are drawn from N(0, 2 / fan_out), normalisation starts at weight 1, bias 0.

    Raises:
        ConfigError: an argument is not among the values above.

    Reference:
        He, Zhang, Ren, Sun: Deep Residual Learning for Image Recognition, CVPR 2016, table 1; initialisation of
        He et al.: Delving Deep into Rectifiers, ICCV 2015, section 2.2 (backward case).

    Note:
        In the released code a stride of 1 breaks depth 18 and 34, because it looks for the stride in the second
        convolution; here the block that carries the stride receives it.
    """
    depths = (*BASIC_STAGES, *BOTTLENECK_STAGES)
    if depth not in depths:
        raise ConfigError(unknown_choice("the depth of the ResNet", depth, map(str, depths)))
    if ibn and depth not in IBN_DEPTHS:
        raise ConfigError(f"IBN-a is defined for ResNet depth 50 and 101, found depth {depth}; choose one of those")
    if last_stride not in (1, 2):
        raise ConfigError(f"last_stride must be 1 or 2, found {last_stride!r}")
    if base_width < 1:
        raise ConfigError(f"base_width must be at least 1, found {base_width!r}")
    if frozen_stages not in range(4):
        raise ConfigError(f"frozen_stages must be 0, 1, 2 or 3, found {frozen_stages!r}")
    return ResNet(depth, base_width=base_width, ibn=ibn, last_stride=last_stride, frozen_stages=frozen_stages)
