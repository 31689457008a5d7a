"""Mistakes of users end with one message that says what is wrong, where, and what to do."""

from __future__ import annotations

import json
import os
import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from support.small_process import EXPERIMENT, rxclip
from support.tiny_dataset import CHANNELS, write_imu

from revalexo_clip.cli import app as cli
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError, UserError
from revalexo_clip.runs.checkpoint import load_checkpoint

Damage = Callable[[Path], None]
"""Does harm to the dataset at a path, or to the folder that the command is called in."""

CONFIG, WORK = 2, 1


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Mistake:
    """A command, the mistake that it meets, and the text of its error message."""

    what: str
    arguments: Sequence[str]
    code: int
    says: Sequence[str]
    damage: Damage | None = None
    environment: dict[str, str] = field(default_factory=dict)


def here(name: str, text: str) -> Damage:
    """A file in the working folder."""
    return lambda root: _write(root.parent / name, text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def edit(path: str, change: Callable[[JsonObject], object]) -> Damage:
    """Change a JSON file of the dataset."""

    def damage(root: Path) -> None:
        content = json.loads((root / path).read_text())
        change(content)
        (root / path).write_text(json.dumps(content))

    return damage


def remove(path: str) -> Damage:
    return lambda root: (root / path).unlink()


def truncate(path: str, share: float) -> Damage:
    def damage(root: Path) -> None:
        content = (root / path).read_bytes()
        (root / path).write_bytes(content[: int(share * len(content))])

    return damage


def nan_in(path: str) -> Damage:
    def damage(root: Path) -> None:
        lines = (root / path).read_text().splitlines()
        cells = lines[42].split(",")
        cells[2] = "nan"
        lines[42] = ",".join(cells)
        (root / path).write_text("\n".join(lines))

    return damage


def pairs(subject: str) -> str:
    return f"data_pairs/Subject{subject}.json"


def first_pair(key: str, value: JsonValue) -> Callable[[JsonObject], object]:
    def change(content: JsonObject) -> None:
        described = content["pairs"]
        assert isinstance(described, dict)
        described["0000"] |= {key: value}  # type: ignore[operator]

    return change


def half_a_checkpoint(root: Path) -> None:
    torch.save({"state_dict": {"w": torch.zeros(1000)}}, root.parent / "a.ckpt")
    truncate("../a.ckpt", 0.7)(root)


class Runs:
    """A malicious object for a checkpoint: unpickling it runs a command."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch executed",)


SMALL = ("pretrain", str(EXPERIMENT), "--set", "data.root=dataset")
HEADER = "from revalexo_clip import *\n"
ONE = "class {name}(PretrainExperiment):\n    pass\n"
VIDEO, IMU = "videos/Subject01/0000.mp4", "imu/Subject01/0000.csv"
SLOW = "the damage is met while training"

MISTAKES = [
    # The experiment file.
    Mistake(
        "no such file",
        ("pretrain", "experiments/mvit_bse.py"),
        CONFIG,
        ("experiments/mvit_bse.py: no such experiment file", "did you mean 'experiments/mvit_base.py'?"),
        here("experiments/mvit_base.py", HEADER),
    ),
    Mistake(
        "not Python",
        ("pretrain", "run.yaml"),
        CONFIG,
        ("run.yaml is not an experiment file", "FILE.py"),
        here("run.yaml", "batch_size: 3"),
    ),
    Mistake("no experiment", ("pretrain", "no.py"), CONFIG, ("no.py defines no experiment",), here("no.py", HEADER)),
    Mistake(
        "two experiments",
        ("pretrain", "two.py"),
        CONFIG,
        ("two.py defines 2 experiments", "two.py:One", "two.py:Two"),
        here("two.py", HEADER + ONE.format(name="One") + ONE.format(name="Two")),
    ),
    Mistake(
        "no such class",
        ("pretrain", "two.py:Tow"),
        CONFIG,
        ("two.py has no experiment 'Tow'", "did you mean 'Two'?"),
        here("two.py", HEADER + ONE.format(name="One") + ONE.format(name="Two")),
    ),
    Mistake(
        "syntax error",
        ("pretrain", "slip.py"),
        CONFIG,
        ("slip.py:2", "was never closed"),
        here("slip.py", HEADER + "class A(PretrainExperiment\n"),
    ),
    Mistake(
        "raises",
        ("pretrain", "slip.py"),
        CONFIG,
        ("slip.py:2: ZeroDivisionError",),
        here("slip.py", HEADER + "1 / 0\n"),
    ),
    # --set.
    Mistake(
        "unknown key",
        (*SMALL, "--set", "batchsize=4"),
        CONFIG,
        ("batchsize: unknown field; did you mean 'batch_size'?",),
    ),
    Mistake(
        "unknown nested key",
        (*SMALL, "--set", "optim.rl=4"),
        CONFIG,
        ("optim.rl: unknown field", "known: betas, final_lr, imu_layer_decay"),
    ),
    Mistake(
        "unknown key on the way",
        (*SMALL, "--set", "trainr.max_epochs=4"),
        CONFIG,
        ("--set trainr", "did you mean 'trainer'?"),
    ),
    Mistake(
        "wrong type",
        (*SMALL, "--set", "trainer.max_epochs=many"),
        CONFIG,
        ("trainer.max_epochs: ", "valid integer", "'many'"),
    ),
    Mistake(
        "unknown component",
        (*SMALL, "--set", "imu.type=DeepConvLTSM"),
        CONFIG,
        ("imu: unknown ImuEncoder 'DeepConvLTSM'; did you mean 'DeepConvLSTM'?", "(known: DeepConvLSTM"),
    ),
    Mistake(
        "component as text",
        (*SMALL, "--set", "imu=DeepConvLSTM"),
        CONFIG,
        ("--set imu=DeepConvLSTM", "--set imu.type=DeepConvLSTM"),
    ),
    Mistake("no equals sign", (*SMALL, "--set", "seed"), CONFIG, ("--set seed", "path=value")),
    Mistake(
        "no device of the kind",
        (*SMALL, "--set", "trainer.accelerator=gpu"),
        CONFIG,
        ("trainer: No supported gpu backend found", "--set trainer.accelerator=cpu"),
        environment={"CUDA_VISIBLE_DEVICES": ""},
    ),
    Mistake(
        "more devices than pairs in a batch",
        (*SMALL, "--devices", "9"),
        CONFIG,
        ("batch_size: 8 windows cannot be shared by 9 devices",),
    ),
    # The dataset.
    Mistake(
        "no such root",
        (*SMALL, "--set", "data.root=elsewhere"),
        WORK,
        ("elsewhere: there is no such dataset folder", "data.root"),
    ),
    Mistake(
        "no label mapping",
        SMALL,
        WORK,
        ("dataset/label_mapping.json: cannot be read: No such file",),
        remove("label_mapping.json"),
    ),
    Mistake(
        "malformed label mapping",
        SMALL,
        WORK,
        ("dataset/label_mapping.json: ", "Invalid JSON", "line 1"),
        lambda root: _write(root / "label_mapping.json", '{"label_to_idx": {"walking": 0,}}'),
    ),
    Mistake(
        "malformed pairs",
        SMALL,
        WORK,
        ("dataset/data_pairs/Subject01.json: ", "Invalid JSON"),
        truncate(pairs("01"), 0.5),
    ),
    Mistake(
        "a key missing",
        SMALL,
        WORK,
        ("dataset/data_pairs/Subject01.json: imu_folder: Field required",),
        edit(pairs("01"), lambda content: content.pop("imu_folder")),
    ),
    Mistake("no mp4", SMALL, WORK, (f"dataset/{VIDEO}: the video of Subject01/0000 is missing",), remove(VIDEO)),
    Mistake("empty mp4", SMALL, WORK, (f"dataset/{VIDEO}: the video of Subject01/0000 is empty",), truncate(VIDEO, 0)),
    Mistake("no CSV", SMALL, WORK, (f"dataset/{IMU}: the IMU recording of Subject01/0000 is missing",), remove(IMU)),
    Mistake(
        "empty CSV",
        SMALL,
        WORK,
        (f"dataset/{IMU}: the IMU recording of Subject01/0000 is empty",),
        truncate(IMU, 0),
    ),
    Mistake(
        "truncated mp4, " + SLOW,
        SMALL,
        WORK,
        (f"dataset/{VIDEO}: cannot be decoded as video", "Subject01/0000, window at "),
        truncate(VIDEO, 0.5),
    ),
    Mistake(
        "truncated CSV, " + SLOW,
        SMALL,
        WORK,
        (f"dataset/{IMU}: ", "Subject01/0000, window at "),
        truncate(IMU, 0.1),
    ),
    Mistake(
        "NaN, " + SLOW,
        SMALL,
        WORK,
        (f"dataset/{IMU}: line 43 (row 42), column acc_Pelvis_y: 'nan' is not a finite number",),
        nan_in(IMU),
    ),
    Mistake(
        "NaN in validation, " + SLOW,
        SMALL,
        WORK,
        ("dataset/imu/Subject08/0001.csv: line 43", "'nan' is not a finite number"),
        nan_in("imu/Subject08/0001.csv"),
    ),
    Mistake(
        "missing channel",
        SMALL,
        WORK,
        (f"dataset/{IMU}: no column matches the channel pattern 'gyro_Pelvis_*'", "acc_Pelvis_x"),
        lambda root: write_imu(root / IMU, CHANNELS[:2]),
    ),
    Mistake(
        "another channel",
        SMALL,
        WORK,
        ("imu/Subject02/0001.csv: lacks 1 channels (acc_Left_Foot_y) of", IMU),
        lambda root: write_imu(
            root / "imu/Subject02/0001.csv", [channel for channel in CHANNELS if channel != "acc_Left_Foot_y"]
        ),
    ),
    Mistake(
        "unknown activity",
        SMALL,
        WORK,
        ("Subject01.json: Subject01/0000: activity 'wlking' is not in label_mapping.json; did you mean 'walking'?",),
        edit(pairs("01"), first_pair("activity_segments", [{"start": 0.0, "end": 4.0, "activity": "wlking"}])),
    ),
    Mistake(
        "no such subject",
        (*SMALL, "--set", "data.val_subjects=09"),
        WORK,
        ("dataset: subject '09' is not in the dataset", "Subject01, Subject02, Subject08"),
    ),
    Mistake(
        "subjects overlap",
        (*SMALL, "--set", "data.val_subjects=02,08"),
        CONFIG,
        ("data: subject 02 is in both train_subjects and val_subjects",),
    ),
    Mistake(
        "subjects overlap under another name",
        (*SMALL, "--set", "data.val_subjects=Subject02"),
        CONFIG,
        ("data: subject 02 is in both train_subjects and val_subjects (as Subject02)",),
    ),
    Mistake(
        "no clip is long enough",
        (*SMALL, "--set", "data.min_duration=10"),
        WORK,
        ("dataset: no clip of Subject01, Subject02 lasts at least 10 s", "data.min_duration"),
    ),
    Mistake(
        "batch larger than the training set",
        (*SMALL, "--set", "batch_size=64"),
        CONFIG,
        ("batch_size: a batch of 64 is larger than the training set, 40 windows", "data.windows_per_clip"),
    ),
    Mistake(
        "video path leaves the root",
        SMALL,
        WORK,
        ("Subject01.json: pairs.0000: the path 'videos/Subject01/../../../x.mp4' is outside the dataset's root",),
        edit(pairs("01"), first_pair("video", "../../../x.mp4")),
    ),
    Mistake(
        "absolute IMU path",
        SMALL,
        WORK,
        ("Subject01.json: pairs.0000: the path 'imu/Subject01//etc/passwd' is outside the dataset's root dataset",),
        edit(pairs("01"), first_pair("imu", "/etc/passwd")),
    ),
    # Weights.
    Mistake(
        "kinetics400 offline",
        (*SMALL, "--set", "video.type=X3D", "--set", "video.weights=kinetics400"),
        WORK,
        ("cannot download the kinetics400 weights https://", "X3D_XS", "--set video.weights=none"),
        environment={"TORCH_HOME": "hub", "https_proxy": "http://127.0.0.1:9", "no_proxy": ""},
    ),
    Mistake(
        "no such weights",
        (*SMALL, "--set", "video.type=X3D", "--set", "video.weights=x3d.pyth"),
        WORK,
        ("no such weights file: x3d.pyth", "kinetics400"),
    ),
    # Checkpoints.
    Mistake("no run yet", ("evaluate",), CONFIG, ("no run found in", "--ckpt")),
    Mistake("no such checkpoint", ("evaluate", "--ckpt", "a.ckpt"), CONFIG, ("a.ckpt: no such checkpoint",)),
    Mistake(
        "a run without a checkpoint",
        ("evaluate", "--ckpt", "runs/small/1"),
        CONFIG,
        ("runs/small/1: ", "no checkpoint"),
        lambda root: (root.parent / "runs/small/1").mkdir(parents=True),
    ),
    Mistake(
        "a text file as checkpoint",
        ("export-encoder", "--modality", "imu", "--ckpt", "a.ckpt"),
        WORK,
        ("a.ckpt is not a checkpoint",),
        here("a.ckpt", "weights: kept elsewhere\n"),
    ),
    Mistake(
        "an empty checkpoint",
        ("evaluate", "--ckpt", "a.ckpt"),
        WORK,
        ("a.ckpt is not a checkpoint",),
        here("a.ckpt", ""),
    ),
    Mistake(
        "a truncated checkpoint",
        ("evaluate", "--ckpt", "a.ckpt"),
        WORK,
        ("a.ckpt is not a checkpoint, or is incomplete",),
        half_a_checkpoint,
    ),
    Mistake(
        "somebody else's checkpoint",
        ("evaluate", "--ckpt", "a.ckpt"),
        WORK,
        ("a.ckpt is not a checkpoint of rxclip",),
        lambda root: torch.save({"state_dict": {"w": torch.zeros(3)}}, root.parent / "a.ckpt"),
    ),
    Mistake(
        "a checkpoint that holds code",
        ("evaluate", "--ckpt", "a.ckpt"),
        WORK,
        ("a.ckpt is not a checkpoint of rxclip: it contains code", "system", "never run"),
        lambda root: torch.save({"state_dict": Runs()}, root.parent / "a.ckpt"),
    ),
    # The command line itself.
    Mistake("no such command", ("pretrian", "a.py"), CONFIG, ("pretrian", "pretrain")),
    Mistake("no such format", ("export-encoder", "--modality", "imu", "--format", "jit"), CONFIG, ("revalexo",)),
    Mistake("no modality", ("export-encoder",), CONFIG, ("--modality",)),
]


@pytest.fixture
def call(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[Sequence[str]], Outcome]:
    """Call the command line in a folder with `dataset`, a copy of the tiny one that may be damaged."""
    monkeypatch.chdir(root.parent)

    def in_this_process(arguments: Sequence[str]) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["rxclip", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        print(f"\n$ rxclip {' '.join(arguments)}\n{captured.err}")
        return Outcome(ended.value.code, captured.out, captured.err)

    return in_this_process


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_a_mistake_ends_as_one_message(
    mistake: Mistake, root: Path, call: Callable[[Sequence[str]], Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in mistake.environment.items():
        monkeypatch.setenv(name, value)
    if mistake.damage is not None:
        mistake.damage(root)
    outcome = call(mistake.arguments)
    assert outcome.code == mistake.code, outcome.err
    assert "Traceback" not in outcome.out + outcome.err
    for text in mistake.says:
        assert text in outcome.err.replace("\n", " "), outcome.err
    assert outcome.out == ""
    if SLOW not in mistake.what:
        assert not (root.parent / "runs/latest").exists(), "a run was started"
    assert not (root.parent / "executed").exists()


def test_debug_shows_the_traceback(call: Callable[[Sequence[str]], Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["rxclip", "--debug", "show", "missing.py"])
    with pytest.raises(ConfigError, match="no such experiment file"):
        cli.main()
    assert call(["show", "missing.py"]).code == CONFIG


@pytest.mark.slow
def test_a_process_of_its_own_says_the_same(root: Path) -> None:
    finished = rxclip("show", "missing.py", cwd=root.parent)
    assert finished.returncode == CONFIG
    assert finished.stdout == ""
    assert finished.stderr == "error: missing.py: no such experiment file\n"
    with_traceback = rxclip("--debug", "show", "missing.py", cwd=root.parent)
    assert with_traceback.returncode != 0
    assert "Traceback" in with_traceback.stderr
    nan_in(IMU)(root)
    finished = rxclip(*SMALL, cwd=root.parent)
    assert finished.returncode == WORK
    assert "Traceback" not in finished.stderr
    assert finished.stderr.splitlines()[-1].startswith("error: Subject01/0000, window at ")


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=200))
@example(content=b"")
@example(content=b"PK\x03\x04")
@example(content=pickle.dumps({"revalexo_clip": "{}"}))
def test_no_bytes_that_are_not_a_checkpoint_are_more_than_a_data_error(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.ckpt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"bytes\.ckpt"):
        load_checkpoint(path)
