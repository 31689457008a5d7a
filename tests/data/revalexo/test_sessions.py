"""A subject may be described by several JSON files, one for each session."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.tiny_dataset import pair, revalexo, source_of, steady, write_imu, write_json, write_video

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.revalexo.check.command import check_data
from revalexo_clip.data.revalexo.pack.build import pack

MORNING, EVENING = "data_pairs/morning.json", "data_pairs/evening.json"
NAMES = ("Subject08/evening/0000", "Subject08/evening/0001", "Subject08/morning/0000", "Subject08/morning/0001")


@pytest.fixture
def sessions(root: Path) -> Path:
    """The tiny dataset with a second session of Subject08, whose pairs and recordings have the same names."""
    for clip in ("0000", "0001"):
        write_video(root / f"videos/evening/{clip}.mp4", steady(), codec={"g": "30"})
        write_imu(root / f"imu/evening/{clip}.csv")
    (root / "data_pairs/Subject08.json").rename(root / MORNING)
    described = json.loads((root / MORNING).read_text())
    described |= {"video_folder": "videos/evening", "imu_folder": "imu/evening"}
    described["pairs"] = {clip: pair(clip) for clip in ("0000", "0001")}
    write_json(root / EVENING, described)
    return root


@pytest.mark.parametrize("source", ["off", "auto"])
def test_clips_of_all_sessions_are_windows_of_one_subject(source: str, sessions: Path) -> None:
    if source == "auto":
        pack(sessions, processes=1)
    dataset = revalexo(sessions, pack=source).build("val", seed=0)
    assert source_of(dataset) == ("PackedFiles" if source == "auto" else "RawFiles")
    assert dataset.clip_names == NAMES
    assert dataset.clip_subjects == ("Subject08",) * 4
    assert len(set(dataset.clip_recordings.tolist())) == 4, "names of recordings apply to their session"
    assert dataset[0, 0].imu_LC.shape[0] == 120
    assert len(revalexo(sessions, pack=source).build("train", seed=0).clip_names) == 4


def test_files_and_pack_have_the_same_fingerprint_that_every_session_changes(sessions: Path) -> None:
    before = revalexo(sessions).build("val", seed=0).fingerprint()
    pack(sessions, processes=1)
    assert revalexo(sessions, pack="auto").build("val", seed=0).fingerprint() == before
    (sessions / EVENING).write_text((sessions / EVENING).read_text().replace("2.4", "2.5"))
    after = revalexo(sessions).build("val", seed=0).fingerprint()
    assert after != before
    assert revalexo(sessions, pack="auto").build("val", seed=0).fingerprint() == after


def test_settings_by_clip_take_these_names(sessions: Path) -> None:
    moved = revalexo(sessions, imu_offset={NAMES[0]: 0.5}).labelled("val", seed=0)
    plain = revalexo(sessions).labelled("val", seed=0)
    assert moved[0, 0].start.item() == 0.5
    assert plain[0, 0].start.item() == 0.0


def test_check_data_knows_them(sessions: Path) -> None:
    channels = ("acc_*", "gyro_Pelvis_*")
    (sessions / "videos/evening/0001.mp4").unlink()
    found = check_data(sessions, channels=channels, min_duration=3.0, processes=1)
    assert {problem.kind for problem in found.problems} == {"missing_file", "out_of_range", "duplicate_file"}
    assert (found.findings.clips, found.findings.subjects) == (8, ("Subject01", "Subject02", "Subject08"))
    missing = next(problem for problem in found.problems if problem.kind == "missing_file")
    assert missing.clip == "Subject08/evening/0001"
    with pytest.raises(DataError, match=r"the video of Subject08/evening/0001 is missing: .*evening\.json\)"):
        revalexo(sessions).build("val", seed=0)
    excluded = revalexo(sessions, on_bad_clip="exclude", workers=0).build("val", seed=0)
    assert excluded.clip_names == tuple(name for name in NAMES if name != "Subject08/evening/0001")


def test_an_error_names_the_file_of_the_session(sessions: Path) -> None:
    (sessions / EVENING).write_text((sessions / EVENING).read_text().replace("walking", "wolking"))
    with pytest.raises(DataError, match=r"evening\.json: Subject08/evening/0000: activity 'wolking' is not in"):
        revalexo(sessions).build("val", seed=0)
    described = json.loads((sessions / EVENING).read_text().replace("wolking", "walking"))
    del described["video_folder"]
    write_json(sessions / EVENING, described)
    message = r"evening\.json: pairs\.0000: Subject08 has no video; leave this subject out"
    with pytest.raises(DataError, match=message):
        revalexo(sessions).build("val", seed=0)
    pack(sessions, processes=1)
    with pytest.raises(DataError, match=message):
        revalexo(sessions, pack="auto").build("val", seed=0)


def test_a_copy_of_a_file_is_refused(root: Path) -> None:
    shutil.copyfile(root / "data_pairs/Subject08.json", root / "data_pairs/Subject08 (copy).json")
    message = (
        r"imu/Subject08/0000\.csv of Subject08 is already described by .*; remove one of the two files, or that pair"
    )
    with pytest.raises(DataError, match=message):
        revalexo(root).build("val", seed=0)
    problems = check_data(root, channels=("acc_*",), min_duration=3.0, processes=1).problems
    assert [problem.kind for problem in problems if problem.severity == "error"] == ["subject_twice"] * 2
