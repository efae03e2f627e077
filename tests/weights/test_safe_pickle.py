"""The restricted unpickler: arrays come back exactly, and nothing a file asks for is ever run."""

import argparse
import collections
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ppreid.base.errors import WeightsError
from ppreid.weights.safe_pickle import load_arrays


def write(folder, data):
    path = folder / "file.pdparams"
    path.write_bytes(data)
    return path


ARRAYS = {
    "float32": np.arange(6, dtype=np.float32).reshape(2, 3),
    "float16": np.array([1.5, -2.0], np.float16),
    "int64": np.array([-1, 2**60]),
    "uint16": np.array([0, 65535], np.uint16),
    "bool": np.array([True, False]),
    "complex64": np.array([1 + 2j], np.complex64),
    "column order": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big endian": np.arange(3, dtype=">f4"),
    "no dimension": np.array(3.5),
    "empty": np.zeros((0, 4), np.float32),
    "a number": np.float32(2.5),
}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("value", ARRAYS.values(), ids=ARRAYS)
def test_arrays_come_back_exactly(tmp_path, value, protocol):
    found = load_arrays(write(tmp_path, pickle.dumps(value, protocol)))
    assert isinstance(found, type(value))
    assert found.dtype == value.dtype
    np.testing.assert_array_equal(found, value)


@settings(max_examples=30, deadline=None)
@given(
    array=hnp.arrays(
        dtype=st.one_of(hnp.floating_dtypes(), hnp.integer_dtypes(), hnp.boolean_dtypes()),
        shape=hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    ),
    protocol=st.sampled_from([2, 4]),
)
def test_any_array_of_numbers_comes_back_bit_for_bit(tmp_path_factory, array, protocol):
    found = load_arrays(write(tmp_path_factory.mktemp("pickle"), pickle.dumps(array, protocol)))
    assert found.tobytes() == array.tobytes()
    assert (found.shape, found.dtype) == (array.shape, array.dtype)


def test_containers_and_plain_values(tmp_path):
    value = {"a": [1, 2.5, None, True], "b": ("x", b"\xff\x00"), "c": {"d": np.ones(2)}, 3: np.int64(4)}
    found = load_arrays(write(tmp_path, pickle.dumps(collections.OrderedDict(value), 2)))
    assert list(found) == ["a", "b", "c", 3]
    assert found["a"] == value["a"]
    assert found["b"] == value["b"]
    np.testing.assert_array_equal(found["c"]["d"], np.ones(2))


@pytest.mark.parametrize("module", ["numpy.core.multiarray", "numpy._core.multiarray"])
def test_files_of_numpy_1_and_2(tmp_path, module):
    data = pickle.dumps(np.arange(3.0), 2)
    here = np.zeros(0).__reduce__()[0].__module__
    renamed = data.replace(f"c{here}\n".encode(), f"c{module}\n".encode())
    assert module.encode() in renamed
    np.testing.assert_array_equal(load_arrays(write(tmp_path, renamed)), np.arange(3.0))


def test_files_of_python_2_hold_bytes_as_text(tmp_path):
    # As Python 2 wrote it: a string opcode with the raw bytes 00 00 80 3f, which are 1.0 in float32.
    data = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
        b"(K\x01K\x01\x85cnumpy\ndtype\nU\x02f4K\x00K\x01\x87R(K\x03U\x01<NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        b"\x89U\x04\x00\x00\x80\x3ftb."
    )
    np.testing.assert_array_equal(load_arrays(write(tmp_path, data)), np.ones(1, np.float32))


class Call:
    """Pickles to a call of a function."""

    def __init__(self, function, *arguments):
        self.function, self.arguments = function, arguments

    def __reduce__(self):
        return self.function, self.arguments


# getattr(__import__("os"), "system")(command), in opcodes: modules themselves cannot be pickled.
GETATTR = b"cbuiltins\ngetattr\n(cbuiltins\n__import__\n(S'os'\ntRS'system'\ntR(S'%s'\ntR."


def malicious(command):
    """Name of what must be refused, and a pickle that runs the command when it is read by plain pickle."""
    code = f"__import__('os').system({command!r})"
    nested = {"conv1.weight": np.ones(3), "extra": [({"deep": Call(os.system, command)},)]}
    text = command.encode()
    return {
        "os.system": (f"{os.name}.system", pickle.dumps(Call(os.system, command))),
        "nested": (f"{os.name}.system", pickle.dumps(nested)),
        "eval": ("builtins.eval", pickle.dumps(Call(eval, code))),
        "exec": ("builtins.exec", pickle.dumps(Call(exec, code))),
        "getattr": ("builtins.getattr", GETATTR % text),
        "call of a call": ("builtins.list", pickle.dumps(Call(list, Call(map, os.system, [command])))),
        "old opcode": ("os.system", b"(S'" + text + b"'\nios\nsystem\n."),
        "new opcode": ("os.system", b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c%c%s\x85R." % (len(text), text)),
        "as dict subclass": ("collections.Counter", pickle.dumps(collections.Counter({1: Call(eval, code)}))),
    }


PAYLOADS = list(malicious("true"))


@pytest.mark.parametrize("kind", PAYLOADS)
def test_a_malicious_pickle_is_refused_and_nothing_runs(tmp_path, kind):
    sentinel = tmp_path / "sentinel"
    refused, data = malicious(f"touch {sentinel}")[kind]

    with pytest.raises(WeightsError, match=rf"file\.pdparams was refused: the pickle asks for {refused}, but"):
        load_arrays(write(tmp_path, data))
    assert not sentinel.exists()

    pickle.loads(data)  # noqa: S301 - the payload is real: without the restriction it does run
    assert sentinel.exists()


@pytest.mark.parametrize("state", [b"(N}S'__code__'\nNst", b"(S'__code__'\nNd"], ids=["attributes", "dict"])
@pytest.mark.parametrize(
    "stand_in",
    [
        b"cnumpy.core.multiarray\n_reconstruct\n",
        b"c_codecs\nencode\n",
        b"ccollections\nOrderedDict\n",
        b"cnumpy\nndarray\n",
        b"cnumpy\ndtype\n(S'f4'\nI0\nI1\ntR",
    ],
)
def test_the_stand_ins_cannot_be_changed_by_a_pickle(tmp_path, stand_in, state):
    # BUILD sets attributes, or items of the __dict__, of whatever the pickle got hold of.
    with pytest.raises(WeightsError, match="cannot be read as a pickle of arrays"):
        load_arrays(write(tmp_path, stand_in + state + b"b."))
    test_containers_and_plain_values(tmp_path)


def test_every_truncation_is_a_clear_error(tmp_path):
    data = pickle.dumps({"conv1.weight": np.ones((2, 3), np.float32), "lr": 0.1}, 4)
    for length in range(len(data)):
        with pytest.raises(WeightsError, match="truncated, damaged or of another kind"):
            load_arrays(write(tmp_path, data[:length]))


def endless_list():
    items = []
    items.append(items)
    return items


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.array([{}, None], dtype=object), "element type 'O8', which is not a number"),
        (np.array(["a"]), "element type 'U1', which is not a number"),
        (np.float32, "asks for numpy.float32"),
        ({1, 2}, "asks for|holds a set"),
        (endless_list(), "RecursionError"),
    ],
    ids=["objects", "text", "class", "set", "endless"],
)
def test_other_content_is_refused(tmp_path, value, message):
    with pytest.raises(WeightsError, match=message):
        load_arrays(write(tmp_path, pickle.dumps(value, 4)))


def test_settings_beside_the_tensors_are_passed_over(tmp_path):
    settings = argparse.Namespace(lr=0.1, nested=argparse.Namespace(path=Path("a")))
    for protocol in range(6):
        found = load_arrays(write(tmp_path, pickle.dumps({"w": np.ones(2), "args": settings}, protocol)))
        np.testing.assert_array_equal(found["w"], np.ones(2))
        assert found["args"].kind == "argparse.Namespace"
        assert vars(found["args"]) == {"kind": "argparse.Namespace"}


def test_settings_may_hold_no_code(tmp_path):
    sentinel = tmp_path / "sentinel"
    settings = argparse.Namespace(lr=Call(os.system, f"touch {sentinel}"))
    with pytest.raises(WeightsError, match=r"asks for \w+\.system"):
        load_arrays(write(tmp_path, pickle.dumps({"w": np.ones(2), "args": settings})))
    assert not sentinel.exists()


def test_an_array_with_too_few_bytes_is_an_error(tmp_path):
    data = pickle.dumps(np.ones(4, np.float32), 2).replace(b"K\x04\x85", b"K\x05\x85")
    with pytest.raises(WeightsError, match="cannot reshape array of size 4"):
        load_arrays(write(tmp_path, data))
