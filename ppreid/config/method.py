"""The method: pseudo labels, what is learned from them, and the network."""

from collections.abc import Collection
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ppreid.config.choices import CameraCentre, NeckCentre, PositiveInt, Probability, Section, one_of, refusal
from ppreid.tables import BACKBONES


class CameraJaccardConfig(Section):
    """Neighbours of the camera-aware distance (CA-Jaccard, CVPR 2024), within a camera and among the others."""

    k1_intra: PositiveInt = 5
    """k-reciprocal neighbours within the camera."""
    k1_inter: PositiveInt = 20
    """k-reciprocal neighbours in other cameras."""
    k2_intra: PositiveInt = 2
    """Same-camera images of the query expansion, the image itself included."""
    k2_inter: PositiveInt = 4
    """Other-camera images of the query expansion."""
    k2_intra_first: PositiveInt = 3
    """k2_intra in the first epoch, when neighbours in other cameras are not yet reliable."""
    k2_inter_first: PositiveInt = 3
    """k2_inter in the first epoch."""
    max_share: Annotated[float, Field(gt=0, le=1)] = 0.1
    """Largest share of the images of a camera, or of the others, that are neighbours: where k1 is more, it is lowered,
    with a warning, and k2 in proportion (docs/scratch.md). 1 lowers nothing."""


class LabelsStartConfig(Section):
    """What pseudo labels are made of at first, when a network with random weights sees nothing yet."""

    features: Literal["network", "colour"] = "network"
    """network; or colour: the colour of six stripes of each image, which needs no training (docs/scratch.md)."""
    epochs: Annotated[int, Field(ge=0)] = 4
    """Epochs that begin with labels from colour; after them the network's own features are clustered."""


class TrackLabelsConfig(Section):
    """With labels.unit: track, what counts tracks in the place of images."""

    k1: Annotated[int, Field(ge=1, le=1000)] = 6
    """As labels.k1, in tracks."""
    k2: Annotated[int, Field(ge=1, le=1000)] = 2
    """As labels.k2, in tracks."""
    min_samples: PositiveInt = 2
    """As labels.min_samples, in tracks."""
    min_images: Annotated[int, Field(ge=0)] = 0
    """A track that joins no other is a cluster of its own if it has so many images; 0: its images are outliers."""


class LabelsConfig(Section):
    """Pseudo labels: distances between training images and their clustering, once per epoch."""

    unit: Literal["image", "track"] = "image"
    """What is clustered: images, or tracks by their mean feature, whose label all their images share."""
    track: TrackLabelsConfig = TrackLabelsConfig()
    cannot_link: bool = False
    """Two tracks that one camera saw at the same time never come into one cluster."""
    neighbours: Annotated[str, one_of("labels.neighbours")] = "exact"
    """Neighbour search: exact; certified (exact and faster for many images); nn_descent or ivf (approximate); auto
    (certified up to 100,000 images, then nn_descent; ivf where num_probes is set, or the distance looks at cameras)."""
    num_probes: Annotated[int, Field(ge=0)] = 0
    """Inverted lists that ivf looks into for every image; 0: as many as find the neighbours of a sample of images."""
    distance: Annotated[str, one_of("labels.distance")] = "jaccard"
    """Distance between images; camera_jaccard and camera_quota use camera ids."""
    camera: CameraJaccardConfig = CameraJaccardConfig()
    camera_quota: Probability = 0.5
    """With distance camera_quota: largest share of an image's neighbours, however many are looked at, that are of its
    own camera; the rest are the nearest of others. 1 is distance jaccard."""
    k1: Annotated[int, Field(ge=1, le=1000)] = 30
    """Neighbours of the k-reciprocal sets, the image itself included."""
    k2: Annotated[int, Field(ge=1, le=1000)] = 6
    """Neighbours of the query expansion, the image itself included; 1 is off."""
    clusterer: Annotated[str, one_of("labels.clusterer")] = "dbscan"
    """Clustering method; hdbscan does not look at eps, infomap needs an extra package."""
    eps: Annotated[float, Field(gt=0, le=1)] = 0.4
    """Largest Jaccard distance between neighbours in a cluster."""
    min_samples: PositiveInt = 4
    """Images within eps, itself included, that make an image a core point."""
    camera_centre: CameraCentre = 0.0
    """Subtract the mean feature of its camera from each image before clustering: off; on (100); or as how many images
    the mean of all counts in it."""
    start: LabelsStartConfig = LabelsStartConfig()

    def of_unit(self) -> "LabelsConfig":
        """The section with the numbers of what is clustered."""
        if self.unit == "image":
            return self
        return self.model_copy(update=self.track.model_dump(exclude={"min_images"}))

    def of_epoch(self, keys: Collection[str], epoch: int) -> dict[str, Any]:
        """Values of keys, and of those of sections among them, by name; NAME_first stands for NAME in epoch 0."""
        values = self.model_dump(include=set(keys))
        sections = [value if isinstance(value, dict) else {name: value} for name, value in values.items()]
        flat = {name: value for section in sections for name, value in section.items()}
        first = {name.removesuffix("_first"): value for name, value in flat.items() if name.endswith("_first")}
        later = {name: value for name, value in flat.items() if not name.endswith("_first")}
        return later if epoch else {**later, **first}


class MemoryConfig(Section):
    """The cluster memory: one unit vector per cluster, rebuilt every epoch, updated every step."""

    update: Annotated[str, one_of("memory.update")] = "hard"
    """hard: the least similar row of each class, once. sequential: all rows in turn ("ori" in the released code). chd:
    the row of each class that is far from the centroid and typical of its camera, once; it needs cameras."""
    momentum: Probability = 0.2
    """Weight of the old centroid in an update."""
    rows: Literal["auto", "originals", "all"] = "auto"
    """Rows of a step that move the memory: originals, the images of the batch alone; all, their supports as well; auto:
    all, but for chd, which was published without supports."""


class ISEConfig(Section):
    """Implicit sample extension: what is minimised."""

    objective: Annotated[str, one_of("ise.objective")] = "ise"
    """Row of the paper's ablation: baseline, ise_pli (+PIL), ise_lp (+LP) or ise (both)."""
    contrast_weights: Annotated[str, one_of("ise.contrast_weights")] = "none"
    """How much an image weighs in the cluster contrast: none, all the same; camera_entropy, more where the images of
    its cluster in the batch come from many cameras, which must be known."""
    temperature: Annotated[float, Field(gt=0)] = 0.05
    """Temperature of the cluster contrast."""
    topk: PositiveInt = 1
    """Support samples per image: one towards each of the topk nearest other centroids."""
    pli_base: Annotated[float, Field(ge=0)] = 1.0
    """Scale of the PLI degree (support_base_lambda in the released code)."""
    lp_weight: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the label-preserving loss."""
    lp_temperature: Annotated[float, Field(gt=0)] = 0.6
    """Temperature of the label-preserving loss."""


OF_SOME_BACKBONES = ("last_stride", "position_ratio", "pooling", "parts", "drop_path", "frozen_stages")


class EvaluationModelConfig(Section):
    """The network, as far as evaluation needs it."""

    backbone: Annotated[str, one_of("model.backbone")] = "resnet50"
    """Network layout."""
    base_width: Annotated[int, Field(ge=2, le=256)] = 64
    """Channels of the stem, and of a ViT the size of a head; all other widths follow (64 is the standard network)."""
    last_stride: Literal[1, 2] = 1
    """Stride of the last stage; re-identification uses 1."""
    position_ratio: PositiveInt = 2
    """Rows per column of the patches in a file whose positions a ViT stretches: 2 for one trained at 256x128, 1 for one
    of ImageNet."""
    pooling: Annotated[str, one_of("model.pooling")] = "avg"
    """Spatial pooling: avg, gem (trainable power, starts at 3) or max; a ViT has none and ignores avg."""
    embedding_dim: Annotated[int, Field(ge=0, le=65536)] = 0
    """Size of a linear layer before the BN neck; 0 is none."""
    parts: Annotated[int, Field(ge=1, le=16)] = 1
    """Horizontal stripes of the image that have features, losses and memories of their own beside the whole: 1 is none.
    The feature is so many times longer, and one more."""
    weights: str = "none"
    """File with weights, `imagenet` (downloaded once and cached), or `none` (random)."""
    weights_sha256: Annotated[str, Field(pattern=r"^([0-9a-fA-F]{64})?$")] = ""
    """SHA-256 that the file with weights must have (every run shows the one it found); empty is any."""

    @model_validator(mode="after")
    def _check_backbone(self) -> "EvaluationModelConfig":
        """Refuse values that the backbone would not look at."""
        row = BACKBONES[self.backbone]
        used = {*row.keys, *(() if row.gives_vectors else ("pooling", "parts"))}
        defaults = {key: info.default for key, info in type(self).model_fields.items() if key in OF_SOME_BACKBONES}
        for key in sorted(defaults.keys() - used):
            if (found := getattr(self, key)) != defaults[key]:
                text = f"model.{key} is {found}, of which model.backbone {self.backbone} knows nothing"
                raise refusal(f"{text}; leave it at {defaults[key]}, or choose another backbone")
        return self


class ModelConfig(EvaluationModelConfig):
    """The network and what training adds to it."""

    bn_chunks: PositiveInt = 1
    """Ghost batch normalisation: the batch is normalised in this many equal parts, as on this many GPUs."""
    drop_path: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Of a ViT: share of the images that go without a branch of the last block; earlier ones have less of it."""
    frozen_stages: Annotated[int, Field(ge=0, le=3)] = 0
    """Of a ResNet: stages that stay as model.weights has them, the stem with the first. What they make of the training
    images is computed once and kept in output_dir (docs/cpu-training.md). 0: all is trained; `ppreid adapt` sets 3."""
    neck_centre: NeckCentre = 0.0
    """In training, subtract from each feature before the neck how far the mean of its camera in the batch is from that
    of all: off; on (10); or as how many images the mean of all counts in it. Cameras must be known."""
