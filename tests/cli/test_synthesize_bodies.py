"""`rxclip synthesize --places --no-video`: one file of recordings, and options that would not apply are refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.small_process import call

BODIES = ("--world", "2", "--places", "Head,Right_Foot", "--no-video", "--subjects", "1", "--minutes", "0.1")


def test_synthesize_writes_bodies_without_video(tmp_path: Path) -> None:
    finished = call("synthesize", "bodies.npz", *BODIES, "--rate", "100", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout == "bodies.npz: 1 recording of 1 subject with 2 sensors, 1 activity\n"
    with np.load(tmp_path / "bodies.npz") as stored:
        assert stored["data"].shape == (600, 12)
        assert stored["fs"] == 100.0


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
