"""Indexes and searches, from the command line and from Python."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppreid import wiring
from ppreid.base.errors import ConfigError, DataError, PpreidWarning
from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.disk.features import read_features
from ppreid.disk.files import file_sha256, write_text
from ppreid.search import files
from ppreid.search.files import CONFIG, MANIFEST, NETWORK, lists_file, part_file, read_manifest
from ppreid.search.results import results_csv
from ppreid.verbs import features
from ppreid.verbs.extract import extract
from ppreid.verbs.search import Searcher, add_to_index, build_index, search
from ppreid.weights.files import save_weights


@pytest.fixture
def crops(tiny_root, tmp_path):
    """The gallery of the tiny data, 24 images, as a folder for each camera."""
    for file in (tiny_root / "demo" / "bounding_box_test").iterdir():
        camera = tmp_path / "crops" / {"1": "hall", "2": "yard"}[file.name.split("_c")[1][0]]
        camera.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, camera)
    return tmp_path / "crops"


@pytest.fixture
def config(tiny_config, crops, tmp_path):
    """Loads a configuration for the folder, with weights of a random network."""
    weights = tmp_path / "net.safetensors"
    save_weights(weights, wiring.reid_net(load_config(tiny_config).model))
    overrides = [f"model.weights={weights}", "data.name=camera_folder", f"data.root={crops}"]
    return lambda *more: load_config(tiny_config, [*overrides, *more])


@pytest.fixture
def index(config, tmp_path):
    """An index of the folder."""
    assert build_index(config(), tmp_path / "index") == 24
    return tmp_path / "index"


@pytest.fixture(scope="session")
def made_once(write_tiny_config, tmp_path_factory):
    """An index of the gallery of the tiny data."""
    folder = tmp_path_factory.mktemp("index")
    cfg = load_config(write_tiny_config(folder))
    save_weights(folder / "net.safetensors", wiring.reid_net(cfg.model))
    model = cfg.model.model_copy(update={"weights": str(folder / "net.safetensors")})
    assert build_index(cfg.model_copy(update={"model": model}), folder / "index") == 24
    return folder / "index"


@pytest.fixture
def any_index(made_once, tmp_path):
    """A copy of it, to be damaged."""
    return Path(shutil.copytree(made_once, tmp_path / "index"))


@pytest.fixture
def queries(tiny_root):
    return tiny_root / "demo" / "query"


def brute_force(index, config, query, **conditions):
    """Paths and cosines by plain loops over features that tools/extract.py would write."""
    features = {}
    for name, folder in (("gallery", Path(config().data.root)), ("query", query)):
        output = index.parent / f"{name}{len(list(index.parent.iterdir()))}.npy"
        extract(config("data.name=demo"), output, images=folder)
        written = read_features(output)
        features[name] = list(zip(written.names, np.array(written.features), strict=True))
    answers = []
    for path, feature in features["query"]:
        cosines = [(float(feature @ other), name) for name, other in features["gallery"] if name != path]
        shown = [(cosine, name) for cosine, name in cosines if all(test(cosine, name) for test in conditions.values())]
        answers.append((path, sorted(shown, reverse=True)))
    return answers


def found(results):
    return [(result.query, [(match.similarity, match.path) for match in result.matches]) for result in results]


def assert_same(results, expected, k):
    assert len(results) == len(expected)
    for (query, matches), (path, answers) in zip(found(results), expected, strict=True):
        assert query == path
        np.testing.assert_allclose([cosine for cosine, _ in matches], [cosine for cosine, _ in answers[:k]], atol=1e-5)
        assert {name for _, name in matches} <= {name for cosine, name in answers if cosine >= matches[-1][0] - 1e-5}


@pytest.mark.parametrize("method", ["exact", "ivf"])
def test_a_search_equals_brute_force(config, crops, queries, tmp_path, method):
    index = tmp_path / "index"
    build_index(config(), index, images=crops, method=method)
    assert (index / lists_file(1)).exists() is (method == "ivf")
    results = search(index, [queries], k=7, num_probes=1000)
    assert_same(results, brute_force(index, config, queries), 7)
    assert {match.camera for result in results for match in result.matches} == {"hall", "yard"}
    assert {result.camera for result in results} == {""}


def test_conditions_on_cameras_and_similarity(index, config, crops):
    queries = crops / "hall"
    results = search(index, [queries], k=5, other_cameras=True)
    assert_same(results, brute_force(index, config, queries, other=lambda _, path: "/yard/" in path), 5)
    assert {result.camera for result in results} == {"hall"}
    everything = search(index, [queries], k=24)
    similarities = np.sort([match.similarity for result in everything for match in result.matches])[40:-40]
    gap = np.argmax(np.diff(similarities))  # far from every similarity: rounding must not decide
    limit = float(similarities[gap : gap + 2].mean())
    close = search(index, [queries], k=24, min_similarity=limit)
    assert_same(close, brute_force(index, config, queries, least=lambda cosine, _: cosine >= limit), 24)


def test_a_query_of_the_index_is_not_its_own_match(index, crops, tmp_path, monkeypatch):
    image = sorted((crops / "hall").iterdir())[0]
    monkeypatch.chdir(image.parent)
    (result,) = search(index, [image.name, str(image)], k=100)
    assert result.query == str(image) and len(result.matches) == 23
    copy = shutil.copy(image, tmp_path / "copy.jpg")
    (result,) = search(index, [copy], k=1)
    assert result.matches[0].path == str(image) and result.matches[0].similarity == pytest.approx(1, abs=1e-5)


def test_the_camera_of_a_new_query_must_be_named(index, queries):
    with pytest.raises(ConfigError, match=r"camera of query .* is not known: .*--camera"):
        search(index, [queries], other_cameras=True)
    with pytest.raises(ConfigError, match="did you mean 'hall'"):
        search(index, [queries], camera="hal")
    results = search(index, [queries], k=3, camera="yard", other_cameras=True)
    assert {match.camera for result in results for match in result.matches} == {"hall"}
    assert {result.camera for result in results} == {"yard"}


@pytest.mark.parametrize("method", ["exact", "ivf"])
def test_images_are_added_without_touching_the_others(config, crops, queries, tmp_path, method):
    index, more = tmp_path / "index", tmp_path / "more"
    build_index(config(), index, method=method)
    before = {name: (index / name).read_bytes() for name in (part_file(0), NETWORK)}
    shutil.copytree(queries, more / "gate")
    shutil.copytree(crops / "hall", more / "hall")
    assert add_to_index(index, more) == 20
    assert {name: (index / name).read_bytes() for name in before} == before
    manifest = read_manifest(index)
    assert manifest.parts == [24, 20] and manifest.cameras == ["hall", "yard", "gate"]
    assert not (index / lists_file(1)).exists()
    searcher = Searcher(index)
    (result,) = searcher.search([next((more / "gate").iterdir())], k=100, num_probes=1000)
    assert result.camera == "gate" and len(result.matches) == 43
    assert add_to_index(index, more) == 0 and read_manifest(index).parts == [24, 20]


def test_an_interrupted_index_goes_on(config, tmp_path, monkeypatch):
    from ppreid.search import index as made
    from ppreid.verbs import features

    real = features.feature_blocks

    def one_block(*args, **kwargs):
        yield next(real(*args, **kwargs))
        raise KeyboardInterrupt

    index = tmp_path / "index"
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(features, "feature_blocks", one_block)
        build_index(config(), index)
    with pytest.raises(DataError, match="holds no search index"):
        search(index, [tmp_path])
    assert (index / (part_file(0) + ".partial")).exists()
    with monkeypatch.context() as patch, pytest.raises(ZeroDivisionError):
        patch.setattr(made, "write_manifest", lambda *args: 1 / 0)
        build_index(config(), index)
    assert build_index(config(), index) == 24
    whole = tmp_path / "whole"
    build_index(config(), whole)
    assert (whole / part_file(0)).read_bytes() == (index / part_file(0)).read_bytes()


def test_an_index_moves_with_its_network_and_needs_nothing_else(index, config, queries, tmp_path, crops):
    moved = tmp_path / "elsewhere" / "index"
    expected = search(index, [queries])
    moved.parent.mkdir()
    index.rename(moved)
    (tmp_path / "net.safetensors").unlink()
    (tmp_path / "tiny.yaml").unlink()
    shutil.rmtree(crops)
    found_again = search(moved, [queries])
    assert [[match.path for match in result.matches] for result in found_again] == [
        [match.path for match in result.matches] for result in expected
    ]


def test_a_file_name_may_be_any_bytes(config, crops, tmp_path):
    image = next((crops / "hall").iterdir())
    odd = os.fsencode(image.parent) + b'/\xff,\n".jpg'
    os.rename(image, odd)
    build_index(config(), tmp_path / "index")
    results = search(tmp_path / "index", [crops], k=24)
    assert os.fsdecode(odd) in {match.path for result in results[1:] for match in result.matches}
    write_text(tmp_path / "r.csv", results_csv(results))
    assert odd in (tmp_path / "r.csv").read_bytes().replace(b'""', b'"')


def test_what_would_change_features_is_refused(index, queries):
    for override in ("data.height=64", "model.pooling=gem"):
        with pytest.raises(ConfigError, match=r"was made with .*; make another index"):
            search(index, [queries], overrides=[override])
    with pytest.raises(ConfigError, match="has its own network"):
        search(index, [queries], overrides=["model.weights=other.safetensors"])
    with pytest.raises(ConfigError, match="unknown key"):
        search(index, [queries], overrides=["data.heigth=64"])
    assert len(search(index, [queries], overrides=["eval.batch_size=1"])) == 8


def test_folders_that_hold_something_are_left_alone(index, config, tmp_path):
    with pytest.raises(ConfigError, match=r"holds an index, of other images or another network; `search add`"):
        build_index(config("data.height=48"), index)
    with pytest.raises(ConfigError, match=r"is not empty \(crops, index, net\.safetensors\)"):
        build_index(config(), tmp_path)


def test_unreadable_images_stop_or_are_left_out(config, crops, queries, tmp_path):
    (crops / "hall" / "bad.jpg").write_bytes(b"bad")
    with pytest.raises(DataError, match=r"bad\.jpg"):
        build_index(config(), tmp_path / "one")
    with pytest.warns(PpreidWarning, match="1 unreadable images are left out"):
        assert build_index(config("data.on_bad_image=skip"), tmp_path / "two") == 24
    mixed = tmp_path / "mixed"
    shutil.copytree(queries, mixed)
    (mixed / "bad.jpg").write_bytes(b"bad")
    with pytest.warns(PpreidWarning, match=r"a query is left out: .*bad\.jpg"):
        assert len(search(tmp_path / "two", [mixed])) == 8
    with pytest.raises(DataError, match="all 1 queries are unreadable"):
        search(tmp_path / "two", [mixed / "bad.jpg"])
    with pytest.raises(DataError, match=r"there is no query .*nowhere"):
        search(tmp_path / "two", [tmp_path / "nowhere"])


def test_the_gallery_of_a_data_set_is_the_default(any_index, queries):
    assert read_manifest(any_index).cameras == ["1", "2"]
    (match,) = search(any_index, [queries], k=1)[0].matches
    assert "bounding_box_test" in match.path and match.camera in ("1", "2")


def write_tracks(crops, times):
    """A tracks.csv with one track for each camera, whose images are so many seconds apart."""
    lines = ["path,camera,track,time"]
    for camera in ("hall", "yard"):
        files = sorted((crops / camera).iterdir())
        lines += [f"{camera}/{file.name},{camera},0,{times + number}" for number, file in enumerate(files)]
    write_text(crops / "tracks.csv", "\n".join(lines) + "\n")


def test_matches_have_the_times_of_tracks(config, crops, queries, tmp_path):
    write_tracks(crops, 5.5)
    build_index(config(), tmp_path / "index", images=crops)
    files = sorted((crops / "hall").iterdir())
    (found,) = search(tmp_path / "index", [files[2]], k=23)
    assert found.time == 7.5 and len(found.matches) == 23
    folders = [sorted((crops / camera).iterdir()) for camera in ("hall", "yard")]
    expected = {str(file): 5.5 + number for folder in folders for number, file in enumerate(folder)}
    assert {match.path: match.time for match in found.matches} | {found.query: found.time} == expected
    shutil.copytree(queries, tmp_path / "more" / "hall")  # without tracks
    assert add_to_index(tmp_path / "index", tmp_path / "more") == len(list(queries.iterdir()))
    (found,) = search(tmp_path / "index", [min((tmp_path / "more" / "hall").iterdir())], k=40)
    times = {match.path: match.time for match in found.matches}
    assert found.time == -1 and times == {path: expected.get(path, -1.0) for path in times} and len(times) > 24


def test_times_of_tracks_with_their_own_clocks_are_left_out(config, crops, tmp_path):
    write_tracks(crops, 5.5)
    build_index(config("data.clock=track"), tmp_path / "index", images=crops)
    (found,) = search(tmp_path / "index", [min((crops / "hall").iterdir())])
    assert {found.time, *(match.time for match in found.matches)} == {-1.0}


# the command


def test_the_command_writes_tables_and_a_picture(config, crops, queries, tiny_config, tmp_path, capsys):
    index, options = tmp_path / "index", []
    for key, value in (("model.weights", tmp_path / "net.safetensors"), ("data.name", "camera_folder")):
        options += ["-o", f"{key}={value}"]
    assert main(["search", "index", "-c", str(tiny_config), *options, "--images", str(crops), "--out", str(index)]) == 0
    outputs = {name: tmp_path / name for name in ("r.json", "r.csv", "r.png")}
    arguments = ["--json", outputs["r.json"], "--csv", outputs["r.csv"], "--contact-sheet", outputs["r.png"]]
    assert main(["search", "query", str(index), str(queries), "--top", "4", *map(str, arguments)]) == 0
    out = capsys.readouterr().out
    rows = json.loads(outputs["r.json"].read_text())
    assert len(rows) == 8 and [match["rank"] for match in rows[0]["matches"]] == [1, 2, 3, 4]
    best = rows[0]["matches"][0]
    assert f"1  {best['similarity']:6.3f}  {best['camera']}  {best['path']}" in out
    lines = list(csv.DictReader(outputs["r.csv"].read_text().splitlines()))
    assert len(lines) == 32 and lines[0]["path"] == best["path"] and lines[0]["camera"] == best["camera"]
    with Image.open(outputs["r.png"]) as sheet:
        assert sheet.width > 5 * 64 and sheet.height > 8 * 128
    assert main(["search", "add", str(index), "--images", str(crops)]) == 0
    assert "24 of 24 images are in the index already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--top", "0"], 2, "at least 1"),
        (["--min-similarity", "1.5"], 2, "from -1 to 1"),
        (["--json", "/nowhere/r.json"], 8, "/nowhere/r.json cannot be written"),
        (["--contact-sheet", "/nowhere/r.png"], 8, "/nowhere/r.png cannot be written"),
    ],
)
def test_wrong_arguments_are_one_message(any_index, queries, arguments, code, message, capsys):
    assert main(["search", "query", str(any_index), str(queries), *arguments]) == code
    error = capsys.readouterr().err
    assert message in error and "Traceback" not in error


# damaged and hostile indexes


def edit(index, **changes):
    content = json.loads((index / MANIFEST).read_text())
    (index / MANIFEST).write_text(json.dumps({**content, **changes}))


@pytest.mark.parametrize("name", [part_file(0), "part_0000.csv", NETWORK, "config.yaml"])
@pytest.mark.parametrize("damage", ["truncated", "swapped", "missing", "grown"])
def test_a_damaged_file_is_found(any_index, queries, name, damage):
    path = any_index / name
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        other = {"truncated": content[:-1], "swapped": (any_index / MANIFEST).read_bytes(), "grown": content + b"x"}
        path.write_bytes(other[damage])
    with pytest.raises(DataError, match=f"{name} is (missing|damaged or of another index)"):
        search(any_index, [queries])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 4}, "is an index of version 4, but this ppreid reads 3"),
        ({"format": "pickle"}, "does not describe a search index"),
        ({"parts": [24, 1]}, "list of files"),
        ({"parts": []}, "list of files"),
        ({"parts": [True]}, "list of files"),
        ({"parts": [23]}, "holds .*not"),
        ({"dim": 63}, "holds .*not"),
        ({"method": "ivf"}, "list of files"),
        ({"cameras": ["1"]}, "cameras of part_0000"),
        ({"files": {"../../etc/passwd": "0" * 64}}, "list of files"),
        ({"made_with": 3}, "is damaged"),
        ({"extra": 1}, "is damaged"),
    ],
)
def test_a_manifest_that_does_not_fit_is_refused(any_index, queries, changes, message):
    edit(any_index, **changes)
    with pytest.raises(DataError, match=message):
        search(any_index, [queries])


@pytest.mark.parametrize("text", ["", "{", "[]", "[" * 100_000, "null", "\ufeff{}"])
def test_a_manifest_that_is_no_json_is_refused(any_index, queries, text):
    (any_index / MANIFEST).write_text(text)
    with pytest.raises(DataError, match=r"index\.json"):
        search(any_index, [queries])


def test_the_network_of_another_index_is_refused(any_index, tiny_config, queries):
    save_weights(any_index / NETWORK, wiring.reid_net(load_config(tiny_config).model))
    with pytest.raises(DataError, match="of another index"):
        add_to_index(any_index, queries)


def with_own_digest(index, text):
    """Give an index another configuration, as a stranger would."""
    (index / CONFIG).write_text(text)
    digests = json.loads((index / MANIFEST).read_text())["files"]
    edit(index, files={**digests, CONFIG: file_sha256(index / CONFIG)})


@pytest.mark.parametrize("text", ["data: {height: -1}", "modle: 3", "a: [1", "text", "seed: {a: 1}", "task: nothing"])
def test_a_wrong_configuration_is_the_fault_of_the_index_and_an_override_that_of_the_user(any_index, queries, text):
    with pytest.raises(ConfigError, match=r"data\.height"):
        search(any_index, [queries], overrides=["data.height=-1"])
    with_own_digest(any_index, text)
    with pytest.raises(DataError, match=r"config\.yaml.*(\n.*)*was damaged or changed since"):
        search(any_index, [queries], overrides=["device=cpu"])


def test_too_many_cameras_are_noticed_before_features_are_extracted(config, queries, tmp_path, monkeypatch):
    def fails(*arguments, **settings):
        pytest.fail("extracted")

    build_index(config(), tmp_path / "other")
    monkeypatch.setattr(features, "write_image_features", fails)
    monkeypatch.setattr(files, "MAX_JSON", 300)
    with pytest.raises(DataError, match="would have 2 cameras, more than fit into index"):
        build_index(config(), tmp_path / "index")
    monkeypatch.setattr(files, "MAX_JSON", (tmp_path / "other" / MANIFEST).stat().st_size + 50)
    shutil.copytree(queries, tmp_path / "more" / "gate")
    with pytest.raises(DataError, match="would have 3 cameras, more than fit into index"):
        add_to_index(tmp_path / "other", tmp_path / "more")


def test_a_table_of_cameras_that_only_the_index_names_is_not_read(config, crops, queries, tmp_path):
    table = tmp_path / "cameras.csv"
    lines = [f"{file.relative_to(crops)},{file.parent.name}\n" for file in sorted(crops.rglob("*.jpg"))]
    table.write_text("path,camera\n" + "".join(lines))
    settings = ["data.camera_folder.camera=csv", f"data.camera_folder.csv={table}"]
    build_index(config(*settings), tmp_path / "index")
    new = tmp_path / "new.csv"
    new.write_text("path,camera\n" + "".join(f"{file.name},gate\n" for file in sorted(queries.glob("*.jpg"))))
    with pytest.raises(ConfigError, match=r"-o data\.camera_folder\.csv=FILE"):
        add_to_index(tmp_path / "index", queries)
    assert add_to_index(tmp_path / "index", queries, overrides=[f"data.camera_folder.csv={new}"]) == 8
    assert read_manifest(tmp_path / "index").cameras == ["hall", "yard", "gate"]
