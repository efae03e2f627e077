"""A network in OpenVINO's own operations, layer by layer, with the weights of paddle's layers.

There is no exporter between the two, so that nothing else need be installed, whatever versions Python and paddle have.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
import openvino
from openvino import opset13 as ops
from paddle import nn

from ppreid.base.errors import ConfigError
from ppreid.export.openvino_layers import LEAVES, Node, constant, max_pool, part, reshape, unit, whole
from ppreid.models import conv_stem, flip, osnet, parts, reid_net, resnet, vit, vit_block


def openvino_network(model: nn.Layer, shape: tuple[int, int, int, int]) -> openvino.Model:
    """Rebuild a network as it is in evaluation.

    Args:
        model: maps images (B, 3, H, W) to rows (B, D); made of layers of ppreid and of paddle.
        shape: of its images, (B, 3, H, W).

    Returns:
        The network for batches of exactly that shape; it has its own copy of the weights.

    Raises:
        ConfigError: it has a layer that is not known here.
    """
    images = ops.parameter(list(shape), np.float32, name="images")
    return openvino.Model([run(model, images)], [images], "ppreid")


def run(layer: Any, x: Node) -> Node:  # noqa: ANN401 - a layer, or a function as a pooling may be
    """What a layer makes of its input."""
    kinds = type(layer).__mro__ if isinstance(layer, nn.Layer) else (layer,)
    known = [LAYERS[kind] for kind in kinds if kind in LAYERS]
    if not known:
        name = getattr(layer, "__name__", type(layer).__name__)
        raise ConfigError(f"the openvino engine does not know the layer {name}; set eval.engine=inference or eager")
    return known[0](layer, x)


def _sequence(layer: nn.Layer, x: Node) -> Node:
    for child in layer.children():
        x = run(child, x)
    return x


def _half_instance_norm(layer: resnet.InstanceBatchNorm, x: Node) -> Node:
    half, channels = layer.IN.scale.shape[0], layer.IN.scale.shape[0] + layer.BN.weight.shape[0]
    return ops.concat([run(layer.IN, part(x, 0, half, 1)), run(layer.BN, part(x, half, channels, 1))], 1)


def _block(layer: resnet.BasicBlock | resnet.Bottleneck, x: Node) -> Node:
    out = ops.relu(run(layer.bn1, run(layer.conv1, x)))
    out = run(layer.bn2, run(layer.conv2, out))
    if isinstance(layer, resnet.Bottleneck):
        out = run(layer.bn3, run(layer.conv3, ops.relu(out)))
    return ops.relu(ops.add(out, x if layer.downsample is None else run(layer.downsample, x)))


def _resnet(layer: resnet.ResNet, x: Node) -> Node:
    x = max_pool(ops.relu(run(layer.bn1, run(layer.conv1, x))))
    for stage in (layer.layer1, layer.layer2, layer.layer3, layer.layer4):
        x = run(stage, x)
    return x


def _conv_norm(layer: osnet.ConvNorm, x: Node) -> Node:
    out = run(layer.bn, run(layer.conv, x))
    return ops.relu(out) if layer.relu else out


def _light_conv(layer: osnet.LightConv, x: Node) -> Node:
    return ops.relu(_sequence(layer, x))


def _gate(layer: osnet.ChannelGate, x: Node) -> Node:
    pooled = ops.reduce_mean(x, whole([2, 3]), True)
    return ops.multiply(x, ops.sigmoid(run(layer.fc2, ops.relu(run(layer.fc1, pooled)))))


def _omni_scale(layer: osnet.OmniScaleBlock, x: Node) -> Node:
    reduced = run(layer.conv1, x)
    seen = None
    for stream in osnet.STREAMS:
        out = run(layer.gate, run(getattr(layer, f"conv2{stream}"), reduced))
        seen = out if seen is None else ops.add(seen, out)
    shortcut = x if layer.downsample is None else run(layer.downsample, x)
    return ops.relu(ops.add(run(layer.conv3, seen), shortcut))


def _osnet(layer: osnet.OSNet, x: Node) -> Node:
    x = max_pool(run(layer.conv1, x))
    for stage in (layer.conv2, layer.conv3, layer.conv4, layer.conv5):
        x = run(stage, x)
    return x


def _attention(layer: vit_block.Attention, x: Node) -> Node:
    batch, count, dim = x.get_output_shape(0)
    qkv = reshape(run(layer.qkv, x), [batch, count, 3, layer.heads, layer.head_dim])
    qkv = ops.transpose(qkv, whole([2, 0, 3, 1, 4]))
    queries, keys, values = (
        ops.gather(qkv, whole(number), whole(0)) for number in range(3)
    )  # (B, heads, T, size) each
    similarity = ops.multiply(ops.matmul(queries, keys, False, True), constant(layer.head_dim**-0.5))
    mixed = ops.matmul(ops.softmax(similarity, -1), values, False, False)
    return run(layer.proj, reshape(ops.transpose(mixed, whole([0, 2, 1, 3])), [batch, count, dim]))


def _mlp(layer: vit_block.MLP, x: Node) -> Node:
    return run(layer.fc2, ops.gelu(run(layer.fc1, x), "erf"))


def _vit_block(layer: vit_block.Block, x: Node) -> Node:
    x = ops.add(x, run(layer.attn, run(layer.norm1, x)))
    return ops.add(x, run(layer.mlp, run(layer.norm2, x)))


def _vit(layer: vit.ViT, x: Node) -> Node:
    maps = run(layer.patch_embed, x)
    batch, dim = maps.get_output_shape(0)[:2]
    patches = ops.transpose(reshape(maps, [batch, dim, -1]), whole([0, 2, 1]))
    first = np.repeat(layer.cls_token.numpy(), batch, axis=0)  # (B, 1, D)
    tokens = ops.add(ops.concat([constant(first), patches], 1), constant(layer.pos_embed.numpy()))
    for block in layer.blocks:
        tokens = run(block, tokens)
    return reshape(part(run(layer.norm, tokens), 0, 1, 1), [batch, dim])


def _half_parts(layer: parts.HalfParts, x: Node) -> list[Node]:
    height = x.get_output_shape(0)[2]
    halves = part(x, 0, height // 2, 2), part(x, height // 2, height, 2)
    return [run(neck, run(pool, half)) for half, pool, neck in zip(halves, layer.poolings, layer.necks, strict=True)]


def _row(layer: reid_net.ReIDNet, maps: Node, neck: nn.Layer) -> Node:
    pooled = run(layer.pooling, maps)
    return unit(run(neck, pooled if layer.embedding is None else run(layer.embedding, pooled)))


def _neck(layer: reid_net.ReIDNet, maps: Node) -> Node:
    if layer.stripe_necks is None:
        return _row(layer, maps, layer.neck)
    height, count = maps.get_output_shape(0)[2], len(layer.stripe_necks)
    stripes = [part(maps, i * height // count, -(-(i + 1) * height // count), 2) for i in range(count)]
    rows = [_row(layer, stripe, neck) for stripe, neck in zip(stripes, layer.stripe_necks, strict=True)]
    return unit(ops.concat([_row(layer, maps, layer.neck), *rows], 1))


def _all_heads(layer: parts.AllHeads, x: Node) -> Node:
    maps = run(layer.model.backbone, x)
    further = [] if layer.model.parts is None else _half_parts(layer.model.parts, maps)
    return ops.concat([_neck(layer.model, maps), *map(unit, further)], 1)


def _flip_averaged(layer: flip.FlipAveraged, x: Node) -> Node:
    width = x.get_output_shape(0)[3]
    mirrored = ops.slice(x, whole([width - 1]), whole([-width - 1]), whole([-1]), whole([3]))
    return unit(ops.add(run(layer.model, x), run(layer.model, mirrored)))


LAYERS: dict[Any, Callable[[Any, Node], Node]] = LEAVES | {
    nn.Sequential: _sequence,
    resnet.InstanceBatchNorm: _half_instance_norm,
    resnet.BasicBlock: _block,
    resnet.Bottleneck: _block,
    resnet.ResNet: _resnet,
    osnet.ConvNorm: _conv_norm,
    osnet.LightConv: _light_conv,
    osnet.ChannelGate: _gate,
    osnet.OmniScaleBlock: _omni_scale,
    osnet.OSNet: _osnet,
    conv_stem.ConvStem: _sequence,
    vit.PatchEmbedding: _sequence,
    vit_block.Attention: _attention,
    vit_block.MLP: _mlp,
    vit_block.Block: _vit_block,
    vit.ViT: _vit,
    reid_net.ReIDNet: lambda layer, x: _neck(layer, run(layer.backbone, x)),
    parts.AllHeads: _all_heads,
    flip.FlipAveraged: _flip_averaged,
}
