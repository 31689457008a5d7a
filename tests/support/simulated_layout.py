"""Simulated recordings as `make demo` writes them, without their videos, and an encoder for them with new weights."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.data import RevalExo
from revalexo_clip.data.synthetic.clip import clip_plan, simulate
from revalexo_clip.data.synthetic.script import ACTIVITIES
from revalexo_clip.export import DESCRIPTION, WEIGHTS, EncoderDescription, Origin, build_encoder
from revalexo_clip.export.loading import weights_metadata
from revalexo_clip.models.encoders import ResNet1D
from support.tiny_dataset import write_json

CLIPS, STEP, LENGTH = 3, 8.0, 12.0
"""Clips of a recording, the time from one to the next and their length [s]: neighbours share 4 s."""


def write_simulated(root: Path, numbers: Sequence[int], rename: Callable[[str, int], str] | None = None) -> Path:
    """Write one recording of each subject as three clips; `rename` returns the label of an activity of a subject."""
    named = rename or (lambda activity, _: activity)
    labels = {named(activity, number) for activity in ACTIVITIES for number in numbers}
    write_json(
        root / "label_mapping.json", {"label_to_idx": {name: place for place, name in enumerate(sorted(labels))}}
    )
    seconds = (CLIPS - 1) * STEP + LENGTH
    for number in numbers:
        recording, subject = simulate(0, number - 1, 0, seconds), f"Subject{number:02d}"
        imu_LC = recording.imu()
        pairs: JsonObject = {}
        (root / "imu" / subject).mkdir(parents=True)
        for clip in range(CLIPS):
            first, name = round(clip * STEP * 60), f"{clip + 1:04d}"
            rows_LC = imu_LC[first : first + round(LENGTH * 60)]
            header = ",".join(recording.channels)
            np.savetxt(
                root / "imu" / subject / f"{name}.csv", rows_LC, fmt="%.4f", delimiter=",", header=header, comments=""
            )
            pairs[name] = _pair(name, number, clip * STEP, seconds, named)
        described: JsonObject = {
            "subject": subject,
            "video_folder": f"videos/{subject}",
            "imu_folder": f"imu/{subject}",
            "pairs": pairs,
        }
        write_json(root / "data_pairs" / f"{subject}.json", described)
    return root


def _pair(name: str, number: int, offset: float, seconds: float, named: Callable[[str, int], str]) -> JsonObject:
    parts = [
        (max(part.start - offset, 0.0), min(part.end - offset, LENGTH), named(part.activity, number))
        for part in clip_plan(0, number - 1, 0, seconds)
    ]
    return {
        "video": f"{name}.mp4",
        "imu": f"{name}.csv",
        "activity_segments": [
            {"start": start, "end": end, "activity": label} for start, end, label in parts if start < end
        ],
        "transition_segments": [],
    }


def write_untrained(folder: Path, root: Path, subject: str = "09") -> Path:
    """Write an encoder with new weights, standardised by a subject, which its description names as training subject."""
    windows = RevalExo(root=root, train_subjects=(subject,), val_subjects=()).labelled("train", seed=0)
    mean, std = windows.imu_statistics()
    spec = windows.imu_spec
    description = EncoderDescription(
        modality="imu",
        encoder=ResNet1D(width=16),
        embed_dim=32,
        imu=ImuSpec(spec.channels, spec.units, spec.rate, spec.window, mean=mean, std=std),
        origin=Origin(
            experiment="made", checkpoint="made.ckpt", subjects={"train": windows.clip_subjects[:1]}, versions={}
        ),
    )
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    save_file(build_encoder(description).state_dict(), folder / WEIGHTS, metadata=weights_metadata(description))
    (folder / DESCRIPTION).write_text(description.model_dump_json())
    return folder


def activity_at(root: Path, clip: str, time: float) -> str:
    """Return the label of a moment of a clip [s], from its description alone."""
    subject, _, name = clip.partition("/")
    described = json.loads((root / "data_pairs" / f"{subject}.json").read_text())
    segments = described["pairs"][name]["activity_segments"]
    inside = [part for part in segments if part["start"] <= time < part["end"] or time == part["end"] == LENGTH]
    return str(inside[0]["activity"]) if inside else ""
