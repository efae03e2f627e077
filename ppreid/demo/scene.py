"""The street that a camera looks at, and the things that hide people in it.

Lengths are in crop heights; the ground is at the bottom of a scene.
"""

import numpy as np
from PIL import Image

from ppreid.demo.canvas import Canvas, Colour, Point

MARGIN = 0.1  # painted beyond every edge of a crop, so that a crop may move and zoom
_LENGTH = 10.0  # width of a scene; crops of one camera slide along it
_RESOLUTION = 160  # pixels per crop height; less than people are drawn with, as if out of focus
_THINGS = 60  # trees, cars, doors ...: the background must change from crop to crop


def paint_scene(rng: np.random.Generator) -> Image.Image:
    """Paint a street.

    Args:
        rng: random numbers of the camera.

    Returns:
        RGB image, wide and as high as a crop with its margins.
    """
    image = Image.new("RGB", (round(_LENGTH * _RESOLUTION), round((1 + 2 * MARGIN) * _RESOLUTION)))
    canvas = Canvas(image, scale=_RESOLUTION, origin=(0, (1 + MARGIN) * _RESOLUTION))
    wall, ground = _muted(rng, 95, 165), _muted(rng, 85, 150)
    horizon = rng.uniform(0.3, 0.6)
    canvas.box(0, horizon, _LENGTH, 1 + MARGIN, wall)
    canvas.box(0, -MARGIN, _LENGTH, horizon, ground)
    _paint_wall(canvas, rng, str(rng.choice(("bricks", "bars", "windows", "hedge", "plain"))), wall, horizon)
    joint = rng.uniform(0.05, 0.16)
    for y in np.arange(-MARGIN, horizon, joint):
        canvas.box(0, y, _LENGTH, y + 0.006, ground * 0.85)
    for x in rng.uniform(0, _LENGTH, _THINGS):
        _paint_thing(canvas, rng, x, base=horizon - rng.uniform(0, 0.2))
    grain = rng.normal(0, 8, (12, 100, 1)) + rng.normal(0, 3, (12, 100, 3)) + 128
    stains = Image.fromarray(grain.clip(0, 255).astype(np.uint8)).resize(image.size, Image.Resampling.BILINEAR)
    pixels = np.asarray(image).astype(np.int16) + np.asarray(stains) - 128
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def cut_background(scene: Image.Image, rng: np.random.Generator, canvas: Canvas, *, slide: float = 0.0) -> None:
    """Fill a canvas with a random part of a scene, moved aside by `slide` crop heights as far as the scene goes."""
    width, height = canvas.image.size
    part = width * scene.height / height
    left = float(np.clip(rng.uniform(0, scene.width - part) + slide * _RESOLUTION, 0, scene.width - part))
    box = (left, 0, left + part, scene.height)
    canvas.image.paste(scene.resize((width, height), Image.Resampling.BILINEAR, box=box))


def paint_occluder(canvas: Canvas, rng: np.random.Generator, half_width: float) -> None:
    """Paint a pole, a low wall or a passer-by in front of the person.

    Args:
        canvas: what is painted on, in crop heights.
        rng: random numbers of the image.
        half_width: half the width of the crop.
    """
    colour = _muted(rng, 40, 180, spread=30)
    kind = str(rng.choice(("pole", "wall", "passer-by")))
    if kind == "pole":
        x, wide = rng.uniform(-half_width, half_width), rng.uniform(0.012, 0.03)
        canvas.box(x - wide, -MARGIN, x + wide, 1 + MARGIN, colour)
        canvas.box(x - wide, -MARGIN, x - 0.3 * wide, 1 + MARGIN, colour * 1.2)
    elif kind == "wall":
        top = rng.uniform(0.15, 0.36)
        canvas.box(-1, -MARGIN, 1, top, colour)
        canvas.box(-1, top - 0.025, 1, top, colour * 1.2)
    else:
        x = float(rng.choice((-1, 1))) * half_width * rng.uniform(0.85, 1.05)
        canvas.box(x - 0.12, -0.4, x + 0.12, 0.66, colour, corner=0.09)
        canvas.ellipse((x, 0.73), (0.055, 0.07), np.array((66.0, 48, 38)))


def _paint_wall(canvas: Canvas, rng: np.random.Generator, kind: str, wall: Colour, horizon: float) -> None:
    top = 1 + MARGIN
    if kind == "bricks":
        for row, y in enumerate(np.arange(horizon, top, 0.065)):
            canvas.box(0, y, _LENGTH, y + 0.007, wall * 0.78)
            for x in np.arange(0.065 * (row % 2), _LENGTH, 0.13):
                canvas.box(x, y, x + 0.007, y + 0.065, wall * 0.78)
    elif kind == "bars":
        for x in np.arange(0, _LENGTH, rng.uniform(0.08, 0.2)):
            canvas.box(x, horizon, x + 0.022, top, wall * rng.uniform(0.5, 1.3))
    elif kind == "windows":
        for x in np.arange(0, _LENGTH, rng.uniform(0.3, 0.45)):
            for y in np.arange(horizon + 0.12, top, 0.36):
                canvas.box(x, y, x + 0.2, y + 0.26, wall * 0.7)
                canvas.box(x + 0.015, y + 0.015, x + 0.185, y + 0.245, _muted(rng, 60, 190))
    elif kind == "hedge":
        for x, y in rng.uniform((0, horizon), (_LENGTH, top), (900, 2)):
            leaf = np.array((0.75, 1.0, 0.65)) * wall * rng.uniform(0.6, 1.15)
            canvas.ellipse((x, y), (0.05, 0.035), leaf)


def _paint_thing(canvas: Canvas, rng: np.random.Generator, x: float, base: float) -> None:
    colour = _muted(rng, 30, 215, spread=40)
    kind = str(rng.choice(("door", "poster", "post", "tree", "car"), p=(0.25, 0.25, 0.2, 0.18, 0.12)))
    if kind == "door":
        wide, high = rng.uniform(0.08, 0.14), rng.uniform(0.55, 0.8)
        canvas.box(x - wide, base, x + wide, base + high, colour)
        canvas.box(x - wide * 0.7, base + high * 0.5, x + wide * 0.7, base + high * 0.9, colour * 0.75)
    elif kind == "poster":
        wide, high, y = rng.uniform(0.07, 0.17), rng.uniform(0.12, 0.35), base + rng.uniform(0.15, 0.6)
        canvas.box(x - wide, y, x + wide, y + high, colour)
        canvas.box(x - wide * 0.8, y + high * 0.55, x + wide * 0.8, y + high * 0.8, _muted(rng, 60, 220, spread=40))
    elif kind == "post":
        wide = rng.uniform(0.01, 0.025)
        canvas.box(x - wide, base - 0.05, x + wide, 1 + MARGIN, colour * 0.8)
    elif kind == "tree":
        canvas.limb(Point(x, base - 0.03), Point(x, base + 0.5), 0.03, 0.02, np.array((84.0, 68, 54)))
        for dx, dy in rng.normal(0, 0.07, (7, 2)):
            green = np.array((72.0, 108, 62)) * rng.uniform(0.7, 1.3)
            canvas.ellipse((x + dx, base + 0.58 + dy), (0.11, 0.09), green)
    else:
        canvas.box(x - 0.24, base - 0.12, x + 0.24, base + 0.06, colour, corner=0.05)
        canvas.box(x - 0.15, base, x + 0.15, base + 0.16, colour * 0.9, corner=0.06)
        canvas.box(x - 0.12, base + 0.05, x + 0.12, base + 0.13, np.array((70.0, 84, 96)), corner=0.03)
        for side in (-1, 1):
            canvas.ellipse((x + 0.14 * side, base - 0.12), (0.05, 0.05), np.array((34.0, 34, 36)))


def _muted(rng: np.random.Generator, low: float, high: float, spread: float = 9.0) -> Colour:
    """A colour of brightness `low` to `high`, the channels of which differ by about `spread`."""
    return np.clip(rng.uniform(low, high) + rng.normal(0, spread * 0.6, 3), 10, 245)
