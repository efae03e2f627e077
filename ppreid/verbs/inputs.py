"""What a command reads from the disk: the data set, and weights to start from."""

import logging
import warnings
from collections import Counter
from pathlib import Path

from ppreid import tables, wiring
from ppreid.base.errors import ConfigError, PpreidWarning
from ppreid.base.records import DatasetContents, ImageRecord, ReIDSplit
from ppreid.config.data import DataConfig
from ppreid.config.method import ModelConfig
from ppreid.datasets.image_dataset import without_unreadable
from ppreid.datasets.summary import summarise_split
from ppreid.disk.csv_table import write_csv
from ppreid.disk.files import write_text
from ppreid.disk.outputs import CAMERAS_CSV, SKIPPED_TXT, Output, check_outputs
from ppreid.models.reid_net import ReIDNet

logger = logging.getLogger("ppreid")


def read_split(
    cfg: DataConfig, *, skipped_list: Path | None, camera_list: Path | None = None, overwrite: bool | None = None
) -> ReIDSplit:
    """Read a data set and show what was found beside the published counts.

    Args:
        cfg: the data section.
        skipped_list: with data.on_bad_image: skip, the unreadable images are listed in this file; None writes no list.
        camera_list: where cameras have names, they are written to this CSV; None does not write them.
        overwrite: replace any files in the places of the lists, not only earlier lists; None where that is no option.

    Raises:
        ConfigError: a file in the place of a list is none.
        DataError: the data set is missing or incomplete, or a part has no image.
    """
    contents = wiring.dataset(cfg)
    found = _readable(contents.split, cfg, skipped_list, overwrite=overwrite)
    summary = summarise_split(found, wiring.published_counts(cfg))
    logger.info("data set: %s in %s\n%s", cfg.name, Path(cfg.root).resolve(), summary.table)
    for note in contents.notes:
        logger.info("%s", note)
    if camera_list and contents.camera_names:
        check_outputs([Output("", camera_list, CAMERAS_CSV)], overwrite=overwrite, inputs=own_tables(cfg))
        write_csv(camera_list, ("camid", "name"), enumerate(contents.camera_names))
    for text in summary.warnings:
        warnings.warn(text, PpreidWarning, stacklevel=2)
    return found


def read_folder(
    folder: Path, cfg: DataConfig, *, skipped_list: Path, overwrite: bool | None = None
) -> tuple[ImageRecord, ...]:
    """Find the images of any folder and its subfolders; identities and cameras are unknown.

    Args:
        folder: where to look.
        cfg: the data section, of which name and root do not matter.
        skipped_list: see `read_split`.
        overwrite: see `read_split`.

    Raises:
        DataError: there is no image.
    """
    from ppreid.datasets.image_folder import find_images

    found = ReIDSplit(train=find_images(folder), query=(), gallery=())
    return _readable(found, cfg, skipped_list, overwrite=overwrite).train


def read_gallery(folder: Path, cfg: DataConfig, *, skipped_list: Path) -> DatasetContents:
    """Find the images of a folder and its subfolders, and their cameras where the data section says how.

    Args:
        folder: where to look.
        cfg: the data section; unless it reads any folder, as camera_folder does, cameras are unknown.
        skipped_list: see `read_split`.

    Returns:
        The images as training part, and the names of their cameras.

    Raises:
        DataError: there is no image, or a path does not say the camera.
    """
    row = tables.DATASETS[cfg.name]
    if row.any_folder:
        section = getattr(cfg, row.settings).model_copy(update={"query": "", "gallery": ""})
        contents = wiring.dataset(cfg.model_copy(update={"root": str(folder), row.settings: section}))
    else:
        from ppreid.datasets.image_folder import find_images

        contents = DatasetContents(ReIDSplit(train=find_images(folder), query=(), gallery=()))
    for note in contents.notes:
        logger.info("%s", note)
    return contents._replace(split=_readable(contents.split, cfg, skipped_list))


def read_index_images(cfg: DataConfig, images: Path | None, *, skipped_list: Path) -> DatasetContents:
    """Find the images of a search index, as training part, and the names of their cameras.

    Args:
        cfg: the data section.
        images: folder of images, see `read_gallery`; None takes the gallery of the data set, or its training part where
            that is all it has.
        skipped_list: see `read_split`.

    Raises:
        DataError: there is no image, or a path does not say the camera.
    """
    if images is not None or tables.DATASETS[cfg.name].any_folder:
        return read_gallery(images or Path(cfg.root), cfg, skipped_list=skipped_list)
    split = read_split(cfg, skipped_list=skipped_list)
    cameras = sorted({record.camid for record in split.gallery} - {-1})
    number_of = {camid: number for number, camid in enumerate(cameras)} | {-1: -1}
    gallery = tuple(record._replace(camid=number_of[record.camid]) for record in split.gallery)
    return DatasetContents(
        split._replace(train=gallery), tuple(str(camid + 1) for camid in cameras)
    )  # as in file names


def own_tables(cfg: DataConfig) -> list[Path]:
    """Files beside the images that the data section names."""
    own = cfg.camera_folder
    return [Path(name) for name in (own.csv, own.tracks) if name not in ("", "auto", "none", "found")]


def _readable(
    found: ReIDSplit, cfg: DataConfig, skipped_list: Path | None, *, overwrite: bool | None = None
) -> ReIDSplit:
    """With data.on_bad_image: skip, the images that can be read; otherwise all."""
    if cfg.on_bad_image == "error":
        return found
    found, reasons = without_unreadable(found, num_workers=cfg.num_workers)
    if reasons:
        counts = Counter(reason.partition("\t")[0] for reason in reasons)
        parts = ", ".join(f"{part} {count}" for part, count in counts.items())
        text = f"{len(reasons)} unreadable images are left out ({parts})"
        if skipped_list:
            check_outputs([Output("", skipped_list, SKIPPED_TXT)], overwrite=overwrite)
            write_text(skipped_list, "\n".join(reasons) + "\n")
            text += f"; they are listed in {skipped_list}"
        if counts.keys() - {"train"}:
            text += "; with another query or gallery, results do not compare with those of others"
        warnings.warn(text, PpreidWarning, stacklevel=3)
    return found


def load_initial_weights(model: ReIDNet, cfg: ModelConfig) -> None:
    """Weights to start training from; a file of a backbone alone leaves the neck as it is."""
    if cfg.weights == "none":
        if cfg.frozen_stages:
            raise ConfigError(
                f"model.frozen_stages is {cfg.frozen_stages} and model.weights none: stages with random weights would "
                "stay random; give the folder of a run to adapt, or a file with -o model.weights=FILE"
            )
        logger.info("weights: random")
        return
    from ppreid.weights.match import imagenet_weights_path, load_weights

    path = imagenet_weights_path(cfg.backbone) if cfg.weights == "imagenet" else Path(cfg.weights)
    report = load_weights(model, path, as_start=True, sha256=cfg.weights_sha256 or None)
    logger.info("weights: %s", report)
