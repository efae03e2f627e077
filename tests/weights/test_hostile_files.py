"""Files made to harm: each is refused with its reason, nothing in it runs, and a small file takes little memory."""

import json
import os
import pickle
import shutil
import struct
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ppreid.base.errors import WeightsError
from ppreid.weights.files import read_tensors

TORCH_FILES = Path(__file__).parents[1] / "data" / "torch"
CODE = b"__import__('os').system('touch sentinel')"
GETATTR = b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'touch sentinel'\ntR"
EVAL = b"cbuiltins\neval\n(V" + CODE + b"\ntR"
SYSTEM = b"cos\nsystem\n(S'touch sentinel'\ntR"
TEXT = pickle.dumps("x" * 100_000, 2)[2:-3]  # the opcode alone, without protocol, memo and end


def hostile_pickles() -> dict[str, tuple[bytes, str]]:
    """{name: (file, what the message says)}."""
    nested = b"".join(b"0]q%c(h%ch%ce" % (i, i - 1, i - 1) for i in range(1, 61))
    doubled = b")" + b"".join(b"q%c0h%ch%c\x86" % (i, i, i) for i in range(1, 61))
    return {
        "remembers at a huge index": (b"\x80\x02}r\xff\xff\xff\x7f.", "remembers object 2147483647"),
        "bytes of 2^40": (b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"x.", "expected 1099511627776 bytes"),
        "a frame of 2^40": (b"\x80\x04\x95" + struct.pack("<Q", 2**40) + b"N.", "holds a NoneType"),
        "endless instructions": (b"\x80\x02" + b"N0" * 600_000 + b"N.", "more than 1,000,000 instructions"),
        "deep": (b"\x80\x02" + b"]" * 50_000 + b"a" * 49_999 + b".", "RecursionError"),
        "text encoded again and again": (
            b"\x80\x02](" + TEXT + b"q\x010" + b"c_codecs\nencode\nq\x02(h\x01S'latin1'\ntR" * 9_000 + b"e.",
            "more memory than its size explains",
        ),
        "a list copied again and again": (
            b"\x80\x02](](" + b"N" * 20_000 + b"eq\x010" + b"cbuiltins\ntuple\n(h\x01tR" * 9_000 + b"e.",
            "more memory than its size explains",
        ),
        # hashing either key takes 2^60 steps
        "a key that doubles 60 times": (b"\x80\x02}" + doubled + b"K\x01s.", "a dict with a tuple as key"),
        "the same in an OrderedDict": (
            b"\x80\x02ccollections\nOrderedDict\n](" + doubled + b"K\x01\x86e\x85R.",
            "a dict with a tuple as key",
        ),
        "the same in a set": (b"\x80\x04\x8f(" + doubled + b"\x90.", "it holds a set"),
        "the same in a frozen set": (b"\x80\x04(" + doubled + b"\x91.", "it holds a set"),
        "the same between marks": (b"\x80\x02(" + doubled + b"K\x01d.", "a dict with a tuple as key"),
        # Python's hash of each of these keys is 0: a dict compares each with all before
        "numbers with one hash": (
            pickle.dumps({k * (2**61 - 1): 0 for k in range(9_000)}),
            "too large numbers as keys",
        ),
        "many numbers": (pickle.dumps(dict.fromkeys(range(20_000))), "too many .* numbers as keys"),
        "numbers below zero": (pickle.dumps({-(2**40): 0}), "too large numbers as keys"),
        "a fraction as key": (pickle.dumps({0.5: 0}), "a dict with a float as key"),
        "an escape sequence as key": (pickle.dumps({"a\x1b[2J": 0}), r"not tensors: a\\x1b\[2J \(int\)"),
        "an escape sequence as function": (b"c\x1b[2J\nsystem\n.", r"asks for \\x1b\[2J\.system"),
        "an object of an array": (b"\x80\x02cnumpy\nndarray\n)\x81.", "makes an object of a str"),
        "settings of an array": (
            b"ccopyreg\n_reconstructor\n(ccollections\nOrderedDict\nNNtR.",
            "no record of settings",
        ),
        "lists that double 60 times": (b"\x80\x02}U\x01w]q\x00" + nested + b"s.", r"not tensors: w \(list\)"),
    }


def hostile_state_dicts(view) -> dict[str, tuple[bytes, str]]:
    """{name: (opcodes of a tensor with a storage of 6 numbers, what the message says)}."""
    as_storage = view().replace(b"torch._utils\n_rebuild_tensor_v2\n(", b"torch._utils\n_rebuild_tensor_v2\n(" + view())
    return {
        "offset behind the end": (view(offset=6, shape=(1,)), "does not fit its storage of 6"),
        "offset before the start": (view(offset=-1), "not a number from 0"),
        "too long": (view(shape=(7,)), "does not fit its storage"),
        "stride too long": (view(shape=(3,), strides=(3,)), "does not fit its storage"),
        "negative stride": (view(shape=(3,), strides=(-1,)), "not a number from 0"),
        "stride of 2^62": (view(shape=(3,), strides=(2**62,)), "does not fit its storage"),
        "size of 2^64": (view(shape=(2**64,)), "not a number from 0"),
        "2^40 numbers out of 1": (view(shape=(2**40,), strides=(0,)), "does not fit its storage"),
        "empty but huge": (view(shape=(0, 2**62, 2**62), strides=(1, 1, 1)), "ValueError"),
        "100 dimensions": (view(shape=(1,) * 100, strides=(1,) * 100), "100 dimensions"),
        "one stride for two sizes": (view(shape=(2, 3), strides=(1,)), "2 dimensions and 1 strides"),
        "sizes of text": (view().replace(b"L6L\ntR", b"S'6'\ntR").replace(b"(L6L\nt", b"(S'6'\nt"), "not a number"),
        "storage of 2^50": (view(numel=2**50), "has 24 bytes"),
        "storage of -6": (view(numel=-6), "has -6 elements"),
        "missing storage": (view(key="1"), "no item named 'net/data/1'"),
        "storage outside": (view(key="../../etc/passwd"), "no item named"),
        "storage within a storage": (as_storage, "ValueError|TypeError"),
        "storage that is none": (view(tag=b"module"), "not a storage"),
        "storage of objects": (view(storage=b"S'object'\n"), "elements of type 'object'"),
        "unknown storage": (view(storage=b"ctorch\nQInt8Storage\n"), "asks for torch.QInt8Storage"),
        "a tensor changed": (view() + b"(S'_shape'\nI9\ndb", "changes an object that has no state"),
        "a storage changed": (
            view().replace(b"tQ", b"tQ(S'num_elements'\nI99\ndb"),
            "changes an object that has no state",
        ),
        "os.system": (SYSTEM, "asks for os.system"),
        "os.system as storage": (view(storage=SYSTEM), "asks for os.system"),
        "eval": (EVAL, "asks for builtins.eval"),
        "getattr": (GETATTR, "asks for builtins.getattr"),
        "torch.load within": (b"ctorch\nload\n(S'other.pth'\ntR", "asks for torch.load"),
    }


def hostile_safetensors() -> dict[str, tuple[bytes, str]]:
    """{name: (file, what the message says)}."""

    def entry(start, end, size=2):
        return {"dtype": "F32", "shape": [size], "data_offsets": [start, end]}

    def file(header, data=b"\0" * 16):
        text = header if isinstance(header, bytes) else json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + data

    one = json.dumps(entry(0, 8)).encode()
    two = json.dumps(entry(8, 16)).encode()
    return {
        "header of 2^63": (struct.pack("<Q", 2**63) + b"{}", "safetensors"),
        "header of 100 MB": (struct.pack("<Q", 100_000_000) + b'{"a": 1}', "safetensors"),
        "overlap": (file({"a": entry(0, 8), "b": entry(4, 12)}), "safetensors"),
        "hole": (file({"a": entry(0, 4, 1), "b": entry(8, 16)}), "safetensors"),
        "beyond the end": (file({"a": entry(0, 64, 16)}), "safetensors"),
        "shape of 2^60": (file({"a": entry(0, 16, 2**60)}), "safetensors"),
        "shape that overflows": (file({"a": {**entry(0, 16), "shape": [2**33, 2**33]}}), "safetensors"),
        "text after the tensors": (file({"a": entry(0, 8)}), "safetensors"),
        "one name twice": (file(b'{"a":' + one + b',"a":' + two + b"}"), "safetensors"),
    }


def hostile_archives(folder, torch_writer) -> dict[str, tuple[Path, str]]:
    """{name: (path, what the message says)}."""
    honest = torch_writer.state_dict(a=torch_writer.view())
    raw = torch_writer.NUMBERS.tobytes()
    paths = {name: folder / f"{name}.pth" for name in ("bomb", "lying", "overlapping", "two", "none", "late")}
    torch_writer.write_archive(paths["bomb"], honest, {"0": b"\0" * 50_000_000}, compression=zipfile.ZIP_DEFLATED)
    torch_writer.write_archive(paths["two"], honest, {"0": raw, "../more/data.pkl": honest})
    with zipfile.ZipFile(paths["none"], "w") as archive:
        archive.writestr("net/other.pkl", honest)
    torch_writer.write_archive(paths["lying"], honest, {"0": raw})
    data = paths["lying"].read_bytes()
    # both sizes of the storage in the directory at the end: 24 bytes become 2^31 - 1
    start = data.rindex(b"PK\1\2")
    sizes = struct.pack("<II", 2**31 - 1, 2**31 - 1)
    paths["lying"].write_bytes(data[: start + 20] + sizes + data[start + 28 :])
    torch_writer.write_archive(paths["overlapping"], honest, {"0": b"\0" * 4096, "1": b"\0" * 4096})
    data = paths["overlapping"].read_bytes()
    second = data.rindex(b"PK\1\2")
    first = data.rindex(b"PK\1\2", 0, second)
    # the second storage begins where the first does, and ends where it did
    place, local = data[first + 42 : first + 46], data.index(b"net/data/0") - 30
    assert struct.unpack("<I", place) == (local,)
    directory = data[second : second + 20] + struct.pack("<II", 8300, 8300) + data[second + 28 : second + 42] + place
    paths["overlapping"].write_bytes(data[:second] + directory + data[second + 46 :])
    shutil.copy(TORCH_FILES / "malicious_legacy.pth", paths["late"])
    return {
        "bomb": (paths["bomb"], "is compressed, which torch.save never does"),
        "lying": (paths["lying"], "the archive claims|File name in directory|Overlap"),
        "overlapping": (paths["overlapping"], "the archive claims|File name in directory|Overlap"),
        "two": (paths["two"], "2 entries data.pkl, expected 1"),
        "none": (paths["none"], "0 entries data.pkl, expected 1"),
        "late": (paths["late"], "asks for posix.system"),
    }


@pytest.fixture(scope="module")
def hostile_files(tmp_path_factory, torch_writer) -> dict[str, tuple[Path, str]]:
    """{name: (path, pattern of the message)}."""
    folder = tmp_path_factory.mktemp("hostile")
    files = hostile_archives(folder, torch_writer)
    for suffix, cases in ((".pdparams", hostile_pickles()), (".safetensors", hostile_safetensors())):
        for name, (data, message) in cases.items():
            path = folder / f"{len(files)}{suffix}"
            path.write_bytes(data)
            files[name] = path, message
    for name, (tensor, message) in hostile_state_dicts(torch_writer.view).items():
        path = folder / f"{len(files)}.pth"
        storages = {"0": torch_writer.NUMBERS.tobytes()}
        torch_writer.write_archive(path, torch_writer.state_dict(a=tensor), storages)
        files[name] = path, message
    for layout in ("archive", "legacy"):
        files[f"malicious {layout}"] = TORCH_FILES / f"malicious_{layout}.pth", f"asks for {os.name}.system"
    return files


def test_an_honest_file_of_the_same_writer_is_read(tmp_path, torch_writer):
    numbers = torch_writer.NUMBERS
    table = torch_writer.view(offset=1, shape=(2, 2), strides=(1, 3))
    torch_writer.write_archive(tmp_path / "net.pth", torch_writer.state_dict(a=table), {"0": numbers.tobytes()})
    found = read_tensors(tmp_path / "net.pth").tensors["a"]
    np.testing.assert_array_equal(found, [[1, 4], [2, 5]])


def test_each_is_refused_with_its_reason_and_nothing_runs(hostile_files, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(hostile_files) == 65
    for name, (path, message) in hostile_files.items():
        start = time.process_time()
        with pytest.raises(WeightsError, match=message) as caught:
            read_tensors(path)
        assert str(path) in str(caught.value), name
        assert time.process_time() - start < 20, f"{name} takes for ever"
    assert not list(tmp_path.iterdir()), "something ran"


# Also shows that the limit is one: an allocation of twice as much fails.
IN_LITTLE_MEMORY = """
import resource, sys
import ppreid.weights.files as weight_files
from ppreid.base.errors import WeightsError
pages = int(open("/proc/self/statm").read().split()[0])
limit = pages * resource.getpagesize() + 256 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    bytearray(512 * 2**20)
    sys.exit("there is no limit")
except MemoryError:
    pass
for path in sys.argv[1:]:
    try:
        weight_files.read_tensors(path)
        sys.exit(f"{path} was read")
    except WeightsError as error:
        if "MemoryError" in str(error):
            sys.exit(str(error))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux")
def test_all_of_them_take_little_memory(hostile_files, tmp_path):
    paths = [str(path) for path, _ in hostile_files.values()]
    done = subprocess.run(
        [sys.executable, "-c", IN_LITTLE_MEMORY, *paths], cwd=tmp_path, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert not list(tmp_path.iterdir()), "something ran"
