"""A plain HARNet on drawn tensors, with the names that it saves: five layers, each with its own numbers."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

State = dict[str, Tensor]
LAYERS = {
    5: [(64, 2, 2, 2), (128, 2, 2, 2), (256, 2, 3, 1), (256, 2, 3, 1), (512, 0, 3, 1)],
    10: [(64, 2, 2, 2), (128, 2, 2, 2), (256, 2, 5, 1), (512, 2, 5, 1), (1024, 0, 3, 1)],
    30: [(64, 2, 3, 1), (128, 2, 3, 1), (256, 2, 5, 1), (512, 2, 5, 1), (1024, 0, 4, 0)],
}
"""Maps, residual blocks, stride and order of the filter of each layer, by the length of windows [s]."""
PASCAL = {(2, 2): [1, 3, 3, 1], (3, 1): [1, 2, 3, 2, 1], (5, 1): [1, 2, 3, 4, 5, 4, 3, 2, 1], (4, 0): [1, 1, 1, 1]}
"""Filters by stride and order, before they are divided by their sum."""


def drawn_state(seconds: int) -> State:
    """Draw the tensors of the feature extractor and of a classifier."""
    generator = torch.Generator().manual_seed(0)
    state: State = {}

    def norm(name: str, size: int) -> None:
        for kind in ("weight", "bias", "running_mean", "running_var"):
            drawn = torch.rand(size, generator=generator)
            state[f"{name}.{kind}"] = drawn + 0.5 if kind in ("weight", "running_var") else drawn - 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def convolution(name: str, inputs: int, maps: int) -> None:
        state[f"{name}.weight"] = torch.randn(maps, inputs, 5, generator=generator) / (5 * inputs) ** 0.5

    before = 3
    for number, (maps, blocks, stride, order) in enumerate(LAYERS[seconds], start=1):
        layer = f"feature_extractor.layer{number}"
        convolution(f"{layer}.0", before, maps)
        for block in range(1, blocks + 1):
            norm(f"{layer}.{block}.bn1", maps)
            norm(f"{layer}.{block}.bn2", maps)
            convolution(f"{layer}.{block}.conv1", maps, maps)
            convolution(f"{layer}.{block}.conv2", maps, maps)
        norm(f"{layer}.{blocks + 1}", maps)
        taps = torch.tensor(PASCAL[stride, order], dtype=torch.float32)
        state[f"{layer}.{blocks + 3}.kernel"] = (taps / taps.sum()).repeat(maps, 1, 1)
        before = maps
    state["classifier.linear1.weight"] = torch.zeros(2, before)
    return state


def plain_features(state: State, seconds: int, imu_BLC: Tensor) -> Tensor:
    """Compute the features [B, F]."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, variance = state[f"{name}.running_mean"][:, None], state[f"{name}.running_var"][:, None]
        scaled = (x - mean) / (variance + 1e-5).sqrt()
        return (scaled * state[f"{name}.weight"][:, None] + state[f"{name}.bias"][:, None]).clamp(min=0)

    def convolve(x: Tensor, name: str) -> Tensor:
        around = torch.cat([x[..., -2:], x, x[..., :2]], dim=2)
        return functional.conv1d(around, state[f"{name}.weight"])

    x = imu_BLC.transpose(1, 2)
    for number, (_, blocks, stride, order) in enumerate(LAYERS[seconds], start=1):
        layer = f"feature_extractor.layer{number}"
        x = convolve(x, f"{layer}.0")
        for block in range(1, blocks + 1):
            name = f"{layer}.{block}"
            x = x + convolve(norm(convolve(norm(x, f"{name}.bn1"), f"{name}.conv1"), f"{name}.bn2"), f"{name}.conv2")
        x = functional.pad(norm(x, f"{layer}.{blocks + 1}"), (order * (stride - 1) // 2,) * 2)
        taps = state[f"{layer}.{blocks + 3}.kernel"][0, 0]
        starts = range(0, x.shape[2] - len(taps) + 1, stride)
        x = torch.stack([(x[..., at : at + len(taps)] * taps).sum(dim=2) for at in starts], dim=2)
    return x.flatten(1)
