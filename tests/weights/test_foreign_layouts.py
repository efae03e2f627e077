"""The same network as other code bases save it: every layout arrives exactly, and what is left out is named."""

import argparse
import pickle

import numpy as np
import paddle
import pytest
from safetensors.numpy import save_file

from ppreid.base.errors import WeightsError
from ppreid.models.reid_net import GeMPool, ReIDNet
from ppreid.models.resnet import resnet
from ppreid.weights.files import read_tensors
from ppreid.weights.match import BEHIND_BACKBONE, load_weights, match_weights
from ppreid.weights.name_rules import NAMINGS
from ppreid.weights.names import find_wrapper, from_ppreid_names, namings_of
from ppreid.weights.network import is_backbone_only, network_of
from ppreid.weights.report import grouped

RESNET_NAMINGS = namings_of(ReIDNet(resnet(18, base_width=2)).state_dict())

COUNTERS = {
    "bn1.num_batches_tracked": np.zeros(1, np.float32),
    "layer1.0.bn1.num_batches_tracked": np.ones(1, np.float32),
}


def net(depth=18, seed=5, **options):
    paddle.seed(seed)
    found = ReIDNet(resnet(depth, base_width=8, ibn=options.pop("ibn", False)), **options)
    rng = np.random.default_rng(seed)
    for name, tensor in found.state_dict().items():
        noise = rng.uniform(0, 0.1, tensor.shape) if name.endswith("_variance") else rng.normal(0, 0.1, tensor.shape)
        tensor.set_value(tensor.numpy() + noise.astype(np.float32))
    return found


def arrays(network):
    return {name: tensor.numpy() for name, tensor in network.state_dict().items()}


def under(prefix, tensors):
    return {f"{prefix}{name}": array for name, array in tensors.items()}


def head(*shape):
    return np.ones(shape, np.float32)


def layouts(options):
    """{layout: (naming, tensors as they save them, entry of the file, words of what is left out)}."""
    ours = arrays(net(**options))
    dim = len(ours["neck.weight"])
    theirs = {naming: from_ppreid_names(ours, naming) for naming in RESNET_NAMINGS}
    second = under(
        "encoder_k.",
        {
            "conv1.weight": head(8, 3, 7, 7),
            "bn1.weight": head(8),
            "fc.weight": head(4, dim),
            "bn1.bias": head(8),
            "bn1.running_mean": head(8),
        },
    )
    backbone = {name: array for name, array in theirs["torchvision"].items() if not name.startswith(("neck", "emb"))}
    return {
        "fast-reid": (
            "fast-reid",
            {
                **theirs["fast-reid"],
                "heads.weight": head(751, dim),
                "pixel_mean": head(1, 3, 1, 1),
                **under("backbone.", COUNTERS),
            },
            "model",
            ["heads.weight", "pixel_mean", "2 counters"],
        ),
        "bag of tricks": (
            "reid-strong-baseline",
            {**theirs["reid-strong-baseline"], "classifier.weight": head(751, dim), "base.fc.weight": head(9, 64)},
            "",
            ["classifier.weight", "base.fc.weight"],
        ),
        "Person_reID_baseline": (
            "person-reid-baseline",
            {
                **theirs["person-reid-baseline"],
                "model.fc.weight": head(1000, 64),
                "classifier.classifier.0.weight": head(751, dim),
                "classifier.classifier.0.bias": head(751),
            },
            "",
            ["model.fc.weight", "classifier.classifier.0.weight", "classifier.classifier.0.bias"],
        ),
        "Lightning": (
            "ise-reid",
            {
                **under("model.", {**theirs["ise-reid"], "classifier.weight": head(3, dim)}),
                "loss.centers": head(3, dim),
            },
            "state_dict",
            ["model.classifier.weight", "loss.centers"],
        ),
        "Lightning, called network": ("ppreid", under("network.", theirs["ppreid"]), "state_dict", []),
        "torch.compile": ("fast-reid", under("_orig_mod.", theirs["fast-reid"]), "model", []),
        "torch.compile of Lightning": ("ise-reid", under("model._orig_mod.", theirs["ise-reid"]), "state_dict", []),
        "DataParallel": ("reid-strong-baseline", under("module.", theirs["reid-strong-baseline"]), "state_dict", []),
        "DataParallel of torch.compile": ("ise-reid", under("module._orig_mod.", theirs["ise-reid"]), "", []),
        "MoCo": (
            "torchvision",
            {
                **under(
                    "module.encoder_q.",
                    {**backbone, **COUNTERS, "fc.0.weight": head(64, 64), "fc.2.weight": head(128, 64)},
                ),
                **under("module.", {**second, "queue": head(128, 16)}),
            },
            "state_dict",
            [
                "module.encoder_q.fc.0.weight",
                "module.encoder_q.fc.2.weight",
                "module.encoder_k.* (5 tensors)",
                "module.queue",
            ],
        ),
    }


OPTIONS = {"plain": {}, "embedding": {"embedding_dim": 6}, "IBN": {"depth": 50, "ibn": True}}


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("layout", layouts({}))
def test_every_layout_arrives_and_what_is_left_out_is_named(tmp_path, torch_writer, layout, options):
    naming, tensors, entry, left_out = layouts(options)[layout]
    path = tmp_path / "model.pth.tar-60"
    torch_writer.write_state_dict(path, tensors, entry=entry)
    target = net(seed=6, **options)

    report = load_weights(target, path, allow_missing=BEHIND_BACKBONE)

    expected = arrays(net(**options))
    for name, array in arrays(target).items():
        if name not in report.kept:
            np.testing.assert_array_equal(array, expected[name], err_msg=name)
    assert (report.naming, report.entry) == (naming, entry)
    assert {name.partition(".")[0] for name in report.kept} == ({"neck"} if layout == "MoCo" else set()) | (
        {"embedding"} if layout == "MoCo" and "embedding_dim" in options else set()
    )
    assert len(report.dropped) + report.num_loaded == len(tensors)
    for words in left_out:
        assert words in str(report)


@pytest.mark.parametrize("layout", ["fast-reid", "torch.compile", "Lightning"])
def test_the_same_as_safetensors(tmp_path, layout):
    naming, tensors, _, _ = layouts({})[layout]
    path = tmp_path / "model"
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path)
    assert load_weights(net(seed=6), path).naming == naming
    assert match_weights(net(), path, naming=naming).report.num_loaded == len(arrays(net()))


def features(network, seed=1):
    network.eval()
    paddle.seed(seed)
    with paddle.no_grad():
        return network(paddle.randn([3, 3, 64, 32])).numpy()


@pytest.mark.parametrize("naming", ["ise-reid", "ise-reid-parallel", "person-reid-baseline"])
def test_a_bias_of_the_embedding_changes_features_as_in_their_network(tmp_path, naming):
    network = net(embedding_dim=6)
    bias = np.linspace(-50, 50, 6, dtype=np.float32)
    theirs = from_ppreid_names(arrays(network), naming)
    save_file(
        {**{n: np.ascontiguousarray(a) for n, a in theirs.items()}, NAMINGS[naming].embedding_bias: bias},
        tmp_path / "w.safetensors",
    )
    target = net(seed=6, embedding_dim=6)
    report = load_weights(target, tmp_path / "w.safetensors")
    assert not report.dropped
    np.testing.assert_array_equal(target.neck._mean.numpy(), arrays(network)["neck._mean"] - bias)

    network.embedding.register_forward_post_hook(lambda _layer, _input, output: output + paddle.to_tensor(bias))
    np.testing.assert_allclose(features(target), features(network), atol=1e-5)
    assert np.abs(features(target) - features(net(embedding_dim=6))).max() > 1e-2


def test_a_bias_in_half_precision_is_taken_in_exactly(tmp_path):
    half = {name: array.astype(np.float16) for name, array in arrays(net(embedding_dim=6)).items()}
    theirs = {name: np.ascontiguousarray(array) for name, array in from_ppreid_names(half, "ise-reid").items()}
    bias = np.full(6, 2.0**-9, np.float16)
    save_file({**theirs, "feat.bias": bias}, tmp_path / "w.safetensors")
    found, _ = match_weights(net(embedding_dim=6), tmp_path / "w.safetensors")
    np.testing.assert_array_equal(found["neck._mean"], half["neck._mean"].astype(np.float32) - np.float32(2.0**-9))
    assert found["neck.weight"].dtype == np.float16


def test_the_baseline_without_an_embedding_has_the_neck_in_its_place(tmp_path):
    names = NAMINGS["person-reid-baseline"].names(arrays(net()))
    assert names["neck._mean"] == "classifier.add_block.0.running_mean"
    names = NAMINGS["person-reid-baseline"].names(arrays(net(embedding_dim=6)))
    assert (names["neck._mean"], names["embedding.weight"]) == (
        "classifier.add_block.1.running_mean",
        "classifier.add_block.0.weight",
    )


def test_a_network_that_differs_is_said(tmp_path):
    save_file(from_ppreid_names(arrays(net()), "reid-strong-baseline"), tmp_path / "w.safetensors")
    assert "no ReLU behind the first normalisation" in str(load_weights(net(), tmp_path / "w.safetensors"))


def test_the_teacher_of_a_dino_file_is_read_and_its_arguments_are_not(tmp_path):
    theirs = from_ppreid_names(arrays(net()), "torchvision-parallel")
    args = argparse.Namespace(lr=0.1, data_path="/data", nested=argparse.Namespace(a=[1]))
    student = {name: -array for name, array in theirs.items()}
    (tmp_path / "checkpoint0090.pth").write_bytes(
        pickle.dumps({"student": student, "teacher": theirs, "args": args}, 2)
    )
    tensors, entry = read_tensors(tmp_path / "checkpoint0090.pth")
    assert entry == "teacher"
    np.testing.assert_array_equal(tensors["module.conv1.weight"], theirs["module.conv1.weight"])


@pytest.mark.parametrize(
    ("names", "wrapper"),
    [
        (["conv1.weight", "bn1.running_mean"], ""),
        (["module.encoder_q.conv1.weight", "module.encoder_q.bn1.running_mean"], "module.encoder_q."),
        (["module.encoder_k.conv1.weight", "module.encoder_k.bn1.running_mean"], ""),
        (["model.conv1.weight", "model.bn1.running_mean"], "model."),
        (["model.conv1.weight", "model.bn1.running_mean", "classifier.add_block.0.weight"], ""),
        (
            ["module.model.conv1.weight", "module.model.bn1.running_mean", "module.classifier.add_block.0.weight"],
            "module.",
        ),
        (["strange.conv1.weight", "strange.bn1.running_mean"], ""),
        (["model.features.0.weight"], ""),
        ([], ""),
    ],
)
def test_what_wraps_a_network(names, wrapper):
    assert find_wrapper(names) == wrapper


NETWORKS = {
    "resnet18": {},
    "resnet34": {"depth": 34},
    "resnet50": {"depth": 50, "embedding_dim": 12, "pooling": GeMPool()},
    "resnet50_ibn_a": {"depth": 50, "ibn": True, "pooling": GeMPool()},
    "resnet101": {"depth": 101},
}


@pytest.mark.parametrize("naming", RESNET_NAMINGS)
@pytest.mark.parametrize("backbone", NETWORKS)
def test_names_and_shapes_tell_the_network(naming, backbone):
    options = NETWORKS[backbone]
    theirs = from_ppreid_names(arrays(net(**options)), naming)
    shapes = {name: array.shape for name, array in theirs.items()}
    assert network_of(shapes, naming) == {
        "model.backbone": backbone,
        "model.base_width": "8",
        "model.embedding_dim": str(options.get("embedding_dim", 0)),
        "model.parts": "1",
        "model.pooling": "gem" if "pooling" in options else "avg",
    }
    alone = from_ppreid_names({n: a for n, a in arrays(net(**options)).items() if n.startswith("backbone.")}, naming)
    shapes = {name: array.shape for name, array in alone.items()}
    assert is_backbone_only(shapes, naming)
    assert network_of(shapes, naming) == {"model.backbone": backbone, "model.base_width": "8"}


WRONG = {
    "depth": ({"depth": 34}, ["resnet34", "pass -o model.backbone=resnet34\n"]),
    "embedding": ({"embedding_dim": 6}, ["embedding of 6", "pass -o model.embedding_dim=6\n"]),
    "pooling": ({"pooling": GeMPool()}, ["pooling gem", "pass -o model.pooling=gem\n"]),
    "all": (
        {"depth": 50, "embedding_dim": 6, "pooling": GeMPool(), "ibn": True},
        ["pass -o model.backbone=resnet50_ibn_a -o model.embedding_dim=6 -o model.pooling=gem\n"],
    ),
}


@pytest.mark.parametrize("naming", ["ppreid", "ise-reid", "fast-reid", "paddleclas-recmodel"])
@pytest.mark.parametrize(("options", "words"), WRONG.values(), ids=WRONG)
def test_another_network_is_named_with_the_keys_to_set(tmp_path, naming, options, words):
    theirs = from_ppreid_names(arrays(net(**options)), naming)
    save_file({name: np.ascontiguousarray(array) for name, array in theirs.items()}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError) as caught:
        load_weights(net(), tmp_path / "w.safetensors")
    message = str(caught.value)
    for text in ("the model is resnet18, base width 8", *words):
        assert text in message
    assert len(message.splitlines()) <= 6
    assert len(message) < 1_000


def test_gem_weights_for_a_network_without(tmp_path):
    save_file(from_ppreid_names(arrays(net(pooling=GeMPool())), "ise-reid"), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"(?s)model\.pooling=gem.*1 unknown to the model: gap\.p$"):
        load_weights(net(), tmp_path / "w.safetensors")


def test_a_backbone_alone_is_called_so(tmp_path):
    backbone = {name: array for name, array in arrays(net()).items() if name.startswith("backbone.")}
    save_file(from_ppreid_names(backbone, "torchvision"), tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"holds a backbone only.* training can start from it"):
        load_weights(net(), tmp_path / "w.safetensors")


def test_a_network_that_is_none_of_ours(tmp_path):
    stem = {"conv1.weight": head(8, 3, 7, 7), "bn1.running_mean": head(8), "layer1.0.odd.weight": head(8)}
    save_file(stem, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match="a network that ppreid does not have"):
        load_weights(net(), tmp_path / "w.safetensors")


def test_heads_are_named_and_counters_counted():
    counters = [f"layer{i}.bn1.num_batches_tracked" for i in range(53)]
    assert grouped([*counters, "feat.weight", "fc.weight", "fc.bias"]) == (
        "feat.weight, fc.weight, fc.bias, 53 counters (num_batches_tracked)"
    )
    assert grouped([]) == ""
    assert grouped(["a\x1b[2J"]) == r"a\x1b[2J"
    assert grouped([f"module.encoder_k.{i}.weight" for i in range(320)]) == "module.encoder_k.* (320 tensors)"
