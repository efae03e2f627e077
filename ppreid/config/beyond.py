"""Methods beyond ISE: what can be trained beside an objective, and what needs cameras."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from ppreid.config.choices import PositiveInt, Probability, Section, switched_off
from ppreid.config.data import AugmentConfig
from ppreid.config.method import ISEConfig, LabelsConfig, MemoryConfig, ModelConfig
from ppreid.tables import CONTRAST_WEIGHTS, DISTANCES, MEMORY_UPDATES, NEIGHBOURS, OBJECTIVES


class RefineConfig(Section):
    """Neighbour-consistent labels (NCPLR) beside the objective: a head learns what it predicts for near images."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the loss; 0 is off, 1 as published."""
    radius: Annotated[float, Field(gt=0, le=1)] = 0.2
    """Largest distance (labels.distance) of a neighbour."""
    temperature: Annotated[float, Field(gt=0)] = 1.0
    """Divisor of the distance in the weights of the neighbours."""
    alpha: Probability = 0.1
    """Share of the pseudo label in the refined one."""
    weighting: Literal["released", "uniform", "similarity"] = "released"
    """Weights of the neighbours: released, the farther ones a little more; uniform; similarity, the nearer ones."""
    max_clusters: PositiveInt = 3000
    """Rows of the head, at least as many as there will be clusters."""
    start_epoch: Annotated[int, Field(ge=0)] = 0
    """First epoch with this loss, from 0."""
    parts: Literal["none", "halves"] = "none"
    """halves: upper and lower half of the image have features, memories and heads of their own too (GL-NCPLR)."""
    part_alpha: Probability = 0.3
    """As alpha, for the halves."""
    part_weight: Probability = 0.2
    """Weight of each half in the losses; the whole image has the rest."""
    part_distance: Annotated[float, Field(ge=0, le=0.5)] = 0.2
    """Weight of each half in the distance of the pseudo labels; the whole image has the rest."""
    kl_temperature: Annotated[float, Field(gt=0)] = 5.0
    """The larger, the more whole image and halves learn from each other where they disagree."""

    @property
    def has_parts(self) -> bool:
        """Whether halves of the image are trained beside it."""
        return self.parts == "halves"


PART_KEYS = ("part_alpha", "part_weight", "part_distance", "kl_temperature")


class CameraProxiesConfig(Section):
    """Proxies of a cluster in other cameras (PPLR's form) beside the objective; cameras must be known."""

    weight: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the loss; 0 is off. PPLR: 0.5 on Market-1501, 1.0 on MSMT17."""
    temperature: Annotated[float, Field(gt=0)] = 0.07
    """Temperature of the loss."""
    num_negatives: PositiveInt = 50
    """Nearest proxies of other clusters that an image is kept away from."""
    start_epoch: Annotated[int, Field(ge=0)] = 0
    """First epoch with this loss, from 0."""


class EMAConfig(Section):
    """A twin of the network whose weights are a running average of its weights; both are evaluated and saved."""

    decay: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Weight of the twin's own values in a step; 0 is off, 0.999 as published."""
    buffers: Literal["forward", "average"] = "forward"
    """Running statistics of the twin: forward, a pass over the images of each step; average, like the weights."""
    cluster: bool = False
    """Pseudo labels come from the features of the twin."""


def needing_cameras(
    labels: LabelsConfig,
    memory: MemoryConfig,
    ise: ISEConfig,
    camera_proxies: CameraProxiesConfig,
    augment: AugmentConfig,
    model: ModelConfig,
) -> dict[str, str]:
    """Keys whose values need the camera of every training image, and these values."""
    chosen: dict[str, tuple[Mapping[str, Any], str]] = {
        "labels.distance": (DISTANCES, labels.distance),
        "memory.update": (MEMORY_UPDATES, memory.update),
        "ise.contrast_weights": (CONTRAST_WEIGHTS, ise.contrast_weights),
    }
    found = {key: value for key, (table, value) in chosen.items() if table[value].needs_cameras}
    numbers = {
        "camera_proxies.weight": camera_proxies.weight,
        "augment.style_mix": augment.style_mix,
        "model.neck_centre": model.neck_centre,
    }
    return found | {key: str(value) for key, value in numbers.items() if value}


def method_problems(
    labels: LabelsConfig, ise: ISEConfig, refine: RefineConfig, camera_proxies: CameraProxiesConfig, ema: EMAConfig
) -> Iterator[str]:
    """What is wrong with values that are fine alone but not together."""
    search, distance = NEIGHBOURS[labels.neighbours], DISTANCES[labels.distance]
    if distance.needs_cameras and search.above == ("descent",):
        text = f"labels.neighbours is {labels.neighbours}, which does not tell cameras apart"
        yield f"{text} as labels.distance {labels.distance} does; set it to certified, ivf or auto"
    if refine.weight and labels.unit == "track":
        yield "refine.weight needs distances between images, but labels.unit is track; set one of them otherwise"
    yield from switched_off("refine", refine, "weight")
    changed = [key for key in PART_KEYS if getattr(refine, key) != getattr(RefineConfig(), key)]
    if changed and not refine.has_parts:
        yield f"refine.{changed[0]} is set, but has no effect while refine.parts is none; set it to halves"
    yield from switched_off("camera_proxies", camera_proxies, "weight")
    yield from switched_off("ema", ema, "decay")
    if CONTRAST_WEIGHTS[ise.contrast_weights].function and not OBJECTIVES[ise.objective].sees_batch:
        yield (
            f"ise.contrast_weights is {ise.contrast_weights} and ise.objective {ise.objective} takes no weights; its "
            "row in the table would say sees_batch"
        )
