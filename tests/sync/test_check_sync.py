"""`rxclip check-sync` on real mp4 and CSV files: what it finds, prints, writes, and how it exits."""

from __future__ import annotations

import json
import shutil
from codecs import BOM_UTF8
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.filmed import write_filmed
from support.html_page import Page
from support.small_process import call

from revalexo_clip.core.errors import DataError
from revalexo_clip.sync.apply import write_offsets
from revalexo_clip.sync.command import check_sync
from revalexo_clip.sync.result import Estimate, Sync


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip whose IMU is 0.2 s early. Do not change it."""
    return write_filmed(tmp_path_factory.mktemp("filmed") / "dataset", early=0.2)


@pytest.fixture
def root(filmed: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(filmed, tmp_path / "dataset"))


def described(root: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((root / "data_pairs" / "Ann.json").read_text(encoding="utf-8"))
    return found


@pytest.mark.long
def test_a_lag_is_found_shown_and_applied(root: Path, tmp_path: Path) -> None:
    before = described(root)
    finished = call("check-sync", root, "--json", "--apply", "--out", "sync.html", "--line", "middle", cwd=tmp_path)
    assert finished.returncode == 1, "it is off by more than half a frame"
    found = json.loads(finished.stdout)
    assert (found["sensor"], found["off"], found["in_time"], found["cannot_tell"]) == ("Head", 1, 0, 0)
    (recording,) = found["recordings"]
    assert recording["lag"] == pytest.approx(0.2, abs=0.005)
    assert recording["lag_interval"][0] < 0.2 < recording["lag_interval"][1]
    assert recording["method"] == "rotation"
    after = described(root)
    moved = after["pairs"]["0001"].pop("imu_offset")
    assert after == before, "nothing else changes"
    assert found["applied"] == {"Ann/0001": moved}
    assert moved == pytest.approx(recording["lag"], abs=1e-4)
    assert "übrig" in (root / "data_pairs" / "Ann.json").read_text(encoding="utf-8")
    text = (tmp_path / "sync.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "1 off" in page.text
    assert "✗ off" in page.text
    assert sum(name == "svg" for name, _ in page.elements) == 1
    assert "http" not in text.replace("http://www.w3.org/", "")
    again = call("check-sync", root, cwd=tmp_path)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "1 in time, 0 off, 0 cannot tell" in again.stdout


def test_a_page_that_cannot_be_written_is_an_error_before_anything_is(root: Path, tmp_path: Path) -> None:
    before = (root / "data_pairs" / "Ann.json").read_bytes()
    (tmp_path / "file").write_text("no folder")
    for out in ("file/sync.html", "dataset"):
        finished = call("check-sync", root, "--apply", "--out", out, cwd=tmp_path)
        assert finished.returncode == 1
        assert finished.stderr.startswith(f"error: {out}: cannot be written: ")
        assert (root / "data_pairs" / "Ann.json").read_bytes() == before


def test_a_byte_order_mark_does_not_stop_the_lag_from_being_applied(root: Path) -> None:
    path = root / "data_pairs" / "Ann.json"
    path.write_bytes(BOM_UTF8 + path.read_bytes())
    late = Sync("Ann/0001", {"Ann/0001": 1.0}, "rotation", frame=1 / 30, lag=Estimate(0.2, 0.001))
    assert write_offsets(root, [late]) == {"Ann/0001": 0.2}
    assert described(root)["pairs"]["0001"]["imu_offset"] == 0.2


def test_a_lag_of_nothing_changes_no_file(root: Path) -> None:
    before = (root / "data_pairs" / "Ann.json").read_bytes()
    nothing = Sync("Ann/0001", {"Ann/0001": 1.0}, "rotation", frame=1 / 30, lag=Estimate(4e-5, 0.001))
    assert write_offsets(root, [nothing]) == {}
    assert (root / "data_pairs" / "Ann.json").read_bytes() == before


@pytest.mark.long
def test_a_sensor_elsewhere_and_a_camera_that_stands_still_give_no_lag(filmed: Path, tmp_path: Path) -> None:
    (wrist,) = check_sync(filmed, sensor="Wrist").results
    assert wrist.verdict == "cannot tell"
    still = write_filmed(tmp_path / "still", still=True)
    finished = call("check-sync", still, cwd=tmp_path)
    assert finished.returncode == 0
    assert "0 in time, 0 off, 1 cannot tell" in finished.stdout


def test_a_column_that_no_file_has_is_an_error_and_not_a_verdict(root: Path) -> None:
    with pytest.raises(DataError, match=r"none of the 1 recording can be read: .*nothing_like_it"):
        check_sync(root, time="nothing_like_it")


def test_events_give_a_lag_and_its_drift(root: Path, tmp_path: Path) -> None:
    marked = ("--event", "Ann/0001:1.00:0.80", "--event", "Ann/0001:5.00:4.81")
    finished = call("check-sync", root, *marked, "--json", cwd=tmp_path)
    (found,) = json.loads(finished.stdout)["recordings"]
    assert found["method"] == "events"
    assert found["lag"] == pytest.approx(0.195)
    assert found["drift_ppm"] is None, "two events within seconds"
    assert found["events"] == 2
    low, high = found["lag_interval"]
    assert low < 0.19 < high
    rows = [f"Ann/0001,{time},{time - 0.1 - 1e-3 * time}" for time in (1.0, 20.0, 41.0, 60.0)]
    (tmp_path / "events.csv").write_text("\n".join(["clip,video,imu", *rows]) + "\n")
    finished = call("check-sync", root, "--event", "events.csv", "--json", cwd=tmp_path)
    (found,) = json.loads(finished.stdout)["recordings"]
    assert found["drift_ppm"] == pytest.approx(1000)
    assert found["lag"] == pytest.approx(0.1 + 1e-3 * found["at"])
    assert finished.returncode == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--sensor", "Haed"), "no columns gyro_Haed_x, _y and _z in .*did you mean 'Head'"),
        (("--event", "Ann/0001:3"), "write it as CLIP:VIDEO_S:IMU_S"),
        (("--event", "Ann/0002:3:4"), "no clip Ann/0002; did you mean 'Ann/0001'"),
        (("--time-unit", "ms"), "require --time"),
        (("--max-lag", "nan"), "must be positive"),
        (("--imu-rate", "nan"), "must be positive"),
        (("--event", "Ann/0001:3:4", "--ckpt", "x"), "exclude each other"),
    ],
)
def test_a_wrong_argument_is_one_clear_error(
    arguments: tuple[str, ...], message: str, filmed: Path, tmp_path: Path
) -> None:
    finished = call("check-sync", filmed, *arguments, cwd=tmp_path)
    assert finished.returncode == 2
    assert_matches(message, finished.stderr)


def assert_matches(pattern: str, text: str) -> None:
    with pytest.raises(DataError, match=pattern):
        raise DataError(text)


def test_sensors_without_a_telling_name_have_to_be_chosen(root: Path, tmp_path: Path) -> None:
    path = root / "imu" / "Ann" / "0001.csv"
    header, rows = path.read_text().split("\n", 1)
    path.write_text(header.replace("Head", "Sensor1") + "\n" + rows)
    finished = call("check-sync", root, cwd=tmp_path)
    assert finished.returncode == 2
    assert "Name it with --sensor: Sensor1, Wrist" in finished.stderr


def test_a_video_that_cannot_be_read_is_a_recording_that_cannot_be_told(root: Path, tmp_path: Path) -> None:
    (root / "videos" / "Ann" / "0001.mp4").write_bytes(b"no video")
    finished = call("check-sync", root, cwd=tmp_path)
    assert finished.returncode == 0
    assert "0001.mp4: cannot be" in finished.stdout


@pytest.mark.long
def test_clips_of_one_recording_are_compared_together(tmp_path: Path) -> None:
    """Cut in two, with a declared place; the same rows and frames are not counted twice."""
    root = write_filmed(tmp_path / "dataset", early=0.1)
    content = described(root)
    first = content["pairs"]["0001"] | {"recording": "walk", "offset": 0.0}
    (root / "imu" / "Ann" / "0002.csv").write_bytes((root / "imu" / "Ann" / "0001.csv").read_bytes())
    content["pairs"] = {"0001": first, "0002": first | {"imu": "0002.csv"}}
    (root / "data_pairs" / "Ann.json").write_text(json.dumps(content))
    (found,) = check_sync(root, line="middle").results
    assert list(found.clips) == ["Ann/0001", "Ann/0002"]
    assert found.lag is not None
    assert found.lag.value == pytest.approx(0.1, abs=0.005)
    assert found.overlay is not None
    assert np.all(np.diff(found.overlay.time_P) > 0)
