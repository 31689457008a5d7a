"""The motion of a video file: known shifts, rotation, bad files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.moving_texture import coloured, frames, jittered, swaying
from support.tiny_dataset import numbered, steady, write_video

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.motion import Motion, measure_video
from revalexo_clip.motion import resample

QUARTER = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)
"""Display matrix of a quarter turn."""
ONE_CELL = Motion(rows=1, columns=1, rate=10)
SHARP = {"crf": "12"}


def test_values_are_picture_widths_per_second(tmp_path: Path) -> None:
    """Content that moves 3 px right and 1 px up per frame of 160 px, at 30 fps."""
    times = steady(0.5)
    pictures = frames(lambda time: (3 / 160 * 30 * time, -1 / 160 * 30 * time), times)
    write_video(tmp_path / "a.mp4", times, frames=coloured(pictures), codec=SHARP)
    track = measure_video(tmp_path / "a.mp4", Motion())
    assert track.value_PYX3.shape == (14, 3, 4, 3)
    assert track.value_PYX3.dtype == np.float32
    np.testing.assert_allclose(track.edge_E, times, atol=1e-5)
    np.testing.assert_allclose(np.median(track.value_PYX3[..., 0]), 90 / 160, atol=0.01)
    np.testing.assert_allclose(np.median(track.value_PYX3[..., 1]), -30 / 160, atol=0.01)
    assert np.median(track.value_PYX3[..., 2]) > 0.7


@pytest.mark.parametrize("front", ["phase", "gradient"])
def test_the_size_of_the_video_does_not_matter(tmp_path: Path, front: str) -> None:
    times = steady(0.3)
    found = []
    for width, height in ((160, 120), (320, 240)):
        path = tmp_path / f"{width}.mp4"
        pictures = frames(lambda time: (0.5 * time, 0.2 * time), times, height=height, width=width)
        write_video(path, times, frames=coloured(pictures), codec=SHARP)
        found.append(np.median(measure_video(path, Motion(front=front)).value_PYX3, axis=(0, 1, 2)))
    np.testing.assert_allclose([one[:2] for one in found], [[0.5, 0.2]] * 2, atol=0.02)


def test_a_rotated_video_is_measured_upright(tmp_path: Path) -> None:
    """The file holds frames that are turned; as they are shown, the content moves to the right."""
    times = steady(0.3)
    upright = coloured(frames(lambda time: (0.6 * time, 0.0), times, height=160, width=120))
    write_video(tmp_path / "upright.mp4", times, frames=upright, codec=SHARP)
    for matrix, turns in ((QUARTER, 1), (tuple(-x if abs(x) == 65536 else x for x in QUARTER), -1)):
        write_video(
            tmp_path / "turned.mp4",
            times,
            frames=[np.rot90(frame, turns) for frame in upright],
            codec=SHARP,
            matrix=matrix,
        )
        plain, turned = (measure_video(tmp_path / f"{name}.mp4", Motion()) for name in ("upright", "turned"))
        np.testing.assert_allclose(np.median(turned.value_PYX3, axis=0), np.median(plain.value_PYX3, axis=0), atol=0.02)
        np.testing.assert_allclose(np.median(turned.value_PYX3[..., 0]), 0.6, atol=0.02)


AGREE = 0.05
"""Largest difference from the true mean velocity of a tenth of a second [picture widths / s], of up to 0.69."""


@pytest.mark.long
@pytest.mark.parametrize("name", ["24", "30", "60", "jitter"])
def test_videos_of_one_motion_give_equal_values_at_any_frame_rate(tmp_path: Path, name: str) -> None:
    times = jittered(2.1, 30.0) if name == "jitter" else steady(2.1, float(name))
    write_video(tmp_path / "a.mp4", times, frames=coloured(frames(swaying, times)), codec=SHARP)
    found = resample(measure_video(tmp_path / "a.mp4", ONE_CELL), 0.0, ONE_CELL.spec(2.0))[:, 0, 0]
    truth = np.diff([swaying(moment / 10) for moment in range(21)], axis=0) * 10
    assert np.abs(found[:, :2] - truth).max() < AGREE


def test_bad_videos_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    write_video(path, [0.0])
    with pytest.raises(DataError, match=r"a\.mp4: has fewer than two frames"):
        measure_video(path, Motion())
    path.write_bytes(b"no video at all")
    with pytest.raises(DataError, match=r"a\.mp4: cannot be decoded as video"):
        measure_video(path, Motion())
    write_video(path, steady(1.0), frames=[np.tile(numbered(0), (1, 4, 1))] * 30)
    with pytest.raises(DataError, match=r"a\.mp4: frames of 160 x 30 px .* change data.motion.rows, columns or width"):
        measure_video(path, Motion())


def test_what_values_depend_on_has_a_name() -> None:
    assert Motion().measurement == "phase1-3x4-160"
    assert Motion(rate=60).measurement == Motion().measurement
    assert len({Motion(rows=2).measurement, Motion(width=128).measurement, Motion(front="gradient").measurement}) == 3
