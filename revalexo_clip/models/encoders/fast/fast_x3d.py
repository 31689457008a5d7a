"""X3D in forms that are faster than PyTorchVideo's and equal to them, with the same weights under the same names."""

from __future__ import annotations

from torch import nn

from revalexo_clip.models.encoders.fast import batch_norm, pointwise
from revalexo_clip.models.encoders.fast import convolution as depthwise
from revalexo_clip.models.encoders.fast.bottleneck import Bottleneck
from revalexo_clip.models.encoders.fast.x3d import SqueezeExcitation


def speed_up(model: nn.Module) -> None:
    """Give every part of `model` its fast form; state dicts stay what they are."""
    for module in list(model.modules()):
        if type(module) is nn.Conv3d:
            _speed_up_convolution(module)
        elif batch_norm.fits(module):
            module.__class__ = batch_norm.FastBatchNorm3d
        elif isinstance(module, nn.ReLU):
            module.inplace = True  # what X3D rectifies, norms and sums, is of no use to their own backward passes
        elif hasattr(module, "act_b"):
            _speed_up_bottleneck(module)
    for module in list(model.modules()):
        if hasattr(module, "branch2"):
            module.register_module("branch2", Bottleneck(module.get_submodule("branch2")))


def _speed_up_convolution(conv: nn.Conv3d) -> None:
    if depthwise.fits(conv):
        conv.__class__ = depthwise.DepthwiseConv3d
    elif pointwise.fits(conv):
        conv.__class__ = pointwise.PointwiseConv3d


def _speed_up_bottleneck(block: nn.Module) -> None:
    """A block's depthwise convolution is followed by batch norm, in every other block an excitation, and Swish."""
    block.register_module("act_b", nn.SiLU())  # one pass in either direction, where PyTorchVideo's Swish takes seven
    norm_b = block.get_submodule("norm_b")
    assert isinstance(norm_b, nn.Sequential)
    if not isinstance(norm_b[1], nn.Identity):
        norm_b[1] = SqueezeExcitation(norm_b[1].get_submodule("block"))
