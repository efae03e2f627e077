"""Head, hair and hat of a procedural pedestrian."""

import numpy as np

from ppreid.demo.appearance import Appearance
from ppreid.demo.canvas import Canvas, Point

_HALF_HEAD = 0.068  # half the height of an average head, in body heights
_EYES = np.array((38.0, 30, 28))


def draw_head(canvas: Canvas, look: Appearance, view: str, facing: int, centre: Point, *, neck_y: float) -> None:
    """Draw neck, head, hair and hat.

    Args:
        canvas: where to draw, in body heights.
        look: the person.
        view: front, back, left or right.
        facing: -1 to the left, 1 to the right, else 0.
        centre: centre of the head.
        neck_y: height at which the neck begins.
    """
    size = _HALF_HEAD * look.head
    head = canvas.zoomed(size, centre)  # from here on the face is 1 high above and below (0, 0)
    neck = Point(-0.1 * facing, (neck_y - centre.y) / size + 0.12)
    if look.hairstyle == "long" and facing:
        head.ellipse((-0.38 * facing, -0.5), (0.72, 1.35), look.hair * 0.9)
    head.limb(neck, Point(0, -0.4), 0.42, 0.40, look.skin * 0.88)
    head.ellipse((0, 0), (0.84, 1.05), look.skin * 0.82)  # a darker rim separates the face from any background
    if not facing:
        for side in (-1, 1):
            head.ellipse((side * 0.80, 0), (0.13, 0.22), look.skin * 0.9)
    head.ellipse((0, 0), (0.78, 1.0), look.skin)
    if view == "front":
        _draw_face(head, look, (-0.33, 0.33))
    elif facing:
        head.ellipse((facing * 0.74, -0.1), (0.18, 0.14), look.skin)  # nose
        _draw_face(head, look, (facing * 0.48,))
    if look.hairstyle != "bald":
        _draw_hair(head, look, view, facing)
    if look.hat != "none":
        _draw_hat(head, look, view, facing)


def _draw_face(head: Canvas, look: Appearance, eyes: tuple[float, ...]) -> None:
    middle = sum(eyes) / len(eyes)
    for x in eyes:
        head.ellipse((x, 0.0), (0.11, 0.11), _EYES)
    head.box(middle - 0.2, -0.58, middle + 0.2, -0.47, look.skin * 0.68)


def _draw_hair(head: Canvas, look: Appearance, view: str, facing: int) -> None:
    hair = look.hair
    if look.hairstyle == "bun":
        head.ellipse((-0.85 * facing, 0.7 if facing else 1.05), (0.38, 0.38), hair * 0.9)
    if view == "back":
        for rim, colour in ((0.09, hair * 0.8), (0.0, hair)):
            head.ellipse((0, 0.14), (0.86 + rim, 0.92 + rim), colour)
            if look.hairstyle == "bob":
                head.box(-0.92 - rim, -0.85 - rim, 0.92 + rim, 0.2, colour, corner=0.3)
            elif look.hairstyle == "long":
                head.ellipse((0, -0.75), (0.86 + rim, 1.6 + rim), colour)
    elif facing:
        head.ellipse((-0.32 * facing, 0.28), (0.66, 0.82), hair)
        head.dome((-0.02 * facing, 0.36), (0.84, 0.74), hair)
        if look.hairstyle in ("bob", "long"):
            head.ellipse((-0.45 * facing, -0.25), (0.5, 0.75), hair)
    else:
        head.dome((0, 0.32), (0.88, 0.8), hair)
        lowest = {"bob": -0.75, "long": -1.6}.get(look.hairstyle)
        if lowest is not None:
            for side in (-1, 1):
                head.limb(Point(side * 0.76, 0.3), Point(side * 0.92, lowest), 0.16, 0.22, hair)


def _draw_hat(head: Canvas, look: Appearance, view: str, facing: int) -> None:
    colour, dark = look.hat_colour, look.hat_colour * 0.75
    if look.hat == "beanie":
        head.dome((0, 0.3), (0.96, 0.95), colour)
        head.box(-0.98, 0.24, 0.98, 0.48, dark, corner=0.1)
    else:
        head.dome((0, 0.3), (0.94, 0.86), colour)
        if view != "back":
            head.ellipse((0.75 * facing, 0.3), (0.8, 0.16), dark)
