"""What became of the boxes of each camera, in a line, and what to try where nothing did."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from ppreid.base.errors import DataError

logger = logging.getLogger("ppreid")


def counted(each: Mapping[str, Any]) -> str:
    """One line about a camera.

    Args:
        each: what `ppreid.recordings.camera.finished` says about it.
    """
    reasons = sorted(each["skipped"].items(), key=lambda item: (-item[1], item[0]))
    texts = [f"{each['width']}x{each['height']}, {each['looked_at']:,} of {each['frames']:,} frames looked at"]
    texts.append(f"{each['boxes']:,} people, {each['crops']:,} crops in {each['tracks']:,} tracks")
    if reasons:
        texts.append("left out: " + ", ".join(f"{reason} {number:,}" for reason, number in reasons))
    if each["jumps"]:
        texts.append(f"{each['jumps']:,} times an identity was suddenly elsewhere")
    if each["damaged_frames"]:
        texts.append(f"{each['damaged_frames']:,} damaged frames")
    if each["missing_frames"] > 1:  # containers that say how long they are, and not how many frames, are off by one
        texts.append(f"{each['missing_frames']:,} frames missing at the end")
    return "; ".join(texts)


def require_crops(counts: Mapping[str, Mapping[str, Any]], made_from: Mapping[str, Any]) -> None:
    """Warn of cameras without crops.

    Args:
        counts: of each camera, by its name.
        made_from: the settings, by the names of their options.

    Raises:
        DataError: no camera has any; with what was looked for, and what to try.
    """
    empty = [name for name, each in counts.items() if not each["crops"]]
    if len(empty) < len(counts):
        for name in empty:
            logger.warning("camera %s gave no crops: %s", name, counted(counts[name]))
        return
    least = "its own least score" if made_from["min_score"] is None else f"--min-score {made_from['min_score']:g}"
    options = "min_size", "min_sharpness", "max_overlap", "min_track"
    settings = ", ".join(f"--{name.replace('_', '-')} {made_from[name]}" for name in options)
    seen = "; ".join(f"{name}: {counted(each)}" for name, each in counts.items())
    is_any = any(each["boxes"] for each in counts.values())
    advice = _LOOSEN if is_any else _ADVICE.get(made_from["detector"], _ADVICE[""])
    raise DataError(f"no crops (detector {made_from['detector']}, {least}, {settings}): {seen}. {advice}")


_LOOSEN = "People were found, and all were left out for these reasons: loosen what stands first among them"
_ADVICE = {
    "hog": "hog finds upright people of --min-size and more: try a smaller one, or --detector onnx:FILE",
    "boxes of a file": "Is it the file of this recording, and does it count frames from 1?",
    "": "Try a smaller --min-score or another --class, and look at a frame: is anybody in it?",
}
