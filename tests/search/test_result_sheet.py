import numpy as np
import pytest
from PIL import Image

from ppreid.base.errors import DataError
from ppreid.search.sheet import Tile, result_sheet


def test_images_keep_their_shape_and_places(tmp_path):
    red, blue = (200, 0, 0), (0, 0, 200)
    Image.new("RGB", (100, 20), red).save(tmp_path / "wide.png")
    Image.new("RGB", (10, 40), blue).save(tmp_path / "tall.png")
    tiles = [Tile(str(tmp_path / name), ("0.5", "camera")) for name in ("wide.png", "tall.png")]
    sheet = np.asarray(result_sheet([tiles, tiles[:1]], height=80, width=40))
    places = {colour: np.argwhere((sheet == colour).all(axis=2)) for colour in (red, blue)}
    rows, columns = places[blue].T
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (80, 20)
    first = places[red][places[red][:, 0] < 90]
    assert (np.ptp(first[:, 0]) + 1, np.ptp(first[:, 1]) + 1) == (8, 40)
    assert first[:, 1].max() < columns.min() and len(places[red]) == 2 * len(first)


@pytest.mark.parametrize("text", ["name.jpg", "äöü", "監視カメラ", "x" * 1000, "", "\n"])
def test_any_text_and_images_that_are_gone_can_be_drawn(tmp_path, text):
    sheet = result_sheet([[Tile(str(tmp_path / "gone.jpg"), (text, text))]])
    assert sheet.mode == "RGB" and len(np.unique(np.asarray(sheet))) > 3


def test_nothing_to_draw_is_an_error():
    with pytest.raises(DataError, match="no search result"):
        result_sheet([])
