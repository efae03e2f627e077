"""Drawn recordings, small enough for tests."""

import pytest

from ppreid.demo.recorded import generate_recordings


@pytest.fixture(scope="session")
def drawn(tmp_path_factory):
    """Two cameras, four seconds, five people; true boxes beside the videos."""
    root = tmp_path_factory.mktemp("drawn") / "recordings"
    generate_recordings(root, cameras=2, people=5, seconds=4, rate=10, seed=3)
    return root
