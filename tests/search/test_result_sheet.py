import numpy as np
import pytest
from PIL import Image, ImageFont

from ppreid.base.errors import DataError
from ppreid.search.letters import drawable, fitting, font_for, fonts
from ppreid.search.results import Match, SearchResult
from ppreid.search.sheet import Tile, result_sheet, write_sheet

FONT = ImageFont.load_default(10)
CHINESE = "监控"


def test_images_keep_their_shape_and_places(tmp_path):
    red, blue = (200, 0, 0), (0, 0, 200)
    Image.new("RGB", (100, 20), red).save(tmp_path / "wide.png")
    Image.new("RGB", (10, 40), blue).save(tmp_path / "tall.png")
    tiles = [Tile(str(tmp_path / name), ("0.5", "camera")) for name in ("wide.png", "tall.png")]
    sheet = np.asarray(result_sheet([tiles, tiles[:1]], font=FONT, height=80, width=40))
    places = {colour: np.argwhere((sheet == colour).all(axis=2)) for colour in (red, blue)}
    rows, columns = places[blue].T
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (80, 20)
    first = places[red][places[red][:, 0] < 90]
    assert (np.ptp(first[:, 0]) + 1, np.ptp(first[:, 1]) + 1) == (8, 40)
    assert first[:, 1].max() < columns.min() and len(places[red]) == 2 * len(first)


@pytest.mark.parametrize("text", ["name.jpg", "äöü", "監視カメラ", "x" * 1000, "", "\n"])
def test_any_text_and_images_that_are_gone_can_be_drawn(tmp_path, text):
    sheet = result_sheet([[Tile(str(tmp_path / "gone.jpg"), (text, text))]], font=FONT)
    assert sheet.mode == "RGB" and len(np.unique(np.asarray(sheet))) > 3


def test_nothing_to_draw_is_an_error():
    with pytest.raises(DataError, match="no search result"):
        result_sheet([], font=FONT)


@pytest.mark.parametrize(
    "text", ["", "7", "0002_c1s1", "0002_c1s1_000451_03", "entrance_north_2024_05_17_00", "x" * 9999]
)
def test_of_a_long_name_both_ends_stay(text):
    short = fitting(text, 80, FONT)
    assert FONT.getlength(short) <= 80
    if short != text:
        head, tail = short.split("..")
        assert text.startswith(head) and text.endswith(tail)
        assert 0 <= len(tail) - len(head) <= 1 and len(short) >= 10


def test_a_name_that_fits_is_left_as_it_is():
    assert fitting("0002_c1s1", 80, FONT) == "0002_c1s1"


class Letters:
    """A font that has some letters, and draws a box for any other one."""

    def __init__(self, letters):
        self.letters = letters

    def getmask(self, letter):
        return letter.encode() if letter in self.letters else b"box"


def test_the_first_font_that_has_all_letters_is_taken():
    latin, both, later = Letters("abc"), Letters("abc" + CHINESE), Letters("abc" + CHINESE)
    assert font_for(["ab c"], [latin, both]) == (latin, "")
    assert font_for(["ab", CHINESE], [latin, both, later]) == (both, "")
    assert font_for(["ab", CHINESE + "é"], [latin, both]) == (both, "é")


def test_fonts_of_the_machine_can_be_drawn_with():
    for font in fonts():
        assert bytes(font.getmask("0")) != bytes(font.getmask("\U0010ffff"))


def test_what_no_font_has_is_named_once_in_the_log(caplog):
    texts = ["", "cam1", f"{CHINESE}", f"{CHINESE}2_a", f"{CHINESE[0]}2_a"]
    assert drawable(texts, CHINESE, what="camera") == ["", "cam1", "camera 3", "~2_a", "camera 5"]
    assert caplog.text.count("no font of this machine") == 1
    assert f"camera 3 is {CHINESE}" in caplog.text and f"~2_a is {CHINESE}2_a" in caplog.text


def test_what_every_font_has_needs_no_line_in_the_log(caplog):
    assert drawable(["a", "b"], "", what="camera") == ["a", "b"]
    assert caplog.text == ""


def test_names_in_other_letters_do_not_look_the_same(tmp_path):
    """Cameras and images whose names have Chinese letters only, whatever fonts there are."""
    results = []
    for camera, name in (("前门", "东"), ("后门", "西")):
        Image.new("RGB", (80, 160), (200, 0, 0)).save(tmp_path / f"{name}.png")
        results.append(SearchResult(str(tmp_path / f"{name}.png"), camera, (Match("gone", 1.0, camera),)))
    assert write_sheet(tmp_path / "sheet.png", results) == 2
    sheet = np.asarray(Image.open(tmp_path / "sheet.png"))
    (first, second) = np.flatnonzero((sheet[:, 20] == (200, 0, 0)).all(axis=1)).reshape(2, 160)[:, -1] + 4
    picture, camera, name = (slice(line * 14, line * 14 + 14) for line in range(3))
    one, other = sheet[first:, 10:90], sheet[second:, 10:90]
    np.testing.assert_array_equal(one[picture], other[picture])  # "query"
    assert (one[camera] != other[camera]).any() and (one[name][:9] != other[name][:9]).any()


def test_a_sheet_has_a_line_for_seconds_and_two_for_a_time_of_day(tmp_path):
    Image.new("RGB", (80, 160), (200, 0, 0)).save(tmp_path / "q.png")
    heights = []
    for time in (-1.0, 12.5, 1714550400.0):
        match = Match(str(tmp_path / "q.png"), 1.0, "yard", time=time)
        write_sheet(tmp_path / "sheet.png", [SearchResult(str(tmp_path / "q.png"), "hall", (match,))])
        with Image.open(tmp_path / "sheet.png") as sheet:
            heights.append(sheet.height)
    assert np.diff(heights).tolist() == [14, 14]
