"""Every reader of text takes what Windows' editors and spreadsheets make of a file, and refuses the rest with its line.

A new reader gets a row in READERS, or in ALONE with the reason why nobody but ppreid writes its file.
"""

import ast
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest

import ppreid
from ppreid.base.errors import DataError, PpreidError
from ppreid.config.load import load_config
from ppreid.datasets.camera_folder import read_camera_folder
from ppreid.datasets.camera_table import read_camera_table
from ppreid.datasets.msmt17 import read_list
from ppreid.disk.features import read_features
from ppreid.disk.text import MAX_DIGITS, listed_path, read_csv, read_text, read_text_lines, whole_number
from ppreid.export.fiftyone import _read_clusters
from ppreid.report.run_files import _labels, _mapping, camera_names
from ppreid.run.metrics import read_metrics
from ppreid.search.files import Manifest, file_names, write_manifest
from ppreid.search.files import read_manifest as read_index

PACKAGE = Path(ppreid.__file__).parent


def features(path):
    np.save(path.with_suffix(".npy"), np.eye(2, dtype=np.float32))
    found = read_features(path.with_suffix(".npy"))
    return found.names, found.pids.tolist(), found.camids.tolist()


def labels(path):
    found = _labels(path)
    return found.names, found.labels.tolist()


def labelled(path):
    return read_camera_folder(path.parent, camera="csv", csv=path).split


def index_json():
    """An honest index.json; every other file of the index is the single letter x."""
    with TemporaryDirectory() as folder:
        for name in INDEX_FILES:
            (Path(folder) / name).write_bytes(b"x")
        write_manifest(Path(folder), Manifest([1], 2, "exact", ["hall"], {}, {}))
        return (Path(folder) / "index.json").read_text()


INDEX_FILES = file_names(1, "exact")
LIST = "0000/0000_000_01_a.jpg 0\n0001/0001_000_02_b.jpg 1\n"
CAMERAS = "path,camera,pid\na/1.jpg,1,7\nb/2.jpg,c2,8\n"
RECORDS = "path,pid,camid\na/1.jpg,1,7\nb/2.jpg,-1,8\n"
LABELS = "path,cluster\na/1.jpg,0\nb/2.jpg,-1\n"
# name of the file, honest content, and what reads it
READERS = {
    "list of MSMT17": ("list_train.txt", LIST, lambda path: read_list(path, path.parent)),
    "table of cameras": ("cameras.csv", CAMERAS, lambda path: read_camera_table(path, path.parent)),
    "table as data set": ("cameras.csv", CAMERAS, labelled),
    "records of features": ("features.csv", RECORDS, features),
    "labels of a run": ("labels.csv", LABELS, labels),
    "labels for FiftyOne": ("labels.csv", LABELS, lambda path: _read_clusters(path, ["a/1.jpg", "b/2.jpg"])),
    "cameras of a run": ("cameras.csv", "camid,name\n0,hall\n1,door\n", camera_names),
    "environment of a run": ("environment.json", '{"numpy": "2.0",\n "os": "x"}\n', _mapping),
    "configuration of a run": ("config.yaml", "a: 1\nb:\n  c: d\n", _mapping),
    "configuration": ("c.yaml", "task: train\nseed: 3\ndata:\n  root: x\n", load_config),
    "metrics": ("metrics.jsonl", '{"event": "epoch", "epoch": 1}\n{"event": "summary"}\n', read_metrics),
    "index of a search": ("index.json", index_json(), lambda path: read_index(path.parent)),
}
SPREADSHEETS = ("list of MSMT17", "table of cameras", "table as data set", "records of features", "labels of a run")
SPREADSHEETS += ("labels for FiftyOne", "cameras of a run")
# Readers of text whose files only ppreid or the kernel writes, by module, and who else checks them.
ALONE = {
    "text": "the reader itself",
    "files": "a checksum: anything else in it means damage",
    "feature_notes": "progress of an extraction",
    "generated": "description of generated data, compared as a whole",
    "chinese": "a table of the package",
    "page": "templates of the package",
    "fiftyone": "a program of the package",
    "load_into_fiftyone": "runs without ppreid; reads what it was written with",
    "lock": "the lock, and the kernel's own files",
    "device": "the kernel's files",
    "monitor": "the kernel's files",
    "machine": "the kernel's files",
    "inference": "the kernel's files",
    "load": "configurations, see READERS",
    "ablation": "a table that was written a moment ago",
    "ablate": "a table that was written a moment ago",
    "tracklets": "a table that was written a moment ago",
}


def written(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    return path


def read_as(tmp_path, reader, content):
    """What a reader makes of a content; its files that are needed beside are there."""
    name, _, read = READERS[reader]
    return read(written(tmp_path, name, content))


@pytest.fixture(params=READERS)
def reader(request, tmp_path):
    """Name of a reader; and its index has the files that it must have."""
    if request.param == "index of a search":
        for name in INDEX_FILES:
            (tmp_path / name).write_bytes(b"x")
    return request.param


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "marked"])
def test_marks_and_line_ends_of_windows_change_nothing(reader, tmp_path, mark, ending):
    content = READERS[reader][1]
    expected = read_as(tmp_path, reader, content.encode())
    assert read_as(tmp_path, reader, (mark + content.replace("\n", ending)).encode()) == expected
    assert expected


def test_a_file_in_utf16_is_refused(reader, tmp_path):
    with pytest.raises(PpreidError):
        read_as(tmp_path, reader, READERS[reader][1].encode("utf-16"))


def test_nul_bytes_are_refused(reader, tmp_path):
    content = READERS[reader][1].encode()
    with pytest.raises(PpreidError, match=READERS[reader][0].partition(".")[0]):
        read_as(tmp_path, reader, content[:-4] + b"\0" + content[-4:])


@pytest.mark.parametrize("reader", SPREADSHEETS)
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda text: text.encode("utf-16"), " is in UTF-16; save it as UTF-8"),
        (lambda text: text.encode()[:-3] + b"\0" + text.encode()[-3:], r":{last}: there is a NUL byte"),
        (lambda text: (text[:-1] + "x" * 100_000).encode(), r":{last}: the line has 100,0\d\d letters"),
    ],
)
def test_what_no_editor_can_mean_is_refused_with_file_and_line(reader, tmp_path, damage, message):
    name, content, _ = READERS[reader]
    with pytest.raises(DataError, match=str(tmp_path / name) + message.format(last=content.count("\n"))):
        read_as(tmp_path, reader, damage(content))


@pytest.mark.parametrize("reader", SPREADSHEETS)
def test_blank_lines_and_blanks_at_the_ends_change_nothing(reader, tmp_path):
    content = READERS[reader][1]
    expected = read_as(tmp_path, reader, content.encode())
    assert read_as(tmp_path, reader, content.replace("\n", "  \n\n", 2).encode()) == expected


@pytest.mark.parametrize("reader", ["list of MSMT17", "table of cameras", "table as data set"])
def test_backslashes_between_folders_are_those_of_windows(reader, tmp_path):
    content = READERS[reader][1]
    expected = read_as(tmp_path, reader, content.encode())
    windows = content.replace("/", "\\")
    assert read_as(tmp_path, reader, windows.encode()) == expected


@pytest.mark.parametrize("encoding", ["cp1252", "gb18030", "shift_jis"])
def test_another_encoding_is_named_with_the_line(tmp_path, encoding):
    letters = {"cp1252": "é", "gb18030": "人门", "shift_jis": "人駅"}[encoding]
    name = {"cp1252": "Windows-1252", "gb18030": "GB18030", "shift_jis": "Shift-JIS"}[encoding]
    path = written(tmp_path, "c.csv", f"path,camera\na.jpg,1\n{letters}.jpg,1\n".encode(encoding))
    with pytest.raises(DataError, match=rf"c\.csv:3: byte 0x.. is not UTF-8; perhaps it is in .*{name}") as e:
        read_camera_table(path, tmp_path)
    assert str(e.value).endswith("save it as UTF-8")


@pytest.mark.parametrize("names", ["x" * 300 + ".jpg", "/".join(["folder"] * 800) + "/a.jpg", "人" * 90 + ".jpg"])
def test_a_path_that_no_system_can_have_is_refused_with_its_line(tmp_path, names):
    table = written(tmp_path, "c.csv", f"path,camera\na.jpg,1\n{names},1\n".encode())
    with pytest.raises(DataError, match=r"c\.csv:3: the path .* letters; no file can be called that"):
        read_camera_table(table, tmp_path)
    listed = written(tmp_path, "list.txt", f"{names} 1\n".encode())
    with pytest.raises(DataError, match=r"list\.txt:1: the path"):
        read_list(listed, tmp_path)


@pytest.mark.parametrize(("text", "plain"), [(" a.jpg ", "a.jpg"), ("b\\c.jpg", "b/c.jpg"), ("c.jpg", "c.jpg")])
def test_blanks_and_backslashes_belong_to_a_name_only_if_there_is_such_a_file(tmp_path, text, plain):
    assert listed_path(text, tmp_path, "c.csv:2") == str(tmp_path / plain)
    (tmp_path / text).touch()
    assert listed_path(text, tmp_path, "c.csv:2") == str(tmp_path / text)


def test_a_camera_that_a_spreadsheet_made_a_fraction_is_the_same_camera(tmp_path):
    table = written(tmp_path, "c.csv", b"path,camera,pid\na.jpg,1.0,3\nb.jpg,1,3.00\nc.jpg,-1.0,\nd.jpg,1.05,\n")
    contents = read_camera_folder(tmp_path, camera="csv", csv=table)
    assert contents.camera_names == ("1", "1.05")
    assert [(record.camid, record.pid) for record in contents.split.train] == [(0, 1), (0, 1), (-1, -1), (1, -1)]
    records = b"path,pid,camid\na,1.0,2\nb,,2.0\n"
    assert features(written(tmp_path, "f.csv", records)) == (["a", "b"], [1, -1], [2, 2])


@pytest.mark.parametrize(
    ("text", "number"),
    [("7", 7), (" -1 ", -1), ("007", 7), ("3.", 3), ("3.0", 3), ("9" * 18, 10**18 - 1), ("0" * 30 + "1", 1)]
    + [(text, None) for text in ("", "x", "1.5", "1e3", "9" * 19, "--1", "1,0", "nan")],
)
def test_a_whole_number_is_one_however_it_is_written(text, number):
    assert whole_number(text) == number


def test_the_lines_of_a_list_keep_their_numbers(tmp_path):
    assert read_text_lines(written(tmp_path, "l.txt", b"\xef\xbb\xbf a \r\n\r\n  b\n")) == [(1, "a"), (3, "b")]


def test_names_that_are_no_utf8_are_kept_where_they_may_stand(tmp_path):
    path = written(tmp_path, "l.csv", b'path,cluster\n"\xff\n.jpg",1\n')
    row = read_csv(path, ["path"])[0]
    assert (row.line, row.cells["path"].encode("utf-8", "surrogateescape")) == (3, b"\xff\n.jpg")


def test_a_file_that_is_not_there_or_a_folder_is_a_data_error(tmp_path):
    for path in (tmp_path / "gone.txt", tmp_path):
        with pytest.raises(DataError, match=f"cannot read {path}: "):
            read_text(path)


# Numbers in names


LONG = "9" * (MAX_DIGITS + 1)


def test_numbers_of_many_digits_are_refused_with_the_name_wherever_they_stand(tmp_path):
    from ppreid.datasets.folder_layout import read_image_folder

    for name in (f"{LONG}_c1s1.jpg", f"0001_c{LONG}s1.jpg", f"{'1' * 5000}_c1"[:200] + ".jpg"):
        folder = tmp_path / name[:9]
        folder.mkdir(exist_ok=True)
        for old in folder.iterdir():
            old.unlink()
        (folder / name).touch()
        with pytest.raises(DataError, match=rf"{name}.*numbers have at most 18 digits"):
            read_image_folder(folder)
    for line in (f"0/0000_000_01_a.jpg {LONG}", f"0/0000_000_{LONG}_a.jpg 1"):
        with pytest.raises(DataError, match=r"list\.txt .*numbers have at most 18 digits"):
            read_list(written(tmp_path, "list.txt", line.encode()), tmp_path)
    with pytest.raises(DataError, match=r"f\.csv:2: camid is"):
        features(written(tmp_path, "f.csv", f"path,camid\na,{LONG}\n".encode()))


def test_the_longest_numbers_that_are_taken_fit(tmp_path):
    from ppreid.base.records import ids
    from ppreid.datasets.folder_layout import read_image_folder

    longest = "9" * MAX_DIGITS
    (tmp_path / f"{longest}_c{longest}s1.jpg").touch()
    pids, camids = ids(read_image_folder(tmp_path))
    assert (pids.tolist(), camids.tolist()) == ([int(longest)], [int(longest) - 1])


def test_numbers_of_own_cameras_are_names_of_any_length(tmp_path):
    for name in (f"{LONG}_c{LONG}.jpg", "0001_c2.jpg"):
        (tmp_path / name).touch()
    pattern = r"(?P<pid>\d+)_(?P<camera>c\d+)"
    contents = read_camera_folder(tmp_path, camera="regex", pattern=pattern)
    assert contents.camera_names == ("c2", f"c{LONG}")
    assert [record.pid for record in contents.split.train] == [1, 2]
    table = written(tmp_path, "c.csv", f"path,camera,pid\na,{LONG},{LONG}\nb,2,3\n".encode())
    assert read_camera_folder(tmp_path, camera="csv", csv=table).camera_names == ("2", LONG)


def test_numbers_that_wrap_in_a_file_of_features_are_refused(tmp_path):
    arrays = {"features": np.eye(2, dtype=np.float32), "pids": np.array([1, 2**63 + 5], np.uint64)}
    np.savez(tmp_path / "f.npz", **arrays)
    with pytest.raises(DataError, match=r"f\.npz holds pids .*18 digits"):
        read_features(tmp_path / "f.npz")


# The inventory


def reads_text(call):
    """Whether a call opens a file as text."""
    owner, _, name = ast.unparse(call.func).rpartition(".")
    texts = [node.value for argument in call.args[1 - bool(owner) :] for node in ast.walk(argument)
             if isinstance(node, ast.Constant) and isinstance(node.value, str)]  # fmt: skip
    return (name == "read_text" and bool(owner)) or (name == "open" and owner in ("", "path", "file") and not texts)


def test_every_reader_of_text_is_known():
    found = set()
    for file in PACKAGE.rglob("*.py"):
        calls = [node for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
        found |= {file.stem for call in calls if reads_text(call)}
    assert found <= set(ALONE), "read it with ppreid.disk.text and add it to READERS, or say why not"
