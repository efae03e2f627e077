"""The blocks of a ViT: attention and MLP, each behind a layer norm."""

import paddle
import paddle.nn.functional as F
from paddle import Tensor, nn

EPSILON = 1e-6  # of the layer norms; paddle's default is 1e-5
START = nn.initializer.TruncatedNormal(std=0.02)


class LayerNorm(nn.LayerNorm):
    """Layer normalisation of rows (..., C) whose gradient is right when its weight is frozen, too.

    Args:
        dim: C.

    Note:
        On the CPU paddle's layer_norm (2.6 and 3.3) leaves the weight out of the gradient of its input when no gradient
        is asked of the weight, without a word. A frozen one is therefore applied by itself. What is no different is
        `paddle.grad` of some tensors, which cannot be seen from here: ask it for the weights as well.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(dim, epsilon=EPSILON)
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        """Normalise rows, (..., C) to (..., C)."""
        if self.weight.stop_gradient or self.bias.stop_gradient:
            return F.layer_norm(x, [self.dim], epsilon=EPSILON) * self.weight + self.bias
        return F.layer_norm(x, [self.dim], self.weight, self.bias, EPSILON)


def _linear(in_features: int, out_features: int) -> nn.Linear:
    zero = paddle.ParamAttr(initializer=nn.initializer.Constant(0.0))
    return nn.Linear(in_features, out_features, paddle.ParamAttr(initializer=START), zero)


class Attention(nn.Layer):
    """Every token looks at all tokens, with several heads; in elementary operations, which every exporter knows.

    Args:
        dim: D, size of a token.
        heads: D must be a multiple of it.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.head_dim = heads, dim // heads
        self.qkv = _linear(dim, 3 * dim)
        self.proj = _linear(dim, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T, D) to (B, T, D)."""
        count, heads, size = tokens.shape[1], self.heads, self.head_dim
        qkv = self.qkv(tokens).reshape([-1, count, 3, heads, size]).transpose([2, 0, 3, 1, 4])
        queries, keys, values = qkv[0], qkv[1], qkv[2]  # (B, heads, T, size) each
        similarity = paddle.matmul(queries, keys, transpose_y=True) * size**-0.5  # (B, heads, T, T)
        mixed = paddle.matmul(F.softmax(similarity, axis=-1), values)  # (B, heads, T, size)
        return self.proj(mixed.transpose([0, 2, 1, 3]).reshape([-1, count, heads * size]))


class MLP(nn.Layer):
    """Two linear layers with GELU (the exact one, with erf) between them."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = _linear(dim, hidden)
        self.fc2 = _linear(hidden, dim)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T, D) to (B, T, D)."""
        return self.fc2(F.gelu(self.fc1(tokens)))


class Block(nn.Layer):
    """Attention and MLP, each behind its norm and beside a shortcut."""

    def __init__(self, dim: int, heads: int, mlp_ratio: int) -> None:
        super().__init__()
        self.norm1 = LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.norm2 = LayerNorm(dim)
        self.mlp = MLP(dim, dim * mlp_ratio)

    def forward(self, tokens: Tensor, scales: Tensor | None = None) -> Tensor:
        """Tokens (B, T, D) to (B, T, D); scales (B, 2) of the two branches, see `path_scales`, None is 1."""
        attended, seen = self.attn, self.mlp
        if scales is None:
            tokens = tokens + attended(self.norm1(tokens))
            return tokens + seen(self.norm2(tokens))
        first, second = scales[:, 0].reshape([-1, 1, 1]), scales[:, 1].reshape([-1, 1, 1])  # (B, 1, 1)
        tokens = tokens + first * attended(self.norm1(tokens))
        return tokens + second * seen(self.norm2(tokens))
