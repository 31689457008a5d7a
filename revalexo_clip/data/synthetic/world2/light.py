"""From light to bytes: exposure, flicker, motion blur, noise and colours of a camera.

Shapes: H, W = rows and columns of the image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from revalexo_clip.data.synthetic.geometry import Float
from revalexo_clip.data.synthetic.world import HEIGHT, WIDTH, Float32

DARK = 0.2
"""Share of recordings that are too dark."""
_MAX_BLUR = 20.0


@dataclass(frozen=True)
class Light:
    """Light of a recording, and settings of the camera."""

    target: float
    """Mean brightness that the exposure aims at, 0 to 255."""
    lag: float
    """Fraction of the distance to the right exposure that remains after a frame; 1 is a fixed exposure."""
    flicker: float
    """Amplitude of the flicker of lamps, as a fraction."""
    flicker_rate: float
    """Frequency of the flicker that is left at 30 Hz [Hz]."""
    bands: float
    """Waves of the flicker from the top to the bottom of the image, because rows are read one after the other."""
    vignette: float
    """Darkening of the corners, as a fraction."""
    gamma: float
    tint: Float
    """Gain of red, green and blue, [3]."""
    noise: float
    """Standard deviation of the noise of a pixel, 0 to 255."""
    shutter: float
    """Exposure time [s]."""
    crf: int
    """Compression of the video."""


def draw_light(rng: np.random.Generator, *, indoors: bool) -> Light:
    """Draw the light of a recording."""
    is_dark = rng.random() < DARK
    flickers = indoors and rng.random() < 0.4
    return Light(
        target=rng.uniform(38.0, 65.0) if is_dark else rng.uniform(80.0, 140.0),
        lag=1.0 if rng.random() < 0.3 else rng.uniform(0.9, 0.985),
        flicker=rng.uniform(0.03, 0.15) if flickers else 0.0,
        flicker_rate=rng.uniform(-10.0, 10.0),
        bands=rng.uniform(0.3, 2.0),
        vignette=rng.uniform(0.0, 0.5),
        gamma=rng.uniform(0.8, 1.05) if is_dark else rng.uniform(0.75, 1.3),
        tint=np.exp(rng.normal(0.0, 0.08, size=3)),
        noise=rng.uniform(4.0, 12.0) if is_dark else rng.uniform(0.5, 6.0),
        shutter=rng.uniform(0.012, 0.03) if is_dark or indoors else rng.uniform(0.001, 0.012),
        crf=int(rng.integers(26, 36)),
    )


class Camera:
    """A camera that adjusts its exposure from frame to frame."""

    def __init__(self, rng: np.random.Generator, light: Light):
        self.rng, self.light = rng, light
        self.gain = 0.0
        across, down = np.linspace(-1.0, 1.0, WIDTH), np.linspace(-1.0, 1.0, HEIGHT)[:, None]
        corner = 1.0 - light.vignette * (across**2 + down**2) / 2.0
        self.fixed_HW3 = (corner[:, :, None] * light.tint).astype(np.float32)
        self.rows_H1 = np.linspace(0.0, light.bands, HEIGHT)[:, None]
        # Noise is cut from a larger image: drawing it anew would cost as much as the rest of the frame.
        size = (HEIGHT + 64, WIDTH + 64)
        grey = rng.standard_normal((*size, 1), dtype=np.float32)
        noise = 0.8 * grey + 0.6 * rng.standard_normal((*size, 3), dtype=np.float32)
        self.noise = np.float32(light.noise) * noise
        level = np.arange(256) / 255.0
        self.curve = np.round(255.0 * level**light.gamma).astype(np.uint8)

    def expose(self, picture: Float32, turn: tuple[float, float], time: float) -> NDArray[np.uint8]:
        """Return the image [H, W, 3] of a scene [H, W, 3] at `time` [s].

        `turn` is how far the image moves to the right and down in a second [px/s].
        """
        light = self.light
        right = light.target / max(float(picture[::8, ::8].mean()), 1.0)
        self.gain = right if self.gain == 0.0 else right + light.lag * (self.gain - right)
        picture = blur(picture, turn[0] * light.shutter, turn[1] * light.shutter)
        flicker_H1 = 1.0 + light.flicker * np.sin(2.0 * np.pi * (self.rows_H1 + light.flicker_rate * time))
        picture *= self.fixed_HW3 * (self.gain * flicker_H1)[:, :, None].astype(np.float32)
        top, left = self.rng.integers(65, size=2)
        picture += self.noise[top : top + HEIGHT, left : left + WIDTH]
        exposed: NDArray[np.uint8] = self.curve.take(np.clip(picture, 0.0, 255.0, out=picture).astype(np.uint8))
        return exposed


def blur(picture: Float32, right: float, down: float) -> Float32:
    """Return an image [H, W, 3] blurred along a line of so many pixels."""
    length = max(abs(right), abs(down))
    if length < 1.0:
        return picture
    scale = min(1.0, _MAX_BLUR / length)
    # Averages of two shifted images, of four, of eight: a line in a few steps. All steps but the first go back, so that
    # the line's middle stays where it is.
    share = 0.5
    while abs(share) * length * scale >= 0.5:
        dx, dy = round(share * right * scale), round(share * down * scale)
        if dx or dy:
            picture = _average_shifted(picture, dx, dy)
        share = -0.5 * abs(share)
    return picture


def _average_shifted(picture: Float32, dx: int, dy: int) -> Float32:
    """Return the mean of an image and itself moved by (dx, dy) pixels; edges that nothing moves to stay as they are."""
    height, width = picture.shape[:2]
    here = (slice(max(dy, 0), height + min(dy, 0)), slice(max(dx, 0), width + min(dx, 0)))
    there = (slice(max(-dy, 0), height + min(-dy, 0)), slice(max(-dx, 0), width + min(-dx, 0)))
    blurred = picture.copy()
    blurred[here] += picture[there]
    blurred[here] *= np.float32(0.5)
    return blurred
