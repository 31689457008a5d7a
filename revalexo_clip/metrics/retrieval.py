"""Retrieval over a whole gallery: the rank of the partner of each window in the other modality.

R@k is the share of queries whose partner is among the k nearest, MRR the mean of 1 / rank. The metrics are those of
IMU2CLIP (Moon et al., 2022, arXiv:2210.14395), over the whole evaluation set rather than within batches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from revalexo_clip.core.component import JsonObject
from revalexo_clip.metrics.similarity import count_as_similar

BLOCK = 256

# Similarities closer than this count as equal. The same window embedded in batches of different sizes gives unit
# vectors whose similarities differ by up to 1e-7 (float32), so equal windows tie whatever the batch size. Different
# windows are further apart by orders of magnitude.
TIE = 1e-6
MICROSECOND = 1e-6


@dataclass(frozen=True)
class Scores:
    """Retrieval scores in one direction."""

    r_at_1: float
    r_at_5: float
    r_at_10: float
    mrr: float
    median_rank: float


@dataclass(frozen=True)
class Retrieval:
    """Scores in both directions, and chance level in galleries of these sizes."""

    imu_to_video: Scores
    video_to_imu: Scores
    chance: Scores
    gallery_size: float
    """Windows that a query is compared with, including its partner; the mean over queries if galleries differ."""

    def as_metrics(self) -> JsonObject:
        """Return the object `retrieval` of `metrics.json`."""
        return asdict(self)


@dataclass(frozen=True)
class Ranks:
    """Rank of each window's partner in its gallery, [N] int64 each; 1 is the nearest."""

    imu_to_video_N: Tensor
    video_to_imu_N: Tensor
    gallery_N: Tensor
    """Windows in the gallery."""
    answers_N: Tensor
    """Windows that count as the partner: one, or more if a tolerance includes neighbours in time."""


class Moments(NamedTuple):
    """Recording and time of N windows, and within which time two windows of a recording count as the same answer."""

    recording_N: Tensor
    time_N: Tensor
    """Start in the recording [s]."""
    tolerance: float
    """Two windows of a recording that start less than this apart are one answer [s]; with 0 all are different."""


def retrieve(imu_ND: Tensor, video_ND: Tensor, block: int = BLOCK) -> Retrieval:
    """Compute retrieval of N windows, each in the gallery of all N; see `partner_ranks` for arguments and errors."""
    return score(partner_ranks(imu_ND, video_ND, block))


def retrieve_within(imu_ND: Tensor, video_ND: Tensor, group_N: Tensor, block: int = BLOCK) -> Retrieval:
    """Compute retrieval of N windows, each in the gallery of its group, e.g. its subject. `group_N` is [N] integers.

    Chance is averaged over queries, because galleries of different sizes are not equally hard.
    """
    return score(partner_ranks_within(imu_ND, video_ND, group_N, block))


def partner_ranks(imu_ND: Tensor, video_ND: Tensor, block: int = BLOCK, moments: Moments | None = None) -> Ranks:
    """Rank the partners of N windows in both directions. Row i of each is the unit vector of window i.

    A partner is ranked after all others with the same similarity, so collapsed embeddings have the worst ranks.
    If several windows count as the partner because of `moments`, the most similar of them is ranked among the rest.
    `block` queries are compared with a part of the gallery at a time, so that memory grows with N, not with N squared.

    Raises `ValueError` for an empty gallery, rows that do not pair up, or embeddings that are not finite.
    """
    _check_pairs(imu_ND, video_ND)
    imu_ND, video_ND = _float64(imu_ND), _float64(video_ND)
    query_P, answer_P = (rows.to(imu_ND.device) for rows in _answers(len(imu_ND), moments))
    to_video_P = _similarity(imu_ND, video_ND, query_P, answer_P, block)
    to_imu_P = _similarity(video_ND, imu_ND, query_P, answer_P, block)
    least_video_N, least_imu_N = _best(to_video_P, query_P) - TIE, _best(to_imu_P, query_P) - TIE
    # Everything as similar as the best answer is ranked before it, except the answers themselves.
    imu_to_video_N = 1 - _count(to_video_P >= least_video_N[query_P], query_P)
    video_to_imu_N = 1 - _count(to_imu_P >= least_imu_N[query_P], query_P)
    found_imu_N, found_video_N = count_as_similar(imu_ND, video_ND, least_video_N, least_imu_N, block)
    imu_to_video_N += found_imu_N
    video_to_imu_N += found_video_N
    gallery_N = torch.full((len(imu_ND),), len(imu_ND))
    return Ranks(imu_to_video_N.cpu(), video_to_imu_N.cpu(), gallery_N, torch.bincount(query_P).cpu())


def partner_ranks_within(
    imu_ND: Tensor, video_ND: Tensor, group_N: Tensor, block: int = BLOCK, moments: Moments | None = None
) -> Ranks:
    """Rank partners as `partner_ranks`, each within the group of its window. `group_N` is [N] integers."""
    _check_pairs(imu_ND, video_ND)
    if group_N.shape != imu_ND.shape[:1]:
        raise ValueError(f"{len(imu_ND)} windows need a group each, not {list(group_N.shape)}")
    found_4N = torch.zeros(4, len(imu_ND), dtype=torch.int64)
    order_N = torch.argsort(group_N, stable=True).cpu()
    _, count_G = torch.unique(group_N, return_counts=True)
    for rows in torch.split(order_N, count_G.tolist()):
        own = rows.to(imu_ND.device)
        when = moments and Moments(
            moments.recording_N[rows.to(moments.recording_N.device)],
            moments.time_N[rows.to(moments.time_N.device)],
            moments.tolerance,
        )
        of = partner_ranks(imu_ND[own], video_ND[own], block, when)
        found_4N[:, rows] = torch.stack([of.imu_to_video_N, of.video_to_imu_N, of.gallery_N, of.answers_N])
    return Ranks(*found_4N)


def score(ranks: Ranks, rows: Sequence[int] | Tensor | None = None) -> Retrieval:
    """Compute the metrics over some queries, or over all of them."""
    if rows is None:
        rows = range(len(ranks.gallery_N))
    of = torch.as_tensor(rows)
    gallery_M = ranks.gallery_N[of]
    return Retrieval(
        imu_to_video=_scores(ranks.imu_to_video_N[of]),
        video_to_imu=_scores(ranks.video_to_imu_N[of]),
        chance=expected_scores(gallery_M, ranks.answers_N[of]),
        gallery_size=_size(gallery_M),
    )


def chance(gallery_size: int) -> Scores:
    """Return the expected scores if all ranks from 1 to `gallery_size` are equally likely."""
    return expected_scores(torch.tensor([gallery_size]), torch.tensor([1]))


def expected_scores(gallery_N: Tensor, answers_N: Tensor) -> Scores:
    """Return the expected scores of queries with galleries in random order; the median is that of all ranks.

    Of n windows in random order, of which m are answers, the first answer is at rank r with probability
    C(n - r, m - 1) / C(n, m).
    """
    share_R = torch.zeros(int(gallery_N.max()), dtype=torch.float64)
    queries = Counter(zip(gallery_N.tolist(), answers_N.tolist(), strict=True))
    for (size, answers), count in queries.items():
        earlier_r = torch.arange(1, size - answers + 1, dtype=torch.float64)
        falling_r = (size - earlier_r - answers + 1) / (size - earlier_r)
        first_R = torch.cat([torch.ones(1, dtype=torch.float64), falling_r.cumprod(dim=0)]) * answers / size
        share_R[: len(first_R)] += first_R * count / len(gallery_N)
    recall_at_1, recall_at_5, recall_at_10 = (min(share_R[:k].sum().item(), 1.0) for k in (1, 5, 10))
    mrr = (share_R / torch.arange(1, len(share_R) + 1)).sum().item()
    below_R = share_R.cumsum(dim=0)
    median = 1 + ((below_R < 0.5 - 1e-9).sum().item() + (below_R <= 0.5 + 1e-9).sum().item()) / 2
    return Scores(recall_at_1, recall_at_5, recall_at_10, mrr, median)


def _check_pairs(imu_ND: Tensor, video_ND: Tensor) -> None:
    if imu_ND.shape != video_ND.shape or imu_ND.ndim != 2 or len(imu_ND) == 0:
        raise ValueError(f"no gallery of pairs: {list(imu_ND.shape)} of IMU, {list(video_ND.shape)} of video")
    for modality, embedding_ND in (("IMU", imu_ND), ("video", video_ND)):
        broken = (~embedding_ND.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if broken:
            raise ValueError(
                f"{len(broken)} {modality} embeddings are not finite, the first is that of row {broken[0]}"
            )


def _answers(count: int, moments: Moments | None) -> tuple[Tensor, Tensor]:
    """Return P pairs of a window and one that counts as its partner: itself, and its neighbours in time."""
    own_N = torch.arange(count)
    if moments is None:
        return own_N, own_N
    recording_N, time_N = moments.recording_N.cpu(), moments.time_N.cpu()
    order_N = torch.argsort(time_N, stable=True)
    order_N = order_N[torch.argsort(recording_N[order_N], stable=True)]
    queries, answers = [own_N], [own_N]
    for step in range(1, count):
        before_M, after_M = order_N[:-step], order_N[step:]
        apart_M = time_N[after_M] - time_N[before_M]
        near_M = (recording_N[before_M] == recording_N[after_M]) & (apart_M < moments.tolerance - MICROSECOND)
        if not near_M.any():
            break
        queries += [before_M[near_M], after_M[near_M]]
        answers += [after_M[near_M], before_M[near_M]]
    return torch.cat(queries), torch.cat(answers)


def _similarity(query_ND: Tensor, gallery_ND: Tensor, query_P: Tensor, answer_P: Tensor, block: int) -> Tensor:
    pieces = zip(torch.split(query_P, 64 * block), torch.split(answer_P, 64 * block), strict=True)
    return torch.cat([(query_ND[query] * gallery_ND[answer]).sum(dim=1) for query, answer in pieces])


def _best(similarity_P: Tensor, query_P: Tensor) -> Tensor:
    best_N = similarity_P.new_full((int(query_P.max()) + 1,), -torch.inf)
    return best_N.scatter_reduce(0, query_P, similarity_P, "amax")


def _count(holds_P: Tensor, query_P: Tensor) -> Tensor:
    return torch.bincount(query_P[holds_P], minlength=int(query_P.max()) + 1)


def _size(gallery_N: Tensor) -> float:
    smallest, largest = int(gallery_N.min()), int(gallery_N.max())
    return smallest if smallest == largest else gallery_N.double().mean().item()


def _scores(rank_N: Tensor) -> Scores:
    rank_N = rank_N.double()
    recall_at_1, recall_at_5, recall_at_10 = ((rank_N <= k).double().mean().item() for k in (1, 5, 10))
    mrr = rank_N.reciprocal().mean().item()
    return Scores(recall_at_1, recall_at_5, recall_at_10, mrr, median_rank=_median(rank_N))


def _median(rank_N: Tensor) -> float:
    """Compute the middle value, or the mean of the two middle values."""
    ordered_N, middle = rank_N.sort().values, len(rank_N) // 2
    return (ordered_N[middle] + ordered_N[-middle - 1]).item() / 2


def _float64(embedding_ND: Tensor) -> Tensor:
    has_float64 = embedding_ND.device.type != "mps"
    return embedding_ND.detach().to(embedding_ND.device if has_float64 else "cpu", torch.float64)
