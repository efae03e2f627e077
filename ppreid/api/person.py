"""A trained network as an object: images of people to features."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from ppreid.base.errors import ConfigError
from ppreid.config.load import load_config
from ppreid.config.schema import Config
from ppreid.run.log import import_paddle_quietly

if TYPE_CHECKING:
    import numpy as np

    from ppreid.api.shown import Comparison
    from ppreid.datasets.image_file import Source
    from ppreid.verbs.network import TrainedNetwork

Overrides = Mapping[str, Any]
LOADED = "overrides change a configuration while it is loaded; give them to load_config"
RELEASED = "ResNet50_UReID_infer.yaml"  # how files of weights that say nothing of themselves are used


def load(what: str | os.PathLike[str], overrides: Overrides | None = None, *, network: str | None = None) -> Person:
    """Load a trained network.

    Args:
        what: the folder of a run; a file of weights (a checkpoint of ours says which network it is of, any other is
            taken for the method's ResNet50 unless `overrides` say otherwise); or the name of a configuration.
        overrides: {"device": "cpu", "eval.batch_size": 64, ...}, keys of the configuration.
        network: of a run "best" or "last"; None is the best where there is one.

    Returns:
        The network, on the device that the configuration names.

    Raises:
        PpreidError: what its message says; the subclass tells the kind.
    """
    import_paddle_quietly()
    from ppreid.processes.device import use_device
    from ppreid.verbs.network import trained_network

    cfg = configuration(what, overrides, network=network)
    use_device(cfg.device)
    return Person(cfg, trained_network(cfg.model, cfg.data))


class Person:
    """A trained network: what it makes of images.

    Attributes:
        dim: of a feature, D.
    """

    def __init__(self, cfg: Config, trained: TrainedNetwork) -> None:
        """See `load`."""
        self.dim: int = trained.model.feature_dim
        self._cfg, self._trained = cfg, trained

    def embed(self, images: Source | Iterable[Source]) -> np.ndarray:
        """Features of images, those of `ppreid extract` for the same images in the same order, bit for bit.

        Args:
            images: one or several: paths, which are read upright by their EXIF data; images of Pillow; or arrays
                (H, W, 3) uint8, RGB (OpenCV's are BGR: `image[..., ::-1]`). Any size; they are resized.

        Returns:
            (n, D) float32, rows of unit length in the order of the images; their product is the cosine.

        Raises:
            DataError: an image cannot be read or is of another kind, with its path or number.
        """
        from ppreid.verbs.features import embed

        return embed(self._cfg, self._trained.model, images)

    def compare(self, a: Source, b: Source) -> Comparison:
        """How similar two images are, and what the threshold beside the weights says, if there is one.

        Args:
            a: an image, as `embed` takes it.
            b: the other one.

        Returns:
            The cosine, as `float` and `similarity`; the verdict.

        Raises:
            DataError: as `embed`, or the threshold is damaged.
        """
        from ppreid.api.shown import Comparison
        from ppreid.datasets.image_file import named_images
        from ppreid.search.threshold import THRESHOLD, read_threshold

        names, held = named_images([a, b])
        first, second = self.embed([a, b])
        similarity, weights = float(first @ second), self._trained.weights
        threshold = read_threshold(Path(weights.path).parent / THRESHOLD, weights.sha256)
        verdict = threshold.verdict(similarity) if threshold else ""
        return Comparison(similarity, verdict, (names[0], names[1]), {names[row]: held[row] for row in held})

    def __repr__(self) -> str:
        """Which network it is."""
        return f"Person({self._cfg.model.backbone}, {self.dim} dimensions, {self._trained.weights.path})"


def configuration(
    what: Config | str | os.PathLike[str], overrides: Overrides | None = None, *, network: str | None = None
) -> Config:
    """The configuration that a caller means, see `load`; one that is loaded already is taken as it is.

    Raises:
        ConfigError: it is not there, a key or value is wrong, or overrides are given for one that is loaded.
    """
    texts = override_texts(overrides or {})
    if not isinstance(what, str | os.PathLike):
        if texts:
            raise ConfigError(LOADED)
        return what
    path = Path(what)
    if path.is_dir():
        from ppreid.verbs.command import run_config

        return run_config(path, texts, network=network)
    if network:
        raise ConfigError(f"network={network!r} chooses among the networks of a run, and {path} is no folder of one")
    if path.suffix in (".yaml", ".yml") or (path.name == str(path) and not path.suffix):
        return load_config(path, texts)
    return load_config(RELEASED, [*_of_checkpoint(path), f"model.weights={path}", *texts])


def _of_checkpoint(path: Path) -> list[str]:
    """What a checkpoint of ours says of its network and its images, as overrides; nothing for other files."""
    from ppreid.disk.tensor_file import read_facts
    from ppreid.weights.network import own_settings

    config = read_facts(path).get("config")
    data = config.get("data") if isinstance(config, dict) else None
    size = {key: data.get(key) for key in ("height", "width")} if isinstance(data, dict) else {}
    known = own_settings(path) | {f"data.{key}": value for key, value in size.items() if type(value) is int}
    return [f"{key}={value}" for key, value in known.items()]


def override_texts(overrides: Overrides) -> list[str]:
    """Keys and values as "a.b=value" for `load_config`."""
    return [f"{key}={_text(value)}" for key, value in overrides.items()]


def _text(value: Any) -> str:  # noqa: ANN401 - any value of a configuration
    """A value as a command line has it."""
    if isinstance(value, str | os.PathLike):
        return os.fspath(value)
    plain = value.item() if hasattr(value, "item") else list(value) if isinstance(value, tuple) else value
    return yaml.safe_dump(plain, default_flow_style=True, width=float("inf")).removesuffix("\n...\n").strip()
