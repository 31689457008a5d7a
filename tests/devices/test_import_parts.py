"""Parts of recordings, datasets that were not imported, and what an import proposes next."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from codecs import BOM_UTF8
from pathlib import Path

import numpy as np
import pytest
import typer.main
from support.made_gopro import FPS, Camera, write_gopro
from typer.core import TyperGroup

from revalexo_clip.cli.app import app
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.devices.base import DeviceRecording, ImuStream, channels_of
from revalexo_clip.devices.describe import next_steps, plan_lines
from revalexo_clip.devices.gopro import read_gopro
from revalexo_clip.devices.plan import ImportOptions, plan_import
from revalexo_clip.devices.write import write_import


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of 4 s."""
    path = tmp_path_factory.mktemp("source") / "GX010007.MP4"
    write_gopro(path, Camera())
    return path


@pytest.fixture(scope="module")
def recording(source: Path) -> DeviceRecording:
    return read_gopro(source)


def logged(gravity: float = 9.8) -> DeviceRecording:
    """A recording without video, whose acceleration has this mean [m/s^2]."""
    values_NC = np.random.default_rng(0).normal(0, 0.3, (300, 6)) + np.array([0, 0, gravity, 0, 0, 0])
    stream = ImuStream("Wrist", channels_of("Wrist"), np.arange(300) / 100, values_NC, gravity=gravity > 5)
    return DeviceRecording(Path("wrist.csv"), "logger", (stream,))


def import_it(recording: DeviceRecording, root: Path, subject: str = "Anna", **options: object) -> list[str]:
    """Import a recording; return its plan's lines."""
    plan = plan_import(recording, root, subject, ImportOptions(**options))  # type: ignore[arg-type]
    write_import(plan)
    return plan_lines(plan)


def test_parts_of_a_recording_become_clips_of_different_subjects(recording: DeviceRecording, tmp_path: Path) -> None:
    lines = import_it(recording, tmp_path, "Anna1", end=2.0)
    assert any("only 0.001 to 2.000 s are imported" in line for line in lines)
    import_it(recording, tmp_path, "Anna2", begin=2.0)
    (one,), (other,) = (
        json.loads((tmp_path / "data_pairs" / f"Anna{number}.json").read_text())["pairs"].values() for number in (1, 2)
    )
    assert one["offset"] == pytest.approx(1 / FPS, abs=1e-6), "the first frame after the first sample"
    assert one["source"]["span"] == [one["offset"], 2.0]
    assert other["offset"] == pytest.approx(np.ceil(2.0 * FPS - 1e-6) / FPS, abs=1e-6), "the first frame from there on"
    rows = [len((tmp_path / "imu" / f"Anna{number}" / "0001.csv").read_text().splitlines()) for number in (1, 2)]
    assert sum(rows) - 2 == pytest.approx(4.0 * 60, abs=4)
    for begin, end in ((0.0, 4.0), (1.5, 3.0), (2.5, 9.0)):
        with pytest.raises(DataError, match=r"this recording is in .* already"):
            import_it(recording, tmp_path, "Anna3", begin=begin, end=end)


@pytest.mark.parametrize("times", [(-1.0, 2.0), (3.0, 2.0), (float("nan"), 2.0), (float("inf"), float("inf"))])
def test_a_part_must_be_one(times: tuple[float, float], recording: DeviceRecording, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--from must be 0 s or more, and --to later than --from"):
        plan_import(recording, tmp_path / "new", "Anna", ImportOptions(begin=times[0], end=times[1]))
    with pytest.raises(DataError, match=r"less than 1 s between --from and --to; all its streams have 0\.001 to 4\."):
        plan_import(recording, tmp_path / "new", "Anna", ImportOptions(begin=3.5, end=99.0))


@pytest.mark.parametrize("gravity", [9.8, 0.0])
def test_clips_that_were_not_imported_are_measured_for_gravity(gravity: float, tmp_path: Path) -> None:
    import_it(logged(gravity), tmp_path)
    path = tmp_path / "data_pairs" / "Anna.json"
    content = json.loads(path.read_text())
    del content["pairs"]["0001"]["source"]
    path.write_text(json.dumps(content))
    plan_import(logged(gravity + 0.1), tmp_path, "Ben")
    says = (
        r"without gravity, .* Anna/0001 .* seems to be with it" if gravity else r"Anna/0001 .* seems to be without it"
    )
    with pytest.raises(DataError, match=says):
        plan_import(logged(9.7 - gravity), tmp_path, "Ben")


def test_a_subjects_file_may_begin_with_a_byte_order_mark(recording: DeviceRecording, tmp_path: Path) -> None:
    import_it(logged(), tmp_path)
    path = tmp_path / "data_pairs" / "Anna.json"
    path.write_bytes(BOM_UTF8 + path.read_bytes())
    (tmp_path / "label_mapping.json").write_bytes(BOM_UTF8 + (tmp_path / "label_mapping.json").read_bytes())
    import_it(recording, tmp_path)
    assert list(json.loads(path.read_bytes())["pairs"]) == ["0001", "0002"]


@pytest.mark.long
def test_the_next_steps_are_commands_that_pass(source: Path, tmp_path: Path) -> None:
    """Also if the folder's name has a space, the rate is another, and the clip is short."""
    words = ["import-recording", str(source), "--subject", "Anna", "--into", "my data", "--rate", "50"]
    done = subprocess.run(
        [sys.executable, "-m", "revalexo_clip", *words], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    lines = [shlex.split(line) for line in done.stdout.partition("next, check it and look at it:\n")[2].splitlines()]
    assert [line[:3] for line in lines] == [["rxclip", one, "my data"] for one in ("check-data", "check-sync", "view")]
    check = subprocess.run(
        [sys.executable, "-m", "revalexo_clip", *lines[0][1:]], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert "1 clip, 0.00 h, 1 subject: no problems found" in check.stdout
    group = typer.main.get_command(app)
    assert isinstance(group, TyperGroup)
    for _, name, *arguments in lines:
        assert group.commands[name].make_context(name, list(arguments)).params["imu_rate"] == 50


def test_without_video_the_data_are_checked_next(tmp_path: Path) -> None:
    root = tmp_path / "own"
    (line,) = next_steps(plan_import(logged(), root, "Anna"))
    assert line == f"rxclip check-data {root} --channels 'acc_*,gyro_*' --time time --min-duration 3"
