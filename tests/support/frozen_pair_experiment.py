"""IMU that is trained against frozen video alone, whose space a frozen text encoder shares, as CLIP's two halves do.

Videos are red, green or blue, each for an activity, and the text encoder knows which. Tests run this very file, and
import it.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from revalexo_clip import (
    ActivityTemplates,
    AdamW,
    Dataset,
    ImuEncoder,
    ImuSpec,
    InfoNCE,
    Loss,
    Optimizer,
    PretrainExperiment,
    RevalExo,
    Sum,
    Term,
    TextContrast,
    TextEncoder,
    TextNet,
    Texts,
    TrainerConfig,
    VideoEncoder,
    VideoSpec,
)
from revalexo_clip.core.component import JsonObject
from support.interrupted_experiment import SignalAtStep
from support.small_experiment import TCNNet
from support.tiny_dataset import HEIGHT, WIDTH, steady, write_json, write_video

DIM = 6
ACTIVITIES = ("standing", "walking", "climbing")
CHANNELS = ("acc_Pelvis_x", "acc_Pelvis_y", "acc_Pelvis_z")


def write_coloured(root: Path) -> Path:
    """Write a clip of 4 s for each activity of 5 subjects: IMU moves along x, y or z, video is red, green or blue."""
    write_json(root / "label_mapping.json", {"label_to_idx": {name: place for place, name in enumerate(ACTIVITIES)}})
    rng, times = np.random.default_rng(0), steady(4.0, 10.0)
    for subject in ("Subject01", "Subject02", "Subject05", "Subject08", "Subject09"):
        pairs: JsonObject = {}
        for place, activity in enumerate(ACTIVITIES):
            frame_HWC = np.full((HEIGHT, WIDTH, 3), 30, np.uint8)
            frame_HWC[..., place] = rng.integers(150, 250)
            write_video(root / subject / f"{activity}.mp4", times, frames=[frame_HWC] * len(times))
            samples_LC = rng.normal(0, 5, (240, 3))
            samples_LC[:, place] += 100 * np.sin(2 * np.pi * 1.5 * np.arange(240) / 60 + rng.uniform(0, 6))
            np.savetxt(
                root / subject / f"{activity}.csv", samples_LC, "%.3f", ",", header=",".join(CHANNELS), comments=""
            )
            pairs[activity] = {
                "video": f"{activity}.mp4",
                "imu": f"{activity}.csv",
                "activity_segments": [{"start": 0.0, "end": 4.0, "activity": activity}],
                "transition_segments": [],
            }
        described: JsonObject = {"subject": subject, "video_folder": subject, "imu_folder": subject, "pairs": pairs}
        write_json(root / "data_pairs" / f"{subject}.json", described)
    return root


def directions() -> Tensor:
    """Return the directions of red, green and blue in the space of the frozen pair, [3, D]."""
    return torch.randn(3, DIM, generator=torch.Generator().manual_seed(5))


class Colour(VideoEncoder):
    """The mean colour of a window in the space of the pair."""

    frozen: Literal["all"] = "all"

    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        return ColourNet()

    def feature_dim(self, embed_dim: int) -> int:
        return DIM


class ColourNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(directions())

    def forward(self, video_B3THW: Tensor) -> Tensor:
        return video_B3THW.mean(dim=(2, 3, 4)) @ self.weight


class ColourWords(TextEncoder):
    """The colour of the activity that a sentence names, in the space of the pair, and what is in every sentence."""

    @property
    def is_frozen(self) -> bool:
        return True

    def build(self) -> TextNet:
        return ColourWordsNet()


class ColourWordsNet(TextNet):
    feature_dim = DIM

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(2 * directions() - directions().sum(0) + 0.1)

    def tokenize(self, sentences: Sequence[str]) -> Tensor:
        return torch.tensor([[next(k for k, name in enumerate(ACTIVITIES) if name in one)] for one in sentences])

    def forward(self, token_BS: Tensor) -> Tensor:
        return self.weight[token_BS[:, 0]]

    def digest(self) -> str:
        return hashlib.sha256(b"colours").hexdigest()


class SignalledPairImu(ImuEncoder):
    """Convolutions, and a signal at a step."""

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        return nn.Sequential(TCNNet(len(spec.channels), embed_dim, 9, (1, 2)), SignalAtStep())


class FrozenPair(PretrainExperiment):
    data: Dataset = RevalExo(
        root=Path("dataset"),
        train_subjects=("01", "02"),
        val_subjects=("08",),
        test_subjects=("05", "09"),
        channels=("acc_*",),
        windows_per_clip=4,
        min_duration=3.0,
        frames=2,
        crop=36,
        short_side=36,
        workers=0,
    )
    imu: ImuEncoder = SignalledPairImu()
    video: VideoEncoder = Colour()
    text: TextEncoder | None = ColourWords()
    texts: Texts | None = ActivityTemplates()
    headless: tuple[Literal["imu", "video", "text"], ...] = ("video", "text")
    embed_dim: int = DIM
    loss: Loss = Sum(terms={"video": Term(InfoNCE()), "text": Term(TextContrast(), weight=0)})
    optim: Optimizer = AdamW(lr=4e-2)
    batch_size: int = 12
    trainer: TrainerConfig = TrainerConfig(max_epochs=6, accelerator="cpu", log_every=1, checkpoint_minutes=None)
