"""Weights of a ViT as others save them: the layouts of TransReID-SSL, plain files, and what is said about the rest."""

import numpy as np
import paddle
import pytest
from models.vit_goldens import GOLDENS, golden, released_state, with_prefix
from safetensors.numpy import save_file

from ppreid.base.errors import WeightsError
from ppreid.disk.tensor_file import load_tensors
from ppreid.models.reid_net import ReIDNet, no_pooling
from ppreid.models.vit import vit
from ppreid.weights.files import save_weights
from ppreid.weights.match import load_weights, match_weights
from ppreid.weights.names import from_ppreid_names
from ppreid.weights.network import network_of
from ppreid.weights.positions import resize_positions

LAYOUTS = ("dino", "converted", "supervised", "usl")
NECK = ("bottleneck.weight", "bottleneck.bias", "bottleneck.running_mean", "bottleneck.running_var")


def net(*, conv_stem=False, height=64, width=32, depth=1, seed=0, **options):
    """A network of the size that the released files of the goldens have."""
    paddle.seed(seed)
    sizes = (
        {"base_width": 4, "heads": 3, "mlp_ratio": 2} if conv_stem else {"base_width": 6, "heads": 2, "mlp_ratio": 2}
    )
    backbone = vit(height=height, width=width, depth=depth, conv_stem=conv_stem, **(sizes | options))
    return ReIDNet(backbone, pooling=no_pooling)


def file_of(kind, layout):
    return GOLDENS / f"vit_{kind}_{layout}.pth"


@pytest.mark.parametrize("kind", ["plain", "stem"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_training_starts_from_every_layout_as_released(kind, layout):
    expected = with_prefix(golden("vit_loading")[0], f"{kind}.{layout}.")
    model = net(conv_stem=kind == "stem")
    report = load_weights(model, file_of(kind, layout), as_start=True)
    found = released_state(model)
    for name, value in found.items():
        tolerance = 1e-6 if name == "pos_embed" else 0
        np.testing.assert_allclose(value, expected[name], rtol=0, atol=tolerance, err_msg=name)
    assert report.entry == {"dino": "teacher", "usl": "state_dict"}.get(layout, "")
    assert set(report.kept) == {"neck.weight", "neck.bias", "neck._mean", "neck._variance"}
    necks = {name for name in report.dropped if "bottleneck" in name and not name.endswith("num_batches_tracked")}
    expected_necks = {"supervised": {"bottleneck.weight"}, "usl": {f"module.{name}" for name in NECK}}
    assert necks == expected_necks.get(layout, set())


@pytest.mark.parametrize("kind", ["plain", "stem"])
def test_evaluation_takes_the_neck_of_a_trained_network(kind):
    expected = with_prefix(golden("vit_loading")[0], f"{kind}.usl.file.")
    model = net(conv_stem=kind == "stem")
    report = load_weights(model, file_of(kind, "usl"))
    assert not report.kept
    found = released_state(model)
    assert expected
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("layout", ["dino", "converted"])
def test_evaluation_needs_a_neck(layout):
    with pytest.raises(WeightsError, match=r"holds a backbone only(.|\n)*4 missing in the file: neck.weight"):
        load_weights(net(), file_of("plain", layout))


def test_another_stem_is_named():
    with pytest.raises(WeightsError, match=r"the file has patch_embed.conv.\*: use vit_small_ics"):
        load_weights(net(), file_of("stem", "converted"), as_start=True)
    with pytest.raises(WeightsError, match=r"the file has no patch_embed.conv.\*: use vit_small\n"):
        load_weights(net(conv_stem=True), file_of("plain", "converted"), as_start=True)


def test_an_unknown_prefix_is_named(tmp_path):
    tensors = {f"student_of.{name}": array for name, array in released_state(net()).items()}
    save_file(tensors, tmp_path / "net.safetensors")
    with pytest.raises(WeightsError, match=r"no known naming .* behind the unknown prefix 'student_of.'"):
        load_weights(net(), tmp_path / "net.safetensors")


def test_unknown_and_missing_keys_are_named(tmp_path):
    tensors = released_state(net())
    tensors["blocks.0.ls1.gamma"] = tensors["norm.weight"]
    del tensors["blocks.0.attn.qkv.bias"]
    save_file(tensors, tmp_path / "net.safetensors")
    with pytest.raises(WeightsError) as error:
        load_weights(net(), tmp_path / "net.safetensors")
    assert "1 missing in the file: backbone.blocks.0.attn.qkv.bias" in str(error.value)
    assert "1 unknown to the model: blocks.0.ls1.gamma" in str(error.value)


@pytest.mark.parametrize("case", range(5))
def test_positions_are_stretched_as_released(case):
    arrays, meta = golden("vit_pieces")
    sizes = meta["positions"][str(case)]
    found = resize_positions(arrays[f"positions{case}_before"], old=sizes["old_grid"], new=sizes["new_grid"])
    np.testing.assert_allclose(found, arrays[f"positions{case}_after"], rtol=0, atol=2e-6)


def timm_file(path, *, rows, columns, **options):
    """What timm and DINO publish: no prefix, a classifier, square images."""
    trained = net(height=16 * rows, width=16 * columns, seed=3, **options)
    tensors = {name: array for name, array in released_state(trained).items() if not name.startswith("bottleneck")}
    tensors |= {"head.weight": np.ones((5, 12), np.float32), "head.bias": np.ones(5, np.float32)}
    save_file({name: np.ascontiguousarray(array) for name, array in tensors.items()}, path)
    return tensors


def test_a_plain_file_of_square_images(tmp_path):
    theirs = timm_file(tmp_path / "vit.safetensors", rows=4, columns=4)
    model = net(height=64, width=32, position_ratio=1)
    report = load_weights(model, tmp_path / "vit.safetensors", as_start=True)
    assert set(report.dropped) == {"head.weight", "head.bias"}
    found = model.backbone.pos_embed.numpy()[0]  # (1 + 4 * 2, D)
    np.testing.assert_array_equal(found[0], theirs["pos_embed"][0, 0])
    grid = theirs["pos_embed"][0, 1:].reshape(4, 4, -1)
    halves = (grid[:, ::2] + grid[:, 1::2]) / 2  # half as many columns lie between two old ones each
    np.testing.assert_allclose(found[1:], halves.reshape(8, -1), rtol=0, atol=1e-6)


def test_a_backbone_of_pass(tmp_path):
    ours = released_state(net(height=64, width=32, seed=3))
    theirs = {name: array for name, array in ours.items() if not name.startswith("bottleneck")}
    theirs["cls_pos"], theirs["pos_embed"] = ours["pos_embed"][:, :1], ours["pos_embed"][:, 1:]
    parts = {f"part_token{part}" for part in (1, 2, 3)} | {f"part{part}_pos" for part in (1, 2, 3)}
    theirs |= dict.fromkeys(parts, np.ones((1, 1, 12), np.float32))
    save_file({name: np.ascontiguousarray(array) for name, array in theirs.items()}, tmp_path / "pass.safetensors")
    model = net()
    report = load_weights(model, tmp_path / "pass.safetensors", as_start=True)
    assert set(report.dropped) == parts
    assert "three part tokens" in str(report)
    np.testing.assert_array_equal(model.backbone.pos_embed.numpy(), ours["pos_embed"])


def test_a_grid_of_another_ratio_is_refused(tmp_path):
    timm_file(tmp_path / "vit.safetensors", rows=4, columns=4)
    with pytest.raises(WeightsError, match=r"positions for 16 patches, which are no grid of model\.position_ratio=2"):
        load_weights(net(), tmp_path / "vit.safetensors", as_start=True)


def test_a_network_of_ours_goes_out_and_comes_back(tmp_path):
    trained = net(seed=4)
    save_weights(tmp_path / "ours.safetensors", trained)
    again = net()
    assert load_weights(again, tmp_path / "ours.safetensors").naming == "ppreid"
    for name, value in trained.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name].numpy(), value.numpy())
    # without a neck it has the names of DINO's, whose matrices are the other way round
    tensors = load_tensors(tmp_path / "ours.safetensors").tensors
    save_file({n: a for n, a in tensors.items() if not n.startswith("neck")}, tmp_path / "backbone.safetensors")
    assert match_weights(again, tmp_path / "backbone.safetensors", as_start=True).report.naming == "ppreid"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"heads": 6, "base_width": 64}, {"model.backbone": "vit_small", "model.base_width": "64"}),
        ({"heads": 12, "base_width": 64}, {"model.backbone": "vit_base", "model.base_width": "64"}),
        (
            {"conv_stem": True, "heads": 6, "base_width": 4},
            {"model.backbone": "vit_small_ics", "model.base_width": "4"},
        ),
    ],
)
@pytest.mark.parametrize("naming", ["ppreid", "transreid", "transreid-supervised"])
def test_which_network_a_file_is_of(options, expected, naming):
    model = ReIDNet(vit(height=16, width=16, **options), pooling=no_pooling)
    tensors = from_ppreid_names({name: tensor.numpy() for name, tensor in model.state_dict().items()}, naming)
    found = network_of({name: array.shape for name, array in tensors.items()}, naming)
    assert found | expected == found
