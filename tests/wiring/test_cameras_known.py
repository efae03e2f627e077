"""What needs cameras says so before anything else is done."""

import warnings

import pytest

from ppreid import wiring
from ppreid.base.errors import ConfigError, DataError, PpreidWarning
from ppreid.base.records import ImageRecord
from ppreid.config.load import load_config
from ppreid.config.schema import TrainingConfig
from ppreid.verbs.train import train

NEEDING = [
    ({"memory": {"update": "chd"}}, "memory.update chd"),
    ({"ise": {"contrast_weights": "camera_entropy"}}, "ise.contrast_weights camera_entropy"),
    ({"labels": {"distance": "camera_quota"}}, "labels.distance camera_quota"),
    ({"augment": {"style_mix": 0.5}}, "augment.style_mix 0.5"),
    ({"model": {"neck_centre": 4.0}}, "model.neck_centre 4.0"),
]


def images(*camids):
    return [ImageRecord(f"{number}.jpg", -1, camid) for number, camid in enumerate(camids)]


@pytest.mark.parametrize(("values", "said"), NEEDING)
def test_an_image_without_camera_is_refused(values, said):
    cfg = TrainingConfig.model_validate(values)
    with pytest.raises(DataError, match=rf"{said}: the camera of .* 2 of 3 have none \(first: 1\.jpg\); name the"):
        wiring.require_cameras(cfg, images(0, -1, -1))
    wiring.require_cameras(TrainingConfig(), images(0, -1, -1))


@pytest.mark.parametrize(("values", "said"), NEEDING)
def test_a_single_camera_is_warned_of(values, said):
    cfg = TrainingConfig.model_validate(values)
    with pytest.warns(PpreidWarning, match=f"all training images are of one camera: {said} cannot learn"):
        wiring.require_cameras(cfg, images(4, 4))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        wiring.require_cameras(cfg, images(4, 5))
        wiring.require_cameras(TrainingConfig(), images(4, 4))


@pytest.mark.parametrize(("values", "said"), NEEDING)
def test_data_whose_cameras_are_known_to_be_unknown_are_refused_with_the_configuration(tmp_path, values, said):
    section, (key, value) = next((name, *each.items()) for name, each in values.items())
    folder = ["data.name=camera_folder", "data.camera_folder.camera=none", f"{section}.{key}={value}"]
    with pytest.raises(ConfigError, match=rf"{said} needs cameras, but data\.camera_folder\.camera is none"):
        load_config("base.yaml", folder)


def test_training_refuses_before_it_reads_the_files(tiny_config, monkeypatch):
    from ppreid.verbs import inputs

    real = inputs.read_split

    def without_a_camera(*args, **kwargs):
        split = real(*args, **kwargs)
        return split._replace(train=(split.train[0]._replace(camid=-1), *split.train[1:]))

    monkeypatch.setattr(inputs, "read_split", without_a_camera)
    with pytest.raises(DataError, match=r"memory\.update chd: the camera of every training image .* and 1 of"):
        train(load_config(tiny_config, ["memory.update=chd"]))
