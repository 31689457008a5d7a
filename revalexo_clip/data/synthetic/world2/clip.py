"""World 2: the simulation of a recording from (seed, subject, recording)."""

from __future__ import annotations

from functools import partial

import numpy as np

from revalexo_clip.data.synthetic.files import VIDEO_RATE, Frames, Recording
from revalexo_clip.data.synthetic.geometry import Float
from revalexo_clip.data.synthetic.person import MOTION_RATE, Motion, move
from revalexo_clip.data.synthetic.script import CLIP_SECONDS, Segment
from revalexo_clip.data.synthetic.sensors import CAMERA_CHANNELS, CHANNELS, body_rates
from revalexo_clip.data.synthetic.world import WIDTH
from revalexo_clip.data.synthetic.world2.crowd import draw_people, draw_skin, draw_things
from revalexo_clip.data.synthetic.world2.figures import Indices, Parts, draw_parts, gestures, join, wearer
from revalexo_clip.data.synthetic.world2.light import Camera, Light, draw_light
from revalexo_clip.data.synthetic.world2.place import Surroundings, draw_clothes, draw_surroundings
from revalexo_clip.data.synthetic.world2.plan import plan_recording
from revalexo_clip.data.synthetic.world2.sensors import draw_offset, draw_sensors, measure, measure_camera
from revalexo_clip.data.synthetic.world2.view import HeadView, stabilise
from revalexo_clip.data.synthetic.world2.wearer import draw_gait, draw_wearing, vary_gait, wear_camera

PLACES = 40
"""Number of places, shared by all subjects: more than anybody's recordings, so that a place says little of its clip."""
STABILISER = (0.15, 0.6)
"""Range of the time over which stabilised video is smoothed [s], as the standard deviation of a Gaussian."""
_PURPOSES = (
    *("gait", "plan", "day", "motion", "wearing", "head", "sensors", "clock", "errors", "camera errors"),
    *("clothes", "lens", "whereabouts", "place", "light", "people", "things", "hands", "noise", "stabiliser"),
)
_FIRST_PURPOSE = 100
"""World 1's generators have the numbers below."""


def _generator(purpose: str, *key: int) -> np.random.Generator:
    # Each purpose has its own random stream, so that a change of the images does not change the motion.
    return np.random.default_rng([_FIRST_PURPOSE + _PURPOSES.index(purpose), *key])


def clip_plan(seed: int, subject: int, recording: int, seconds: float = CLIP_SECONDS) -> tuple[Segment, ...]:
    """Return the activities of a recording. Successive recordings of a subject start with different activities."""
    return plan_recording(_generator("plan", seed, subject, recording), recording + 3 * subject, seconds)


def clip_motion(seed: int, subject: int, recording: int, seconds: float = CLIP_SECONDS) -> Motion:
    """Simulate the motion of a recording, with the camera on the head."""
    key = (seed, subject, recording)
    style, lively = vary_gait(_generator("day", *key), draw_gait(_generator("gait", seed, subject)))
    plan = clip_plan(*key, seconds)
    motion = move(_generator("motion", *key), style, plan)
    return wear_camera(
        _generator("head", *key), motion, draw_wearing(_generator("wearing", seed, subject)), plan, lively
    )


def clip_imu(seed: int, subject: int, recording: int, motion: Motion, seconds: float = CLIP_SECONDS) -> Float:
    """Simulate an IMU recording, [60 * seconds, 42]."""
    key = (seed, subject, recording)
    sensors = draw_sensors(_generator("sensors", seed, subject))
    return measure(_generator("errors", *key), motion, sensors, clip_offset(*key), seconds)


def clip_offset(seed: int, subject: int, recording: int) -> float:
    """Return the time of the first IMU row on the video's clock [s]."""
    return draw_offset(_generator("clock", seed, subject, recording))


def clip_surroundings(seed: int, subject: int, recording: int) -> tuple[Surroundings, Light]:
    """Return the place and the light of a recording."""
    place = int(_generator("whereabouts", seed, subject, recording).integers(PLACES))
    surroundings = draw_surroundings(_generator("place", seed, place))
    light = draw_light(_generator("light", seed, subject, recording), indoors=surroundings.indoors)
    return surroundings, light


def stabilises(subject: int) -> bool:
    """Return whether the camera of a subject stabilises its video in a dataset with `stabilised`: every second one."""
    return subject % 2 == 1


def clip_frames(
    seed: int,
    subject: int,
    recording: int,
    motion: Motion,
    seconds: float = CLIP_SECONDS,
    *,
    stabilised: bool = False,
) -> Frames:
    """Render the camera frames of a recording, [120, 160, 3] each, at `VIDEO_RATE`."""
    key = (seed, subject, recording)
    surroundings, light = clip_surroundings(*key)
    field_of_view = np.radians(_generator("lens", seed, subject).uniform(70.0, 110.0))
    focal = float(0.5 * WIDTH / np.tan(0.5 * field_of_view))
    start = int(np.searchsorted(motion.times, -1e-9))
    samples_F = start + np.arange(round(seconds * VIDEO_RATE)) * (MOTION_RATE // VIDEO_RATE)
    terrain = motion.course.terrain
    view = HeadView(surroundings, terrain, focal, _generator("things", *key).uniform(0.0, 6.3))
    figures = [
        *draw_things(_generator("things", *key), surroundings, terrain, float(motion.pelvis.position[-1, 0])),
        *draw_people(_generator("people", *key), motion, samples_F, surroundings, terrain),
        _draw_wearer(key, motion, samples_F),
    ]
    parts = join(figures, len(samples_F))
    camera = Camera(_generator("noise", *key), light)
    turns_F3 = body_rates(motion.camera.rotation, MOTION_RATE)[samples_F]
    # A stabiliser shows the scene as a camera that turns smoothly would, but blurred by the turns of the real one.
    shown = motion.camera.rotation
    if stabilised:
        shown = stabilise(shown, _generator("stabiliser", seed, subject).uniform(*STABILISER))
    for frame, sample in enumerate(samples_F):
        position, rotation = motion.camera.position[sample], shown[sample]
        picture, depth = view.look(position, rotation)
        draw_parts(picture, depth, parts, frame, camera=(position, rotation, focal), place=surroundings.place)
        # Turning left moves the image to the right, bending down moves it up.
        turn = (focal * turns_F3[frame, 2], -focal * turns_F3[frame, 1])
        yield camera.expose(picture, turn, frame / VIDEO_RATE)


def _draw_wearer(key: tuple[int, int, int], motion: Motion, samples_F: Indices) -> Parts:
    """Draw what the wearer sees of the own body: other clothes every day, hands that sometimes gesture."""
    rng = _generator("hands", *key)
    raised_F2 = gestures(rng, motion.times[samples_F], rng.uniform(0.0, 1.0) if rng.random() < 0.4 else 0.0)
    skin = draw_skin(_generator("clothes", *key[:2]))
    clothes = _generator("clothes", *key)
    return wearer(motion, samples_F, raised_F2, [*(draw_clothes(clothes) for _ in range(3)), skin, skin])


def simulate(
    seed: int,
    subject: int,
    recording: int,
    seconds: float = CLIP_SECONDS,
    *,
    camera_imu: bool = False,
    stabilised: bool = False,
) -> Recording:
    """Simulate one recording. The camera's IMU has a generator of its own: the other columns stay the same.

    With `stabilised`, the cameras of some subjects stabilise the video, see `stabilises`. IMUs do not notice.
    """
    key = (seed, subject, recording)
    motion = clip_motion(*key, seconds)

    def imu() -> Float:
        body_LC = clip_imu(*key, motion, seconds)
        if not camera_imu:
            return body_LC
        sensors = draw_sensors(_generator("sensors", seed, subject))
        camera_L6 = measure_camera(_generator("camera errors", *key), motion, sensors, seconds)
        return np.concatenate([body_LC, camera_L6], axis=1)

    return Recording(
        channels=(*CHANNELS, *CAMERA_CHANNELS) if camera_imu else CHANNELS,
        imu=imu,
        frames=partial(clip_frames, *key, motion, seconds, stabilised=stabilised and stabilises(subject)),
        crf=clip_surroundings(*key)[1].crf,
    )
