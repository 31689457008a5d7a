from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from support.small_run import train
from support.small_training import logged, small

from revalexo_clip.pretraining import collapse
from revalexo_clip.pretraining.collapse import mean_cosine

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")


@pytest.fixture(autouse=True)
def _sooner(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no warning after two epochs of two steps, and one after three."""
    monkeypatch.setattr(collapse, "STEPS", 6)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


NOTHING_LEARNED = ("optim.lr=1e-30", "optim.final_lr=0", "loss.temperature=1")


@pytest.mark.long
def test_a_loss_that_stays_at_chance_is_warned_of_once_and_not_in_the_first_epochs(
    distinct: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(small(distinct, *NOTHING_LEARNED, "trainer.max_epochs=2"), tmp_path)
    assert warnings(caplog) == []
    run = train(small(distinct, *NOTHING_LEARNED, "trainer.max_epochs=5"), tmp_path)
    (said,) = warnings(caplog)
    assert said.startswith(
        "the model is not learning: after 3 epochs, the IMU embeddings are almost the same for all windows (mean cosine"
    )
    assert "the loss is at chance (1." in said
    assert said in (run / "log.txt").read_text()


@pytest.mark.long
def test_without_a_loss_of_chance_embeddings_that_stay_the_same_are_warned_of(
    distinct: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    train(small(distinct, "loss.type=SigLIP", *NOTHING_LEARNED, "trainer.max_epochs=3"), tmp_path)
    (said,) = warnings(caplog)
    assert said.startswith("the model is not learning: after 3 epochs, the IMU embeddings are almost the same")
    assert "chance" not in said


@pytest.mark.long
def test_a_training_that_learns_is_left_alone(written: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = train(
        small(written, "standardize=true", "optim.lr=0.01", "data.windows_per_clip=40", "trainer.max_epochs=4"),
        tmp_path,
    )
    assert logged(run, "train/loss_epoch")[-1] < 0.98 * logged(run, "train/chance")[-1]
    assert warnings(caplog) == []


@pytest.mark.parametrize("count", [2, 7])
def test_mean_cosine_is_that_of_all_pairs_of_different_windows(count: int) -> None:
    x_ND = torch.nn.functional.normalize(torch.randn(count, 4, dtype=torch.float64), dim=1)
    cosines = [float(x_ND[i] @ x_ND[j]) for i in range(count) for j in range(count) if i != j]
    assert mean_cosine(x_ND) == pytest.approx(sum(cosines) / len(cosines))
