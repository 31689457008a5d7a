"""Sizes of datasets and models, as text for the log."""

from __future__ import annotations

from torch import nn

from revalexo_clip.core.text import counted
from revalexo_clip.data import LabelledWindows


def subjects_of(dataset: LabelledWindows) -> tuple[str, ...]:
    """Return the subjects of a dataset, sorted."""
    return tuple(sorted(set(dataset.clip_subjects)))


def size_of(dataset: LabelledWindows) -> str:
    """Describe the size of a dataset."""
    short = f"; {dataset.num_too_short} clips too short" if dataset.num_too_short else ""
    bad = f"; {counted(len(dataset.excluded), 'bad clip')} left out" if dataset.excluded else ""
    clips = counted(len(dataset.clip_names), "clip")
    recordings = f"clips of {counted(len(dataset.recording_subjects), 'recording')}"
    size = f"{counted(len(dataset), 'window')} of {clips}, subjects {' '.join(subjects_of(dataset))}"
    shared = f"; {recordings} share {dataset.shared_seconds:.0f} s" if dataset.shared_seconds else ""
    return size + shared + short + bad


def recordings_of(dataset: LabelledWindows) -> dict[str, float]:
    """Count clips and the recordings that they are pieces of, and the time that they share [s]."""
    return {
        "clips": len(dataset.clip_names),
        "recordings": len(dataset.recording_subjects),
        "shared_seconds": round(dataset.shared_seconds, 3),
    }


def count(module: nn.Module) -> int:
    """Return the number of trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def sized(module: nn.Module) -> str:
    """Describe the size of an encoder."""
    everything, trained = sum(parameter.numel() for parameter in module.parameters()), count(module)
    frozen = "" if trained == everything else f", {trained / 1e6:.1f} M of them trained"
    return f"{everything / 1e6:.1f} M parameters{frozen}"
