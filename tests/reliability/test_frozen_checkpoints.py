"""Checkpoints of earlier versions: the frozen files are read and continued for ever, or refused with what differs."""

import json
import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from ppreid.base.errors import ConfigError, DataError, PpreidWarning, WeightsError
from ppreid.config.load import load_config
from ppreid.disk.tensor_file import load_tensors, save_tensors
from ppreid.run.checkpoint import FORMAT, read_checkpoint
from ppreid.run.folder import LAST
from ppreid.run.resume import with_defaults
from ppreid.verbs.train import train


@pytest.fixture
def frozen(checkout):
    return checkout / "tests" / "data" / "checkpoints" / "format_1.safetensors"


@pytest.fixture
def config_of(checkout, tiny_root, tmp_path):
    """The configuration of the frozen run, with changes."""

    def load(*overrides):
        settings = [f"data.root={tiny_root}", f"output_dir={tmp_path / 'run'}", *overrides]
        return load_config(checkout / "tests" / "data" / "checkpoints" / "frozen.yaml", settings)

    return load


def test_every_format_has_a_frozen_checkpoint(frozen):
    assert {file.name for file in frozen.parent.glob("*.safetensors")} == {
        f"format_{number}.safetensors" for number in range(1, FORMAT + 1)
    }
    assert frozen.stat().st_size < 200_000


def test_the_frozen_checkpoint_is_read(frozen):
    checkpoint = read_checkpoint(frozen)
    progress = checkpoint.progress
    assert (progress.epoch, progress.steps, checkpoint.images["count"]) == (1, 1, 48)
    assert [row["epoch"] for row in progress.history] == [0, 1]
    assert len(progress.labels) == 48 and progress.centroids.shape == (progress.labels.max() + 1, 16)
    assert all(np.isfinite(value) for value in progress.sums.values())


@pytest.mark.filterwarnings("ignore::ppreid.base.errors.PpreidWarning")  # a later version may have another default
def test_the_frozen_run_goes_on(frozen, config_of, tmp_path):
    history = train(config_of(), resume=str(frozen))
    assert [row["epoch"] for row in history] == [0, 1, 2]
    assert read_checkpoint(tmp_path / "run" / LAST).progress.epoch == 2


def rewritten(source, target, change):
    """The checkpoint with other facts, and a checksum that fits them."""
    tensors, facts = load_tensors(source)
    save_tensors(target, tensors, change(facts))
    return target


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda facts: {**facts, "format": 2}, "has checkpoint format 2, this version of ppreid reads 1"),
        (lambda facts: {key: value for key, value in facts.items() if key != "format"}, "has checkpoint format None"),
        (lambda facts: {**facts, "phase": 3}, "another version of ppreid .*: phase is unknown"),
        (lambda facts: {key: facts[key] for key in facts if key != "epoch"}, "epoch is missing"),
        (lambda facts: {**facts, "running": {"step": 1}}, "running.steps is missing.* running.step is unknown"),
        (lambda facts: {}, "not a training checkpoint"),
    ],
)
def test_other_formats_are_refused_with_what_differs(frozen, tmp_path, change, message):
    with pytest.raises(WeightsError, match=message):
        read_checkpoint(rewritten(frozen, tmp_path / LAST, change))


def test_a_file_of_somebody_else_is_refused(tmp_path):
    save_file({"w": np.ones(3, np.float32)}, tmp_path / LAST, metadata={"format": "pt", "facts": json.dumps({})})
    with pytest.raises(WeightsError, match="not a training checkpoint of ppreid"):
        read_checkpoint(tmp_path / LAST)


@pytest.mark.parametrize(
    ("override", "line"), [("seed=2", "seed: 1 then, 2 now"), ("model.bn_chunks=2", "model.bn_chunks: 1 then, 2 now")]
)
def test_a_changed_key_that_matters_is_refused(frozen, config_of, override, line):
    with pytest.raises(ConfigError, match=f"cannot be continued.*\n.*{line}"):
        train(config_of(override), resume=str(frozen))


def test_a_key_that_was_renamed_since_is_refused_with_both_names(frozen, config_of, tmp_path):
    def change(facts):
        config = facts["config"]
        config["batch"] = {"people" if key == "identities" else key: value for key, value in config["batch"].items()}
        return facts

    with pytest.raises(ConfigError) as caught:
        train(config_of(), resume=str(rewritten(frozen, tmp_path / LAST, change)))
    assert "batch.people: 4 then, None now" in str(caught.value) and "batch.identities: 16 then, 4" in str(caught.value)


def test_a_key_that_came_later_counts_as_its_default(frozen, config_of, tmp_path):
    def change(facts):
        del facts["config"]["augment"]["color_jitter"], facts["config"]["memory"]
        return facts

    older = rewritten(frozen, tmp_path / LAST, change)
    assert len(train(config_of(), resume=str(older))) == 3
    shutil.rmtree(tmp_path / "run")
    with pytest.warns(PpreidWarning, match="because of augment.color_jitter"):
        train(config_of("augment.color_jitter=0.2"), resume=str(older))
    assert with_defaults({"a": {"b": 1}, "c": 2}, {"a": {"b": 0, "d": 3}, "e": {}}) == {
        "a": {"b": 1, "d": 3},
        "c": 2,
        "e": {},
    }


def test_a_key_that_nothing_reads_changes_nothing(frozen, config_of, tmp_path):
    """How many lists ivf looks into is another number by default since; exact neighbours know no lists."""

    def change(facts):
        facts["config"]["labels"] |= {"num_probes": 7, "neighbours": neighbours}
        return facts

    neighbours = "exact"
    assert len(train(config_of(), resume=str(rewritten(frozen, tmp_path / LAST, change)))) == 3
    shutil.rmtree(tmp_path / "run")
    neighbours = "ivf"
    with pytest.warns(PpreidWarning, match="because of labels.num_probes;"):
        train(config_of("labels.neighbours=ivf"), resume=str(rewritten(frozen, tmp_path / LAST, change)))


def test_one_more_image_is_refused(frozen, config_of, tiny_root, tmp_path):
    shutil.copytree(tiny_root, tmp_path / "data")
    folder = tmp_path / "data" / "demo" / "bounding_box_train"
    shutil.copy(next(folder.iterdir()), folder / "0007_c1s1_000009_00.jpg")
    with pytest.raises(DataError, match="48 then, 49 now"):
        train(config_of(f"data.root={tmp_path / 'data'}"), resume=str(frozen))


def test_another_network_is_refused_with_a_list_and_not_loaded_in_part(frozen, config_of, tmp_path):
    def change(facts):
        facts["config"]["model"]["base_width"] = 4
        return facts

    other = rewritten(frozen, tmp_path / LAST, change)
    said = (
        r"nothing of it was loaded. the file is of resnet18, base width 2, .*, the model is resnet18, base width 4, "
        r".*; pass -o model.base_width=2. \d+ tensors differ:\n  - "
    )
    with pytest.raises(WeightsError, match=said):
        train(config_of("model.base_width=4"), resume=str(other))
