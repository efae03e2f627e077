"""What a row of each table of choices says, see `ppreid.tables`."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, NamedTuple

Function = str | Callable[..., Any]  # "module:name", or the function


def resolve(function: Function) -> Any:  # noqa: ANN401 - whatever the row names
    """What a row names, imported now; a function that is one already is given back."""
    if not isinstance(function, str):
        return function
    module, _, name = function.partition(":")
    return getattr(import_module(module), name)


class Dataset(NamedTuple):
    """How a data set is read.

    Attributes:
        read: (root, **settings) -> ReIDSplit, or DatasetContents where cameras have names.
        published: how large it was published, a PublishedCounts; None: nobody published it.
        settings: section of `data` whose keys `read` takes by name; "" is none. Its key `camera`, if it has one, is
            "none" where cameras are unknown.
        any_folder: the images of any folder are read, with cameras by name; labelled images may be missing.
        times_compare: whether the times of different tracks of a camera are of one clock.
    """

    read: Function
    published: Function | None = None
    settings: str = ""
    any_folder: bool = False
    times_compare: bool = True


class Backbone(NamedTuple):
    """A network from images to feature maps, or to vectors.

    Attributes:
        function: (**keys, **settings) -> contracts.Backbone.
        settings: what the function takes beside the configuration.
        keys: of the section `model` that it takes by name.
        gives_vectors: nothing is left to pool: model.pooling has no effect.
        has_positions: it is made for images of one size, and takes their height and width.
        wants_chunks: its results were published with batch normalisation over parts of the batch, which it has early
            in the network, so that it is worth a word when there is one part only.
    """

    function: Function
    settings: Mapping[str, Any] = {}
    keys: tuple[str, ...] = ("base_width", "last_stride")
    gives_vectors: bool = False
    has_positions: bool = False
    wants_chunks: bool = False


class Optimizer(NamedTuple):
    """What moves the weights: function(model, *, lr, weight_decay, and the keys of the section `solver`)."""

    function: Function
    keys: tuple[str, ...] = ()


class Pooling(NamedTuple):
    """From maps to vectors, a contracts.Pooling; is_layer: a class that is instantiated, as it has weights."""

    function: Function
    is_layer: bool = False


class Neighbours(NamedTuple):
    """A neighbour search: exact up to a number of images, approximate above.

    Attributes:
        exact_up_to: images; 0 is never exact.
        certified: a cheap pass comes first that proves for most images what their neighbours are.
        above: "descent", a graph that improves itself; "lists", also where that comes first but cameras are told apart.
        shows_recall: where the user did not ask for an approximate search and gets one, its recall is measured.
    """

    exact_up_to: float
    certified: bool = False
    above: tuple[str, ...] = ()
    shows_recall: bool = False


class Distance(NamedTuple):
    """A distance between images.

    Attributes:
        function: (features, *, max_distance, method, num_probes, stopwatch, and the keys below) -> sparse distances
            (N, N), as in contracts.Distance.
        keys: of the section `labels` that it takes by name; of a section, all of its keys. NAME_first takes the place
            of NAME in the first epoch.
        needs_cameras: the second argument are the cameras, (N,), and they must be known.
    """

    function: Function
    keys: tuple[str, ...] = ()
    needs_cameras: bool = False


class Clusterer(NamedTuple):
    """From distances to labels.

    Attributes:
        function: (distances, *, min_samples, eps) -> labels (N,), as in contracts.Clusterer.
        looks_at_eps: otherwise it does not take eps.
        within_eps: it never looks at a pair farther than eps, so that such pairs need not be stored.
    """

    function: Function
    looks_at_eps: bool = True
    within_eps: bool = False


class MemoryUpdate(NamedTuple):
    """How the centroids of the memory move: a contracts.MemoryUpdate."""

    function: Function
    needs_cameras: bool = False  # the fourth argument are the cameras of the rows, (M,), which must be known
    originals: bool = False  # it looks at images and not at their supports, unless memory.rows says otherwise


class ContrastWeights(NamedTuple):
    """How much images weigh in the cluster contrast: function(labels (B,), cameras (B,)) -> (B,); None: the same."""

    function: Function | None
    needs_cameras: bool = False


class Objective(NamedTuple):
    """What is minimised.

    Attributes:
        function: (features, labels, centroids, degree, *, topk, temperature, lp_temperature, lp_weight, **settings) ->
            LossTerms, as in contracts.Objective.
        title: in the table of the ablation.
        settings: what the function takes beside the configuration.
        has_supports: it makes support samples, for which there must be other clusters; otherwise its topk is 0.
        paper: data set -> mAP and Rank-1 in percent as reported in the ablation table of Zhang et al., CVPR 2022; not
            measured with ppreid.
        sees_batch: the function takes a keyword `batch`, a contracts.StepBatch: record numbers, cameras and more.
        needs_bn: `batch.bn` are the rows of the neck before they are scaled to unit norm.
        prepare: a contracts.Clustering -> arrays, once per epoch, which `batch.kept` holds in every step; None: none.
    """

    function: Function
    title: str
    settings: Mapping[str, Any] = {}
    has_supports: bool = True
    paper: Mapping[str, tuple[float, float]] = {}
    sees_batch: bool = False
    needs_bn: bool = False
    prepare: Function | None = None


class Projection(NamedTuple):
    """Features (N, D) to points (N, 2) in the unit square: function(features, *, seed)."""

    function: Function


class Protocol(NamedTuple):
    """A convention of evaluation: average_precision(hits) -> value of one query that has a valid match; count_invalid:
    whether a query without one counts as a miss with precision 0, or is left out.
    """

    average_precision: Function
    count_invalid: bool = False


class Detector(NamedTuple):
    """How people are found in pictures.

    Attributes:
        open: (place, *, and the keys below) -> contracts.Detector; without a place it takes the keys alone.
        place: what stands behind the name: "FILE", "FOLDER", or "" for nothing.
        keys: of "min_score", "min_height" and "wanted" that it takes by name.
    """

    open: Function
    place: str = ""
    keys: tuple[str, ...] = ("min_score", "wanted")


class Tracker(NamedTuple):
    """How boxes become tracks: function(*, max_gap) -> contracts.Tracker."""

    function: Function


class Layout(NamedTuple):
    """What an exported network takes."""

    channels_first: bool  # (batch, 3, height, width); otherwise (batch, height, width, 3)
    dtype: str  # "uint8", pixels from 0 to 255, or "float32", pixels from 0 to 1
    normalises: bool = True  # mean and standard deviation are inside the network; otherwise its caller sees to them


class ExportTarget(NamedTuple):
    """A program that takes a network as one ONNX file."""

    layout: str  # that it wants, a key of LAYOUTS
    resize: Function  # (image, *, height, width) -> pixels (height, width, 3), 0 to 255: how it resizes crops
    sidecar: Function | None = None  # (description, onnx_sha256) -> text of the file that it reads beside; None: none


class Engine(NamedTuple):
    """What runs a network: function(model, images, *, precision) -> images to features; None is the model itself."""

    function: Function | None = None
    package: str = ""  # optional, that it needs
    from_images: int = 0  # so many make up for the time in which it is set up
    overlaps: bool = False  # computes beside Python: gives not the features but what has result() and cancel()
    has_int8: bool = False  # function takes by name `calibration` as well, images (N, 3, H, W) that int8 is measured on
    tries: tuple[str, ...] = ()  # engines; the first takes over that is installed, pays off on a CPU and works
    when_finished: str = ""  # stands in its place where no pseudo labels hang on the last bits of the features
