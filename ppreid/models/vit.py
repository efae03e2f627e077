"""ViT without classifier, with patches of 16x16 pixels and, if wanted, a convolutional stem; it gives its class token.

Parameter names are those of timm and of TransReID: cls_token, pos_embed, patch_embed.proj, blocks.0.attn.qkv ...
"""

import paddle
from paddle import Tensor, nn

from ppreid.base.errors import ConfigError
from ppreid.models.conv_stem import ConvStem
from ppreid.models.drop_path import path_scales
from ppreid.models.vit_block import START, Block, LayerNorm

PATCH = 16  # pixels


class PatchEmbedding(nn.Layer):
    """One convolution from patches of pixels to tokens."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.proj = nn.Conv2D(3, dim, PATCH, stride=PATCH, weight_attr=paddle.ParamAttr(initializer=START))

    def forward(self, images: Tensor) -> Tensor:
        """Images (B, 3, H, W) to maps (B, D, H/16, W/16)."""
        return self.proj(images)


class ViT(nn.Layer):
    """Vision transformer up to its normalised class token; `vit` builds it from checked arguments.

    Attributes:
        feature_dim: D.
        grid: patches from top to bottom, and from left to right.
        position_ratio: rows of patches per column in files whose positions are for another grid.
        num_draws: random numbers that a training image needs, see `forward`; 0 without drop path.
    """

    def __init__(
        self,
        patch_embed: nn.Layer,
        *,
        grid: tuple[int, int],
        dim: int,
        depth: int,
        heads: int,
        mlp_ratio: int,
        drop_path: float,
        position_ratio: int,
    ) -> None:
        super().__init__()
        self.feature_dim, self.grid, self.position_ratio = dim, grid, position_ratio
        # the first block is always kept: block k of n gets the share k / (n - 1) of the rate
        self.drop_rates = [drop_path * block / max(depth - 1, 1) for block in range(depth)]
        self.num_draws = 2 * depth if drop_path else 0
        self.cls_token = self.create_parameter([1, 1, dim], default_initializer=START)
        self.pos_embed = self.create_parameter([1, 1 + grid[0] * grid[1], dim], default_initializer=START)
        self.patch_embed = patch_embed
        self.blocks = nn.LayerList([Block(dim, heads, mlp_ratio) for _ in range(depth)])
        self.norm = LayerNorm(dim)

    def forward(self, images: Tensor, draws: Tensor | None = None) -> Tensor:
        """The class token behind the last norm.

        Args:
            images: (B, 3, H, W) of the size that the network was made for.
            draws: (B, num_draws) uniform in [0, 1), which decide the branches that each image goes without; None: it
                goes through all.

        Returns:
            (B, D).
        """
        return self.tokens(images, draws)[:, 0]

    def tokens(self, images: Tensor, draws: Tensor | None = None) -> Tensor:
        """All tokens behind the last norm, the class token first; arguments as in `forward`.

        Returns:
            (B, 1 + grid[0] * grid[1], D).
        """
        patches = self.patch_embed(images).flatten(2).transpose([0, 2, 1])  # (B, h * w, D), row by row
        # the class token of every image, without a number of images that an export would keep
        first = self.cls_token + paddle.zeros_like(patches[:, :1])  # (B, 1, D)
        tokens = paddle.concat([first, patches], axis=1) + self.pos_embed
        scales = None if draws is None else path_scales(draws.reshape([-1, len(self.drop_rates), 2]), self.drop_rates)
        for number, block in enumerate(self.blocks):
            tokens = block(tokens, None if scales is None else scales[:, number])
        return self.norm(tokens)


def vit(
    *,
    height: int = 256,
    width: int = 128,
    base_width: int = 64,
    heads: int = 6,
    depth: int = 12,
    mlp_ratio: int = 4,
    conv_stem: bool = False,
    drop_path: float = 0.0,
    position_ratio: int = 2,
) -> ViT:
    """Vision transformer with random weights, reproducible through paddle.seed.

    Args:
        height: of the images in pixels, a multiple of 16; there is a position for every patch.
        width: of the images in pixels, a multiple of 16.
        base_width: size of a head, and channels of the convolutional stem (64 is the published network).
        heads: a token has heads * base_width numbers: 6 is ViT-S, 12 is ViT-B.
        depth: number of blocks.
        mlp_ratio: hidden numbers of an MLP per number of a token.
        conv_stem: three convolutions before the patches (ICS) instead of none.
        drop_path: share of the images, in [0, 1), that go without a branch of the last block in training.
        position_ratio: see `ViT`.

    Returns:
        The network; linear weights, class token and positions are drawn from a normal distribution of deviation 0.02,
        cut off at two deviations.

    Raises:
        ConfigError: the images cannot be cut into patches, or a number is out of its range.

    Reference:
        Dosovitskiy et al.: An Image is Worth 16x16 Words, ICLR 2021. Luo et al.: Self-Supervised Pre-Training for
        Transformer-Based Person Re-Identification, 2021 (the stem). Huang et al.: Deep Networks with Stochastic Depth,
        ECCV 2016 (drop path).
    """
    if height % PATCH or width % PATCH or min(height, width) < PATCH:
        raise ConfigError(
            f"a ViT cuts images into patches of {PATCH}x{PATCH} pixels, and data.height x data.width is "
            f"{height}x{width}; choose multiples of {PATCH}"
        )
    if not 0 <= drop_path < 1:
        raise ConfigError(f"drop_path must be at least 0 and below 1, found {drop_path!r}")
    if min(base_width, heads, depth, mlp_ratio, position_ratio) < 1:
        raise ConfigError("base_width, heads, depth, mlp_ratio and position_ratio of a ViT must be at least 1")
    dim = heads * base_width
    return ViT(
        ConvStem(base_width, dim) if conv_stem else PatchEmbedding(dim),
        grid=(height // PATCH, width // PATCH),
        dim=dim,
        depth=depth,
        heads=heads,
        mlp_ratio=mlp_ratio,
        drop_path=drop_path,
        position_ratio=position_ratio,
    )
