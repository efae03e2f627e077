"""The network of ISE: backbone, pooling, optional embedding, batch-normalisation neck, unit length."""

import math
from typing import TYPE_CHECKING

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

from ppreid.contracts import Pooling
from ppreid.models.batch_norm import FrozenBiasBatchNorm, interleave_chunks, restore_chunks, use_ghost_batch_norm

if TYPE_CHECKING:
    from ppreid.models.batch_cameras import BatchCameras
    from ppreid.models.drop_path import StepDraws


def average_pool(maps: Tensor) -> Tensor:
    """Mean over all positions, the pooling of the published ISE runs.

    Args:
        maps: feature maps, (B, C, H, W).

    Returns:
        (B, C).
    """
    return maps.mean(axis=[2, 3])


def max_pool(maps: Tensor) -> Tensor:
    """Maximum over all positions; where several positions tie, one of them receives the gradient.

    Args:
        maps: feature maps, (B, C, H, W).

    Returns:
        (B, C).
    """
    return F.adaptive_max_pool2d(maps, output_size=1).flatten(1)


class GeMPool(nn.Layer):
    """Generalised mean over all positions, (mean x^p)^(1/p), with one trainable exponent for all channels.

    p = 1 is the mean of the positive parts, p -> infinity the maximum.

    Args:
        p: initial exponent, > 0.
        minimum: values below are raised to it, so that x^p and its gradient with respect to p exist.

    Reference:
        Radenovic, Tolias, Chum: Fine-tuning CNN Image Retrieval with No Human Annotation, TPAMI 2019, eq. (3).
    """

    def __init__(self, p: float = 3.0, minimum: float = 1e-6) -> None:
        super().__init__()
        self.minimum = minimum
        self.p = self.create_parameter([1], default_initializer=nn.initializer.Constant(p))

    def forward(self, maps: Tensor) -> Tensor:
        """Pool feature maps, (B, C, H, W) to (B, C)."""
        powers = paddle.clip(maps, min=self.minimum) ** self.p  # (B, C, H, W)
        return powers.mean(axis=[2, 3]) ** (1.0 / self.p)  # (B, C)


def no_pooling(vectors: Tensor) -> Tensor:
    """What stands in place of a pooling where the backbone gives vectors (B, C), as a ViT does: they stay so."""
    return vectors


# starts of the names of what features do not need
AUXILIARY, PARTS = "auxiliary.", "parts."


class ReIDNet(nn.Layer):
    """Images to unit feature vectors; the same vector serves the loss, clustering and retrieval.

    Args:
        backbone: images (B, 3, H, W) to feature maps (B, backbone.feature_dim, h, w), e.g. from `resnet`, or to vectors
            (B, backbone.feature_dim), e.g. from `vit`.
        pooling: feature maps (B, C, h, w) to (B, C): average_pool, max_pool or a GeMPool; no_pooling for vectors.
        embedding_dim: size of a linear layer (without bias) between pooling and neck; 0 is none.
        bn_chunks: training batches are normalised in this many contiguous chunks of equal size, as so many GPUs
            would (see batch_norm.py); 1 is ordinary batch normalisation.
        neck_rows: in training, give the rows of the neck as they are, and leave it to the objective to scale them.
        parts: (B, C, h, w) maps to further rows of the size of the neck's, for training; see `all_heads`.
        stripes: horizontal stripes of the maps whose rows, each with a neck of its own, are part of the feature beside
            that of the whole image; 1 is the whole image alone.
        draws: random numbers that the backbone takes in training beside the images; None: it takes none.

    Attributes:
        feature_dim: D, the length of the feature vectors; of the row of the whole image with those of all stripes.
        draws: see above; `start_draws` begins a step, also of `cameras`, which `look_at_cameras` hung onto it.
        auxiliary: layers that the objective calls, on every process with the rows of the whole batch. They are trained
            and in checkpoints like the rest, but features need none of them.

    Reference:
        The neck: Luo et al.: Bag of Tricks and a Strong Baseline for Deep Person Re-identification, CVPRW 2019,
        section 3.5.

    Note:
        The bias of the neck is kept in the state dict but not trained, as in the released ISE code.
    """

    def __init__(
        self,
        backbone: nn.Layer,
        *,
        pooling: Pooling = average_pool,
        embedding_dim: int = 0,
        bn_chunks: int = 1,
        neck_rows: bool = False,
        parts: nn.Layer | None = None,
        stripes: int = 1,
        draws: "StepDraws | None" = None,
    ) -> None:
        super().__init__()
        self.bn_chunks = bn_chunks
        self.draws = draws
        self._neck_rows = neck_rows
        self.parts = parts
        self.cameras: BatchCameras | None = None
        self.auxiliary: nn.Layer | None = None
        row_dim = embedding_dim or backbone.feature_dim
        self.feature_dim = row_dim * (1 + stripes if stripes > 1 else 1)
        self.backbone = backbone
        self.pooling = pooling
        self.embedding = _embedding(backbone.feature_dim, embedding_dim) if embedding_dim else None
        self.neck = FrozenBiasBatchNorm(row_dim)
        self.stripe_necks = None
        if stripes > 1:
            self.stripe_necks = nn.LayerList([FrozenBiasBatchNorm(row_dim) for _ in range(stripes)])
        if bn_chunks > 1:
            use_ghost_batch_norm(self, bn_chunks)

    def forward(self, images: Tensor) -> Tensor:
        """Feature vectors.

        Args:
            images: normalised images, (B, 3, H, W); in training, B is a multiple of bn_chunks.

        Returns:
            (B, D), rows of length 1; float32 in training, and there of any length with `neck_rows`. With `parts` the
            rows of these in training beside the others, (B, heads * D). With `stripes` in training several rows of
            length 1 beside each other, and in evaluation these divided by the root of their number.

        Raises:
            ConfigError: a training batch cannot be split into bn_chunks equal chunks.
        """
        maps = self._maps_in_chunk_order(images)
        embedded = self._embedded(maps)  # (B, D)
        if self.stripe_necks is not None:
            return self._striped(maps, embedded, [self.neck, *self.stripe_necks])
        if not self.training:
            return self._unit_features(embedded)
        with paddle.amp.auto_cast(enable=False):  # what follows is float32, also where mixed precision came before
            embedded = embedded.astype("float32")
            rows = self._restore_order(self.neck(embedded)) if self._neck_rows else self._unit_features(embedded)
            if self.parts is None:
                return rows
            further = [self._restore_order(part) for part in self.parts(maps.astype("float32"))]
            return paddle.concat([rows, *further], axis=1)

    def all_heads(self, images: Tensor) -> Tensor:
        """The feature and the rows of the parts beside it, each of length 1, (B, heads * D); in evaluation."""
        maps = self._maps_in_chunk_order(images)
        rows = [self._unit_features(self._embedded(maps))]
        if self.parts is not None:
            rows += [F.normalize(row, axis=1, epsilon=1e-12) for row in self.parts(maps)]
        return paddle.concat(rows, axis=1)

    def _striped(self, maps: Tensor, embedded: Tensor, necks: list[nn.Layer]) -> Tensor:
        height, count = maps.shape[2], len(necks) - 1
        # a stripe that does not end between two rows takes both, so that no stripe is ever empty
        edges = [(i * height // count, -(-(i + 1) * height // count)) for i in range(count)]
        pooled = [embedded, *(self._embedded(maps[:, :, top:bottom]) for top, bottom in edges)]
        with paddle.amp.auto_cast(enable=False):
            # by number, since paddle's export knows no zip(strict=True)
            rows = [self._restore_order(neck(pooled[i].astype("float32"))) for i, neck in enumerate(necks)]
            if not (self.training and self._neck_rows):
                rows = [F.normalize(row, axis=1, epsilon=1e-12) for row in rows]
        beside = paddle.concat(rows, axis=1)
        return beside if self.training else beside / math.sqrt(1 + count)

    def _embedded(self, maps: Tensor) -> Tensor:
        pooled = self.pooling(maps)  # (B, C)
        return pooled if self.embedding is None else self.embedding(pooled)  # (B, D)

    def _unit_features(self, embedded: Tensor) -> Tensor:
        return F.normalize(self._restore_order(self.neck(embedded)), axis=1, epsilon=1e-12)

    def pooled(self, images: Tensor) -> Tensor:
        """Pooled feature maps, or the vectors of a backbone that gives such, before embedding and neck.

        Args:
            images: as in `forward`.

        Returns:
            (B, backbone.feature_dim), of any length.
        """
        return self._restore_order(self.pooling(self._maps_in_chunk_order(images)))

    def _maps_in_chunk_order(self, images: Tensor) -> Tensor:
        inputs = [images]
        if self.training and self.draws is not None:
            inputs.append(self.draws.take(images.shape[0]))  # (B, K)
        if self._normalises_in_chunks():
            inputs = [interleave_chunks(rows, self.bn_chunks) for rows in inputs]
        return self.backbone(*inputs)

    def _restore_order(self, rows: Tensor) -> Tensor:
        return restore_chunks(rows, self.bn_chunks) if self._normalises_in_chunks() else rows

    def _normalises_in_chunks(self) -> bool:
        return self.training and self.bn_chunks > 1


def _embedding(in_features: int, out_features: int) -> nn.Linear:
    fan_out_init = nn.initializer.Normal(std=math.sqrt(2.0 / out_features))
    return nn.Linear(in_features, out_features, weight_attr=fan_out_init, bias_attr=False)
