"""The encoders of both modalities. PyTorchVideo is only imported when one of its models is built."""

from revalexo_clip.models.encoders.attention_pooled import AttentionPooled
from revalexo_clip.models.encoders.base import ImuEncoder, VideoEncoder
from revalexo_clip.models.encoders.deep_conv_lstm import DeepConvLSTM
from revalexo_clip.models.encoders.gru_over_maps import GRUOverMaps
from revalexo_clip.models.encoders.harnet import HARNet
from revalexo_clip.models.encoders.motion_tower import MotionTower
from revalexo_clip.models.encoders.mvit import MViT
from revalexo_clip.models.encoders.patch_transformer import PatchTransformer
from revalexo_clip.models.encoders.resnet1d import ResNet1D
from revalexo_clip.models.encoders.spectral_attention import SpectralAttention
from revalexo_clip.models.encoders.stacked_conv_gru import StackedConvGRU
from revalexo_clip.models.encoders.x3d import X3D

__all__ = [
    "X3D",
    "AttentionPooled",
    "DeepConvLSTM",
    "GRUOverMaps",
    "HARNet",
    "ImuEncoder",
    "MViT",
    "MotionTower",
    "PatchTransformer",
    "ResNet1D",
    "SpectralAttention",
    "StackedConvGRU",
    "VideoEncoder",
]
