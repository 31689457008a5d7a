"""Mirroring of a window: of the video and of the body's movement together."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Literal

import numpy as np
from pydantic import Field
from torch import Tensor

from revalexo_clip.augment.base import Draw, JointAugmentation, JointDraw, Probability, mirrored, whole
from revalexo_clip.augment.sensors import mix, unmixed
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import Channel, ImuSpec, VideoSpec, parse

Axis = Literal["x", "y", "z"]

_OTHER_SIDE = {"Left": "Right", "Right": "Left"}


class Mirror(JointAugmentation):
    """Mirror the video and the body together: a step to the left becomes a step to the right.

    Left and right segments are swapped. Acceleration is a polar vector: its lateral component changes sign. Angular
    velocity is an axial vector: its other two components change sign. Segments named neither Left nor Right are in the
    middle of the body and are mirrored onto themselves. A left and a right segment must have corresponding axes: their
    lateral axes point to the same side of the body, and their other axes are mirror images of each other.
    """

    lateral: Axis = "y"
    """Axis of a segment that points sideways."""
    lateral_of: Mapping[str, Axis] = Field(default={})
    """Lateral axis of segments that differ, by the segment's name without its side: `{"Foot": "z"}`."""
    p: Probability = 0.5
    """Probability per window."""

    def sample(self, rng: np.random.Generator, imu_spec: ImuSpec, video_spec: VideoSpec) -> JointDraw:
        """Draw the source and the sign of each channel, [2, C, 1] for `mix`.

        Raises `ConfigError` if a channel has no mirror image: it is neither an accelerometer nor a gyroscope, or the
        corresponding channel of the other side is missing.
        """
        turned = image(imu_spec.channels, self.lateral, tuple(sorted(self.lateral_of.items())))
        if rng.random() < self.p:
            return JointDraw(turned.copy(), mirrored())
        return JointDraw(unmixed(len(imu_spec.channels), 1), whole())

    def apply(self, imu_BLC: Tensor, video_B3THW: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """See `JointAugmentation.apply`. The video has already been mirrored by resampling."""
        return mix(imu_BLC, drawn), video_B3THW

    def apply_to_motion(self, motion_BMYX3: Tensor, drawn: Tensor) -> Tensor:
        """See `JointAugmentation.apply_to_motion`. The motion has already been mirrored, as the frames."""
        return motion_BMYX3


@cache
def image(channels: tuple[str, ...], lateral: Axis, lateral_of: tuple[tuple[str, Axis], ...]) -> Draw:
    """Return the mirror image of every channel, [2, C, 1] for `mix`."""
    named = [_known(name) for name in channels]
    exceptions = dict(lateral_of)
    unused = set(exceptions) - {without_side(channel.segment) for channel in named}
    if unused:
        raise ConfigError(
            f"Mirror: lateral_of names unknown segments: {', '.join(sorted(unused))}. Known segments, without side: "
            f"{', '.join(dict.fromkeys(without_side(channel.segment) for channel in named))}"
        )
    places = {channel: place for place, channel in enumerate(named)}
    turned = unmixed(len(channels), 1)
    for channel, place in places.items():
        partner = channel._replace(segment=other_side(channel.segment))
        if partner not in places:
            raise ConfigError(f"Mirror: to mirror {channel.name}, add {partner.name} to data.channels")
        is_lateral = channel.axis == exceptions.get(without_side(channel.segment), lateral)
        turned[0, place] = places[partner]
        turned[1, place] = -1 if is_lateral == (channel.kind == "acc") else 1
    return turned


def other_side(segment: str) -> str:
    """Return the segment of the other side: `Left_Foot` -> `Right_Foot`, `Pelvis` -> `Pelvis`."""
    return "_".join(_OTHER_SIDE.get(word, word) for word in segment.split("_"))


def without_side(segment: str) -> str:
    """Remove the side from a segment's name: `Left_Foot` -> `Foot`, `Pelvis` -> `Pelvis`."""
    return "_".join(word for word in segment.split("_") if word not in _OTHER_SIDE)


def _known(name: str) -> Channel:
    channel = parse(name)
    if channel is None:
        raise ConfigError(
            f"Mirror: channel {name} cannot be mirrored; only acc_<Segment>_<axis> and gyro_<Segment>_<axis> can "
            "(data.channels)"
        )
    return channel
