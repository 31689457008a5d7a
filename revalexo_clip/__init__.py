"""Config-as-code contrastive pretraining of IMU and first-person-video encoders.

The names below are the public interface. They load on first use, so that `rxclip --help` stays quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from revalexo_clip.augment import ChannelDropout as ChannelDropout
    from revalexo_clip.augment import ColorAugmentation as ColorAugmentation
    from revalexo_clip.augment import ColorJitter as ColorJitter
    from revalexo_clip.augment import GaussianNoise as GaussianNoise
    from revalexo_clip.augment import Grayscale as Grayscale
    from revalexo_clip.augment import HalfTurn as HalfTurn
    from revalexo_clip.augment import HorizontalFlip as HorizontalFlip
    from revalexo_clip.augment import ImuAugmentation as ImuAugmentation
    from revalexo_clip.augment import JointAugmentation as JointAugmentation
    from revalexo_clip.augment import JointDraw as JointDraw
    from revalexo_clip.augment import MagnitudeWarp as MagnitudeWarp
    from revalexo_clip.augment import Mirror as Mirror
    from revalexo_clip.augment import PerWindowImu as PerWindowImu
    from revalexo_clip.augment import PerWindowVideo as PerWindowVideo
    from revalexo_clip.augment import RandomErasing as RandomErasing
    from revalexo_clip.augment import RandomResizedCrop as RandomResizedCrop
    from revalexo_clip.augment import Scale as Scale
    from revalexo_clip.augment import SensorRotation as SensorRotation
    from revalexo_clip.augment import TimeWarp as TimeWarp
    from revalexo_clip.augment import VideoAugmentation as VideoAugmentation
    from revalexo_clip.augment import View as View
    from revalexo_clip.augment import ViewAugmentation as ViewAugmentation
    from revalexo_clip.config.base import PretrainExperiment as PretrainExperiment
    from revalexo_clip.config.base import TrainerConfig as TrainerConfig
    from revalexo_clip.config.finetuning import FinetuneExperiment as FinetuneExperiment
    from revalexo_clip.config.finetuning import Freezing as Freezing
    from revalexo_clip.config.folds import Fold as Fold
    from revalexo_clip.config.folds import Folds as Folds
    from revalexo_clip.config.folds import LeaveOneSubjectOut as LeaveOneSubjectOut
    from revalexo_clip.core.component import Component as Component
    from revalexo_clip.core.component import Config as Config
    from revalexo_clip.core.errors import ConfigError as ConfigError
    from revalexo_clip.core.errors import DataError as DataError
    from revalexo_clip.core.types import ImuSpec as ImuSpec
    from revalexo_clip.core.types import VideoSpec as VideoSpec
    from revalexo_clip.data import BalancedBatches as BalancedBatches
    from revalexo_clip.data import BatchComposition as BatchComposition
    from revalexo_clip.data import Dataset as Dataset
    from revalexo_clip.data import GroupedBatches as GroupedBatches
    from revalexo_clip.data import ImuRecordings as ImuRecordings
    from revalexo_clip.data import Recordings as Recordings
    from revalexo_clip.data import RevalExo as RevalExo
    from revalexo_clip.data import UniformBatches as UniformBatches
    from revalexo_clip.export import load_encoder as load_encoder
    from revalexo_clip.losses import CrossEntropy as CrossEntropy
    from revalexo_clip.losses import Distillation as Distillation
    from revalexo_clip.losses import InfoNCE as InfoNCE
    from revalexo_clip.losses import Loss as Loss
    from revalexo_clip.losses import LossModule as LossModule
    from revalexo_clip.losses import Overlap as Overlap
    from revalexo_clip.losses import Recognised as Recognised
    from revalexo_clip.losses import RecognitionLoss as RecognitionLoss
    from revalexo_clip.losses import RecognitionLossModule as RecognitionLossModule
    from revalexo_clip.losses import SigLIP as SigLIP
    from revalexo_clip.models.encoders import X3D as X3D
    from revalexo_clip.models.encoders import DeepConvLSTM as DeepConvLSTM
    from revalexo_clip.models.encoders import ImuEncoder as ImuEncoder
    from revalexo_clip.models.encoders import MViT as MViT
    from revalexo_clip.models.encoders import SpectralAttention as SpectralAttention
    from revalexo_clip.models.encoders import VideoEncoder as VideoEncoder
    from revalexo_clip.models.heads import Head as Head
    from revalexo_clip.models.heads import LinearHeads as LinearHeads
    from revalexo_clip.models.layers import Dropout as Dropout
    from revalexo_clip.optim import Adam as Adam
    from revalexo_clip.optim import AdamW as AdamW
    from revalexo_clip.optim import Optimizer as Optimizer

_HOME = {
    "augment": (
        *("ColorAugmentation", "ImuAugmentation", "JointAugmentation", "JointDraw", "PerWindowImu", "PerWindowVideo"),
        *("VideoAugmentation", "View", "ViewAugmentation"),
        *("ChannelDropout", "GaussianNoise", "HalfTurn", "MagnitudeWarp", "Scale", "SensorRotation", "TimeWarp"),
        *("ColorJitter", "Grayscale", "HorizontalFlip", "RandomErasing", "RandomResizedCrop", "Mirror"),
    ),
    "core.component": ("Component", "Config"),
    "data": (
        *("BalancedBatches", "BatchComposition", "GroupedBatches", "UniformBatches"),
        *("Dataset", "ImuRecordings", "Recordings", "RevalExo"),
    ),
    "models.layers": ("Dropout",),
    "models.encoders": ("DeepConvLSTM", "ImuEncoder", "MViT", "SpectralAttention", "VideoEncoder", "X3D"),
    "core.errors": ("ConfigError", "DataError"),
    "config.base": ("PretrainExperiment", "TrainerConfig"),
    "export": ("load_encoder",),
    "config.finetuning": ("FinetuneExperiment", "Freezing"),
    "config.folds": ("Fold", "Folds", "LeaveOneSubjectOut"),
    "models.heads": ("Head", "LinearHeads"),
    "losses": (
        *("InfoNCE", "Loss", "LossModule", "Overlap", "SigLIP"),
        *("CrossEntropy", "Distillation", "Recognised", "RecognitionLoss", "RecognitionLossModule"),
    ),
    "optim": ("Adam", "AdamW", "Optimizer"),
    "core.types": ("ImuSpec", "VideoSpec"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [  # noqa: PLE0604 (names are strings; ruff cannot see through the expression)
    "__version__",
    *sorted(_MODULE_OF),
]


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_MODULE_OF])
