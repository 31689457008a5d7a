"""Video networks whose frozen part is computed once for each frame, or for each window of a grid, and kept."""

from __future__ import annotations

from abc import abstractmethod

from torch import Tensor

from revalexo_clip.models.sequence import Encoded, SequenceNet


class FrozenFeatures(SequenceNet):
    """Base class of video networks of two parts: a model that may be frozen, and what is computed from its features.

    The features of a model that is frozen do not change during training. They can be computed once and kept.
    """

    per_frame: bool
    """Whether the features of a frame depend on that frame alone, so that they can be kept for each frame of a clip.
    Otherwise they depend on all frames of a window, and are kept for windows that start at certain times."""
    moments: int
    """M, the number of moments whose features the model gives for a window; T if `per_frame`."""
    model_dim: int
    """P, the number of features that the model gives for each moment."""

    @abstractmethod
    def model_features(self, video_B3THW: Tensor) -> Tensor:
        """Compute the features of the model, [B, M, P], of video windows in normalised colour.

        If `per_frame`, any number of frames T can be given, and M is T.
        """

    @abstractmethod
    def from_features(self, x_BMP: Tensor) -> Encoded:
        """Compute features of windows and of their moments from those of `model_features`, [B, M, P]."""

    def encode(self, *inputs: Tensor) -> Encoded:
        """See `SequenceNet.encode`; the input is video windows in normalised colour."""
        return self.from_features(self.model_features(inputs[0]))
