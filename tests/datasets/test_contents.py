import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppreid.base.records import ImageRecord
from ppreid.datasets import summary
from ppreid.datasets.summary import ENDS, contents_digest


@pytest.fixture
def records(tmp_path):
    """Six pictures of noise, small and large, in two folders."""
    found = []
    for number in range(6):
        path = tmp_path / "abc"[number % 2] / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (32 + 30 * number, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        found.append(ImageRecord(str(path), pid=number // 2, camid=number % 2))
    assert os.path.getsize(found[0].path) < ENDS and os.path.getsize(found[5].path) > 2 * ENDS
    return found


def replaced(records, row, **changes):
    return [record._replace(**changes) if row == number else record for number, record in enumerate(records)]


@pytest.mark.parametrize("num_workers", [0, 1, 7])
def test_the_same_files_have_the_same_digest_wherever_they_lie(records, tmp_path, num_workers):
    before = contents_digest(records)
    assert len(before) == 64
    (tmp_path / "a").rename(tmp_path / "moved")
    moved = [record._replace(path=record.path.replace("/a/", "/moved/")) for record in records]
    for record in moved:
        os.utime(record.path, (0, 0))
    assert contents_digest(moved, num_workers=num_workers) == before


@pytest.mark.parametrize("row", [0, 5])
def test_an_image_that_is_replaced_changes_it(records, row):
    before = contents_digest(records)
    content = Path(records[row].path).read_bytes()
    for other in (
        Path(records[3].path).read_bytes(),  # another picture under the same name
        bytes([content[0] ^ 1]) + content[1:],
        content[:-1] + bytes([content[-1] ^ 1]),
        content[:-1],
        content + b"\0",
        b"",
    ):
        with open(records[row].path, "wb") as file:
            file.write(other)
        assert contents_digest(records) != before
    with open(records[row].path, "wb") as file:
        file.write(content)
    assert contents_digest(records) == before


def test_an_image_that_is_gone_added_or_elsewhere_in_the_list_changes_it(records):
    before = contents_digest(records)
    changed = [records[:-1], [*records, records[0]], records[::-1], [], replaced(records, 2, camid=5)]
    changed.append(replaced(records, 2, path=records[2].path.replace("2.png", "20.png")))
    digests = [contents_digest(change) for change in changed]
    os.remove(records[4].path)
    digests.append(contents_digest(records))
    assert len({before, *digests}) == 2 + len(changed)


def test_identities_count_where_results_depend_on_them(records):
    other = replaced(records, 3, pid=99)
    assert contents_digest(other) == contents_digest(records)
    assert contents_digest(other, identities=True) != contents_digest(records, identities=True)


def test_small_files_are_covered_to_the_last_byte(records):
    path, before = records[0].path, contents_digest(records)
    content = Path(path).read_bytes()
    for place in range(0, len(content), 97):
        with open(path, "wb") as file:
            file.write(content[:place] + bytes([content[place] ^ 255]) + content[place + 1 :])
        assert contents_digest(records) != before


@pytest.mark.parametrize("size", [ENDS - 1, ENDS, ENDS + 1, 2 * ENDS - 1, 2 * ENDS, 2 * ENDS + 1, 10 * ENDS])
def test_both_ends_of_a_file_are_covered_whatever_its_size(tmp_path, size):
    path = tmp_path / "a.jpg"
    content = bytearray(np.random.default_rng(size).bytes(size))
    path.write_bytes(content)
    record = [ImageRecord(str(path), 1, 0)]
    before = contents_digest(record)
    for place in sorted({0, min(ENDS, size) - 1, max(0, size - ENDS), size - 1}):
        content[place] ^= 1
        path.write_bytes(content)
        assert contents_digest(record) != before
        content[place] ^= 1


def test_of_a_large_file_little_is_read(tmp_path):
    with open(tmp_path / "large.jpg", "wb") as file:
        file.truncate(10**12)  # a hole
    (tmp_path / "folder.jpg").mkdir()
    odd = ["large.jpg", "folder.jpg", "gone.jpg", "a\0b.jpg", "é人\udcff.jpg"]
    digest = contents_digest([ImageRecord(f"{tmp_path}/{name}", 1, 0) for name in odd])
    assert len(digest) == 64


def test_more_files_than_are_asked_for_at_a_time(records, monkeypatch):
    before = contents_digest(records)
    monkeypatch.setattr(summary, "_FILES_AT_A_TIME", 4)
    assert contents_digest(records) == before


def test_a_pipe_among_the_images_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    digest = contents_digest([ImageRecord(str(tmp_path / "a.jpg"), -1, 0)])
    (tmp_path / "a.jpg").unlink()
    assert digest == contents_digest([ImageRecord(str(tmp_path / "a.jpg"), -1, 0)]), "as a file that cannot be read"
