"""MViT, a multiscale vision transformer (Fan et al., 2021, arXiv:2104.11227), as PyTorchVideo builds it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from torch import nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import VideoSpec
from revalexo_clip.models.encoders.base import VideoEncoder, VideoNet
from revalexo_clip.models.encoders.checkpointing import recompute
from revalexo_clip.models.encoders.fast.mvit import speed_up
from revalexo_clip.models.encoders.pretrained_weights import builder, checkpoint_url, load_weights

BACKBONE_DIM = 768
PATCH_FRAMES = 2
PATCH_PIXELS = 4
CLASSIFIER = ("head.proj.weight", "head.proj.bias")
"""What a published checkpoint has and an encoder has not: the projection to the 400 activities of Kinetics."""


class MViT(VideoEncoder):
    """PyTorchVideo's MViT-B without its classifier: the class token, projected to the embedding size."""

    variant: Literal["16x4", "32x3"] = "16x4"
    """Published for 16 or 32 frames of 224^2. Its weights hold one position per patch and fit only those sizes."""
    weights: str | None = "kinetics400"
    """`kinetics400` (PyTorchVideo's own checkpoint), a checkpoint file, or none."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Share of the projected features dropped in training."""
    gradient_checkpointing: bool = False
    """Keep only what enters each block of attention for the backward pass, and compute the rest again: memory for time.
    """

    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        """See `VideoEncoder.build`. Raises `ConfigError` for frames or a crop that do not divide into patches."""
        if spec.frames % PATCH_FRAMES or spec.crop % PATCH_PIXELS:
            raise ConfigError(
                f"MViT cuts video into patches of {PATCH_FRAMES} frames x {PATCH_PIXELS}^2 px: {spec.frames} frames of "
                f"{spec.crop}^2 px do not divide into them"
            )
        make = builder("vision_transformers", f"mvit_base_{self.variant}")
        model = make(spatial_size=spec.crop, temporal_size=spec.frames)
        model.head = model.get_submodule("head.sequence_pool")  # picks the class token; the classifier came after it
        speed_up(model)
        if self.gradient_checkpointing:
            recompute(model.get_submodule("blocks").children())
        return VideoNet(model, BACKBONE_DIM, embed_dim, self.dropout)

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: patches and their positions, 16 blocks of attention, the norm and the projection."""
        assert isinstance(module, VideoNet)
        parts = dict(module.backbone.named_children())
        attention = parts.pop("blocks")
        after = [parts.pop("norm_embed"), parts.pop("head"), module.projection, module.dropout]
        return [nn.ModuleList(parts.values()), *attention.children(), nn.ModuleList(after)]

    def load_pretrained(self, module: nn.Module) -> None:
        """See `VideoEncoder.load_pretrained`."""
        assert isinstance(module, VideoNet)
        if self.weights is not None:
            url = checkpoint_url("vision_transformers", f"mvit_base_{self.variant}")
            load_weights(module.backbone, self.weights, published=url, without=CLASSIFIER)
