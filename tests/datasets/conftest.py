"""Image files shared by the tests of this folder."""

import pytest
from PIL import Image

from ppreid.base.records import ImageRecord


@pytest.fixture
def image_records(tmp_path):
    """24 images of one colour each, index i has pixel value 10 * i, on three cameras."""
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(24):
        Image.new("RGB", (8, 16), (10 * i,) * 3).save(folder / f"{i:02d}.png")
    return tuple(ImageRecord(str(folder / f"{i:02d}.png"), 1 + i // 4, i % 3) for i in range(24))
