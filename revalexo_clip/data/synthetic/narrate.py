"""Narrations of simulated recordings: sentences about pace, slope and turning at moments of a clip.

They are read off the simulated motion, and do not change it. Several wordings say the same; some of them, and the
combinations in `HELD_OUT`, are for tests of what training has not named.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np

from revalexo_clip.core.files import write_json
from revalexo_clip.data.synthetic import clip as world1
from revalexo_clip.data.synthetic.geometry import Float
from revalexo_clip.data.synthetic.person import Motion
from revalexo_clip.data.synthetic.script import CLIP_SECONDS, STEPPING, Segment
from revalexo_clip.data.synthetic.world2 import clip as world2
from revalexo_clip.data.texts.narrations import FILE

UNSEEN_FILE = "narrations_unseen.json"
"""File of the classes in `HELD_OUT`, in wordings that no narration has, for `rxclip evaluate --zero-shot`."""
INTERVAL = 1.0
"""Time between two narrated moments [s]."""
STEADY = 0.5
"""A moment is narrated if the activity stays the same for so long before and after it [s]."""
TURN = 0.35
"""Change of the pelvis's direction within 2 s from which on a person turns [rad]."""
SLOW, BRISK = 1.5, 1.72
"""Steps per second below which the pace is slow, and above which it is brisk."""
_PURPOSE = 50
"""Random stream of wordings; the worlds have others."""

PACES = {
    "slow": ("slowly", "at a slow pace", "in a slow way"),
    "steady": ("steadily", "at a steady pace", "in a steady way"),
    "brisk": ("briskly", "at a brisk pace", "in a brisk way"),
}
SLOPES = {
    "walking": ("walking on level ground", "going over flat ground", "moving along on flat, level ground"),
    "stairs_up": ("climbing up the stairs", "going up the stairs", "moving up some stairs"),
    "stairs_down": ("climbing down the stairs", "going down the stairs", "moving down some stairs"),
    "ramp_up": ("walking up a ramp", "going up the ramp", "moving up some ramp"),
    "ramp_down": ("walking down a ramp", "going down the ramp", "moving down some ramp"),
}
TURNS = {
    "left": ("turning left", "turning to the left", "and makes a left turn"),
    "straight": ("straight ahead", "keeping straight", "and stays on a straight line"),
    "right": ("turning right", "turning to the right", "and makes a right turn"),
}
"""Words for each pace, slope and turning: the last are in no narration."""
OTHERS = {
    "standing": ("a person is standing", "someone stands still"),
    "sitting": ("a person is sitting", "someone sits on a chair"),
    "sitting_down": ("a person is sitting down", "someone sits down on a chair"),
    "standing_up": ("a person is standing up", "someone gets up from a chair"),
}
"""Sentences of activities without steps, which have no pace, slope and turning."""
FORMS = (
    "a person is {slope} {pace}, {turn}",
    "someone is {slope}, {turn}, {pace}",
    "{pace}, the camera wearer is {slope}, {turn}",
    "{slope} {pace}, {turn}",
)
UNSEEN_FORMS = ("somebody {slope} {pace} {turn}", "this is someone who keeps {slope} {turn} {pace}")
"""Sentences that are in no narration, with the last words of each kind."""

HELD_OUT = (
    "slow walking left",
    "brisk walking right",
    "steady stairs_up left",
    "slow stairs_up right",
    "brisk stairs_down left",
    "steady stairs_down straight",
    "steady ramp_up right",
    "slow ramp_up straight",
    "brisk ramp_down straight",
    "steady ramp_down left",
)
"""Combinations to be left out of training. Each pace, slope and turning is also in others."""


class Recorded(NamedTuple):
    """A recording whose clips are narrated."""

    seed: int
    subject: int
    recording: int
    seconds: float
    offsets: Mapping[str, float]
    """Start of each clip in the recording [s], by `subject/pair id`."""


def combination(pace: str, slope: str, turn: str) -> str:
    """Return the class of narrations of a combination, e.g. `slow stairs_up left`."""
    return f"{pace} {slope} {turn}"


def unseen_classes() -> dict[str, list[str]]:
    """Return the classes in `HELD_OUT` with their unseen wordings, for zero-shot classification."""
    words = {
        combination(*names): dict(zip(("pace", "slope", "turn"), names, strict=True))
        for names in product(PACES, SLOPES, TURNS)
    }
    return {
        name: [
            form.format(pace=PACES[of["pace"]][-1], slope=SLOPES[of["slope"]][-1], turn=TURNS[of["turn"]][-1])
            for form in UNSEEN_FORMS
        ]
        for name, of in words.items()
        if name in HELD_OUT
    }


def write_narrations(root: Path, world: int, recordings: Sequence[Recorded]) -> None:
    """Write `narrations.json` and `narrations_unseen.json` into the folder of a simulated dataset.

    The second has those of the classes in `HELD_OUT` that occur in the dataset.
    """
    simulated = {1: world1, 2: world2}[world]
    narrations: dict[str, list[dict[str, float | str]]] = {}
    for one in recordings:
        key = one.seed, one.subject, one.recording
        motion, plan = simulated.clip_motion(*key, one.seconds), simulated.clip_plan(*key, one.seconds)
        rng = np.random.default_rng([_PURPOSE, world, *key])
        moments = [(time, *_worded(rng, name)) for time, name in narrated_moments(motion, plan, one.seconds)]
        for clip, offset in one.offsets.items():
            narrations[clip] = [
                {"time": round(time - offset, 2), "text": text, "class": name}
                for time, name, text in moments
                if 0 <= time - offset <= CLIP_SECONDS
            ]
    write_json(root / FILE, narrations)
    there = {said["class"] for told in narrations.values() for said in told}
    write_json(root / UNSEEN_FILE, {name: said for name, said in unseen_classes().items() if name in there})


def narrated_moments(motion: Motion, plan: Sequence[Segment], seconds: float) -> list[tuple[float, str]]:
    """Return time [s] and class of each moment that is narrated."""
    forward_T3 = motion.pelvis.rotation[:, :, 0]
    heading_T = np.unwrap(np.arctan2(forward_T3[:, 1], forward_T3[:, 0]))
    landing_S = np.array([step.land for step in motion.course.footsteps if step.activity in STEPPING])
    found = []
    for time in np.arange(INTERVAL, seconds - 0.5 * INTERVAL, INTERVAL).tolist():
        around = {segment.activity for segment in plan if segment.start < time + STEADY and segment.end > time - STEADY}
        if len(around) > 1:
            continue
        (activity,) = around
        if activity not in STEPPING:
            found.append((time, activity))
            continue
        near_S = landing_S[np.abs(landing_S - time) < 1.5]
        if len(near_S) > 2:
            pace = _pace((len(near_S) - 1) / float(near_S[-1] - near_S[0]))
            turned = _direction(motion.times, heading_T, time + 1) - _direction(motion.times, heading_T, time - 1)
            found.append((time, combination(pace, activity, _turn(turned))))
    return found


def _direction(time_T: Float, heading_T: Float, time: float) -> float:
    """Return the direction of the pelvis [rad], averaged over a step."""
    return float(heading_T[np.abs(time_T - time) < 0.3].mean())


def _pace(cadence: float) -> str:
    if cadence < SLOW:
        return "slow"
    return "brisk" if cadence > BRISK else "steady"


def _turn(angle: float) -> str:
    if abs(angle) < TURN:
        return "straight"
    return "left" if angle > 0 else "right"


def _worded(rng: np.random.Generator, name: str) -> tuple[str, str]:
    """Return the class and one of its sentences."""
    if name in OTHERS:
        return name, str(rng.choice(OTHERS[name]))
    pace, slope, turn = name.split(" ")
    words = {"pace": PACES[pace], "slope": SLOPES[slope], "turn": TURNS[turn]}
    chosen = {place: str(rng.choice(known[:-1])) for place, known in words.items()}
    return name, str(rng.choice(FORMS)).format(**chosen)
