"""Which kind of file it is, by what it begins with: names such as model.pth.tar-60 say nothing."""

from pathlib import Path

TORCH, PICKLE, SAFETENSORS = "torch", "pickle", "safetensors"
# what a name promises, where the content does not say it; the message then is about a damaged file of that kind
PROMISED = {".safetensors": SAFETENSORS, ".pdparams": PICKLE} | dict.fromkeys(
    (".pth", ".pth.tar", ".pt", ".bin"), TORCH
)

HEAD_BYTES = 512
_ARCHIVE = b"PK\x03\x04"
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
# torch's layout without an archive: the first pickle is this number
_TORCH_NUMBER = b"\x8a\x0a" + (0x1950A86A20F9469CFC6C).to_bytes(10, "little") + b"."
# what people take for weights, by its first bytes
_OTHERS = {
    b"version https://git-lfs": "it is a pointer of Git LFS and not the file itself; fetch it with git lfs pull",
    b"<": "it is a web page; the download failed, fetch it again",
    b"\x93NUMPY": "it is a numpy array; weights are several arrays with names",
    b"\x89HDF": "it is an HDF5 file; write the arrays as .safetensors",
    b"\x1f\x8b": "it is compressed with gzip; decompress it first",
    b"7z\xbc\xaf": "it is compressed with 7-Zip; decompress it first",
    b"Rar!": "it is a RAR archive; unpack it first",
}


def kind_of(path: Path, head: bytes) -> str | None:
    """Recognise a weights file.

    Args:
        path: its name decides where the content does not.
        head: its first HEAD_BYTES bytes.

    Returns:
        TORCH, PICKLE or SAFETENSORS; None if neither content nor name is of one of these.
    """
    if head.startswith(_ARCHIVE):
        return TORCH
    # the length of the header, which is far below 2^32, and the header, which is JSON
    if head[4:9] == b"\0\0\0\0{":
        return SAFETENSORS
    if head.startswith(_PICKLES):
        return TORCH if head[2:].startswith(_TORCH_NUMBER) else PICKLE
    if strange_content(head):
        return None
    return next((kind for suffix, kind in PROMISED.items() if path.name.endswith(suffix)), None)


def strange_content(head: bytes) -> str:
    """What a file that is no weights file is, and what to do, as far as its first bytes say; "" if they do not."""
    if not head:
        return "it is empty"
    if head[257:262] == b"ustar":
        return "it is a tar archive; unpack it first"
    return next((text for start, text in _OTHERS.items() if head.lstrip().startswith(start)), "")
