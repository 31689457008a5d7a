"""Mistakes in files: the dataset, weights and checkpoints."""

from __future__ import annotations

import torch

from support.mistakes import (
    CONFIG,
    IMU,
    SLOW,
    SMALL,
    VIDEO,
    WORK,
    Mistake,
    Runs,
    edit,
    first_pair,
    half_a_checkpoint,
    here,
    nan_in,
    pairs,
    remove,
    truncate,
    write_text,
)
from support.tiny_dataset import CHANNELS, write_imu

IN_FILES = [
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
        lambda root: write_text(root / "label_mapping.json", '{"label_to_idx": {"walking": 0,}}'),
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
        (f"dataset/{VIDEO}: cannot be decoded as video",),
        truncate(VIDEO, 0.5),
    ),
    Mistake(
        "truncated CSV, " + SLOW,
        SMALL,
        WORK,
        (f"dataset/{IMU}: line 27 has 1 cells, the header has 9",),
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
]
