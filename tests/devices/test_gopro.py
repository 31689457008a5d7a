"""Reading GoPro recordings: signals, times, chapters, and files that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.made_gopro import FPS, Camera, acceleration, rotation, write_bare, write_gopro
from support.tiny_dataset import real_dataset

from revalexo_clip.core.errors import DataError
from revalexo_clip.devices.base import DeviceRecording
from revalexo_clip.devices.formats import read_recording
from revalexo_clip.devices.gopro import read_gopro

NAMES = ("acc_Head_x", "acc_Head_y", "acc_Head_z", "gyro_Head_x", "gyro_Head_y", "gyro_Head_z")


def time_error(recording: DeviceRecording) -> float:
    """The largest difference between the samples and the true signals at their times, in seconds of time."""
    stream = recording.imu[0]
    assert stream.channels == NAMES
    true_NC = np.concatenate([acceleration(stream.time_N), rotation(stream.time_N)], axis=1)
    step_NC = np.abs(stream.values_NC - true_NC) - 0.5 / np.array([418] * 3 + [3755] * 3)
    return float((step_NC.max(axis=0) / [4, 3, 5, 3, 1.2, 1.4]).max())


def test_samples_are_placed_by_the_cameras_clock(tmp_path: Path) -> None:
    write_gopro(tmp_path / "GX010007.MP4", Camera(first=-0.0123, jitter=0.05))
    found = read_gopro(tmp_path / "GX010007.MP4")
    assert found.device == "GoPro HERO9 Black"
    assert found.video is not None
    assert found.video.rate == pytest.approx(FPS)
    assert found.imu[0].rate == pytest.approx(199.3, rel=1e-5)
    assert found.imu[0].time_N[0] == pytest.approx(-0.0123 + 3 / 199.3, abs=1e-5)
    assert time_error(found) < 1e-4


def test_without_a_clock_samples_are_placed_by_the_times_of_payloads(tmp_path: Path) -> None:
    write_gopro(tmp_path / "old.mp4", Camera(has_clock=False, first=0.0, jitter=0.01), seconds=8.008)
    assert time_error(read_gopro(tmp_path / "old.mp4")) < 0.01


@pytest.mark.parametrize(
    "camera", [Camera(orientation="XzY"), Camera(orientation="YxZ"), Camera("Hero6 Black", says_orientation=False)]
)
def test_axes_are_the_same_for_all_models(camera: Camera, tmp_path: Path) -> None:
    path = tmp_path / "payloads.raw"
    write_bare(path, camera.payloads(2.002))
    found = read_recording(path)
    np.testing.assert_allclose(found.imu[0].values_NC[:, :3].mean(axis=0)[2], 9.81, atol=0.2)
    time_N = camera.first + np.arange(1, 1 + len(found.imu[0].time_N)) / camera.rate
    np.testing.assert_allclose(found.imu[0].values_NC[:, :3], acceleration(time_N), atol=2e-3)
    assert "bare telemetry has no times" in found.notes[0]


def test_a_camera_that_was_upside_down_is_noted(tmp_path: Path) -> None:
    path = tmp_path / "payloads.raw"
    write_bare(path, [content.replace(b"ZXY", b"zxY") for content in Camera().payloads(1.001)])
    assert read_gopro(path).notes[1].startswith("the camera was upside down")


def test_lost_samples_leave_a_gap(tmp_path: Path) -> None:
    write_gopro(tmp_path / "lost.mp4", Camera(lost=(2, 40)))
    found = read_gopro(tmp_path / "lost.mp4")
    assert time_error(found) < 1e-4
    assert np.diff(found.imu[0].time_N).max() == pytest.approx(41 / 199.3, rel=1e-3)
    assert found.imu[0].notes == (
        "40 samples of ACCL were lost by the camera",
        "40 samples of GYRO were lost by the camera",
    )


def test_chapters_are_joined(tmp_path: Path) -> None:
    write_gopro(tmp_path / "GX010007.MP4", Camera(), seconds=2.002)
    write_gopro(tmp_path / "GX020007.MP4", Camera(), seconds=2.002, start=2.002)
    (tmp_path / "GL010007.LRV").touch()
    for source in (tmp_path, tmp_path / "GX020007.MP4"):
        found = read_gopro(source)
        assert found.video is not None
        assert [path.name for path in found.video.files] == ["GX010007.MP4", "GX020007.MP4"]
        np.testing.assert_allclose(found.video.time_T, np.arange(120) / FPS, atol=1e-9)
        assert found.imu[0].time_N[-1] == pytest.approx(4.0, abs=0.01)
        assert time_error(found) < 1e-4
    (tmp_path / "GX010007.MP4").unlink()
    with pytest.raises(DataError, match="chapter 1 is not in the folder"):
        read_gopro(tmp_path / "GX020007.MP4")


def test_what_is_no_gopro_recording_is_refused(tmp_path: Path) -> None:
    def refused(source: Path) -> str:
        with pytest.raises(DataError) as error:
            read_recording(source)
        assert str(error.value).startswith(str(source)[:-4])
        return str(error.value)

    write_gopro(tmp_path / "edited.mp4", None, seconds=1.001)
    assert "no GoPro telemetry" in refused(tmp_path / "edited.mp4")
    (tmp_path / "page.mp4").write_text("<html>" * 100)
    assert "cannot be read as a video" in refused(tmp_path / "page.mp4")
    write_gopro(tmp_path / "whole.mp4", Camera(), seconds=2.002)
    content = (tmp_path / "whole.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(content[: len(content) // 2])
    assert "is the file complete?" in refused(tmp_path / "half.mp4")
    (tmp_path / "half.raw").write_bytes(Camera().payloads(1.0)[0][:-100])
    assert "truncated" in refused(tmp_path / "half.raw")
    (tmp_path / "notes.md").write_text("walking")
    assert "is none of the recordings that can be imported" in refused(tmp_path / "notes.md")
    assert "there is no such file" in refused(tmp_path / "absent.mp4")
    for names in (("GX010001.MP4", "GX010002.MP4"), ("one.mp4", "two.mp4")):
        folder = tmp_path / names[0][:-4] / "both"
        folder.mkdir(parents=True)
        for name in names:
            (folder / name).touch()
        assert f"several recordings ({', '.join(names)})" in refused(folder)


def test_a_real_recording_is_read_as_others_read_it() -> None:
    real = real_dataset().parent
    found = read_gopro(real / "raw" / "gopro_max.mp4")
    stream, gravity = found.imu
    expected = np.loadtxt(real / "gopro_max_imu.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(stream.time_N, expected[:, 0], atol=1e-4)
    np.testing.assert_allclose(stream.values_NC, expected[:, 1:], atol=1e-6)
    assert found.device == "GoPro Max"
    # The direction of gravity turns as the gyroscope says, if both have the same right-handed axes.
    up_T3 = gravity.values_NC
    rate_T3 = np.stack(
        [np.interp(gravity.time_N, stream.time_N, values) for values in stream.values_NC[:, 3:].T], axis=1
    )
    change_T3 = np.gradient(up_T3, gravity.time_N, axis=0)
    assert np.corrcoef(change_T3[:, 0], -np.cross(rate_T3, up_T3)[:, 0])[0, 1] > 0.95


@pytest.mark.parametrize(("name", "rates"), [("hero5", (198.8, 398.6)), ("hero6", (203.8, 203.8))])
def test_real_payloads_of_older_models_are_read(name: str, rates: tuple[float, float]) -> None:
    found = read_recording(real_dataset().parent / "raw" / f"gopro_{name}_gpmf.raw")
    by_kind = {channel.partition("_")[0]: stream for stream in found.imu for channel in stream.channels}
    assert (by_kind["acc"].rate, by_kind["gyro"].rate) == pytest.approx(rates, abs=0.1)
    x, y, z = by_kind["acc"].values_NC[:, :3].mean(axis=0)
    assert np.sqrt(x * x + y * y + z * z) == pytest.approx(9.81, abs=0.5)
    assert z > 9
    assert np.abs(by_kind["gyro"].values_NC[:, -3:]).max() < 3
