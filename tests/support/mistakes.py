"""Mistakes of users: a command, what it meets, and its error message."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject
from support.small_process import EXPERIMENT

Damage = Callable[[Path], None]
"""Does harm to the dataset at a path, or to the folder that the command is called in."""

CONFIG, WORK = 2, 1


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
    return lambda root: write_text(root.parent / name, text)


def write_text(path: Path, text: str) -> None:
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
