"""Draw a procedural pedestrian, seen from the front, the back or a side.

All lengths are in body heights: (0, 0) is the ground between the feet, (0, 1) the top of the head.
"""

import numpy as np
from PIL import Image

from ppreid.demo.appearance import Appearance
from ppreid.demo.canvas import Canvas, Colour, Point, between
from ppreid.demo.clothes import cover, draw_head, paint_garment, torso_shadow
from ppreid.demo.pose import Arm, Figure, Pose, measure, near_arms, swinging_arm

_FAR_SHADE = 0.72  # limbs on the far side of the body are darker


def draw_person(canvas: Canvas, look: Appearance, pose: Pose) -> None:
    """Draw a person, from the far parts to the near ones.

    Args:
        canvas: where to draw, in body heights with the feet at (0, 0).
        look: the person.
        pose: how the person stands.
    """
    figure = measure(look, pose)
    garment = paint_garment(canvas, look, pose.view, figure.shoulder, figure.shoulder_y, figure.hem_y)
    canvas.ellipse((0, 0.005), (0.14, 0.012), np.array((70.0, 70, 74)))  # shadow on the ground
    if pose.facing:
        _draw_side_legs_and_far_arm(canvas, garment, look, pose, figure)
    else:
        _draw_front_legs(canvas, look, figure)
    _draw_lap(canvas, look, figure)
    _draw_torso(canvas, garment, look, figure)
    head = Point(0.012 * (pose.facing or pose.turn), 1 - 0.071 * look.head)
    draw_head(canvas, look, pose.view, pose.facing, head, neck_y=figure.shoulder_y)
    arms = near_arms(pose, figure)
    for arm in arms:
        _draw_arm(canvas, garment, look, figure, arm, shade=1.0 if pose.facing else 0.92)
    _draw_bag(canvas, look, pose, figure, arms)


def _draw_front_legs(canvas: Canvas, look: Appearance, figure: Figure) -> None:
    for side in (-1, 1):
        lifted = max(0.0, side * figure.stride)
        hip = Point(side * figure.hip * 0.5, figure.hip_y)
        foot = Point(side * figure.hip * 0.5, 0.02 + 0.06 * lifted)
        knee = Point(side * figure.hip * 0.54, figure.hip_y * 0.52)
        shade = 0.86 if lifted else 1.0
        _draw_leg(canvas, look, figure, (hip, knee, foot), shade)
        canvas.ellipse(Point(foot.x * 1.04, foot.y), (0.037 * look.girth, 0.026), look.shoes * shade)


def _draw_side_legs_and_far_arm(
    canvas: Canvas, garment: Image.Image, look: Appearance, pose: Pose, figure: Figure
) -> None:
    reach = 0.115 * figure.stride * pose.facing
    for direction, shade in ((-1, _FAR_SHADE), (1, 1.0)):
        if direction == 1:  # between the far and the near leg
            _draw_arm(canvas, garment, look, figure, swinging_arm(figure, 0.0, -reach), _FAR_SHADE)
            if look.bag == "backpack":
                _draw_backpack_aside(canvas, look, pose, figure)
        lifted = max(0.0, direction * figure.stride)
        foot = Point(direction * reach, 0.022 + 0.02 * lifted)
        knee = Point(direction * reach * 0.45 + 0.014 * pose.facing, figure.hip_y * 0.52)
        _draw_leg(canvas, look, figure, (Point(0, figure.hip_y), knee, foot), shade)
        if look.side_stripe is not None and look.lower in ("trousers", "leggings"):
            for start, end in ((Point(0, figure.hip_y), knee), (knee, foot)):
                canvas.limb(start, end, figure.leg_radius * 0.2, figure.leg_radius * 0.2, look.side_stripe * shade)
        toe = Point(foot.x + 0.05 * pose.facing * look.girth, foot.y - 0.008)
        canvas.limb(foot, toe, 0.026 * look.girth, 0.013, look.shoes * shade)


def _draw_leg(
    canvas: Canvas, look: Appearance, figure: Figure, joints: tuple[Point, Point, Point], shade: float
) -> None:
    hip, knee, foot = joints
    radius, skin, cloth = figure.leg_radius, look.skin * shade, look.lower_colour * shade
    if look.lower in ("shorts", "skirt"):
        canvas.limb(hip, knee, radius * 0.8, radius * 0.62, skin)
        canvas.limb(knee, foot, radius * 0.62, radius * 0.45, skin)
    if look.lower == "shorts":
        canvas.limb(hip, between(hip, knee, 0.92), radius, radius * 0.92, cloth)
    if look.lower in ("trousers", "leggings"):
        ankle = 0.72 if look.lower == "trousers" else 0.5
        canvas.limb(hip, knee, radius, radius * 0.8, cloth)
        canvas.limb(knee, foot, radius * 0.8, radius * ankle, cloth)
    if look.boots:
        canvas.limb(between(knee, foot, 0.6), foot, radius * 0.80, radius * 0.74, look.shoes * shade)


def _draw_lap(canvas: Canvas, look: Appearance, figure: Figure) -> None:
    hip, top = figure.hip, figure.hip_y + 0.04
    if look.lower == "skirt":
        wide, bottom = hip * 1.35 + 0.016 * abs(figure.stride), figure.hip_y * 0.58
        canvas.polygon([(-hip * 0.95, top), (hip * 0.95, top), (wide, bottom), (-wide, bottom)], look.lower_colour)
    else:
        canvas.box(-hip, figure.hip_y - 0.035, hip, top, look.lower_colour, corner=0.02)


def _draw_torso(canvas: Canvas, garment: Image.Image, look: Appearance, figure: Figure) -> None:
    shoulder, hip, y = figure.shoulder, figure.hip, figure.shoulder_y
    waist = (shoulder * 0.82 + hip * 0.35) * 0.78
    right = [
        (shoulder * 0.32, y + 0.022),
        (shoulder * 0.75, y + 0.002),
        (shoulder, y - 0.035),
        (waist, (y + figure.hip_y) / 2),
        (hip * 1.08, figure.hem_y),
    ]
    mask = canvas.on(Image.new("L", canvas.image.size))
    mask.polygon(right + [(-x, y) for x, y in reversed(right)], 255)
    cover(canvas, garment, mask.image, torso_shadow(canvas, shoulder))


def _draw_arm(canvas: Canvas, garment: Image.Image, look: Appearance, figure: Figure, arm: Arm, shade: float) -> None:
    shoulder, elbow, hand = arm
    radius = figure.arm_radius
    canvas.limb(elbow, hand, radius * 0.72, radius * 0.6, look.skin * shade)
    canvas.limb(shoulder, elbow, radius * 0.85, radius * 0.72, look.skin * shade)
    sleeve = canvas.on(Image.new("L", canvas.image.size))
    if look.sleeve == "long":
        sleeve.limb(shoulder, elbow, radius, radius * 0.87, 255)
        sleeve.limb(elbow, between(elbow, hand, 0.8), radius * 0.87, radius * 0.76, 255)
    elif look.sleeve == "short":
        sleeve.limb(shoulder, between(shoulder, elbow, 0.65), radius, radius * 0.98, 255)
    cover(canvas, garment, sleeve.image, Image.new("L", canvas.image.size, round(255 * (1 - shade))))


def _draw_backpack_aside(canvas: Canvas, look: Appearance, pose: Pose, figure: Figure) -> None:
    near, far = -pose.facing * figure.shoulder * 0.5, -pose.facing * (figure.shoulder + 0.075)
    drop = figure.shoulder_y - figure.hip_y
    left, right = sorted((near, far))
    canvas.box(left, figure.shoulder_y - drop * 0.8, right, figure.shoulder_y - 0.03, look.bag_colour, corner=0.03)


def _draw_bag(canvas: Canvas, look: Appearance, pose: Pose, figure: Figure, arms: list[Arm]) -> None:
    colour, dark = look.bag_colour, look.bag_colour * 0.72
    if look.bag == "backpack":
        _draw_backpack(canvas, pose.view, figure, colour, dark)
    elif look.bag == "shoulder" and pose.view != "left":  # it hangs at one side of the body
        side = -1 if pose.view == "back" else 1
        x = 0.0 if pose.facing else side * figure.shoulder * 0.95
        if not pose.facing:
            strap_end = Point(x, figure.hip_y + 0.01)
            canvas.limb(Point(-side * figure.shoulder * 0.55, figure.shoulder_y), strap_end, 0.009, 0.009, dark)
        canvas.box(x - 0.052, figure.hip_y - 0.075, x + 0.052, figure.hip_y + 0.04, colour, corner=0.014)
        canvas.box(x - 0.052, figure.hip_y - 0.005, x + 0.052, figure.hip_y + 0.04, dark, corner=0.014)
    elif look.bag == "hand" and pose.view != "right":  # carried in one hand, on the other side
        hand = arms[1 if pose.view == "front" else 0].hand
        canvas.limb(hand, Point(hand.x, hand.y - 0.04), 0.018, 0.025, dark)
        canvas.box(hand.x - 0.05, hand.y - 0.125, hand.x + 0.05, hand.y - 0.03, colour, corner=0.01)


def _draw_backpack(canvas: Canvas, view: str, figure: Figure, colour: Colour, dark: Colour) -> None:
    shoulder, top, drop = figure.shoulder, figure.shoulder_y, figure.shoulder_y - figure.hip_y
    if view == "back":
        wide = shoulder * 0.72
        canvas.box(-wide, top - drop * 0.82, wide, top - 0.005, colour, corner=0.04)
        canvas.box(-wide * 0.7, top - drop * 0.72, wide * 0.7, top - drop * 0.42, dark, corner=0.02)
    elif view == "front":
        for side in (-1, 1):
            start = Point(side * shoulder * 0.52, top + 0.008)
            canvas.limb(start, Point(side * shoulder * 0.62, top - drop * 0.55), 0.0135, 0.0135, colour)
