"""Several runs laid over each other, on one page."""

from collections.abc import Sequence

from ppreid.report.curves import compared_charts
from ppreid.report.page import ENGLISH, rendered
from ppreid.report.run_files import RunFiles, differences
from ppreid.report.tables import comparison_table


def comparison_page(runs: Sequence[tuple[str, RunFiles]], *, language: str = ENGLISH) -> str:
    """Several runs over each other.

    Args:
        runs: (name, run), at least two.
        language: see `run_page`.

    Returns:
        HTML that loads nothing.
    """
    return rendered(
        "comparison.html.j2",
        language=language,
        names=[name for name, _ in runs],
        states=[run.state for _, run in runs],
        results=comparison_table([run for _, run in runs]),
        curves=compared_charts(runs),
        differences=differences([run.config for _, run in runs]),
    )
