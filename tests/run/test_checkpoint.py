import numpy as np
import paddle
import pytest

from ppreid.base.errors import TrainingError, WeightsError, WriteError
from ppreid.base.records import ImageRecord
from ppreid.disk.tensor_file import save_tensors
from ppreid.run.checkpoint import (
    checkpoint_bytes,
    images_digest,
    read_checkpoint,
    restore,
    save_checkpoint,
)
from ppreid.run.progress import Progress
from ppreid.training.optimizer import adam_with_l2

PROGRESS = Progress(epoch=3, history=({"event": "evaluation", "epoch": 0, "mAP": 7.1},))
FACTS = {"config": {"seed": 1}, "images": {"count": 2}}


def same(one, two):
    """Whether two states between two epochs are equal; arrays do not compare as a whole."""
    return one[:4] == two[:4] and not one.has_labels and not two.has_labels


def network(width=4):
    paddle.seed(0)
    model = paddle.nn.Sequential(paddle.nn.Linear(3, width), paddle.nn.BatchNorm1D(width), paddle.nn.Linear(width, 2))
    return model, adam_with_l2(model, lr=0.01, weight_decay=5e-4)


def train_steps(model, optimizer, seeds):
    for seed in seeds:
        x = paddle.to_tensor(np.random.default_rng(seed).standard_normal((8, 3)).astype(np.float32))
        (model(x) ** 2).sum().backward()
        optimizer.step()
        optimizer.clear_grad()


def test_training_goes_on_bit_for_bit(tmp_path):
    path = tmp_path / "c.safetensors"
    model, optimizer = network()
    train_steps(model, optimizer, range(5))
    save_checkpoint(path, PROGRESS, model, optimizer, **FACTS)
    train_steps(model, optimizer, range(5, 9))

    network()  # paddle numbers its tensors per process; the names of the second network differ from the first one's
    again, optimizer_again = network()
    checkpoint = read_checkpoint(path)
    assert same(checkpoint.progress, PROGRESS) and checkpoint.path == path
    assert {"config": checkpoint.config, "images": checkpoint.images} == FACTS
    restore(checkpoint, again, optimizer_again)
    train_steps(again, optimizer_again, range(5, 9))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(again.state_dict()[name].numpy(), value.numpy(), err_msg=name)


def test_a_checkpoint_that_is_written_right_after_resuming_is_the_same(tmp_path):
    model, optimizer = network()
    train_steps(model, optimizer, range(5))
    save_checkpoint(tmp_path / "c.safetensors", PROGRESS, model, optimizer, **FACTS)
    again, optimizer_again = network()
    restore(read_checkpoint(tmp_path / "c.safetensors"), again, optimizer_again)
    save_checkpoint(tmp_path / "again.safetensors", PROGRESS, again, optimizer_again, **FACTS)
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "c.safetensors").read_bytes()


def test_the_optimizer_state_matters(tmp_path):
    model, optimizer = network()
    train_steps(model, optimizer, range(5))
    save_checkpoint(tmp_path / "c.safetensors", PROGRESS, model, optimizer, **FACTS)
    train_steps(model, optimizer, [5])
    again, fresh_optimizer = network()
    restore(read_checkpoint(tmp_path / "c.safetensors"), again, network()[1])  # moments restored into another optimizer
    train_steps(again, fresh_optimizer, [5])
    assert not np.array_equal(again[0].weight.numpy(), model[0].weight.numpy())


def test_another_architecture_is_refused_and_left_alone(tmp_path):
    save_checkpoint(tmp_path / "c.safetensors", PROGRESS, *network(), **FACTS)
    model, optimizer = network(width=5)
    before = model[0].weight.numpy().copy()
    with pytest.raises(WeightsError, match=r"\d+ tensors differ:\n  - 0.bias: \(4,\) in the file, \(5,\) in the"):
        restore(read_checkpoint(tmp_path / "c.safetensors"), model, optimizer)
    np.testing.assert_array_equal(model[0].weight.numpy(), before)


def test_a_file_without_training_state_is_refused(tmp_path):
    save_tensors(tmp_path / "w.safetensors", {"a": np.ones(2, np.float32)}, {})
    with pytest.raises(WeightsError, match="not a training checkpoint"):
        read_checkpoint(tmp_path / "w.safetensors")


def test_a_running_epoch_comes_back_bit_for_bit(tmp_path):
    rng = np.random.default_rng(0)
    running = PROGRESS._replace(
        labels=np.array([0, -1, 1, 0]),
        centroids=rng.standard_normal((2, 5)).astype(np.float32),
        steps=7,
        sums={"loss": np.array(1.1, np.float32), "loss_lp": np.array(0.3, np.float32)},
        seconds={"train": 2.5},
        kept=tuple(np.full(2, number) for number in range(11)),
    )
    save_checkpoint(tmp_path / "c.safetensors", running, *network(), **FACTS)
    progress = read_checkpoint(tmp_path / "c.safetensors").progress
    assert (progress.epoch, progress.history, progress.previous) == PROGRESS[:3]
    assert (progress.steps, progress.seconds) == (7, {"train": 2.5})
    assert [array.tolist() for array in progress.kept] == [[number, number] for number in range(11)]
    np.testing.assert_array_equal(progress.labels, running.labels)
    np.testing.assert_array_equal(progress.centroids, running.centroids)
    assert {name: (value.shape, value.item()) for name, value in progress.sums.items()} == {
        name: ((), value.item()) for name, value in running.sums.items()
    }


def test_a_checkpoint_that_cannot_be_written_says_how_much_room_it_needs(tmp_path):
    with pytest.raises(WriteError, match=r"cannot write checkpoint .*c\.safetensors: Is a dir.* needs [\d,]+ bytes"):
        (tmp_path / "c.safetensors").mkdir()
        save_checkpoint(tmp_path / "c.safetensors", PROGRESS, *network(), **FACTS)
    assert [file.name for file in tmp_path.iterdir()] == ["c.safetensors"]


def test_the_digest_of_images_follows_names_cameras_and_order_but_not_folders():
    records = [ImageRecord("/a/1.jpg", 3, 0), ImageRecord("/a/2\udcff.jpg", 4, 1)]
    digest = images_digest(records)
    assert digest["count"] == 2
    assert images_digest([record._replace(path=record.path.replace("/a/", "/b/")) for record in records]) == digest
    assert images_digest([record._replace(pid=9) for record in records]) == digest
    for other in (records[::-1], records[:1], [records[0], records[1]._replace(camid=2)]):
        assert images_digest(other) != digest


def test_the_size_of_a_checkpoint_is_known_before_it_is_written(tmp_path):
    model, optimizer = network(width=5000)
    train_steps(model, optimizer, range(1))
    save_checkpoint(tmp_path / "c.safetensors", PROGRESS, model, optimizer, **FACTS)
    header = (tmp_path / "c.safetensors").stat().st_size - checkpoint_bytes(model)
    assert 0 < header < 10_000


@pytest.mark.parametrize("place", ["weight", "moment", "memory"])
def test_what_is_not_finite_is_never_saved(tmp_path, place):
    model, optimizer = network()
    train_steps(model, optimizer, [1])
    save_checkpoint(tmp_path / "last", PROGRESS, model, optimizer, **FACTS)
    before = (tmp_path / "last").read_bytes()
    progress = PROGRESS
    if place == "weight":
        model[2].weight.set_value(paddle.full_like(model[2].weight, float("nan")))
    elif place == "moment":
        for key, value in optimizer.state_dict().items():
            if "moment2" in key:
                value.set_value(paddle.full_like(value, float("inf")))
    else:
        centroids = np.full((2, 3), np.nan, np.float32)
        progress = PROGRESS.clustered(np.zeros(4, np.int64), centroids)
    with pytest.raises(TrainingError, match=r"was not written, because .* are not finite"):
        save_checkpoint(tmp_path / "last", progress, model, optimizer, **FACTS)
    assert (tmp_path / "last").read_bytes() == before
