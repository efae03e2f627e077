"""From what is known about a run, or several, to one HTML file that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

import ppreid
from ppreid.base.numbers import compact, fixed
from ppreid.base.records import ImageRecord
from ppreid.report import charts
from ppreid.report.cluster_sheets import CAMERAS, LARGEST, MIXED, SPLIT, Sheet, Thumbnails
from ppreid.report.curves import cmc_chart, histogram_chart, run_charts
from ppreid.report.evidence import Evidence, MapEvidence
from ppreid.report.gather import TSNE_IMAGES
from ppreid.report.headline import remarks, sentence, subject, tiles
from ppreid.report.run_files import RunFiles, against, flat
from ppreid.report.tables import camera_table, cluster_table, epoch_table

if TYPE_CHECKING:
    from ppreid.report.verdict import Verdict

TEMPLATES = Path(__file__).parent / "templates"
MAX_CLUSTER_ROWS = 300
ENGLISH = "en"
_SCRIPTS = ("report", "pictures", "map")  # one after the other they are the page's own program
_MAP_WIDTH, _MAP_HEIGHT, _MAP_MARGIN = 720, 520, 14


def run_page(run: RunFiles, evidence: Evidence, *, reference: Mapping[str, Any], language: str = ENGLISH) -> str:
    """The report of one run.

    Args:
        run: what its folder says.
        evidence: what its network and data set add.
        reference: configuration to show the run's own against, as nested dicts.
        language: "en", or "zh", see `ppreid.report.chinese`.

    Returns:
        HTML that loads nothing.
    """
    thumbnails = Thumbnails()
    ranking, clusters, across = evidence.ranking, evidence.clusters, evidence.across
    changed, unchanged = against(run.config, reference)
    return rendered(
        "run.html.j2",
        language=language,
        picture=thumbnails.uri,
        run=run,
        evidence=evidence,
        subject=subject(run),
        sentence=sentence(run, evidence.tracks),
        remarks=remarks(run, evidence.tracks),
        verdict=_verdict(run, evidence),
        own_eps=flat(run.config).get("labels.eps", "?"),
        tiles=tiles(run, num_identities=clusters.num_identities if clusters else None),
        curves=run_charts(run),
        ranking_charts=[cmc_chart(ranking.result.cmc), histogram_chart(ranking.histogram)] if ranking else [],
        query_cameras=sorted({ranking.query[item.row].camid for item in ranking.lists} - {-1}) if ranking else [],
        across_cameras=sorted({across.images[item.row].camid for item in across.lists}) if across else [],
        sheet_kinds=_sheet_kinds(clusters.sheets) if clusters else [],
        cluster_table=cluster_table(clusters.facts[:MAX_CLUSTER_ROWS]) if clusters else None,
        camera_table=camera_table(clusters.cameras, run.cameras) if clusters else None,
        map_points=_map_points(evidence.feature_map, thumbnails, run.cameras, language) if evidence.feature_map else [],
        describe=partial(describe, names=run.cameras),
        camera_name=partial(camera_name, names=run.cameras),
        map_size=(_MAP_WIDTH, _MAP_HEIGHT),
        tsne_images=TSNE_IMAGES,
        epoch_table=epoch_table(run),
        changed=changed,
        unchanged=unchanged,
        max_cluster_rows=MAX_CLUSTER_ROWS,
    )


def rendered(template: str, *, language: str = ENGLISH, **values: Any) -> str:  # noqa: ANN401 - of the template
    """Fill a template in; everything that is not markup of our own is escaped, and only our script and style run.

    Args:
        template: name of its file.
        language: see `run_page`.
        values: that it uses; "made" is the time when the page was made, unless it is among them.

    Returns:
        HTML that loads nothing.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = "\n".join((TEMPLATES / f"{name}.js").read_text(encoding="utf-8") for name in _SCRIPTS)
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    if language != ENGLISH:
        from ppreid.report.chinese import page_in_chinese, script_in_chinese

        script = script_in_chinese(script)
    environment.globals |= {
        "compact": compact,
        "camera_and_distance": camera_and_distance,
        "charts": charts,
        "script": Markup(script),  # a file of this package, as is the style
        "style": Markup(style),
        "policy": _content_security_policy(script, style),
        "version": ppreid.__version__,
        "made": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }
    html = environment.get_template(template).render(values)
    html = html.encode("utf-8", "backslashreplace").decode("utf-8")  # file names may hold bytes that are no UTF-8
    return html if language == ENGLISH else page_in_chinese(html)


def camera_name(camid: int, names: Mapping[int, str]) -> str:
    """Number of a camera, from 1, and its name if it has one."""
    return f"{camid + 1} ({names[camid]})" if camid in names else str(camid + 1)


def describe(record: ImageRecord, names: Mapping[int, str]) -> str:
    """An image in words, for those who do not see it: what is known of camera and identity, and the file.

    Args:
        record: the image.
        names: of the cameras that have one.
    """
    parts = [f"camera {camera_name(record.camid, names)}"] if record.camid >= 0 else []
    if record.pid == 0:
        parts.append("distractor")
    elif record.pid > 0:
        parts.append(f"identity {record.pid}")
    return ", ".join([*parts, Path(record.path).name])


def camera_and_distance(record: ImageRecord, distance: float) -> str:
    """What stands below a match, e.g. "c3 0.42"."""
    camera = f"c{record.camid + 1} " if record.camid >= 0 else ""
    return f"{camera}{fixed(distance, 2)}"


def _verdict(run: RunFiles, evidence: Evidence) -> Verdict | None:
    """Of a run that nothing was measured of; what evaluations say is no matter of opinion."""
    if run.evaluations:
        return None
    from ppreid.report.verdict import verdict

    return verdict(run, tracks=evidence.tracks, eps=evidence.eps)


def _sheet_kinds(sheets: Sequence[Sheet]) -> list[tuple[str, str]]:
    """The kinds that there are, with their names on the page."""
    names = {
        LARGEST: "largest clusters",
        MIXED: "most mixed clusters",
        SPLIT: "most split people",
        CAMERAS: "clusters over many cameras",
    }
    return [(kind, name) for kind, name in names.items() if any(sheet.kind == kind for sheet in sheets)]


def _content_security_policy(script: str, style: str) -> str:
    """Nothing may be loaded or run but this script, this style and pictures that are inside the page."""
    hashes = [
        base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii") for text in (script, style)
    ]
    return (
        f"default-src 'none'; script-src 'sha256-{hashes[0]}'; style-src 'sha256-{hashes[1]}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )


def _map_points(
    feature_map: MapEvidence, thumbnails: Thumbnails, cameras: Mapping[int, str], language: str
) -> list[dict[str, Any]]:
    """Where the points of the map are drawn, and what the page says about them."""
    said: Callable[[str], str] = str
    if language != ENGLISH:
        from ppreid.report.chinese import in_chinese

        said = in_chinese
    points = []
    width, height = _MAP_WIDTH - 2 * _MAP_MARGIN, _MAP_HEIGHT - 2 * _MAP_MARGIN
    low, high = feature_map.points.min(axis=0), feature_map.points.max(axis=0)
    size = [float(value) or 1.0 for value in high - low]
    for place, (row, point) in enumerate(zip(feature_map.rows, feature_map.points, strict=True)):
        record = feature_map.train[row]
        points.append(
            {
                "x": round(_MAP_MARGIN + width * float(point[0] - low[0]) / size[0], 1),
                "y": round(_MAP_MARGIN + height * float(point[1] - low[1]) / size[1], 1),
                "cluster": None if feature_map.labels is None else int(feature_map.labels[place]),
                "camera": record.camid,
                "text": said(describe(record, cameras)),
                "path": record.path,
                "picture": thumbnails.uri(record.path),
            }
        )
    return points
