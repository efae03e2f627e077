import itertools
import shutil

import numpy as np
import pytest
from PIL import Image

from ppreid import wiring
from ppreid.base.errors import ConfigError, DataError, PpreidWarning
from ppreid.config.load import load_config
from ppreid.datasets import colour
from ppreid.datasets.colour import colour_features
from ppreid.datasets.image_folder import find_images
from ppreid.disk.features import read_features
from ppreid.verbs import features
from ppreid.verbs.cluster import cluster
from ppreid.verbs.extract import extract
from ppreid.weights.files import save_weights


@pytest.fixture
def config(tiny_config, tmp_path):
    """Loads the tiny configuration, 48 training images in batches of 16, with weights of a random network."""
    weights = tmp_path / "net.safetensors"
    save_weights(weights, wiring.reid_net(load_config(tiny_config).model))
    return lambda *overrides: load_config(tiny_config, [f"model.weights={weights}", *overrides])


def stop_after(batches, monkeypatch):
    """Let an extraction end with Ctrl-C after some batches."""
    real = features.feature_blocks

    def stopping(*args, **kwargs):
        yield from itertools.islice(real(*args, **kwargs), batches)
        raise KeyboardInterrupt

    monkeypatch.setattr(features, "feature_blocks", stopping)


def test_the_file_holds_every_image_of_the_part_in_order(config, tmp_path):
    output = tmp_path / "new" / "train.npy"
    extract(config(), output)
    features = np.load(output, mmap_mode="r", allow_pickle=False)
    assert (features.shape, features.dtype) == ((48, 64), np.float32)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
    found = read_features(output)
    assert len(set(found.pids)) == 6 and set(found.camids) == {0, 1}
    assert found.names == sorted(found.names) and "bounding_box_train" in found.names[0]
    assert {file.name for file in output.parent.iterdir()} == {"train.npy", "train.npy.sha256", "train.csv"}


def test_colour_needs_no_weights_and_goes_on_where_it_stopped(tiny_config, tmp_path, monkeypatch):
    cfg, output, whole = load_config(tiny_config), tmp_path / "colour.npy", tmp_path / "whole.npy"
    monkeypatch.setattr(features, "_COLOUR_BLOCK", 20)
    extract(cfg, whole, features="colour")
    found = read_features(whole)
    records = wiring.dataset(cfg.data).split.train
    assert found.names == [record.path for record in records]
    np.testing.assert_array_equal(found.features, colour_features(records))

    real = colour.colour_features

    def stopping(block, **settings):
        if block[0].path == records[20].path:
            raise KeyboardInterrupt
        return real(block, **settings)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(colour, "colour_features", stopping)
        extract(cfg, output, features="colour")
    extract(cfg, output, features="colour")
    assert output.read_bytes() == whole.read_bytes()


def test_clustering_reads_the_file(config, tmp_path):
    output = tmp_path / "train.npy"
    extract(config(), output)
    from_file = cluster(config(), features_file=output, output=tmp_path / "from_file.csv")
    from_images = cluster(config(), output=tmp_path / "from_images.csv")
    np.testing.assert_array_equal(from_file, from_images)
    assert (tmp_path / "from_file.csv").read_text() == (tmp_path / "from_images.csv").read_text()


@pytest.mark.parametrize("batches", [0, 1, 2])
def test_an_interrupted_extraction_continues_and_gives_the_same_file(batches, config, tmp_path, monkeypatch):
    whole, resumed = tmp_path / "whole.npy", tmp_path / "resumed.npy"
    extract(config(), whole)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(batches, patch)
        extract(config(), resumed)
    assert not resumed.exists()
    starts = []
    real = wiring.feature_loader
    monkeypatch.setattr(
        wiring, "feature_loader", lambda *args, rows: starts.append(rows.start) or real(*args, rows=rows)
    )
    extract(config(), resumed)
    assert starts == [16 * batches]
    assert resumed.read_bytes() == whole.read_bytes()
    assert resumed.with_suffix(".csv").read_text() == whole.with_suffix(".csv").read_text()


def test_a_part_from_other_settings_is_refused(config, tmp_path, monkeypatch):
    output = tmp_path / "a.npy"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(1, patch)
        extract(config(), output)
    with pytest.raises(ConfigError, match=r"a\.npy\.partial was begun with other image size; delete it"):
        extract(config("data.height=48"), output)
    with pytest.raises(ConfigError, match="was begun with other images"):
        extract(config(), output, part="query")


def test_a_part_of_images_that_were_replaced_since_is_refused(config, tiny_root, tmp_path, monkeypatch):
    folder, output = tmp_path / "crops", tmp_path / "a.npy"
    shutil.copytree(tiny_root / "demo" / "bounding_box_train", folder)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        stop_after(1, patch)
        extract(config(), output, images=folder)
    first, second = sorted(folder.iterdir())[:2]
    shutil.copy(second, first)
    with pytest.raises(ConfigError, match=r"a\.npy\.partial was begun with other image files; delete it"):
        extract(config(), output, images=folder)


def test_a_finished_file_is_kept(config, tmp_path):
    output = tmp_path / "a.npy"
    output.write_bytes(b"mine")
    with pytest.raises(ConfigError, match=r"a\.npy exists already; choose another name, or pass --overwrite"):
        extract(config(), output)
    assert output.read_bytes() == b"mine"
    with pytest.raises(ConfigError, match=r"no name for an \.npy file"):
        extract(config(), tmp_path / "a.txt")


def test_any_folder_of_images(config, tiny_root, tmp_path):
    folder = tmp_path / "crops"
    shutil.copytree(tiny_root / "demo" / "query", folder / "deep" / "er")
    shutil.copytree(tiny_root / "demo" / "query", folder / ".hidden")
    Image.new("L", (20, 40)).save(folder / "a.PNG")
    (folder / "._a.png").write_text("not an image")
    (folder / "notes.txt").write_text("not an image")
    output = tmp_path / "crops.npy"
    extract(config(), output, images=folder)
    found = read_features(output)
    assert found.features.shape == (9, 64)
    assert [name.removeprefix(f"{folder}/").split("/")[0] for name in found.names] == ["a.PNG"] + 8 * ["deep"]
    assert set(found.pids) == set(found.camids) == {-1}


def test_an_unreadable_image_stops_or_is_left_out(config, tmp_path):
    folder = tmp_path / "crops"
    folder.mkdir()
    Image.new("RGB", (20, 40)).save(folder / "good.jpg")
    (folder / "bad.jpg").write_bytes(b"bad")
    with pytest.raises(DataError, match=r"bad\.jpg"):
        extract(config(), tmp_path / "crops.npy", images=folder)
    with pytest.warns(PpreidWarning, match="1 unreadable images are left out"):
        extract(config("data.on_bad_image=skip"), tmp_path / "others.npy", images=folder)
    assert read_features(tmp_path / "others.npy").names == [str(folder / "good.jpg")]
    assert "bad.jpg" in (tmp_path / "others.bad_images.txt").read_text()


@pytest.mark.parametrize("missing", [True, False])
def test_a_folder_without_images_is_an_error(missing, tmp_path):
    folder = tmp_path / "crops"
    if not missing:
        folder.mkdir()
    with pytest.raises(DataError, match=r"no image to use in .*crops; .*(does not exist|nothing)"):
        find_images(folder)
