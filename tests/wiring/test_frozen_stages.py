"""Training behind frozen stages: what they make of the images is kept, and the rest sees no difference."""

import os

import numpy as np
import paddle
import pytest

from ppreid import wiring
from ppreid.base.errors import ConfigError
from ppreid.config.load import load_config
from ppreid.datasets.image_file import load_image
from ppreid.datasets.transforms import eval_transform
from ppreid.ise.memory import ClusterMemory, update_hard
from ppreid.ise.objective import ise_objective
from ppreid.models.reid_net import ReIDNet
from ppreid.models.resnet import resnet
from ppreid.processes.ranks import Ranks
from ppreid.training.finite import FiniteGuard, StepBatch
from ppreid.training.step import training_step
from ppreid.verbs.inputs import load_initial_weights, read_split
from ppreid.wiring import frozen
from ppreid.wiring.frozen import kept_maps

PLAIN = ["augment.flip=0", "augment.pad=0", "augment.erasing=0"]
CHUNKS = 2


@pytest.fixture
def config(tiny_config, tmp_path):
    """A configuration with frozen stages and maps that are kept in tmp_path, and the training images."""

    def load(*options, stages=3):
        cfg = load_config(tiny_config, [f"model.frozen_stages={stages}", f"output_dir={tmp_path}", *options])
        return cfg, read_split(cfg.data, skipped_list=None).train

    return load


def network(stages, depth=18):
    paddle.seed(0)
    return ReIDNet(resnet(depth, base_width=8, frozen_stages=stages), bn_chunks=CHUNKS)


def tensor(array):
    return paddle.to_tensor(np.ascontiguousarray(array))


def pixels(records, cfg):
    """Images (N, 3, H, W) as an evaluation sees them."""
    return np.stack([eval_transform(load_image(each.path), height=32, width=16) for each in records])


def frozen_by_hand(stages, depth):
    """The whole network, whose first stages are in evaluation mode and have no gradient."""
    model = network(0, depth)
    model.train()
    backbone = model.backbone
    for layer in [backbone.conv1, backbone.bn1, *(getattr(backbone, f"layer{1 + each}") for each in range(stages))]:
        layer.eval()
        for parameter in layer.parameters():
            parameter.stop_gradient = True
    return model


def two_steps(model, inputs):
    """Gradients of the first step by name, and weights, statistics and memory after the second."""
    rng = np.random.default_rng(0)
    centroids = rng.standard_normal([6, model.feature_dim]).astype(np.float32)
    memory = ClusterMemory(centroids / np.linalg.norm(centroids, axis=1, keepdims=True), update_hard, 0.2)
    trained = [parameter for parameter in model.parameters() if not parameter.stop_gradient]
    optimizer = paddle.optimizer.Adam(1e-2, parameters=trained, weight_decay=5e-4)
    gradients, real_step = [], optimizer.step

    def step():
        gradients.append({name: p.grad.numpy() for name, p in model.named_parameters() if p.grad is not None})
        real_step()

    optimizer.step = step
    for number in range(2):
        batch = StepBatch(number, np.arange(8), np.repeat(rng.permutation(6)[:4], 2), 0.2)
        guard = FiniteGuard(lambda batch, values: pytest.fail(str(values)))
        training_step(model, memory, inputs, batch, optimizer, ise_objective, guard=guard)
    return gradients[0], {name: value.numpy() for name, value in model.state_dict().items()}, memory.centroids.numpy()


@pytest.mark.parametrize(("depth", "stages"), [(18, 1), (18, 2), (18, 3), (50, 3)])
def test_a_step_on_maps_is_that_of_the_whole_network_bit_for_bit(depth, stages):
    images = np.random.default_rng(1).standard_normal([8, 3, 48, 32]).astype(np.float32)
    model = network(stages, depth)
    before = {name: value.numpy() for name, value in model.state_dict().items()}
    model.eval()
    maps = model.backbone.frozen_maps(tensor(images)).detach()
    assert maps.shape[2:] == [48 // 2 ** (stages + 1), 32 // 2 ** (stages + 1)] and maps.min() >= 0
    model.train()
    found, wanted = two_steps(model, maps), two_steps(frozen_by_hand(stages, depth), tensor(images))
    assert found[0].keys() == wanted[0].keys()
    first = {"backbone.conv1.weight", "backbone.bn1.weight", *(f"backbone.layer{1 + each}" for each in range(stages))}
    moved = {name for name, value in found[1].items() if value.tobytes() != before[name].tobytes()}
    assert "backbone.layer4.0.bn1._mean" in moved and "backbone.layer4.0.conv1.weight" in found[0]
    assert not [name for name in moved | found[0].keys() if name.startswith(tuple(first))]
    for one, other in zip(found[:2], wanted[:2], strict=True):
        for name, array in other.items():
            assert one[name].tobytes() == array.tobytes(), name
    assert found[2].tobytes() == wanted[2].tobytes()


@pytest.mark.parametrize("num_workers", [0, 2])
def test_batches_of_maps_are_those_of_the_images(config, num_workers):
    cfg, records = config(*PLAIN, f"data.num_workers={num_workers}")
    whole = load_config("base.yaml", [*PLAIN, "data.height=32", "data.width=16", "data.num_workers=0"])
    whole = whole.model_copy(update={"batch": cfg.batch, "solver": cfg.solver})
    model = wiring.training_net(cfg)
    maps = kept_maps(cfg, model, records)
    labels = np.array([record.pid for record in records]) % 5 - 1  # some outliers
    of_maps, of_images = wiring.train_loader(records, cfg, maps=maps), wiring.train_loader(records, whole)
    for (found, rows), (images, rows_of_images) in zip(
        of_maps.epoch(labels, 3), of_images.epoch(labels, 3), strict=True
    ):
        np.testing.assert_array_equal(rows, rows_of_images)
        np.testing.assert_allclose(found.numpy(), model.backbone.frozen_maps(images).numpy(), atol=1e-5)
    of_maps.close()
    in_order = np.concatenate([batch.numpy() for batch, _ in maps.loader])
    wanted = model.backbone.frozen_maps(tensor(pixels(records, cfg))).numpy()
    assert maps.shape == wanted.shape[1:] and maps.loader.num_images == len(records) == len(in_order)
    np.testing.assert_allclose(in_order, wanted, atol=1e-5)


HEADS = {"one": [], "stripes": ["model.parts=2"], "halves": ["refine.weight=0.5", "refine.parts=halves"]}


@pytest.mark.parametrize("options", HEADS.values(), ids=HEADS)
def test_features_of_maps_are_those_of_images(config, tiny_config, options):
    cfg, records = config(*options)
    model = wiring.training_net(cfg)
    of_images = load_config(tiny_config, options)
    whole = wiring.training_net(of_images)
    whole.set_state_dict(model.state_dict())
    found = wiring.extraction(cfg, records, maps=kept_maps(cfg, model, records))(model)
    wanted = wiring.extraction(of_images, records)(whole)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.ptp(found, axis=0).max() > 0.01
    as_evaluated = wiring.feature_extractor(cfg, wiring.from_images(cfg, model))(records)
    np.testing.assert_allclose(as_evaluated, found[:, : as_evaluated.shape[1]], atol=1e-5)


def test_the_mirror_image_has_maps_of_its_own(config):
    cfg, records = config("augment.flip=1", "augment.pad=0", "augment.erasing=0")
    model = wiring.training_net(cfg)
    maps = kept_maps(cfg, model, records)
    mirrored = model.backbone.frozen_maps(tensor(pixels(records, cfg)[..., ::-1])).numpy()
    found = maps.transform(maps.rows[5], np.random.default_rng(0))
    np.testing.assert_allclose(found, mirrored[5], atol=1e-5)
    # convolutions with a stride do not commute with mirroring: the mirrored maps are other numbers
    assert np.abs(maps.rows[5][0][..., ::-1] - mirrored[5]).max() > 1e-3


def test_maps_are_computed_once_and_anew_for_other_weights_images_or_sizes(config, tmp_path, monkeypatch):
    computed, real = [], frozen.feature_blocks

    def counted(*args, **options):
        computed.append(options["description"])
        return real(*args, **options)

    monkeypatch.setattr(frozen, "feature_blocks", counted)
    cfg, records = config(*PLAIN)
    model = wiring.training_net(cfg)
    first = kept_maps(cfg, model, records)
    again = kept_maps(cfg, model, records)
    assert computed == ["frozen stages"] and again.rows[0][0].tobytes() == first.rows[0][0].tobytes()
    head = model.neck.weight
    head.set_value(2 * head)  # what is trained does not matter
    kept_maps(cfg, model, records)
    assert len(computed) == 1
    kept_maps(config()[0], model, records)  # mirror images as well
    assert computed[1:] == ["frozen stages, mirror images"]
    weight = model.backbone.layer3[0].conv1.weight
    weight.set_value(1.5 * weight)
    other = kept_maps(cfg, model, records)
    assert len(computed) == 3 and np.abs(other.rows[0][0] - first.rows[0][0]).max() > 1e-3
    kept_maps(cfg, model, records[:-1])
    kept_maps(config(*PLAIN, "data.height=48")[0], model, records)
    assert len(computed) == 5 and len(list(tmp_path.glob("maps_*.npy"))) == 5
    assert not [name for name in os.listdir(tmp_path) if "partial" in name or "progress" in name]


def test_maps_that_were_interrupted_go_on(config, tmp_path, monkeypatch):
    cfg, records = config(*PLAIN)
    model = wiring.training_net(cfg)
    wanted = kept_maps(config(*PLAIN, f"output_dir={tmp_path / 'other'}")[0], model, records)
    real, seen = frozen.feature_blocks, []

    def interrupted(*args, **options):
        for block, rows in real(*args, **options):
            seen.append(rows[0])
            if len(seen) == 3:
                raise KeyboardInterrupt
            yield block, rows

    monkeypatch.setattr(frozen, "feature_blocks", interrupted)
    with pytest.raises(KeyboardInterrupt):
        kept_maps(cfg, model, records)
    found = kept_maps(cfg, model, records)
    assert seen == [0, 16, 32, 32]  # first rows of batches: the third was lost, and nothing else
    assert all(found.rows[row][0].tobytes() == wanted.rows[row][0].tobytes() for row in range(len(records)))


def test_what_maps_cannot_do_is_refused(config, tiny_config):
    for key in ("color_jitter", "grayscale", "style_mix"):
        cfg, records = config(f"augment.{key}=0.2")
        with pytest.raises(
            ConfigError, match=rf"augment\.{key} is 0\.2 .* is kept, and cannot be changed so; set augment\.{key}=0$"
        ):
            kept_maps(cfg, wiring.training_net(cfg), records)
    cfg, records = config()
    with pytest.raises(ConfigError, match="trains in one process, and there are 2"):
        kept_maps(cfg, wiring.training_net(cfg), records, ranks=Ranks(0, 2))
    with pytest.raises(ConfigError, match="stages with random weights would stay random"):
        load_initial_weights(wiring.training_net(cfg), cfg.model)
    for backbone in ("vit_small", "osnet"):
        with pytest.raises(ConfigError, match=f"frozen_stages is 3, of which model.backbone {backbone} knows nothing"):
            load_config(tiny_config, ["model.frozen_stages=3", f"model.backbone={backbone}"])
    with pytest.raises(ConfigError, match="frozen_stages must be 0, 1, 2 or 3, found 4"):
        resnet(18, frozen_stages=4)


def test_a_network_without_frozen_stages_is_left_as_it_is(tiny_config):
    cfg = load_config(tiny_config)
    model = wiring.training_net(cfg)
    assert wiring.frozen_maps(cfg, model, ()) is None and wiring.from_images(cfg, model) is model
    assert model.backbone.frozen_layers() == []
