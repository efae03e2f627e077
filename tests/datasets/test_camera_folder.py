import csv
import os
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ppreid.base.errors import DataError
from ppreid.base.records import ImageRecord
from ppreid.datasets.camera_folder import natural_order, read_camera_folder
from ppreid.datasets.camera_table import read_camera_table
from ppreid.datasets.image_folder import find_images, scan_folder

MARKET = r"(?P<pid>-?\d+)_(?P<camera>c\d+)[^/]*$"


def make_files(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def below(root, records):
    return [(record.path.removeprefix(f"{root}/"), record.pid, record.camid) for record in records]


# the folder


def test_images_are_found_in_all_subfolders_and_everything_else_is_counted(tmp_path):
    make_files(tmp_path, "b/2.JPG", "b/c/d/1.webp", "a.png", "x.jpg/y.gif", "ä ö\n.tiff")
    make_files(tmp_path, "Thumbs.db", "b/@eaDir/2.JPG", ".DS_Store", ".git/3.jpg", "._a.png")
    make_files(tmp_path, "a.txt", "b.heic", "c.txt", "d")
    (tmp_path / "b" / "loop").symlink_to(tmp_path)
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere.jpg")
    (tmp_path / "link.png").symlink_to(tmp_path / "a.png")
    scan = scan_folder(tmp_path)
    assert scan.names == ["a.png", "b/2.JPG", "b/c/d/1.webp", "gone.jpg", "link.png", "x.jpg/y.gif", "ä ö\n.tiff"]
    assert (scan.hidden, scan.system, scan.linked_folders) == (3, 2, 1)
    assert scan.others == {".txt": 2, ".heic": 1, "": 1}
    assert "4 files that are no images by their suffix (.txt: 2, .heic: 1, none: 1)" in scan.left_out()
    assert [record.path for record in find_images(tmp_path)] == [f"{tmp_path}/{name}" for name in scan.names]


def test_a_name_that_is_no_text_is_an_image_as_well(tmp_path):
    open(os.path.join(os.fsencode(tmp_path), b"\xff\xfe.jpg"), "w").close()
    (record,) = find_images(tmp_path)
    assert os.path.exists(record.path)


def test_a_folder_that_is_missing_empty_or_without_images_is_an_error(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist"):
        read_camera_folder(tmp_path / "nowhere")
    make_files(tmp_path, "film.mp4")
    with pytest.raises(DataError, match=r"no image in .*left out: 1 files .*\.mp4: 1.*found in .*film\.mp4"):
        read_camera_folder(tmp_path)


# cameras


def test_cameras_are_the_subfolders_in_natural_order(tmp_path):
    make_files(tmp_path, "cam10/a.jpg", "cam2/day1/b.jpg", "cam2/day2/b.jpg", "Eingang/c.jpg")
    contents = read_camera_folder(tmp_path)
    assert contents.camera_names == ("Eingang", "cam2", "cam10")
    assert below(tmp_path, contents.split.train) == [
        ("Eingang/c.jpg", -1, 0),
        ("cam10/a.jpg", -1, 2),
        ("cam2/day1/b.jpg", -1, 1),
        ("cam2/day2/b.jpg", -1, 1),
    ]
    assert contents.split.query == contents.split.gallery == ()
    assert contents.notes == ("cameras (images): 1 Eingang (1), 2 cam2 (2), 3 cam10 (1)",)


@pytest.mark.parametrize(("camera", "settings"), [("folder", {}), ("regex", {"pattern": r"_(?P<camera>[a-z]+)_"})])
def test_images_that_do_not_say_their_camera(tmp_path, camera, settings):
    make_files(tmp_path, *(f"{i}.jpg" for i in range(7)), "x/7_x_7.jpg")
    with pytest.raises(DataError, match=r"7 of 8 images .*'0\.jpg', '1\.jpg', .*, \.\.\.; see .*unmatched"):
        read_camera_folder(tmp_path, camera=camera, **settings)
    skipped = read_camera_folder(tmp_path, camera=camera, unmatched="skip", **settings)
    assert below(tmp_path, skipped.split.train) == [("x/7_x_7.jpg", -1, 0)]
    assert skipped.notes[0] == "left out: 7 images whose path does not say the camera"
    kept = read_camera_folder(tmp_path, camera=camera, unmatched="unknown", **settings)
    assert [record.camid for record in kept.split.train] == [-1] * 7 + [0]
    (tmp_path / "x" / "7_x_7.jpg").unlink()
    with pytest.raises(DataError, match="no path of an image"):
        read_camera_folder(tmp_path, camera=camera, unmatched="skip", **settings)


def test_a_pattern_may_name_the_identity_as_well(tmp_path):
    make_files(tmp_path, "p2/left-1.jpg", "p10/left-1.jpg", "p10/right-1.jpg")
    pattern = r"(?P<pid>[^/]+)/(?P<camera>\w+)-"
    contents = read_camera_folder(tmp_path, camera="regex", pattern=pattern)
    assert below(tmp_path, contents.split.train) == [
        ("p10/left-1.jpg", 2, 0),
        ("p10/right-1.jpg", 2, 1),
        ("p2/left-1.jpg", 1, 0),
    ]


def test_cameras_may_be_unknown(tmp_path):
    make_files(tmp_path, "a/1.jpg", "2.jpg")
    contents = read_camera_folder(tmp_path, camera="none")
    assert [record.camid for record in contents.split.train] == [-1, -1]
    assert contents.camera_names == () and contents.notes == ("cameras (images): unknown (2)",)


NAMES = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=8)


@given(st.lists(NAMES, min_size=1, max_size=8, unique=True), st.randoms())
@example(["1", "01", "001", "²", "٣", "a1b", "a01b"], None)
@settings(deadline=None)
def test_the_order_of_names_depends_on_the_names_only(names, random):
    shuffled = list(names)
    if random:
        random.shuffle(shuffled)
    assert sorted(names, key=natural_order) == sorted(shuffled, key=natural_order)
    digits = sorted((name for name in names if re.fullmatch("[0-9]+", name)), key=natural_order)
    assert list(map(int, digits)) == sorted(map(int, digits))


# the CSV


FIELDS = st.text(st.characters(blacklist_characters="\0\\", blacklist_categories=("Cs", "Cc")), max_size=8).map(
    str.strip
)


@given(
    rows=st.lists(st.tuples(FIELDS.filter(bool), FIELDS, FIELDS), min_size=1, max_size=6, unique_by=lambda row: row[0]),
    delimiter=st.sampled_from(",;\t"),
    encoding=st.sampled_from(["utf-8", "utf-8-sig"]),
    ending=st.sampled_from(["\n", "\r\n"]),
)
@settings(deadline=None, max_examples=60)
def test_whatever_a_csv_can_hold_is_read_back(tmp_path_factory, rows, delimiter, encoding, ending):
    file = tmp_path_factory.mktemp("csv") / "c.csv"
    with open(file, "w", newline="", encoding=encoding) as text:
        writer = csv.writer(text, delimiter=delimiter, lineterminator=ending, quoting=csv.QUOTE_ALL)
        writer.writerow(["Camera", "path", "note", "pid"])
        writer.writerows((camera, path, "x", pid) for path, camera, pid in rows)
    root = file.parent

    def name(text):
        whole = re.sub(r"^(-?\d+)\.0+$", r"\1", text)
        return "" if whole == "-1" else whole

    rows = [(str(root / path), name(camera), name(pid)) for path, camera, pid in rows]
    expected = sorted(rows)
    if len({path for path, _, _ in expected}) == len(rows):  # "./a" and "a" are one file
        assert [tuple(image) for image in read_camera_table(file, root)] == expected
    else:
        with pytest.raises(DataError, match="is listed twice"):
            read_camera_table(file, root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,camera\na.jpg,1\n", r"c\.csv:1: the columns are 'name, camera'; expected path, camera"),
        ("path\na.jpg\n", r"c\.csv:1: the columns are 'path'"),
        ("path,camera\n", "lists no image"),
        ("path,camera\n\na.jpg,1\nb.jpg\n", r"c\.csv:4: 1 fields, but the header has 2"),
        ("path,camera\n,1\n", r"c\.csv:2: the path is empty"),
        ("path,camera\na.jpg,1\na.jpg,2\n", r"c\.csv:3: a\.jpg is listed twice, first in line 2"),
        ('path,camera\n"a.jpg,1\n', r"c\.csv:2: "),
        (b"path,camera\n\xff.jpg,1\n", r"c\.csv:2: byte 0xff is not UTF-8"),
        (None, "cannot read"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, message):
    file = tmp_path / "c.csv"
    if text is not None:
        file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message):
        read_camera_table(file, tmp_path)


def test_a_csv_lists_the_training_part_and_paths_may_be_absolute(tmp_path):
    file = tmp_path / "c.csv"
    file.write_text("path,camid,pid\nb/1.jpg,10,\n/x/2.jpg,2,7\nb/3.jpg,-1,\n")
    contents = read_camera_folder(tmp_path / "root", camera="csv", csv=file)
    assert contents.split.train == (
        ImageRecord(f"{tmp_path}/root/b/1.jpg", -1, 1),
        ImageRecord(f"{tmp_path}/root/b/3.jpg", -1, -1),
        ImageRecord("/x/2.jpg", 1, 0),
    )
    assert contents.camera_names == ("2", "10")


# labelled images


def test_labelled_folders_are_query_and_gallery(tmp_path):
    make_files(tmp_path, "crops/hall/1.jpg", "q/0002_c1s1.jpg", "q/-1_c1s1.jpg")
    make_files(tmp_path, "g/0002_c2s1.jpg", "g/0000_c1s1.jpg", "g/0010_c1s1.jpg", "g/-1_c2s1.jpg")
    contents = read_camera_folder(
        tmp_path / "crops", query=tmp_path / "q", gallery=tmp_path / "g", label_pattern=MARKET
    )
    assert contents.camera_names == ("c1", "c2", "hall")
    assert below(tmp_path, contents.split.query) == [("q/0002_c1s1.jpg", 1, 0)]
    assert below(tmp_path, contents.split.gallery) == [
        ("g/0000_c1s1.jpg", 0, 0),
        ("g/0002_c2s1.jpg", 1, 1),
        ("g/0010_c1s1.jpg", 2, 0),
    ]
    assert contents.notes[:2] == tuple(
        f"{part}: 1 images without a known identity are left out" for part in ("query", "gallery")
    )


PRID = r"(?P<camera>cam_[ab])/\D*(?P<pid>\d+)"


@pytest.mark.parametrize("spelling", ["{0}/cam_{1}", "{0}/cam_{1}/", "{0}/x/../cam_{1}"])
def test_the_camera_may_be_the_name_of_the_folder_itself(tmp_path, spelling):
    make_files(
        tmp_path, "crops/hall/1.jpg", "cam_a/person_0001.png", "cam_a/person_0002.png", "cam_b/s/person_0002.png"
    )
    (tmp_path / "x").mkdir()
    query, gallery = (spelling.format(tmp_path, camera) for camera in "ab")
    contents = read_camera_folder(tmp_path / "crops", query=query, gallery=gallery, label_pattern=PRID)
    assert contents.camera_names == ("cam_a", "cam_b", "hall")
    assert [(record.pid, record.camid) for record in contents.split.query] == [(1, 0), (2, 0)]
    assert [(record.pid, record.camid) for record in contents.split.gallery] == [(2, 1)]


def test_what_the_path_below_the_folder_says_comes_first(tmp_path):
    make_files(tmp_path, "crops/hall/1.jpg", "cam_a/cam_b/1.png", "cam_a/2.png")
    contents = read_camera_folder(
        tmp_path / "crops", query=tmp_path / "cam_a", gallery=tmp_path / "cam_a", label_pattern=PRID
    )
    assert [(record.pid, record.camid) for record in contents.split.query] == [(2, 0), (1, 1)]


def test_labelled_images_whose_names_do_not_parse_name_the_key_that_decides(tmp_path):
    make_files(tmp_path, "crops/hall/1.jpg", "cam_a/1.png")
    with pytest.raises(DataError) as caught:
        read_camera_folder(tmp_path / "crops", query=tmp_path / "cam_a", gallery=tmp_path, label_pattern=MARKET)
    assert "'1.png'; data.camera_folder.label_pattern finds camera and identity" in str(caught.value)
    assert "or with 'cam_a/' before them; it is " in str(caught.value)
    for key in (".unmatched", ".pattern", "camera_folder.camera"):
        assert key not in str(caught.value)


def test_labelled_images_must_not_be_training_images(tmp_path):
    make_files(tmp_path, "hall/1.jpg", "q/0002_c1s1.jpg", "g/0002_c2s1.jpg")
    with pytest.raises(DataError, match=r"2 labelled images are training images as well, e\.g\. .*q/0002"):
        read_camera_folder(tmp_path, query=tmp_path / "q", gallery=tmp_path / "g", label_pattern=MARKET)


def test_labelled_images_without_any_identity_are_an_error(tmp_path):
    make_files(tmp_path, "crops/hall/1.jpg", "q/-1_c1s1.jpg")
    with pytest.raises(DataError, match=r"no image of .*q has a known identity"):
        read_camera_folder(tmp_path / "crops", query=tmp_path / "q", gallery=tmp_path / "q", label_pattern=MARKET)
