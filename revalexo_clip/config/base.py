"""The base class of experiments: the complete, typed configuration of a run.

An experiment file defines a subclass of `PretrainExperiment`, or of another kind of experiment, that sets defaults.
The class is the configuration; checkpoints store its JSON form.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, Self

from pydantic import Field, NonNegativeFloat, PositiveInt, ValidationError, model_validator

from revalexo_clip.augment import (
    HorizontalFlip,
    ImuAugmentation,
    JointAugmentation,
    Mirror,
    SensorDropout,
    VideoAugmentation,
)
from revalexo_clip.augment.base import PerWindowImu, PerWindowVideo
from revalexo_clip.config.trackers import Tracker
from revalexo_clip.core.component import Component, Config, describe
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data import Recordings
from revalexo_clip.optim import Optimizer

Precision = Literal["auto", "32", "bf16-mixed", "16-mixed"]


class TrainerConfig(Config):
    """Settings of the training loop.

    Only length, early stopping, precision, clipping, averaging and synchronised batch norm affect the trained model.
    `tf32`, `cudnn_benchmark`, `channels_last` and `compile` compute the same, with other rounding errors: they are part
    of the experiment that a run records, and a run can be resumed with other values only if `--set` names them.
    """

    max_epochs: PositiveInt = 50
    """Number of passes over the training windows; the learning rate schedule spans all of them."""
    precision: Precision = "auto"
    """`auto`: bf16 if the accelerator supports it, otherwise fp16 on CUDA, otherwise 32 bit."""
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    """`auto`: a GPU if there is one."""
    devices: PositiveInt | Literal["auto"] = "auto"
    """Processes per node, one per device. `auto`: one per GPU, or one on CPU."""
    num_nodes: PositiveInt = 1
    """Number of machines."""
    strategy: Literal["auto", "ddp"] = "auto"
    """`auto`: DDP if there is more than one process."""
    gradient_clip: NonNegativeFloat | None = 1.0
    """Maximum norm of the whole gradient; null or 0 for no clipping."""
    early_stopping: PositiveInt | None = None
    """Stop after this many epochs without improvement of the metric that selects checkpoints (in pretraining the
    validation loss; of IMU alone `val/selection`); null to train to the end."""
    checkpoint_minutes: NonNegativeFloat | None = 10.0
    """Time between writes of `last.ckpt` within an epoch [min]. 0: after every step; null: at the end of epochs
    only."""
    log_every: PositiveInt = 20
    """Steps between rows of `metrics.csv`, which have the means of the steps between them; the last step of an epoch
    always has a row. On a GPU, each row waits until the GPU is done with its step."""
    average: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a moving average of the weights, e.g. 0.999. Validation, evaluation and export use the average; the
    training itself does not change. null for none."""
    sync_batchnorm: bool = False
    """Compute batch norm statistics over the windows of all devices. On GPUs only; with `micro_batch`, all devices must
    have the same number of windows."""
    compile: bool = False
    """Compile the encoders with torch.compile at their first call, which takes minutes."""
    channels_last: bool = False
    """Keep the weights of 3-D convolutions and the frames in the memory format `channels_last_3d`. On a GPU, cuDNN then
    computes all convolutions in this format, also depthwise ones, which otherwise have kernels of PyTorch's own. On a
    CPU, it only costs time."""
    cudnn_benchmark: bool = False
    """Let cuDNN try its algorithms for each new size of a convolution and take the fastest. Another process may choose
    another one, so that a resumed run is no longer equal to the uninterrupted one, bit for bit. No effect on a CPU."""
    loggers: tuple[Tracker, ...] = ()
    """Services that the run is logged to beside `metrics.csv` and `tensorboard/`: `WandB`, `MLflow`. The first process
    logs. A resumed run continues the tracked run."""
    tf32: bool = False
    """Compute float32 products and convolutions on a GPU in TF32, with 10 instead of 23 bits of the factors: for
    precision 32, and for what mixed precision leaves in float32. Needs compute capability 8.0. false: in float32, also
    convolutions, for which torch's own default is TF32. No effect on a CPU."""


class Experiment(Config):
    """Base class of the kinds of experiments.

    A kind of experiment is a direct subclass, which adds fields. Subclasses of a kind set defaults and add no fields,
    so that the kind itself can read every checkpoint.
    """

    name: str = Field(default="", pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", validate_default=False)
    """Name of the folder of its runs; by default the class name in snake_case."""
    seed: int = Field(default=42, ge=0, lt=2**32)
    """Seed of all random numbers."""

    if TYPE_CHECKING:  # fields of every kind, which define them at a place of their own
        data: Recordings
        batch_size: int
        micro_batch: int | None
        optim: Optimizer
        trainer: TrainerConfig

    @classmethod
    def kind(cls) -> type[Experiment]:
        """Return the kind of this experiment: the direct subclass of `Experiment`."""
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
        """Check the limits of the kind's fields, which a subclass with `batch_size: int = 0` does not have."""
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
        """Return the whole experiment as JSON, for `from_json`."""
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


class WithAugmentations(Protocol):
    """An experiment with augmentations."""

    @property
    def imu_augment(self) -> tuple[ImuAugmentation, ...]:
        """Augmentations of the IMU window, in order."""

    @property
    def video_augment(self) -> tuple[VideoAugmentation, ...]:
        """Augmentations of the video window, in order."""

    @property
    def joint_augment(self) -> tuple[JointAugmentation, ...]:
        """Augmentations of both windows together, in order."""


def check_augmentations(experiment: WithAugmentations) -> None:
    """Raise `ValueError` if augmentations are in the wrong order or contradict each other."""
    _check_order(experiment)
    last = len(experiment.imu_augment) - sum(isinstance(one, SensorDropout) for one in experiment.imu_augment)
    if early := [one for one in experiment.imu_augment[:last] if isinstance(one, SensorDropout)]:
        raise ValueError(
            f"imu_augment: {type(early[0]).__name__} must come last: others would change the constant that a "
            "silenced sensor is set to"
        )
    kinds = {type(one) for one in (*experiment.joint_augment, *experiment.video_augment)}
    if any(issubclass(kind, Mirror) for kind in kinds) and any(issubclass(kind, HorizontalFlip) for kind in kinds):
        raise ValueError(
            "video_augment: HorizontalFlip mirrors the video alone, and Mirror in joint_augment mirrors it together "
            "with the body; with both, many windows are mirrored in one modality only. Remove HorizontalFlip"
        )


def _check_order(experiment: WithAugmentations) -> None:
    """Raise `ValueError` if an augmentation of single windows comes after one of whole batches."""
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
