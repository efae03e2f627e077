"""Features that are extracted in shards, which any machine may do, are those of one call, byte for byte."""

import itertools
import shutil

import numpy as np
import pytest

from ppreid import wiring
from ppreid.base.errors import ConfigError, DataError
from ppreid.config.load import load_config
from ppreid.disk.shards import MOST_SHARDS, Shard, all_shards, parse_shard
from ppreid.verbs import features
from ppreid.verbs.extract import extract
from ppreid.weights.files import save_weights

SETTINGS = ["eval.engine=eager", "eval.batch_size=10"]


@pytest.fixture(scope="module")
def made_once(write_tiny_config, tmp_path_factory):
    """A folder with a configuration, a network, the features of one call, and those of three shards."""
    folder = tmp_path_factory.mktemp("shards")
    cfg = load_config(write_tiny_config(folder), SETTINGS)
    for seed, name in enumerate(("net", "other")):
        save_weights(folder / f"{name}.safetensors", wiring.reid_net(cfg.model, seed=seed))
    cfg = load_config(folder / "tiny.yaml", [*SETTINGS, f"model.weights={folder / 'net.safetensors'}"])
    extract(cfg, folder / "whole.npy")
    for shard in all_shards(3):
        extract(cfg, folder / "three.npy", shard=shard)
    return folder


@pytest.fixture
def folder(made_once, tmp_path):
    """A copy of it."""
    return shutil.copytree(made_once, tmp_path / "copy")


@pytest.fixture
def config(folder):
    """Loads the tiny configuration, 48 training images in batches of 10, with weights of a random network."""
    settings = [*SETTINGS, f"model.weights={folder / 'net.safetensors'}"]
    return lambda *overrides: load_config(folder / "tiny.yaml", [*settings, *overrides])


@pytest.fixture
def three(folder):
    """Name of the file that three shards are of, all of which are done."""
    return folder / "three.npy"


@pytest.fixture
def whole(folder):
    """Features of one call."""
    return folder / "whole.npy"


def test_shards_are_whole_blocks_that_cover_all_rows_once():
    for rows, block, count in itertools.product((0, 1, 9, 10, 48), (1, 4, 10), (1, 2, 3, 7, 50)):
        found = [shard.rows(rows, block=block) for shard in all_shards(count)]
        assert [row for part in found for row in part] == list(range(rows))
        assert all(part.start % block == 0 or not part for part in found)
        sizes = [len(part) for part in found]
        assert max(sizes) - min(sizes) <= 2 * block - 1


def test_what_a_shard_is_called():
    assert parse_shard("3/16") == Shard(3, 16)
    for text in ("0/4", "5/4", "3", "3/", "-1/4", "a/b", f"1/{MOST_SHARDS + 1}", ""):
        with pytest.raises(ConfigError, match=r"--shard takes NUMBER/SHARDS, for example 3/16, and counts from 1"):
            parse_shard(text)
    with pytest.raises(ConfigError, match="a work of 0 shards"):
        all_shards(0)


@pytest.mark.parametrize("count", [1, 2, 3, 7])
@pytest.mark.parametrize("kind", ["network", "colour"])
def test_the_merged_file_is_that_of_one_call(count, kind, config, tmp_path):
    extract(config(), tmp_path / "whole.npy", features=kind)  # by this test's own process, as the shards
    for shard in reversed(all_shards(count)):
        extract(config(), tmp_path / "f.npy", features=kind, shard=shard)
    extract(config(), tmp_path / "f.npy", features=kind, merge=count)
    for suffix in (".npy", ".csv"):
        assert (tmp_path / f"f{suffix}").read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()


def test_more_shards_than_images(config, tmp_path):
    for shard in all_shards(10):
        extract(config(), tmp_path / "f.npy", features="colour", part="query", shard=shard)
    assert {file.name for file in tmp_path.glob("f.*.npy")} == {"f.10-of-10.npy"}  # one batch, and no file without rows
    extract(config(), tmp_path / "f.npy", features="colour", part="query", merge=10)
    assert len(np.load(tmp_path / "f.npy")) == 8


def test_a_shard_that_was_interrupted_goes_on_and_one_that_is_done_is_left_alone(config, whole, tmp_path, monkeypatch):
    real = features.feature_blocks

    def stopping(*args, **kwargs):
        yield from itertools.islice(real(*args, **kwargs), 1)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(features, "feature_blocks", stopping)
        extract(config(), tmp_path / "f.npy", shard=Shard(2, 2))
    begun = []
    loader = wiring.feature_loader
    monkeypatch.setattr(wiring, "feature_loader", lambda *args, rows: begun.append(rows) or loader(*args, rows=rows))
    extract(config(), tmp_path / "f.npy", shard=Shard(2, 2))
    extract(config(), tmp_path / "f.npy", shard=Shard(2, 2))
    extract(config(), tmp_path / "f.npy", shard=Shard(1, 2))
    assert begun == [range(30, 48), range(20)]
    extract(config(), tmp_path / "f.npy", merge=2)
    assert (tmp_path / "f.npy").read_bytes() == whole.read_bytes()


def test_a_lost_shard(config, three):
    three.with_name("three.2-of-3.npy").unlink()
    with pytest.raises(DataError, match=r"three\.2-of-3\.npy is missing: shard 2 of 3 is not done; run --shard 2/3"):
        extract(config(), three, merge=3)
    with pytest.raises(DataError, match=r"three\.1-of-2\.npy\.progress is missing: shard 1 of 2 is not done"):
        extract(config(), three, merge=2)
    assert not three.exists()


def test_a_damaged_shard_is_named_and_can_be_made_again(config, three, whole):
    shard = three.with_name("three.2-of-3.npy")
    content = bytearray(shard.read_bytes())
    content[-1] ^= 1
    shard.write_bytes(content)
    with pytest.raises(DataError, match=r"three\.2-of-3\.npy is damaged: .* run --shard 2/3 --overwrite again"):
        extract(config(), three, merge=3)
    assert not three.exists()
    extract(config(), three, shard=Shard(2, 3), overwrite=True)
    extract(config(), three, merge=3)
    assert three.read_bytes() == whole.read_bytes()


def test_a_shard_that_is_there_twice(config, three):
    for suffix in ("", ".progress"):
        shutil.copy(three.with_name(f"three.1-of-3.npy{suffix}"), three.with_name(f"three.2-of-3.npy{suffix}"))
    with pytest.raises(DataError, match=r"three\.2-of-3\.npy was made with another shard; delete it"):
        extract(config(), three, merge=3)


@pytest.mark.parametrize(
    ("settings", "part", "what"),
    [
        (["data.height=48"], "train", "image size"),
        (["eval.batch_size=11"], "train", "batch size"),
        (["eval.precision=auto"], "train", "engine"),
        ([], "query", "images"),
    ],
)
def test_shards_of_other_settings_or_images(settings, part, what, config, three):
    with pytest.raises(DataError, match=rf"three\.[13]-of-3\.npy was made with another {what}; delete it"):
        extract(config(*settings), three, part=part, merge=3)
    with pytest.raises(ConfigError, match=r"three\.3-of-3\.npy exists already"):
        extract(config(*settings), three, part=part, shard=Shard(3, 3))


def test_shards_of_other_weights(config, three, folder):
    with pytest.raises(DataError, match=r"three\.1-of-3\.npy was made with another weights"):
        extract(config(f"model.weights={folder / 'other.safetensors'}"), three, merge=3)
