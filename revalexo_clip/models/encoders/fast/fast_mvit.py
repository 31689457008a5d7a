"""MViT in forms that are faster than PyTorchVideo's and equal to them, with the same weights under the same names."""

from __future__ import annotations

from torch import nn

from revalexo_clip.models.encoders.fast.mvit import MultiscaleBlock


def speed_up(model: nn.Module) -> None:
    """Give every block of `model` its fast form; state dicts stay what they are.

    The model's head must pick the class token, as MViT's does: the last block computes nothing else.
    """
    blocks = model.get_submodule("blocks")
    assert isinstance(blocks, nn.ModuleList)
    for place, block in enumerate(blocks):
        blocks[place] = MultiscaleBlock(block, only_class=place == len(blocks) - 1)
