"""The report of a run."""

from typing import Annotated

from pydantic import Field

from ppreid.choices import one_of
from ppreid.sections.base import Section


class ReportConfig(Section):
    """output_dir/report.html, see docs/report.md. The upper limits keep the file below 20 MB."""

    enabled: bool = True
    """Make the report at the end of training; tools/report.py makes it at any time."""
    queries: Annotated[int, Field(ge=1, le=30)] = 12
    """Rank lists of each kind: random, worst and best queries."""
    clusters: Annotated[int, Field(ge=1, le=20)] = 8
    """Contact sheets of each kind: largest and most mixed clusters, identities that were split."""
    map_images: Annotated[int, Field(ge=10, le=3000)] = 1000
    """Random training images in the map of features."""
    projection: Annotated[str, one_of("report.projection")] = "pca"
    """From features to the two dimensions of the map: pca, or tsne, which takes longer."""
