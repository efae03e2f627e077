"""One function reads images: upright, within its file, and with a clear word about names that cannot be."""

import ast
import io
import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

import ppreid
from ppreid.base.errors import DataError
from ppreid.datasets.image_file import load_image, open_image, turn_of

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 16, 3)).astype(np.uint8)
UPRIGHT = Image.fromarray(PIXELS)
LOSSLESS = [("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {})]
# what undoes the turn of each orientation, in words of numpy: the pixels that a camera held so would have written
HELD = {
    1: lambda pixels: pixels,
    2: lambda pixels: pixels[:, ::-1],
    3: lambda pixels: pixels[::-1, ::-1],
    4: lambda pixels: pixels[::-1],
    5: lambda pixels: pixels.transpose(1, 0, 2),
    6: lambda pixels: np.rot90(pixels),
    7: lambda pixels: np.rot90(pixels, 2).transpose(1, 0, 2),
    8: lambda pixels: np.rot90(pixels, -1),
}


def with_orientation(image, form, orientation, **settings):
    exif, file = Image.Exif(), io.BytesIO()
    exif[0x0112] = orientation
    image.save(file, form, exif=exif, **settings)
    return file.getvalue()


@pytest.mark.parametrize("orientation", HELD)
@pytest.mark.parametrize(("form", "settings"), LOSSLESS)
def test_an_image_is_read_as_it_was_seen_however_the_camera_was_held(tmp_path, form, settings, orientation):
    held = Image.fromarray(np.ascontiguousarray(HELD[orientation](PIXELS)))
    path = tmp_path / "image.jpg"
    path.write_bytes(with_orientation(held, form, orientation, **settings))
    np.testing.assert_array_equal(np.asarray(load_image(str(path))), PIXELS)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("orientation", range(10))
def test_a_jpeg_is_turned_as_pillow_turns_it(tmp_path, mode, orientation):
    path = tmp_path / "image.jpg"
    path.write_bytes(with_orientation(UPRIGHT.convert(mode), "JPEG", orientation))
    with Image.open(path) as image:
        expected = ImageOps.exif_transpose(image).convert("RGB")
        assert (turn_of(image) is None) == (orientation in (0, 1, 9))
    np.testing.assert_array_equal(np.asarray(load_image(str(path))), np.asarray(expected))


def test_a_grey_image_of_16_bits_and_a_palette_are_turned_too(tmp_path):
    deep = Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257)
    (tmp_path / "deep.png").write_bytes(with_orientation(deep, "PNG", 6))
    assert load_image(str(tmp_path / "deep.png")).size == (32, 16)
    (tmp_path / "palette.png").write_bytes(with_orientation(UPRIGHT.quantize(16), "PNG", 8))
    assert load_image(str(tmp_path / "palette.png")).size == (32, 16)


def test_images_without_exif_are_read_as_before_to_the_bit(tmp_path):
    for number in range(5):
        path = tmp_path / f"{number}.jpg"
        UPRIGHT.rotate(10 * number).save(path, quality=60 + 8 * number)
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(load_image(str(path))), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0", b"Exif\0\0XX\0*broken", b"Exif\0\0MM\0*\xff\xff\xff\xff", b"Exif\0\0II*\0\x08"]
)
def test_damaged_exif_says_nothing(tmp_path, exif):
    UPRIGHT.save(tmp_path / "image.jpg", exif=exif)
    assert load_image(str(tmp_path / "image.jpg")).size == UPRIGHT.size


def test_an_orientation_that_is_no_number_says_nothing(tmp_path):
    entry = struct.pack("<HHII", 0x0112, 2, 3, int.from_bytes(b"up\0\0", "little"))  # text instead of a number
    UPRIGHT.save(tmp_path / "image.jpg", exif=b"Exif\0\0II*\0\x08\0\0\0\x01\0" + entry + bytes(4))
    assert load_image(str(tmp_path / "image.jpg")).size == UPRIGHT.size


def test_every_image_of_a_user_is_read_by_the_one_function():
    """Extraction, search, prediction, sheets and reports then agree; the doctor asks the same file for its kind."""
    places = set()
    for file in Path(ppreid.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and re.fullmatch(r"(PIL\.)?Image\.open", ast.unparse(node.func)):
                places.add(file.name)
    drawn_by_ppreid = {"contact_sheet.py"}
    assert places - drawn_by_ppreid == {"image_file.py"}


# Lengths that lie


def png_with(chunk, length):
    """A PNG with a chunk whose length is wrong, before the pixels; for IDAT, that of the pixels themselves."""
    file = io.BytesIO()
    UPRIGHT.save(file, "PNG")
    content = file.getvalue()
    place = content.index(b"IDAT") - 4
    rest = content[place + 8 :] if chunk == b"IDAT" else content[place:]
    return content[:place] + struct.pack(">I", length) + chunk + rest


@pytest.mark.parametrize("chunk", [b"IDAT", b"tEXt", b"iCCP", b"eXIf", b"zTXt", b"PLTE", b"abCd"])
def test_a_png_that_lies_about_a_length_takes_no_memory(tmp_path, chunk):
    paths = [tmp_path / f"{length}.png" for length in (2**31 - 1, 2**31, 2**32 - 1)]
    for path in paths:
        path.write_bytes(png_with(chunk, int(path.stem)))
    script = (
        "import resource, sys; from ppreid.datasets.image_file import load_image\n"
        "from ppreid.base.errors import DataError\n"
        "resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))\n"
        "for path in sys.argv[1:]:\n"
        "    try: print(load_image(path).size)\n"
        "    except DataError as error: print(error)\n"
    )
    command = [sys.executable, "-c", script, *map(str, paths)]
    lines = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True).stdout.splitlines()
    whole = "(16, 32)"  # all pixels are there, whatever the length says
    assert all(
        line == whole or line.startswith(f"cannot read image {path}: ") for line, path in zip(lines, paths, strict=True)
    )
    assert len(lines) == 3 and (lines == [whole] * 3) == (chunk == b"IDAT")


def test_want_of_memory_is_an_error_of_the_image(tmp_path, monkeypatch):
    UPRIGHT.save(tmp_path / "image.png")

    def decode(self):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "load", decode)
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", decode)
    with pytest.raises(DataError, match=r"image\.png: decoding it takes more memory than there is"):
        load_image(str(tmp_path / "image.png"))


# Names that cannot be


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("a\0b.jpg", r"a\\x00b\.jpg: its name has a NUL byte, which no file can have"),
        ("x" * 300, "x: its name is longer than this system allows"),
        ("folder/" * 3000 + "a.jpg", r"\.\.\. \(21,0\d\d letters\): its name is longer than this system allows"),
    ],
)
def test_a_name_that_no_file_can_have_is_said(name, message):
    with pytest.raises(DataError, match=message) as caught:
        load_image(name)
    assert len(str(caught.value)) < 600


def test_what_an_image_is_can_be_asked_without_decoding_it(tmp_path):
    UPRIGHT.save(tmp_path / "image.png")
    before = len(os.listdir("/proc/self/fd"))
    with open_image(str(tmp_path / "image.png")) as image:
        assert (image.size, image.format) == ((16, 32), "PNG")
    assert len(os.listdir("/proc/self/fd")) == before
    with pytest.raises(DataError, match="in the block"), open_image(str(tmp_path / "image.png")):
        raise ValueError("in the block")
