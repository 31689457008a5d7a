"""Arguments and options shared by commands, and the values that they accept. Imports nothing heavy."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ModalityOption(StrEnum):
    """The input of an encoder."""

    imu = "imu"
    video = "video"


class ClusterKind(StrEnum):
    """Where jobs run. `local` runs them as processes of this machine, to try things out."""

    slurm = "slurm"
    local = "local"


class FormatOption(StrEnum):
    """The file format of an exported encoder."""

    safetensors = "safetensors"
    onnx = "onnx"
    revalexo = "revalexo"


class TimeUnit(StrEnum):
    """Units of clocks."""

    s = "s"
    ms = "ms"
    us = "us"
    ns = "ns"
    iso = "iso"


ExperimentArgument = Annotated[
    str, typer.Argument(metavar="FILE.py[:Class]", help="Experiment file; add the class if it defines several.")
]
SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="PATH=VALUE", help="Override a field, e.g. trainer.max_epochs=10. Repeatable."),
]
ResumeOption = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        metavar="[RUN]",
        help="Resume the newest run of this experiment, or the run in this folder.",
    ),
]
CkptOption = Annotated[
    Path | None,
    typer.Option("--ckpt", metavar="CKPT|RUN", help="Checkpoint or run folder.", show_default="the newest run"),
]
CkptsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--ckpt", metavar="CKPT|RUN", help="Checkpoint or run folder. Repeatable.", show_default="the newest run"
    ),
]
ExperimentFileOption = Annotated[
    Path | None,
    typer.Option("--experiment", metavar="FILE.py", help="File that defines components that the checkpoint uses."),
]
DevicesOption = Annotated[
    int | None, typer.Option("--devices", min=1, help="Number of devices, one process each. Sets trainer.devices.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Build everything, train and validate on one batch, and write nothing.")
]
SeenOption = Annotated[
    bool, typer.Option("--allow-seen-subjects", help="Evaluate on subjects that were used in training, too.")
]
ExperimentFilesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--experiment", metavar="FILE.py", help="File that defines components that a checkpoint uses. Repeatable."
    ),
]
DataRootOption = Annotated[Path | None, typer.Option("--data", metavar="ROOT", help="Dataset root, if it moved.")]
ProbeOption = Annotated[bool, typer.Option("--probe/--no-probe", help="Train activity probes on frozen features.")]
ReferenceOption = Annotated[
    Path | None,
    typer.Option(
        "--reference",
        metavar="CKPT|RUN",
        help="Classifier with the same IMU encoder, trained from scratch. Measures which share of the gap to it "
        "pretraining closes.",
    ),
]
RobustnessOption = Annotated[
    bool, typer.Option("--robustness", help="Evaluate again with sensors missing or turned, another time or rate.")
]
ToleranceOption = Annotated[
    float,
    typer.Option(
        min=0.0,
        metavar="SECONDS",
        help="Windows of a recording that start less than this apart count as one answer.",
    ),
]
ZeroShotOption = Annotated[
    str | None,
    typer.Option(
        "--zero-shot",
        metavar="[FILE.json]",
        help="Classify windows by sentences: templates of the activities, or the sentences of the classes in a file.",
    ),
]
ResultsFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--out", metavar="DIR", help="Output folder.", show_default="evaluation/ in the run folder, or a folder in it"
    ),
]
JobsOption = Annotated[
    int | None, typer.Option("--jobs", "-j", min=1, help="Number of processes.", show_default="one per core")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
FoldOption = Annotated[
    list[str] | None,
    typer.Option("--fold", metavar="NAME", help="Run only this fold. Repeatable.", show_default="all"),
]
PartJobsOption = Annotated[
    int | None,
    typer.Option(
        "--jobs",
        "-j",
        min=1,
        help="Number of folds or variants to run at the same time.",
        show_default="1; cluster: all",
    ),
]
PretrainOption = Annotated[
    str | None,
    typer.Option(
        "--pretrain",
        metavar="FILE.py[:Class]",
        help="Pretrain an encoder for every fold, without the fold's test subjects.",
    ),
]
ClusterOption = Annotated[
    ClusterKind | None,
    typer.Option("--cluster", help="Run every fold, variant or trial as a cluster job, through submitit."),
]
ClusterSetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--cluster-set",
        metavar="NAME=VALUE",
        help="Resource that each cluster job requests, e.g. timeout_min=600. Repeatable.",
    ),
]
CompareOption = Annotated[
    str | None,
    typer.Option(
        "--compare",
        metavar="VARIANT,VARIANT[,...]",
        help="Train several variants (scratch, frozen, full) and compare the others with the first.",
    ),
]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="SHARE[,...]",
        help="Shares of the labels to train with, e.g. 0.01,0.1,0.5,1. Requires --compare.",
        show_default="label_fraction",
    ),
]
RecordingArgument = Annotated[
    Path, typer.Argument(metavar="RECORDING", help="Recording of a device, e.g. GX010001.MP4; or .csv, .npz.")
]
StrideOption = Annotated[float, typer.Option(metavar="SECONDS", help="Time from one window to the next.")]
PlaceOption = Annotated[
    str | None,
    typer.Option(help="Body place of the sensor that the encoder gets.", show_default="that of the encoder's channels"),
]
AxesOption = Annotated[
    str | None,
    typer.Option(
        metavar="X,Y,Z",
        help="Directions to turn a device's axes to, e.g. right,forward,up.",
        show_default="those of the device",
    ),
]
DeviceOption = Annotated[
    str | None,
    typer.Option("--format", metavar="NAME", help="Format of a device.", show_default="found by its content"),
]
RowsOption = Annotated[float | None, typer.Option(help="Rate of a .csv or .npz file without a clock [Hz].")]
TimeOption = Annotated[
    str | None,
    typer.Option(metavar="COLUMN", help="Clock column of a .csv file.", show_default="found by its name"),
]
TimeUnitOption = Annotated[TimeUnit, typer.Option(help="Unit of that column.")]
UnitsOption = Annotated[
    str | None,
    typer.Option(
        help="Units of a .csv or .npz file, e.g. acc=g,gyro=deg/s.",
        show_default="m/s^2 and rad/s; or as in the training files",
    ),
]
ChannelsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--channels",
        metavar="NAME=COLUMN,...",
        help="Columns of a .csv or .npz file, by the encoder's channels. Repeatable.",
        show_default="those names; or as in the training files",
    ),
]
RecordingOption = Annotated[
    int | None, typer.Option(metavar="NUMBER", min=0, help="Recording in an .npz file with several, from 0.")
]
