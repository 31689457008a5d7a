"""`rxclip synthesize --places --no-video`: one file or CSV files, and options that would not apply are refused."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from support.small_process import call

from revalexo_clip.data import ImuRecordings

BODIES = ("--world", "2", "--places", "Head,Right_Foot", "--no-video", "--subjects", "1", "--minutes", "0.1")


def test_synthesize_writes_bodies_without_video(tmp_path: Path) -> None:
    finished = call("synthesize", "bodies.npz", *BODIES, "--rate", "100", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "bodies.npz: 1 recording of 1 subject with 2 sensors, 1 activity\n"
    with np.load(tmp_path / "bodies.npz") as stored:
        assert stored["data"].shape == (600, 12)
        assert stored["fs"] == 100.0


@pytest.mark.long
def test_a_folder_gets_csv_files_that_hold_the_same(tmp_path: Path) -> None:
    long = (*BODIES[:-1], "5.1")  # two sessions
    for name in ("bodies.npz", "own"):
        finished = call("synthesize", name, *long, "--rate", "20", cwd=tmp_path)
        assert finished.returncode == 0, finished.stderr
    files = ("person1-1.csv", "person1-2.csv")
    table = (tmp_path / "own" / "recordings.csv").read_text().splitlines()
    assert table == ["file,subject,label_column", *(f"{name},1,activity" for name in files)]
    read = [list(csv.DictReader((tmp_path / "own" / name).read_text().splitlines())) for name in files]
    rows = [row for one in read for row in one]
    with np.load(tmp_path / "bodies.npz") as stored:
        for place, channel in enumerate(stored["channels"]):
            np.testing.assert_allclose([float(row[channel]) for row in rows], stored["data"][:, place], atol=1e-4)
        each = stored["activities"][stored["label"]]
        assert [row["activity"] for row in rows] == np.repeat(each, np.diff(stored["offsets"])).tolist()
    for one in read:
        assert [float(row["time"]) for row in one] == pytest.approx(np.arange(len(one)) / 20)
    data = ImuRecordings(root=tmp_path / "own", time="time", imu_rate=20, train_subjects=("1",), val_subjects=())
    assert data.labelled("train", seed=0).imu_spec.channels[0] == "acc_Head_x"
    assert "own exists already: choose another folder" in " ".join(
        call("synthesize", "own", *BODIES, cwd=tmp_path).stderr.split()
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((*BODIES, "--clips", "3"), "--clips does not apply to --no-video"),
        ((*BODIES, "--camera-imu"), "--camera-imu does not apply to --no-video"),
        (("--no-video",), "--places and --no-video need each other and --world 2"),
        (("--places", "all", "--world", "2"), "--places and --no-video need each other and --world 2"),
        (("--minutes", "3"), "--minutes applies to --no-video only"),
        (("--world", "2", "--places", "Tail", "--no-video"), "places: Tail must be"),
    ],
)
def test_options_that_do_not_apply_are_refused(options: tuple[str, ...], message: str, tmp_path: Path) -> None:
    finished = call("synthesize", "made.npz", *options, cwd=tmp_path)
    assert finished.returncode != 0
    assert message in " ".join(finished.stderr.split())
    assert not (tmp_path / "made.npz").exists()
