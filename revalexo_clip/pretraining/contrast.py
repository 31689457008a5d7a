"""The contrastive loss of one batch: which vectors are compared, and what each process computes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.losses import LossModule, Overlap, Vector
from revalexo_clip.losses.terms import chances, kinds_read, shares, weighted_sum
from revalexo_clip.training.distributed import gather_with_gradient, rank, world_size

Vectors = dict[Vector, Tensor]
"""Unit vectors of the same windows, [B, D] of each kind; D differs between kinds."""

POOLED: tuple[Vector, Vector] = ("imu", "video")
TOKENS: tuple[Vector, Vector] = ("imu_tokens", "video_tokens")
FRAMES: tuple[Vector, Vector] = ("imu_frames", "video_frames")


def retrieval_kinds(vectors: Mapping[Vector, Tensor]) -> tuple[Vector, ...]:
    """Return the kinds of vectors that retrieval compares: tokens if the model gives them, else pooled embeddings.

    Of IMU alone, which is not retrieved, they are the embeddings of IMU.
    """
    if TOKENS[0] in vectors:
        return TOKENS
    return POOLED if POOLED[1] in vectors else POOLED[:1]


class Contrast:
    """The loss of a training batch, of which each process computes the share of its own windows.

    `own` is the place in time of this process's windows, `sizes` are the numbers of windows of all processes.
    """

    def __init__(self, loss: LossModule, own: Overlap, sizes: Sequence[int]) -> None:
        self.loss = loss
        self.overlap = own
        """Place in time of the windows: of all of them, once their vectors are gathered."""
        self.sizes = sizes
        first = sum(sizes[: rank()])
        self.rows = slice(first, first + sizes[rank()])
        self.vectors: Vectors = {}
        """The vectors of all windows, detached, [N, D] of each kind that the loss or retrieval reads."""
        self.shares: dict[str, Tensor] = {}
        """The share of each term, not weighted, [], detached."""

    def __call__(self, own: Mapping[Vector, Tensor]) -> Tensor:
        """Compute what this process backpropagates: its share of the loss, times the number of processes.

        `own` are the vectors of this process's windows. The mean of the gradients over processes, as DDP takes it, is
        then the gradient of the loss. Vectors that no term reads get a gradient of 0, so that all processes have
        gradients of the same parameters. Call it once.
        """
        vectors = self._gather({kind: own[kind] for kind in own if kind in {*self._read, *retrieval_kinds(own)}})
        self.vectors = {kind: x_ND.detach() for kind, x_ND in vectors.items()}
        found = shares(self.loss, vectors, self.overlap, self.rows)
        self.shares = {name: share.detach() for name, share in found.items()}
        total = weighted_sum(self.loss, found)
        assert total is not None
        return world_size() * total + torch.stack([0 * x_BD.sum() for x_BD in own.values()]).sum()

    def chances(self) -> dict[str, Tensor | None]:
        """Return the loss of chance of each term; call it before `update`."""
        return chances(self.loss, self.vectors, self.overlap)

    def update(self) -> None:
        """Let each term take note of the vectors, after the optimizer's step."""
        for _, term in self.loss.terms().values():
            one, other = (self.vectors[kind] for kind in term.reads)
            term.update(one, other, self.overlap)

    @property
    def _read(self) -> tuple[Vector, ...]:
        return kinds_read(self.loss)

    def _gather(self, own: Vectors) -> Vectors:
        """Gather vectors and places in time of all processes in one operation.

        Places travel as the bits of further columns, which have no gradient.
        """
        if world_size() == 1:
            return own
        packed = torch.cat(list(own.values()), dim=1)
        widths = [x_BD.shape[1] for x_BD in own.values()]
        where = self.overlap
        moment_B2 = torch.stack([where.recording_N.long(), where.time_N.double().view(torch.int64)], dim=1)
        bits_BC = moment_B2.view(packed.dtype)
        gathered = gather_with_gradient(torch.cat([packed, bits_BC], dim=1), self.sizes)
        *vectors, bits_NC = torch.split(gathered, [*widths, bits_BC.shape[1]], dim=1)
        recording_N, time_N = bits_NC.detach().contiguous().view(torch.int64).unbind(1)
        self.overlap = replace(where, recording_N=recording_N, time_N=time_N.contiguous().view(torch.float64))
        return dict(zip(own, vectors, strict=True))


def check_vectors(loss: LossModule, *, tokens: bool, frame_tokens: bool = False) -> None:
    """Raise `ConfigError` if a loss and a model do not fit; the flags are whether the model gives these vectors."""
    read = kinds_read(loss)
    for kinds, setting, gives, term in (
        (TOKENS, "tokens", tokens, 'InfoNCE(on="tokens")'),
        (FRAMES, "frame_tokens", frame_tokens, "PerFrame(loss=InfoNCE())"),
    ):
        reads = any(kind in kinds for kind in read)
        if reads and not gives:
            raise ConfigError(f"loss: a term such as {term} needs a model that gives {setting}; set {setting}=...")
        if gives and not reads:
            raise ConfigError(f"{setting}: no term of the loss reads them; add {term}, or set {setting}=none")
