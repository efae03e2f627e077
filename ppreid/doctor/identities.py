"""Who was seen by which camera, and whether every query can be answered."""

from collections import Counter, defaultdict
from collections.abc import Sequence

from ppreid.base.records import ImageRecord, ReIDSplit
from ppreid.doctor.findings import Finding, ok, problem, warning

_SHOWN_CAMERAS = 24


def check_cameras(split: ReIDSplit, camera_names: Sequence[str] = ()) -> list[Finding]:
    """Images and identities of every camera; images without a known camera.

    Args:
        split: the data set.
        camera_names: name of each camera, entry i of camid i; empty where they have numbers only.

    Returns:
        The table, and a warning where cameras are unknown, the training part has one camera only, or a camera of query
        and gallery does not occur in it.
    """
    findings = [ok("cameras", camera_table(split))]
    unknown = [record.path for part in split for record in part if record.camid < 0]
    if unknown:
        advice = "plain ISE trains without cameras; labels.distance camera_jaccard and the usual metrics need them"
        findings.append(warning("cameras", f"{len(unknown):,} images have no known camera", advice, unknown))
    elif len({record.camid for record in split.train}) == 1:
        text, advice = "all training images are from one camera", "the network will not learn to match across cameras"
        findings.append(warning("cameras", text, advice))
    trained = {record.camid for record in split.train} - {-1}
    tested = {record.camid for part in (split.query, split.gallery) for record in part} - {-1}
    if trained and (new := sorted(tested - trained)):
        text = f"{len(new):,} cameras of query and gallery do not occur in the training part"
        advice = "the network never sees their colours; or is it one camera under two names, as cam1 and c1?"
        names = (camera_names[camid] if camera_names else str(camid + 1) for camid in new)
        findings.append(warning("cameras", text, advice, names))
    return findings


def camera_table(split: ReIDSplit) -> str:
    """Text table: images and identities per camera and part; cameras are counted from 1, as in file names."""
    images = [Counter(record.camid for record in part) for part in split]
    people = [Counter(camid for seen in _cameras_of(part).values() for camid in seen) for part in split]
    people[-1] -= Counter({record.camid for record in split.gallery if record.pid == 0})  # distractors are nobody
    cameras = sorted({camid for counter in images for camid in counter})
    lines = ["camera " + "".join(f"{part + ' images (ids)':>24}" for part in split._fields)]
    for camid in cameras[:_SHOWN_CAMERAS]:
        cells = [
            f"{num_images[camid]:,} ({num_people[camid]:,})"
            for num_images, num_people in zip(images, people, strict=True)
        ]
        lines.append(f"{camid + 1 if camid >= 0 else 'unknown':<7}" + "".join(f"{cell:>24}" for cell in cells))
    if len(cameras) > _SHOWN_CAMERAS:
        lines.append(f"... ({len(cameras) - _SHOWN_CAMERAS} more cameras)")
    return "\n".join(lines)


def check_train_identities(records: Sequence[ImageRecord]) -> Finding:
    """How many cameras saw each identity of the training part; for the report only, training reads no identity.

    Args:
        records: the training part.

    Returns:
        "ok", or a warning where no identity was seen by two cameras.
    """
    cameras_of = _cameras_of(records)
    if not cameras_of:
        return ok("identities", f"the identities of all {len(records):,} training images are unknown")
    images_of = Counter(record.pid for record in records)
    counts = [images_of[pid] for pid in cameras_of]
    lonely, single = counts.count(1), sum(len(cameras) == 1 for cameras in cameras_of.values())
    text = (
        f"training: {len(cameras_of):,} identities with {min(counts)} to {max(counts)} images each "
        f"(mean {sum(counts) / len(counts):.1f}); {single:,} seen by one camera only, {lonely:,} with one image"
    )
    if single == len(cameras_of):
        return warning("identities", text, "nobody was seen by two cameras; are the cameras in the names right?")
    return ok("identities", text)


def check_queries(
    query: Sequence[ImageRecord], gallery: Sequence[ImageRecord], *, ignore_camera: bool
) -> list[Finding]:
    """Whether the gallery holds a valid match for every query: the same identity, seen by another camera.

    Args:
        query: images to search for.
        gallery: images to search among.
        ignore_camera: images of the query's own camera count as well.

    Returns:
        "ok" where there is no query at all; a problem where no query has a match; warnings where some have none, or are
        numbered as distractors.
    """
    if not query:
        return [ok("queries", "there are no queries: training reports label-free health instead of metrics")]
    cameras_of = _cameras_of(gallery)
    invalid = [
        record.path
        for record in query
        if record.pid < 0 or not cameras_of.get(record.pid, set()) - (set() if ignore_camera else {record.camid})
    ]
    findings = [ok("queries", f"all {len(query):,} queries have a valid match in the gallery")]
    if len(invalid) == len(query):
        text = f"none of {len(query):,} queries has a match in the gallery"
        advice = "no metric can be computed: check identities and cameras; for one camera, -o eval.ignore_camera=true"
        findings = [problem("queries", text, advice, invalid)]
    elif invalid:
        text = f"{len(invalid):,} of {len(query):,} queries have no valid match in the gallery"
        advice = "metrics leave them out; -o eval.protocol=all_queries counts them as misses"
        findings = [warning("queries", text, advice, invalid)]
    distractors = [record.path for record in query if record.pid == 0]
    if distractors:
        text = f"{len(distractors):,} queries have identity 0, which means a distractor in the gallery"
        findings.append(warning("queries", text, "number identities from 1", distractors))
    return findings


def _cameras_of(records: Sequence[ImageRecord]) -> dict[int, set[int]]:
    """Cameras that saw each known identity."""
    cameras_of: dict[int, set[int]] = defaultdict(set)
    for record in records:
        if record.pid >= 0:
            cameras_of[record.pid].add(record.camid)
    return dict(cameras_of)
