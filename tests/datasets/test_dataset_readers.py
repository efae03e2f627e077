import numpy as np
import pytest

from ppreid.base.errors import DataError
from ppreid.base.records import ImageRecord, ReIDSplit
from ppreid.datasets import market1501, msmt17
from ppreid.datasets import market1501 as dukemtmc
from ppreid.datasets import market1501 as veri776
from ppreid.datasets.folder_layout import describe_entries, read_image_folder
from ppreid.datasets.market1501 import MARKET1501_COUNTS, read_demo, read_market1501
from ppreid.datasets.msmt17 import read_msmt17
from ppreid.datasets.summary import PartCounts, PublishedCounts, count_part, summarise_split


def make_files(folder, names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()


def make_market(folder):
    make_files(folder / "bounding_box_train", ["0007_c3s1_000001_00.jpg", "0002_c1s1_000451_03.jpg", "Thumbs.db"])
    make_files(folder / "query", ["0001_c6s1_001051_00.jpg", "._0001_c6s1_001051_00.jpg"])
    make_files(
        folder / "bounding_box_test",
        ["0001_c2s1_000301_00.JPG", "0000_c1s1_000151_01.jpg", "-1_c5s1_000401_03.jpg", "readme.txt"],
    )
    return folder


def without_folder(records):
    return [(record.path.rsplit("/", 1)[1], record.pid, record.camid) for record in records]


@pytest.mark.parametrize("name", [".", *market1501.FOLDER_NAMES])
def test_market1501_is_found_in_the_root_and_in_its_usual_subfolders(tmp_path, name):
    make_market(tmp_path / name)
    split = read_market1501(tmp_path)
    assert without_folder(split.train) == [("0002_c1s1_000451_03.jpg", 2, 0), ("0007_c3s1_000001_00.jpg", 7, 2)]
    assert without_folder(split.query) == [("0001_c6s1_001051_00.jpg", 1, 5)]
    assert without_folder(split.gallery) == [("0000_c1s1_000151_01.jpg", 0, 0), ("0001_c2s1_000301_00.JPG", 1, 1)]


def test_records_are_sorted_by_path_and_name_existing_files(tmp_path):
    make_market(tmp_path)
    for part in read_market1501(tmp_path):
        assert list(part) == sorted(part)
        assert all((tmp_path / record.path).is_file() for record in part)


def test_only_the_file_name_is_parsed(tmp_path):
    split = read_market1501(make_market(tmp_path / "0099_c4" / "7_c2").parent / "7_c2")
    assert split.train[0].pid == 2 and split.train[0].camid == 0


def test_the_demo_set_has_its_own_folder_name(tmp_path):
    make_market(tmp_path / "demo")
    assert read_demo(tmp_path) == read_demo(tmp_path / "demo")
    with pytest.raises(DataError, match="no Market-1501 data set"):
        read_market1501(tmp_path)


def test_a_missing_data_set_shows_the_expected_tree_and_what_is_there(tmp_path):
    make_files(tmp_path, [f"file{i:02d}.zip" for i in range(14)])
    (tmp_path / "market1501" / "query").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        read_market1501(tmp_path)
    message = str(caught.value)
    assert f"data.root = {tmp_path}" in message
    assert "Market-1501-v15.09.15/:\n    bounding_box_train/\n    query/\n    bounding_box_test/" in message
    assert "file00.zip" in message and "file12.zip" not in message and "(3 more)" in message
    assert f"found in {tmp_path / 'market1501'}: query/" in message


def test_a_root_that_does_not_exist_or_is_a_file_is_named(tmp_path):
    with pytest.raises(DataError, match="nowhere does not exist"):
        read_market1501(tmp_path / "nowhere")
    make_files(tmp_path, ["market.zip"])
    with pytest.raises(DataError, match=r"cannot read .*market\.zip: it is no folder; give one"):
        read_market1501(tmp_path / "market.zip")
    assert describe_entries(tmp_path) == f"found in {tmp_path}: market.zip"


def test_an_empty_part_is_an_error(tmp_path):
    make_market(tmp_path)
    (tmp_path / "query" / "0001_c6s1_001051_00.jpg").unlink()
    with pytest.raises(DataError, match=r"no image to use in .*query; found in .*query: \._0001"):
        read_market1501(tmp_path)


def test_names_that_do_not_parse_are_counted_and_shown(tmp_path):
    make_files(tmp_path, ["0001_c1_0.jpg", *(f"photo{i}.jpg" for i in range(7)), "0001_c0_0.jpg", "x0001_c1.png"])
    with pytest.raises(DataError) as caught:
        read_image_folder(tmp_path)
    assert "9 entries" in str(caught.value) and "'0001_c0_0.jpg', 'photo0.jpg'" in str(caught.value)
    assert "photo4" not in str(caught.value)


def test_two_copies_must_be_told_apart_but_a_link_is_no_copy(tmp_path):
    make_market(tmp_path / "Market-1501-v15.09.15")
    (tmp_path / "market1501").symlink_to(tmp_path / "Market-1501-v15.09.15")
    assert len(read_market1501(tmp_path).train) == 2
    make_market(tmp_path / "Market1501")
    with pytest.raises(DataError, match="2 folders look like Market-1501"):
        read_market1501(tmp_path)


def test_dukemtmc_and_veri776_names(tmp_path):
    for part in ("bounding_box_train", "query", "bounding_box_test"):
        make_files(tmp_path / "DukeMTMC-reID" / part, ["0005_c8_f0046182.jpg"])
    for part in ("image_train", "image_query", "image_test"):
        make_files(tmp_path / "VeRi" / part, ["0776_c020_00016450_0.jpg"])
    duke, veri = dukemtmc.read_dukemtmc(tmp_path), veri776.read_veri776(tmp_path)
    assert without_folder(duke.query) == [("0005_c8_f0046182.jpg", 5, 7)]
    assert without_folder(veri.gallery) == [("0776_c020_00016450_0.jpg", 776, 19)]


def make_msmt_lists(folder, train_folder="train", test_folder="test", ending=""):
    lists = {
        "list_train.txt": (
            train_folder,
            [("0001", "0001_002_15_0303noon_0001_0", 1), ("0000", "0000_000_01_0303morning_0015_0", 0)],
        ),
        "list_val.txt": (train_folder, [("0000", "0000_001_07_0303afternoon_0002_1", 0)]),
        "list_query.txt": (test_folder, [("0000", "0000_000_02_0303morning_0003_0", 0)]),
        "list_gallery.txt": (test_folder, [("0000", "0000_001_14_0303morning_0004_0", 0)]),
    }
    for list_name, (image_folder, rows) in lists.items():
        make_files(folder / image_folder, [f"{person}/{name}{ending}.jpg" for person, name, _ in rows])
        text = "".join(f"{person}/{name}{ending}.jpg {pid}\n" for person, name, pid in rows)
        (folder / list_name).write_text(text + "\n")


@pytest.mark.parametrize(
    ("name", "folders", "ending"),
    [("MSMT17_V1", ("train", "test"), ""), ("msmt17/MSMT17_V2", ("mask_train_v2", "mask_test_v2"), "_ex")],
)
def test_msmt17_as_released(tmp_path, name, folders, ending):
    make_msmt_lists(tmp_path / name, *folders, ending)
    split = read_msmt17(tmp_path)
    assert [(record.pid, record.camid) for record in split.train] == [(1, 0), (1, 6), (2, 14)]  # train and val, sorted
    assert [(record.pid, record.camid) for record in split.query + split.gallery] == [(1, 1), (1, 13)]
    assert all((tmp_path / record.path).is_file() for part in split for record in part)


def test_msmt17_converted_has_the_same_identities(tmp_path):
    make_files(tmp_path / "bounding_box_train", ["0000_c1_0000.jpg", "0001_c15_0001.jpg"])
    make_files(tmp_path / "query", ["0000_c2_0000.jpg"])
    make_files(tmp_path / "bounding_box_test", ["0000_c14_0000.jpg"])
    split = read_msmt17(tmp_path)
    assert [(record.pid, record.camid) for record in split.train] == [(1, 0), (2, 14)]
    assert [(record.pid, record.camid) for record in split.query + split.gallery] == [(1, 1), (1, 13)]


def test_msmt17_lists_that_do_not_parse(tmp_path):
    make_msmt_lists(tmp_path)
    (tmp_path / "list_query.txt").write_text("0000/0000_000_02_x.jpg 0\n0000/picture.jpg 0\n0000/0000_000_02_x.jpg\n")
    with pytest.raises(DataError, match=r"2 entries of .*list_query.txt .*'0000/picture.jpg 0'"):
        read_msmt17(tmp_path)
    (tmp_path / "list_query.txt").write_text("\n")
    with pytest.raises(DataError, match="lists no image"):
        read_msmt17(tmp_path)


def test_a_missing_msmt17_shows_all_three_layouts(tmp_path):
    with pytest.raises(DataError) as caught:
        msmt17.read_msmt17(tmp_path)
    for entry in ("bounding_box_train/", "    train/", "mask_test_v2/", "    list_val.txt\n"):
        assert entry in str(caught.value)


def records_of(pids, camids):
    return tuple(ImageRecord("", pid, camid) for pid, camid in zip(pids, camids, strict=True))


def test_counts_leave_distractors_and_unknowns_out():
    records = records_of([0, 0, 3, 3, 5, -1], [0, 1, 1, -1, 4, 4])
    assert count_part(records) == PartCounts(3, 6, 3)
    assert count_part(records, zero_is_distractor=True) == PartCounts(2, 6, 3)


def test_the_summary_shows_found_beside_published_and_warns_per_part():
    split = ReIDSplit(
        train=records_of([1, 1, 2], [0, 1, 1]), query=records_of([3], [0]), gallery=records_of([0, 3], [1, 1])
    )
    exact = PublishedCounts(PartCounts(2, 3, 2), PartCounts(1, 1, 1), PartCounts(1, 2, 1))
    summary = summarise_split(split, exact)
    assert summary.warnings == ()
    assert "2 (of 2)" in summary.table and "1 distractors" in summary.table
    other = summarise_split(split, exact._replace(query=PartCounts(1, 3_368, 6)))
    (warning,) = other.warnings
    assert "the query part has 1 identities, 1 images" in warning and "3,368 images and 6 cameras" in warning
    assert "1 (of 3,368)" in other.table
    assert summarise_split(split).warnings == () and "(of" not in summarise_split(split).table


def test_published_counts_add_up_to_the_data_sets():
    # 32,668 boxes of 1,501 persons, of which 13,115 are gallery images, and 2,798 distractors; 1,404 persons; 4,101
    # persons in 126,441 boxes; 776 vehicles
    train, query, gallery = MARKET1501_COUNTS
    assert train.images + query.images + gallery.images == 12_936 + 3_368 + 13_115 + 2_798
    assert train.identities + query.identities == 1_501
    assert sum(part.images for part in msmt17.MSMT17_COUNTS) == 126_441
    assert msmt17.MSMT17_COUNTS.train.identities + msmt17.MSMT17_COUNTS.query.identities == 4_101
    assert sum(part.images for part in dukemtmc.DUKEMTMC_COUNTS) == 36_411
    assert veri776.VERI776_COUNTS.train.identities + veri776.VERI776_COUNTS.gallery.identities == 776
    assert np.ptp([part.cameras for part in MARKET1501_COUNTS]) == 0
