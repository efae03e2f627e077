"""What the current network makes of images: their features, and how it ranks them."""

import warnings
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from importlib.util import find_spec
from itertools import chain
from typing import Any, TypeVar

import numpy as np
import paddle
from paddle import Tensor, nn

from ppreid import tables
from ppreid.base.errors import ConfigError, DataError, PpreidWarning, TrainingError
from ppreid.base.progress import progress
from ppreid.base.records import ReIDSplit, ids
from ppreid.contracts import Extractor, FeatureLoader, Ranker
from ppreid.processes.collectives import rows_to_first, tensors_from_first
from ppreid.processes.ranks import ALONE, Ranks

Result = TypeVar("Result")


def extract_features(
    model: nn.Layer,
    loader: FeatureLoader,
    *,
    engine: str = "auto",
    precision: str = "float32",
    ranks: Ranks = ALONE,
    description: str = "extract",
) -> np.ndarray:
    """Run the network over all images.

    Args:
        model: maps images (B, 3, H, W) to features (B, D). Its train/eval mode is restored afterwards.
        loader: gives every row of its share exactly once, in any order; the shares of all ranks are the rows 0..N-1.
        engine: see `feature_blocks`.
        precision: see `feature_blocks`.
        ranks: the processes that share the work; all extract with the running statistics of rank 0.
        description: for the progress display.

    Returns:
        Features (N, D) float32; row i belongs to image i. Ranks other than 0 get none, (0, D).

    Raises:
        ConfigError: the engine cannot run the network.
        DataError: rows are missing or come twice.
        TrainingError: features are not finite.
    """
    tensors_from_first((tensor for tensor in model.state_dict().values() if tensor.stop_gradient), ranks)
    # a loader of many processes may give rows in any order, and a fault in it must not leave rows of zeros behind
    features = np.empty((0, 0), dtype=np.float32)
    seen, start = np.zeros(len(loader.rows), dtype=np.int64), loader.rows.start
    for block, rows in feature_blocks(model, loader, engine=engine, precision=precision, description=description):
        if not features.size:
            features = np.empty((len(seen), block.shape[1]), dtype=np.float32)
        features[rows - start] = block
        np.add.at(seen, rows - start, 1)
    wrong = np.flatnonzero(seen != 1)
    if len(wrong):
        first = start + wrong[0]
        raise DataError(f"{len(wrong)} of {len(seen)} images were not extracted exactly once; first row: {first}")
    return rows_to_first(features, ranks)


def feature_blocks(
    model: nn.Layer,
    loader: FeatureLoader,
    *,
    engine: str = "auto",
    precision: str = "float32",
    description: str = "extract",
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Run the network over all images, batch by batch.

    Args:
        model: maps images (B, 3, H, W) to features (B, D). Its train/eval mode is restored afterwards.
        loader: gives the images.
        engine: a key of `tables.ENGINES`: "eager" calls the model; "inference" and "openvino" let others run a copy;
            "auto" and "fastest" try such on a CPU, and call the model where none pays off or (with a warning) works.
        precision: of the copies, see `usable_precision`; eager always computes in float32. "int8" is what it says or an
            error, and "auto" and "fastest" then mean the engine that has it.
        description: for the progress display.

    Yields:
        Features (B, D) float32 and their rows (B,).

    Raises:
        ConfigError: the engine cannot run the network.
        TrainingError: features are not finite.
    """
    was_training = model.training
    model.eval()
    try:
        batches = progress(loader, total=len(loader), description=description)
        for block, rows in _forwarded(model, batches, loader, engine, precision):
            # a NaN here would be a plausible neighbour list later: comparisons with NaN are all false, nothing raises
            _check_finite(block, rows)
            yield block, rows
    finally:
        if was_training:
            model.train()


def _forwarded(
    model: nn.Layer, batches: Iterable[tuple[Tensor, np.ndarray]], loader: FeatureLoader, engine: str, precision: str
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Features (B, D) of the images of each batch, and their rows (B,)."""
    rest = iter(batches)
    first = next(rest, None)
    if first is None:
        return
    # chosen at the first batch, since an exported copy needs real images to be checked with
    name, forward = _choose_forward(model, first[0], loader, engine, precision)
    if not tables.ENGINES[name].overlaps:
        yield from ((forward(images), rows) for images, rows in chain([first], rest))
        return
    begun = deque([(forward(first[0]), first[1])])
    try:
        for images, rows in rest:  # one batch ahead: they were decoded while those before them were in the network
            begun.append((forward(images), rows))
            yield begun[0][0].result(), begun[0][1]
            begun.popleft()
        yield begun[0][0].result(), begun[0][1]
    finally:
        for features, _ in begun:
            features.cancel()


def engines_tried(engine: str) -> tuple[str, ...]:
    """Names of what may run the network on a CPU of this installation, the first one that works first."""
    tries = tables.ENGINES[engine].tries
    return tuple(name for name in tries if find_spec(tables.ENGINES[name].package or "ppreid"))


def _choose_forward(
    model: nn.Layer, images: Tensor, loader: FeatureLoader, engine: str, precision: str
) -> tuple[str, Callable[[Tensor], Any]]:
    """Name of an engine, and what it makes of images (B, 3, H, W): features (B, D), or what its row says."""
    if precision == "int8":
        from ppreid.export.int8 import calibrated_forward  # only who asks for it pays for it

        return calibrated_forward(model, images, loader, engine)
    # on a GPU eager is fast already, and an export would be made anew in every epoch
    for name in engines_tried(engine) if paddle.get_device() == "cpu" else ():
        row = tables.ENGINES[name]
        if row.function is None or loader.num_images < row.from_images:
            continue
        usable = _usable_precision(precision)
        try:
            return name, tables.resolve(row.function)(model, images, precision=usable)
        except ConfigError as error:
            warnings.warn(
                f"features are extracted by an engine slower than {name}: {error}", PpreidWarning, stacklevel=2
            )
    function = tables.ENGINES[engine].function
    if function is not None:
        return engine, tables.resolve(function)(model, images, precision=_usable_precision(precision))

    @paddle.no_grad()
    def eager(images: Tensor) -> np.ndarray:
        return model(images).numpy()

    return "eager", eager


def _usable_precision(precision: str) -> str:
    from ppreid.export.inference import usable_precision  # eager does without

    return usable_precision(precision)


def _check_finite(block: np.ndarray, rows: np.ndarray) -> None:
    """Refuse NaN and infinity in features (B, D)."""
    wrong = np.flatnonzero(~np.isfinite(block).all(axis=1))
    if len(wrong):
        raise TrainingError(
            f"{len(wrong)} of {len(block)} features of a batch are not finite (first row: {rows[wrong[0]]}); "
            "the network has diverged or its weights are damaged: lower solver.lr or check model.weights"
        )


def evaluate_model(
    model: nn.Layer,
    loader: FeatureLoader,
    split: ReIDSplit,
    *,
    rank: Ranker[Result],
    extract: Extractor = extract_features,
    prepare: Callable[[np.ndarray], np.ndarray] = lambda features: features,
    ranks: Ranks = ALONE,
    description: str = "evaluate",
) -> Result | None:
    """Rank the gallery for every query with the current network.

    Args:
        model: maps images to unit features.
        loader: images of query + gallery, in this order.
        split: data set.
        rank: (query features, gallery features, query pids, gallery pids, query camids, gallery camids) -> result.
        extract: network and loader to features, e.g. `extract_features` with another engine.
        prepare: what is done to the features (Q + G, D) before they are compared.
        ranks: the processes that share the extraction.
        description: for the progress display.

    Returns:
        What `rank` returned; None on ranks other than 0, where it is not called.
    """
    features = extract(model, loader, ranks=ranks, description=description)
    # ranking is quick beside extraction, and one process has all features
    if not ranks.is_first:
        return None
    # one pass over both, so that two short loaders need not start and end their workers
    features, num_queries = prepare(features), len(split.query)
    query_pids, query_camids = ids(split.query)
    gallery_pids, gallery_camids = ids(split.gallery)
    return rank(features[:num_queries], features[num_queries:], query_pids, gallery_pids, query_camids, gallery_camids)
