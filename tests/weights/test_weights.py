"""Loading weights into a network: everything finds its place, or the error lists what does not."""

import hashlib

import numpy as np
import paddle
import pytest
from paddle.utils import download
from paddle.vision.models import resnet as paddle_resnet
from safetensors.numpy import save_file

from ppreid.base.errors import WeightsError
from ppreid.disk.files import file_sha256
from ppreid.models.reid_net import ReIDNet
from ppreid.models.resnet import resnet
from ppreid.weights.files import save_weights
from ppreid.weights.match import BEHIND_BACKBONE, imagenet_cache, imagenet_weights_path, load_weights
from ppreid.weights.names import from_ppreid_names


def arrays(net):
    return {name: tensor.numpy() for name, tensor in net.state_dict().items()}


def other_net(**options):
    """Same shapes as tiny_net, other values, statistics included."""
    paddle.seed(99)
    net = ReIDNet(resnet(18, base_width=8), **options)
    net(paddle.randn([4, 3, 64, 32]))
    return net


@pytest.mark.parametrize("naming", ["ppreid", "paddleclas-recmodel", "ise-reid-parallel"])
def test_weights_of_every_naming_arrive(tmp_path, tiny_net, naming):
    source, target = other_net(embedding_dim=4), tiny_net(embedding_dim=4, bn_chunks=2)
    path = tmp_path / "w.safetensors"
    tensors = from_ppreid_names(arrays(source), naming)
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path)

    report = load_weights(target, path)

    for name, array in arrays(source).items():
        np.testing.assert_array_equal(target.state_dict()[name].numpy(), array, err_msg=name)
    assert (report.path, report.naming, report.num_loaded) == (path, naming, len(tensors))
    assert (report.dropped, report.kept) == ((), ())
    assert report.sha256 == file_sha256(path)


def test_a_classifier_and_torch_counters_are_dropped_and_reported(tmp_path, tiny_net):
    path = tmp_path / "w.safetensors"
    tensors = from_ppreid_names(arrays(other_net()), "ise-reid")
    extra = {"classifier.weight": np.zeros((7, 64), np.float32), "base.1.num_batches_tracked": np.zeros((), np.int64)}
    save_file({**tensors, **extra}, path)

    report = load_weights(tiny_net(), path)

    assert set(report.dropped) == set(extra)
    assert "left out: " in str(report)
    assert "classifier.weight" in str(report)
    with pytest.raises(WeightsError, match=r"1 unknown to the model: classifier\.weight"):
        load_weights(tiny_net(), path, drop=())


def test_imagenet_weights_of_paddle_vision_fit_the_backbone(tmp_path):
    paddle.seed(5)
    source = paddle_resnet.resnet18()
    path = tmp_path / "resnet18.pdparams"
    paddle.save(source.state_dict(), str(path))
    net = ReIDNet(resnet(18))

    with pytest.raises(WeightsError, match=r"4 missing in the file: neck\.weight, neck\.bias, neck\._mean, neck\._var"):
        load_weights(net, path)
    report = load_weights(net, path, allow_missing=BEHIND_BACKBONE)

    assert report.dropped == ("fc.weight", "fc.bias")
    assert report.kept == ("neck.weight", "neck.bias", "neck._mean", "neck._variance")
    assert "not in the file: neck.weight" in str(report)
    for name, tensor in net.backbone.state_dict().items():
        np.testing.assert_array_equal(tensor.numpy(), source.state_dict()[name].numpy())


def test_whatever_does_not_match_is_listed_and_nothing_is_loaded(tmp_path, tiny_net):
    tensors = arrays(other_net())
    del tensors["backbone.layer4.1.conv2.weight"]
    tensors["surplus"] = np.zeros(1, np.float32)
    tensors["neck.weight"] = np.zeros(3, np.float32)
    tensors["neck.bias"] = np.zeros(64, np.int64)
    path = tmp_path / "w.safetensors"
    save_file(tensors, path)
    net = tiny_net()
    before = arrays(net)

    with pytest.raises(WeightsError) as caught:
        load_weights(net, path)

    message = str(caught.value)
    assert f"{path} (ppreid names) does not fit the model" in message
    assert "1 missing in the file: backbone.layer4.1.conv2.weight" in message
    assert "1 unknown to the model: surplus" in message
    assert "1 of another shape: neck.weight (file (3,), model (64,))" in message
    assert "1 not of a floating-point type: neck.bias (int64)" in message
    for name, array in arrays(net).items():
        np.testing.assert_array_equal(array, before[name])


def test_long_lists_of_mismatches_are_cut(tmp_path, tiny_net):
    path = tmp_path / "w.safetensors"
    save_weights(path, ReIDNet(resnet(34, base_width=8)))
    with pytest.raises(WeightsError, match=r"80 unknown to the model: .* and 76 more"):
        load_weights(tiny_net(), path)


def test_half_precision_weights_are_widened(tmp_path, tiny_net):
    tensors = {name: array.astype(np.float16) for name, array in arrays(other_net()).items()}
    save_file(tensors, tmp_path / "w.safetensors")
    net = tiny_net()
    load_weights(net, tmp_path / "w.safetensors")
    np.testing.assert_array_equal(net.neck._mean.numpy(), tensors["neck._mean"].astype(np.float32))


def test_unknown_naming(tmp_path, tiny_net):
    save_file({"features.0.weight": np.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"no known naming \(ppreid, .*\); it holds: features\.0\.weight"):
        load_weights(tiny_net(), tmp_path / "w.safetensors")


def test_a_pinned_digest(tmp_path, tiny_net):
    path = tmp_path / "w.safetensors"
    save_weights(path, other_net())
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    load_weights(tiny_net(), path, sha256=digest.upper())
    with pytest.raises(WeightsError, match=rf"has sha256 {digest}, expected 0{{64}};.*model\.weights_sha256"):
        load_weights(tiny_net(), path, sha256="0" * 64)


@pytest.fixture
def no_network(monkeypatch, tmp_path):
    """Paddle's cache in an empty folder, and a network that always fails."""

    def fail(url, *_args, **_kwargs):
        raise RuntimeError(f"Downloading from {url} failed")

    monkeypatch.setattr(download, "WEIGHTS_HOME", str(tmp_path))
    monkeypatch.setattr(download, "_download", fail)
    return tmp_path


def test_imagenet_weights_offline(no_network):
    with pytest.raises(WeightsError) as caught:
        imagenet_weights_path("resnet50")
    message = str(caught.value)
    url, md5 = paddle_resnet.model_urls["resnet50"]
    for part in (url, md5, str(no_network / "resnet50.pdparams"), "model.weights=FILE", "model.weights=none"):
        assert part in message


def test_imagenet_weights_in_the_cache_are_used(no_network, monkeypatch):
    cached = no_network / "resnet18.pdparams"
    cached.write_bytes(b"weights")
    md5 = hashlib.md5(b"weights").hexdigest()
    monkeypatch.setitem(paddle_resnet.model_urls, "resnet18", ("https://example.org/resnet18.pdparams", md5))
    assert imagenet_weights_path("resnet18") == imagenet_cache("resnet18") == cached


@pytest.mark.parametrize(
    ("backbone", "message"),
    [
        ("resnet50_ibn", "no ImageNet weights for resnet50_ibn; pass model.weights=FILE"),
        ("resnet5", "is 'resnet5'; did you mean 'resnet50'"),
    ],
)
def test_backbones_without_imagenet_weights(no_network, backbone, message):
    with pytest.raises(WeightsError, match=message):
        imagenet_weights_path(backbone)
    with pytest.raises(WeightsError, match=message):
        imagenet_cache(backbone)
