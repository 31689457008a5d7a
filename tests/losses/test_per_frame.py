"""`PerFrame` compares the moments that have frames one by one."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from revalexo_clip.losses import (
    InfoNCE,
    LossModule,
    NearestNeighbours,
    Overlap,
    PerFrame,
    SelfContrast,
    SigLIP,
    TemporalContrast,
)

TIMES = (0.0, 0.75, 1.5, 2.0)
"""Moments of the frames of a window of 2 s."""
GAP = 0.5


def overlap() -> Overlap:
    """Six windows of two recordings; those of a recording share frames that are near each other."""
    recording_N = torch.tensor([0, 1, 0, 1, 0, 1])
    time_N = torch.tensor([0.0, 0.0, 0.9, 5.0, 4.0, 0.2], dtype=torch.float64)
    return Overlap(recording_N, time_N, 2.0, TIMES)


def vectors(dim: int = 5) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    pair = (normalize(torch.randn(6, len(TIMES), dim, dtype=torch.float64), dim=2).flatten(1) for _ in range(2))
    one, other = (x_NE.requires_grad_() for x_NE in pair)
    return one, other


def plain(imu_NE: Tensor, video_NE: Tensor, where: Overlap, temperature: float) -> Tensor:
    """InfoNCE of all frames of the batch, one at a time."""
    frames = len(TIMES)
    imu_Md, video_Md = (x_NE.reshape(len(x_NE) * frames, -1) for x_NE in (imu_NE, video_NE))
    moments = [
        (int(recording), float(time) + frame)
        for recording, time in zip(where.recording_N, where.time_N, strict=True)
        for frame in TIMES
    ]
    losses = []
    for queries, answers in ((imu_Md, video_Md), (video_Md, imu_Md)):
        for i, (recording, time) in enumerate(moments):
            candidates = [
                j
                for j, (other, at) in enumerate(moments)
                if j == i or other != recording or abs(at - time) >= GAP - 1e-6
            ]
            logits = torch.stack([queries[i] @ answers[j] / temperature for j in candidates])
            losses.append(logits.logsumexp(0) - queries[i] @ answers[i] / temperature)
    return torch.stack(losses).mean()


def built(temperature: float = 0.1) -> LossModule:
    return PerFrame(loss=InfoNCE(temperature=temperature), gap=GAP).build().double()


def test_it_is_the_loss_of_all_frames_without_those_near_in_time() -> None:
    imu_NE, video_NE = vectors()
    loss = built(0.2)(imu_NE, video_NE, overlap())
    expected = plain(imu_NE, video_NE, overlap(), 0.2)
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    found = torch.autograd.grad(loss, [imu_NE, video_NE])
    torch.testing.assert_close(found, torch.autograd.grad(expected, [imu_NE, video_NE]), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("sizes", [(6,), (2, 4), (1, 2, 3)], ids=str)
@pytest.mark.parametrize("inner", [InfoNCE(), SigLIP()], ids=["InfoNCE", "SigLIP"])
def test_the_shares_of_processes_add_up(sizes: tuple[int, ...], inner: InfoNCE | SigLIP) -> None:
    imu_NE, video_NE = vectors()
    loss = PerFrame(loss=inner, gap=GAP).build().double()
    whole = loss(imu_NE, video_NE, overlap())
    ends = [sum(sizes[:place]) for place in range(len(sizes) + 1)]
    rows = [slice(start, stop) for start, stop in pairwise(ends)]
    shares = torch.stack([loss.share(imu_NE, video_NE, overlap(), own) for own in rows]).sum()
    torch.testing.assert_close(shares, whole, rtol=1e-10, atol=0)
    of_whole = torch.autograd.grad(whole, [imu_NE, video_NE, *loss.parameters()])
    of_shares = torch.autograd.grad(shares, [imu_NE, video_NE, *loss.parameters()])
    torch.testing.assert_close(of_shares, of_whole, rtol=1e-9, atol=1e-12)


def test_chance_counts_the_candidates_of_each_frame() -> None:
    where = Overlap(torch.tensor([0, 1]), torch.zeros(2, dtype=torch.float64), 2.0, (0.0, 0.2, 1.0))
    chance = PerFrame(gap=GAP).build().chance(where)
    assert chance is not None
    assert chance.item() == pytest.approx((2 * math.log(5) + math.log(6)) / 3)


def test_the_frames_of_a_window_are_negatives_of_each_other() -> None:
    """Frames that are all alike within a window cannot be told apart, whatever else is known."""
    imu_NE, video_NE = vectors()
    same = normalize(torch.randn(6, 1, 5, dtype=torch.float64), dim=2).expand(6, len(TIMES), 5).flatten(1)
    assert built()(same, same, overlap()) > math.log(2)
    assert built()(imu_NE, imu_NE, overlap()) < built()(same, same, overlap())
    assert video_NE.shape == imu_NE.shape


def test_a_loss_of_other_vectors_and_frames_without_times_are_refused() -> None:
    for loss in (SelfContrast(), TemporalContrast()):
        with pytest.raises(ValueError, match=f"{type(loss).__name__} must compare pooled embeddings"):
            PerFrame(loss=loss).build()
    imu_NE, video_NE = vectors()
    without = Overlap(overlap().recording_N, overlap().time_N, 2.0)
    with pytest.raises(ValueError, match="times of the frames"):
        built()(imu_NE, video_NE, without)


def test_a_loss_that_remembers_is_given_the_frames_of_every_step() -> None:
    imu_NE, video_NE = (x_NE.detach().float() for x_NE in vectors())
    loss = PerFrame(loss=NearestNeighbours(queue=24), gap=GAP).build()
    assert not loss.validated
    where = overlap()
    assert loss(imu_NE, video_NE, where) == 0
    loss.update(imu_NE, video_NE, where)
    later = Overlap(where.recording_N + 2, where.time_N, 2.0, TIMES)
    assert loss(imu_NE, video_NE, later) > 0, "the queue is full after 6 windows with 4 frames each"


def test_the_overlap_of_frames_is_computed_once() -> None:
    where = overlap()
    assert where.of_frames(GAP) is where.of_frames(GAP)
    assert where.of_frames(GAP).window == GAP
    assert where.of_frames(1.0).window == 1.0
