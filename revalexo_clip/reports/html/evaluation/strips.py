"""Windows as small pictures: an IMU window as curves, a video window as a strip of its frames."""

from __future__ import annotations

from base64 import b64encode

import numpy as np
import simplejpeg
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from revalexo_clip.core.types import ImuSpec
from revalexo_clip.metrics.evaluated import Floats
from revalexo_clip.reports.html.page import Html, tag
from revalexo_clip.reports.html.plots import COLOUR, bare, panels, svg

FRAMES = 8
"""In a strip; of more, so many that are spread evenly."""
SIDE = 72
"""Of a frame [px], at most."""
QUALITY = 80
SENSORS = 3
"""Whose curves are shown; of more, so many that are spread evenly over the dataset's order."""
_KINDS = {"acc": "acceleration", "gyro": "turn rate"}
_ROLES = ("c1", "c2", "c3")


def strip(video_THWC: Tensor, description: str) -> Html:
    """Frames [T, H, W, 3] uint8 side by side, as a JPEG within the page."""
    frames = np.linspace(0, len(video_THWC) - 1, min(len(video_THWC), FRAMES)).round().astype(np.int64)
    frames_tCHW = video_THWC[torch.from_numpy(frames)].permute(0, 3, 1, 2)
    if frames_tCHW.shape[2] > SIDE:
        frames_tCHW = interpolate(frames_tCHW, (SIDE, SIDE), mode="bilinear", antialias=True)
    wide_HWC = np.ascontiguousarray(torch.cat(list(frames_tCHW), dim=2).permute(1, 2, 0).numpy())
    jpeg = simplejpeg.encode_jpeg(wide_HWC, QUALITY, colorsubsampling="444")
    source = f"data:image/jpeg;base64,{b64encode(jpeg).decode('ascii')}"
    return tag("img", alt=description, src=source)


def sensor_curves(imu_LC: Tensor, spec: ImuSpec) -> dict[str, dict[str, Floats]]:
    """By kind (`acc`, `gyro`) and sensor, the length of the vector that its axes measure, [L]."""
    found: dict[str, dict[str, Floats]] = {}
    for column, channel in enumerate(spec.channels):
        kind, _, rest = channel.partition("_")
        sensor = rest.rpartition("_")[0] or rest
        squares = found.setdefault(kind, {}).setdefault(sensor, np.zeros(len(imu_LC)))
        squares += imu_LC[:, column].double().numpy() ** 2
    return {kind: {sensor: np.sqrt(total) for sensor, total in sensors.items()} for kind, sensors in found.items()}


def imu_plot(imu_LC: Tensor, spec: ImuSpec, description: str) -> Html:
    """An IMU window as curves of a few sensors, a panel for each kind of channel."""
    found = sensor_curves(imu_LC, spec)
    time_L = np.arange(len(imu_LC)) / spec.rate
    unit = {channel.partition("_")[0]: unit for channel, unit in zip(spec.channels, spec.units, strict=True)}
    drawn = panels(2.8, 0.2 + 1.15 * len(found), rows=len(found))
    for axes, (kind, sensors) in zip(drawn, found.items(), strict=True):
        for sensor, role in zip(shown_sensors(list(sensors)), _ROLES, strict=False):
            axes.plot(time_L, sensors[sensor], color=COLOUR[role], linewidth=1.1)
        title = f"{_KINDS.get(kind, kind)} [{unit[kind].replace('^2', '²')}]"
        axes.set_title(title, loc="left", fontsize=8, color=COLOUR["ink"], pad=3)
        axes.tick_params(labelsize=7.5)
        axes.set_ylim(bottom=0)
        axes.set_xlim(0, spec.window)
        axes.grid(axis="y")
        bare(axes, "left")
    drawn[-1].set_xlabel("time [s]", fontsize=8)
    return svg(drawn[0], description)


def shown_sensors(sensors: list[str]) -> list[str]:
    """Those whose curves are drawn, in the order of their colours."""
    kept = np.linspace(0, len(sensors) - 1, min(len(sensors), SENSORS)).round().astype(np.int64)
    return [sensors[place] for place in kept]
