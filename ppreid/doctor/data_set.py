"""A data set as a whole: what is in it, and every one of its files."""

from collections.abc import Callable

from ppreid.base.errors import PpreidError
from ppreid.base.progress import progress
from ppreid.base.reading import EntriesError
from ppreid.base.records import DatasetContents, ReIDSplit
from ppreid.datasets.summary import PublishedCounts, summarise_split
from ppreid.doctor.duplicates import (
    check_duplicates,
    check_frames,
    check_names,
    check_near_duplicates,
    content_digests,
    equal_groups,
    equal_in_size,
    sampled_rows,
    thumbnail,
)
from ppreid.doctor.findings import Finding, format_findings, ok, problem, shown, warning
from ppreid.doctor.identities import check_cameras, check_queries, check_train_identities
from ppreid.doctor.images import check_images, image_facts, in_threads, survey_images
from ppreid.doctor.machine import check_memory
from ppreid.processes.device import LABEL_BYTES_PER_NEIGHBOUR, available_memory
from ppreid.run.log import log_result


def check_data_set(
    read: Callable[[], DatasetContents],
    *,
    published: PublishedCounts | None,
    neighbours: int | None,
    num_workers: int,
    bad_are_skipped: bool,
    ignore_camera: bool,
) -> list[Finding]:
    """Check a data set, every image included, and show what was found.

    Args:
        read: gives the data set.
        published: what its authors counted; None where nobody did.
        neighbours: labels.k1 of a training run; None where none is planned.
        num_workers: threads.
        bad_are_skipped: data.on_bad_image is "skip", so that unreadable images do not stop a run.
        ignore_camera: images of the query's own camera are valid matches.

    Returns:
        All findings.
    """
    contents, unusable = _read_what_there_is(read)
    if unusable:
        log_result(format_findings(unusable))
    if contents is None:
        return unusable
    split, camera_names, notes = contents
    summary = summarise_split(split, published)
    advice = "is the download complete, and is it the version that was published?"
    size = [ok("data set", "\n".join([summary.table, *notes]))]
    size += [warning("data set", text, advice) for text in summary.warnings]
    if neighbours is not None:
        size.append(_check_label_memory(len(split.train), neighbours))
    findings = [*unusable, *shown("size", lambda: size)]
    findings += shown(
        "identities and cameras",
        lambda: [
            *check_cameras(split, camera_names),
            check_train_identities(split.train),
            *check_queries(split.query, split.gallery, ignore_camera=ignore_camera),
        ],
    )
    return findings + shown(
        "images", lambda: _check_files(split, num_workers=num_workers, bad_are_skipped=bad_are_skipped)
    )


def _read_what_there_is(read: Callable[[], DatasetContents]) -> tuple[DatasetContents | None, list[Finding]]:
    """The data set as far as it can be read, so that one look finds everything; and a problem for all that cannot."""
    advice = "see data/README.md for the folders that are expected"
    try:
        return read(), []
    except EntriesError as error:
        found = [problem("data set", text, advice) for text in error.problems]
        rest = DatasetContents(error.rest) if isinstance(error.rest, ReIDSplit) else error.rest
        if not any(rest.split):
            return None, found
        log_result("everything else is checked nevertheless, without what is named here")
        return rest, found
    except PpreidError as error:
        return None, [problem("data set", str(error), advice)]


def _check_label_memory(num_images: int, neighbours: int) -> Finding:
    return check_memory(
        needed=LABEL_BYTES_PER_NEIGHBOUR * neighbours * num_images,
        available=available_memory(),
        purpose=f"pseudo labels of {num_images:,} images",
        advice="lower labels.k1, or free memory",
    )


def _check_files(split: ReIDSplit, *, num_workers: int, bad_are_skipped: bool) -> list[Finding]:
    """Decode every file once, then hash those that might be copies, and compare some for what they show."""
    paths = [record.path for part in split for record in part]
    facts = in_threads(image_facts, paths, num_workers=num_workers)
    survey = survey_images(paths, progress(facts, total=len(paths), description="decode", unit="image"))
    rows = equal_in_size(survey.num_bytes)
    digests = content_digests((paths[row] for row in rows), num_workers=num_workers)
    groups = equal_groups(rows, progress(digests, total=len(rows), description="compare", unit="image"))
    sample = [split.train[row].path for row in sampled_rows(len(split.train))]
    thumbnails = in_threads(thumbnail, sample, num_workers=num_workers)
    thumbnails = progress(thumbnails, total=len(sample), description="look alike", unit="image")
    return [
        *check_images(survey, bad_are_skipped=bad_are_skipped),
        check_frames(survey.sizes, paths),
        *check_duplicates(split, groups),
        check_near_duplicates(thumbnails, sample, total=len(split.train)),
        check_names(split),
    ]
