"""Crops of a long recording: memory does not grow with its length, and a kill in the middle costs nothing."""

import itertools
import signal
import subprocess
import sys
import time

import cv2
import numpy as np
import pytest
from cropping import contents, table

from ppreid.recordings.boxes import read_boxes
from ppreid.recordings.sources import Recording

ROUND, LONG = 40, 30  # frames of the drawn recording, and how often the long one has them
GROWTH = 12_000_000  # bytes; the pictures of the long one that are looked at have 69 million
MEASURED = """
import resource, sys
import numpy as np
from ppreid import tables
from ppreid.cli import main

small, boxes = np.load(sys.argv[1]).values()

def detect(picture):  # as a detector that is always right, and quick: whose picture is it?
    frame = ((small - picture[::16, ::16].astype(float)) ** 2).sum(axis=(1, 2, 3)).argmin()
    return boxes[boxes[:, 0] == frame, 1:]

tables.DETECTORS["known"] = tables.Detector(lambda **keys: detect)
code = main(["crops", *sys.argv[2:], "--detector", "known", "--per-second", "2.5"])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
sys.exit(code)
"""


@pytest.fixture(scope="module")
def recordings(drawn, tmp_path_factory):
    """The same four seconds again and again: three times, and for two minutes."""
    folder = tmp_path_factory.mktemp("long")
    pictures = [frame.picture for frame in Recording(str(drawn / "camera1.mp4")).frames(lambda number, moment: True)]
    truth = read_boxes(drawn / "camera1.txt").frames
    boxes = [np.insert(there.boxes, 0, number, axis=1) for number, there in truth.items()]
    small = np.array([picture[::16, ::16] for picture in pictures], float)
    assert len(small) == ROUND
    np.savez(folder / "known.npz", small=small, boxes=np.concatenate(boxes))
    files = []
    for rounds in (3, LONG):
        files.append(folder / str(rounds) / "camera1.mp4")
        files[-1].parent.mkdir()
        height, width, _ = pictures[0].shape
        writer = cv2.VideoWriter(str(files[-1]), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, (width, height))
        for picture in pictures * rounds:
            writer.write(picture[:, :, ::-1])
        writer.release()
    return files


def start(video, out):
    known = video.parents[1] / "known.npz"
    command = [sys.executable, "-c", MEASURED, *map(str, (known, video, "--out", out))]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def peak(video, out):
    """Bytes of memory that the command needed, at most."""
    process = start(video, out)
    said, _ = process.communicate()
    assert process.returncode == 0
    return int(said.split()[-1])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_length_and_a_kill_in_the_middle_costs_nothing(recordings, tmp_path):
    short, long = recordings
    few, half, whole = (tmp_path / name / "out" for name in ("few", "half", "whole"))
    least = peak(short, few)
    assert peak(long, whole) < least + GROWTH

    process = start(long, half)
    while process.poll() is None and len(list(half.rglob("*.jpg"))) < len(table(whole / "tracks.csv")) // 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (half / "tracks.csv").exists()
    assert peak(long, half) < least + GROWTH
    assert contents(half) == contents(whole)

    times = sorted({float(row["time"]) for row in table(whole / "tracks.csv")})
    assert len(times) > LONG and times[-1] > 4 * LONG - 4
    assert min(b - a for a, b in itertools.pairwise(times)) > 0.39  # 2.5 looks in a second
