import os

import pytest

from ppreid.base.errors import ConfigError, DataError
from ppreid.base.records import DatasetContents, ImageRecord, ReIDSplit
from ppreid.config.load import load_config
from ppreid.datasets.camera_folder import read_camera_folder
from ppreid.datasets.mars import read_mars
from ppreid.datasets.tracks import with_tracks_of_names
from ppreid.disk.features import write_records
from ppreid.wiring import dataset

HEADER = "path,camera,track,frame,time,x,y,width,height,score"


def crops(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


def table(folder, *rows, header=HEADER, name="tracks.csv"):
    (folder / name).write_text("\n".join([header, *rows]) + "\n")
    return folder / name


def known(root, records):
    return {os.path.relpath(record.path, root): (record.camid, record.track, record.time) for record in records}


# tracks.csv


def test_the_tracks_of_all_cameras_are_numbered_together(tmp_path):
    crops(tmp_path, "cam10/track_000000/a.jpg", "cam2/track_000007/b.jpg", "cam2/track_000007/c.jpg", "cam2/d.jpg")
    crops(tmp_path, "cam2/track_000010/e.jpg")
    table(
        tmp_path,
        "cam2/track_000010/e.jpg,cam2,10,4,0,0,0,1,1,0.5",
        "cam10/track_000000/a.jpg,cam10,0,25,1.0,0,0,1,1,0.5",
        "cam2/track_000007/b.jpg,cam2,7,0,0.25,0,0,1,1,0.5",
        "cam2/track_000007/c.jpg,cam2,7,5,,0,0,1,1,0.5",
        "cam2/d.jpg,cam2,-1,5,3,0,0,1,1,0.5",
        "cam2/gone.jpg,cam2,7,6,4,0,0,1,1,0.5",
    )
    contents = read_camera_folder(tmp_path)
    assert known(tmp_path, contents.split.train) == {
        "cam10/track_000000/a.jpg": (1, 2, 1.0),
        "cam2/d.jpg": (0, -1, -1.0),
        "cam2/track_000007/b.jpg": (0, 0, 0.25),
        "cam2/track_000007/c.jpg": (0, 0, -1.0),
        "cam2/track_000010/e.jpg": (0, 1, 0.0),
    }
    assert contents.notes[-1] == "tracks: 3 with 4 images, 1 images in none"


def test_without_the_file_or_without_wanting_it_there_is_no_track(tmp_path):
    crops(tmp_path / "crops", "cam/a.jpg")
    unknown = {"cam/a.jpg": (0, -1, -1.0)}
    assert known(tmp_path / "crops", read_camera_folder(tmp_path / "crops").split.train) == unknown
    file = table(tmp_path, "cam/a.jpg,cam,3,0,2", header="path,camera,track,frame,time", name="other.csv")
    own = read_camera_folder(tmp_path / "crops", tracks=file).split.train
    assert known(tmp_path / "crops", own) == {"cam/a.jpg": (0, 0, 2.0)}
    file.rename(tmp_path / "crops" / "tracks.csv")
    none = read_camera_folder(tmp_path / "crops", tracks="none").split.train
    assert known(tmp_path / "crops", none) == unknown
    with pytest.raises(DataError, match=r"other\.csv"):
        read_camera_folder(tmp_path / "crops", tracks=file)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("cam/a.jpg,cam,x,0,0,0,0,1,1,1", "track is 'x'"),
        ("cam/a.jpg,cam,-2,0,0,0,0,1,1,1", "track is -2;"),
        ("cam/a.jpg,cam,1,0,soon,0,0,1,1,1", "time is 'soon'"),
        ("cam/a.jpg,cam,1,0,nan,0,0,1,1,1", "time is 'nan'"),
        ("cam/a.jpg,cam,1,0,-5,0,0,1,1,1", "time is '-5'"),
        (",cam,1,0,0,0,0,1,1,1", "the path is empty"),
        ("cam/a.jpg,cam,1,0,0", "5 cells, but 10 columns"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, row, said):
    crops(tmp_path, "cam/a.jpg")
    table(tmp_path, "cam/b.jpg,cam,1,0,0,0,0,1,1,1", row)
    with pytest.raises(DataError, match=rf"tracks\.csv:3: .*{said}"):
        read_camera_folder(tmp_path)


def test_an_image_is_listed_once_and_no_column_may_be_missing(tmp_path):
    crops(tmp_path, "cam/a.jpg")
    table(tmp_path, *["cam/a.jpg,cam,1,0,0,0,0,1,1,1"] * 2)
    with pytest.raises(DataError, match=r"tracks\.csv:3: cam/a\.jpg is listed twice"):
        read_camera_folder(tmp_path)
    table(tmp_path, "cam/a.jpg,cam", header="path,camera")
    with pytest.raises(DataError, match="no column 'track'"):
        read_camera_folder(tmp_path)


# names


def test_a_pattern_finds_tracks_of_each_camera_in_all_parts(tmp_path):
    parts = (
        (ImageRecord(f"{tmp_path}/c1/s1_000050.jpg", 1, 0), ImageRecord(f"{tmp_path}/c2/s1_000000.jpg", 1, 1)),
        (ImageRecord(f"{tmp_path}/c1/s1_000100.jpg", 1, 0),),
        (ImageRecord(f"{tmp_path}/c1/other.jpg", 1, 0), ImageRecord(f"{tmp_path}/c1/s2_000025.jpg", 2, 0)),
    )
    pattern = r"(?P<track>s\d+)_(?P<frame>\d+)"
    found = with_tracks_of_names(DatasetContents(ReIDSplit(*parts)), root=tmp_path, pattern=pattern, frame_rate=50)
    assert [[(record.track, record.time) for record in part] for part in found.split] == [
        [(0, 1.0), (1, 0.0)],
        [(0, 2.0)],
        [(-1, -1.0), (2, 0.5)],
    ]
    assert found.notes == ("tracks: 3 with 4 images, 1 images in none",)


def test_a_time_in_a_name_is_seconds_and_a_known_track_stays(tmp_path):
    records = (ImageRecord(f"{tmp_path}/a_7.5.jpg", -1, 0), ImageRecord(f"{tmp_path}/a_8.jpg", -1, 0, 4, 1.0))
    contents = DatasetContents(ReIDSplit(records, (), ()))
    found = with_tracks_of_names(contents, root=tmp_path, pattern=r"(?P<track>[a-z])_(?P<time>[\d.]+)\.jpg")
    assert [(record.track, record.time) for record in found.split.train] == [(5, 7.5), (4, 1.0)]


def test_a_pattern_that_finds_nothing_is_an_error(tmp_path):
    contents = DatasetContents(ReIDSplit((ImageRecord(f"{tmp_path}/s1/a.jpg", -1, 0),), (), ()))
    with pytest.raises(DataError, match=r"data\.track_pattern .* in no path, for example not in .*a\.jpg"):
        with_tracks_of_names(contents, root=tmp_path / "s1", pattern=r"(?P<track>s\d)")  # only below the root
    with pytest.raises(DataError, match=r"finds 'a' in .*neither a time nor a frame"):
        with_tracks_of_names(contents, root=tmp_path, pattern=r"(?P<track>s\d)/(?P<frame>.)")


def test_the_data_section_takes_a_pattern_with_a_group(tmp_path):
    crops(tmp_path / "demo" / "bounding_box_train", "0003_c4s3_000025_00.jpg", "0003_c4s3_000050_00.jpg")
    crops(tmp_path / "demo" / "query", "0001_c1s1_000001_00.jpg")
    crops(tmp_path / "demo" / "bounding_box_test", "0001_c2s1_000001_00.jpg")
    keys = ["data.name=demo", f"data.root={tmp_path}"]
    pattern = r"data.track_pattern=(?P<track>\d+_c\d+s\d+)_(?P<frame>\d+)"
    split = dataset(load_config("demo.yaml", [*keys, pattern]).data).split
    assert [(record.track, record.time) for record in split.train] == [(0, 1.0), (0, 2.0)]
    assert [record.track for record in split.query + split.gallery] == [1, 2]
    with pytest.raises(ConfigError, match=r"data\.track_pattern 's\(\\\\d\)' has no group \(\?P<track>"):
        load_config("demo.yaml", [*keys, r"data.track_pattern=s(\d)"])
    with pytest.raises(ConfigError, match=r"data\.camera_folder\.tracks is ''"):
        load_config("camera_folder.yaml", ["data.camera_folder.tracks="])


# MARS


def make_mars(folder):
    crops(folder / "bbox_train" / "0001", "0001C1T0001F001.jpg", "0001C1T0001F026.jpg", "0001C2T0001F001.jpg")
    crops(folder / "bbox_test" / "0002", "0002C1T0001F001.jpg", "0002C1T0002F001.jpg", "0002C3T0001F051.jpg")
    crops(folder / "bbox_test" / "0004", "0004C3T0001F001.jpg")
    crops(folder / "bbox_test" / "0000", "0000C3T0001F001.jpg")
    crops(folder / "bbox_test" / "00-1", "00-1C3T0001F001.jpg")
    return folder


def test_mars_has_tracks_and_one_query_for_each_camera_of_a_person(tmp_path):
    parts = [[record[1:] for record in part] for part in read_mars(make_mars(tmp_path / "MARS").parent)]
    assert parts == [
        [(1, 0, 1, 0.04), (1, 0, 1, 1.04), (1, 1, 2, 0.04)],
        [(2, 0, 3, 0.04), (2, 2, 5, 2.04)],
        [(0, 2, 0, 0.04), (2, 0, 4, 0.04), (4, 2, 6, 0.04)],
    ]


def test_a_name_that_is_not_of_mars_is_an_error_and_its_times_do_not_compare(tmp_path):
    make_mars(tmp_path)
    data = load_config("demo.yaml", ["data.name=mars_folder", f"data.root={tmp_path}"]).data
    assert dataset(data).split == read_mars(tmp_path) and not data.times_compare
    crops(tmp_path / "bbox_train", "0001C0T0001F001.jpg")
    with pytest.raises(DataError, match=r"1 entries .*bbox_train .*'0001C0T0001F001\.jpg'"):
        read_mars(tmp_path)


# beside features


def test_tracks_stand_beside_features_only_where_one_is_known(tmp_path):
    plain = (ImageRecord("a.jpg", 1, 0), ImageRecord("b.jpg", -1, 1))
    write_records(tmp_path / "f.csv", plain)
    assert (tmp_path / "f.csv").read_text() == "path,pid,camid\na.jpg,1,0\nb.jpg,-1,1\n"
    write_records(tmp_path / "f.csv", (plain[0], plain[1]._replace(track=3, time=1.5)))
    assert (tmp_path / "f.csv").read_text() == "path,pid,camid,track,time\na.jpg,1,0,-1,-1.0\nb.jpg,-1,1,3,1.5\n"
