"""A Pillow image to draw on with coordinates that do not depend on its size."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

Colour = np.ndarray  # (3,) float RGB, 0 to 255


class Point(NamedTuple):
    """Place on a canvas: x to the right, y up."""

    x: float
    y: float


class Canvas:
    """Shapes in the units of the picture: x to the right, y up, edges without anti-aliasing.

    Smooth edges come from drawing larger than needed and averaging down.

    Args:
        image: what is drawn on, RGB or L (a mask; its colour is the number 255).
        scale: pixels per unit.
        origin: pixel (x, y) of the point (0, 0).
    """

    def __init__(self, image: Image.Image, *, scale: float, origin: tuple[float, float]) -> None:
        self.image = image
        self.scale = scale
        self.origin = origin
        self._draw = ImageDraw.Draw(image)

    def on(self, image: Image.Image) -> Canvas:
        """The same coordinates on another image, for example a mask of the same size."""
        return Canvas(image, scale=self.scale, origin=self.origin)

    def zoomed(self, scale: float, origin: Point) -> Canvas:
        """The same image in units that are `scale` times as large, with its zero at `origin`."""
        x, y = self.pixel(origin)
        return Canvas(self.image, scale=self.scale * scale, origin=(x, y))

    def pixel(self, point: Sequence[float]) -> tuple[float, float]:
        """Pixel (x, y) of a point."""
        return self.origin[0] + self.scale * point[0], self.origin[1] - self.scale * point[1]

    def polygon(self, points: Sequence[Sequence[float]], colour: Colour | int) -> None:
        """Filled polygon."""
        self._draw.polygon([self.pixel(point) for point in points], fill=_fill(colour))

    def box(
        self, left: float, bottom: float, right: float, top: float, colour: Colour | int, *, corner: float = 0
    ) -> None:
        """Filled rectangle, its corners rounded with the radius `corner`."""
        corners = self.pixel((left, top)), self.pixel((right, bottom))
        self._draw.rounded_rectangle(corners, radius=corner * self.scale, fill=_fill(colour))

    def ellipse(self, centre: Sequence[float], radii: Sequence[float], colour: Colour | int) -> None:
        """Filled ellipse with half axes `radii`."""
        self._draw.ellipse(self._bounds(centre, radii), fill=_fill(colour))

    def dome(self, centre: Sequence[float], radii: Sequence[float], colour: Colour | int) -> None:
        """Upper half of a filled ellipse."""
        self._draw.pieslice(self._bounds(centre, radii), 180, 360, fill=_fill(colour))

    def limb(self, start: Point, end: Point, radius: float, end_radius: float, colour: Colour | int) -> None:
        """Tapered stroke with round ends."""
        along = np.subtract(end, start)
        normal = np.array([-along[1], along[0]]) / (np.hypot(*along) + 1e-9)
        self.polygon(
            [start + normal * radius, end + normal * end_radius, end - normal * end_radius, start - normal * radius],
            colour,
        )
        self.ellipse(start, (radius, radius), colour)
        self.ellipse(end, (end_radius, end_radius), colour)

    def _bounds(self, centre: Sequence[float], radii: Sequence[float]) -> list[tuple[float, float]]:
        return [
            self.pixel((centre[0] - radii[0], centre[1] + radii[1])),
            self.pixel((centre[0] + radii[0], centre[1] - radii[1])),
        ]


def between(start: Point, end: Point, fraction: float) -> Point:
    """Point on the way from `start` (fraction 0) to `end` (fraction 1)."""
    return Point(start.x + fraction * (end.x - start.x), start.y + fraction * (end.y - start.y))


def _fill(colour: Colour | int) -> int | tuple[int, int, int]:
    if isinstance(colour, int):
        return colour
    red, green, blue = (int(min(max(channel, 0), 255)) for channel in colour)
    return red, green, blue
