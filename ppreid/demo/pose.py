"""How a procedural pedestrian stands: the pose, and the lengths and joints that follow from it.

All lengths are in body heights: (0, 0) is the ground between the feet, (0, 1) the top of the head.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ppreid.demo.appearance import Appearance
from ppreid.demo.canvas import Point

VIEWS = ("front", "back", "left", "right")


@dataclass(frozen=True)
class Pose:
    """What changes about a person from image to image.

    Attributes:
        view: one of VIEWS.
        stride: from -1 (one leg in front) to 1 (the other one).
        turn: small turn away from the view, -1 to 1.
    """

    view: str
    stride: float
    turn: float

    @property
    def facing(self) -> int:
        """-1 to the left, 1 to the right, 0 towards the camera or away from it."""
        return {"left": -1, "right": 1}.get(self.view, 0)


class Figure(NamedTuple):
    """Lengths of one person in one view; widths are measured from the body axis."""

    shoulder_y: float
    hip_y: float
    hem_y: float
    shoulder: float
    hip: float
    leg_radius: float
    arm_radius: float
    stride: float


class Arm(NamedTuple):
    """Joints of one arm."""

    shoulder: Point
    elbow: Point
    hand: Point


def random_pose(rng: np.random.Generator, view_weights: np.ndarray) -> Pose:
    """Draw a pose.

    Args:
        rng: random numbers of the image.
        view_weights: (4,) how often the camera sees people from each of VIEWS, sum 1.

    Returns:
        The pose.
    """
    view = str(rng.choice(VIEWS, p=view_weights))
    return Pose(view, stride=float(np.sin(rng.uniform(0, 2 * np.pi))), turn=rng.uniform(-1, 1))


def measure(look: Appearance, pose: Pose) -> Figure:
    """Lengths of a person in a pose; a body seen from the side is narrower.

    Args:
        look: the person.
        pose: the pose.

    Returns:
        The lengths.
    """
    width = look.girth * (0.58 if pose.facing else 1 - 0.04 * abs(pose.turn))
    shoulder_y, hip_y = 0.835, look.leg
    return Figure(
        shoulder_y=shoulder_y,
        hip_y=hip_y,
        hem_y=shoulder_y - (shoulder_y - hip_y) * look.upper_length,
        shoulder=0.134 * width,
        hip=0.108 * width * look.hip,
        leg_radius=0.051 * look.girth * (0.8 if look.lower == "leggings" else 1.0),
        arm_radius=0.035 * look.girth,
        stride=pose.stride * look.swing,
    )


def swinging_arm(figure: Figure, x: float, swing: float, spread: float = 0.0) -> Arm:
    """Joints of an arm that hangs from the shoulder.

    Args:
        figure: lengths of the person.
        x: of the shoulder.
        swing: how far the hand is in front (x grows) or behind.
        spread: how far the elbow stands off.

    Returns:
        The joints.
    """
    shoulder = Point(x, figure.shoulder_y - 0.034)
    elbow = Point(x + 0.45 * swing + spread, (figure.shoulder_y + figure.hip_y) / 2)
    hand = Point(x + swing + 1.2 * spread, figure.hip_y - 0.012 + 0.25 * abs(swing))
    return Arm(shoulder, elbow, hand)


def near_arms(pose: Pose, figure: Figure) -> list[Arm]:
    """Arms in front of the body: one from the side, otherwise the one at the left of the image and the other.

    Args:
        pose: the pose.
        figure: lengths of the person.

    Returns:
        One or two arms.
    """
    if pose.facing:
        return [swinging_arm(figure, 0.0, -0.106 * figure.stride * pose.facing)]
    swing = 0.026 * figure.stride
    return [swinging_arm(figure, s * figure.shoulder * 0.92, s * swing, spread=s * 0.02) for s in (-1, 1)]
