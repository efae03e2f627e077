"""An index in the place of another: that one can be searched until the new one is complete, whenever the call ends."""

import json
import os
from itertools import count
from pathlib import Path

import pytest

from ppreid import wiring
from ppreid.base.errors import DataError, PpreidWarning
from ppreid.config.load import load_config
from ppreid.search.files import MANIFEST, home, read_manifest, read_parts
from ppreid.verbs.index_network import open_index
from ppreid.verbs.search import add_to_index, build_index, search
from ppreid.weights.files import save_weights


class Killed(BaseException):
    pass


@pytest.fixture
def config(tiny_config, tiny_root, tmp_path):
    """Loads a configuration with weights of a random network."""
    weights = tmp_path / "net.safetensors"
    save_weights(weights, wiring.reid_net(load_config(tiny_config).model))
    return lambda *more: load_config(tiny_config, [f"model.weights={weights}", *more])


@pytest.fixture
def index(config, tiny_root, tmp_path):
    build_index(config(), tmp_path / "index", images=tiny_root / "demo" / "query")
    return tmp_path / "index"


def image_size(folder):
    """What tells the index of before from the new one, once all its files are found to be whole."""
    manifest, cfg, *_ = open_index(folder)
    (part,) = read_parts(folder, manifest)
    assert len(part.names) == 8 and manifest.made_with["image size"] == f"{cfg.data.height} x {cfg.data.width}"
    return manifest.made_with["image size"]


def own_files(folder):
    return sorted(str(file.relative_to(folder)) for file in folder.rglob("*") if file.is_file())


@pytest.mark.parametrize("call", ["replace", "unlink"])
def test_whenever_the_call_is_killed_there_is_one_whole_index(call, index, config, tiny_root, tmp_path, monkeypatch):
    images = tiny_root / "demo" / "query"
    before, after = image_size(index), "48 x 32"
    assert before != after
    seen, numbers = [], count(1)
    for number in numbers:
        real, calls = getattr(os, call), count(1)

        def killing(*args, number=number, real=real, calls=calls, **kwargs):
            if next(calls) == number:
                raise Killed
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, call, killing)
            try:
                build_index(config("data.height=48", "data.width=32"), index, images=images, overwrite=True)
            except Killed:
                seen.append(image_size(index))
                continue
        break
    assert image_size(index) == after and len(seen) == next(numbers) - 2
    assert len(seen) >= 6 and seen[0] == before
    # index.json is renamed last, and files of the old index are removed behind it
    assert seen == ([before] * len(seen) if call == "replace" else sorted(seen, reverse=before > after))
    assert (after in seen) is (call == "unlink")
    made = home(index, read_manifest(index).made)
    assert own_files(index) == sorted([MANIFEST, *(f"{made.name}/{name}" for name in own_files(made))])


def test_what_is_left_of_the_old_index_goes_with_the_next_call(index, config, tiny_root, monkeypatch):
    images = tiny_root / "demo" / "query"
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr("ppreid.search.index.remove_replaced", lambda *args: (_ for _ in ()).throw(Killed))
        build_index(config("data.height=48"), index, images=images, overwrite=True)
    assert (index / "part_0000.npy").exists() and read_manifest(index).made == 1
    assert build_index(config("data.height=48"), index, images=images) == 8
    assert [name for name in own_files(index) if "/" not in name] == [MANIFEST]


def test_an_interrupted_call_goes_on_unless_it_was_for_something_else(index, config, tiny_root, monkeypatch):
    from ppreid.verbs import features

    images, real = tiny_root / "demo" / "query", features.feature_blocks

    def one_block(*args, **settings):
        yield next(real(*args, **settings))
        raise Killed

    def resumed(height):
        cfg = config(f"data.height={height}", "eval.batch_size=4")
        with monkeypatch.context() as patch, pytest.raises(Killed):
            patch.setattr(features, "feature_blocks", one_block)
            build_index(cfg, index, images=images, overwrite=True)
        return (home(index, 1) / "part_0000.npy.progress").read_text()

    assert '"rows": 4' in resumed(48)
    assert '"rows": 8' in resumed(48)
    assert '"rows": 4' in resumed(40)
    assert build_index(config("data.height=40"), index, images=images, overwrite=True) == 8


def test_an_index_that_was_made_anew_is_an_index_like_others(index, config, tiny_root):
    images = tiny_root / "demo" / "bounding_box_test"
    for _ in range(2):
        build_index(config(), index, images=images, overwrite=True)
    assert sorted(place.name for place in index.iterdir()) == [MANIFEST, "made_0002"]
    assert add_to_index(index, tiny_root / "demo" / "query") == 8
    assert read_manifest(index).parts == [24, 8]
    results = search(index, [tiny_root / "demo" / "query"], k=100)
    assert len(results) == 8 and all(len(result.matches) == 31 for result in results)


def test_a_damaged_index_is_replaced_and_nobody_elses_files_are_removed(index, config, tiny_root):
    (index / MANIFEST).write_text("{")
    for name in ("made_0003", "made_3", "made_up"):
        (index / name).mkdir()
    (index / "made_0003" / "mine.npy").write_text("mine")
    build_index(config(), index, images=tiny_root / "demo" / "query", overwrite=True)
    assert read_manifest(index).made == 4
    assert (index / "made_0003" / "mine.npy").read_text() == "mine"
    assert sorted(place.name for place in index.iterdir()) == [MANIFEST, "made_0003", "made_0004", "made_3", "made_up"]


def test_images_that_are_left_out_are_listed_beside_the_new_files(index, config, tmp_path, tiny_root):
    images = tmp_path / "images"
    images.mkdir()
    for file in (tiny_root / "demo" / "query").iterdir():
        (images / file.name).symlink_to(file)
    (images / "bad.jpg").write_bytes(b"bad")
    with pytest.warns(PpreidWarning, match="1 unreadable images are left out"):
        build_index(config("data.on_bad_image=skip"), index, images=images, overwrite=True)
    assert "bad.jpg" in (index / "made_0001" / "part_0000.bad_images.txt").read_text()


@pytest.mark.parametrize("made", [-1, True, "1", 10**18, None])
def test_a_number_that_leads_nowhere_is_damage(made, index):
    content = json.loads((index / MANIFEST).read_text())
    (index / MANIFEST).write_text(json.dumps({**content, "made": made}))
    with pytest.raises(DataError, match=r"index\.json is damaged"):
        read_manifest(index)


def test_an_index_of_the_first_version_is_read(index):
    content = json.loads((index / MANIFEST).read_text())
    del content["made"]
    (index / MANIFEST).write_text(json.dumps({**content, "version": 1}))
    assert read_manifest(index).made == 0 and Path(index / "part_0000.npy").exists()
