"""Image models of the transformers library, an optional extra, as encoders of the frames of a window."""

from __future__ import annotations

import inspect
from functools import lru_cache
from typing import TYPE_CHECKING

import torch
from pydantic import Field
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import VideoSpec
from revalexo_clip.models.encoders.base import frame_times
from revalexo_clip.models.encoders.hf_architecture import (
    HFArchitecture,
    Recolour,
    meta_model,
    read_files,
    refused,
    side,
)
from revalexo_clip.models.encoders.hf_base import HFEncoder, HFNet, Pooling, Probe, unused_weights
from revalexo_clip.models.hugging_face import class_for, loading, model_class, read_config

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PROCESSORS = {"preprocessor_config.json": None, "processor_config.json": "image_processor"}
"""Files that say how an image model's frames are normalised, and the entry that does."""
USUAL_SIZE = 224
"""Rows and columns of the frames of models whose configuration does not say them [px]."""

VISION = {
    "clip": "CLIPVisionModel",
    "clip_vision_model": "CLIPVisionModel",
    "metaclip_2": "MetaClip2VisionModel",
    "metaclip_2_vision_model": "MetaClip2VisionModel",
    "siglip": "SiglipVisionModel",
    "siglip_vision_model": "SiglipVisionModel",
    "chinese_clip": "ChineseCLIPVisionModel",
    "altclip": "AltCLIPVisionModel",
    "align": "AlignVisionModel",
    "blip": "BlipVisionModel",
}
"""The image half of models that have another half, by their `model_type`; other models are read as a whole."""
PROJECTED = ("CLIPVisionModel", "MetaClip2VisionModel")
"""Classes that have a form with the projection into the space that images share with texts."""


class HFImage(HFEncoder):
    """An image model of the transformers library, such as CLIP, SigLIP, DINO, ViT or ConvNeXt, applied to each frame.

    Needs `pip install 'revalexo_clip[text]'`. Its features are those of moments: of single frames, or of bursts, whose
    frames are averaged. Frames are normalised as the model expects it.
    """

    model: str = Field(min_length=1)
    """Folder, or name that the library downloads or finds in its cache, e.g. `openai/clip-vit-base-patch32`."""
    pooling: Pooling = "model"
    """What the features of a frame are: what the `model` itself gives for the whole frame (CLIP's projection to its
    shared space, or another model's pooled output), the class token (`cls`), or the `mean` over patches."""

    @property
    def source(self) -> str:
        """See `HFEncoder.source`."""
        return self.model

    @property
    def field(self) -> str:
        """See `HFEncoder.field`."""
        return "video.model"

    def read_architecture(self) -> HFArchitecture:
        """See `HFEncoder.read_architecture`. Raises `ConfigError` if it is no image model."""
        with loading("video.model", self.model, "config.json"):
            config = read_config(self.model, local_files_only=self.local_files_only)
        kind = VISION.get(config.model_type) or class_for(config)
        if self.pooling == "model" and kind in PROJECTED:
            kind += "WithProjection"
        parameters = inspect.signature(model_class(kind).forward).parameters
        of_videos = hasattr(config, "num_frames") or model_class(kind).main_input_name != "pixel_values"
        if of_videos or "spatial_shapes" in parameters:
            raise ConfigError(
                f"video.model: {self.model} ({config.model_type}) is not a model of images of one size; choose "
                "another, or HFVideo for a model of videos"
            )
        return read_files("video.model", self.model, kind, PROCESSORS, local_files_only=self.local_files_only)

    def probe(self, architecture: HFArchitecture, crop: int | None) -> Probe:
        """See `HFEncoder.probe`."""
        return probe_images(architecture.model_dump_json(), crop, self.pooling, type(self).__name__)

    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        """See `VideoEncoder.build`; `embed_dim` has no effect.

        Raises `ConfigError` if windows have no frames, or frames of a size that the model cannot take, or if the
        library is missing; `DataError` if the model's files are.
        """
        return build_frame_net(self, spec, self.pooling)


def build_frame_net(encoder: HFEncoder, spec: VideoSpec, pooling: Pooling) -> HFNet:
    """Build the module of an image model with new weights. Raises what `HFImage.build` raises."""
    time_T = frame_times(spec, type(encoder).__name__)
    architecture = encoder.known_architecture()
    probe = encoder.probe(architecture, spec.crop)
    return HFImageNet(
        architecture.build(),
        Recolour(spec, architecture),
        probe,
        pooling=pooling,
        readout=encoder.readout,
        time_T=time_T,
        moments=spec.images,
    )


class HFImageNet(HFNet):
    """Frames [B, 3, T, H, W] -> features of each frame [B, T, P] -> features of the window and its moments."""

    per_frame = True

    def model_features(self, video_B3THW: Tensor) -> Tensor:
        """See `FrozenFeatures.model_features`."""
        frames_N3HW = self.recolour(video_B3THW.transpose(1, 2).flatten(0, 1))
        x_NP = features_of(self.model, frames_N3HW, self.pooling, self.prefix)
        return x_NP.reshape(video_B3THW.shape[0], -1, x_NP.shape[1])


def features_of(model: PreTrainedModel, frames_N3HW: Tensor, pooling: Pooling, prefix: int) -> Tensor:
    """Compute the features [N, P] of frames. `prefix` is the number of tokens before those of patches.

    Raises `ConfigError` if the model has no such features.
    """
    output = model(pixel_values=frames_N3HW, **_interpolated(model, frames_N3HW.shape[-1]))
    if pooling == "model":
        return own_features(output, type(model).__name__)
    state: Tensor = output.last_hidden_state
    if pooling == "cls":
        if state.dim() != 3 or not prefix:
            raise ConfigError(f"video.pooling: {type(model).__name__} has no class token; choose mean")
        return state[:, 0]
    return state.mean(dim=(2, 3)) if state.dim() == 4 else state[:, prefix:].mean(dim=1)


def own_features(output: object, kind: str) -> Tensor:
    """Return what a model gives for the whole input, [N, P]. Raises `ConfigError` if it gives nothing."""
    for name in ("image_embeds", "pooler_output"):
        found = getattr(output, name, None)
        if isinstance(found, Tensor):
            return found.flatten(1)
    raise ConfigError(f"video.pooling: {kind} gives no features of the whole frame or video; choose mean")


def _interpolated(model: PreTrainedModel, crop: int) -> dict[str, bool]:
    """Return the argument that lets a model interpolate its positions, if frames are not of its own size."""
    own = side(getattr(model.config, "image_size", None))
    possible = "interpolate_pos_encoding" in inspect.signature(model.forward).parameters
    return {"interpolate_pos_encoding": True} if possible and own not in {None, crop} else {}


@lru_cache(maxsize=64)
def probe_images(architecture_json: str, crop: int | None, pooling: Pooling, encoder: str) -> Probe:
    """Find out what an image model, an `HFArchitecture` as JSON, computes from frames of `crop` rows and columns.

    Raises `ConfigError` if it cannot take them.
    """
    model = meta_model(architecture_json)
    own = side(getattr(model.config, "image_size", None)) or USUAL_SIZE
    crop = crop or own
    patch = side(getattr(model.config, "patch_size", None))
    if patch is not None and crop % patch:
        raise ConfigError(
            f"video: {encoder}: frames of {crop}^2 px cannot be divided into patches of {patch}^2 px; --set "
            f"data.crop={own}, the model's own size, and --set data.short_side={own} or more"
        )
    frames = torch.zeros(1, 3, crop, crop, device="meta")
    try:
        state = model(pixel_values=frames, **_interpolated(model, crop)).last_hidden_state
        tokens = state.shape[1] if state.dim() == 3 else 0
        prefix = max(tokens - (crop // patch) ** 2, 0) if tokens and patch else 0
        features_NP = features_of(model, frames, pooling, prefix)
    except (ValueError, RuntimeError) as error:  # of the library and of torch, for a size that does not fit
        architecture = HFArchitecture.model_validate_json(architecture_json)
        raise refused(architecture, encoder, f"frames of {crop}^2 px", error) from error
    return Probe(features_NP.shape[1], prefix, tokens, unused_weights(model, features_NP))
