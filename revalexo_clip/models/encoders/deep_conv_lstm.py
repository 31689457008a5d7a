"""DeepConvLSTM: convolutions along time, then a recurrent layer (Ordonez & Roggen, 2016, doi:10.3390/s16010115)."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import ImuSpec
from revalexo_clip.models.encoders.base import ImuEncoder
from revalexo_clip.models.layers import initialize, remember
from revalexo_clip.models.sequence import Encoded, SequenceNet

CONVOLUTIONS = 4


class DeepConvLSTM(ImuEncoder):
    """Four convolutions along time, shared by all IMU channels, an LSTM over all channels, and a projection.

    Its sequence has the LSTM's outputs, which see the past: the output at a moment depends on all samples before it and
    on half of the convolutions' receptive field after it. The convolutions are unpadded, so that the moments lie at
    0.33 to 1.65 s of a window of 2 s at 60 Hz.
    """

    kernel: (
        PositiveInt | Annotated[tuple[PositiveInt, ...], Field(min_length=CONVOLUTIONS, max_length=CONVOLUTIONS)]
    ) = 11
    """Kernel length of the convolutions [samples]; four numbers if they differ."""
    maps: PositiveInt = 64
    """Number of feature maps of each convolution."""
    hidden: PositiveInt = 1024
    """Number of LSTM units."""
    layers: PositiveInt = 1
    """Number of LSTM layers."""
    projector: bool = True
    """Whether a linear layer maps the LSTM's last output to the features. Without it, the features are that output."""

    @property
    def kernels(self) -> tuple[int, ...]:
        """Kernel length of each convolution [samples]."""
        return (self.kernel,) * CONVOLUTIONS if isinstance(self.kernel, int) else self.kernel

    def feature_dim(self, embed_dim: int) -> int:
        """See `Encoder.feature_dim`: without a projector, the number of LSTM units."""
        return embed_dim if self.projector else self.hidden

    def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
        """See `ImuEncoder.build`. Raises `ConfigError` if the window is too short for the convolutions."""
        used_up = sum(kernel - 1 for kernel in self.kernels)
        if spec.samples <= used_up:
            several = "kernels" if len(set(self.kernels)) > 1 else "kernel"
            kernels = f"{several} {', '.join(map(str, dict.fromkeys(self.kernels)))}"
            raise ConfigError(
                f"DeepConvLSTM: {CONVOLUTIONS} unpadded convolutions of {kernels} need {used_up + 1} "
                f"samples, but a window of {spec.window:g} s at {spec.rate:g} Hz has {spec.samples}; "
                "use a longer window or a shorter kernel"
            )
        steps = spec.samples - used_up
        time_T = (torch.arange(steps, dtype=torch.float64) + used_up / 2) / spec.rate
        net = DeepConvLSTMNet(self, len(spec.channels), embed_dim, time_T=time_T)
        remember(net.lstm, steps)
        return net

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: the four convolutions, the LSTM, the projection if there is one."""
        return list(module.children())


class DeepConvLSTMNet(SequenceNet):
    """[B, L, C] -> [B, F] and the LSTM's outputs [B, T, H].

    Names and shapes of the layers are those that the RevalExo benchmark loads: `conv1` ... `conv4` (kernel x 1, along
    time), `lstm`, `feature_projector`. The last does not exist if the features are the LSTM's last output.
    """

    def __init__(self, sizes: DeepConvLSTM, channels: int, embed_dim: int, *, time_T: Tensor) -> None:
        """Build the layers; `time_T` are the centres of the convolutions' receptive fields [s]."""
        super().__init__()
        kernels, maps, hidden = sizes.kernels, sizes.maps, sizes.hidden
        self.sequence_dim = hidden
        self.register_buffer("time_T", time_T.float(), persistent=False)
        self.conv1 = nn.Conv2d(1, maps, (kernels[0], 1))
        self.conv2 = nn.Conv2d(maps, maps, (kernels[1], 1))
        self.conv3 = nn.Conv2d(maps, maps, (kernels[2], 1))
        self.conv4 = nn.Conv2d(maps, maps, (kernels[3], 1))
        self.lstm = nn.LSTM(maps * channels, hidden, sizes.layers, batch_first=True)
        self.feature_projector = nn.Linear(hidden, embed_dim) if sizes.projector else None
        self.apply(initialize)

    def encode(self, *inputs: Tensor) -> Encoded:
        """See `SequenceNet.encode`; the input is IMU windows [B, L, C]."""
        (imu_BLC,) = inputs
        x_BMLC = imu_BLC.unsqueeze(1)  # M: feature maps
        for conv in (self.conv1, self.conv2, self.conv3, self.conv4):
            x_BMLC = nn.functional.relu(conv(x_BMLC))
        x_BLF = x_BMLC.transpose(1, 2).flatten(2)  # F: maps x channels; the channels of a map are adjacent
        hidden_BLH, _ = self.lstm(x_BLF)
        last_BH = hidden_BLH[:, -1]
        return Encoded(last_BH if self.feature_projector is None else self.feature_projector(last_BH), hidden_BLH)
