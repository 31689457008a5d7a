"""The encoders of both modalities. PyTorchVideo and transformers are imported when their models are built."""

from revalexo_clip.models.encoders.any_sensor import AnySensor
from revalexo_clip.models.encoders.attention_pooled import AttentionPooled
from revalexo_clip.models.encoders.base import ImuEncoder, VideoEncoder
from revalexo_clip.models.encoders.deep_conv_lstm import DeepConvLSTM
from revalexo_clip.models.encoders.gru_over_maps import GRUOverMaps
from revalexo_clip.models.encoders.harnet import HARNet
from revalexo_clip.models.encoders.hf_image import HFImage
from revalexo_clip.models.encoders.hf_video import HFVideo
from revalexo_clip.models.encoders.imagebind_imu import ImageBindIMU
from revalexo_clip.models.encoders.motion_tower import MotionTower
from revalexo_clip.models.encoders.mvit import MViT
from revalexo_clip.models.encoders.patch_transformer import PatchTransformer
from revalexo_clip.models.encoders.resnet1d import ResNet1D
from revalexo_clip.models.encoders.resnet_frames import ResNetFrames
from revalexo_clip.models.encoders.spectral_attention import SpectralAttention
from revalexo_clip.models.encoders.stacked_conv_gru import StackedConvGRU
from revalexo_clip.models.encoders.x3d import X3D

__all__ = [
    "X3D",
    "AnySensor",
    "AttentionPooled",
    "DeepConvLSTM",
    "GRUOverMaps",
    "HARNet",
    "HFImage",
    "HFVideo",
    "ImageBindIMU",
    "ImuEncoder",
    "MViT",
    "MotionTower",
    "PatchTransformer",
    "ResNet1D",
    "ResNetFrames",
    "SpectralAttention",
    "StackedConvGRU",
    "VideoEncoder",
]
