"""Plain contrastive losses, computed pair by pair, and embeddings to test them."""

from __future__ import annotations

import torch
from torch import Tensor

from revalexo_clip.losses import Overlap

WINDOW = 2.0


def unit(count: int, dim: int, seed: int) -> Tensor:
    x_ND = torch.randn(count, dim, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return torch.nn.functional.normalize(x_ND, dim=1)


def moments(count: int) -> Overlap:
    """Windows of two clips, many of which overlap."""
    generator = torch.Generator().manual_seed(3)
    clip_N = torch.randint(0, 2, (count,), generator=generator)
    return Overlap(clip_N, 8 * torch.rand(count, generator=generator, dtype=torch.float64), WINDOW)


def candidates(overlap: Overlap | None, count: int) -> list[list[int]]:
    """Return the partner and the negatives of each window."""
    if overlap is None:
        return [list(range(count)) for _ in range(count)]
    clips, starts = overlap.recording_N.tolist(), overlap.time_N.tolist()
    return [
        [j for j in range(count) if j == i or clips[i] != clips[j] or abs(starts[i] - starts[j]) >= WINDOW]
        for i in range(count)
    ]


def plain_info_nce(
    imu_ND: Tensor,
    video_ND: Tensor,
    scale: Tensor,
    overlap: Overlap | None,
    *,
    direction: str = "both",
    smoothing: float = 0.0,
) -> Tensor:
    """Cross-entropy of a classification among the candidates, averaged over windows and directions."""
    count = len(imu_ND)
    ways = {"imu_to_video": (imu_ND, video_ND), "video_to_imu": (video_ND, imu_ND)}
    costs = []
    for query_ND, gallery_ND in ways.values() if direction == "both" else [ways[direction]]:
        for i, rivals in enumerate(candidates(overlap, count)):
            logits = torch.stack([scale * (query_ND[i] * gallery_ND[j]).sum() for j in rivals])
            target = torch.full((len(rivals),), smoothing / len(rivals), dtype=torch.float64)
            target[rivals.index(i)] += 1 - smoothing
            costs.append(-(target * logits.log_softmax(0)).sum())
    return torch.stack(costs).mean()


def plain_siglip(
    imu_ND: Tensor, video_ND: Tensor, scale: Tensor, bias: Tensor, overlap: Overlap | None, *, smoothing: float = 0.0
) -> Tensor:
    """Cross-entropy of a yes or no for every pair, summed over a window's candidates, averaged over windows."""
    total = torch.zeros((), dtype=torch.float64)
    for i, rivals in enumerate(candidates(overlap, len(imu_ND))):
        for j in rivals:
            yes = torch.sigmoid(scale * (imu_ND[i] * video_ND[j]).sum() + bias)
            target = (1 - smoothing) * (i == j) + smoothing / 2
            total = total - target * yes.log() - (1 - target) * (1 - yes).log()
    return total / len(imu_ND)


def plain_nearest_neighbours(
    imu_ND: Tensor,
    video_ND: Tensor,
    scale: Tensor,
    overlap: Overlap | None,
    queue: list[tuple[Tensor, Tensor, int, float]],
) -> Tensor:
    """Cross-entropy of the search with the nearest neighbour in place of the window, averaged over both directions.

    `queue` has the IMU, the video, the recording and the start of windows of earlier batches.
    """
    found = []
    entries = [((imu_D, video_D), recording, start) for imu_D, video_D, recording, start in queue]
    for side, (query_ND, gallery_ND) in enumerate([(imu_ND, video_ND), (video_ND, imu_ND)]):
        for i, rivals in enumerate(candidates(overlap, len(imu_ND))):
            allowed = [
                entry[side]
                for entry, recording, start in entries
                if overlap is None
                or recording != overlap.recording_N[i]
                or abs(start - float(overlap.time_N[i])) >= WINDOW
            ]
            similar = [float(entry_D @ query_ND[i].detach()) for entry_D in allowed]
            nearest = allowed[similar.index(max(similar))] if allowed else query_ND[i].detach()
            logits = torch.stack([scale * (nearest * gallery_ND[j]).sum() for j in rivals])
            found.append(-logits.log_softmax(0)[rivals.index(i)])
    return torch.stack(found).mean()


def plain_queue_distillation(
    imu_ND: Tensor, video_ND: Tensor, queue: Tensor, *, student: float, teacher: float
) -> Tensor:
    """Cross-entropy of the IMU's distribution over the own video and a queue of videos, under that of the video."""
    costs = []
    for imu_D, video_D in zip(imu_ND, video_ND, strict=True):
        entries = [video_D.detach(), *queue]
        target = torch.stack([entry_D @ video_D.detach() for entry_D in entries]).div(teacher).softmax(0)
        found = torch.stack([entry_D @ imu_D for entry_D in entries]).div(student).log_softmax(0)
        costs.append(-(target * found).sum())
    return torch.stack(costs).mean()


def plain_temporal_contrast(
    x_ND: Tensor, scale: Tensor, overlap: Overlap, *, near: float = 2.0, far: float = 3.0
) -> Tensor:
    """Mean cost of the partners of a window among its partners and negatives, averaged over windows that have both."""
    recordings, starts = overlap.recording_N.tolist(), overlap.time_N.tolist()
    costs = []
    for i, (recording, start) in enumerate(zip(recordings, starts, strict=True)):
        apart = {
            j: round(abs(starts[j] - start), 6) for j in range(len(starts)) if j != i and recordings[j] == recording
        }
        partners = [j for j, seconds in apart.items() if seconds <= near]
        negatives = [j for j, seconds in apart.items() if seconds >= far]
        if partners and negatives:
            logits = {j: scale * (x_ND[i] * x_ND[j]).sum() for j in partners + negatives}
            total = torch.stack(list(logits.values())).exp().sum().log()
            costs.append(torch.stack([total - logits[j] for j in partners]).mean())
    return torch.stack(costs).mean()


def plain_text_contrast(
    x_ND: Tensor, text_NE: Tensor, scale: Tensor, overlap: Overlap | None, direction: str = "both"
) -> Tensor:
    """The loss between windows and sentences, whose last column is the number of their meaning, -1 for none."""
    y_ND, meaning = text_NE[:, :-1], text_NE[:, -1].tolist()
    there = [row for row in range(len(x_ND)) if meaning[row] >= 0]
    shared = torch.zeros(len(x_ND), len(x_ND)) if overlap is None else overlap.rows(slice(None))
    costs = []
    for name, (query, other) in {"to_text": (x_ND, y_ND), "from_text": (y_ND, x_ND)}.items():
        if direction in ("both", name):
            of_rows = []
            for i in there:
                rivals = [j for j in there if j == i or (not shared[i, j] and meaning[j] != meaning[i])]
                logits = torch.stack([scale * (query[i] @ other[j]) for j in rivals])
                of_rows.append(logits.logsumexp(0) - scale * (query[i] @ other[i]))
            costs.append(torch.stack(of_rows).mean())
    return torch.stack(costs).mean()
