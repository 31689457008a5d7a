"""ResNet (He et al., 2015, arXiv:1512.03385) on single frames, as the transformers library builds it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from torch import nn

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.types import VideoSpec
from revalexo_clip.models.encoders.hf_architecture import HFArchitecture, read_files
from revalexo_clip.models.encoders.hf_base import HFEncoder, NumFrozen, Probe
from revalexo_clip.models.encoders.hf_image import PROCESSORS, build_frame_net, probe_images

if TYPE_CHECKING:
    from pydantic import JsonValue

PUBLISHED = "imagenet"
"""Value of `weights` for the weights that are published for the library."""
KIND = "ResNetModel"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the colours of ImageNet, which new weights expect."""

SIZES: dict[int, dict[str, JsonValue]] = {
    18: {"layer_type": "basic", "depths": [2, 2, 2, 2], "hidden_sizes": [64, 128, 256, 512]},
    34: {"layer_type": "basic", "depths": [3, 4, 6, 3], "hidden_sizes": [64, 128, 256, 512]},
    50: {"layer_type": "bottleneck", "depths": [3, 4, 6, 3], "hidden_sizes": [256, 512, 1024, 2048]},
}


class ResNetFrames(HFEncoder):
    """A ResNet of 18, 34 or 50 layers on each frame; its maps are averaged over the picture.

    Needs `pip install 'revalexo_clip[text]'`. Features are those of moments, see `HFImage`.
    """

    frozen: NumFrozen = 0
    """Number of blocks, counted from the input, that are not trained: the first convolution is one, and so is each of
    the four stages. `all` for the whole encoder."""
    size: Literal[18, 34, 50] = 18
    """Number of layers."""
    weights: str | None = PUBLISHED
    """`imagenet` (`microsoft/resnet-18` and the like), a folder or another name of a ResNet of this size for the
    transformers library, or none for new weights."""

    @property
    def source(self) -> str | None:
        """See `HFEncoder.source`."""
        return f"microsoft/resnet-{self.size}" if self.weights == PUBLISHED else self.weights

    @property
    def field(self) -> str:
        """See `HFEncoder.field`."""
        return "video.weights"

    def read_architecture(self) -> HFArchitecture:
        """See `HFEncoder.read_architecture`. Raises `ConfigError` if the files are of another size."""
        if self.source is None:
            config = cast("JsonObject", {"embedding_size": 64, **SIZES[self.size]})
            return HFArchitecture(kind=KIND, config=config, mean=MEAN, std=STD)
        found = read_files("video.weights", self.source, KIND, PROCESSORS, local_files_only=self.local_files_only)
        for name, value in SIZES[self.size].items():
            if found.config.get(name) != value:
                raise ConfigError(
                    f"video.weights: {self.source} is not a ResNet-{self.size}: its {name} is "
                    f"{found.config.get(name)}, not {value}; change video.size, or choose HFImage for any model"
                )
        return found

    def probe(self, architecture: HFArchitecture, crop: int | None) -> Probe:
        """See `HFEncoder.probe`."""
        return probe_images(architecture.model_dump_json(), crop, "model", type(self).__name__)

    def build(self, spec: VideoSpec, embed_dim: int) -> nn.Module:
        """See `VideoEncoder.build`; `embed_dim` has no effect. Raises what `HFImage.build` raises."""
        return build_frame_net(self, spec, "model")
