"""The zoo of bad images: each is refused by name, or read as it should be; none is touched, hangs or is swapped."""

import hashlib
import io
import os
import stat
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ppreid.base.errors import DataError, PpreidWarning, printable
from ppreid.base.records import ImageRecord
from ppreid.cli import main
from ppreid.config.load import load_config
from ppreid.datasets.batch_reader import BatchReader
from ppreid.datasets.image_dataset import ImageDataset
from ppreid.datasets.image_file import load_image
from ppreid.datasets.transforms import eval_transform
from ppreid.disk.features import read_features, write_records
from ppreid.run.folder import BAD_IMAGES, LABELS
from ppreid.verbs.inputs import read_split
from ppreid.verbs.train import train

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 16, 3)).astype(np.uint8)
PICTURE = Image.fromarray(PIXELS)
FORMATS = [
    ("JPEG", {"quality": 90}),
    ("JPEG", {"quality": 90, "progressive": True}),
    ("PNG", {}),
    ("BMP", {}),
    ("WEBP", {"lossless": True}),
    ("GIF", {}),
]


def encoded(image, form, **settings):
    file = io.BytesIO()
    image.save(file, form, **settings)
    return file.getvalue()


def png(width, height, depth, colour, rows):
    """A PNG file of pixel rows as they are stored."""

    def chunk(name, body):
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    packer = zlib.compressobj(1)
    data = b"".join(packer.compress(row) for row in rows) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def with_scans(image, count):
    """A progressive JPEG that repeats its first scan."""
    content = encoded(image, "JPEG", progressive=True)
    first = content.index(b"\xff\xda")
    tables = content.index(b"\xff\xc4", first)
    return content[:first] + content[first:tables] * count + content[first:]


GOOD = {
    "png.jpg": encoded(PICTURE, "PNG"),
    "cmyk.jpg": encoded(PICTURE.convert("CMYK"), "JPEG"),
    "grey.jpg": encoded(PICTURE.convert("L"), "JPEG"),
    "la.png": encoded(PICTURE.convert("LA"), "PNG"),
    "16bit.png": encoded(Image.fromarray(PIXELS[:, :, 0].astype(np.uint16) * 257), "PNG"),
    "16bit-rgb.png": png(2, 1, 16, 2, [b"\0" + bytes(12)]),
    "transparent.png": encoded(PICTURE.quantize(16), "PNG", transparency=bytes(range(0, 256, 16))),
    "animated-gif.jpg": encoded(PICTURE, "GIF", save_all=True, append_images=[PICTURE.rotate(180)]),
    "animated.webp": encoded(PICTURE, "WEBP", save_all=True, append_images=[PICTURE.rotate(180)]),
    "1024-scans.jpg": with_scans(PICTURE, 1024),
}
BAD = {
    "empty.jpg": (b"", "the file is empty or not an image of a known format"),
    "text.jpg": (b"<html>not found</html>", "not an image of a known format"),
    "postscript.jpg": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image of a known format"),
    "half.jpg": (encoded(PICTURE, "JPEG")[:700], "truncated"),
    "half.png": (encoded(PICTURE, "PNG")[:700], "truncated"),
    "bomb.png": (png(60_000, 60_000, 1, 0, [bytes(10)]), "decompression bomb"),
    "large.png": (png(9_000, 9_000, 1, 0, [bytes(10)]), "9000 x 9000 pixels are more than the limit of 64,000,000"),
    "scans.jpg": (with_scans(Image.new("RGB", (1024, 1024)), 1024), "1024 x 1024 pixels in 1,034 scans"),
}


def make_zoo(folder, prefix=""):
    """Good and bad files of all kinds; gives the names of the good ones, and those of the bad ones with a reason."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in {**GOOD, **{name: content for name, (content, _) in BAD.items()}}.items():
        (folder / (prefix + name)).write_bytes(content)
    (folder / f"{prefix}folder.jpg").mkdir()
    (folder / f"{prefix}link.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(folder / f"{prefix}pipe.jpg")
    reasons = {name: reason for name, (_, reason) in BAD.items()} | {
        "folder.jpg": "it is a folder",
        "link.jpg": "it is a link to nowhere.jpg, which does not exist",
        "pipe.jpg": "it is not a regular file",
    }
    return [prefix + name for name in GOOD], {prefix + name: reason for name, reason in reasons.items()}


def state_of(folder):
    """Digest and time of change of everything in a folder."""
    found = {}
    for path in sorted(folder.rglob("*")):
        status = path.lstat()
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if stat.S_ISREG(status.st_mode) else ""
        found[os.fsencode(path)] = (status.st_mode, status.st_size, status.st_mtime_ns, digest)
    return found


@pytest.mark.parametrize(("form", "settings"), FORMATS)
def test_a_cut_file_is_refused_or_whole(tmp_path, form, settings):
    """At each tenth, without the last bytes (the end mark of JPEG, the trailer of PNG), and byte by byte at the end."""
    content = encoded(PICTURE, form, **settings)
    path = tmp_path / "image.jpg"
    path.write_bytes(content)
    whole, refused = np.asarray(load_image(str(path))), 0
    cuts = [len(content) * tenth // 10 for tenth in range(10)] + [len(content) - n for n in range(1, 20)]
    for cut in cuts:
        path.write_bytes(content[:cut])
        try:
            np.testing.assert_array_equal(np.asarray(load_image(str(path))), whole)
        except DataError as error:
            refused += 1
            assert str(error).startswith(f"cannot read image {path}: ") and "\n" not in str(error)
    assert refused >= 10 and (form not in ("JPEG", "BMP", "WEBP") or refused == len(cuts))


def test_good_images_of_odd_kinds_are_read(tmp_path):
    names, _ = make_zoo(tmp_path)
    for name in names:
        loaded = load_image(str(tmp_path / name))
        assert loaded.mode == "RGB" and loaded.size == ((2, 1) if name == "16bit-rgb.png" else (16, 32))
    for name in ("png.jpg", "animated-gif.jpg", "animated.webp"):
        loaded = np.asarray(load_image(str(tmp_path / name)), int)
        first, second = np.abs(loaded - PIXELS).mean(), np.abs(loaded - PIXELS[::-1, ::-1]).mean()
        assert first < 0.7 * second  # the first frame, as far as its format keeps the colours


@pytest.mark.parametrize("num_workers", [0, 2])
def test_each_bad_image_ends_reading_with_its_name_and_reason(tmp_path, num_workers):
    _, reasons = make_zoo(tmp_path / "zoo")
    before = state_of(tmp_path)
    records = [ImageRecord(str(tmp_path / "zoo" / name), 1, 0) for name in reasons]
    dataset = ImageDataset(records, lambda image: eval_transform(image, height=32, width=16))
    reader = BatchReader(dataset, image_shape=(3, 32, 16), num_workers=num_workers, worker_timeout=300)
    for row, (name, reason) in enumerate(reasons.items()):
        with pytest.raises(DataError) as caught:
            list(reader.read([[row]]))
        message = str(caught.value)
        assert message.startswith(f"cannot read image {tmp_path / 'zoo' / name}: ") and reason in message
        assert message.endswith("; repair or remove the file, or set data.on_bad_image: skip") and "\n" not in message
    reader.close()
    assert state_of(tmp_path) == before


def test_a_picture_of_60000_x_60000_takes_neither_memory_nor_time(tmp_path):
    row = bytes(1 + 60_000 // 8)
    (tmp_path / "bomb.png").write_bytes(png(60_000, 60_000, 1, 0, (row * 1000 for _ in range(60))))
    assert (tmp_path / "bomb.png").stat().st_size > 400_000
    script = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (10**9, 10**9))\n"
        "from ppreid.datasets.image_file import load_image\n"
        "from ppreid.base.errors import DataError\n"
        "try: load_image(sys.argv[1])\n"
        "except DataError as error: print(error)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "bomb.png")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert "decompression bomb" in done.stdout


def test_a_file_without_permission_is_named(tmp_path):
    (tmp_path / "image.png").write_bytes(GOOD["png.jpg"])
    (tmp_path / "image.png").chmod(0)
    if os.geteuid() != 0:
        with pytest.raises(DataError, match="permission denied"):
            load_image(str(tmp_path / "image.png"))
        return
    os.seteuid(65534)
    try:
        with pytest.raises(DataError, match="permission denied"):
            load_image(str(tmp_path / "image.png"))
    finally:
        os.seteuid(0)


@pytest.fixture
def zoo_config(tiny_root, write_tiny_config, tmp_path):
    """A data set with the zoo in all three parts, and a configuration for it; gives its folder and that."""
    root = tmp_path / "data" / "demo"
    for part, pid in (("bounding_box_train", 1), ("query", 7), ("bounding_box_test", 7)):
        make_zoo(root / part, prefix=f"{pid:04d}_c1s1_000009_00-")
        for path in (tiny_root / "demo" / part).iterdir():
            (root / part / path.name).write_bytes(path.read_bytes())
    return root, load_config(write_tiny_config(tmp_path), [f"data.root={root}", "data.on_bad_image=skip"])


def test_skipping_leaves_out_the_bad_ones_of_every_part_and_lists_them(zoo_config, tmp_path):
    root, cfg = zoo_config
    before = state_of(root)
    with pytest.warns(PpreidWarning, match=r"33 unreadable .* \(train 11, query 11, gallery 11\).* do not compare"):
        split = read_split(cfg.data, skipped_list=tmp_path / BAD_IMAGES)
    assert state_of(root) == before
    bad = {*BAD, "folder.jpg", "link.jpg", "pipe.jpg"}
    for part, records in zip(("bounding_box_train", "query", "bounding_box_test"), split, strict=True):
        names = {path.name for path in (root / part).iterdir()}
        assert [Path(record.path).name for record in records] == sorted(
            name for name in names if name.partition("-")[2] not in bad
        )
    lines = (tmp_path / BAD_IMAGES).read_text().splitlines()
    assert len(lines) == 33 and {line.split("\t")[0] for line in lines} == {"train", "query", "gallery"}
    assert all(line.split("\t")[1].startswith(f"cannot read image {root}") for line in lines)


def test_the_doctor_counts_the_zoo_and_a_run_without_it_works(zoo_config, tmp_path, capsys):
    root, _ = zoo_config
    arguments = ["-c", str(tmp_path / "tiny.yaml"), "-o", f"data.root={root}"]
    assert main(["doctor", *arguments, "--data-only"]) == 3
    assert "33 of 143 images are unreadable" in capsys.readouterr().out
    assert main(["doctor", *arguments, "--data-only", "-o", "data.on_bad_image=skip"]) == 3  # copies are a problem, too
    assert "warning  33 of 143 images are unreadable" in capsys.readouterr().out
    assert main(["train", *arguments, "-o", "solver.epochs=1"]) == 3
    assert "cannot read image" in capsys.readouterr().err
    assert main(["train", *arguments, "-o", "solver.epochs=1", "-o", "data.on_bad_image=skip", "--overwrite"]) == 0
    assert len((tmp_path / "run" / LABELS).read_text().splitlines()) == 1 + 48 + len(GOOD)


def test_an_image_that_vanishes_after_it_was_listed_ends_the_run(zoo_config, tmp_path):
    _, cfg = zoo_config
    with pytest.warns(PpreidWarning):
        split = read_split(cfg.data, skipped_list=tmp_path / BAD_IMAGES)
    os.remove(split.gallery[3].path)
    dataset = ImageDataset(split.gallery, lambda image: eval_transform(image, height=32, width=16))
    with pytest.raises(DataError, match=f"{split.gallery[3].path}: the file does not exist"):
        list(BatchReader(dataset, image_shape=(3, 32, 16), num_workers=2, worker_timeout=300).read([range(8)]))


ODD_NAMES = [b"0001_c1s1_\n00.jpg", b"0001_c1s1_\xff.jpg", "0001_c1s1_é人.jpg".encode(), b'0001_c1s1_=1",;.jpg']


def test_odd_names_are_trained_on_and_come_back_from_the_files(tiny_root, write_tiny_config, tmp_path, capsys):
    root = tmp_path / "data" / "demo"
    for path in (tiny_root / "demo").rglob("*.jpg"):
        (root / path.parent.name).mkdir(parents=True, exist_ok=True)
        (root / path.parent.name / path.name).write_bytes(path.read_bytes())
    content = next((root / "bounding_box_train").iterdir()).read_bytes()
    for name in ODD_NAMES:
        Path(os.fsdecode(os.fsencode(root / "bounding_box_train") + b"/" + name)).write_bytes(content)
    cfg = load_config(write_tiny_config(tmp_path), [f"data.root={root}", "solver.epochs=1"])
    train(cfg)
    for name in ODD_NAMES:
        assert name.replace(b'"', b'""') in (tmp_path / "run" / LABELS).read_bytes()
    assert main(["doctor", "-c", str(tmp_path / "tiny.yaml"), "-o", f"data.root={root}", "--data-only"]) == 0


def test_odd_names_survive_the_csv_beside_features(tmp_path):
    records = [ImageRecord(os.fsdecode(name), 1, 0) for name in ODD_NAMES]
    np.save(tmp_path / "features.npy", np.eye(4, dtype=np.float32))
    write_records(tmp_path / "features.csv", records)
    assert read_features(tmp_path / "features.npy").names == [record.path for record in records]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_odd_names_are_shown_on_one_line(name, tmp_path):
    shown = printable(os.fsdecode(name))
    assert len(shown.splitlines()) == 1 and shown.encode("utf-8")
    with pytest.raises(DataError) as caught:
        load_image(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    assert str(caught.value) == f"cannot read image {tmp_path}/{shown}: the file does not exist"
