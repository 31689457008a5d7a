from __future__ import annotations

import itertools
import json
import shutil
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import write_json
from revalexo_clip.data.synthetic import synthesize
from revalexo_clip.data.synthetic.clip import clip_frames, clip_imu, clip_motion
from revalexo_clip.data.synthetic.gait import lay_course
from revalexo_clip.data.synthetic.geometry import Float, orientation
from revalexo_clip.data.synthetic.person import MOTION_RATE, Motion, move
from revalexo_clip.data.synthetic.script import ACTIVITIES, THEMES, Segment, plan_clip, transitions
from revalexo_clip.data.synthetic.sensors import CHANNELS, body_rates, record, sensor_poses
from revalexo_clip.data.synthetic.style import Style, draw_style
from revalexo_clip.data.synthetic.world import FOCAL, WIDTH, View, World, draw_place
from revalexo_clip.data.synthetic.write import MARKER

SUBJECTS, CLIPS = 2, 1


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic") / "demo"
    synthesize(folder, subjects=SUBJECTS, clips=CLIPS, processes=2)
    return folder


def _style(**changes: float) -> Style:
    return replace(draw_style(np.random.default_rng(3)), **changes)


def _still(**changes: float) -> Style:
    """Return a style with no trunk motion except walking."""
    return _style(look=0.0, shift=0.0, rock=0.0, asymmetry=0.0, **changes)


def _motion(activity: str, style: Style | None = None) -> Motion:
    return move(np.random.default_rng(5), style or _style(), (Segment(activity, 0.0, 12.0),))


def _contents(folder: Path, pattern: str) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob(pattern))}


@pytest.mark.long
def test_layout_is_complete(root: Path) -> None:
    mapping = json.loads((root / "label_mapping.json").read_text())
    assert mapping["label_to_idx"] == {name: index for index, name in enumerate(ACTIVITIES)}
    assert mapping["idx_to_label"] == {str(index): name for index, name in enumerate(ACTIVITIES)}
    for subject in ("Subject01", "Subject02"):
        pairs = json.loads((root / "data_pairs" / f"{subject}.json").read_text())
        assert pairs["subject"] == subject
        for pair in pairs["pairs"].values():
            assert (root / pairs["video_folder"] / pair["video"]).is_file()
            assert (root / pairs["imu_folder"] / pair["imu"]).is_file()
            assert {segment["activity"] for segment in pair["activity_segments"]} <= set(ACTIVITIES)
            for segments in (pair["activity_segments"], pair["transition_segments"]):
                assert (segments[0]["start"], segments[-1]["end"]) == (0.0, 12.0)
                assert all(a["end"] == b["start"] for a, b in itertools.pairwise(segments))
    assert not list(root.rglob(".*"))


def test_imu_file_holds_every_channel_at_60_hz(root: Path) -> None:
    header, *rows = (root / "imu/Subject01/0001.csv").read_text().splitlines()
    assert header.split(",") == list(CHANNELS)
    assert CHANNELS[:4] == ("acc_Pelvis_x", "acc_Pelvis_y", "acc_Pelvis_z", "acc_Right_Upper_Leg_x")
    assert CHANNELS[20:22] == ("acc_Left_Foot_z", "gyro_Pelvis_x")
    values = np.array([[float(value) for value in row.split(",")] for row in rows])
    assert values.shape == (720, 42)
    assert np.isfinite(values).all()


def test_video_file_holds_360_frames_at_30_fps(root: Path) -> None:
    with av.open(str(root / "videos/Subject01/0001.mp4")) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert (stream.codec_context.width, stream.codec_context.height) == (160, 120)
        frames = list(container.decode(stream))
    assert [frame.time for frame in frames] == pytest.approx([index / 30 for index in range(360)])
    keys = [index for index, frame in enumerate(frames) if frame.key_frame]
    assert max(np.diff(keys)) <= 15


@pytest.mark.long
def test_files_do_not_depend_on_the_number_of_processes(root: Path, tmp_path: Path) -> None:
    synthesize(tmp_path / "alone", subjects=SUBJECTS, clips=CLIPS, processes=1)
    assert _contents(tmp_path / "alone", "*.*") == _contents(root, "*.*")


@pytest.mark.long
def test_interrupted_set_is_completed(root: Path, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        assert (done, total) == (1, SUBJECTS * CLIPS)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        synthesize(tmp_path, subjects=SUBJECTS, clips=CLIPS, processes=1, on_progress=interrupt)
    first = tmp_path / "videos/Subject01/0001.mp4"
    (first.parent / ".123-0002.mp4").write_bytes(b"cut off")
    written = first.stat().st_mtime_ns
    synthesize(tmp_path, subjects=SUBJECTS, clips=CLIPS, processes=1)
    assert first.stat().st_mtime_ns == written
    assert _contents(tmp_path, "*.*") == _contents(root, "*.*")


@pytest.mark.long
@pytest.mark.parametrize("folder", ["", "data_pairs"])
def test_set_of_a_process_that_was_killed_while_it_wrote_json_is_completed(
    folder: str, root: Path, tmp_path: Path
) -> None:
    demo = tmp_path / "demo"
    if folder:  # killed after all clips
        shutil.copytree(root, demo)
        write_json(demo / MARKER, json.loads((demo / MARKER).read_text()) | {"complete": False})
    else:  # killed in its first milliseconds
        demo.mkdir()
    for name in (MARKER, "Subject01.json")[: 2 if folder else 1]:
        leftover = demo / (folder if name != MARKER else "") / f".4711-{name}"
        leftover.write_text('{"format"')
    synthesize(demo, subjects=SUBJECTS, clips=CLIPS, processes=1)
    assert _contents(demo, "*.*") == _contents(root, "*.*")


def test_only_own_temporary_files_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".1-notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not a demo dataset"):
        synthesize(tmp_path, subjects=1, clips=1)
    (tmp_path / ".1-notes.txt").rename(tmp_path / MARKER)
    (tmp_path / MARKER).write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="not a demo dataset"):
        synthesize(tmp_path, subjects=1, clips=1)


def test_hidden_files_of_others_do_not_stop_the_completion(root: Path, tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    shutil.copytree(root, demo)
    write_json(demo / MARKER, json.loads((demo / MARKER).read_text()) | {"complete": False})
    (demo / "videos/Subject01/.ipynb_checkpoints").mkdir()
    (demo / "videos/Subject01/.DS_Store").write_bytes(b"mac")
    synthesize(demo, subjects=SUBJECTS, clips=CLIPS, processes=1)
    assert (demo / "videos/Subject01/.DS_Store").exists()


def test_complete_set_is_left_alone(root: Path) -> None:
    def never(done: int, total: int) -> None:
        pytest.fail("a clip was written again")

    synthesize(root, subjects=SUBJECTS, clips=CLIPS, on_progress=never)


def test_folder_with_other_content_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not a demo dataset"):
        synthesize(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(ConfigError, match="is a file"):
        synthesize(tmp_path / "thesis.txt")


def test_set_with_other_parameters_is_refused(root: Path) -> None:
    with pytest.raises(ConfigError, match="another demo dataset"):
        synthesize(root, subjects=SUBJECTS, clips=CLIPS, seed=1)


def test_zero_subjects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at least 1"):
        synthesize(tmp_path / "none", subjects=0)


def test_themes_contain_every_activity() -> None:
    assert {activity for theme in THEMES for activity in theme} == set(ACTIVITIES)


def test_transitions_lie_round_every_change_of_activity() -> None:
    plan = plan_clip(np.random.default_rng(0), 0)
    found = [segment for segment in transitions(plan) if segment["transition"] != "no_transition"]
    assert [segment["transition"] for segment in found] == ["walking_to_stairs_up", "stairs_up_to_walking"]
    assert [0.5 * (float(s["start"]) + float(s["end"])) for s in found] == pytest.approx([s.start for s in plan[1:]])


@pytest.mark.parametrize(("seed", "subject", "clip"), [(1, 0, 0), (0, 1, 0), (0, 0, 12)])
def test_seed_subject_and_clip_each_change_the_recording(seed: int, subject: int, clip: int) -> None:
    first = clip_imu(0, 0, 0, clip_motion(0, 0, 0))
    other = clip_imu(seed, subject, clip, clip_motion(seed, subject, clip))
    assert np.abs(first - other).mean() > 0.1


def test_standing_still_gives_gravity_and_almost_no_rotation() -> None:
    imu = record(np.random.default_rng(0), _motion("standing", _still())).reshape(720, 2, 7, 3)
    acceleration, rates = np.linalg.norm(imu, axis=3).mean(axis=0)
    assert acceleration == pytest.approx(np.full(7, 9.81), abs=0.25)
    assert rates.max() < 0.05


@pytest.mark.long
@pytest.mark.parametrize("activity", ["walking", "stairs_down"])
def test_gyroscope_integrates_to_the_orientation(activity: str) -> None:
    for pose in sensor_poses(_motion(activity)).values():
        rates = body_rates(pose.rotation, MOTION_RATE)
        turned = pose.rotation[0]
        for rate in 0.5 * (rates[:-1] + rates[1:]) / MOTION_RATE:
            turned = turned @ _exponential(rate)
        # 16 s of steps; the two one-sided end samples cost most of what is left.
        assert np.abs(turned - pose.rotation[-1]).max() < 0.02


def _exponential(vector: Float) -> Float:
    angle = float(np.linalg.norm(vector))
    cross: Float = np.cross(np.eye(3), vector / max(angle, 1e-12))
    turn: Float = np.eye(3) + np.sin(angle) * cross + (1.0 - np.cos(angle)) * cross @ cross
    return turn


def test_faster_cadence_shows_in_the_signal() -> None:
    frequencies = []
    for cadence in (1.4, 2.0):
        imu = record(np.random.default_rng(0), _motion("walking", _still(cadence=cadence)))
        vertical = imu[:, CHANNELS.index("acc_Pelvis_z")]
        spectrum = np.abs(np.fft.rfft((vertical - vertical.mean()) * np.hanning(720)))
        steps = slice(12, 30)  # 1 to 2.5 Hz: the steps, without their harmonics
        frequencies.append((np.argmax(spectrum[steps]) + steps.start) / 12.0)
    assert frequencies[1] / frequencies[0] == pytest.approx(2.0 / 1.4, rel=0.15)


def test_feet_do_not_move_during_stance() -> None:
    for activity in ("walking", "stairs_up", "ramp_down"):
        motion = _motion(activity)
        steps = [step for step in motion.course.footsteps if 0.0 < step.land < 10.0]
        for step in steps:
            flat = step.land + 0.4 * (step.land - step.begin)  # after the landing, before the heel rises
            at = np.searchsorted(motion.times, [flat - 0.03, flat + 0.03])
            ankle = motion.legs[step.side].ankle[at]
            assert np.abs(ankle[1] - ankle[0]).max() < 0.015
            assert motion.course.terrain.height(np.array(step.x)) == pytest.approx(step.z)


def test_stairs_rise_by_one_riser_a_step() -> None:
    course = lay_course(np.random.default_rng(0), _style(), (Segment("stairs_up", 0.0, 12.0),))
    rises = np.diff([step.z for step in course.footsteps])
    assert rises == pytest.approx(np.full(len(rises), rises[0]))
    assert 0.14 <= rises[0] <= 0.19


def test_picture_shifts_right_when_the_camera_turns_left() -> None:
    motion = _motion("walking")
    view = View(World(draw_place(np.random.default_rng(1), indoors=True), motion.course.terrain, exposure=1.0))
    turn = 0.1
    straight, turned = (
        view.render(np.array([0.0, 0.0, 1.4]), orientation(np.array(yaw), np.array(0.0), np.array(0.0))).mean(axis=2)
        for yaw in (0.0, turn)
    )
    middle = slice(WIDTH // 2 - 30, WIDTH // 2 + 30)
    errors = [
        np.abs(np.roll(straight, shift, axis=1)[:, middle] - turned[:, middle]).mean() for shift in range(-10, 20)
    ]
    assert np.argmin(errors) - 10 == pytest.approx(FOCAL * np.tan(turn), abs=1.5)


@pytest.mark.long
def test_picture_changes_with_the_speed_of_the_body() -> None:
    clip = THEMES.index(("walking", "standing", "walking"))
    motion = clip_motion(0, 0, clip)
    frames = np.stack([frame[::2, ::2].mean(axis=2) for frame in clip_frames(0, 0, clip, motion)])
    change = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2))
    start = int(np.searchsorted(motion.times, -1e-9))
    pelvis = motion.pelvis.position[start :: MOTION_RATE // 30][:360]
    speed = np.linalg.norm(np.diff(pelvis, axis=0), axis=1)
    smoothing = np.ones(15) / 15
    assert np.corrcoef(np.convolve(change, smoothing, "valid"), np.convolve(speed, smoothing, "valid"))[0, 1] > 0.7
