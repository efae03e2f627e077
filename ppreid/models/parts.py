"""Features of parts of an image beside that of the whole; only training needs them."""

from paddle import Tensor, nn

from ppreid.models.batch_norm import FrozenBiasBatchNorm
from ppreid.models.reid_net import GeMPool, ReIDNet


class HalfParts(nn.Layer):
    """Maps to a row of their upper and one of their lower half, each with a pooling and a neck of its own.

    Args:
        channels: C.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.poolings = nn.LayerList([GeMPool(), GeMPool()])
        self.necks = nn.LayerList([FrozenBiasBatchNorm(channels), FrozenBiasBatchNorm(channels)])

    def forward(self, maps: Tensor) -> list[Tensor]:
        """Maps (B, C, h, w), h at least 2, to two tables (B, C); of an odd h the lower half has one more."""
        middle = maps.shape[2] // 2
        halves = maps[:, :, :middle], maps[:, :, middle:]
        # by number, since paddle's export knows no zip(strict=True)
        return [self.necks[i](self.poolings[i](half)) for i, half in enumerate(halves)]


class AllHeads(nn.Layer):
    """A network whose features are the rows of the whole image and of its parts, see `ReIDNet.all_heads`."""

    def __init__(self, model: ReIDNet) -> None:
        super().__init__()
        self.model = model
        self.training = model.training

    def forward(self, images: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to rows (B, heads * D); in evaluation."""
        return self.model.all_heads(images)
