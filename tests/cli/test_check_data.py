"""Check-data and training find every kind of damage to a dataset, and print a message."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from support.damage import IMU, PAIRS, VIDEO, Damage, cell, clock, first_pair, keep
from support.damage_table import DAMAGE
from support.small_process import EXPERIMENT, Finished, call, rxclip
from support.sound_dataset import write_sound_dataset

from revalexo_clip.runs.checkpoint import PretrainingMetadata, load_checkpoint

CHANNELS = ("--channels", "acc_*", "--channels", "gyro_Pelvis_*")
CHECK = ("check-data", "dataset", *CHANNELS, "--min-duration", "3", "--jobs", "1")
PRETRAIN = ("pretrain", EXPERIMENT, "--set", "data.workers=0")


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sound") / "dataset"
    write_sound_dataset(root)
    return root


@pytest.fixture
def home(sound: Path, tmp_path: Path) -> Path:
    """A working folder with a copy of the sound dataset in it."""
    shutil.copytree(sound, tmp_path / "dataset")
    return tmp_path


def failed(finished: Finished) -> str:
    """The one message of a command that failed because of the data."""
    assert finished.returncode == 1, finished.stdout + finished.stderr
    assert "Traceback" not in finished.stdout + finished.stderr
    assert finished.stdout == ""
    _, *messages = finished.stderr.replace("\n", " ").split("error: ")
    assert len(messages) == 1, finished.stderr
    return messages[0]


@pytest.mark.long
@pytest.mark.parametrize("form", ["acc_*,gyro_Pelvis_*", "[acc_*, gyro_Pelvis_*]", '["acc_*", "gyro_Pelvis_*"]'])
def test_channels_are_written_as_in_an_override(home: Path, form: str) -> None:
    again = call(*CHECK, "--json", cwd=home)
    finished = call("check-data", "dataset", "--channels", form, *CHECK[-4:], "--json", cwd=home)
    assert (finished.returncode, finished.stdout) == (0, again.stdout), finished.stdout + finished.stderr


def test_channels_without_a_pattern_are_refused(home: Path) -> None:
    finished = call("check-data", "dataset", "--channels", " , ", cwd=home)
    assert finished.returncode == 2
    assert "--channels names no pattern" in finished.stderr


@pytest.mark.parametrize("damage", DAMAGE, ids=lambda damage: damage.what)
def test_check_data_names_the_file_and_says_what_is_wrong_with_it(damage: Damage, home: Path) -> None:
    damage.change(home / "dataset")
    finished = call(*CHECK, "--json", cwd=home)
    assert finished.returncode == 1
    assert finished.stderr == ""
    found = json.loads(finished.stdout)["problems"]
    assert {problem["kind"] for problem in found} == set(damage.kinds)
    about = [problem for problem in found if problem["kind"] == damage.kinds[0]]
    assert {problem["file"] for problem in about} == {f"dataset/{damage.file}"}
    assert damage.says in about[0]["message"]
    assert about[0]["severity"] == ("warning" if damage.training is None else "error")


@pytest.mark.long
@pytest.mark.parametrize(
    "damage", [damage for damage in DAMAGE if damage.training is not None], ids=lambda damage: damage.what
)
def test_pretraining_stops_with_one_message_that_names_the_file(damage: Damage, home: Path) -> None:
    damage.change(home / "dataset")
    message = failed(call(*PRETRAIN, cwd=home))
    assert f"dataset/{damage.file}" in message
    assert damage.training is not None
    assert damage.training in message


def test_there_are_more_than_thirty_kinds_that_both_find() -> None:
    assert len([damage for damage in DAMAGE if damage.training is not None]) > 30
    assert len({damage.what for damage in DAMAGE}) == len(DAMAGE)


@pytest.mark.long
def test_a_sound_dataset_is_one_line_and_trains(home: Path) -> None:
    finished = call(*CHECK, cwd=home)
    assert (finished.returncode, finished.stderr) == (0, "")
    assert finished.stdout == "dataset: 6 clips, 0.01 h, 3 subjects: no problems found\n"
    assert call(*PRETRAIN, cwd=home).returncode == 0


def test_all_problems_are_in_one_table_by_kind_and_file(home: Path) -> None:
    root = home / "dataset"
    for change in (cell("nan"), keep(VIDEO, 0.5), keep("imu/Subject02/0000.csv", 0.0)):
        change(root)
    finished = call(*CHECK, cwd=home)
    assert finished.returncode == 1
    *table, summary = [" ".join(line.split()) for line in finished.stdout.splitlines() if line.strip()]
    assert summary == "dataset: 6 clips, 0.01 h, 3 subjects: 3 errors and 0 warnings in 3 files"
    assert [line for line in table if line.startswith("error")] == [
        "error: empty_file (1) a clip's file is empty",
        "error: not_a_video (1) a file cannot be decoded as video",
        "error: not_finite (1) cells of a channel are NaN or infinite",
    ]
    assert f"dataset/{IMU} line 43 (row 42), column acc_Pelvis_y: 'nan' is not a finite number" in table


def test_what_is_printed_as_json_has_names_that_stay(home: Path) -> None:
    first_pair(video=None)(home / "dataset")
    printed = json.loads(call(*CHECK, "--json", cwd=home).stdout)
    message = printed["problems"][0].pop("message")
    assert message == "pairs.0000: has no video, but other clips of Subject01 have one"
    assert printed == {
        "root": "dataset",
        "clips": 6,
        "hours": pytest.approx(5 * 4 / 3600),
        "subjects": ["Subject01", "Subject02", "Subject08"],
        "subjects_without_video": [],
        "recordings": [
            {"subject": clip[:9], "clips": [{"clip": clip, "offset": 0.0, "shared": 0.0, "declared": True}]}
            for clip in (
                "Subject01/0001",
                *(f"Subject{subject}/000{clip}" for subject in ("02", "08") for clip in "01"),
            )
        ],
        "errors": 1,
        "warnings": 0,
        "problems": [
            {"severity": "error", "kind": "no_video", "file": f"dataset/{PAIRS}", "clip": "Subject01/0000"},
        ],
    }


@pytest.mark.long
def test_what_clips_share_is_a_line_and_a_list(home: Path) -> None:
    made = call("synthesize", "made", "--subjects", "1", "--clips", "2", "--overlap", "4", cwd=home)
    assert made.returncode == 0, made.stderr
    finished = call("check-data", "made", "--jobs", "1", cwd=home)
    assert finished.stdout == (
        "made: 2 clips, 0.01 h, 1 subject: no problems found\n"
        "1 recording; 1 of 2 clips share 4.0 s with an earlier clip (found by equal IMU rows)\n"
    )
    printed = json.loads(call("check-data", "made", "--jobs", "1", "--json", cwd=home).stdout)
    assert printed["recordings"] == [
        {
            "subject": "Subject01",
            "clips": [
                {"clip": "Subject01/0001", "offset": 0.0, "shared": 0.0, "declared": False},
                {"clip": "Subject01/0002", "offset": 8.0, "shared": 4.0, "declared": False},
            ],
        }
    ]


@pytest.mark.long
def test_a_clock_that_training_will_use_is_checked(home: Path) -> None:
    clock(lambda row: 1000 * row / 60)(home / "dataset")
    printed = json.loads(call(*CHECK, "--time", "time", "--json", cwd=home).stdout)
    messages = {
        problem["file"]: problem["message"] for problem in printed["problems"] if problem["kind"] == "bad_clock"
    }
    assert len(messages) == 6, "the other clocks are no numbers"
    assert messages[f"dataset/{IMU}"] == (
        "line 2, column time: the clock gives 0.06 Hz: are these milliseconds? set time_unit"
    )
    printed = json.loads(call(*CHECK, "--time", "time", "--time-unit", "ms", "--json", cwd=home).stdout)
    assert f"dataset/{IMU}" not in {problem["file"] for problem in printed["problems"]}
    refused = call(*CHECK, "--time-unit", "ms", cwd=home)
    assert refused.returncode == 2
    assert "--time-unit and --time-zero require --time" in refused.stderr


def test_channels_that_are_not_named_are_revalexos_and_it_says_so(home: Path) -> None:
    finished = call("check-data", "dataset", "--jobs", "1", cwd=home)
    assert finished.returncode == 1
    assert "no column matches 'acc_*_Upper_Leg_*'" in finished.stdout
    assert "the default channels are RevalExo's; set the dataset's own with --channels" in finished.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere",), "nowhere: there is no such dataset folder"),
        (("dataset", "--imu-rate", "0"), "--imu-rate: must be positive, not 0 Hz"),
        (("dataset", "--jobs", "0"), "--jobs"),
        ((), "ROOT"),
    ],
)
def test_a_wrong_command_is_told_from_wrong_data(arguments: tuple[str, ...], message: str, home: Path) -> None:
    finished = call("check-data", *arguments, cwd=home)
    assert finished.returncode == 2
    assert message in finished.stderr
    assert finished.stdout == ""


@pytest.mark.long
def test_excluded_clips_are_listed_and_counted_in_the_log_the_dry_run_and_the_checkpoint(home: Path) -> None:
    for change in (cell("nan"), keep("videos/Subject08/0001.mp4", 0.5)):
        change(home / "dataset")
    exclude = (*PRETRAIN, "--set", "data.on_bad_clip=exclude", "--set", "data.windows_per_clip=4")
    planned = call(*exclude, "--dry-run", cwd=home)
    assert planned.returncode == 0
    assert "3 clips, subjects Subject01 Subject02; 1 bad clip left out" in " ".join(planned.stdout.split())
    assert "Subject01/0000 Subject08/0001" in planned.stdout
    finished = call(*exclude, cwd=home)
    assert finished.returncode == 0
    log = (home / "runs/latest/log.txt").read_text()
    for said in (finished.stderr, log):
        lines = [" ".join(line.split()) for line in said.splitlines()]
        for text in (
            f"left out Subject01/0000: dataset/{IMU}: line 43 (row 42), column acc_Pelvis_y: 'nan' is not a finite num",
            "left out Subject08/0001: dataset/videos/Subject08/0001.mp4: cannot be decoded as video",
            "checked 4 clips, 1 of them bad and left out",
            "train 12 windows of 3 clips, subjects Subject01 Subject02; 1 bad clip left out",
        ):
            assert len([line for line in lines if text in line]) == 1, text
    description = load_checkpoint(home / "runs/latest/checkpoints/last.ckpt").description
    assert description.excluded == {"train": ("Subject01/0000",), "val": ("Subject08/0001",)}
    older = {key: value for key, value in json.loads(description.model_dump_json()).items() if key != "excluded"}
    assert PretrainingMetadata.model_validate(older).excluded == {}


@pytest.mark.long
def test_processes_of_their_own_say_the_same_however_many_there_are(home: Path) -> None:
    for change in (cell("nan"), keep(VIDEO, 0.5)):
        change(home / "dataset")
    alone = call(*CHECK, "--json", cwd=home).stdout
    finished = rxclip("check-data", "dataset", *CHANNELS, "--min-duration", "3", "--jobs", "2", "--json", cwd=home)
    assert (finished.returncode, finished.stderr) == (1, "")
    assert finished.stdout == alone
    message = failed(rxclip("pretrain", EXPERIMENT, "--set", "data.workers=1", cwd=home))
    assert f"dataset/{IMU}: line 43" in message or f"dataset/{VIDEO}: cannot be decoded" in message
