"""Recordings to frames: times, damage, streams, and what is no recording."""

import http.server
import io
import os
import re
import struct
import threading
import time

import numpy as np
import pytest
from PIL import Image

from ppreid.base.errors import ConfigError, DataError
from ppreid.base.optional import opencv
from ppreid.recordings.sources import Recording, name_cameras


def every(number, moment):
    return True


def read(source, is_wanted=every, **options):
    recording = Recording(str(source), **options)
    return recording, list(recording.frames(is_wanted))


def write_video(path, *, frames=10, rate=10.0, code="mp4v"):
    cv2 = opencv("this test")
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter_fourcc(*code), rate, (64, 48))
    assert writer.isOpened()
    for number in range(frames):
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:, :, 2] = 20 * number % 256  # red, in OpenCV's order
        writer.write(picture)
    writer.release()


def with_times(path, deltas):
    """Write other durations of the frames into an MP4 file whose tables are at its end."""
    content = bytearray(path.read_bytes())
    place = content.index(b"stts") - 4
    old = struct.unpack(">I", content[place : place + 4])[0]
    entries = b"".join(struct.pack(">II", 1, delta) for delta in deltas)
    new = struct.pack(">I4sII", 16 + len(entries), b"stts", 0, len(deltas)) + entries
    content[place : place + old] = new
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl"):
        at = content.index(name) - 4
        size = struct.unpack(">I", content[at : at + 4])[0] + len(new) - old
        content[at : at + 4] = struct.pack(">I", size)
    # the edit list says how much of the frames is to be shown: as much as there was
    path.write_bytes(content.replace(b"edts", b"free"))


def test_frames_come_in_order_with_times_and_colours(tmp_path):
    write_video(tmp_path / "a.mp4")
    recording, frames = read(tmp_path / "a.mp4")
    assert (recording.size, recording.declared, recording.is_live) == ((64, 48), 10, False)
    assert [frame.number for frame in frames] == list(range(10))
    assert [frame.time for frame in frames] == pytest.approx([0.1 * number for number in range(10)], abs=1e-3)
    reds = [frame.picture[:, :, 0].mean() for frame in frames]
    assert reds == pytest.approx([20 * number for number in range(10)], abs=6)
    assert all(frame.picture[:, :, 2].mean() < 12 for frame in frames)
    assert (recording.damaged, recording.missing) == (0, 0)


def test_only_wanted_frames_are_decoded(tmp_path):
    write_video(tmp_path / "a.mp4")
    _, frames = read(tmp_path / "a.mp4", lambda number, moment: number in (2, 7))
    assert [frame.number for frame in frames if frame.picture is not None] == [2, 7]
    assert len(frames) == 10


def test_a_varying_frame_rate_has_the_times_of_the_container(tmp_path):
    write_video(tmp_path / "a.mp4")
    scale = struct.unpack(">I", re.search(rb"mdhd.{12}(.{4})", (tmp_path / "a.mp4").read_bytes(), re.DOTALL)[1])[0]
    steps = [0.1, 0.1, 0.5, 0.1, 1.0, 0.1, 0.1, 0.2, 0.1, 0.1]
    with_times(tmp_path / "a.mp4", [round(step * scale) for step in steps])
    _, frames = read(tmp_path / "a.mp4")
    expected = [0.0, *np.cumsum(steps)[:-1]]
    assert [frame.time for frame in frames] == pytest.approx(expected, abs=2e-3)


def test_damage_in_the_middle_is_no_end(tmp_path):
    """Every frame of Motion JPEG stands alone."""
    write_video(tmp_path / "a.avi", frames=20, code="MJPG")
    content = bytearray((tmp_path / "a.avi").read_bytes())
    starts = [found.start() for found in re.finditer(rb"\xff\xd8\xff", content)]
    assert len(starts) >= 20
    for start, end in ((starts[5], starts[6] - 8), (starts[12], starts[13] - 8)):
        content[start:end] = bytes(end - start)
    (tmp_path / "a.avi").write_bytes(content)
    recording, frames = read(tmp_path / "a.avi")
    assert len(frames) == 18
    assert recording.damaged + recording.missing == 2
    assert frames[-1].picture[:, :, 0].mean() == pytest.approx(20 * 19 % 256, abs=8)


def test_a_folder_of_frames_is_a_recording_and_damaged_ones_are_counted(tmp_path):
    for number in range(6):
        Image.new("RGB", (20, 10), (number, 0, 0)).save(tmp_path / f"{number:03d}.png")
    (tmp_path / "003.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not one either")
    recording, frames = read(tmp_path, rate=4.0)
    assert [(frame.number, frame.time) for frame in frames] == [(n, n / 4) for n in (0, 1, 2, 4, 5)]
    assert [int(frame.picture[0, 0, 0]) for frame in frames] == [0, 1, 2, 4, 5]
    assert (recording.size, recording.damaged) == ((20, 10), 1)


def mp4_without_its_end(path):
    write_video(path)
    path.write_bytes(path.read_bytes()[:-400])


BAD = {
    "missing": (lambda path: None, "cannot read .*a.mp4: No such file"),
    "pipe": (os.mkfifo, "it is a pipe, socket or device"),
    "empty": (lambda path: path.touch(), r"a.mp4 is empty \(0 bytes\)"),
    "text": (lambda path: path.write_text("hello " * 99), "is no video that OpenCV knows; give a video file"),
    "cut off": (
        mp4_without_its_end,
        "is MP4 or MOV by its first bytes, but cannot be opened: it is cut off or damaged",
    ),
    "empty folder": (lambda path: path.mkdir(), "holds no pictures"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_recording_is_named_with_what_to_do(tmp_path, name):
    make, words = BAD[name]
    make(tmp_path / "a.mp4")
    with pytest.raises(DataError, match=words):
        read(tmp_path / "a.mp4")


def test_a_codec_that_is_missing_is_said(tmp_path):
    write_video(tmp_path / "a.avi", code="MJPG")
    content = (tmp_path / "a.avi").read_bytes()
    (tmp_path / "a.avi").write_bytes(content.replace(b"MJPG", b"QQQQ"))
    with pytest.raises(DataError, match=r"a.avi.*codec is missing in this OpenCV.*ffmpeg -i"):
        read(tmp_path / "a.avi")


@pytest.fixture
def server():
    """A server on this machine: /stream sends eight JPEG pictures and then nothing, /file a video."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            if self.path == "/file.avi":
                self.send_header("Content-Length", str(len(Handler.file)))
                self.end_headers()
                self.wfile.write(Handler.file)
                return
            self.send_header("Content-Type", "multipart/x-mixed-replace;boundary=next")
            self.end_headers()
            for number in range(40):
                picture = io.BytesIO()
                Image.fromarray(np.full((48, 64, 3), 6 * number, np.uint8)).save(picture, "JPEG")
                self.wfile.write(b"--next\r\nContent-Type: image/jpeg\r\n")
                self.wfile.write(b"Content-Length: %d\r\n\r\n" % picture.tell() + picture.getvalue() + b"\r\n")
                time.sleep(0.01)
            if self.path == "/stops":
                stopped.wait(30)

        def log_message(self, *arguments):
            pass

    stopped = threading.Event()
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    Handler.url = f"http://127.0.0.1:{running.server_port}"
    yield Handler
    stopped.set()
    running.shutdown()
    thread.join()
    running.server_close()


def test_a_stream_has_no_end_of_its_own_and_the_times_of_the_clock(server):
    before = time.time()
    recording, frames = read(f"{server.url}/stream.mjpg", timeout=5)
    assert recording.is_live and recording.size == (64, 48)
    assert len(frames) >= 30
    assert all(before < frame.time < time.time() for frame in frames)
    assert [frame.number for frame in frames] == list(range(len(frames)))
    brightness = [frame.picture.mean() for frame in frames]
    assert brightness == sorted(brightness)


def test_a_camera_that_stops_ends_after_the_timeout(server):
    recording, frames = read(f"{server.url}/stops", timeout=1)
    assert recording.is_live and len(frames) >= 30


def test_a_video_behind_an_address_is_a_file(server, tmp_path):
    write_video(tmp_path / "a.avi", code="MJPG")
    server.file = (tmp_path / "a.avi").read_bytes()
    recording, frames = read(f"{server.url}/file.avi", timeout=5)
    assert not recording.is_live and len(frames) == 10


def test_a_camera_that_is_off_is_named_without_its_password():
    with pytest.raises(DataError, match=r"http://\.\.\.@127\.0\.0\.1:9/cam sends no video within 1 seconds"):
        read("http://user:secret@127.0.0.1:9/cam", timeout=1)


def test_cameras_have_the_names_of_files_folders_and_hosts():
    sources = ["/data/cam 1.mp4", "frames/hall/", "rtsp://user:secret@192.168.1.7:554/live"]
    assert name_cameras(sources, []) == ["cam_1", "hall", "192.168.1.7"]
    assert name_cameras(sources, ["a", "b", "c"]) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("sources", "names", "words"),
    [
        (["a/cam.mp4", "b/cam.mp4"], [], "two cameras are called 'cam'; give --camera"),
        (["a.mp4", "b.mp4"], ["one"], "2 sources, but --camera was given 1 times"),
        (["a.mp4"], ["../up"], "letters, digits, dots"),
        (["...mp4"], [], "would be called ''"),
    ],
)
def test_names_that_cannot_be_folders_are_refused(sources, names, words):
    with pytest.raises(ConfigError, match=words):
        name_cameras(sources, names)
