"""The mirror image of a window: of what was seen and of the body that moved."""

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
    """Mirrors the video and the body together: someone who steps to the left becomes one who steps to the right.

    Left and right segments change places. Acceleration is a polar vector, whose lateral component changes its sign;
    angular velocity is an axial vector, whose other two components do. Segments named neither Left nor Right lie in the
    middle and are their own image. A left and a right segment must have like axes: the lateral ones point to the same
    side of the body, the others are each other's image.
    """

    lateral: Axis = "y"
    """The axis of a segment that points to the body's side."""
    lateral_of: Mapping[str, Axis] = Field(default={})
    """The same for segments that differ, by the name without the side: `{"Foot": "z"}`."""
    p: Probability = 0.5
    """How many of the windows."""

    def sample(self, rng: np.random.Generator, imu_spec: ImuSpec, video_spec: VideoSpec) -> JointDraw:
        """Which channel each one becomes and with which sign, [2, C, 1]. Raises `ConfigError` for channels without one.

        Namely those that are neither accelerometer nor gyroscope, and those of one side that lack the other side's.
        """
        turned = image(imu_spec.channels, self.lateral, tuple(sorted(self.lateral_of.items())))
        if rng.random() < self.p:
            return JointDraw(turned.copy(), mirrored())
        return JointDraw(unmixed(len(imu_spec.channels), 1), whole())

    def apply(self, imu_BLC: Tensor, video_B3THW: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """See `JointAugmentation.apply`. The video was mirrored as it was resampled."""
        return mix(imu_BLC, drawn), video_B3THW


@cache
def image(channels: tuple[str, ...], lateral: Axis, lateral_of: tuple[tuple[str, Axis], ...]) -> Draw:
    """[2, C, 1] for `mix`: the mirror image of every channel."""
    named = [_known(name) for name in channels]
    exceptions = dict(lateral_of)
    unused = set(exceptions) - {without_side(channel.segment) for channel in named}
    if unused:
        raise ConfigError(
            f"Mirror: lateral_of names {', '.join(sorted(unused))}; segments without their side: "
            f"{', '.join(dict.fromkeys(without_side(channel.segment) for channel in named))}"
        )
    places = {channel: place for place, channel in enumerate(named)}
    turned = unmixed(len(channels), 1)
    for channel, place in places.items():
        partner = channel._replace(segment=other_side(channel.segment))
        if partner not in places:
            raise ConfigError(f"Mirror: {channel.name} needs {partner.name} for its image (data.channels)")
        is_lateral = channel.axis == exceptions.get(without_side(channel.segment), lateral)
        turned[0, place] = places[partner]
        turned[1, place] = -1 if is_lateral == (channel.kind == "acc") else 1
    return turned


def other_side(segment: str) -> str:
    """`Left_Foot` -> `Right_Foot`, `Pelvis` -> `Pelvis`."""
    return "_".join(_OTHER_SIDE.get(word, word) for word in segment.split("_"))


def without_side(segment: str) -> str:
    """`Left_Foot` -> `Foot`, `Pelvis` -> `Pelvis`."""
    return "_".join(word for word in segment.split("_") if word not in _OTHER_SIDE)


def _known(name: str) -> Channel:
    channel = parse(name)
    if channel is None:
        raise ConfigError(
            f"Mirror: what the mirror image of {name} is cannot be told; it knows acc_<Segment>_<axis> and "
            "gyro_<Segment>_<axis>"
        )
    return channel
