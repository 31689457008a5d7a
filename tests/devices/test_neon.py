"""Reading folders of Pupil Neon recordings."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from support.made_gopro import Floats, acceleration, rotation
from support.tiny_dataset import steady, write_video

from revalexo_clip.core.errors import DataError
from revalexo_clip.devices.formats import read_recording
from revalexo_clip.devices.plan import plan_import
from revalexo_clip.devices.write import write_import

START = 1_700_000_000_000_000_000
CAMERA = "Neon Scene Camera v1"
_AXES = [
    *(f"{kind}_{axis}" for kind in ("gyro", "accel") for axis in "xyz"),
    *(f"quaternion_{axis}" for axis in "wxyz"),
]
ROW = [("timestamp_ns", "<i8"), *((axis, "<f4") for axis in _AXES)]
"""Columns of `imu ps1.raw`."""


def packet(acc_3: Floats, gyro_3: Floats) -> bytes:
    """A packet of protocol buffers; zeros are not stored."""

    def vector(values_3: Floats) -> bytes:
        return b"".join(
            bytes([axis << 3 | 5]) + struct.pack("<f", value) for axis, value in enumerate(values_3, 1) if value
        )

    parts = [vector(acc_3), vector(gyro_3)]
    body = b"\x08\x96\x01" + b"".join(bytes([2 + place << 3 | 2, len(part)]) + part for place, part in enumerate(parts))
    return struct.pack("<H", len(body)) + body


def write_neon(folder: Path, *, packets: bool, late: float = -0.1) -> Floats:
    """Two parts of 2 s with half a second between them; the IMU starts `late`. Returns the true times."""
    all_times = []
    for number, begin in ((1, 0.0), (2, 2.5)):
        frames = steady(2.0)
        write_video(folder / f"{CAMERA} ps{number}.mp4", frames, codec={"g": "30", "bf": "0"})
        time_T = START + np.round((np.array(frames) + begin) * 1e9).astype("<i8")
        (folder / f"{CAMERA} ps{number}.time").write_bytes(time_T.tobytes())
        time_N = begin + late + np.sort(np.arange(220) / 110 + np.random.default_rng(number).uniform(0, 0.004, 220))
        acc_N3, gyro_N3 = acceleration(time_N) / 9.80665, np.degrees(rotation(time_N))
        name = "extimu" if packets else "imu"
        if packets:
            content = b"".join(packet(acc_3, gyro_3) for acc_3, gyro_3 in zip(acc_N3, gyro_N3, strict=True))
        else:
            rows = np.zeros(len(time_N), ROW)
            rows["timestamp_ns"] = START + np.round(time_N * 1e9).astype("<i8")
            for place, axis in enumerate("xyz"):
                rows[f"gyro_{axis}"], rows[f"accel_{axis}"] = gyro_N3[:, place], acc_N3[:, place]
            content = rows.tobytes()
        (folder / f"{name} ps{number}.raw").write_bytes(content)
        (folder / f"{name} ps{number}.time").write_bytes((START + np.round(time_N * 1e9).astype("<i8")).tobytes())
        all_times.append(time_N)
    (folder / "imu.dtype").write_text(repr(ROW))
    return np.concatenate(all_times)


@pytest.mark.parametrize("packets", [True, False])
def test_a_folder_is_read(packets: bool, tmp_path: Path) -> None:
    time_N = write_neon(tmp_path / "neon", packets=packets)
    found = read_recording(tmp_path / "neon")
    assert (found.device, found.notes) == ("Pupil Neon", ())
    stream = found.imu[0]
    assert stream.axes == "right, forward, up"
    np.testing.assert_allclose(stream.time_N, time_N, atol=1e-6)
    np.testing.assert_allclose(stream.values_NC[:, :3], acceleration(time_N), atol=1e-5)
    np.testing.assert_allclose(stream.values_NC[:, 3:], rotation(time_N), atol=1e-5)
    assert found.video is not None
    np.testing.assert_allclose(found.video.time_T, [*steady(2.0), *(np.array(steady(2.0)) + 2.5)], atol=1e-4)
    plan = plan_import(found, tmp_path / "new", "Anna")
    assert [(clip.start, clip.frames) for clip in plan.clips] == [(0.0, (0, 58)), (2.5, (60, 118))]
    write_import(plan)
    columns = np.loadtxt(tmp_path / "new" / "imu" / "Anna" / "0002.csv", delimiter=",", skiprows=1)
    np.testing.assert_allclose(columns[9:-9, 1:4], acceleration(columns[:, 0] + 2.5)[9:-9], atol=0.05)


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    write_neon(tmp_path, packets=True)
    content = (tmp_path / "extimu ps1.raw").read_bytes()
    (tmp_path / "extimu ps1.raw").write_bytes(content[:-5])
    with pytest.raises(DataError, match=r"extimu ps1.raw: is damaged at byte"):
        read_recording(tmp_path)
    (tmp_path / "extimu ps1.time").unlink()
    with pytest.raises(DataError, match="has no times"):
        read_recording(tmp_path)
    (tmp_path / "imu ps1.raw").write_bytes(b"")
    (tmp_path / f"{CAMERA} ps1.mp4").unlink()
    (tmp_path / f"{CAMERA} ps2.mp4").unlink()
    with pytest.raises(DataError, match="has no video of the scene camera"):
        read_recording(tmp_path)
