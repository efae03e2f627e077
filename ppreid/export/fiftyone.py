"""The story of an export to FiftyOne: features, who and where, a folder that FiftyOne loads."""

import json
import logging
import os
from pathlib import Path

import numpy as np

from ppreid.base.errors import ConfigError, DataError, WriteError
from ppreid.disk.checks import check_folder, make_folder
from ppreid.disk.features import Features, read_features
from ppreid.disk.files import replacing, write_text
from ppreid.disk.outputs import refuse_inputs
from ppreid.disk.text import cell_number, read_csv
from ppreid.export import load_into_fiftyone

logger = logging.getLogger("ppreid")

SAMPLES, FEATURES, LOADER = "samples.json", "features.npy", "load_into_fiftyone.py"


def export_fiftyone(
    features_file: Path, output: Path, *, labels_file: Path | None = None, overwrite: bool = False
) -> None:
    """Write features and what is known of their images into a folder that loads itself into FiftyOne.

    Images are named by their absolute path, not copied.

    Args:
        features_file: see `read_features`, with the paths of the images.
        output: folder to make.
        labels_file: CSV with path and cluster, of training or tools/cluster.py.
        overwrite: replace an earlier export in `output`.

    Raises:
        ConfigError: the folder holds something else, or one of the files that are read is in its place.
        DataError: a file is damaged, images are missing, or labels of some of them are.
        WriteError: the folder cannot be written.
    """
    check_folder(output)
    if output.exists() and not (output.is_dir() and (overwrite or not any(output.iterdir()))):
        raise ConfigError(f"{output} exists already; pass --overwrite or another folder")
    for name in (SAMPLES, FEATURES, LOADER):
        refuse_inputs("--out", output / name, [file for file in (features_file, labels_file) if file])
    found = read_features(features_file)
    clusters = _read_clusters(labels_file, found.names) if labels_file else {}
    missing = [name for name in found.names if not os.path.isfile(name)]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(found.names)} images of {features_file} are not there, the first is {missing[0]}; "
            "run this where the paths in its CSV lead to the images"
        )
    samples = [_sample(found, row, clusters) for row in range(len(found.names))]
    try:
        make_folder(output)
        with replacing(output / FEATURES) as file:
            np.save(file, np.asarray(found.features, np.float32))
        write_text(output / SAMPLES, json.dumps({"format_version": 1, "samples": samples}, indent=1) + "\n")
        write_text(output / LOADER, Path(load_into_fiftyone.__file__).read_text(encoding="utf-8"))
    except OSError as error:
        raise WriteError(error.errno, f"the export cannot be written to {output}: {error}") from error
    logger.info("written: %s; load it with: python %s", output, output / LOADER)


def _sample(found: Features, row: int, clusters: dict[str, str]) -> dict[str, str]:
    """What FiftyOne shall know of one image; unknown things are left out."""
    name = found.names[row]
    sample = {"filepath": os.path.abspath(name)}
    if clusters:
        sample["cluster"] = "outlier" if clusters[name] == "-1" else clusters[name]
    for key, value in (("identity", found.pids[row]), ("camera", found.camids[row])):
        if value >= 0:
            sample[key] = str(value)
    return sample


def _read_clusters(path: Path, names: list[str]) -> dict[str, str]:
    """Path -> cluster of a CSV of labels, which must know all names."""
    rows = read_csv(path, ["path", "cluster"])
    clusters = {row.cells["path"]: str(cell_number(row, "cluster", path)) for row in rows}
    unlabelled = [name for name in names if name not in clusters]
    if unlabelled:
        raise DataError(
            f"{path} has no label for {len(unlabelled)} of {len(names)} images, the first is {unlabelled[0]}; "
            "features and labels must be of the same images"
        )
    return clusters
