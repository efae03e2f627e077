"""Head, hair and hat of a procedural pedestrian, its patterned cloth, and how that is laid over the body."""

import numpy as np
from PIL import Image, ImageChops

from ppreid.demo.appearance import Appearance
from ppreid.demo.canvas import Canvas, Colour, Point

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


_REACH = 0.32  # cloth is painted this far from the body axis, so that it also covers swinging arms


def paint_garment(
    canvas: Canvas, look: Appearance, view: str, shoulder: float, shoulder_y: float, hem_y: float
) -> Image.Image:
    """Paint the upper garment as a flat cloth, which `cover` cuts to the torso and the sleeves.

    Args:
        canvas: gives size and coordinates (body heights).
        look: the person.
        view: front, back, left or right; a print and an open jacket do not show on the back.
        shoulder: half the width of the shoulders.
        shoulder_y: height of the shoulders.
        hem_y: height of the lower end.

    Returns:
        RGB image of the size of the canvas.
    """
    cloth = canvas.on(Image.new("RGB", canvas.image.size, tuple(int(v) for v in look.upper)))
    _paint_pattern(cloth, look, shoulder_y, hem_y)
    if view == "back":
        return cloth.image
    towards = {"left": -1, "right": 1}.get(view, 0)  # what is on the chest shows at the edge of a side view
    if look.pattern == "logo":
        size = shoulder * (0.34 if towards else 0.46)
        x, y = towards * shoulder * 0.6, shoulder_y - 0.36 * (shoulder_y - hem_y)
        _paint_logo(cloth, look.logo, x, y, size, look.upper_accent)
    if look.open_jacket:
        x, half = towards * shoulder * 0.72, shoulder * (0.16 if towards else 0.22)
        top, bottom = shoulder_y + 0.03, hem_y - 0.03
        gap = [(x - half, top), (x + half, top), (x + 1.7 * half, bottom), (x - 1.7 * half, bottom)]
        cloth.polygon(gap, look.inner)
    return cloth.image


def cover(canvas: Canvas, cloth: Image.Image, mask: Image.Image, shadow: Image.Image) -> None:
    """Lay cloth over a canvas.

    Args:
        canvas: what is covered.
        cloth: RGB image of the size of the canvas.
        mask: L image; 255 where the cloth goes.
        shadow: L image; 255 where the cloth is black, 0 where it keeps its colour.
    """
    box = mask.getbbox()  # most of a mask is empty
    if box is not None:
        cut = mask.crop(box)
        canvas.image.paste(cloth.crop(box), box, cut)
        canvas.image.paste((0, 0, 0), box, ImageChops.multiply(cut, shadow.crop(box)))


def torso_shadow(canvas: Canvas, half_width: float) -> Image.Image:
    """Shadow of a round body: none on the axis, 28 % at `half_width`."""
    width, height = canvas.image.size
    x = (np.arange(width) + 0.5 - canvas.origin[0]) / (half_width * canvas.scale)
    row = 0.28 * np.clip(x, -1.2, 1.2) ** 2
    return Image.fromarray((255 * row[None]).astype(np.uint8)).resize((width, height), Image.Resampling.NEAREST)


def _paint_pattern(cloth: Canvas, look: Appearance, shoulder_y: float, hem_y: float) -> None:
    accent, period, top = look.upper_accent, look.pattern_period, shoulder_y + 0.04
    if look.pattern == "block":
        cloth.box(-_REACH, 0, _REACH, shoulder_y - 0.52 * (shoulder_y - hem_y), accent)
    elif look.pattern == "yoke":
        cloth.box(-_REACH, shoulder_y - 0.28 * (shoulder_y - hem_y), _REACH, 1, accent)
    elif look.pattern in ("stripes", "pinstripes", "check"):
        rows = [] if look.pattern == "pinstripes" else np.arange(top, min(hem_y, 0.4), -period).tolist()
        columns = [] if look.pattern == "stripes" else np.arange(-_REACH, _REACH, period).tolist()
        crossed = (look.upper + accent) / 2 if look.pattern == "check" else accent
        for y in rows:
            cloth.box(-_REACH, y - period / 2, _REACH, y, crossed)
        for x in columns:
            cloth.box(x, 0, x + period / 2, 1, crossed)
        for x, y in ((x, y) for x in columns for y in rows):
            cloth.box(x, y - period / 2, x + period / 2, y, accent)


def _paint_logo(cloth: Canvas, logo: str, x: float, y: float, size: float, colour: Colour) -> None:
    if logo == "disc":
        cloth.ellipse((x, y), (size, size), colour)
    elif logo == "square":
        cloth.box(x - size, y - 0.7 * size, x + size, y + 0.7 * size, colour)
    elif logo == "triangle":
        cloth.polygon([(x, y + size), (x + size, y - size), (x - size, y - size)], colour)
    else:
        cloth.box(x - 1.6 * size, y - 0.3 * size, x + 1.6 * size, y + 0.3 * size, colour)
