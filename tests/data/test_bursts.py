"""Bursts: consecutive frames at each moment, all inside the window, the same from files and packs."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_dataset import number_of, revalexo, steady, write_video

from revalexo_clip.core.errors import DataError
from revalexo_clip.data.revalexo.pack import jpeg
from revalexo_clip.data.revalexo.pack.find import NAME
from revalexo_clip.data.video import _decoded, read_frames
from revalexo_clip.data.windows import burst_frames, frame_times, shown_frames


@given(
    st.integers(1, 12),
    st.integers(1, 5),
    st.sampled_from([24.0, 30.0, 60.0]),
    st.floats(0, 3),
    st.integers(0, 2**32 - 1),
)
def test_bursts_are_consecutive_frames_inside_the_window(
    frames: int, burst: int, rate: float, start: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    time_P = np.cumsum(rng.uniform(0.7, 1.3, round(6 * rate))) / rate - 0.1
    time_T = frame_times(start, 2.0, frames)
    found = burst_frames(time_P, time_T, burst, 0.1).reshape(frames, burst)
    assert (np.diff(found, axis=1) == 1).all()
    assert (np.diff(found[:, 0]) >= 0).all()
    edge = 0.65 / rate  # the nearest frame to an end of the window is at most half an interval beyond it
    assert time_P[found].min() >= start - edge
    assert time_P[found].max() <= start + 2.0 + edge
    if burst == 1:
        np.testing.assert_array_equal(found[:, 0], shown_frames(time_P, time_T, 0.1))
    if frames > 1:
        begins_T = np.linspace(start, start + 2.0 - (burst - 1) / rate, frames)
        assert np.abs(time_P[found[:, 0]] - begins_T).max() < 0.65 / rate + 0.3 * burst / rate


def test_at_a_steady_rate_moments_are_spread_to_the_last_burst() -> None:
    time_P = np.array(steady(4.0))
    found = burst_frames(time_P, frame_times(0.5, 2.0, 5), 3, 0.1)
    assert found.reshape(5, 3)[:, 0].tolist() == [15, 29, 44, 58, 73]  # to 0.5 + 2 - 2/30 s, every 14.5 frames
    assert found.max() == 75


def test_the_order_of_frames_in_the_file_does_not_matter() -> None:
    time_P = np.array(steady(3.0))
    mixed_P = np.random.default_rng(0).permutation(len(time_P))
    time_T = frame_times(0.2, 2.0, 4)
    found = mixed_P[burst_frames(time_P[mixed_P], time_T, 2, 0.1)]
    np.testing.assert_array_equal(found, burst_frames(time_P, time_T, 2, 0.1))


@pytest.mark.parametrize("frames", [1, 4])
def test_a_window_with_fewer_frames_than_a_burst_is_refused(frames: int) -> None:
    with pytest.raises(DataError, match=r"has too few frames .* for bursts of 6 \(data.burst\)"):
        burst_frames(np.array([0.0, 0.5, 1.0, 1.5]), frame_times(0.0, 2.0, frames), 6, 0.75)


def test_a_single_burst_is_in_the_middle_of_the_window(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", steady(4.0), codec={"g": "30"})
    for start in (0.0, 1.0, 1.9):  # at 1.0 s, the frame in the middle is a keyframe, and the burst begins before it
        read = read_frames(tmp_path / "a.mp4", frame_times(start, 2.0, 1), 72, 72, burst=5)
        middle = round((start + 1) * 30)
        assert [number_of(frame) for frame in read] == list(range(middle - 2, middle + 3))


@pytest.mark.parametrize("pack", ["off", NAME])
def test_windows_hold_bursts(written: Path, pack: str) -> None:
    fields = {"frames": 3, "burst": 2, "crop": 72, "short_side": 72}
    dataset = revalexo(written, pack=pack if pack == "off" else written / pack, **fields).build("val", seed=0)
    assert (dataset.video_spec.frames, dataset.video_spec.burst, dataset.video_spec.images) == (3, 2, 6)
    for index in range(3):
        video_THWC = dataset[0, index].video_THWC
        assert video_THWC.shape == (6, 72, 72, 3)
        first = 15 * index
        numbers = [number_of(frame) for frame in video_THWC.numpy()]
        assert numbers[:2] == [first, first + 1]
        assert numbers[4:] == [first + 59, first + 60]
        assert numbers[3] - numbers[2] == 1
        assert abs(numbers[2] - first - 29.5) <= 0.5


@pytest.mark.parametrize(("frames", "burst"), [(4, 2), (30, 4), (1, 3), (8, 1)])
def test_files_and_pack_give_the_same_frames(written: Path, frames: int, burst: int) -> None:
    fields = {"frames": frames, "burst": burst, "crop": 72, "short_side": 72}
    raw, packed = (revalexo(written, pack=pack, **fields).build("train", seed=2) for pack in ("off", written / NAME))
    for index in range(0, len(raw), 7):
        one, other = (dataset[1, index].video_THWC.numpy()[:, :, 12:84] for dataset in (raw, packed))
        assert [number_of(frame) for frame in one] == [number_of(frame) for frame in other]


def test_a_burst_of_one_is_as_without_bursts(written: Path) -> None:
    plain = revalexo(written).build("train", seed=1)
    same = revalexo(written, burst=1).build("train", seed=1)
    assert all(torch.equal(a, b) for a, b in zip(plain[0, 5], same[0, 5], strict=True))


def test_a_shared_frame_is_decoded_once(written: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """31 bursts of 4 frames in 61 frames share most of them."""
    decoded: Counter[int] = Counter()
    jpegs: list[int] = []

    def counting(*args: object) -> object:
        for frame in _decoded(*args):  # type: ignore[arg-type]
            decoded[frame.pts or 0] += 1
            yield frame

    def counted(stored: list[bytes], *sizes: tuple[int, int]) -> object:
        jpegs.append(len(stored))
        return original(stored, *sizes)

    original = jpeg.decode
    monkeypatch.setattr("revalexo_clip.data.video._decoded", counting)
    monkeypatch.setattr(jpeg, "decode", counted)
    for pack in ("off", written / NAME):
        sample = revalexo(written, pack=pack, frames=31, burst=4).build("val", seed=0)[0, 0]
        assert len(sample.video_THWC) == 124
    assert set(decoded.values()) == {1}
    assert len(decoded) == 61
    assert jpegs == [61]
