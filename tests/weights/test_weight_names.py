"""Names of parameters in other code bases, against lists made by those code bases."""

import re
from pathlib import Path

import numpy as np
import pytest
from paddle.vision import models as paddle_models

from ppreid.models.reid_net import GeMPool, ReIDNet
from ppreid.models.resnet import resnet
from ppreid.weights.name_rules import NAMINGS, paddle_vision_names, paddleclas_rec_names
from ppreid.weights.names import detect_naming, from_ppreid_names, namings_of, to_ppreid_names

RESNET_NAMINGS = namings_of(ReIDNet(resnet(18, base_width=2)).state_dict())

PADDLECLAS = Path(__file__).parents[1] / "data" / "paddleclas_recmodel_resnet50.txt"


@pytest.fixture(scope="module")
def resnet50_net():
    return ReIDNet(resnet(50))


def test_paddleclas_names_and_shapes_are_those_of_paddleclas(resnet50_net):
    # The list was written by PaddleClas 2.6.0: RecModel, ResNet50_last_stage_stride1, BNNeck, FC head.
    lines = (line.split(" ", 1) for line in PADDLECLAS.read_text().splitlines())
    theirs = {name: shape for name, shape in lines if not name.startswith("head.")}
    state = resnet50_net.state_dict()

    renamed = paddleclas_rec_names(state)

    assert {renamed[name]: str(tuple(tensor.shape)) for name, tensor in state.items()} == theirs


def test_paddleclas_numbers_blocks_over_all_stages():
    names = [f"backbone.{name}" for name in resnet(101, base_width=8).state_dict()]
    renamed = paddleclas_rec_names(names)
    numbers = {"layer1.0": 0, "layer2.0": 3, "layer3.0": 7, "layer3.22": 29, "layer4.0": 30, "layer4.2": 32}
    for block, number in numbers.items():
        assert renamed[f"backbone.{block}.conv3.weight"] == f"backbone.blocks.{number}.conv2.conv.weight"
    assert renamed["backbone.layer4.0.downsample.1._mean"] == "backbone.blocks.30.short.bn._mean"


@pytest.mark.parametrize("depth", [18, 152])
def test_paddle_vision_names_are_those_of_paddle_vision(depth):
    ours = [f"backbone.{name}" for name in resnet(depth).state_dict()]
    theirs = [name for name in getattr(paddle_models, f"resnet{depth}")().state_dict() if not name.startswith("fc.")]
    assert list(paddle_vision_names(ours).values()) == theirs


@pytest.mark.parametrize(
    ("naming", "expected"),
    [
        ("torchvision", {"conv1.weight", "bn1.running_mean", "layer3.5.bn3.bias", "layer2.0.downsample.0.weight"}),
        ("ise-reid", {"base.0.weight", "base.1.running_mean", "base.6.5.bn3.bias", "feat_bn.running_var", "gap.p"}),
        ("torchvision-parallel", {"module.conv1.weight", "module.layer1.0.bn1.running_var"}),
        ("ise-reid-parallel", {"module.base.0.weight", "module.base.7.2.conv3.weight", "module.feat.weight"}),
        ("paddleclas-backbone", {"stem.0.bn._mean", "blocks.13.short.conv.weight", "neck.feat_bn.weight"}),
    ],
)
def test_examples(naming, expected):
    net = ReIDNet(resnet(50, base_width=8), pooling=GeMPool(), embedding_dim=4)
    assert expected <= set(NAMINGS[naming].names(net.state_dict()).values())


def test_ibn_names_follow_ibn_net():
    names = [f"backbone.{name}" for name in resnet(50, base_width=8, ibn=True).state_dict()]
    theirs = set(NAMINGS["torchvision"].names(names).values())
    assert {"layer1.0.bn1.IN.weight", "layer1.0.bn1.IN.bias", "layer1.0.bn1.BN.running_var"} <= theirs


@pytest.mark.parametrize("naming", RESNET_NAMINGS)
@pytest.mark.parametrize("depth", [18, 50])
def test_there_and_back_is_exact(naming, depth):
    net = ReIDNet(resnet(depth, base_width=8, ibn=depth == 50), pooling=GeMPool(), embedding_dim=4)
    ours = {name: tensor.numpy() for name, tensor in net.state_dict().items()}

    theirs = from_ppreid_names(ours, naming)
    again, unknown = to_ppreid_names(theirs, ours, naming)

    assert not unknown
    assert len(theirs) == len(ours)
    assert detect_naming(theirs) == naming
    assert again.keys() == ours.keys()
    for name, array in ours.items():
        np.testing.assert_array_equal(again[name], array)


def test_torch_stores_matrices_the_other_way_round():
    ours = {"embedding.weight": np.arange(6.0).reshape(2, 3)}
    np.testing.assert_array_equal(from_ppreid_names(ours, "ise-reid")["feat.weight"], ours["embedding.weight"].T)
    np.testing.assert_array_equal(from_ppreid_names(ours, "ppreid")["embedding.weight"], ours["embedding.weight"])


def test_unknown_names_are_told_apart(resnet50_net):
    known = {"stem.0.conv.weight": np.zeros(1), "stem.0.bn._mean": np.zeros(1)}
    extra = {"fc.weight": np.zeros((2, 1)), "backbone.conv1.weight": np.ones(1)}  # the latter is ours, not theirs
    renamed, unknown = to_ppreid_names({**known, **extra}, resnet50_net.state_dict(), "paddleclas-backbone")
    assert renamed == {"backbone.conv1.weight": np.zeros(1), "backbone.bn1._mean": np.zeros(1)}
    assert unknown == list(extra)


def test_an_unknown_naming_is_none():
    assert detect_naming(["features.0.weight"]) is None
    assert detect_naming([]) is None


def test_every_naming_is_one_to_one_and_leaves_no_mixture(resnet50_net):
    for key, naming in NAMINGS.items():
        theirs = list(naming.names(resnet50_net.state_dict()).values())
        assert len(set(theirs)) == len(theirs), key
        if naming.from_torch:
            assert not [name for name in theirs if re.search(r"_mean$|_variance$", name) and "running" not in name]


def ibn_net_names(stages):
    """As IBN-Net names a ResNet-IBN-a: in layers 1 to 3 two norms stand in the place of the first of a block."""
    batch_norm = ("weight", "bias", "running_mean", "running_var")
    yield from ("conv1.weight", *(f"bn1.{leaf}" for leaf in batch_norm))
    for stage, num_blocks in enumerate(stages, start=1):
        for block in range(num_blocks):
            place = f"layer{stage}.{block}"
            yield from (f"{place}.conv{number}.weight" for number in (1, 2, 3))
            first = [f"bn1.{leaf}" for leaf in batch_norm]
            if stage < 4:
                first = ["bn1.IN.weight", "bn1.IN.bias", *(f"bn1.BN.{leaf}" for leaf in batch_norm)]
            norms = [*first, *(f"bn{number}.{leaf}" for number in (2, 3) for leaf in batch_norm)]
            yield from (f"{place}.{name}" for name in norms)
            if block == 0:
                yield f"{place}.downsample.0.weight"
                yield from (f"{place}.downsample.1.{leaf}" for leaf in batch_norm)


@pytest.mark.parametrize(("depth", "stages"), [(50, (3, 4, 6, 3)), (101, (3, 4, 23, 3))])
def test_ibn_net_names_are_those_of_ibn_net(depth, stages):
    net = ReIDNet(resnet(depth, base_width=4, ibn=True))
    ours = {name: tensor.numpy() for name, tensor in net.state_dict().items() if name.startswith("backbone.")}
    theirs = from_ppreid_names(ours, "torchvision")
    assert set(theirs) == set(ibn_net_names(stages))
    published = {f"module.{name}": array for name, array in theirs.items()}
    assert detect_naming(published) == "torchvision-parallel"
