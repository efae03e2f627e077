"""Every image of a data set, decoded once: what cannot be read, and what sizes and formats there are."""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from ppreid.base.errors import DataError
from ppreid.datasets.image_file import DECODE_ERRORS, load_image, open_image, turn_of
from ppreid.doctor.findings import Finding, ok, problem, warning

MIN_HEIGHT, MIN_WIDTH = 16, 8  # pixels; nothing of a person is left below that
_AHEAD = 64  # tasks per thread that wait or whose results wait
_EDGES = (16, 32, 64, 128, 256, 512, 1024)  # of the histogram of heights
_JPEG = {".jpg", ".jpeg", ".jpe", ".jfif"}
_SUFFIXES = {"JPEG": _JPEG, "MPO": _JPEG, "PNG": {".png"}, "BMP": {".bmp"}, "WEBP": {".webp"}, "GIF": {".gif"}}
_SUFFIXES |= {"TIFF": {".tif", ".tiff"}, "PPM": {".ppm", ".pgm"}, "JPEG2000": {".jp2"}}

Item = TypeVar("Item")
Result = TypeVar("Result")


class ImageFacts(NamedTuple):
    """What one image file is.

    Attributes:
        error: why it cannot be read, with its path; then the other fields mean nothing. Otherwise empty.
        num_bytes: size of the file.
        width: in pixels.
        height: in pixels.
        format: by its content, e.g. "JPEG".
        mode: Pillow's name for the kind of pixels, e.g. "RGB" or "L" (grey).
        is_animated: whether it has several frames.
        is_turned: whether its EXIF data ask viewers to turn or mirror it, as the loader does.
    """

    error: str
    num_bytes: int = -1
    width: int = 0
    height: int = 0
    format: str = ""
    mode: str = ""
    is_animated: bool = False
    is_turned: bool = False


class ImageSurvey(NamedTuple):
    """What the images of a data set have in common, and those that stand out.

    Attributes:
        num_bytes: (N,) int64, size of every file; -1 for those that cannot be read.
        errors: path and reason of every image that cannot be read.
        kinds: number of images by format and mode, e.g. "JPEG RGB".
        shapes: number of images by (width, height).
        sizes: (N, 2) int32, width and height of every image; 0 for those that cannot be read.
        colourless: paths of images without three colour channels.
        animated: paths of images with several frames.
        turned: see `ImageFacts.is_turned`.
        misnamed: paths whose suffix says another format.
        tiny: paths of images below MIN_HEIGHT or MIN_WIDTH.
    """

    num_bytes: np.ndarray
    errors: list[str]
    kinds: Counter[str]
    shapes: Counter[tuple[int, int]]
    sizes: np.ndarray
    colourless: list[str]
    animated: list[str]
    turned: list[str]
    misnamed: list[str]
    tiny: list[str]


def in_threads(function: Callable[[Item], Result], items: Iterable[Item], *, num_workers: int) -> Iterator[Result]:
    """Results of a function in the order of its arguments, computed by threads; only a few wait at any time.

    Args:
        function: must not raise.
        items: its arguments.
        num_workers: threads; 0 means one.

    Yields:
        One result per item.
    """
    num_workers = max(1, num_workers)
    pending: deque = deque()
    with ThreadPoolExecutor(num_workers) as pool:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > _AHEAD * num_workers:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def image_facts(path: str) -> ImageFacts:
    """Decode an image exactly as the loader does, and describe its file."""
    try:
        upright = load_image(path)
        with open_image(path) as image:
            return ImageFacts(
                error="",
                num_bytes=Path(path).stat().st_size,
                width=upright.width,
                height=upright.height,
                format=image.format or "unknown",
                mode=image.mode,
                is_animated=_or_false(lambda: getattr(image, "is_animated", False)),
                is_turned=turn_of(image) is not None,
            )
    except (DataError, OSError) as error:  # OSError: the file vanished in between
        return ImageFacts(str(error))


def survey_images(paths: Sequence[str], facts: Iterable[ImageFacts]) -> ImageSurvey:
    """Collect the facts of all images; memory grows by a few numbers per image, and by a path where one stands out.

    Args:
        paths: of the images, (N,).
        facts: of each, in the same order.

    Returns:
        The collection.
    """
    sizes = np.zeros((len(paths), 2), np.int32)
    survey = ImageSurvey(np.full(len(paths), -1, np.int64), [], Counter(), Counter(), sizes, [], [], [], [], [])
    for row, (path, fact) in enumerate(zip(paths, facts, strict=True)):
        if fact.error:
            survey.errors.append(fact.error)
            continue
        survey.num_bytes[row] = fact.num_bytes
        survey.kinds[f"{fact.format} {fact.mode}"] += 1
        survey.shapes[fact.width, fact.height] += 1
        survey.sizes[row] = fact.width, fact.height
        for stands_out, where in (
            (fact.mode in ("1", "L", "LA") or fact.mode.startswith("I"), survey.colourless),
            (fact.is_animated, survey.animated),
            (fact.is_turned, survey.turned),
            (Path(path).suffix.lower() not in _SUFFIXES.get(fact.format, ()), survey.misnamed),
            (fact.height < MIN_HEIGHT or fact.width < MIN_WIDTH, survey.tiny),
        ):
            if stands_out:
                where.append(path)
    return survey


def check_images(survey: ImageSurvey, *, bad_are_skipped: bool) -> list[Finding]:
    """Judge what `survey_images` collected.

    Args:
        survey: the collection.
        bad_are_skipped: data.on_bad_image is "skip", so that unreadable images do not stop a run.

    Returns:
        Unreadable images, formats and sizes, and whatever stands out.
    """
    total = len(survey.num_bytes)
    readable = total - len(survey.errors)
    findings = [ok("images", f"{readable:,} of {total:,} images can be decoded")]
    if survey.errors:
        report = warning if bad_are_skipped and readable else problem
        advice = "repair or remove them, or leave them out: -o data.on_bad_image=skip"
        text = f"{len(survey.errors):,} of {total:,} images are unreadable"
        findings = [report("images", text, advice, survey.errors)]
    if readable:
        kinds = ", ".join(f"{count:,} {kind}" for kind, count in survey.kinds.most_common())
        findings.append(ok("images", f"formats: {kinds}\n{_shapes(survey.shapes)}"))
    if survey.turned:
        text = f"{len(survey.turned):,} images are turned by EXIF; they are read upright, as viewers show them"
        findings.append(ok("images", text))
    grey = "colour tells people apart; are these from infrared cameras, or damaged?"
    for what, advice, paths in (
        ("have no colour", grey, survey.colourless),
        ("are animations, of which the first frame is used", "save the frame that you mean", survey.animated),
        ("have a suffix of another format", "harmless here; other programs may refuse them", survey.misnamed),
        (f"are smaller than {MIN_WIDTH} x {MIN_HEIGHT} pixels", "are these crops of people?", survey.tiny),
    ):
        if paths:
            findings.append(warning("images", f"{len(paths):,} images {what}", advice, paths))
    return findings


def _or_false(question: Callable[[], bool]) -> bool:
    """Answer to a question about what surrounds the pixels, which may be damaged although they can be decoded."""
    try:
        return question()
    except DECODE_ERRORS:
        return False


def _shapes(shapes: Counter[tuple[int, int]]) -> str:
    """All shapes where there are few, otherwise their ranges and a histogram of heights."""
    if len(shapes) <= 4:
        return "width x height: " + ", ".join(f"{w} x {h} ({count:,})" for (w, h), count in shapes.most_common())
    widths, heights = zip(*shapes, strict=True)
    counts = np.zeros(len(_EDGES) + 1, np.int64)
    np.add.at(counts, np.searchsorted(_EDGES, heights, side="right"), list(shapes.values()))
    names = [f"below {_EDGES[0]}", *(f"{low}-{high - 1}" for low, high in pairwise(_EDGES))]
    names.append(f"{_EDGES[-1]} or more")
    histogram = ", ".join(f"{name}: {count:,}" for name, count in zip(names, counts, strict=True) if count)
    return f"width {min(widths)} to {max(widths)}, height {min(heights)} to {max(heights)} pixels\nheights: {histogram}"
