"""Files that cannot be read: a sentence with the path and the reason, and the exit code of what they are."""

import json
import os
import struct

import numpy as np
import pytest

from ppreid.base.errors import DataError, WeightsError
from ppreid.base.reading import is_there, reading
from ppreid.disk.tensor_file import MAX_HEADER, MAX_TENSORS, load_tensors, read_header, save_tensors


@pytest.mark.parametrize("kind", [DataError, WeightsError])
def test_what_the_system_says_gets_the_path(tmp_path, kind):
    with pytest.raises(kind, match=rf"cannot read {tmp_path}: Is a directory"), reading(tmp_path, kind):
        tmp_path.read_bytes()
    with pytest.raises(WeightsError, match=r"^as it was$"), reading(tmp_path, kind):
        raise WeightsError("as it was")


def test_a_file_is_there_or_not(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("file")
    (tmp_path / "dangling").symlink_to("nothing")
    assert is_there(tmp_path / "file", DataError) and is_there(tmp_path / "link", DataError)
    for name in ("nothing", "nothing/below", "file/below", "dangling"):
        assert not is_there(tmp_path / name, DataError), name


def test_what_is_no_file_is_said(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "circle").symlink_to("circle")
    for name, reason in {
        ".": "it is a folder",
        "pipe": "it is a pipe, socket or device",
        "circle": "Too many levels of symbolic links",
        "x" * 300: "File name too long",
        "a\0b": "no file has a NUL byte in its name",
    }.items():
        with pytest.raises(DataError, match=f"cannot read .*: {reason}"):
            is_there(tmp_path / name, DataError)


def write(path, header, data=b"\0" * 16):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def entry(kind="F32", shape=(4,), start=0, end=16):
    return {"dtype": kind, "shape": list(shape), "data_offsets": [start, end]}


@pytest.mark.parametrize("kind", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "F6_E2M3", "C64", "I4", "\x1b[2J"])
def test_numbers_of_a_type_that_is_not_read(tmp_path, kind):
    path = write(tmp_path / "w.safetensors", {"good": entry(), "a\x1b": entry(kind), "b": entry(kind)})
    with pytest.raises(WeightsError, match="2 tensors of a type that is not read") as caught:
        load_tensors(path)
    assert str(path) in str(caught.value)
    assert "float16, bfloat16, float32 or float64" in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_bfloat16_is_read_exactly(tmp_path):
    numbers = np.array([[1.0, -3.140625], [2.0**100, 0.0]], np.float32)
    stored = (numbers.view(np.uint32) >> 16).astype("<u2").tobytes()
    header = {"a": entry(shape=[2]), "half": entry("BF16", (2, 2), 8, 16)}
    header["a"]["data_offsets"] = [0, 8]
    found = load_tensors(write(tmp_path / "w.safetensors", header, b"\0" * 8 + stored)).tensors
    np.testing.assert_array_equal(found["half"], numbers)
    assert found["half"].dtype == np.float32


DEEP = b"[" * 100_000
HEADERS = {
    "nothing": (b"{", "claims 1 bytes"),
    "no JSON": (b"{]", "safetensors"),
    "a list": (b"[]", "no JSON object"),
    "deep": (b'{"a": ' + DEEP, "nested too deeply"),
    "a name twice": (b'{"a": {}, "a": {}}', "a name twice"),
    "a key twice": (b'{"a": {"dtype": "F32", "dtype": "F16"}}', "a name twice"),
    "text for a tensor": (b'{"a": "b"}', "describes tensor 'a'"),
    "size below zero": (json.dumps({"a": entry(shape=[-1])}).encode(), "describes tensor 'a'"),
    "size of text": (json.dumps({"a": entry(shape=["4"])}).encode(), "describes tensor 'a'"),
    "one offset": (b'{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0]}}', "describes tensor 'a'"),
    "many digits": (b'{"a": ' + b"9" * 10_000 + b"}", "safetensors"),
    "many names": (json.dumps({str(i): {} for i in range(MAX_TENSORS + 1)}).encode(), "lists 100,001 tensors"),
    "long": (b"{" + b" " * MAX_HEADER + b"}", "claims 32,000,002 bytes"),
}


@pytest.mark.parametrize(("header", "message"), HEADERS.values(), ids=HEADERS)
def test_hostile_headers(tmp_path, header, message):
    path = write(tmp_path / "w.safetensors", header)
    with pytest.raises(WeightsError, match=message) as caught:
        load_tensors(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("facts", ["[]", "3", "null", '{"a": ' + "[" * 5_000, '{"a"', "9" * 10_000])
def test_facts_with_a_right_checksum_may_be_anything(tmp_path, monkeypatch, facts):
    path = tmp_path / "own.safetensors"
    monkeypatch.setattr("json.dumps", lambda *_args, **_kwargs: facts)
    save_tensors(path, {"a": np.zeros(4, np.float32)}, {})
    monkeypatch.undo()
    with pytest.raises(WeightsError, match="is damaged: its facts are"):
        load_tensors(path)


def test_an_honest_header(tmp_path):
    save_tensors(tmp_path / "own.safetensors", {"a": np.zeros((2, 3), np.float32)}, {"epoch": 1})
    assert read_header(tmp_path / "own.safetensors")["a"].shape == (2, 3)
