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
"""Weights that only a published checkpoint has: the projection to the 400 activities of Kinetics."""


class MViT(VideoEncoder):
    """PyTorchVideo's MViT-B without its classifier: the class token, projected to the embedding size."""

    variant: Literal["16x4", "32x3"] = "16x4"
    """Published variant, for 16 or 32 frames of 224^2 px. Published weights have one position per patch and fit only
    these sizes."""
    weights: str | None = "kinetics400"
    """`kinetics400` (PyTorchVideo's checkpoint), a checkpoint file, or none."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout probability of the projected features."""
    gradient_checkpointing: bool = False
    """Store only the inputs of attention blocks for the backward pass and compute the rest again, which saves memory
    and takes more time."""

    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        """See `VideoEncoder.build`. Raises `ConfigError` if frames or crop cannot be divided into patches."""
        if spec.frames % PATCH_FRAMES or spec.crop % PATCH_PIXELS:
            raise ConfigError(
                f"MViT divides video into patches of {PATCH_FRAMES} frames x {PATCH_PIXELS}^2 px, but {spec.frames} "
                f"frames of {spec.crop}^2 px cannot be divided into them; change data.frames or data.crop"
            )
        make = builder("vision_transformers", f"mvit_base_{self.variant}")
        model = make(spatial_size=spec.crop, temporal_size=spec.frames)
        model.head = model.get_submodule("head.sequence_pool")  # selects the class token; drops the classifier
        speed_up(model)
        if self.gradient_checkpointing:
            recompute(model.get_submodule("blocks").children())
        return VideoNet(model, BACKBONE_DIM, embed_dim, self.dropout)

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: patches and their positions, 16 attention blocks, the norm and the projection."""
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
