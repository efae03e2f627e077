"""After every kind of start the files in the folder of a run are of one run."""

import json
import shutil
import warnings

import pytest

from ppreid.base.errors import ConfigError, DataError, PpreidError, PpreidWarning, WeightsError
from ppreid.base.records import ImageRecord, ReIDSplit
from ppreid.config.load import load_config
from ppreid.run.checkpoint import Checkpoint, image_facts, read_checkpoint
from ppreid.run.checkpoint_set import ASIDE, AUTO
from ppreid.run.folder import BEST, CAMERAS, ENVIRONMENT, LABELS, LAST, METRICS, REPLACED, epoch_checkpoint
from ppreid.run.metrics import read_metrics
from ppreid.run.resume import check_resumable
from ppreid.run.rows import best_row
from ppreid.verbs.train import train


@pytest.fixture(scope="module")
def finished(write_tiny_config, tmp_path_factory):
    """A configuration of three epochs, and the folder of its run, with a checkpoint of every epoch."""
    folder = tmp_path_factory.mktemp("finished")
    options = ["solver.epochs=3", "checkpoint.every=1", "checkpoint.keep=0"]
    config = write_tiny_config(folder)
    train(load_config(config, options))
    return config, options, folder / "run"


@pytest.fixture
def again(finished, tmp_path):
    """A copy of that run, and what goes on with it."""
    config, options, run = finished
    shutil.copytree(run, tmp_path / "run")
    cfg = load_config(config, [*options, f"output_dir={tmp_path / 'run'}"])
    return tmp_path / "run", lambda *more, **settings: train(cfg, **settings)


# what is wrong with a start -> error; {missing} is a folder that is not there
BAD_STARTS = {
    "data.root={missing}": DataError,
    "model.weights={missing}/none.safetensors": WeightsError,
    "model.weights=imagenet": PpreidError,  # nothing can be downloaded here
    "amp.level=O1": ConfigError,
    "batch.per_device=3": ConfigError,
}


@pytest.mark.parametrize("override", BAD_STARTS)
def test_overwriting_costs_nothing_when_the_new_run_cannot_start(again, finished, tmp_path, monkeypatch, override):
    run, _ = again
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    config, options, _ = finished
    wrong = override.format(missing=tmp_path / "missing")
    with pytest.raises(BAD_STARTS[override]):
        train(load_config(config, [*options, f"output_dir={run}", wrong]), overwrite=True)
    after = {file.name: file.read_bytes() for file in run.iterdir()}
    assert after == before


INPUTS = {"model.weights": BEST, "data.camera_folder.csv": CAMERAS, "data.camera_folder.tracks": LABELS}


@pytest.mark.parametrize("key", INPUTS)
def test_a_run_that_the_new_one_reads_is_not_replaced(again, finished, tmp_path, key):
    run, _ = again
    (tmp_path / "link").symlink_to(run / INPUTS[key])
    (run / INPUTS[key]).touch()
    before = {file.name: file.read_bytes() for file in run.iterdir()}
    config, options, _ = finished
    for name in (run / INPUTS[key], tmp_path / "link"):
        cfg = load_config(
            config,
            [
                *options,
                f"output_dir={run}",
                f"{key}={name}",
                *(["data.camera_folder.camera=csv"] if key.endswith("csv") else []),
            ],
        )
        with pytest.raises(ConfigError, match=f"{name.name} belongs to the run in .*copy it to another place"):
            train(cfg, overwrite=True)
    assert {file.name: file.read_bytes() for file in run.iterdir()} == before


def test_overwriting_leaves_nothing_of_the_replaced_run(again):
    run, go = again
    epoch_checkpoint(run, 99).write_bytes(b"of the replaced run")
    go(overwrite=True)
    assert not (run / REPLACED).exists() and not epoch_checkpoint(run, 99).exists()


def test_going_on_from_an_earlier_epoch_puts_a_best_network_of_the_abandoned_future_aside(again):
    run, go = again
    rows = read_metrics(run / METRICS)
    shutil.copy(epoch_checkpoint(run, 3), run / BEST)  # as if the last epoch had been the best
    with pytest.warns(PpreidWarning, match=r"the network of the best evaluation so far \(epoch 1\) is not in"):
        history = go(resume=str(epoch_checkpoint(run, 1)))
    assert (run / ASIDE).exists()
    if (run / BEST).exists():
        assert read_checkpoint(run / BEST).progress.epoch == best_row(history)["epoch"]
    evaluations = [(row["event"], row.get("epoch")) for row in read_metrics(run / METRICS)]
    assert evaluations == [(row["event"], row.get("epoch")) for row in rows]


@pytest.mark.parametrize("how", ["damaged", "missing"])
@pytest.mark.parametrize("place", ["auto", "folder"])
def test_a_best_network_that_is_no_good_is_said_and_blocks_nothing(again, finished, tmp_path, how, place):
    run, _ = again
    epoch_checkpoint(run, 2).replace(run / LAST)
    if how == "damaged":
        (run / BEST).write_bytes(b"damaged")
    else:
        (run / BEST).unlink()
    config, options, _ = finished
    target = run if place == "auto" else tmp_path / "other"
    cfg = load_config(config, [*options, f"output_dir={target}"])
    with pytest.warns(PpreidWarning, match="the network of the best evaluation so far"):
        train(cfg, resume=AUTO if place == "auto" else str(run))
    assert (target / LAST).exists()


def test_a_best_network_of_the_history_travels_to_another_folder(again, finished, tmp_path):
    run, _ = again
    config, options, _ = finished
    train(load_config(config, [*options, f"output_dir={tmp_path / 'other'}"]), resume=str(run))
    assert (tmp_path / "other" / BEST).read_bytes() == (run / BEST).read_bytes()


def test_lost_lines_of_the_metrics_come_back_from_the_checkpoint(again):
    run, go = again
    lines = (run / METRICS).read_text().splitlines(keepends=True)
    history = [row for row in map(json.loads, lines) if row["event"] == "evaluation"]
    (run / METRICS).write_text("".join(lines[-3:]))
    with pytest.warns(PpreidWarning, match=r"had lost lines: evaluations of 3 epochs are taken from the checkpoint"):
        go(resume=AUTO)
    found = [row for row in read_metrics(run / METRICS) if row["event"] == "evaluation"]
    for key in ("epoch", "mAP", "Rank-1"):
        assert [row[key] for row in found] == pytest.approx([row[key] for row in history])


def test_when_a_run_was_started_is_not_when_it_was_resumed(again):
    run, go = again
    facts = json.loads((run / ENVIRONMENT).read_text())
    (run / ENVIRONMENT).write_text(json.dumps({**facts, "started": "2026-01-02T03:04:05+00:00"}))
    go(resume=AUTO)
    found = json.loads((run / ENVIRONMENT).read_text())
    assert found["started"] == "2026-01-02T03:04:05+00:00" and found["resumed"] > found["started"]


def test_tracks_or_times_that_changed_are_said(tmp_path):
    names = [f"{number}.jpg" for number in range(4)]
    for name in names:
        (tmp_path / name).write_text(name)
    plain = [ImageRecord(str(tmp_path / name), -1, 0) for name in names]
    tracked = [record._replace(track=number // 2, time=float(number)) for number, record in enumerate(plain)]
    later, joined = ([*tracked[:3], tracked[3]._replace(**change)] for change in ({"time": 4.0}, {"track": 0}))

    def facts(train):
        return image_facts(ReIDSplit(tuple(train), (), ()), num_workers=0)

    def resumed(before, now):
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            check_resumable(Checkpoint(tmp_path, None, {}, before, {}), {}, facts(now), defaults={})
        return [str(warning.message) for warning in said]

    assert resumed(facts(tracked), tracked) == resumed(facts(plain), plain) == []
    for before, now in ((tracked, later), (tracked, joined), (plain, tracked), (tracked, plain)):
        (text,) = resumed(facts(before), now)
        assert text.startswith("the tracks of the training images, or their times, are not those of before (tracks.csv")
    earlier = {name: value for name, value in facts(tracked).items() if name != "tracks"}
    assert resumed(earlier, later) == []  # of a version that did not know tracks


@pytest.mark.parametrize(
    ("part", "text"), [("bounding_box_train", "some of the files were replaced"), ("query", "gallery images")]
)
def test_images_that_were_replaced_under_the_same_name_are_said(again, finished, tiny_root, tmp_path, part, text):
    run, _ = again
    root = tmp_path / "data"
    shutil.copytree(tiny_root, root)
    first, second = sorted((root / "demo" / part).iterdir())[:2]
    shutil.copy(second, first)
    config, options, _ = finished
    with pytest.warns(PpreidWarning, match=text):
        train(load_config(config, [*options, f"output_dir={run}", f"data.root={root}"]), resume=AUTO)
