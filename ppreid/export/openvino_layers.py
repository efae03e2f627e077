"""Layers without layers inside as OpenVINO's operations, see `openvino_graph`."""

from collections.abc import Callable
from typing import Any

import numpy as np
from openvino import opset13 as ops  # an optional package: who imports this file has asked for it
from paddle import nn

from ppreid.models import reid_net, vit_block
from ppreid.models.batch_norm import FrozenBiasBatchNorm, GhostBatchNorm

Node = Any  # openvino.Node or openvino.Output: its operations take both


def constant(values: Any) -> Node:  # noqa: ANN401 - whatever numpy takes
    """float32 numbers."""
    return ops.constant(np.asarray(values, dtype=np.float32))


def whole(numbers: int | list[int]) -> Node:
    """Whole numbers, such as axes and shapes."""
    return ops.constant(np.asarray(numbers, dtype=np.int64))


def part(x: Node, start: int, stop: int, axis: int) -> Node:
    """x[start:stop] along an axis."""
    return ops.slice(x, whole([start]), whole([stop]), whole([1]), whole([axis]))


def reshape(x: Node, shape: list[int]) -> Node:
    """The same numbers in another shape; -1 is what is left."""
    return ops.reshape(x, whole(shape), special_zero=False)


def unit(x: Node) -> Node:
    """Rows (B, D) of length 1."""
    return ops.normalize_l2(x, whole([1]), 1e-24, "max")  # of the sum of squares: 1e-12 of the length


def _per_channel(x: Node, scale: np.ndarray, shift: np.ndarray) -> Node:
    shape = [1, -1] + [1] * (len(x.get_output_partial_shape(0)) - 2)
    return ops.add(ops.multiply(x, constant(scale.reshape(shape))), constant(shift.reshape(shape)))


def _conv(layer: nn.Conv2D, x: Node) -> Node:
    weight, pad = layer.weight.numpy(), [int(side) for side in np.broadcast_to(layer._padding, 2)]
    how = [int(step) for step in layer._stride], pad, pad, [int(step) for step in layer._dilation]
    if layer._groups == 1:
        out = ops.convolution(x, constant(weight), *how)
    else:
        grouped = weight.reshape(layer._groups, -1, *weight.shape[1:])
        out = ops.group_convolution(x, constant(grouped), *how)
    return out if layer.bias is None else ops.add(out, constant(layer.bias.numpy().reshape(1, -1, 1, 1)))


def _batch_norm(layer: Any, x: Node) -> Node:  # noqa: ANN401 - three kinds with the same names
    deviation = np.sqrt(layer._variance.numpy().astype(np.float64) + layer._epsilon)
    scale = layer.weight.numpy() / deviation
    return _per_channel(x, scale, layer.bias.numpy() - layer._mean.numpy() * scale)


def _instance_norm(layer: nn.InstanceNorm2D, x: Node) -> Node:
    centred = ops.mvn(x, whole([2, 3]), True, float(layer._epsilon), "INSIDE_SQRT")
    return _per_channel(centred, layer.scale.numpy(), layer.bias.numpy())


def _linear(layer: nn.Linear, x: Node) -> Node:
    out = ops.matmul(x, constant(layer.weight.numpy()), False, False)
    return out if layer.bias is None else ops.add(out, constant(layer.bias.numpy()))


def _layer_norm(layer: vit_block.LayerNorm, x: Node) -> Node:
    centred = ops.mvn(x, whole([-1]), True, vit_block.EPSILON, "INSIDE_SQRT")
    return ops.add(ops.multiply(centred, constant(layer.weight.numpy())), constant(layer.bias.numpy()))


def _avg_pool(layer: nn.AvgPool2D, x: Node) -> Node:
    size, step = np.broadcast_to(layer.ksize, 2).tolist(), np.broadcast_to(layer.stride, 2).tolist()
    return ops.avg_pool(x, step, [0, 0], [0, 0], size, True)


def max_pool(x: Node) -> Node:
    """The pooling behind the first convolution: 3x3 places, every second one."""
    return ops.max_pool(x, [2, 2], [1, 1], [1, 1], [1, 1], [3, 3], "floor", "explicit").output(0)


def _gem(layer: reid_net.GeMPool, x: Node) -> Node:
    power = float(layer.p.numpy()[0])
    powers = ops.power(ops.clamp(x, layer.minimum, float(np.finfo(np.float32).max)), constant(power))
    return ops.power(ops.reduce_mean(powers, whole([2, 3]), False), constant(1.0 / power))


LEAVES: dict[Any, Callable[[Any, Node], Node]] = {
    nn.Conv2D: _conv,
    nn.Linear: _linear,
    nn.ReLU: lambda layer, x: ops.relu(x),
    nn.AvgPool2D: _avg_pool,
    nn.BatchNorm1D: _batch_norm,
    nn.BatchNorm2D: _batch_norm,
    FrozenBiasBatchNorm: _batch_norm,
    GhostBatchNorm: _batch_norm,
    nn.InstanceNorm2D: _instance_norm,
    vit_block.LayerNorm: _layer_norm,
    reid_net.GeMPool: _gem,
    reid_net.average_pool: lambda layer, x: ops.reduce_mean(x, whole([2, 3]), False),
    reid_net.max_pool: lambda layer, x: ops.reduce_max(x, whole([2, 3]), False),
    reid_net.no_pooling: lambda layer, x: x,
}
