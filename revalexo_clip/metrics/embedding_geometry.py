"""Geometry of the embeddings in the shared space.

Alignment and uniformity are those of Wang & Isola (2020, arXiv:2005.10242), the modality gap is that of Liang et al.
(2022, arXiv:2203.02053), the effective rank that of Roy & Vetterli (2007), as RankMe uses it (Garrido et al., 2023,
arXiv:2210.02885).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from revalexo_clip.core.component import JsonObject

MOST = 10_000
"""Largest number of windows for uniformity; of more windows, an evenly spaced selection is used."""


def geometry(imu_ND: Tensor, video_ND: Tensor) -> JsonObject:
    """Compute the object `geometry` of `metrics.json` from unit vectors of N windows.

    If `video_ND` is [N, 0], only IMU is measured; what compares it with video is None.
    """
    imu_ND, video_ND = imu_ND.double(), video_ND.double()
    if not video_ND.shape[1]:
        return {
            "alignment": None,
            "uniformity": {"imu": uniformity(imu_ND)},
            "modality_gap": None,
            "effective_rank": {"imu": effective_rank(imu_ND)},
            "dimensions": imu_ND.shape[1],
        }
    return {
        "alignment": (imu_ND - video_ND).square().sum(dim=1).mean().item(),
        "uniformity": {"imu": uniformity(imu_ND), "video": uniformity(video_ND)},
        "modality_gap": (imu_ND.mean(dim=0) - video_ND.mean(dim=0)).norm().item(),
        "effective_rank": {"imu": effective_rank(imu_ND), "video": effective_rank(video_ND)},
        "dimensions": imu_ND.shape[1],
    }


def uniformity(embedding_ND: Tensor, block: int = 1000) -> float | None:
    """Compute the logarithm of the mean of exp(-2 |x - y|^2) over pairs of windows; None if there is no pair."""
    count = min(len(embedding_ND), MOST)
    if count < 2:
        return None
    x_MD = embedding_ND[torch.linspace(0, len(embedding_ND) - 1, count, dtype=torch.float64).round().long()]
    total = 0.0
    for start in range(0, count, block):
        closeness_BL = (x_MD[start : start + block] @ x_MD[start:].T).sub_(1).mul_(4).clamp_(max=0).exp_()
        # Pairs within a block are counted twice, pairs of a block and a later one once.
        total += (2 * closeness_BL.sum() - closeness_BL[:, :block].sum()).item()
    return math.log((total - count) / (count * (count - 1)))  # without the distance of each window to itself


def effective_rank(embedding_ND: Tensor) -> float:
    """Compute the number of equally strong directions with the same entropy, from 1 to D."""
    strength_D = torch.linalg.eigvalsh(embedding_ND.T @ embedding_ND).clamp(min=0).sqrt()
    share_D = strength_D / strength_D.sum()
    return float(torch.special.entr(share_D).sum().exp())
