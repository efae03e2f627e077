"""PyTorch's archive layout written by hand, opcode by opcode, honest or not; no torch is needed."""

import zipfile

import numpy as np

NUMBERS = np.arange(6, dtype=np.float32)


def view(
    *, key="0", numel=6, offset=0, shape=(6,), strides=(1,), storage=b"ctorch\nFloatStorage\n", tag=b"storage"
) -> bytes:
    """Opcodes that push one tensor."""
    persistent_id = b"(S'%s'\n%sS'%s'\nS'cpu'\n%stQ" % (tag, storage, key.encode(), _int(numel))
    sizes = b"(%st(%st" % (b"".join(map(_int, shape)), b"".join(map(_int, strides)))
    return b"ctorch._utils\n_rebuild_tensor_v2\n(%s%s%sI00\n)tR" % (persistent_id, _int(offset), sizes)


def _int(number) -> bytes:
    return b"L%dL\n" % number


def state_dict(**tensors: bytes) -> bytes:
    """A pickle of a dict of opcodes."""
    return b"(" + b"".join(b"S'%s'\n%s" % (name.encode(), value) for name, value in tensors.items()) + b"d."


def write_archive(path, pickle_bytes, storages, *, compression=zipfile.ZIP_STORED, byte_order="little") -> None:
    """The entries of an archive; storages are {key: bytes}."""
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("net/data.pkl", pickle_bytes)
        archive.writestr("net/byteorder", byte_order)
        for key, raw in storages.items():
            archive.writestr(f"net/data/{key}", raw)


def write_state_dict(path, tensors, *, entry="state_dict", others=b"S'epoch'\nI3\n") -> None:
    """Float32 arrays as torch.save would write them in {entry: ..., "epoch": 3}; without an entry, alone."""
    values, storages = {}, {}
    for key, (name, array) in enumerate(tensors.items()):
        strides = tuple(stride // 4 for stride in np.zeros(array.shape, np.float32).strides)
        values[name] = view(key=str(key), numel=array.size, shape=array.shape, strides=strides)
        storages[str(key)] = np.ascontiguousarray(array).tobytes()
    content = state_dict(**values)
    if entry:
        content = b"(S'%s'\n" % entry.encode() + content[:-1] + others + b"d."
    write_archive(path, content, storages)
