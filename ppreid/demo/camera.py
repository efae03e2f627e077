"""Cameras that see the same pedestrians differently: place, view, colours, blur, noise and compression."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFilter

from ppreid.demo.appearance import Appearance
from ppreid.demo.body import draw_person
from ppreid.demo.canvas import Canvas, Point
from ppreid.demo.pose import random_pose
from ppreid.demo.scene import MARGIN, cut_background, paint_occluder, paint_scene

_SUPERSAMPLING = 3  # people are drawn this much larger and averaged down, which makes edges smooth
_RANDOM_VIEWS = 0.15  # share of people who do not follow the camera's usual walking direction
_LEAST_BLUR = 0.25  # pixels; a smaller radius does not show


@dataclass(frozen=True)
class Camera:
    """One camera.

    Attributes:
        scene: the street behind the people.
        view_weights: (4,) how often people are seen from the front, the back, the left and the right.
        person_scale: size of people in the crops, about 1.
        gain: (3,) factor of each colour channel.
        mix: (3, 3) how channels leak into each other.
        saturation: 1 keeps colours, 0 is grey.
        gamma: exponent of the brightness in [0, 1].
        contrast: factor around mid-grey.
        brightness: added at the end, 0 to 255.
        side_light: brightness from left to right changes by this share to either side.
        haze: share of grey that covers everything.
        blur: standard deviation in pixels.
        noise: standard deviation, 0 to 255.
        jpeg_quality: 1 to 95.
        occlusion: probability that something hides a part of the person.
    """

    scene: Image.Image
    view_weights: np.ndarray
    person_scale: float
    gain: np.ndarray
    mix: np.ndarray
    saturation: float
    gamma: float
    contrast: float
    brightness: float
    side_light: float
    haze: float
    blur: float
    noise: float
    jpeg_quality: int
    occlusion: float


class Step(NamedTuple):
    """How an image of a passage differs from the first one.

    Attributes:
        slide: of the street behind the person, in crop heights.
        phase: of the legs, in radians.
        rng: random numbers of the detector's box and of the noise.
    """

    slide: float
    phase: float
    rng: np.random.Generator


def random_camera(rng: np.random.Generator, *, difficulty: float) -> Camera:
    """Draw a camera.

    Args:
        rng: random numbers of the camera; the scene does not depend on the difficulty.
        difficulty: 0 (all cameras have the same colours, nothing is hidden) to 1 (strong casts, much hidden).

    Returns:
        The camera.
    """
    scene = paint_scene(rng)
    gain = np.exp(rng.normal(0, 0.17 * difficulty, 3))
    return Camera(
        scene=scene,
        view_weights=rng.dirichlet((0.8, 0.8, 0.5, 0.5)) * (1 - _RANDOM_VIEWS) + _RANDOM_VIEWS / 4,
        person_scale=rng.uniform(0.89, 1.0),
        gain=gain / gain.mean(),
        mix=np.eye(3) + rng.normal(0, 0.05 * difficulty, (3, 3)),
        saturation=max(1 - abs(rng.normal(0, 0.35 * difficulty)), 0.3),
        gamma=np.exp(rng.normal(0, 0.28 * difficulty)),
        contrast=np.exp(rng.normal(-0.1, 0.2 * difficulty)),
        brightness=rng.normal(0, 18 * difficulty),
        side_light=rng.uniform(-0.3, 0.3) * difficulty,
        haze=max(0.0, rng.normal(0, 0.1 * difficulty)),
        blur=rng.uniform(0, 1.1) * difficulty,
        noise=rng.uniform(2, 9) * difficulty,
        jpeg_quality=int(rng.integers(45, 92)),
        occlusion=0.5 * difficulty,
    )


def take_picture(
    camera: Camera, look: Appearance, rng: np.random.Generator, *, height: int, width: int, step: Step | None = None
) -> Image.Image:
    """Crop of one person as a detector would cut it from the camera's picture.

    Args:
        camera: who looks.
        look: the person.
        rng: random numbers of the image: pose, place, crop, occlusion, light and noise.
        height: of the crop in pixels.
        width: of the crop in pixels.
        step: where in a passage the image is, the images of which begin with equal `rng`; None: it is single.

    Returns:
        RGB image.
    """
    scale, half_width = height * _SUPERSAMPLING, width / height / 2
    size = round((2 * half_width + 2 * MARGIN) * scale), round((1 + 2 * MARGIN) * scale)
    canvas = Canvas(Image.new("RGB", size), scale=scale, origin=(size[0] / 2, (1 + MARGIN) * scale))
    cut_background(camera.scene, rng, canvas, slide=step.slide if step else 0.0)
    stature = look.stature * camera.person_scale * rng.uniform(0.94, 1.0)
    feet = Point(rng.normal(0, 0.02), 0.015 + 0.9 * rng.uniform(0, max(1 - stature, 0)) + rng.normal(0, 0.012))
    pose = random_pose(rng, camera.view_weights)
    if step:
        pose = replace(pose, stride=float(np.sin(np.arcsin(pose.stride) + step.phase)))
    draw_person(canvas.zoomed(stature, feet), look, pose)
    if rng.random() < camera.occlusion:
        paint_occluder(canvas, rng, half_width)
    own = step.rng if step else rng
    crop = canvas.image.resize((width, height), Image.Resampling.BOX, box=_detector_box(canvas, own, half_width))
    light, offset, blur = rng.uniform(0.88, 1.12), rng.normal(0, 7), rng.uniform(0.6, 1.3)
    return develop(camera, crop, own, light=light, offset=offset, blur=blur)


def _detector_box(canvas: Canvas, rng: np.random.Generator, half_width: float) -> tuple[float, float, float, float]:
    """Pixels (left, upper, right, lower) that a sloppy detector cuts out, inside the canvas."""
    zoom = np.exp(rng.normal(0, 0.05))
    x, y = rng.normal(0, 0.01), 0.5 + rng.normal(0, 0.016)
    left, upper = canvas.pixel((x - zoom * half_width, y + zoom / 2))
    right, lower = canvas.pixel((x + zoom * half_width, y - zoom / 2))
    width, height = canvas.image.size
    return max(left, 0), max(upper, 0), min(right, width), min(lower, height)


def develop(
    camera: Camera,
    picture: Image.Image,
    rng: np.random.Generator,
    *,
    light: float = 1.0,
    offset: float = 0.0,
    blur: float = 1.0,
) -> Image.Image:
    """A picture with the colours, the blur and the noise of a camera.

    Args:
        camera: who looks.
        picture: RGB.
        rng: random numbers of the noise.
        light: factor of the brightness of this moment.
        offset: added to the brightness, 0 to 255.
        blur: factor of the camera's blur.

    Returns:
        RGB image of the same size.
    """
    falls = light * (1 + camera.side_light * np.linspace(-1, 1, picture.width))  # (W,)
    pixels = np.asarray(picture) * falls[None, :, None]  # (H, W, 3)
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = (grey + camera.saturation * (pixels - grey)) @ (camera.mix.T * camera.gain)
    pixels = 255 * np.clip(pixels / 255, 0, 1) ** camera.gamma
    pixels = camera.contrast * (pixels - 118) + 118 + camera.brightness + offset
    pixels = (1 - camera.haze) * pixels + camera.haze * 185
    if camera.blur * blur > _LEAST_BLUR:
        blurred = Image.fromarray(_to_bytes(pixels)).filter(ImageFilter.GaussianBlur(camera.blur * blur))
        pixels = np.asarray(blurred).astype(float)
    return Image.fromarray(_to_bytes(pixels + rng.normal(0, camera.noise, pixels.shape)))


def _to_bytes(pixels: np.ndarray) -> np.ndarray:
    return pixels.clip(0, 255).astype(np.uint8)
