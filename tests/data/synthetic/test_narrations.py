"""Narrations of simulated recordings: what they say, and that they change nothing else."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from revalexo_clip.data.synthetic import clip as world1
from revalexo_clip.data.synthetic import synthesize
from revalexo_clip.data.synthetic.narrate import (
    FORMS,
    HELD_OUT,
    OTHERS,
    PACES,
    SLOPES,
    STEADY,
    TURNS,
    UNSEEN_FILE,
    UNSEEN_FORMS,
    Recorded,
    narrated_moments,
    unseen_classes,
    write_narrations,
)
from revalexo_clip.data.synthetic.script import STEPPING
from revalexo_clip.data.texts.narrations import FILE, read_narrations

SECONDS = 28.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("narrated")
    clips = {"Subject01/0001": 0.0, "Subject01/0002": 8.0, "Subject01/0003": 16.0}
    write_narrations(root, 1, [Recorded(0, 0, 0, SECONDS, clips)])
    return root


def test_moments_say_the_activity_of_the_plan_and_pace_and_turning_of_the_motion() -> None:
    motion, plan = world1.clip_motion(0, 0, 0, SECONDS), world1.clip_plan(0, 0, 0, SECONDS)
    moments = narrated_moments(motion, plan, SECONDS)
    assert len(moments) > 12
    forward_T3 = motion.pelvis.rotation[:, :, 0]
    heading_T = np.unwrap(np.arctan2(forward_T3[:, 1], forward_T3[:, 0]))
    turns = set()
    for time, name in moments:
        (segment,) = [one for one in plan if one.start <= time < one.end]
        assert segment.start <= time - STEADY + 1e-9
        assert time + STEADY <= segment.end + 1e-9
        if segment.activity not in STEPPING:
            assert name == segment.activity
            continue
        pace, slope, turn = name.split(" ")
        assert slope == segment.activity
        landings = [step.land for step in motion.course.footsteps if abs(step.land - time) < 1.5]
        gap = float(np.diff(landings).mean())
        assert (pace == "slow") == (1 / gap < 1.5)
        assert (pace == "brisk") == (1 / gap > 1.72)
        turned = float(np.interp([time + 1, time - 1], motion.times, heading_T) @ [1, -1])
        if abs(turned) > 0.6:
            assert turn == ("left" if turned > 0 else "right")
            turns.add(turn)
    assert turns, "somebody turns"


def test_clips_of_a_recording_share_its_narrations(folder: Path) -> None:
    found = read_narrations(folder / FILE)
    one, other = found["Subject01/0001"], found["Subject01/0002"]
    shared = {(round(item.time - 8.0, 2), item.text) for item in one if item.time >= 8}
    assert shared
    assert shared == {(item.time, item.text) for item in other if item.time <= 4}
    assert all(0 <= item.time <= 12 for clip in found.values() for item in clip)


def test_narrations_are_the_same_each_time_and_have_several_wordings(folder: Path, tmp_path: Path) -> None:
    write_narrations(tmp_path, 1, [Recorded(0, 0, 0, SECONDS, {"Subject01/0001": 0.0})])
    again, found = (json.loads((root / FILE).read_text()) for root in (tmp_path, folder))
    assert again["Subject01/0001"] == found["Subject01/0001"]
    wordings: dict[str, set[str]] = {}
    for clip in found.values():
        for item in clip:
            wordings.setdefault(item["class"], set()).add(item["text"])
    assert max(map(len, wordings.values())) > 1


def test_held_out_combinations_leave_every_part_in_training_and_are_asked_for_in_other_words(folder: Path) -> None:
    parts = [name.split(" ") for name in HELD_OUT]
    for known, place in ((PACES, 0), (SLOPES, 1), (TURNS, 2)):
        assert {part[place] for part in parts} == set(known)
        others = 45 // len(known)
        assert all(sum(part[place] == word for part in parts) < others / 2 for word in known)
    asked = {sentence for sentences in unseen_classes().values() for sentence in sentences}
    there = {item["class"] for clip in json.loads((folder / FILE).read_text()).values() for item in clip}
    expected = {name: said for name, said in unseen_classes().items() if name in there}
    assert json.loads((folder / UNSEEN_FILE).read_text()) == expected
    assert len(asked) == len(HELD_OUT) * len(UNSEEN_FORMS)
    told = [item.text for clip in read_narrations(folder / FILE).values() for item in clip]
    for words in (PACES, SLOPES, TURNS):
        for _, *_, unseen in words.values():
            assert not any(unseen in text for text in told)
    assert not asked & set(told)
    assert set(OTHERS) | {"walking"} <= set(OTHERS) | set(SLOPES)
    assert set(FORMS).isdisjoint(UNSEEN_FORMS)


@pytest.mark.long
def test_recordings_stay_the_same_bit_for_bit_and_a_complete_dataset_can_be_narrated(tmp_path: Path) -> None:
    def digests(root: Path) -> dict[str, str]:
        files = (path for path in root.rglob("*") if path.is_file())
        return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}

    plain, told = tmp_path / "plain", tmp_path / "told"
    synthesize(plain, subjects=1, clips=1, processes=1)
    before = digests(plain)
    synthesize(told, subjects=1, clips=1, processes=1, narrate=True)
    after = digests(told)
    assert {name: value for name, value in after.items() if "narrations" not in name} == before
    assert set(after) - set(before) == {FILE, UNSEEN_FILE}
    synthesize(plain, subjects=1, clips=1, processes=1, narrate=True)
    assert digests(plain) == after
