"""What the estimate is made of; how long anything takes is not tested."""

from contextlib import contextmanager

import paddle
import pytest

from ppreid.base.numbers import in_words
from ppreid.doctor import run_time
from ppreid.doctor.run_time import estimate_run_time, seconds_for, time_extraction, time_step

SHAPE = (3, 32, 16)


def test_an_estimate_multiplies_what_was_measured(monkeypatch, tiny_net):
    monkeypatch.setattr(run_time, "time_extraction", lambda model, **options: 0.5)
    monkeypatch.setattr(run_time, "time_step", lambda model, **options: 2.0)
    finding = estimate_run_time(
        tiny_net(), image_shape=SHAPE, batch=100, step_images=16, bn_chunks=2, steps=7200, epochs=36
    )
    assert finding.level == "ok"
    assert finding.text.splitlines()[1:] == [
        "features of 1,000 images: 5 s",
        "a training step of 16 images: 2 s; 7,200 of them: about 4 hours",
        "each 1,000 training images in 36 epochs: about 3 minutes more",
    ]
    finding = estimate_run_time(tiny_net(), image_shape=SHAPE, batch=50)
    assert finding.text.splitlines()[1:] == ["features of 1,000 images: 10 s"]


def test_the_times_of_a_few_images_stand_for_those_of_a_batch(monkeypatch, tiny_net):
    sizes = []

    def measured(work):
        work()
        return 1.0

    monkeypatch.setattr(run_time, "seconds_for", measured)
    net = tiny_net(bn_chunks=3)
    net.register_forward_pre_hook(lambda layer, inputs: sizes.append((inputs[0].shape[0], layer.training)))
    assert time_extraction(net, images=100, image_shape=SHAPE) == 100 / run_time.FEW_IMAGES
    assert time_extraction(net, images=2, image_shape=SHAPE) == 1
    assert time_step(net, images=12, image_shape=SHAPE, multiple=3) == 2  # 6 images: two in each chunk
    assert sizes == [(run_time.FEW_IMAGES, False), (2, False), (6, True)]
    assert all(parameter.grad is None or not parameter.grad.numpy().any() for parameter in net.parameters())


def test_a_step_is_computed_in_the_precision_of_the_run(tiny_net):
    entered = []

    @contextmanager
    def precision():
        entered.append(True)
        yield

    time_step(tiny_net(), images=4, image_shape=SHAPE, autocast=precision)
    assert entered == [True, True]  # measured twice


def test_the_second_time_counts_and_the_result_is_waited_for():
    calls = []
    assert seconds_for(lambda: calls.append(1) or paddle.ones([2])) >= 0
    assert len(calls) == 2


@pytest.mark.parametrize("error", [RuntimeError("\n\nResourceExhaustedError: out of memory"), MemoryError()])
def test_a_network_that_does_not_fit_is_a_warning_with_the_reason(error):
    class Large(paddle.nn.Layer):
        def forward(self, images):
            raise error

    finding = estimate_run_time(Large(), image_shape=SHAPE, batch=8)
    assert finding.level == "warning"
    reason = str(error).strip() or "MemoryError"
    assert finding.text == f"the network cannot work on a batch: {reason}"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0123, "0.012 s"),
        (119, "119 s"),
        (300, "about 5 minutes"),
        (7199, "about 120 minutes"),
        (7200, "about 2 hours"),
        (100_000, "about 28 hours"),
        (200_000, "about 2 days"),
        (8_640_000, "about 100 days"),
    ],
)
def test_durations_are_said_in_words(seconds, words):
    assert in_words(seconds) == words
