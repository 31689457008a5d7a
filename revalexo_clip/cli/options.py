"""Arguments and options that several commands have, and what they may be set to. Imports nothing heavy."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer


class ModalityOption(StrEnum):
    """What an encoder encodes."""

    imu = "imu"
    video = "video"


class ClusterSort(StrEnum):
    """Where jobs are run. `local` is for trying it out: as processes of this machine."""

    slurm = "slurm"
    local = "local"


class FormatOption(StrEnum):
    """How an encoder is written."""

    safetensors = "safetensors"
    onnx = "onnx"
    revalexo = "revalexo"


ExperimentArgument = Annotated[
    str, typer.Argument(metavar="FILE.py[:Class]", help="The experiment file, and the class where it has several.")
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
        help="Go on with the newest run of this experiment, or with the one in this folder.",
    ),
]
CkptOption = Annotated[
    Path | None,
    typer.Option("--ckpt", metavar="CKPT|RUN", help="A checkpoint or a run folder.", show_default="the newest run"),
]
CkptsOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--ckpt", metavar="CKPT|RUN", help="A checkpoint or a run folder. Repeatable.", show_default="the newest run"
    ),
]
ExperimentFileOption = Annotated[
    Path | None,
    typer.Option("--experiment", metavar="FILE.py", help="The file that defines components the checkpoint names."),
]
DevicesOption = Annotated[
    int | None, typer.Option("--devices", min=1, help="Processes, one a device. Sets trainer.devices.")
]
DryRunOption = Annotated[
    bool, typer.Option("--dry-run", help="Build everything, train and validate on one batch, write nothing.")
]
SeenOption = Annotated[
    bool, typer.Option("--allow-seen-subjects", help="Measure on subjects that had a part in the training, too.")
]
ExperimentFilesOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--experiment", metavar="FILE.py", help="A file that defines components a checkpoint names. Repeatable."
    ),
]
DataRootOption = Annotated[
    Path | None, typer.Option("--data", metavar="ROOT", help="The dataset, where it is not where it was.")
]
ProbeOption = Annotated[
    bool, typer.Option("--probe/--no-probe", help="Train probes for the activity on frozen features.")
]
ToleranceOption = Annotated[
    float,
    typer.Option(min=0.0, metavar="SECONDS", help="Windows of a clip that start less than this apart are one answer."),
]
ComparisonFolderOption = Annotated[
    Path | None,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Where a comparison is written.",
        show_default="evaluation/comparison/ of the first",
    ),
]
JobsOption = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes.", show_default="one a core")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead.")]
FoldOption = Annotated[
    list[str] | None,
    typer.Option("--fold", metavar="NAME", help="Run this one of the folds. Repeatable.", show_default="all"),
]
PartJobsOption = Annotated[
    int | None,
    typer.Option("--jobs", "-j", min=1, help="Folds, or variants, that run at a time.", show_default="1; cluster: all"),
]
PretrainOption = Annotated[
    str | None,
    typer.Option(
        "--pretrain",
        metavar="FILE.py[:Class]",
        help="Begin every fold with this pretraining, on all but those whom it tests.",
    ),
]
ClusterOption = Annotated[
    ClusterSort | None,
    typer.Option("--cluster", help="Run every fold, or variant, as a job of a cluster, with submitit."),
]
ClusterSetOption = Annotated[
    list[str] | None,
    typer.Option("--cluster-set", metavar="NAME=VALUE", help="What jobs ask for, e.g. timeout_min=600. Repeatable."),
]
CompareOption = Annotated[
    str | None,
    typer.Option(
        "--compare",
        metavar="VARIANT,VARIANT[,...]",
        help="Train in several ways, of scratch, frozen and full, and compare the others with the first.",
    ),
]
LabelsOption = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="SHARE[,...]",
        help="With --compare: train with these shares of the labels, e.g. 0.01,0.1,0.5,1.",
        show_default="label_fraction",
    ),
]
