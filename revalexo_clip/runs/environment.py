"""The environment of a run: versions, machine, git state and SLURM job."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import torch

from revalexo_clip.core.component import JsonObject


def slurm_job() -> str | None:
    """Return the SLURM job of this process. A requeued job keeps its name."""
    array = os.environ.get("SLURM_ARRAY_JOB_ID")
    return f"{array}_{os.environ['SLURM_ARRAY_TASK_ID']}" if array else os.environ.get("SLURM_JOB_ID")


def requeued_job() -> str | None:
    """Return the SLURM job if it has been requeued and runs again."""
    return slurm_job() if int(os.environ.get("SLURM_RESTART_COUNT", "0")) else None


def jobs_of(folder: Path) -> set[str | None]:
    """Return the SLURM jobs that started and resumed a run."""
    path = folder / "environment.json"
    begun = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {part.get("slurm_job") for part in (begun, *begun.get("resumed", []))}


def environment() -> JsonObject:
    """Return the versions, the machine and the git state that a run is made with."""
    packages = ("torch", "lightning", "pytorchvideo", "pydantic", "numpy", "av", "revalexo-clip")
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    return {
        "command": [*sys.argv],
        "slurm_job": slurm_job(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: metadata.version(name) for name in packages},
        "cuda": torch.version.cuda,
        "gpus": list(devices),
        "cpus": os.cpu_count(),
        "git": _git_state(),
    }


def _git_state() -> JsonObject | None:
    def git(*arguments: str) -> str:
        command = ["git", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()  # noqa: S603

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (subprocess.CalledProcessError, FileNotFoundError):  # not a repository, or git is not installed
        return None
