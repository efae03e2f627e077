"""Reference numbers of the ViT, made by running the released code, and the network that they are of."""

import json
from pathlib import Path

import numpy as np

from ppreid.models.conv_stem import ConvStem
from ppreid.models.reid_net import ReIDNet, no_pooling
from ppreid.models.vit import PatchEmbedding, ViT
from ppreid.weights.names import from_ppreid_names, to_ppreid_names

GOLDENS = Path(__file__).parents[1] / "data" / "goldens" / "beyond"
NAMING = "transreid"


def golden(name):
    """Arrays of a file by name, and what it says about them."""
    with np.load(GOLDENS / f"{name}.npz", allow_pickle=False) as file:
        arrays = {key: file[key] for key in file.files}
    return arrays, json.loads(str(arrays.pop("meta")))


def with_prefix(arrays, prefix):
    """The arrays whose name starts with a prefix, named without it."""
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}


def small_net(shape, *, stem, **options):
    """The network of a shape as the files have it: image, dim, depth, heads, mlp_ratio, width of the stem."""
    (height, width), dim, depth, heads, mlp_ratio, stem_width = shape
    backbone = ViT(
        ConvStem(stem_width, dim) if stem else PatchEmbedding(dim),
        grid=(height // 16, width // 16),
        dim=dim,
        depth=depth,
        heads=heads,
        mlp_ratio=mlp_ratio,
        drop_path=0.0,
        position_ratio=2,
    )
    return ReIDNet(backbone, pooling=no_pooling, **options)


def fill(net, theirs):
    """Put weights by the released names into a network; every one has its place."""
    ours, unknown = to_ppreid_names(theirs, net.state_dict(), NAMING)
    assert ours.keys() == net.state_dict().keys()
    assert all(name.endswith("num_batches_tracked") for name in unknown)
    net.set_state_dict(ours)


def released_state(net):
    """The state of a network by the released names."""
    return from_ppreid_names({name: tensor.numpy() for name, tensor in net.state_dict().items()}, NAMING)


def released_gradients(net):
    """The gradients of a network by the released names."""
    found = {name: p.grad.numpy() for name, p in net.named_parameters() if p.grad is not None}
    return from_ppreid_names(found, NAMING)


def check_running_statistics(net, expected, before, counts):
    """Compare with the released ones, whose variance is unbiased; counts: numbers per channel of a batch, by layer."""
    after = released_state(net)
    for name, value in expected.items():
        layer, _, leaf = name.rpartition(".")
        if leaf == "running_var":
            count = counts.get(layer.split(".")[0], counts["bottleneck"])
            value = 0.9 * before[name] + (value - 0.9 * before[name]) * (count - 1) / count
        np.testing.assert_allclose(after[name], value, rtol=1e-4, atol=2e-5, err_msg=name)
