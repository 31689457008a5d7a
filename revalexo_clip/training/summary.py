"""."""

from __future__ import annotations

from torch import nn

from revalexo_clip.core.text import counted
from revalexo_clip.data import LabelledWindows


def subjects_of(dataset: LabelledWindows) -> tuple[str, ...]:
    """Whose windows they are."""
    return tuple(sorted(set(dataset.clip_subjects)))


def size_of(dataset: LabelledWindows) -> str:
    """How much there is, in words."""
    short = f"; {dataset.num_too_short} clips too short" if dataset.num_too_short else ""
    bad = f"; {counted(len(dataset.excluded), 'bad clip')} left out" if dataset.excluded else ""
    clips = counted(len(dataset.clip_names), "clip")
    size = f"{counted(len(dataset), 'window')} of {clips}, subjects {' '.join(subjects_of(dataset))}"
    return size + short + bad


def count(module: nn.Module) -> int:
    """Trainable parameters."""
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


def sized(module: nn.Module) -> str:
    """How large an encoder is, in words."""
    everything, trained = sum(parameter.numel() for parameter in module.parameters()), count(module)
    frozen = "" if trained == everything else f", {trained / 1e6:.1f} M of them trained"
    return f"{everything / 1e6:.1f} M parameters{frozen}"
