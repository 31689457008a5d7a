"""Optimizers, with weight decay per parameter group and a learning rate schedule."""

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
    """A model that lists the blocks of its encoders in order."""

    def towers(self) -> Mapping[str, Sequence[nn.Module]]:
        """Return the blocks of each encoder, `imu` or `video`, from input to output."""


class Place(NamedTuple):
    """A part of a model whose parameters share a learning rate."""

    name: str
    scale: float
    """Learning rate, relative to that of all other parameters."""


ELSEWHERE = Place("", 1.0)


class Optimizer(Component, ABC):
    """Base class of optimizers."""

    @abstractmethod
    def build(self, model: nn.Module, steps: int) -> tuple[torch.optim.Optimizer, LRScheduler]:
        """Build an optimizer of all trainable parameters of `model`, including those of the loss, and its scheduler.

        The scheduler is stepped after each of the `steps` optimizer steps of the run.
        """


class ByPlace(Optimizer):
    """Base class of optimizers with learning rates per encoder and per depth."""

    lr: PositiveFloat
    """Maximum learning rate."""
    weight_decay: NonNegativeFloat
    """Weight decay of matrices and convolution kernels; other parameters are not decayed."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Decay rates of the running means of the gradient and of its square."""
    imu_lr_scale: PositiveFloat = 1.0
    """Learning rate of the IMU encoder, relative to `lr`. Heads use `lr`."""
    video_lr_scale: PositiveFloat = 1.0
    """Learning rate of the video encoder, relative to `lr`."""
    loss_lr_scale: PositiveFloat = 1.0
    """Learning rate of the parameters of the loss, such as temperatures, relative to `lr`."""
    imu_layer_decay: LayerDecay = 1.0
    """Learning rate of each block of the IMU encoder, relative to that of the next block; the last block has the
    encoder's rate. Early layers of a pretrained encoder need to change least (Howard & Ruder, 2018, arXiv:1801.06146;
    in this form Bao et al., 2021, arXiv:2106.08254)."""
    video_layer_decay: LayerDecay = 1.0
    """The same for the blocks of the video encoder."""
    fused: bool = False
    """Update all parameters in one kernel, with other rounding errors (about 1e-7 of an update). Not in 16-mixed
    precision."""

    @abstractmethod
    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate at `step` of `steps`."""

    @abstractmethod
    def optimize(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        """Build the optimizer from parameter groups, each with its own learning rate and weight decay."""

    def build(self, model: nn.Module, steps: int) -> tuple[torch.optim.Optimizer, LRScheduler]:
        """See `Optimizer.build`. The first two groups train at `lr`; the schedule scales all groups equally.

        Raises `ConfigError` if there is nothing to train, or if a layer decay is set for an encoder of a single block.
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
        optimizer.register_load_state_dict_post_hook(_lay_out_like_parameters)
        schedule = LambdaLR(optimizer, lambda step: self.rate(step, steps) / self.lr)
        return optimizer, schedule

    def _places(self, model: nn.Module) -> dict[nn.Parameter, Place]:
        """Map the parameters whose learning rate differs from `lr` to their place."""
        settings = {
            "imu": (self.imu_lr_scale, self.imu_layer_decay),
            "video": (self.video_lr_scale, self.video_layer_decay),
        }
        placed: dict[nn.Parameter, Place] = {}
        if self.loss_lr_scale != 1:
            losses = [module for module in model.modules() if getattr(module, "is_loss", False) is True]
            own = (parameter for loss in losses for parameter in loss.parameters())
            placed.update(dict.fromkeys(own, Place("loss, ", self.loss_lr_scale)))
        towers = [module.towers() for module in model.modules() if isinstance(module, HasTowers)]
        for tower, blocks in (pair for found in towers for pair in found.items()):
            scale, decay = settings[tower]
            if decay < 1 and len(blocks) == 1:
                raise ConfigError(
                    f"optim.{tower}_layer_decay: the {tower} encoder is a single block, so its learning rate cannot "
                    "decay over blocks. Set it to 1, or implement `blocks` in the encoder's component"
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
    """Maximum learning rate, reached at the first step or at the end of the warm-up."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Fraction of the run's steps during which the learning rate rises linearly to `lr`."""
    final_lr: NonNegativeFloat = 1e-6
    """Learning rate at the end of the run."""
    weight_decay: NonNegativeFloat = 2.5e-4
    """Weight decay of matrices and convolution kernels; other parameters are not decayed."""

    @model_validator(mode="after")
    def _fall(self) -> Self:
        if self.final_lr > self.lr:
            raise ValueError(f"final_lr ({self.final_lr:g}) must not be above lr ({self.lr:g})")
        return self

    def optimize(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        """See `ByPlace.optimize`."""
        return torch.optim.AdamW(groups, betas=self.betas, fused=self.fused or None)

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate at `step` of `steps`."""
        rising = min(round(self.warmup * steps), steps - 1)  # the last step is not of the warm-up
        if step < rising:
            return self.lr * (step + 1) / (rising + 1)
        return cosine(step - rising, steps - rising, self.lr, self.final_lr)


class Adam(ByPlace):
    """Adam (Kingma & Ba, 2015, arXiv:1412.6980) with a learning rate that falls in stages of equal length."""

    lr: PositiveFloat = 1e-4
    """Learning rate of the first stage."""
    weight_decay: NonNegativeFloat = 1e-6
    """Weight decay of matrices and convolution kernels, added to their gradient; other parameters are not decayed."""
    stages: PositiveInt = 10
    """Number of stages of equal length in a run: with 50 epochs and 10 stages, each lasts 5 epochs."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.9
    """Learning rate of a stage, relative to that of the previous stage."""

    def optimize(self, groups: list[dict[str, object]]) -> torch.optim.Optimizer:
        """See `ByPlace.optimize`."""
        return torch.optim.Adam(groups, betas=self.betas, fused=self.fused or None)

    def rate(self, step: int, steps: int) -> float:
        """Return the learning rate at `step` of `steps`."""
        return self.lr * self.decay ** min(step * self.stages // steps, self.stages - 1)


def cosine(step: int, total: int, start: float, end: float) -> float:
    """Return the learning rate at `step`: half a cosine from `start` at step 0 to `end` at step `total` and later.

    Loshchilov & Hutter, 2017 (arXiv:1608.03983), without restarts.
    """
    progress = min(step / total, 1.0)
    return end + (start - end) * (1 + math.cos(math.pi * progress)) / 2


def split_by_decay(model: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Split the trainable parameters into those with and those without weight decay. Each occurs once.

    Weights that multiply features are decayed: matrices and kernels. Parameters that shift or scale features are not,
    because zero is not a neutral value for them: biases (including those of an LSTM), norms, the temperature (Radford
    et al., 2021, arXiv:2103.00020), the class token and the positions of a transformer (as in MViT's training: they
    are added to patches like biases), and any module with `no_weight_decay = True`, such as a loss.
    """
    decayed: dict[nn.Parameter, None] = {}
    kept: dict[nn.Parameter, None] = {}
    exempt = {inner for module in model.modules() if _is_exempt(module) for inner in module.modules()}
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if parameter.requires_grad:
                shifts = parameter.ndim < 2 or name.startswith(("bias", *TOKENS))
                (kept if shifts or module in exempt else decayed)[parameter] = None
    # A parameter that two modules share is exempt if either module exempts it.
    return [parameter for parameter in decayed if parameter not in kept], list(kept)


def _lay_out_like_parameters(optimizer: torch.optim.Optimizer) -> None:
    """Give restored statistics the memory format of their parameters, which fused kernels rely on.

    They have another one if `trainer.channels_last` was changed when the run was resumed.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if not isinstance(value, torch.Tensor) or value.shape != parameter.shape:
                continue
            if value.stride() != parameter.stride():
                state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)


def _is_exempt(module: nn.Module) -> bool:
    return isinstance(module, NORMS) or getattr(module, "no_weight_decay", False) is True
