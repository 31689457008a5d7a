"""`rxclip check-data` on takes: every fault of the made miniatures is listed once, by its file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from support.made_ego4d import FAULTY, NO_GYRO, NO_TABLE, NO_VIDEO, write_ego4d
from support.made_takes import write_takes

from revalexo_clip.cli.app import app
from revalexo_clip.data.revalexo.check.command import check_data


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.mark.long
def test_every_fault_of_ego4d_is_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "ego4d"
    write_ego4d(root)
    found = check_data(root)
    listed = {(problem.kind, problem.file.stem): problem.message for problem in found.problems}
    signals = {"flat_channel"}  # the miniature's gravity is constant
    assert {key for key in listed if key[0] not in signals} == {
        ("missing_time", FAULTY),
        ("backward_time", FAULTY),
        ("missing_value", FAULTY),
        ("absent_component", FAULTY),
        ("imu_gap", FAULTY),
        ("unusable_take", NO_TABLE),
        ("unusable_take", NO_GYRO),
        ("unusable_take", NO_VIDEO),
    }
    assert listed["missing_time", FAULTY] == "6 of 1500 rows have no time; they are left out"
    assert listed["backward_time", FAULTY] == "4 of 1500 rows go back in time; they are left out"
    assert listed["missing_value", FAULTY] == "5 of 1500 rows lack a value; they are left out"
    assert listed["absent_component", FAULTY] == "component 1 has no rows; windows leave its time out"
    assert found.summary().startswith(f"{root}: 7 takes, ")
    with pytest.raises(SystemExit) as left:
        app(["check-data", str(root), "--json"])
    assert left.value.code == 1
    assert '"kind": "absent_component"' in capsys.readouterr().out


def test_takes_in_folders_are_checked_too(tmp_path: Path) -> None:
    root = tmp_path / "takes"
    write_takes(root)
    (root / "early" / "early.mp4").write_bytes(b"no video")
    found = check_data(root)
    kinds = Counter(problem.kind for problem in found.problems if problem.kind != "flat_channel")
    assert kinds == {"not_a_video": 1, "backward_time": 1, "missing_value": 1, "imu_gap": 1}
    assert found.findings.subjects == ("P7", "array")


def test_metadata_that_cannot_be_read_are_a_problem(tmp_path: Path) -> None:
    (tmp_path / "ego4d.json").write_text("{")
    (problem,) = check_data(tmp_path).problems
    assert (problem.kind, problem.file) == ("recording_table", tmp_path / "ego4d.json")
