"""World 1: the simulation of a recording from (seed, subject, clip). It is frozen, so that results stay comparable."""

from __future__ import annotations

from functools import partial

import numpy as np

from revalexo_clip.data.synthetic.body import draw_legs
from revalexo_clip.data.synthetic.files import VIDEO_RATE, Frames, Recording
from revalexo_clip.data.synthetic.geometry import Float
from revalexo_clip.data.synthetic.person import MOTION_RATE, Motion, move
from revalexo_clip.data.synthetic.script import CLIP_SECONDS, Segment, plan_clip
from revalexo_clip.data.synthetic.sensors import CAMERA_CHANNELS, CHANNELS, record, record_camera
from revalexo_clip.data.synthetic.style import draw_style, vary_style
from revalexo_clip.data.synthetic.world import View, World, draw_place

PLACES = 4
"""Number of places, shared by all subjects. If each clip had its own place, its appearance would identify the clip, and
an encoder would memorise clips instead of learning motion."""
_CRF = 25
_STYLE, _PLAN, _DAY, _MOTION, _SENSORS, _WORLD, _PLACE, _CAMERA = range(8)


def _generator(purpose: int, *key: int) -> np.random.Generator:
    # Each purpose has its own random stream, so that a change of the images does not change the motion.
    return np.random.default_rng([purpose, *key])


def clip_plan(seed: int, subject: int, clip: int, seconds: float = CLIP_SECONDS) -> tuple[Segment, ...]:
    """Return the activities of a clip. Subjects start at different themes, and go through all of them."""
    return plan_clip(_generator(_PLAN, seed, subject, clip), clip + 5 * subject, seconds)


def clip_motion(seed: int, subject: int, clip: int, seconds: float = CLIP_SECONDS) -> Motion:
    """Simulate the motion of a clip, in the subject's style with day-to-day variation."""
    style = vary_style(_generator(_DAY, seed, subject, clip), draw_style(_generator(_STYLE, seed, subject)))
    return move(_generator(_MOTION, seed, subject, clip), style, clip_plan(seed, subject, clip, seconds))


def clip_imu(seed: int, subject: int, clip: int, motion: Motion, seconds: float = CLIP_SECONDS) -> Float:
    """Simulate an IMU recording, [60 * seconds, 42]."""
    return record(_generator(_SENSORS, seed, subject, clip), motion, seconds)


def clip_frames(seed: int, subject: int, clip: int, motion: Motion, seconds: float = CLIP_SECONDS) -> Frames:
    """Render the camera frames of a clip, [120, 160, 3] each, at `VIDEO_RATE`."""
    day = _generator(_WORLD, seed, subject, clip)
    place = int(day.integers(PLACES))
    surroundings = draw_place(_generator(_PLACE, seed, place), indoors=place % 2 == 0)
    world = World(surroundings, motion.course.terrain, exposure=day.uniform(0.92, 1.08))
    view = View(world)
    start = int(np.searchsorted(motion.times, -1e-9))
    for frame in range(round(seconds * VIDEO_RATE)):
        index = start + frame * (MOTION_RATE // VIDEO_RATE)
        picture = view.render(motion.camera.position[index], motion.camera.rotation[index])
        draw_legs(picture, motion, index, world)
        yield np.clip(picture, 0.0, 255.0).astype(np.uint8)


def simulate(
    seed: int, subject: int, clip: int, seconds: float = CLIP_SECONDS, *, camera_imu: bool = False
) -> Recording:
    """Simulate one recording. The camera's IMU has a generator of its own: the other columns stay the same."""
    motion = clip_motion(seed, subject, clip, seconds)

    def imu() -> Float:
        body_LC = clip_imu(seed, subject, clip, motion, seconds)
        if not camera_imu:
            return body_LC
        camera_L6 = record_camera(_generator(_CAMERA, seed, subject, clip), motion, seconds)
        return np.concatenate([body_LC, camera_L6], axis=1)

    return Recording(
        channels=(*CHANNELS, *CAMERA_CHANNELS) if camera_imu else CHANNELS,
        imu=imu,
        frames=partial(clip_frames, seed, subject, clip, motion, seconds),
        crf=_CRF,
    )
