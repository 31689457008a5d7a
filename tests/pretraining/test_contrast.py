"""Steps of a sum of all terms: equal in any number of processes and parts, and equal to plain loops."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from support.plain_losses import (
    WINDOW,
    plain_info_nce,
    plain_nearest_neighbours,
    plain_queue_distillation,
    plain_siglip,
    plain_temporal_contrast,
    plain_text_contrast,
)
from support.processes import in_processes
from torch import Tensor, nn

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.data.batches import share_of
from revalexo_clip.losses import (
    InfoNCE,
    LossModule,
    NearestNeighbours,
    Overlap,
    QueueDistillation,
    SelfContrast,
    SigLIP,
    Sum,
    TemporalContrast,
    Term,
    TextContrast,
)
from revalexo_clip.losses.terms import weighted_sum
from revalexo_clip.losses.text_contrast import with_meaning
from revalexo_clip.pretraining.contrast import Contrast, Vectors, check_vectors
from revalexo_clip.pretraining.micro_batch import contrast_in_parts
from revalexo_clip.training.distributed import rank, reduce_over_ranks, world_size

ROWS, STEPS, QUEUE = 9, 4, 12

TERMS = Sum(
    terms={
        "aligned": Term(InfoNCE(temperature=0.2, on="tokens", block_rows=4), weight=0.7),
        "pooled": Term(InfoNCE(temperature=0.3, label_smoothing=0.1)),
        "sigmoid": Term(SigLIP(temperature=0.25, bias=-1.0), weight=0.1),
        "self": Term(SelfContrast(temperature=0.4, block_rows=2), weight=0.5),
        "near": Term(NearestNeighbours(queue=QUEUE, temperature=0.3, block_rows=4), weight=0.2),
        "distilled": Term(QueueDistillation(queue=QUEUE, on="tokens", block_rows=2), weight=0.3),
        "recording": Term(TemporalContrast(temperature=0.5, block_rows=2), weight=0.3),
        "text": Term(TextContrast(of="video", temperature=0.3, block_rows=2), weight=0.4),
    }
)


class Towers(nn.Module):
    """Two linear towers, each with a pooled head and one of tokens. The head `unread` is read by no term."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.imu, self.video = nn.Linear(6, 8), nn.Linear(7, 8)
        self.heads = nn.ModuleDict({"imu": nn.Linear(8, 4), "video": nn.Linear(8, 4)})
        self.token_heads = nn.ModuleDict({"imu": nn.Linear(8, 6), "video": nn.Linear(8, 6)})

    def forward(self, imu_BC: Tensor, second_BC: Tensor, video_BC: Tensor) -> Vectors:
        features = {"imu": self.imu(imu_BC).tanh(), "video": self.video(video_BC).tanh()}
        second_BC = self.imu(second_BC).tanh()
        found: Vectors = {
            "imu": self.heads["imu"](features["imu"]),
            "video": self.heads["video"](features["video"]),
            "imu_tokens": self.token_heads["imu"](features["imu"]),
            "video_tokens": self.token_heads["video"](features["video"]),
            "imu_second": self.heads["imu"](second_BC),
        }
        found = {kind: nn.functional.normalize(x_BD, dim=1) for kind, x_BD in found.items()}
        text_BD = nn.functional.normalize(self.heads["imu"](features["video"]), dim=1)
        return {**found, "text": with_meaning(text_BD, video_BC[:, 0].floor().clamp(-1, 1))}


class Training(nn.Module):
    """Two towers and the loss with all kinds of terms."""

    def __init__(self) -> None:
        super().__init__()
        self.towers = Towers()
        self.loss = TERMS.build()
        self.double()


def batch(step: int) -> tuple[tuple[Tensor, Tensor, Tensor], Overlap]:
    """Return IMU, its second view and video of all windows of a step, and their places in time."""
    generator = torch.Generator().manual_seed(step)
    imu_NC, second_NC, video_NC = (
        torch.randn(ROWS, size, dtype=torch.float64, generator=generator) for size in (6, 6, 7)
    )
    recording_N = torch.randint(0, 3, (ROWS,), generator=generator)
    time_N = 9 * torch.rand(ROWS, dtype=torch.float64, generator=generator)
    return (imu_NC, second_NC, video_NC), Overlap(recording_N, time_N, WINDOW)


def train(part: int) -> dict[str, Tensor]:
    """Take some steps, `part` windows at a time; return the losses of each step, and gradients and state at the end."""
    training = Training()
    optimizer = torch.optim.AdamW(training.parameters(), lr=0.01)
    own = share_of(ROWS, rank(), world_size())
    found: dict[str, Tensor] = {}
    for number in range(STEPS):
        optimizer.zero_grad()
        windows, overlap = batch(number)
        own_places = Overlap(overlap.recording_N[own.start : own.stop], overlap.time_N[own.start : own.stop], WINDOW)
        sizes = [len(share_of(ROWS, place, world_size())) for place in range(world_size())]
        contrast = Contrast(training.loss, own_places, sizes)

        def embed(rows: slice, windows: tuple[Tensor, ...] = windows) -> Vectors:
            found: Vectors = training.towers(*(x_NC[own.start : own.stop][rows] for x_NC in windows))
            return found

        contrast_in_parts(
            training,
            rows=len(own),
            part=part,
            embed=embed,
            contrast=contrast,
            loss_parameters=list(training.loss.parameters()),
            backward=lambda loss, last: torch.autograd.backward(loss),
        )
        average_gradients(training)
        optimizer.step()
        losses = reduce_over_ranks(torch.stack(list(contrast.shares.values())))
        found |= {f"{number} {name}": loss for name, loss in zip(contrast.shares, losses, strict=True)}
        chance = weighted_sum(training.loss, {k: v for k, v in contrast.chances().items() if v is not None})
        assert chance is not None
        found[f"{number} chance"] = chance
        contrast.update()
    gradients = {name: parameter.grad for name, parameter in training.named_parameters() if parameter.grad is not None}
    return {**found, **gradients, **{f"state {name}": value for name, value in training.state_dict().items()}}


def average_gradients(training: nn.Module) -> None:
    """Take the mean over processes, as DDP does after the last part; every parameter must have a gradient."""
    for name, parameter in training.named_parameters():
        assert parameter.grad is not None, name
        reduce_over_ranks(torch.zeros(0), [parameter.grad])


def trained_in_parts() -> list[dict[str, Tensor]]:
    return [train(part) for part in (ROWS, 2)]


@pytest.mark.long
def test_steps_in_parts_are_those_of_the_undivided_batch() -> None:
    whole = train(ROWS)
    for part in (4, 2, 1):
        torch.testing.assert_close(train(part), whole, rtol=1e-9, atol=1e-12)


@pytest.mark.long
@pytest.mark.parametrize("processes", [2, pytest.param(3, marks=pytest.mark.long)])
def test_processes_with_uneven_shares_train_as_one(processes: int, tmp_path: Path) -> None:
    alone = train(ROWS)
    for outcome in in_processes(processes, trained_in_parts, tmp_path):
        assert isinstance(outcome, list)
        for found in outcome:
            torch.testing.assert_close(found, alone, rtol=1e-9, atol=1e-12)


def test_each_term_is_that_of_a_plain_loop_and_neighbours_start_when_the_queue_is_full() -> None:
    training, queue = Training(), list[tuple[Tensor, Tensor, int, float]]()
    videos = torch.zeros(0, 6, dtype=torch.float64)
    for number in range(3):
        windows, overlap = batch(number)
        contrast = Contrast(training.loss, overlap, [ROWS])
        vectors: Mapping[str, Tensor] = training.towers(*windows)
        objective = contrast(training.towers(*windows))
        scales = {name: 1 / term.temperature.double() for name, (_, term) in training.loss.terms().items()}
        imu, video = vectors["imu"], vectors["video"]
        expected = {
            "aligned": plain_info_nce(vectors["imu_tokens"], vectors["video_tokens"], scales["aligned"], overlap),
            "pooled": plain_info_nce(imu, video, scales["pooled"], overlap, smoothing=0.1),
            "sigmoid": plain_siglip(imu, video, scales["sigmoid"], torch.tensor(-1.0), overlap),
            "self": plain_info_nce(imu, vectors["imu_second"], scales["self"], overlap),
            "near": torch.zeros((), dtype=torch.float64),
            "distilled": plain_queue_distillation(
                vectors["imu_tokens"], vectors["video_tokens"], videos[-QUEUE:], student=0.1, teacher=0.1
            ),
            "recording": plain_temporal_contrast(imu, scales["recording"], overlap),
            "text": plain_text_contrast(video, vectors["text"], scales["text"], overlap),
        }
        if len(queue) >= QUEUE:
            expected["near"] = plain_nearest_neighbours(imu, video, scales["near"], overlap, queue[-QUEUE:])
            assert expected["near"] > 0.1
        torch.testing.assert_close(contrast.shares, {k: v.detach() for k, v in expected.items()}, rtol=1e-6, atol=0)
        weights = {name: term.weight for name, term in TERMS.terms.items()}
        total = sum(weights[name] * loss.detach() for name, loss in expected.items())
        assert objective.item() == pytest.approx(float(total), rel=1e-6)
        contrast.update()
        videos = torch.cat([videos, vectors["video_tokens"].detach().float().double()])
        queue += zip(imu.detach(), video.detach(), overlap.recording_N.tolist(), overlap.time_N.tolist(), strict=True)
    assert len(queue) > QUEUE


def test_a_vector_that_no_term_reads_gets_a_gradient_of_zero() -> None:
    windows, overlap = batch(0)
    towers = Towers().double()
    contrast = Contrast(InfoNCE(on="tokens").build(), overlap, [ROWS])
    torch.autograd.backward(contrast(towers(*windows)))
    assert set(contrast.vectors) == {"imu_tokens", "video_tokens"}
    for name, parameter in towers.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.any()) != name.startswith("heads"), name


def built(**terms: Term) -> LossModule:
    return Sum(terms=terms).build()


def test_a_loss_and_a_model_that_do_not_fit_are_refused() -> None:
    aligned, pooled, alone = Term(InfoNCE(on="tokens")), Term(InfoNCE()), Term(SelfContrast())
    check_vectors(built(aligned=aligned, pooled=pooled), tokens=True)
    check_vectors(built(pooled=pooled, alone=alone), tokens=False)
    with pytest.raises(ConfigError, match=r"set tokens=\.\.\."):
        check_vectors(built(aligned=aligned, pooled=pooled), tokens=False)
    with pytest.raises(ConfigError, match="tokens: no term of the loss reads them"):
        check_vectors(built(pooled=pooled), tokens=True)
    check_vectors(built(alone=alone, recording=Term(TemporalContrast())), tokens=False)
