"""Retrieval over a whole gallery: for each window of one modality, at which rank its partner in the other is found.

R@k is the share of queries whose partner is among the k nearest, MRR the mean of 1 / rank. The measures are those of
IMU2CLIP (Moon et al., 2022, arXiv:2210.14395), over the whole evaluation set rather than within batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor

from revalexo_clip.component import JsonObject

BLOCK = 256

# Similarities closer than this are equal. One window embedded in batches of other sizes gives unit vectors whose
# similarities differ by up to 1e-7 (float32), so equal windows tie however they were batched; windows that differ are
# further apart by orders of magnitude.
TIE = 1e-6


@dataclass(frozen=True)
class Scores:
    """How well queries find their partners."""

    r_at_1: float
    r_at_5: float
    r_at_10: float
    mrr: float
    median_rank: float


@dataclass(frozen=True)
class Retrieval:
    """Both directions, and what guessing would give in a gallery of this size."""

    imu_to_video: Scores
    video_to_imu: Scores
    chance: Scores
    gallery_size: int

    def as_metrics(self) -> JsonObject:
        """The object `retrieval` of `metrics.json`."""
        return asdict(self)


@dataclass(frozen=True)
class Ranks:
    """The rank of each window's partner among all N windows, 1 being the nearest, [N] int64 each."""

    imu_to_video_N: Tensor
    video_to_imu_N: Tensor


def retrieve(imu_ND: Tensor, video_ND: Tensor, block: int = BLOCK) -> Retrieval:
    """Retrieval of N windows, each against the gallery of all N; `partner_ranks` says what is expected and raised."""
    return _score(partner_ranks(imu_ND, video_ND, block))


def retrieve_by_subject(
    imu_ND: Tensor, video_ND: Tensor, subject_N: Sequence[str], block: int = BLOCK
) -> dict[str, Retrieval]:
    """Retrieval of each subject's windows, still against the gallery of all N. `subject_N` says whose each one is."""
    ranks = partner_ranks(imu_ND, video_ND, block)
    rows: dict[str, list[int]] = {subject: [] for subject in sorted(set(subject_N))}
    for row, subject in zip(range(len(imu_ND)), subject_N, strict=True):
        rows[subject].append(row)
    return {subject: _score(ranks, own) for subject, own in rows.items()}


def partner_ranks(imu_ND: Tensor, video_ND: Tensor, block: int = BLOCK) -> Ranks:
    """Rank the partners of N windows in both directions. Row i of each is the unit vector of window i.

    A partner comes after all others that are as similar as it is, so embeddings that are all alike find nothing.
    `block` queries are compared at a time: memory grows with N and not with its square.

    Raises `ValueError` for an empty gallery, rows that do not pair up, or embeddings that are not finite.
    """
    if imu_ND.shape != video_ND.shape or imu_ND.ndim != 2 or len(imu_ND) == 0:
        raise ValueError(f"no gallery of pairs: {list(imu_ND.shape)} of IMU, {list(video_ND.shape)} of video")
    for modality, embedding_ND in (("IMU", imu_ND), ("video", video_ND)):
        broken = (~embedding_ND.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if broken:
            raise ValueError(
                f"{len(broken)} {modality} embeddings are not finite, the first is that of row {broken[0]}"
            )
    imu_ND, video_ND = _float64(imu_ND), _float64(video_ND)
    least_N = (imu_ND * video_ND).sum(dim=1) - TIE
    imu_to_video_N = torch.zeros_like(least_N, dtype=torch.int64)
    video_to_imu_N = torch.zeros_like(imu_to_video_N)
    for start in range(0, len(imu_ND), block):
        rows = slice(start, start + block)
        similarity_BN = imu_ND[rows] @ video_ND.T
        # A window's own partner is among those counted: nobody before it makes rank 1.
        imu_to_video_N[rows] = (similarity_BN >= least_N[rows, None]).sum(dim=1)
        video_to_imu_N += (similarity_BN >= least_N).sum(dim=0)
    return Ranks(imu_to_video_N.cpu(), video_to_imu_N.cpu())


def chance(gallery_size: int) -> Scores:
    """What is expected where every rank from 1 to `gallery_size` is as likely as any other."""
    recall_at_1, recall_at_5, recall_at_10 = (min(k, gallery_size) / gallery_size for k in (1, 5, 10))
    mrr = sum(1 / rank for rank in range(1, gallery_size + 1)) / gallery_size
    return Scores(recall_at_1, recall_at_5, recall_at_10, mrr, median_rank=(gallery_size + 1) / 2)


def _score(ranks: Ranks, queries: Sequence[int] | None = None) -> Retrieval:
    """The measures over some queries, or over all of them."""
    gallery_size = len(ranks.imu_to_video_N)
    rows = list(range(gallery_size) if queries is None else queries)
    return Retrieval(
        imu_to_video=_measures(ranks.imu_to_video_N[rows]),
        video_to_imu=_measures(ranks.video_to_imu_N[rows]),
        chance=chance(gallery_size),
        gallery_size=gallery_size,
    )


def _measures(rank_N: Tensor) -> Scores:
    rank_N = rank_N.double()
    recall_at_1, recall_at_5, recall_at_10 = ((rank_N <= k).double().mean().item() for k in (1, 5, 10))
    mrr = rank_N.reciprocal().mean().item()
    return Scores(recall_at_1, recall_at_5, recall_at_10, mrr, median_rank=_median(rank_N))


def _median(rank_N: Tensor) -> float:
    """The middle, or the mean of the two middle ones."""
    ordered_N, middle = rank_N.sort().values, len(rank_N) // 2
    return (ordered_N[middle] + ordered_N[-middle - 1]).item() / 2


def _float64(embedding_ND: Tensor) -> Tensor:
    has_float64 = embedding_ND.device.type != "mps"
    return embedding_ND.detach().to(embedding_ND.device if has_float64 else "cpu", torch.float64)
