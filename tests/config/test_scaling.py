"""From a recipe to the batch that the devices can hold."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ppreid.base.errors import ConfigError
from ppreid.config.load import config_text, load_config
from ppreid.config.schema import TrainingConfig, scaled_to_devices


@pytest.fixture
def recipe(checkout):
    def load(*overrides):
        return load_config(checkout / "configs" / "ise_market1501.yaml", list(overrides))

    return load


def scaled(cfg, devices=1):
    found, line = scaled_to_devices(cfg, devices=devices)
    return (found.batch.identities, found.solver.iters, found.solver.lr, found.model.bn_chunks), line


def test_without_per_device_the_batch_is_that_of_the_recipe_and_a_line_says_how(recipe):
    cfg = recipe()
    found, line = scaled_to_devices(cfg, devices=1)
    assert found is cfg
    assert line == "a step takes 256 images on 1 device; batch normalisation in 4 parts of 64, as on 4 devices"
    assert scaled_to_devices(cfg, devices=4)[1].endswith("on 4 devices; batch normalisation in 4 parts of 64")
    assert scaled_to_devices(recipe("model.bn_chunks=1"), devices=1)[1].endswith("in one part")


@pytest.mark.parametrize(
    ("per_device", "devices", "expected"),
    [
        (64, 1, (4, 1600, 8.75e-5, 1)),  # a quarter of the recipe's batch
        (64, 4, (16, 400, 3.5e-4, 4)),  # the recipe
        (64, 8, (32, 200, 7e-4, 8)),
        (128, 1, (8, 800, 1.75e-4, 2)),
        (32, 4, (8, 800, 1.75e-4, 4)),  # a device holds half a part: it normalises that
        (96, 1, (6, 1067, 1.3125e-4, 1)),  # 400 x 256 / 96 = 1066.7
        (144, 1, (9, 712, 1.96875e-4, 1)),  # two parts and a quarter: no whole number of them
    ],
)
def test_batch_steps_rate_and_parts_follow_the_devices(recipe, per_device, devices, expected):
    found, line = scaled(recipe(f"batch.per_device={per_device}"), devices)
    assert found == pytest.approx(expected)
    assert line.startswith(f"recipe: 256 images a step; here {devices} device")


def test_the_line_shows_what_changed(recipe):
    assert scaled(recipe("batch.per_device=64", "solver.warmup_iters=10"))[1] == (
        "recipe: 256 images a step; here 1 device x 64: batch.identities 16 -> 4, solver.iters 400 -> 1600, "
        "solver.lr 0.00035 -> 8.75e-05, solver.warmup_iters 10 -> 40, model.bn_chunks 4 -> 1"
    )
    assert scaled(recipe("batch.per_device=64"), 4)[1] == "recipe: 256 images a step; here 4 devices x 64: the same"


def test_what_was_scaled_can_be_run_again_as_it_is(recipe, tmp_path):
    found, _ = scaled_to_devices(recipe("batch.per_device=128"), devices=1)
    path = tmp_path / "config.yaml"
    path.write_text(config_text(found))
    again = load_config(path)
    assert again == found and again.batch.per_device == 0
    assert scaled_to_devices(again, devices=1)[0] == again


def test_a_share_of_broken_identities_is_refused_with_one_that_fits(recipe):
    with pytest.raises(ConfigError, match=r"batch\.per_device is 50; .* for example batch\.per_device=48"):
        scaled(recipe("batch.per_device=50"))


def test_what_does_not_fit_after_scaling_is_refused_with_the_key(recipe):
    with pytest.raises(ConfigError, match=r"bn_chunks 4 -> 1.*batch\.accumulate is 2 and model\.bn_chunks is 1"):
        scaled(recipe("batch.per_device=64", "batch.accumulate=2"))


@settings(max_examples=50, deadline=None)
@given(share=st.integers(1, 20), devices=st.integers(1, 8), iters=st.integers(1, 500))
def test_an_epoch_sees_as_many_images_as_the_recipe_at_the_same_rate_per_image(share, devices, iters):
    cfg = TrainingConfig.model_validate(
        {"batch": {"identities": 8, "images": 4, "per_device": 4 * share}, "solver": {"iters": iters, "lr": 1e-3}}
    )
    (identities, steps, rate, parts), _ = scaled(cfg, devices)
    rows = identities * 4
    assert rows == devices * 4 * share
    assert 0 <= steps * rows - iters * 32 < rows  # at most the last step is more
    assert rate / rows == pytest.approx(1e-3 / 32)
    assert parts % devices == 0 and rows % parts == 0
