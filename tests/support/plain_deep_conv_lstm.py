"""A plain DeepConvLSTM, as in a downstream task, with the names that RevalExo loads."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PlainDeepConvLSTM(nn.Module):
    """At the published sizes. As in RevalExo, there is no projector if the features are as many as the LSTM's units."""

    def __init__(
        self,
        channels: int = 42,
        features: int = 256,
        maps: int = 64,
        hidden: int = 1024,
        *,
        kernels: tuple[int, int, int, int] = (11, 11, 11, 11),
        layers: int = 1,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, maps, kernel_size=(kernels[0], 1))
        self.conv2 = nn.Conv2d(maps, maps, kernel_size=(kernels[1], 1))
        self.conv3 = nn.Conv2d(maps, maps, kernel_size=(kernels[2], 1))
        self.conv4 = nn.Conv2d(maps, maps, kernel_size=(kernels[3], 1))
        self.lstm = nn.LSTM(maps * channels, hidden, num_layers=layers, batch_first=True)
        self.feature_projector = nn.Identity() if features == hidden else nn.Linear(hidden, features)

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(1)
        x = torch.relu(self.conv1(x))
        x = torch.relu(self.conv2(x))
        x = torch.relu(self.conv3(x))
        x = torch.relu(self.conv4(x))
        x = x.permute(0, 2, 1, 3)
        x = x.reshape(x.shape[0], x.shape[1], -1)
        output, _ = self.lstm(x)
        projected: Tensor = self.feature_projector(output[:, -1])
        return projected
