"""Windows on which an ONNX file is compared with torch."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from revalexo_clip.core.errors import DataError
from revalexo_clip.core.text import counted
from revalexo_clip.core.types import ImuSpec, VideoSpec
from revalexo_clip.data import LabelledWindows, WindowDataset
from revalexo_clip.export.onnx import CheckWindows

log = logging.getLogger("revalexo_clip")

CHECKED_WINDOWS = 8
"""Number of windows on which an ONNX file is compared with torch."""


def check_windows(
    validation: Callable[[], LabelledWindows],
    imu_spec: ImuSpec,
    video_spec: VideoSpec | None,
    names: Sequence[str],
) -> CheckWindows:
    """Return windows of the validation subjects, evenly spread; random ones if the dataset is not available.

    `validation` reads the dataset, `imu_spec` and `video_spec` are the format of the training, None for no video, and
    `names` are the inputs that are needed.
    """
    try:
        dataset = validation()
        found = replace(dataset.imu_spec, mean=imu_spec.mean, std=imu_spec.std)
        video = dataset.video_spec if isinstance(dataset, WindowDataset) else None
        if found != imu_spec or (video_spec is not None and video != video_spec):
            raise DataError("its windows do not have the format of the training")
        places = torch.linspace(0, len(dataset) - 1, min(CHECKED_WINDOWS, len(dataset))).long().tolist()
        samples = [dataset[0, place] for place in places]
    except DataError as error:
        log.warning("using random windows, because the dataset cannot be read: %s", error)
        drawn = {"imu": _random_imu(imu_spec), **({} if video_spec is None else _random_video(video_spec))}
        inputs = {name: drawn[name] for name in names}
        return CheckWindows(inputs, f"{CHECKED_WINDOWS} random windows, because the dataset was not available")
    fields = {"imu": "imu_LC", "video": "video_THWC", "motion": "motion_MYX3"}
    inputs = {name: torch.stack([getattr(sample, fields[name]) for sample in samples]) for name in names}
    return CheckWindows(inputs, f"{counted(len(samples), 'window')} of the validation subjects")


def _random_imu(spec: ImuSpec) -> Tensor:
    """Draw standard-normal windows, scaled to the channels if their mean and deviation are known."""
    noise_BLC = torch.randn(
        CHECKED_WINDOWS, spec.samples, len(spec.channels), generator=torch.Generator().manual_seed(0)
    )
    if spec.mean is None or spec.std is None:
        return noise_BLC
    return noise_BLC * torch.tensor(spec.std) + torch.tensor(spec.mean)


def _random_video(spec: VideoSpec) -> dict[str, Tensor]:
    """Draw frames, and motion if windows have any."""
    generator = torch.Generator().manual_seed(0)
    size = (CHECKED_WINDOWS, spec.images, spec.crop, spec.crop, 3)
    drawn = {"video": torch.randint(256, size, dtype=torch.uint8, generator=generator)}
    if spec.motion is not None:
        grid = (CHECKED_WINDOWS, spec.motion.moments, spec.motion.rows, spec.motion.columns)
        shift_BMYX2 = torch.randn(*grid, 2, generator=generator)
        drawn["motion"] = torch.cat((shift_BMYX2, torch.rand(*grid, 1, generator=generator)), dim=-1)
    return drawn
