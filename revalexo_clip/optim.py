"""Optimizers: which parameters are decayed, and how the learning rate falls over a run."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple, Protocol, Self, runtime_checkable

import torch
from pydantic import Field, NonNegativeFloat, PositiveFloat, PositiveInt, model_validator
from torch import nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from revalexo_clip.core.component import Component
from revalexo_clip.core.errors import ConfigError

NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
TOKENS = ("cls_token", "pos_embed")

Beta = Annotated[float, Field(ge=0, lt=1)]
LayerDecay = Annotated[float, Field(gt=0, le=1)]


@runtime_checkable
class HasTowers(Protocol):
    """A model that can say in which order its parts come."""

    def towers(self) -> Mapping[str, Sequence[nn.Module]]:
        """The parts of each encoder, `imu` or `video`, from its input to its output."""


class Place(NamedTuple):
    """A part of a model whose parameters share a learning rate."""

    name: str
    scale: float
    """Its learning rate, relative to that of parameters elsewhere."""


ELSEWHERE = Place("", 1.0)


class Optimizer(Component, ABC):
    """How the parameters of a run are updated."""

    @abstractmethod
    def build(self, model: nn.Module, steps: int) -> tuple[torch.optim.Optimizer, LRScheduler]:
        """An optimizer of all trainable parameters of `model`, the loss's own included, and its learning rate.

        The scheduler is stepped after each of the `steps` optimizer steps of the run.
        """


class ByPlace(Optimizer):
    """What optimizers have in common that know the parts of a model: learning rates by encoder and by depth."""

    lr: PositiveFloat
    """Highest learning rate."""
    weight_decay: NonNegativeFloat
    """Decay of weight matrices and convolution kernels; nothing else is decayed."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay of the running means of the gradient and of its square."""
    imu_lr_scale: PositiveFloat = 1.0
    """Learning rate of the IMU encoder, relative to `lr`; heads and the loss train at `lr`."""
    video_lr_scale: PositiveFloat = 1.0
    """Learning rate of the video encoder, relative to `lr`."""
    imu_layer_decay: LayerDecay = 1.0
    """Each block of the IMU encoder trains at this share of the rate of the block after it; the last at the encoder's.
    Early layers of a pretrained encoder need to move least (Howard & Ruder, 2018, arXiv:1801.06146; in this form Bao et
    al., 2021, arXiv:2106.08254)."""
    video_layer_decay: LayerDecay = 1.0
    """The same for the video encoder."""

    @abstractmethod
    def rate(self, step: int, steps: int) -> float:
        """The learning rate at `step` of `steps`."""

    @abstractmethod
    def optimize(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        """The optimizer of parameter groups that have a learning rate and a weight decay each."""

    def build(self, model: nn.Module, steps: int) -> tuple[torch.optim.Optimizer, LRScheduler]:
        """See `Optimizer.build`. The first two groups are what trains at `lr`; the schedule scales all of them alike.

        Raises `ConfigError` where there is nothing to train, or no order to decay learning rates over.
        """
        decayed, kept = split_by_decay(model)
        if not decayed and not kept:
            raise ConfigError("there is nothing to train: every parameter is frozen")
        placed = self._places(model)
        groups: list[dict[str, object]] = [
            {
                "name": f"{place.name}{kind}",
                "params": [parameter for parameter in parameters if placed.get(parameter, ELSEWHERE) == place],
                "lr": place.scale * self.lr,
                "weight_decay": weight_decay,
            }
            for place in dict.fromkeys([ELSEWHERE, *placed.values()])
            for kind, parameters, weight_decay in (("decayed", decayed, self.weight_decay), ("kept", kept, 0.0))
        ]
        optimizer = self.optimize(groups)
        schedule = LambdaLR(optimizer, lambda step: self.rate(step, steps) / self.lr)
        return optimizer, schedule

    def _places(self, model: nn.Module) -> dict[nn.Parameter, Place]:
        """Where the parameters are that train at a rate of their own."""
        asked = {
            "imu": (self.imu_lr_scale, self.imu_layer_decay),
            "video": (self.video_lr_scale, self.video_layer_decay),
        }
        placed: dict[nn.Parameter, Place] = {}
        towers = [module.towers() for module in model.modules() if isinstance(module, HasTowers)]
        for tower, blocks in (pair for found in towers for pair in found.items()):
            scale, decay = asked[tower]
            if decay < 1 and len(blocks) == 1:
                raise ConfigError(
                    f"optim.{tower}_layer_decay: the {tower} encoder is a single block, with no order to decay over; "
                    "its component can name its blocks"
                )
            for number, block in enumerate(blocks, start=1):
                name = tower if decay == 1 else f"{tower} block {number}"
                place = Place(f"{name}, ", scale * decay ** (len(blocks) - number))
                if place.scale != 1:
                    placed.update(dict.fromkeys(block.parameters(), place))
        return placed


class AdamW(ByPlace):
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019, arXiv:1711.05101) and a cosine schedule."""

    lr: PositiveFloat = 5e-5
    """Highest learning rate: at the first step, or where the warm-up ends."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the run's steps over which the learning rate rises to `lr`, in a straight line."""
    final_lr: NonNegativeFloat = 1e-6
    """Learning rate at the end of the run."""
    weight_decay: NonNegativeFloat = 2.5e-4
    """Decay of weight matrices and convolution kernels; nothing else is decayed."""

    @model_validator(mode="after")
    def _fall(self) -> Self:
        if self.final_lr > self.lr:
            raise ValueError(f"final_lr ({self.final_lr:g}) is above lr ({self.lr:g})")
        return self

    def optimize(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        """See `ByPlace.optimize`."""
        return torch.optim.AdamW(groups, betas=self.betas)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate at `step` of `steps`."""
        rising = round(self.warmup * steps)
        if step < rising:
            return self.lr * (step + 1) / (rising + 1)
        return cosine(step - rising, steps - rising, self.lr, self.final_lr)


class Adam(ByPlace):
    """Adam (Kingma & Ba, 2015, arXiv:1412.6980), its learning rate falling in steps of equal length."""

    lr: PositiveFloat = 1e-4
    """Learning rate of the first stage."""
    weight_decay: NonNegativeFloat = 1e-6
    """Decay of weight matrices and convolution kernels, as a part of their gradient; nothing else is decayed."""
    stages: PositiveInt = 10
    """Parts of equal length that a run has: of 50 epochs, each lasts 5."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Learning rate of a stage, relative to that of the one before."""

    def optimize(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        """See `ByPlace.optimize`."""
        return torch.optim.Adam(groups, betas=self.betas)

    def rate(self, step: int, steps: int) -> float:
        """The learning rate at `step` of `steps`."""
        return self.lr * self.decay ** min(step * self.stages // steps, self.stages - 1)


def cosine(step: int, total: int, start: float, end: float) -> float:
    """The learning rate at `step` of `total`: half a cosine from `start` at step 0 to `end` at step `total` and after.

    Loshchilov & Hutter, 2017 (arXiv:1608.03983), without restarts.
    """
    progress = min(step / total, 1.0)
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def split_by_decay(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Every trainable parameter once: those that weight decay shrinks, and those that it leaves alone.

    Decay is for weights that multiply features: matrices and kernels. It leaves alone what shifts or scales them, for
    which zero is no neutral value: biases (an LSTM's too), norms, the temperature (Radford et al., 2021,
    arXiv:2103.00020), the class token and the positions of a transformer (as MViT was trained: they are added to
    patches as biases are), and any module that says `no_weight_decay = True`, such as a loss.
    """
    decayed: dict[nn.Parameter, None] = {}
    kept: dict[nn.Parameter, None] = {}
    exempt = {inner for module in model.modules() if _is_exempt(module) for inner in module.modules()}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                shifts = parameter.ndim < 2 or name.startswith(("bias", *TOKENS))
                (kept if shifts or module in exempt else decayed)[parameter] = None
    # A parameter that two modules share is left alone if either would leave it alone.
    return [parameter for parameter in decayed if parameter not in kept], list(kept)


def _is_exempt(module: nn.Module) -> bool:
    return isinstance(module, NORMS) or getattr(module, "no_weight_decay", False) is True
