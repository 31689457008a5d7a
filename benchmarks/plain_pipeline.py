"""The baseline: a training batch made as in published systems, in plain code.

For every window the CSV is parsed, every frame of the window is decoded and converted, and the kept frames are
augmented one by one as in the published recipe, with torch operations on floats. Published systems use torchvision for
this, which is not part of this project; the code here takes the same steps and gives the same results. Frame by frame,
as here, they take a little less time than torchvision's own, which take twice as long on a whole clip.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

MEAN, STD = 0.45, 0.225
LUMA = (0.299, 0.587, 0.114)


@dataclass(frozen=True)
class PlainPipeline:
    """Windows of 2 s with `frames` frames of `crop` pixels."""

    frames: int
    crop: int
    channels: tuple[str, ...]

    def batch(self, windows: Sequence[tuple[Path, Path, float]], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return augmented IMU [B, L, C] and video [B, 3, T, crop, crop] of windows (video, IMU, start)."""
        samples = [self.sample(video, imu, start, rng) for video, imu, start in windows]
        return torch.stack([imu for imu, _ in samples]), torch.stack([video for _, video in samples])

    def sample(self, video: Path, imu: Path, start: float, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Return augmented IMU [L, C] and video [3, T, crop, crop] of one window."""
        imu_LC = augment_imu(torch.from_numpy(read_csv(imu, self.channels, start)), rng)
        augment = draw_video_augmentation(rng, self.crop)
        return imu_LC, torch.stack([augment(frame) for frame in read_video(video, start, self.frames)], dim=1)


def read_csv(path: Path, channels: tuple[str, ...], start: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Read one window [120, C]; the whole file is parsed for it."""
    with path.open(newline="", encoding="utf-8") as file:
        header = next(csv.reader(file))
        table = np.loadtxt(file, delimiter=",", dtype=np.float32)
    first = round(start * 60)
    return table[first : first + 120, [header.index(channel) for channel in channels]]


def read_video(path: Path, start: float, frames: int) -> list[Tensor]:
    """Read frames [3, H, W] uint8: all frames of the window are decoded and converted, `frames` are kept."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert stream.time_base is not None
        container.seek(int(start / stream.time_base), stream=stream)
        window = []
        for frame in container.decode(stream):
            assert frame.time is not None
            if frame.time >= start - 1e-6:
                window.append(frame.to_ndarray(format="rgb24"))
            if frame.time >= start + 2.0 - 1e-6:
                break
    kept = np.linspace(0, len(window) - 1, frames).round().astype(int)
    return [torch.from_numpy(window[place]).permute(2, 0, 1) for place in kept]


def augment_imu(imu_LC: Tensor, rng: np.random.Generator) -> Tensor:
    """Apply the published list: scale, magnitude warp, time warp, channel dropout, noise."""
    samples, channels = imu_LC.shape
    if rng.random() < 0.5:
        imu_LC = imu_LC * rng.uniform(0.8, 1.2)
    time = np.linspace(0, 5, samples)
    if rng.random() < 0.3:
        knots = rng.normal(1.0, 0.2, size=(channels, 6))
        curves = np.stack([np.interp(time, np.arange(6), row) for row in knots], axis=1)
        imu_LC = imu_LC * torch.from_numpy(curves.astype(np.float32))
    if rng.random() < 0.3:
        speed = np.interp(time, np.arange(6), rng.normal(1.0, 0.2, size=6).clip(0.1))
        warped = np.concatenate([[0.0], np.cumsum(speed[:-1])])
        warped *= (samples - 1) / warped[-1]
        columns = [np.interp(warped, np.arange(samples), column) for column in imu_LC.numpy().T]
        imu_LC = torch.from_numpy(np.stack(columns, axis=1).astype(np.float32))
    if rng.random() < 0.2:
        imu_LC = imu_LC * torch.from_numpy((rng.random(channels) >= 0.1).astype(np.float32))
    if rng.random() < 0.5:
        imu_LC = imu_LC + 0.02 * torch.from_numpy(rng.standard_normal((samples, channels)).astype(np.float32))
    return imu_LC


def draw_video_augmentation(rng: np.random.Generator, crop: int) -> Callable[[Tensor], Tensor]:
    """Draw the published list for one clip, as a function of one frame [3, H, W] uint8 -> [3, crop, crop]."""
    jitter = draw_color_jitter(rng) if rng.random() < 0.8 else None
    gray, flip, erase = rng.random() < 0.2, rng.random() < 0.5, rng.random() < 0.3
    area, ratio, place = rng.uniform(0.6, 1.0), np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3))), rng.random(2)
    hole, at = rng.uniform(0.02, 0.33) ** 0.5, rng.random(2)

    def augment(frame: Tensor) -> Tensor:
        image = frame.float() / 255
        if jitter is not None:
            image = jitter(image)
        if gray:
            image = to_gray(image).expand(3, -1, -1)
        image = (image - MEAN) / STD
        high, wide = image.shape[1:]
        height = min(int((area * high * wide / ratio) ** 0.5), high)
        width = min(int((area * high * wide * ratio) ** 0.5), wide)
        top, left = int(place[0] * (high - height)), int(place[1] * (wide - width))
        part = image[None, :, top : top + height, left : left + width]
        image = interpolate(part, (crop, crop), mode="bilinear", antialias=True)[0]
        if flip:
            image = image.flip(-1)
        if erase:
            side = int(hole * crop)
            top, left = int(at[0] * (crop - side)), int(at[1] * (crop - side))
            image[:, top : top + side, left : left + side] = 0.0
        return image

    return augment


def draw_color_jitter(rng: np.random.Generator) -> Callable[[Tensor], Tensor]:
    """Draw a change of brightness, contrast, saturation and hue, in random order, of an image [3, H, W] from 0 to 1."""
    brightness, contrast, saturation = rng.uniform(0.6, 1.4, size=3)
    hue = rng.uniform(-0.1, 0.1)
    changes: tuple[Callable[[Tensor], Tensor], ...] = (
        lambda image: blend(image, torch.zeros_like(image), brightness),
        lambda image: blend(image, to_gray(image).mean(), contrast),
        lambda image: blend(image, to_gray(image), saturation),
        lambda image: turn_hue(image, hue),
    )
    order = rng.permutation(4)

    def jitter(image: Tensor) -> Tensor:
        for place in order:
            image = changes[place](image)
        return image

    return jitter


def to_gray(image: Tensor) -> Tensor:
    """Compute the luma [1, H, W] of [3, H, W]."""
    red, green, blue = image
    luma: Tensor = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return luma[None]


def blend(image: Tensor, other: Tensor, share: float) -> Tensor:
    """Mix a share of the image with the rest of another one."""
    return (share * image + (1 - share) * other).clamp(0, 1)


def turn_hue(image: Tensor, shift: float) -> Tensor:
    """Shift the hue in HSV and convert back, with the colours of all six sectors and a mask."""
    red, green, blue = image
    value, least = image.max(dim=0).values, image.min(dim=0).values
    grey = value == least
    span = value - least
    saturation = span / torch.where(grey, torch.ones_like(value), value)
    divisor = torch.where(grey, torch.ones_like(span), span)
    from_red, from_green, from_blue = (value - red) / divisor, (value - green) / divisor, (value - blue) / divisor
    is_red = value == red
    is_green = (value == green) & ~is_red
    is_blue = ~is_red & ~is_green
    hue = (
        is_red * (from_blue - from_green)
        + is_green * (2 + from_red - from_blue)
        + is_blue * (4 + from_green - from_red)
    )
    hue = (hue / 6 + 1 + shift) % 1.0
    sector = (hue * 6).floor()
    rest = hue * 6 - sector
    p = (value * (1 - saturation)).clamp(0, 1)
    q = (value * (1 - saturation * rest)).clamp(0, 1)
    t = (value * (1 - saturation * (1 - rest))).clamp(0, 1)
    sectors = ((value, t, p), (q, value, p), (p, value, t), (p, q, value), (t, p, value), (value, p, q))
    colors = torch.stack([torch.stack(colors) for colors in sectors])
    mask = (sector.long() % 6 == torch.arange(6)[:, None, None]).to(image.dtype)
    turned: Tensor = torch.einsum("shw,schw->chw", mask, colors)
    return turned
