"""What looks at the cameras of a batch: mixed styles, the same however a batch comes, and none in evaluation."""

import numpy as np
import paddle
import pytest

from ppreid import wiring
from ppreid.base.errors import ConfigError
from ppreid.config.load import load_config
from ppreid.models.batch_cameras import (
    BatchCameras,
    centred_by_camera,
    look_at_cameras,
    mixed_styles,
    style_partners,
)
from ppreid.models.reid_net import ReIDNet
from ppreid.models.resnet import resnet
from ppreid.training.extract import extract_features
from ppreid.training.step import micro_batches, start_draws

CAMIDS = np.array([0, 0, 1, 1, 2, 0, 1, 2, 3, 3, 3, 0, 5, 5, 5, 5])


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def cameras_of(camids=CAMIDS, *, step=3, **settings):
    cameras = BatchCameras(**settings)
    cameras.start(step, camids)
    return cameras


# styles


def test_a_mixed_style_is_that_of_the_definition_and_a_weight_of_one_changes_no_bit():
    maps, partners = random(4, 3, 5, 2) + 2, np.array([2, 0, 1, 3])
    weights = np.float32([0.3, 1.0, 0.0, 0.5])
    found = mixed_styles(paddle.to_tensor(maps), partners, weights).numpy()
    for i, (j, own) in enumerate(zip(partners, weights.astype(float), strict=True)):
        for c in range(3):
            x, y = maps[i, c].astype(float), maps[j, c].astype(float)
            deviation, other = np.sqrt(x.var() + 1e-6), np.sqrt(y.var() + 1e-6)
            expected = (x - x.mean()) / deviation * (own * deviation + (1 - own) * other)
            expected += own * x.mean() + (1 - own) * y.mean()
            np.testing.assert_allclose(found[i, c], expected, atol=1e-5)
    assert found[1].tobytes() == maps[1].tobytes()


def test_no_gradient_flows_through_mean_and_deviation():
    maps = paddle.to_tensor(random(2, 1, 4, 4))
    maps.stop_gradient = False
    mixed_styles(maps, np.array([1, 0]), np.float32([0.0, 0.25])).sum().backward()
    first, second = (np.sqrt(each.var() + 1e-6) for each in maps.numpy())
    np.testing.assert_allclose(maps.grad.numpy()[0], second / first, rtol=1e-5)
    np.testing.assert_allclose(maps.grad.numpy()[1], 0.25 + 0.75 * first / second, rtol=1e-5)


def test_maps_without_any_contrast_stay_finite():
    maps = paddle.ones([2, 3, 4, 4])
    assert np.isfinite(mixed_styles(maps, np.array([1, 0]), np.float32([0.2, 0.7])).numpy()).all()


def test_partners_are_any_image_of_another_camera_in_the_same_part():
    seen = {}
    for step in range(300):
        partners, weights = style_partners(cameras_of(step=step, parts=2), probability=0.6, seed=1)
        for i, (j, own) in enumerate(zip(partners.tolist(), weights.tolist(), strict=True)):
            seen.setdefault(i, []).append(j)
            assert 0 <= own <= 1 and (j != i or own == 1)
    for i, partners in seen.items():
        others = {j for j in range(16) if j // 8 == i // 8 and CAMIDS[j] != CAMIDS[i]}
        assert set(partners) == others | {i}
        assert 0.5 < np.mean(np.array(partners) != i) < 0.7


def test_draws_depend_on_seed_and_step_only():
    def drawn(seed, step):
        return np.concatenate(style_partners(cameras_of(step=step), probability=1.0, seed=seed)).tolist()

    assert drawn(1, 7) == drawn(1, 7) and drawn(1, 7) != drawn(1, 8) and drawn(1, 7) != drawn(2, 7)


def test_a_part_of_one_camera_has_no_style_to_take():
    partners, weights = style_partners(cameras_of(parts=4), probability=1.0, seed=0)  # the last part is camera 5 alone
    assert partners[12:].tolist() == [12, 13, 14, 15] and weights[12:].tolist() == [1.0] * 4
    assert (partners[:4] != np.arange(4)).all()


# centres


@pytest.mark.parametrize("shrinkage", [0.5, 10.0])
def test_rows_are_centred_as_the_definition_says(shrinkage):
    rows, camids, parts = random(16, 5), np.where(CAMIDS == 3, -1, CAMIDS), np.arange(16) % 2
    found = centred_by_camera(paddle.to_tensor(rows), camids, parts, shrinkage=shrinkage).numpy()
    for i in range(16):
        part = [rows[j].astype(float) for j in range(16) if parts[j] == parts[i]]
        own = [rows[j].astype(float) for j in range(16) if parts[j] == parts[i] and camids[j] == camids[i] >= 0]
        mean = sum(part) / len(part)
        expected = rows[i] - ((sum(own) + shrinkage * mean) / (len(own) + shrinkage) - mean) if own else rows[i]
        np.testing.assert_allclose(found[i], expected, atol=1e-5)


def test_a_single_camera_is_its_own_centre_and_stays():
    rows = random(8, 3)
    found = centred_by_camera(paddle.to_tensor(rows), np.full(8, 2), np.zeros(8, int), shrinkage=1.0)
    np.testing.assert_allclose(found.numpy(), rows, atol=1e-6)


def test_gradients_flow_through_the_means():
    rows = paddle.to_tensor(random(2, 1))
    rows.stop_gradient = False
    centred_by_camera(rows, np.array([0, 1]), np.zeros(2, int), shrinkage=1.0)[0].sum().backward()
    # less half of the way from the mean of both to itself
    np.testing.assert_allclose(rows.grad.numpy().ravel(), [0.75, 0.25], atol=1e-6)


# networks


def net(bn_chunks=1, *, neck_centre=2.0, stripes=1, **settings):
    paddle.seed(0)
    model = ReIDNet(resnet(18, base_width=4), bn_chunks=bn_chunks, stripes=stripes)
    look_at_cameras(model, BatchCameras(**settings), style_mix=0.7, neck_centre=neck_centre, seed=5)
    return model


IMAGES = random(16, 3, 32, 16, seed=1)


def features_of(model, images=IMAGES, *, passes=1):
    start_draws(model, 4, 16, CAMIDS)
    return micro_batches(model, paddle.to_tensor(images), parts=passes)[0].numpy()


@pytest.mark.parametrize("neck_centre", [0.0, 2.0])
def test_the_network_by_hand(neck_centre):
    model = net(neck_centre=neck_centre)
    found = features_of(model)
    backbone = model.backbone
    partners, weights = style_partners(cameras_of(step=4), probability=0.7, seed=5)
    with paddle.no_grad():
        maps = paddle.to_tensor(IMAGES)
        for stage in (backbone._stem, *backbone.layer1):
            maps = stage(maps)
        mixed = mixed_styles(maps, partners, weights)
        x = backbone.layer4(backbone.layer3(backbone.layer2(mixed))).mean(axis=[2, 3])
        if neck_centre:
            x = centred_by_camera(x, CAMIDS, np.zeros(16, int), shrinkage=neck_centre)
        model.cameras.camids = np.empty(0)  # what is called by hand does it once more otherwise
        expected = paddle.nn.functional.normalize(model.neck(x), axis=1).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(mixed.numpy() - maps.numpy()).max() > 0.1


@pytest.mark.parametrize("stripes", [1, 2])
def test_parts_passes_and_processes_give_what_the_whole_batch_does(stripes):
    whole = features_of(net(4, stripes=stripes, parts=4))
    for passes in (2, 4):
        found = features_of(net(4 // passes, stripes=stripes, parts=4), passes=passes)
        np.testing.assert_allclose(found, whole, atol=1e-4)  # four images are little to normalise by
    for passes in (1, 2):
        models = [net(2 // passes, stripes=stripes, parts=4, rank=rank, num_ranks=2) for rank in (0, 1)]
        shares = [features_of(each, IMAGES[8 * r : 8 * r + 8], passes=passes) for r, each in enumerate(models)]
        np.testing.assert_allclose(np.concatenate(shares), whole, atol=1e-4)


@pytest.mark.parametrize("engine", ["eager", "inference", "openvino"])
def test_evaluation_knows_nothing_of_it(engine):
    class Loader(list):
        num_images, rows = 16, range(16)

    model, plain = net(), net()
    features_of(model)
    plain.set_state_dict(model.state_dict())
    plain.eval()
    with paddle.no_grad():
        expected = plain(paddle.to_tensor(IMAGES)).numpy()
    loader = Loader([(paddle.to_tensor(IMAGES), np.arange(16))])
    np.testing.assert_allclose(extract_features(model, loader, engine=engine), expected, atol=1e-5)
    assert model.training


def test_without_a_step_nothing_is_mixed():
    model, plain = net(), ReIDNet(resnet(18, base_width=4))
    plain.set_state_dict(model.state_dict())
    found, expected = (each(paddle.to_tensor(IMAGES)).numpy() for each in (model, plain))
    np.testing.assert_array_equal(found, expected)


# configuration


def test_a_network_of_the_configuration_mixes_where_it_is_asked_for(tiny_config):
    assert wiring.training_net(load_config(tiny_config)).cameras is None
    for backbone in ("resnet18", "osnet"):
        cfg = load_config(tiny_config, ["augment.style_mix=1.0", f"model.backbone={backbone}"])
        paddle.seed(0)
        model = wiring.training_net(cfg)
        start_draws(model, 0, 4, np.array([0, 1, 0, 1]))
        mixed = model(paddle.to_tensor(IMAGES[:4])).numpy()
        start_draws(model, 0, 4, np.array([0, 0, 0, 0]))
        assert np.abs(model(paddle.to_tensor(IMAGES[:4])).numpy() - mixed).max() > 1e-3


@pytest.mark.parametrize("options", [[], ["model.parts=2"], ["model.backbone=vit_small", "model.base_width=2"]])
def test_every_network_of_the_configuration_can_be_centred(tiny_config, options):
    features = []
    for keys in ([], ["model.neck_centre=on"]):
        paddle.seed(0)
        model = wiring.training_net(load_config(tiny_config, [*options, *keys]))
        start_draws(model, 0, 16, CAMIDS)
        features.append(model(paddle.to_tensor(IMAGES)).numpy())
    width = model.feature_dim // len([model.neck, *(model.stripe_necks or ())])
    moved = np.abs(features[1] - features[0]).reshape(16, -1, width).max(axis=(0, 2))
    assert (moved > 1e-2).all()  # the rows of all necks


def test_a_network_without_stages_is_refused(tiny_config):
    cfg = load_config(tiny_config, ["augment.style_mix=0.5", "model.backbone=vit_small", "model.base_width=2"])
    with pytest.raises(ConfigError, match=r"style_mix is 0\.5, and a ViT has no stages .* or osnet as model"):
        wiring.training_net(cfg)
