import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from ppreid.base.errors import DataError
from ppreid.base.records import ImageRecord
from ppreid.datasets import image_file
from ppreid.datasets.image_dataset import ImageDataset, find_unreadable
from ppreid.datasets.image_file import load_image

PIXELS = np.random.default_rng(0).integers(0, 256, (16, 8, 3)).astype(np.uint8)


def to_array(image, *_):
    return np.asarray(image, np.float32).transpose(2, 0, 1)


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "P", "RGBA", "1"])
def test_every_common_mode_becomes_rgb(tmp_path, mode):
    original = Image.fromarray(PIXELS).convert(mode)
    original.save(tmp_path / "image.png")
    loaded = load_image(str(tmp_path / "image.png"))
    assert loaded.mode == "RGB" and loaded.size == (8, 16)
    np.testing.assert_array_equal(np.asarray(loaded), np.asarray(original.convert("RGB")))


def test_cmyk_is_converted(tmp_path):
    Image.new("RGB", (8, 16), (200, 30, 90)).convert("CMYK").save(tmp_path / "image.jpg", quality=100)
    loaded = np.asarray(load_image(str(tmp_path / "image.jpg")), int)
    assert np.abs(loaded - (200, 30, 90)).max() <= 3


def test_a_palette_with_transparency_gives_its_colours_without_a_warning(tmp_path, recwarn):
    image = Image.fromarray(PIXELS).quantize(16)
    image.save(tmp_path / "image.png", transparency=bytes(range(0, 256, 16)))
    np.testing.assert_array_equal(np.asarray(load_image(str(tmp_path / "image.png"))), np.asarray(image.convert("RGB")))
    assert not recwarn


def test_16_bit_grey_is_scaled_not_clipped(tmp_path):
    values = np.array([[0, 257, 128 * 257], [65535, 300, 64 * 257 + 200]], np.uint16)
    Image.fromarray(values).save(tmp_path / "image.png")
    Image.fromarray(values.astype(np.int32)).save(tmp_path / "image.tiff")
    for name in ("image.png", "image.tiff"):
        loaded = np.asarray(load_image(str(tmp_path / name)))
        np.testing.assert_array_equal(loaded[:, :, 0], [[0, 1, 128], [255, 1, 65]])
        assert (loaded == loaded[:, :, :1]).all()


def test_16_bit_colour_is_scaled(tmp_path):
    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    row = b"\0" + np.array([0, 65535, 128 * 257, 257, 514, 65535], ">u2").tobytes()  # two pixels
    header = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row)) + chunk(b"IEND", b"")
    (tmp_path / "image.png").write_bytes(png)
    np.testing.assert_array_equal(np.asarray(load_image(str(tmp_path / "image.png"))), [[[0, 255, 128], [1, 2, 255]]])


@pytest.mark.parametrize(
    ("dtype", "reason"), [(np.float32, "floating-point pixels"), (np.int32, "outside of 0..65535")]
)
def test_pixels_of_unknown_range_are_refused(tmp_path, dtype, reason):
    Image.fromarray(np.full((4, 4), 70_000, dtype)).save(tmp_path / "image.tiff")
    with pytest.raises(DataError, match=reason):
        load_image(str(tmp_path / "image.tiff"))


@pytest.mark.parametrize("ending", ["gif", "png", "webp"])
def test_of_an_animation_the_first_frame_is_taken(tmp_path, ending):
    frames = [Image.new("RGB", (8, 16), color) for color in ((250, 0, 0), (0, 250, 0))]
    frames[0].save(tmp_path / f"image.{ending}", save_all=True, append_images=frames[1:])
    assert np.asarray(load_image(str(tmp_path / f"image.{ending}")), int)[5, 5] == pytest.approx([250, 0, 0], abs=4)


def make_damaged_files(folder):
    """Path and expected reason of files that cannot be read."""
    Image.fromarray(PIXELS.repeat(8, 0).repeat(8, 1)).save(folder / "whole.jpg", quality=95)
    whole = (folder / "whole.jpg").read_bytes()
    Image.fromarray(PIXELS).save(folder / "whole.png")
    png = (folder / "whole.png").read_bytes()
    contents = {
        "empty.jpg": (b"", "empty or not an image"),
        "text.jpg": (b"<html>not found</html>", "empty or not an image"),
        "cut.jpg": (whole[: len(whole) // 2], "truncated"),
        "cut.png": (png[:-40], ""),
        "broken.png": (png[:60] + b"\0\1\2" + png[63:], ""),
    }
    for name, (content, _) in contents.items():
        (folder / name).write_bytes(content)
    (folder / "folder.jpg").mkdir()
    reasons = {name: reason for name, (_, reason) in contents.items()}
    return reasons | {"folder.jpg": "it is a folder", "missing.jpg": "the file does not exist"}


def test_damaged_files_give_one_line_with_path_and_reason(tmp_path):
    for name, reason in make_damaged_files(tmp_path).items():
        with pytest.raises(DataError) as caught:
            load_image(str(tmp_path / name))
        message = str(caught.value)
        assert message.startswith(f"cannot read image {tmp_path / name}: ") and reason in message
        assert "\n" not in message and not message.endswith(": ")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path):
    Image.fromarray(PIXELS).save(tmp_path / "image.png")
    (tmp_path / "image.png").chmod(0)
    with pytest.raises(DataError, match="permission denied"):
        load_image(str(tmp_path / "image.png"))


def test_too_many_pixels_are_refused_before_decoding(tmp_path, monkeypatch):
    Image.fromarray(PIXELS).save(tmp_path / "image.png")
    monkeypatch.setattr(image_file, "MAX_PIXELS", 100)
    with pytest.raises(DataError, match="8 x 16 pixels are more than the limit of 100"):
        load_image(str(tmp_path / "image.png"))


def test_a_decompression_bomb_is_refused(tmp_path, monkeypatch):
    Image.fromarray(PIXELS).save(tmp_path / "image.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(DataError, match="decompression bomb"):
        load_image(str(tmp_path / "image.png"))


def test_find_unreadable_reports_every_damaged_file_in_order(tmp_path):
    damaged = sorted(make_damaged_files(tmp_path))
    names = ["whole.jpg", *damaged, "whole.png"]
    records = [ImageRecord(str(tmp_path / name), 1, 0) for name in names]
    for num_workers in (0, 3):
        found = find_unreadable(records, num_workers=num_workers)
        assert [index for index, _ in found] == list(range(1, len(damaged) + 1))
        assert all(str(tmp_path / names[index]) in message for index, message in found)
    assert find_unreadable(records[:1]) == []


def test_the_dataset_gives_image_and_index(image_records):
    dataset = ImageDataset(image_records, to_array)
    assert len(dataset) == 24
    image, index = dataset[7]
    assert index == 7 and image.shape == (3, 16, 8) and (image == 70).all()


def test_random_numbers_depend_on_seed_epoch_and_draw_only(image_records):
    def noise(image, rng):
        return np.full((3, 1, 1), rng.random(), np.float32)

    def drawn(key, seed=1):
        image, index = ImageDataset(image_records, noise, seed=seed)[key]
        assert index == key[0]
        return image[0, 0, 0]

    assert drawn((3, 0, 5)) == drawn((3, 0, 5)) == drawn((9, 0, 5))
    assert len({drawn((3, 0, 5)), drawn((3, 1, 5)), drawn((3, 0, 6)), drawn((3, 0, 5), seed=2)}) == 4


def test_the_dataset_names_the_file_it_cannot_read(tmp_path):
    dataset = ImageDataset([ImageRecord(str(tmp_path / "missing.jpg"), 1, 0)], to_array)
    with pytest.raises(DataError, match=r"missing\.jpg: the file does not exist"):
        dataset[0]
