"""The page of `rxclip view`: everything is in one file, and the numbers are those of the dataset."""

from __future__ import annotations

import json
import re
import shutil
from base64 import b64decode
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from support.filmed import DURATION, write_filmed
from support.html_page import Page
from support.small_process import call

from revalexo_clip.data.imu import read_imu
from revalexo_clip.sync.series import Floats
from revalexo_clip.sync.view import read_view
from revalexo_clip.sync.view_page import view_page


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_filmed(tmp_path_factory.mktemp("viewed") / "dataset")


def data_of(text: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="view-data">(.*?)</script>', text, flags=re.DOTALL)
    assert found is not None
    data: dict[str, Any] = json.loads(found[1])
    return data


def floats(text: str) -> Floats:
    return np.frombuffer(b64decode(text), dtype="<f4").astype(np.float64)


@pytest.mark.long
def test_the_page_has_the_video_the_imu_the_labels_and_the_lag(root: Path, tmp_path: Path) -> None:
    finished = call("view", root, cwd=tmp_path)
    assert (finished.returncode, finished.stdout) == (0, "Ann-0001.html\n")
    text = (tmp_path / "Ann-0001.html").read_text(encoding="utf-8")
    page, data = Page(text), data_of(text)
    assert re.findall(r'(?:src|href)="(?!data:|#)[^"]*"', text) == []
    assert "http" not in text.replace("http://www.w3.org/", "")
    (video,) = [attributes for name, attributes in page.elements if name == "video"]
    source = str(video["src"])
    assert source.startswith("data:video/mp4;base64,")
    assert b64decode(source.partition(",")[2]) == (root / "videos" / "Ann" / "0001.mp4").read_bytes()
    columns = ["acc_Head_x", "gyro_Wrist_z"]
    expected_nC = read_imu(root / "imu" / "Ann" / "0001.csv", columns)
    time_n = floats(data["time"])[:-1]
    np.testing.assert_allclose(time_n, np.arange(len(expected_nC)) / 60, atol=1e-5)
    assert len(data["tracks"]) == 4
    for values_n, (track, axis) in zip(expected_nC.T, ((0, 0), (3, 2)), strict=True):
        np.testing.assert_allclose(floats(data["tracks"][track]["values"][axis])[:-1], values_n, rtol=1e-5)
    assert [one["segments"] for one in data["labels"]] == [
        [[0.0, 3.0, "standing", 0], [3.0, DURATION, "stairs up", 1]],
        [[2.5, 3.5, "standing to stairs", 7]],
    ]
    assert data["frames"] == []
    assert "✓ in time" in page.text
    assert "Head, angular velocity" in page.text


@pytest.mark.long
def test_a_large_video_becomes_frames_at_their_times(root: Path) -> None:
    view = read_view(root, "Ann/0001", largest=0.0)
    data = data_of(view_page(view))
    assert (len(data["frames"]), data["frame_rate"], data["first_frame"]) == (59, 10.0, 0.0)
    with av.open(str(root / "videos" / "Ann" / "0001.mp4")) as container:
        shown = [frame.to_ndarray(format="gray") for frame in container.decode(video=0)]
    with av.open(str(write(view.frames[20], root / "20.jpg"))) as container:
        jpeg_HW = next(container.decode(video=0)).to_ndarray(format="gray")
    small = [frame_HW[::4, ::4].astype(np.float64).mean() for frame_HW in shown[57:64]]
    assert jpeg_HW.shape == (270, 360)
    difference = [
        np.abs(frame_HW[1::8, 1::8].astype(float) - jpeg_HW[4::18, 4::18][:15, :20]).mean() for frame_HW in shown
    ]
    assert int(np.argmin(difference)) == 60, small


def write(content: bytes, path: Path) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("Ann/0002",), "there is no clip Ann/0002 with a video; did you mean 'Ann/0001'"),
        (("--sensor", "Foot"), "no columns gyro_Foot_x"),
        (("--time-zero", "first_row"), "require --time"),
        (("--imu-rate", "nan"), "--imu-rate must be positive"),
    ],
)
def test_a_wrong_argument_is_one_clear_error(
    arguments: tuple[str, ...], message: str, root: Path, tmp_path: Path
) -> None:
    finished = call("view", root, *arguments, cwd=tmp_path)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert list(tmp_path.glob("*.html")) == []


def test_a_damaged_video_is_one_clear_error(root: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "dataset"
    shutil.copytree(root, damaged)
    (damaged / "videos" / "Ann" / "0001.mp4").write_bytes(b"no video")
    finished = call("view", damaged, cwd=tmp_path)
    assert finished.returncode == 1
    assert "0001.mp4: cannot be decoded as video" in finished.stderr
