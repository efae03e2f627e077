"""Who walks through the picture of which camera when: the plan of drawn recordings."""

from typing import NamedTuple

import numpy as np

from ppreid.demo.pose import Pose
from ppreid.demo.shots import way_stream

_STEP = 0.42  # body heights from one foot to the other
_COMES_BACK = 0.3  # share of walks that lead into the same picture again
_OUTSIDE = 0.35  # body heights beyond the edge, where nothing of a person is seen any more
_FAR, _NEAR = 0.84, 0.98  # where feet are, in picture heights from above
_FAR_SIZE, _NEAR_SIZE = 0.52, 0.64  # body heights of the tallest, in picture heights


class Walk(NamedTuple):
    """One walk of a person through the picture of one camera, with a stop on the way.

    Attributes:
        person: number, from 1.
        camera: 0-based.
        start: seconds into the recording, when the person is just outside of the picture.
        facing: 1 to the right, -1 to the left.
        speed: body heights per second.
        depth: 0 far to 1 near.
        stop: where on the way the person stops, 0 to 1.
        pause: seconds for which the person stands there.
        view: "front" or "back" while standing.
    """

    person: int
    camera: int
    start: float
    facing: int
    speed: float
    depth: float
    stop: float
    pause: float
    view: str


class Place(NamedTuple):
    """Where a person is at a moment, in picture heights from the upper left corner.

    Attributes:
        x: of the middle between the feet.
        y: of the feet, downwards.
        size: height of the tallest person there.
        pose: how the person stands.
    """

    x: float
    y: float
    size: float
    pose: Pose


def plan_walks(*, people: int, cameras: int, seconds: float, aspect: float, seed: int) -> list[Walk]:
    """Let everybody walk from camera to camera until the recording ends; nobody is in two places at once.

    People leave a picture, and come back into it or into another one; ways of different people cross.

    Args:
        people: number of them, at least 1.
        cameras: number of them, at least 1.
        seconds: length of the recording.
        aspect: width of the picture in picture heights.
        seed: start of the random numbers.

    Returns:
        All walks that begin in time, by person and start.
    """
    walks = []
    for person in range(1, people + 1):
        rng = way_stream(seed, person)
        now, camera = rng.uniform(-0.1, 0.4) * seconds, int(rng.integers(cameras))
        while now < seconds:
            walk = Walk(
                person,
                camera,
                start=now,
                facing=int(rng.choice((-1, 1))),
                speed=rng.uniform(0.42, 0.62),
                depth=rng.uniform(),
                stop=rng.uniform(0.3, 0.7),
                pause=rng.uniform(0, 2),
                view=str(rng.choice(("front", "back"))),
            )
            walks.append(walk)
            now += duration(walk, aspect) + rng.uniform(1, 6)
            if rng.random() > _COMES_BACK:
                camera = int(camera + rng.integers(1, max(2, cameras))) % cameras
    return walks


def duration(walk: Walk, aspect: float) -> float:
    """Seconds that a walk takes through a picture that is `aspect` picture heights wide."""
    return _length(walk, aspect) / (walk.speed * _size(walk)) + walk.pause


def place_at(walk: Walk, seconds: float, aspect: float) -> Place | None:
    """Where the person of a walk is at a time of the recording; None before and after the walk."""
    since, size = seconds - walk.start, _size(walk)
    if not 0 <= since <= duration(walk, aspect):
        return None
    length, speed = _length(walk, aspect), walk.speed * size
    reached = walk.stop * length
    stands = reached / speed <= since < reached / speed + walk.pause
    done = reached if stands else speed * (since if since * speed < reached else since - walk.pause)
    x = done - _OUTSIDE * size if walk.facing > 0 else aspect + _OUTSIDE * size - done
    stride = float(np.sin(np.pi * done / (_STEP * size)))
    pose = Pose(walk.view, 0.0, 0.0) if stands else Pose("right" if walk.facing > 0 else "left", stride, 0.0)
    return Place(x, _FAR + walk.depth * (_NEAR - _FAR), size, pose)


def _size(walk: Walk) -> float:
    return _FAR_SIZE + walk.depth * (_NEAR_SIZE - _FAR_SIZE)


def _length(walk: Walk, aspect: float) -> float:
    return aspect + 2 * _OUTSIDE * _size(walk)
