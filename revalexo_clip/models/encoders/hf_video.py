"""Video models of the transformers library, an optional extra, as encoders of windows."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

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
from revalexo_clip.models.encoders.hf_image import own_features
from revalexo_clip.models.hugging_face import loading, read_config

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

PROCESSORS = {
    "video_preprocessor_config.json": None,
    "preprocessor_config.json": None,
    "processor_config.json": "video_processor",
}
"""Files that say how a video model's frames are normalised, and the entry that does."""


class Layout(NamedTuple):
    """How a video model takes frames and arranges its tokens."""

    frames: str = "num_frames"
    """Setting of the number of frames."""
    size: str = "image_size"
    """Setting of the rows and columns of frames."""
    tubelet: str | None = "tubelet_size"
    """Setting of the number of frames of a token; None if that is one."""
    prefix: int = 0
    """Number of tokens before those of patches."""
    time_first: bool = True
    """Whether all tokens of a moment follow one another; otherwise, all moments of a place do."""
    any_number: bool = False
    """Whether any number of frames can be given that fills whole tokens, because positions are relative."""


LAYOUTS = {
    "VideoMAEModel": Layout(),
    "VJEPA2Model": Layout(frames="frames_per_clip", size="crop_size", any_number=True),
    "VivitModel": Layout(prefix=1),
    "TimesformerModel": Layout(tubelet=None, prefix=1, time_first=False),
    "VideoPrismVisionModel": Layout(tubelet=None),
}
KINDS = {
    "videomae": "VideoMAEModel",
    "vjepa2": "VJEPA2Model",
    "vivit": "VivitModel",
    "timesformer": "TimesformerModel",
    "videoprism_vision_model": "VideoPrismVisionModel",
}
"""Class of a model, by its `model_type`."""


class HFVideo(HFEncoder):
    """A video model of the transformers library: VideoMAE, V-JEPA 2, ViViT, TimeSformer or VideoPrism.

    Needs `pip install 'revalexo_clip[text]'`. The frames of a window, `data.frames` x `data.burst`, are the frames that
    the model takes at once. They are normalised as the model expects it.
    """

    model: str = Field(min_length=1)
    """Folder, or name that the library downloads or finds in its cache, e.g. `MCG-NJU/videomae-base`."""
    pooling: Pooling = "mean"
    """What the features of a moment are: the `mean` over the patches of a frame, or of the frames that a token sees.
    The class token (`cls`), and what the `model` itself gives for the whole video, have a single moment: the centre of
    the window."""

    @property
    def source(self) -> str:
        """See `HFEncoder.source`."""
        return self.model

    @property
    def field(self) -> str:
        """See `HFEncoder.field`."""
        return "video.model"

    def read_architecture(self) -> HFArchitecture:
        """See `HFEncoder.read_architecture`. Raises `ConfigError` if it is no video model that is known here."""
        with loading("video.model", self.model, "config.json"):
            config = read_config(self.model, local_files_only=self.local_files_only)
        if config.model_type not in KINDS:
            raise ConfigError(
                f"video.model: {self.model} ({config.model_type}) is not one of the video models {', '.join(KINDS)}; "
                "choose one of these, or HFImage for a model of images"
            )
        kind = KINDS[config.model_type]
        return read_files("video.model", self.model, kind, PROCESSORS, local_files_only=self.local_files_only)

    def probe(self, architecture: HFArchitecture, crop: int | None) -> Probe:
        """See `HFEncoder.probe`; the frames are as many as the model was trained with."""
        return probe_video(architecture.model_dump_json(), None, crop, self.pooling)

    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        """See `VideoEncoder.build`; `embed_dim` has no effect.

        Raises `ConfigError` if windows have not the number or size of frames that the model takes, or if the library is
        missing; `DataError` if the model's files are.
        """
        architecture = self.known_architecture()
        config = meta_model(architecture.model_dump_json()).config
        layout = LAYOUTS[architecture.kind]
        tubelet = _tubelet(config, layout)
        _check_frames(spec, config, layout, tubelet)
        time_T = frame_times(spec, "HFVideo").repeat_interleave(spec.burst)
        probe = probe_video(architecture.model_dump_json(), spec.images, spec.crop, self.pooling)
        time_M = time_T.view(-1, tubelet).mean(dim=1) if self.pooling == "mean" else time_T.mean().view(1)
        model = architecture.build()
        without_predictor(model)
        return HFVideoNet(
            model,
            Recolour(spec, architecture),
            probe,
            pooling=self.pooling,
            readout=self.readout,
            time_T=time_M,
            moments=len(time_M),
        )


class HFVideoNet(HFNet):
    """Frames [B, 3, T, H, W] -> features of moments [B, M, P] -> features of the window and its moments."""

    per_frame = False

    def model_features(self, video_B3THW: Tensor) -> Tensor:
        """See `FrozenFeatures.model_features`."""
        video_BT3HW = self.recolour(video_B3THW.transpose(1, 2))
        return features_of(self.model, video_BT3HW, self.pooling, self.moments)


def features_of(model: PreTrainedModel, video_BT3HW: Tensor, pooling: Pooling, moments: int) -> Tensor:
    """Compute the features [B, M, P] of `moments`. Raises `ConfigError` if the model has no such features."""
    kind = type(model).__name__
    layout = LAYOUTS[kind]
    output = model(video_BT3HW, **({"skip_predictor": True} if kind == "VJEPA2Model" else {}))
    if pooling == "model":
        return own_features(output, kind)[:, None]
    state_BNP: Tensor = output.last_hidden_state
    if pooling == "cls":
        if not layout.prefix:
            raise ConfigError(f"video.pooling: {kind} has no class token; choose mean")
        return state_BNP[:, :1]
    place_BNP = state_BNP[:, layout.prefix :]
    batch, _, dim = place_BNP.shape
    if layout.time_first:
        return place_BNP.reshape(batch, moments, -1, dim).mean(dim=2)
    return place_BNP.reshape(batch, -1, moments, dim).mean(dim=1)


def without_predictor(model: PreTrainedModel) -> None:
    """Remove the predictor of V-JEPA 2, which only its own training needs."""
    if type(model).__name__ == "VJEPA2Model":
        model.predictor = None


def _tubelet(config: PretrainedConfig, layout: Layout) -> int:
    """Return the number of frames of a token."""
    size = 1 if layout.tubelet is None else getattr(config, layout.tubelet)
    return int(size[0] if isinstance(size, (list, tuple)) else size)


def _check_frames(spec: VideoSpec, config: PretrainedConfig, layout: Layout, tubelet: int) -> None:
    """Raise `ConfigError` if windows have not the number or size of frames that a model takes."""
    own, crop = int(getattr(config, layout.frames)), side(getattr(config, layout.size))
    if not spec.frames:
        raise ConfigError(
            f"video.model: windows have no frames, and {config.model_type} takes {own} of {crop}^2 px; --set "
            f"data.frames={own} --set data.crop={crop} --set data.short_side={crop}"
        )
    fits = spec.images % tubelet == 0 if layout.any_number else spec.images == own
    if not fits:
        wanted = f"a multiple of {tubelet}" if layout.any_number else str(own)
        raise ConfigError(
            f"video.model: {config.model_type} takes {wanted} frames, and windows have {spec.images} (data.frames="
            f"{spec.frames} x data.burst={spec.burst}); --set data.frames={own} --set data.burst=1"
        )
    if spec.crop != crop:
        raise ConfigError(
            f"video.model: {config.model_type} takes frames of {crop}^2 px, and windows have {spec.crop}^2 px; "
            f"--set data.crop={crop}, and --set data.short_side={crop} or more"
        )


@lru_cache(maxsize=64)
def probe_video(architecture_json: str, frames: int | None, crop: int | None, pooling: Pooling) -> Probe:
    """Find out what a video model, an `HFArchitecture` as JSON, computes from frames of `crop` rows and columns.

    None is for the number or size of its own. Raises `ConfigError` if it has no such features.
    """
    model = meta_model(architecture_json)
    layout = LAYOUTS[type(model).__name__]
    frames = frames or int(getattr(model.config, layout.frames))
    crop = crop or side(getattr(model.config, layout.size))
    assert crop is not None
    video = torch.zeros(1, frames, 3, crop, crop, device="meta")
    try:
        x_1MP = features_of(model, video, pooling, frames // _tubelet(model.config, layout))
    except (ValueError, RuntimeError) as error:  # of the library and of torch
        architecture = HFArchitecture.model_validate_json(architecture_json)
        raise refused(architecture, "HFVideo", f"{frames} frames of {crop}^2 px", error) from error
    return Probe(x_1MP.shape[2], layout.prefix, 0, unused_weights(model, x_1MP))
