"""A loss of single moments: what a frame shows against the movement around it."""

from __future__ import annotations

from pydantic import PositiveFloat
from torch import Tensor

from revalexo_clip.losses.base import Loss, LossModule, Vector
from revalexo_clip.losses.info_nce import InfoNCE
from revalexo_clip.losses.overlap import Overlap


class PerFrame(Loss):
    """Compare the moments that have frames one by one, instead of windows: `PerFrame(loss=InfoNCE())`.

    The partner of a frame is the movement around its moment. Candidates are all moments of the batch, including other
    moments of the same window, so that place and person do not identify the partner. A frame does not show how the body
    moves, but where it is: the IMU encoder learns about activities.
    """

    loss: Loss = InfoNCE()
    """Loss of the moments; it must compare pooled embeddings, which are replaced by those of the moments."""
    gap: PositiveFloat = 0.5
    """Moments of a recording that are less than this apart are no negatives of each other [s]."""

    def build(self) -> LossModule:
        """See `Loss.build`. Raises `ValueError` if the loss does not compare IMU with video."""
        inner = self.loss.build()
        if inner.reads != ("imu", "video"):
            raise ValueError(f"PerFrame: {type(self.loss).__name__} must compare pooled embeddings of IMU and video")
        return PerFrameLoss(inner, self.gap)


class PerFrameLoss(LossModule):
    """See `PerFrame`. Vectors are [N, K d]: d values for each of K frames, unit vectors."""

    reads: tuple[Vector, Vector] = ("imu_frames", "video_frames")

    def __init__(self, inner: LossModule, gap: float) -> None:
        super().__init__()
        self.inner = inner
        self.gap = gap
        self.validated = inner.validated

    def forward(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None = None) -> Tensor:
        """See `LossModule.forward`. Raises `ValueError` without an overlap, which has the times of the frames."""
        return self.share(imu_ND, video_ND, overlap, slice(0, len(imu_ND)))

    def share(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None, rows: slice) -> Tensor:
        """See `LossModule.share`."""
        if overlap is None or not overlap.frame_times:
            raise ValueError("PerFrame needs to know the times of the frames, see Overlap.frame_times")
        frames = len(overlap.frame_times)
        own = slice(rows.start * frames, rows.stop * frames)
        return self.inner.share(*one_by_one(imu_ND, video_ND, frames), overlap.of_frames(self.gap), own)

    def update(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap) -> None:
        """See `LossModule.update`."""
        frames = len(overlap.frame_times)
        self.inner.update(*one_by_one(imu_ND, video_ND, frames), overlap.of_frames(self.gap))

    @property
    def temperature(self) -> Tensor:
        """See `LossModule.temperature`."""
        return self.inner.temperature

    def chance(self, overlap: Overlap) -> Tensor | None:
        """See `LossModule.chance`."""
        return self.inner.chance(overlap.of_frames(self.gap))


def one_by_one(imu_ND: Tensor, video_ND: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """Return [N K, d], the vectors of the moments of K frames, of two times [N, K d]."""
    return imu_ND.reshape(len(imu_ND) * frames, -1), video_ND.reshape(len(video_ND) * frames, -1)
