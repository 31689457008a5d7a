"""MViT, a multiscale vision transformer (Fan et al., 2021, arXiv:2104.11227), as PyTorchVideo builds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, cast

from pydantic import Field
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import VideoSpec
from revalexo_clip.models.encoders.base import VideoEncoder, VideoNet, frame_times
from revalexo_clip.models.encoders.checkpointing import recompute
from revalexo_clip.models.encoders.fast.attention import class_and_places
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
        time_T = frame_times(spec, "MViT")
        if spec.images % PATCH_FRAMES or spec.crop % PATCH_PIXELS:
            raise ConfigError(
                f"MViT divides video into patches of {PATCH_FRAMES} frames x {PATCH_PIXELS}^2 px, but {spec.images} "
                f"frames of {spec.crop}^2 px cannot be divided into them; change data.frames or data.crop"
            )
        make = builder("vision_transformers", f"mvit_base_{self.variant}")
        model = make(spatial_size=spec.crop, temporal_size=spec.images)
        model.head = model.get_submodule("head.sequence_pool")  # selects the class token; drops the classifier
        speed_up(model)
        if self.gradient_checkpointing:
            recompute(model.get_submodule("blocks").children())
        # Patches are centred on their first frame: convolutions of three frames, a stride of two, a padding of one.
        time_T = time_T.repeat_interleave(spec.burst)[::PATCH_FRAMES]
        return MViTNet(model, BACKBONE_DIM, embed_dim, self.dropout, time_T=time_T)

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


class MViTNet(VideoNet):
    """MViT with the features of its moments: normalised tokens that enter the last block, averaged over the picture.

    The last block and the norm after it compute only the class token.
    """

    def __init__(
        self, backbone: nn.Module, backbone_dim: int, embed_dim: int, dropout: float, *, time_T: Tensor
    ) -> None:
        super().__init__(backbone, backbone_dim, embed_dim, dropout)
        self.sequence_dim = backbone_dim
        self.register_buffer("time_T", time_T.float(), persistent=False)

    def backbone_outputs(self, video_B3THW: Tensor) -> tuple[Tensor, Tensor]:
        """See `VideoNet.backbone_outputs`."""
        parts = dict(self.backbone.named_children())
        x_BNC = parts["cls_positional_encoding"](parts["patch_embed"](video_B3THW))
        thw: Sequence[int] = cast("Sequence[int]", parts["cls_positional_encoding"].patch_embed_shape)
        *blocks, last = parts["blocks"].children()
        for block in blocks:
            x_BNC, thw = block(x_BNC, thw)
        _, grid_BTHWC = class_and_places(nn.functional.layer_norm(x_BNC, x_BNC.shape[2:]), thw)
        classes_BNC, _ = last(x_BNC, thw)
        return parts["head"](parts["norm_embed"](classes_BNC)), grid_BTHWC.mean(dim=(2, 3))
