"""An experiment as a user may write it, with encoders of its own: small enough to train in a second.

Tests run this very file, or copies of it; nothing imports it.
"""

from pathlib import Path
from typing import Annotated

from pydantic import Field, PositiveInt
from torch import Tensor, nn

from revalexo_clip import (
    AdamW,
    Dataset,
    ImuEncoder,
    ImuSpec,
    Optimizer,
    PretrainExperiment,
    RevalExo,
    TrainerConfig,
    VideoEncoder,
    VideoSpec,
)


class TCN(ImuEncoder):
    """Dilated convolutions along time, averaged."""

    kernel: PositiveInt = 9
    """Length of each convolution [samples]."""
    dilations: Annotated[tuple[PositiveInt, ...], Field(min_length=1)] = (1, 2)
    """Dilation of each convolution [samples]."""

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        return TCNNet(len(spec.channels), embed_dim, self.kernel, self.dilations)


class TCNNet(nn.Module):
    def __init__(self, channels: int, embed_dim: int, kernel: int, dilations: tuple[int, ...]) -> None:
        super().__init__()
        sizes = (channels, *(16 for _ in dilations))
        self.convolutions = nn.ModuleList(
            nn.Conv1d(before, 16, kernel, padding="same", dilation=dilation)
            for before, dilation in zip(sizes, dilations, strict=False)
        )
        self.projection = nn.Linear(16, embed_dim)

    def forward(self, imu_BLC: Tensor) -> Tensor:
        x_BCL = imu_BLC.transpose(1, 2) / 100
        for convolution in self.convolutions:
            x_BCL = nn.functional.relu(convolution(x_BCL))
        features_BD: Tensor = self.projection(x_BCL.mean(dim=-1))
        return features_BD


class Squares(VideoEncoder):
    """One convolution over space and time, averaged."""

    width: PositiveInt = 8
    """Feature maps."""

    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv3d(3, self.width, (2, 6, 6), stride=(1, 6, 6)),
            nn.ReLU(),
            nn.AdaptiveAvgPool3d((1, 3, 3)),
            nn.Flatten(),
            nn.Linear(9 * self.width, embed_dim),
        )


class Small(PretrainExperiment):
    data: Dataset = RevalExo(
        root=Path("dataset"),
        train_subjects=("01", "02"),
        val_subjects=("08",),
        channels=("acc_*", "gyro_Pelvis_*"),
        min_duration=3.0,
        frames=4,
        crop=36,
        short_side=36,
        workers=1,
    )
    imu: ImuEncoder = TCN()
    video: VideoEncoder = Squares()
    embed_dim: int = 16
    optim: Optimizer = AdamW(lr=1e-3)
    batch_size: int = 8
    trainer: TrainerConfig = TrainerConfig(max_epochs=1, accelerator="cpu", log_every=1)
