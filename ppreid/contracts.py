"""What a user of ppreid may replace: a Protocol for each, with the shapes that go in and come out.

A plain function with these parameters fulfils one; nothing has to be inherited. The paddle types stand for readers and
type checkers only: this file imports neither paddle nor numpy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ppreid.base.batches import Addition as Addition
from ppreid.base.batches import Clustering as Clustering
from ppreid.base.batches import LossTerms as LossTerms
from ppreid.base.batches import Objective as Objective
from ppreid.base.batches import RunObjective as RunObjective
from ppreid.base.batches import StepBatch as StepBatch
from ppreid.base.batches import Twin as Twin

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import numpy as np
    from paddle import Tensor, nn
    from scipy.sparse import csr_matrix

    from ppreid.base.progress import Stopwatch
    from ppreid.base.records import ImageRecord

Result_co = TypeVar("Result_co", covariant=True)


class Backbone(Protocol):
    """Images to feature maps; a layer, so that its weights are trained.

    Attributes:
        feature_dim: C, channels of the maps.
    """

    feature_dim: int

    def __call__(self, images: Tensor, /) -> Tensor:
        """Images (B, 3, H, W), normalised, to maps (B, C, h, w)."""


class Pooling(Protocol):
    """Feature maps to one vector per image; a layer where it has weights of its own."""

    def __call__(self, maps: Tensor, /) -> Tensor:
        """Maps (B, C, h, w) to (B, C)."""


class FeatureLoader(Protocol):
    """All images of a data set once, in batches, or one process's share of them; row i is image i.

    Attributes:
        num_images: of the whole data set.
        rows: those that this loader gives.
    """

    num_images: int
    rows: range

    def __len__(self) -> int:
        """Number of batches."""

    def __iter__(self) -> Iterator[tuple[Tensor, np.ndarray]]:
        """Pairs of images (B, 3, H, W) and their rows (B,)."""

    def images_of(self, rows: Sequence[int]) -> Tensor:
        """Any images of the whole data set, (B, 3, H, W); asked for with eval.precision int8 only."""


class Extractor(Protocol):
    """Network and images to features."""

    def __call__(
        self,
        model: nn.Layer,
        /,
        loader: FeatureLoader,
        *,
        ranks: Any = ...,  # noqa: ANN401 - a `processes.ranks.Ranks`, which stands above this file
        description: str = ...,
    ) -> np.ndarray:
        """Features (N, D) float32 unit rows, row i of image i; the network's train/eval mode is what it was before."""


class Distance(Protocol):
    """Features to the distances that pseudo labels are clustered by."""

    def __call__(self, features: np.ndarray, camids: np.ndarray, /, *, stopwatch: Stopwatch) -> csr_matrix:
        """Features (N, D), unit rows, and cameras (N,), -1 unknown, to float32 distances (N, N).

        The matrix is symmetric and its diagonal stored. A pair that is not stored is farther than the largest distance
        that matters to the clusterer. Stages of the work are timed with `stopwatch.stage(name)`.
        """


class Clusterer(Protocol):
    """Distances to pseudo labels."""

    def __call__(self, distances: csr_matrix, /) -> np.ndarray:
        """Distances (N, N) as from a `Distance` to labels (N,) int64: 0 to C - 1 without gaps, or -1 for an outlier."""


class ContrastWeights(Protocol):
    """How much each image of a batch weighs in the cluster contrast."""

    def __call__(self, labels: np.ndarray, camids: np.ndarray, /) -> np.ndarray:
        """Clusters (B,) and cameras (B,) to factors (B,), which carry no gradient."""


class MemoryUpdate(Protocol):
    """How the centroids of the memory move."""

    def __call__(self, centroids: Tensor, features: Tensor, labels: np.ndarray, /, *, momentum: float) -> Tensor:
        """Centroids (C, D), features (M, D) and their clusters (M,) to new centroids (C, D); all are unit rows.

        No argument is changed. `momentum`, within [0, 1], is the weight of the old centroid. A function whose row in
        the table has needs_cameras=True gets the cameras (M,) of the rows behind the labels.
        """


class Memory(Protocol):
    """What a training step needs of a cluster memory.

    Attributes:
        centroids: (C, D) float32 unit rows, never part of a gradient.
    """

    centroids: Tensor

    def update(self, features: Tensor, labels: np.ndarray, /, batch: StepBatch | None = None) -> None:
        """Move the centroids of the clusters in `labels` (M,) by the rows of `features` (M, D).

        `batch` says of each of these rows which image it comes from.
        """


class Ranker(Protocol[Result_co]):
    """Evaluation of features, e.g. `ppreid.evaluate_features`; the result is whatever its caller wants to have."""

    def __call__(
        self,
        query_features: np.ndarray,
        gallery_features: np.ndarray,
        query_pids: np.ndarray,
        gallery_pids: np.ndarray,
        query_camids: np.ndarray,
        gallery_camids: np.ndarray,
        /,
    ) -> Result_co:
        """Features (Q, D) and (G, D), identities and cameras (Q,) and (G,) to metrics."""


class Guard(Protocol):
    """What looks for numbers that are not finite, as far as the keeper of a run needs it; see `FiniteGuard`."""

    def check(self) -> bool:
        """Read the numbers that wait on the device; raises where one is not finite."""

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""


class ImageFeatures(Protocol):
    """Images to features with a network that is already chosen, for reports."""

    def __call__(
        self, records: Sequence[ImageRecord], /, *, description: str = ..., held: Mapping[int, Any] | None = ...
    ) -> np.ndarray:
        """Records (N,) to features (N, D) float32 unit rows.

        `description` is shown with the progress; images in `held`, by row, are in memory and not in files.
        """


class Projection(Protocol):
    """Features to a map, for reports."""

    def __call__(self, features: np.ndarray, /, *, seed: int) -> np.ndarray:
        """Features (N, D), N at least 1, to points (N, 2) in the unit square; the same for the same seed."""


class Detector(Protocol):
    """Pictures to boxes of people."""

    def __call__(self, picture: np.ndarray, /) -> np.ndarray:
        """A picture (H, W, 3) uint8, RGB, to boxes (n, 5): left, top, width and height in pixels, and a score."""


class Tracker(Protocol):
    """Boxes of one frame after the other to tracks.

    Attributes:
        living: tracks that may go on; the others have ended.
    """

    @property
    def living(self) -> set[int]:
        """See above."""

    def update(self, boxes: np.ndarray, seconds: float, picture: np.ndarray, /) -> np.ndarray:
        """Boxes (n, 5) of the next frame, its time and picture (H, W, 3) to tracks (n,): 0, 1, ... as they begin."""
