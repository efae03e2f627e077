"""How long a run will take on this machine: an estimate from a few images that the network really sees."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import paddle

from ppreid.base.errors import last_line
from ppreid.base.numbers import in_words
from ppreid.doctor.findings import Finding, ok, warning

FEW_IMAGES = 4  # on a processor the time grows with the images; on a GPU only a whole batch says what it will take


def seconds_for(work: Callable[[], paddle.Tensor]) -> float:
    """Seconds of the second call; the first one also prepares what later calls find ready.

    Args:
        work: computes something; its result is fetched, because a GPU gives it back before it is there.
    """
    seconds = 0.0
    for _ in range(2):
        start = time.perf_counter()
        work().numpy()
        seconds = time.perf_counter() - start
    return seconds


def time_extraction(model: paddle.nn.Layer, *, images: int, image_shape: tuple[int, int, int]) -> float:
    """Seconds in which the network gives features of so many images.

    Args:
        model: any network (B, 3, H, W) -> (B, D); it is in evaluation mode afterwards.
        images: of a batch, B.
        image_shape: (3, H, W).
    """
    model.eval()
    few = _measured(images)
    batch = paddle.zeros([few, *image_shape])
    with paddle.no_grad():
        return seconds_for(lambda: model(batch).mean()) * images / few


def time_step(
    model: paddle.nn.Layer,
    *,
    images: int,
    image_shape: tuple[int, int, int],
    multiple: int = 1,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> float:
    """Seconds of one step of training: forward and backward through the network, which is nearly all of it.

    Args:
        model: as for `time_extraction`; it is in training mode afterwards, with gradients and other running means.
        images: of a batch, B.
        image_shape: (3, H, W).
        multiple: of how many images a batch consists, for chunks of batch normalisation.
        autocast: context of mixed precision.
    """
    model.train()
    few = min(images, -(-_measured(images) // multiple) * multiple)
    batch = paddle.randn([few, *image_shape])

    def work() -> paddle.Tensor:
        with autocast():
            loss = model(batch).astype("float32").square().mean()
        loss.backward()
        return loss

    seconds = seconds_for(work) * images / few
    model.clear_gradients()
    return seconds


def estimate_run_time(
    model: paddle.nn.Layer,
    *,
    image_shape: tuple[int, int, int],
    batch: int,
    step_images: int = 0,
    bn_chunks: int = 1,
    steps: int = 0,
    epochs: int = 0,
    autocast: Callable[[], AbstractContextManager] = nullcontext,
) -> Finding:
    """Say how long the network will be at work on paddle's current device.

    Args:
        model: any network (B, 3, H, W) -> (B, D); its modes, gradients and running means change.
        image_shape: (3, H, W).
        batch: images of a batch of which features are extracted.
        step_images: images of a step of training; 0 where none is planned.
        bn_chunks: as the network has them.
        steps: of the whole run.
        epochs: of the whole run; the features of all training images are extracted in each.
        autocast: context of mixed precision in training.

    Returns:
        "ok" with the estimate; a warning where the device cannot do it, for example for want of memory.
    """
    try:
        features = 1000 / batch * time_extraction(model, images=batch, image_shape=image_shape)
        lines = [
            "an estimate of the network's work, with this machine as busy as it is now:",
            f"features of 1,000 images: {in_words(features)}",
        ]
        if step_images:
            step = time_step(model, images=step_images, image_shape=image_shape, multiple=bn_chunks, autocast=autocast)
            of_all = f"{steps:,} of them: {in_words(step * steps)}"
            lines += [
                f"a training step of {step_images:,} images: {in_words(step)}; {of_all}",
                f"each 1,000 training images in {epochs:,} epochs: {in_words(features * epochs)} more",
            ]
    except (RuntimeError, MemoryError, OSError) as error:
        text = f"the network cannot work on a batch: {last_line(error)}"
        return warning("run time", text, "lower the batch or the size of the images, or choose another device")
    return ok("run time", "\n".join(lines))


def _measured(images: int) -> int:
    return images if paddle.get_device().startswith("gpu") else min(images, FEW_IMAGES)
