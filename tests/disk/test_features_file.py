import io
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ppreid.base.errors import DataError
from ppreid.base.records import ImageRecord
from ppreid.disk.features import read_features, write_records
from ppreid.disk.text import MANY_ROWS, MAX_PATH, MAX_ROW

ROWS = np.arange(6, dtype=np.float32).reshape(3, 2)


def test_an_npy_file_is_memory_mapped_and_its_csv_read(tmp_path):
    np.save(tmp_path / "f.npy", ROWS)
    (tmp_path / "f.csv").write_text("path,pid,camid\na.jpg,4,0\nb.jpg,-1,1\nc.jpg,4,2\n")
    found = read_features(tmp_path / "f.npy")
    assert isinstance(found.features, np.memmap)
    np.testing.assert_array_equal(found.features, ROWS)
    assert found.names == ["a.jpg", "b.jpg", "c.jpg"]
    assert (found.pids.tolist(), found.camids.tolist()) == ([4, -1, 4], [0, 1, 2])


def test_without_a_csv_names_are_row_numbers_and_the_rest_is_unknown(tmp_path):
    np.save(tmp_path / "f.npy", ROWS)
    found = read_features(tmp_path / "f.npy")
    assert found.names == ["0", "1", "2"]
    assert (found.pids.tolist(), found.camids.tolist()) == ([-1] * 3, [-1] * 3)


def test_an_npz_file_may_hold_everything(tmp_path):
    np.savez(tmp_path / "f.npz", features=ROWS, paths=np.array(["a", "b", "c"]), pids=[1, 2, 3], camids=[0, 0, 1])
    found = read_features(tmp_path / "f.npz")
    assert (found.names, found.pids.tolist(), found.camids.tolist()) == (["a", "b", "c"], [1, 2, 3], [0, 0, 1])


def npy_claiming(shape, descr="<f4"):
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": descr, "fortran_order": False, "shape": shape})
    return content.getvalue() + b"\0" * 24


def test_files_that_claim_more_than_they_hold_are_refused(tmp_path):
    for number, shape in enumerate([(2**40, 2**20), (2**62, 2**62), (3, 2**33), (-1, 2)]):
        (tmp_path / f"{number}.npy").write_bytes(npy_claiming(shape))
        with zipfile.ZipFile(tmp_path / f"{number}.npz", "w") as archive:
            archive.writestr("features.npy", npy_claiming(shape))
            archive.writestr("../../outside.npy", npy_claiming((6,)))
        for suffix in (".npy", ".npz"):
            with pytest.raises(DataError, match=rf"{number}\{suffix} cannot be read|must hold an array"):
                read_features(tmp_path / f"{number}{suffix}")
    assert not (tmp_path.parent.parent / "outside.npy").exists()


def test_a_compression_bomb_is_refused_unread(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("features.npy", b"\0" * 200_000_000)
    with pytest.raises(DataError, match=r"bomb\.npz cannot be read as \.npz: it would take 200,000,000 bytes"):
        read_features(tmp_path / "bomb.npz")


@pytest.mark.parametrize(
    ("name", "array"),
    [("features", np.array([["a", "b"]])), ("features", np.ones((3, 2), int)), ("pids", np.array(["x", "y", "z"]))],
)
def test_other_types_are_refused(tmp_path, name, array):
    np.savez(tmp_path / "f.npz", **{"features": ROWS, name: array})
    with pytest.raises(DataError, match=f"holds {name} of type"):
        read_features(tmp_path / "f.npz")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,pid\na,1\nb\nc,3\n", r"f\.csv:3: 1 cells, but 2 columns"),
        ("path,pid\na,x\n", r"f\.csv:2: pid is 'x'; expected a whole number"),
        (f"path\n{'x' * 200_000}\n", r"f\.csv:2: the line has 200,000 letters"),
        ("pid\n1\n", r"f\.csv:1: there is no column 'path'; the columns are 'pid'"),
        ("path,pid\na,9999999999999999999999\n", r"f\.csv:2: pid is '9999999999999999999999'"),
        ("", r"f\.csv:1: there is no column 'path'"),
    ],
)
def test_a_damaged_csv_is_refused(tmp_path, text, message):
    np.save(tmp_path / "f.npy", ROWS)
    (tmp_path / "f.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_features(tmp_path / "f.npy")


def test_names_that_are_formulas_or_no_utf8_come_back_as_the_same_files(tmp_path):
    names = [
        "=cmd()|'/c calc'!A0.jpg",
        "-1.jpg",
        "+x.jpg",
        "@y.jpg",
        'a,"b"\nc.jpg',
        b"caf\xe9.jpg".decode("utf-8", "surrogateescape"),
    ]
    np.save(tmp_path / "f.npy", np.ones((6, 2), np.float32))
    write_records(tmp_path / "f.csv", [ImageRecord(name, -1, 0) for name in names])
    cells = [line.split(b",")[0].strip(b'"') for line in (tmp_path / "f.csv").read_bytes().splitlines()]
    assert not any(cell.startswith((b"=", b"+", b"-", b"@")) for cell in cells)
    found = read_features(tmp_path / "f.npy").names
    assert [os.path.normpath(name) for name in found] == names and found[4:] == names[4:]


def test_wrong_files_are_refused(tmp_path):
    with pytest.raises(DataError, match="does not exist"):
        read_features(tmp_path / "no.npy")
    (tmp_path / "text.npy").write_text("no array")
    with pytest.raises(DataError, match=r"text\.npy cannot be read"):
        read_features(tmp_path / "text.npy")
    (tmp_path / "notes.md").write_text("no array")
    with pytest.raises(DataError, match=r"features file .*notes\.md is '\.md'; .*choose one of: \.npy, \.npz"):
        read_features(tmp_path / "notes.md")
    np.savez(tmp_path / "cut.npz", features=ROWS)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "cut.npz").read_bytes()[:-30])
    with pytest.raises(DataError, match=r"cut\.npz cannot be read"):
        read_features(tmp_path / "cut.npz")
    np.savez(tmp_path / "other.npz", values=ROWS)
    with pytest.raises(DataError, match=r"named 'features'; found: values \(3, 2\)"):
        read_features(tmp_path / "other.npz")
    np.savez(tmp_path / "short.npz", features=ROWS, pids=[1, 2])
    with pytest.raises(DataError, match="3 features but 2 pids"):
        read_features(tmp_path / "short.npz")
    np.save(tmp_path / "objects.npy", np.array([{}, {}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match=r"objects\.npy cannot be read") as caught:
        read_features(tmp_path / "objects.npy")
    assert "allow_pickle" not in str(caught.value)


def npy(shape, kind="<f4", data=b""):
    header = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}".encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + data


HOSTILE = {
    "a billion rows of nothing": (".npy", npy((10**9, 0)), "there must be images and dimensions|cannot be read"),
    "no rows": (".npy", npy((0, 4)), "there must be images and dimensions|cannot be read"),
    "more rows than there are": (".npy", npy((10**9, 64)), "cannot be read"),
    "more than a number holds": (".npy", npy((2**62, 2**62)), "cannot be read"),
    "an archive": (".npy", b"PK\x05\x06" + b"\0" * 18, r"it is an archive; name it \.npz|cannot be read"),
    "a pickle": (".npy", b"\x80\x04N.", "it is no such file, or holds Python objects"),
    "objects": (".npy", npy((1, 1), "|O"), "Python objects"),
    "text": (".npz", [("features.npy", b"no array")], r"its member features\.npy is no array of numpy"),
    "another file": (
        ".npz",
        [("features.npy", npy((1, 1), data=b"\0" * 4)), ("a.txt", b"a")],
        r"its member a\.txt is no",
    ),
    "an escape sequence": (".npz", [("\x1b[2J", b"a")], r"its member \\x1b\[2J is no array"),
    "a claim": (
        ".npz",
        [("features.npy", npy((10**12, 64)))],
        r"claims the shape \(1000000000000, 64\), and is smaller",
    ),
    "a claim of nothing": (".npz", [("features.npy", npy((10**9, 0)))], "there must be images and dimensions"),
    "another claim of nothing": (
        ".npz",
        [("features.npy", npy((1, 1), data=b"\0" * 4)), ("paths.npy", npy((10**12,), "<U0"))],
        "and is smaller",
    ),
}


@pytest.mark.parametrize(("suffix", "content", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_files_are_refused_before_memory_is_taken(tmp_path, suffix, content, message):
    path = tmp_path / f"f{suffix}"
    if suffix == ".npz":
        with zipfile.ZipFile(path, "w") as archive:
            for name, member in content:
                archive.writestr(name, member)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        read_features(path)
    assert str(path) in str(caught.value)


def test_what_cannot_be_read_is_said_with_the_path(tmp_path):
    for name in (tmp_path, tmp_path / ("x" * 300 + ".npy"), tmp_path / "a\0.npy"):
        with pytest.raises(DataError, match=r"^cannot read "):
            read_features(Path(name))


def test_tracks_and_times_are_read_where_the_file_has_them(tmp_path):
    np.save(tmp_path / "f.npy", ROWS)
    assert read_features(tmp_path / "f.npy").tracks is None
    (tmp_path / "f.csv").write_text("path,track,time\na.jpg,4,0.5\nb.jpg,,\nc.jpg,-1,-1.0\n")
    found = read_features(tmp_path / "f.npy")
    assert (found.tracks.tolist(), found.times.tolist()) == ([4, -1, -1], [0.5, -1.0, -1.0])
    (tmp_path / "f.csv").write_text("path,track,time\na.jpg,4,0.5\nb.jpg,4,noon\nc.jpg,4,1\n")
    with pytest.raises(DataError, match=r"f\.csv:3: time is 'noon'; expected seconds"):
        read_features(tmp_path / "f.npy")


def test_a_csv_is_read_only_as_far_as_so_many_rows_can_reach(tmp_path):
    np.save(tmp_path / "f.npy", np.eye(2, dtype=np.float32))
    longest = '"' * (MAX_PATH // 2)  # each of which stands twice in the file
    write_records(tmp_path / "f.csv", [ImageRecord(longest, 1, 0), ImageRecord("b.jpg", 2, 1)])
    assert read_features(tmp_path / "f.npy").names == [longest, "b.jpg"]
    most = MANY_ROWS + 2 * MAX_ROW
    with open(tmp_path / "f.csv", "a") as file:
        file.writelines("c.jpg,3,1\n" for _ in range(most // 10))
    with pytest.raises(DataError, match=rf"f\.csv has more than {most:,} bytes"):
        read_features(tmp_path / "f.npy")
