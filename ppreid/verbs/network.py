"""The network of a command, with the weights that the configuration names."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ppreid import wiring
from ppreid.base.errors import ConfigError, PpreidWarning
from ppreid.config.data import DataConfig
from ppreid.config.method import EvaluationModelConfig
from ppreid.config.schema import Config
from ppreid.models.reid_net import ReIDNet

if TYPE_CHECKING:
    from ppreid.export.write import NetworkFacts

logger = logging.getLogger("ppreid")

# what no shape of a tensor shows
SAME_WEIGHTS_OTHER_FEATURES = ("model.last_stride", "model.pooling", "data.mean", "data.std")


class WeightsOrigin(NamedTuple):
    """Where the weights of a network came from, for the results.

    Attributes:
        path: of the file.
        sha256: of its content.
    """

    path: str
    sha256: str


class TrainedNetwork(NamedTuple):
    """A network to use, not to train.

    Attributes:
        model: with its weights.
        weights: where these came from.
    """

    model: ReIDNet
    weights: WeightsOrigin


def trained_network(cfg: EvaluationModelConfig, data: DataConfig) -> TrainedNetwork:
    """The network of a configuration with the weights that model.weights names, every tensor of it from the file.

    Args:
        cfg: the model section.
        data: the data section: size and normalisation of the images that the network will see.

    Raises:
        ConfigError: model.weights names no file.
        WeightsError: the file is missing or damaged, does not fit the network, or is not the pinned one.
    """
    if cfg.weights in ("none", "imagenet"):
        raise ConfigError(
            f"model.weights is {cfg.weights!r}, which is no trained network; "
            "pass -o model.weights=output/.../checkpoint_best.safetensors, or the folder of a run instead of -c"
        )
    from ppreid.weights.match import load_weights

    model = wiring.reid_net(cfg, image_size=data.size)
    report = load_weights(model, cfg.weights, sha256=cfg.weights_sha256 or None)
    logger.info("weights: %s", report)
    _warn_if_trained_otherwise(report.path, cfg, data)
    return TrainedNetwork(model, WeightsOrigin(str(report.path), report.sha256))


def network_facts(cfg: Config, weights: WeightsOrigin) -> NetworkFacts:
    """What an export must be told of a network; says what of the evaluation it cannot hold."""
    from ppreid.export.description import EvaluationDescription
    from ppreid.export.write import NetworkFacts

    data, keys = cfg.data, set(EvaluationDescription.model_fields)
    evaluation = EvaluationDescription.model_validate(cfg.eval.model_dump(include=keys))
    if evaluation.text:
        text = "evaluations and searches compare by more than the network, and no export holds that (%s); an index does"
        logger.info(text, evaluation.text)
    own = (data.height, data.width, data.mean, data.std, cfg.model.backbone, weights.sha256)
    return NetworkFacts(*own, evaluation)


def _warn_if_trained_otherwise(path: Path, model: EvaluationModelConfig, data: DataConfig) -> None:
    """A checkpoint of ours knows what no shape of a tensor shows, and what would go wrong without a word."""
    from ppreid.weights.network import own_settings

    own, here = own_settings(path), {f"model.{key}": str(value) for key, value in model.model_dump().items()}
    here |= {f"data.{key}": str(value) for key, value in data.normalisation.items()}
    for key in SAME_WEIGHTS_OTHER_FEATURES:
        if own.get(key, here[key]) != here[key]:
            option = f"-o '{key}={own[key]}'" if " " in own[key] else f"-o {key}={own[key]}"
            text = f"{path} was trained with {key}={own[key]}, here it is {here[key]}; pass {option}"
            warnings.warn(text, PpreidWarning, stacklevel=3)
