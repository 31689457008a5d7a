"""What the encoders share that are models of the transformers library: weights, freezing, and features of moments."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from revalexo_clip.core.errors import DataError
from revalexo_clip.models.encoders.base import Encoder, VideoEncoder
from revalexo_clip.models.encoders.frozen import FrozenFeatures
from revalexo_clip.models.encoders.hf_architecture import HFArchitecture, Recolour
from revalexo_clip.models.encoders.readout import Readout, readout_dim
from revalexo_clip.models.hugging_face import loading, read_weights, require_transformers
from revalexo_clip.models.sequence import Encoded

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger("revalexo_clip")

NumFrozen = Annotated[int, Field(ge=0, strict=True)] | Literal["all"]
Pooling = Literal["model", "cls", "mean"]


class HFEncoder(VideoEncoder):
    """Base class of video encoders that are models of the transformers library.

    The features of a window are those of the model. Nothing is trained behind them but the projection heads.
    """

    frozen: NumFrozen = "all"
    """`all`: the model is not trained. 0: it is trained, without dropout. A number: so many of its blocks, counted from
    the input, are not trained: the embedding of patches is a block, and so is each layer."""
    readout: Literal["mean", "statistics"] = "mean"
    """What the features of a window are: the `mean` of those of its moments; or `statistics`, four times as many: mean,
    standard deviation and maximum, and the mean over the last quarter."""
    local_files_only: bool = False
    """Read only local files and the library's cache, and never ask the network."""
    architecture: HFArchitecture | None = None
    """The model's configuration and colours; null reads them from its files. Checkpoints and exported encoders have
    them, so that those can be read without the files."""

    @abstractmethod
    def read_architecture(self) -> HFArchitecture:
        """Read the architecture from the model's files. Raises `DataError` if they are missing or wrong."""

    @property
    @abstractmethod
    def source(self) -> str | None:
        """Name or folder of the model whose weights are loaded when training starts; None for new weights."""

    @property
    @abstractmethod
    def field(self) -> str:
        """The field of the experiment that names the model."""

    @abstractmethod
    def probe(self, architecture: HFArchitecture, crop: int | None) -> Probe:
        """Find out what the model computes from frames of `crop` rows and columns; of its own size if that is None."""

    def known_architecture(self) -> HFArchitecture:
        """Return the architecture, read from files unless it is given."""
        require_transformers("video", type(self).__name__)
        return self.architecture or self.read_architecture()

    def self_contained(self) -> Self:
        """See `Encoder.self_contained`."""
        return self.model_copy(update={"architecture": self.known_architecture()})

    def or_as_kept(self, kept: Encoder) -> Self:
        """See `Encoder.or_as_kept`: the architecture."""
        if self.architecture is not None or not isinstance(kept, type(self)) or kept.source != self.source:
            return self
        try:
            self.read_architecture()
        except DataError as error:
            log.info("video  %s; it is rebuilt from the checkpoint", str(error).partition("\n")[0])
            return self.model_copy(update={"architecture": kept.architecture})
        return self

    def feature_dim(self, embed_dim: int) -> int:
        """See `Encoder.feature_dim`: the number of features of the model, or four times as many."""
        dim = self.probe(self.known_architecture(), None).model_dim
        return dim if self.readout == "mean" else readout_dim("statistics", dim)

    def blocks(self, module: nn.Module) -> list[nn.Module]:
        """See `Encoder.blocks`: what precedes the layers of the model, each layer, and what follows them."""
        assert isinstance(module, HFNet)
        *parts, last = _in_blocks(module.model)
        rest = [child for child in module.children() if child is not module.model]
        return [*parts, nn.ModuleList([last, *rest])]

    def load_pretrained(self, module: nn.Module) -> None:
        """See `VideoEncoder.load_pretrained`."""
        assert isinstance(module, HFNet)
        if self.source is None:
            return
        with loading(self.field, self.source, "config.json and model.safetensors"):
            missing = read_weights(module.model, self.source, local_files_only=self.local_files_only)
        weights = module.model.state_dict()
        if used := [name for name in weights if name in missing and name not in module.unused]:
            raise DataError(
                f"{self.field}: {self.source} lacks weights that video.pooling={module.pooling} uses: "
                f"{', '.join(used)}\nTake a model that has them, or another video.pooling, such as mean"
            )
        for name in missing:
            weights[name].zero_()  # instead of numbers that would differ from run to run


class Probe(NamedTuple):
    """What a model computes from frames of a certain size."""

    model_dim: int
    """P, the number of features."""
    prefix: int
    """Number of tokens before those of patches."""
    tokens: int
    """Number of all tokens; 0 if the model gives maps."""
    unused: frozenset[str]
    """Names of the weights that the features do not depend on."""


class HFNet(FrozenFeatures):
    """A model of the library, and how its features become those of windows and of their moments."""

    unused: frozenset[str] = frozenset()
    """Names of the model's weights that the features do not depend on; they are not trained."""

    def __init__(
        self,
        model: PreTrainedModel,
        recolour: Recolour,
        probe: Probe,
        *,
        pooling: Pooling,
        readout: Literal["mean", "statistics"],
        time_T: Tensor,
        moments: int,
    ) -> None:
        """Build it for features of moments at `time_T` [s]; the model gives features of `moments`, bursts included."""
        super().__init__()
        self.model = model
        self.recolour = recolour
        self.pooling = pooling
        self.prefix = probe.prefix
        self.moments = moments
        self.model_dim = self.sequence_dim = probe.model_dim
        if self.per_frame:
            self.frame_times, self.frame_dim = tuple(time_T.tolist()), probe.model_dim
        self.readout = Readout() if readout == "statistics" else MeanOverTime()
        self.register_buffer("time_T", time_T.float(), persistent=False)
        self.unused = probe.unused
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(name not in probe.unused)  # DDP waits for the gradients of all others

    def from_features(self, x_BMP: Tensor) -> Encoded:
        """See `FrozenFeatures.from_features`; the frames of a burst are averaged."""
        x_BMP = x_BMP.to(torch.promote_types(x_BMP.dtype, torch.float32))
        batch, moments, dim = x_BMP.shape[0], self.time_T.shape[0], x_BMP.shape[2]
        sequence_BTP = x_BMP.reshape(batch, moments, -1, dim).mean(dim=2)
        features_BF: Tensor = self.readout(sequence_BTP.transpose(1, 2))
        return Encoded(features_BF, sequence_BTP)


class MeanOverTime(nn.Module):
    """Feature maps [B, W, T] -> [B, W]."""

    def forward(self, x_BWT: Tensor) -> Tensor:
        """Average over time."""
        return x_BWT.mean(dim=2)


def unused_weights(model: nn.Module, features: Tensor) -> frozenset[str]:
    """Return the names of the weights of a model that `features` do not depend on."""
    named = dict(model.named_parameters())
    gradients = torch.autograd.grad(features.sum(), list(named.values()), allow_unused=True)
    return frozenset(name for name, gradient in zip(named, gradients, strict=True) if gradient is None)


def _in_blocks(model: nn.Module) -> list[nn.Module]:
    """Divide a model into what precedes its layers, each layer, and what follows them.

    The layers are the outermost list of modules that has most weights. A model without such a list, or with weights of
    its own beside its modules, is a single block.
    """
    lists = [module for module in _outermost_lists(model) if len(module) > 1]
    if not lists:
        return [model]
    layers = max(lists, key=lambda each: sum(parameter.numel() for parameter in each.parameters()))
    before: list[nn.Module] = []
    after: list[nn.Module] = []
    current = before
    path: nn.Module = model
    while path is not layers:
        if path._parameters:
            return [model]
        inner = next(child for child in path.children() if any(module is layers for module in child.modules()))
        index = list(path.children()).index(inner)
        before += list(path.children())[:index]
        after = [*list(path.children())[index + 1 :], *after]
        path = inner
    assert current is before
    return [nn.ModuleList(before), *layers.children(), nn.ModuleList(after)]


def _outermost_lists(module: nn.Module) -> Iterator[nn.ModuleList]:
    for child in module.children():
        if isinstance(child, nn.ModuleList):
            yield child
        else:
            yield from _outermost_lists(child)
