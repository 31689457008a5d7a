"""An experiment: the typed whole that a run is made from.

An experiment file defines a subclass of `PretrainExperiment`, or of another kind of experiment, that sets defaults.
The class is the configuration; its JSON form is what a checkpoint carries.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, Self

from pydantic import Field, NonNegativeFloat, PositiveInt, ValidationError, model_validator

from revalexo_clip.augment import ImuAugmentation, VideoAugmentation
from revalexo_clip.augment.base import PerWindowImu, PerWindowVideo
from revalexo_clip.core.component import Component, Config, describe
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data import Recordings

Precision = Literal["auto", "32", "bf16-mixed", "16-mixed"]


class TrainerConfig(Config):
    """How Lightning runs the training.

    Length, precision, clipping, averaging and synchronised batch norm change what is learned; nothing else here does.
    """

    max_epochs: PositiveInt = 50
    """Passes over the training windows; the learning rate reaches its end with the last."""
    precision: Precision = "auto"
    """`auto`: bf16 where the accelerator has it, else fp16 on CUDA, else 32 bit."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """`auto`: a GPU where there is one."""
    devices: PositiveInt | Literal["auto"] = "auto"
    """Processes on each node, one a device. `auto`: every GPU there is, or one process on CPU."""
    num_nodes: PositiveInt = 1
    """Machines."""
    strategy: Literal["auto", "ddp"] = "auto"
    """`auto`: DDP as soon as there is more than one process."""
    gradient_clip: NonNegativeFloat | None = 1.0
    """Norm that the whole gradient is clipped to; null for no clipping."""
    early_stopping: PositiveInt | None = None
    """Stop after this many epochs without improvement of what checkpoints are chosen by (in pretraining the validation
    loss); null to run to the end."""
    checkpoint_minutes: NonNegativeFloat | None = 10.0
    """How often `last.ckpt` is written between the ends of epochs [min], which is as much work as a crash can cost. 0:
    after every step; null: at the end of epochs only."""
    average: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a moving average of the weights, such as 0.999. Validation, evaluation and export take the average, and
    training goes on as without it; null for none."""
    sync_batchnorm: bool = False
    """Let batch norm go by the windows of all devices together. On GPUs only."""
    compile: bool = False
    """Compile both encoders with torch.compile when they are first called, which takes minutes."""


class Experiment(Config):
    """What all experiments are: named, seeded, complete, and readable from their JSON form.

    A kind of experiment is a direct subclass, which adds the fields. Subclasses of that set defaults and add none, so
    that the kind itself can read every checkpoint.
    """

    name: str = Field(default="", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", validate_default=False)
    """Folder of its runs; the class name in snake_case if not set."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Everything random follows from it."""

    if TYPE_CHECKING:  # what every kind has, each at the place in its own order where a reader looks for it
        data: Recordings
        batch_size: int
        micro_batch: int | None
        trainer: TrainerConfig

    @classmethod
    def kind(cls) -> type[Experiment]:
        """The kind of experiment that this is."""
        return next(kind for kind in cls.__mro__ if Experiment in kind.__bases__)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: object) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        kind = cls.kind()
        added = sorted(set(cls.model_fields) - set(kind.model_fields)) if cls is not kind else []
        if added:
            raise TypeError(
                f"{cls.__name__} adds the field{'s' if len(added) > 1 else ''} {', '.join(added)}: an experiment sets "
                f"defaults of {kind.__name__}; put new settings into a component"
            )

    @model_validator(mode="before")
    @classmethod
    def _default_name(cls, value: object) -> object:
        if isinstance(value, Mapping) and "name" not in value and not cls.model_fields["name"].default:
            return {**value, "name": snake_case(cls.__name__)}
        return value

    @model_validator(mode="after")
    def _keep_to_the_kind(self) -> Self:
        """A subclass that writes `batch_size: int = 0` has not lifted the limits of the kind's field."""
        kind = self.kind()
        if type(self) is not kind:
            kind.model_validate({name: getattr(self, name) for name in kind.model_fields})
        return self

    @model_validator(mode="after")
    def _batches_can_be_shared(self) -> Self:
        if self.micro_batch is not None and self.micro_batch > self.batch_size:
            raise ValueError(f"micro_batch: {self.micro_batch} is more than batch_size, {self.batch_size}")
        devices = self.trainer.devices
        processes = self.trainer.num_nodes * (devices if isinstance(devices, int) else 1)
        if self.batch_size < processes:
            raise ValueError(f"batch_size: {self.batch_size} windows cannot be shared by {processes} devices")
        return self

    def to_json(self, indent: int | None = 2) -> str:
        """The whole experiment as JSON; `from_json` gives it back."""
        return self.model_dump_json(indent=indent)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read what `to_json` wrote. Raises `ConfigError` with one line per mistake."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise ConfigError(describe(error)) from error


def snake_case(name: str) -> str:
    """`MyIdea` -> `my_idea`, `TCNBig` -> `tcn_big`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


class Augmented(Protocol):
    """An experiment with augmentations."""

    @property
    def imu_augment(self) -> tuple[ImuAugmentation, ...]:
        """Of the IMU window, in order."""

    @property
    def video_augment(self) -> tuple[VideoAugmentation, ...]:
        """Of the video window, in order."""


def check_order(experiment: Augmented) -> None:
    """Raise `ValueError` where a function of one window comes after what is applied to a whole batch."""
    listed: tuple[tuple[str, Sequence[Component], type[Component]], ...] = (
        ("imu_augment", experiment.imu_augment, PerWindowImu),
        ("video_augment", experiment.video_augment, PerWindowVideo),
    )
    for field, augmentations, kind in listed:
        for before, after in pairwise(augmentations):
            if isinstance(after, kind) and not isinstance(before, kind):
                raise ValueError(
                    f"{field}: {type(after).__name__} runs where windows are loaded, so it must come before "
                    f"{type(before).__name__}"
                )
