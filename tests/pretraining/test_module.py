from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import lightning.pytorch as pl
import pytest
import torch
from support.small_run import train
from support.small_training import DESCENT, logged, small, weights
from torch import Tensor

from revalexo_clip.core.errors import UserError
from revalexo_clip.core.types import Batch
from revalexo_clip.data import WindowDataset
from revalexo_clip.data.batches import EpochSampler
from revalexo_clip.data.dataset import collate
from revalexo_clip.metrics.retrieval import TIE
from revalexo_clip.models.dual_encoder import DualEncoder
from revalexo_clip.optim import AdamW
from revalexo_clip.runs.checkpoint import load_checkpoint

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")

SETTINGS = (
    *("batch_size=9", "trainer.max_epochs=2"),
    *("data.windows_per_clip=20", "data.val_subjects=05,08", "data.eval_stride=0.25"),
)
STEPS, BATCH, WINDOW = 8, 9, 2.0


@pytest.fixture(scope="module")
def trained(distinct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of 8 steps with 18 validation windows, which are two batches."""
    return train(small(distinct, *SETTINGS), tmp_path_factory.mktemp("module"))


def plain_loss(imu: Tensor, video: Tensor, batch: Batch, temperature: float) -> float:
    """InfoNCE in both directions. Windows that overlap with a window in time are not its negatives."""
    similarity = (imu.double() @ video.double().T / temperature).tolist()
    clips, starts = batch.clip_B.tolist(), batch.start_B.tolist()
    count = len(clips)
    total = 0.0
    for i in range(count):
        rivals = [
            j for j in range(count) if j != i and not (clips[j] == clips[i] and abs(starts[j] - starts[i]) < WINDOW)
        ]
        for scores in (similarity[i], [row[i] for row in similarity]):
            total += math.log(sum(math.exp(scores[j]) for j in (i, *rivals))) - scores[i]
    return total / (2 * count)


def plain_ranks(similarity: Tensor) -> list[int]:
    """Return the rank of the diagonal element in each row, in descending order; ties count against it."""
    return [sum(other >= row[i] - TIE for other in row) for i, row in enumerate(similarity.tolist())]


def embedded(model: DualEncoder, dataset: WindowDataset, keys: list[tuple[int, int]]) -> tuple[Tensor, Tensor, Batch]:
    batch = collate([dataset[key] for key in keys])
    assert isinstance(batch, Batch)
    crop = dataset.video_spec.crop
    top, left = ((size - crop) // 2 for size in batch.video_BTHWC.shape[2:4])
    with torch.no_grad():
        imu_BD, video_BD = model(batch.imu_BLC, batch.video_BTHWC[:, :, top : top + crop, left : left + crop])
    return imu_BD, video_BD, batch


def test_the_loss_of_the_first_step_is_that_of_twenty_plain_lines_over_its_batch(trained: Path, distinct: Path) -> None:
    experiment = small(distinct, *SETTINGS)
    dataset = experiment.data.build("train", experiment.seed)
    pl.seed_everything(experiment.seed, verbose=False)
    model = experiment.build_model(dataset.imu_spec, dataset.video_spec)
    keys = list(EpochSampler(len(dataset), BATCH, experiment.seed))[:BATCH]
    expected = plain_loss(*embedded(model, dataset, keys), temperature=0.1)
    assert logged(trained, "train/loss_step")[0] == pytest.approx(expected, rel=1e-5)


def test_validation_compares_all_windows_with_each_other_in_both_directions(trained: Path, distinct: Path) -> None:
    experiment = small(distinct, *SETTINGS)
    dataset = experiment.data.build("val", experiment.seed)
    checkpoint = load_checkpoint(trained / "checkpoints/last.ckpt")
    keys = [(0, index) for index in range(len(dataset))]
    imu_ND, video_ND, _ = embedded(checkpoint.build_model(), dataset, keys)
    similarity = imu_ND.double() @ video_ND.double().T
    assert len(dataset) == 18
    for direction, matrix in (("imu_to_video", similarity), ("video_to_imu", similarity.T)):
        ranks = plain_ranks(matrix)
        for k in (1, 5, 10):
            expected = sum(rank <= k for rank in ranks) / 18
            assert logged(trained, f"val/{direction}/r_at_{k}")[-1] == pytest.approx(expected)
        assert logged(trained, f"val/{direction}/mrr")[-1] == pytest.approx(sum(1 / rank for rank in ranks) / 18)
        middle = sorted(ranks)[8:10]
        assert logged(trained, f"val/{direction}/median_rank")[-1] == sum(middle) / 2
        assert len(logged(trained, f"val/{direction}/mrr")) == 2, "once an epoch"
    for k in (1, 5, 10):
        assert logged(trained, f"val/retrieval_chance/r_at_{k}") == pytest.approx([k / 18] * 2)
        expected = min(k / 9, 1)  # each subject has half of the windows
        assert logged(trained, f"val/within_subject/retrieval_chance/r_at_{k}") == pytest.approx([expected] * 2)


def test_validation_compares_each_subjects_windows_with_each_other_too(trained: Path, distinct: Path) -> None:
    experiment = small(distinct, *SETTINGS)
    dataset = experiment.data.build("val", experiment.seed)
    model = load_checkpoint(trained / "checkpoints/last.ckpt").build_model()
    imu_ND, video_ND, batch = embedded(model, dataset, [(0, index) for index in range(len(dataset))])
    ranks = []
    for clip in (0, 1):  # one of each subject
        own = (batch.clip_B == clip).nonzero().flatten()
        ranks += plain_ranks(imu_ND[own].double() @ video_ND[own].double().T)
    for k in (1, 5):
        expected = sum(rank <= k for rank in ranks) / 18
        assert logged(trained, f"val/within_subject/imu_to_video/r_at_{k}")[-1] == pytest.approx(expected)
    mean_D, means_CD = imu_ND.mean(0), torch.stack([imu_ND[batch.clip_B == clip].mean(0) for clip in (0, 1)])
    between = (9 * (means_CD - mean_D).square().sum() / (imu_ND - mean_D).square().sum()).item()
    assert logged(trained, "val/between_subjects/imu")[-1] == pytest.approx(between, rel=1e-3)
    assert all(0 <= share <= 1 for share in logged(trained, "train/between_subjects/video"))
    assert len(logged(trained, "train/between_subjects/video")) == 2, "once an epoch"


def test_validation_loss_is_the_mean_over_batches_of_all_windows(trained: Path, distinct: Path) -> None:
    experiment = small(distinct, *SETTINGS)
    dataset = experiment.data.build("val", experiment.seed)
    model = load_checkpoint(trained / "checkpoints/last.ckpt").build_model()
    temperature = logged(trained, "train/temperature")[-1]
    order = torch.randperm(18, generator=torch.Generator().manual_seed(experiment.seed)).tolist()
    losses = []
    for rows in (order[:BATCH], order[BATCH:]):
        imu_BD, video_BD, batch = embedded(model, dataset, [(0, row) for row in rows])
        losses.append(plain_loss(imu_BD, video_BD, batch, temperature))
    # The temperature is logged before the last step, which moves it by a thousandth at most.
    assert logged(trained, "val/loss")[-1] == pytest.approx(sum(losses) / 2, rel=2e-3)


def test_the_learning_rate_falls_along_the_cosine_to_its_end_at_the_last_step(trained: Path) -> None:
    optim = AdamW(lr=1e-3)
    rates = logged(trained, "train/lr")
    assert rates == pytest.approx([optim.rate(step, STEPS) for step in range(STEPS)], rel=1e-6)
    content = torch.load(trained / "checkpoints/last.ckpt", weights_only=True)
    assert content["global_step"] == STEPS
    assert content["lr_schedulers"][0]["_last_lr"] == pytest.approx([optim.final_lr] * 2)


def test_of_a_step_the_log_has_loss_rate_temperature_and_gradient(trained: Path) -> None:
    for metric in ("train/loss_step", "train/lr", "train/temperature", "train/gradient_norm"):
        assert len(logged(trained, metric)) == STEPS
    assert len(logged(trained, "train/loss_epoch")) == 2
    assert list((trained / "tensorboard").glob("events.out.tfevents.*"))


def test_rates_of_the_encoders_are_logged_beside_that_of_the_rest(distinct: Path, tmp_path: Path) -> None:
    run = train(small(distinct, "optim.imu_lr_scale=0.5", "optim.video_lr_scale=0.25"), tmp_path)
    rates = logged(run, "train/lr")
    for tower, scale in (("imu", 0.5), ("video", 0.25)):
        assert logged(run, f"train/lr/{tower}") == pytest.approx([scale * rate for rate in rates])


@pytest.mark.long
def test_a_micro_batch_changes_memory_and_not_the_model(trained: Path, distinct: Path, tmp_path: Path) -> None:
    divided = train(small(distinct, *SETTINGS, "micro_batch=4"), tmp_path)
    state = weights(divided / "checkpoints/last.ckpt")
    torch.testing.assert_close(state, weights(trained / "checkpoints/last.ckpt"), rtol=1e-4, atol=1e-5)
    assert logged(divided, "train/loss_step") == pytest.approx(logged(trained, "train/loss_step"), rel=1e-4)


@pytest.mark.long
def test_the_gradient_is_clipped_as_a_whole_and_logged_as_it_was(distinct: Path, tmp_path: Path) -> None:
    run = train(small(distinct, "trainer.gradient_clip=0.1", "batch_size=20", file=DESCENT), tmp_path)
    assert all(norm > 0.2 for norm in logged(run, "train/gradient_norm"))
    states = [weights(path) for path in sorted((run / "checkpoints").glob("epoch=*.ckpt"))]
    for before, after in pairwise(states):
        moved = torch.cat([(after[name] - value).flatten() for name, value in before.items()])
        assert moved.norm().item() == pytest.approx(0.1, rel=1e-4)


@pytest.mark.long
def test_early_stopping_waits_as_many_epochs_as_it_is_told_to(distinct: Path, tmp_path: Path) -> None:
    nothing_learned = ("optim.lr=1e-30", "optim.final_lr=0", "trainer.max_epochs=9", "trainer.early_stopping=2")
    run = train(small(distinct, *nothing_learned), tmp_path)
    assert load_checkpoint(run / "checkpoints/last.ckpt").epoch == 3
    assert load_checkpoint(run / "checkpoints/best.ckpt").epoch == 1


def test_a_training_that_diverges_is_an_error_that_says_what_to_change(distinct: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"the training diverged: in epoch 1, step 2(.|\n)*Lower optim\.lr"):
        train(small(distinct, "optim.lr=1e30"), tmp_path)
