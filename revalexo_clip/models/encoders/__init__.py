"""The encoders of both modalities. PyTorchVideo is only imported when one of its models is built."""

from revalexo_clip.models.encoders.base import ImuEncoder, VideoEncoder
from revalexo_clip.models.encoders.deep_conv_lstm import DeepConvLSTM
from revalexo_clip.models.encoders.motion_tower import MotionTower
from revalexo_clip.models.encoders.mvit import MViT
from revalexo_clip.models.encoders.resnet1d import ResNet1D
from revalexo_clip.models.encoders.spectral_attention import SpectralAttention
from revalexo_clip.models.encoders.x3d import X3D

__all__ = [
    "X3D",
    "DeepConvLSTM",
    "ImuEncoder",
    "MViT",
    "MotionTower",
    "ResNet1D",
    "SpectralAttention",
    "VideoEncoder",
]
