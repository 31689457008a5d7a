"""What the best checkpoint is chosen by."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from support.small_run import train
from support.small_training import logged, small, weights

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.reports.html.curves import section_body

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")


@pytest.mark.long
@pytest.mark.parametrize("best", ["loss", "mrr", "last"])
def test_the_best_checkpoint_is_that_of_the_chosen_measure(best: str, written: Path, tmp_path: Path) -> None:
    run = train(small(written, f"best={best}", "trainer.max_epochs=3", "optim.lr=0.05"), tmp_path)
    measure: dict[str, list[float]] = {
        "loss": [-value for value in logged(run, "val/loss")],
        "mrr": logged(run, "val/mrr"),
        "last": [0, 1, 2],
    }
    values = measure[best]
    linked = (run / "checkpoints/best.ckpt").resolve().stat().st_ino
    (name,) = (
        path.name for path in (run / "checkpoints").glob("epoch=*.ckpt") if path.resolve().stat().st_ino == linked
    )
    assert name.startswith(f"epoch={values.index(max(values)):03d}")


@pytest.mark.long
def test_mrr_is_the_mean_of_both_directions(written: Path, tmp_path: Path) -> None:
    run = train(small(written, "trainer.max_epochs=1"), tmp_path)
    both = [logged(run, f"val/{direction}/mrr")[0] for direction in ("imu_to_video", "video_to_imu")]
    assert logged(run, "val/mrr")[0] == pytest.approx(sum(both) / 2)


IMU_NOISE = 'imu_augment=[{"type": "GaussianNoise", "std": 0.5}]'
UNVALIDATED = (
    'loss={"type": "Sum", "terms": {"self": {"loss": {"type": "SelfContrast"}}, "queue": {"loss": '
    '{"type": "QueueDistillation", "queue": 8}}}}',
)
LOGGED_ONLY = 'loss.terms.logged={"loss": {"type": "InfoNCE"}, "weight": 0}'


@pytest.mark.long
@pytest.mark.parametrize("best", ["last", "mrr"])
def test_without_a_term_of_validation_windows_nothing_is_said_of_a_validation_loss(
    best: str, written: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "revalexo_clip")
    runs = {}
    for name, more in (("without", ()), ("logged", (LOGGED_ONLY,))):
        (tmp_path / name).mkdir()
        given = (IMU_NOISE, *UNVALIDATED, *more)
        runs[name] = train(small(written, f"best={best}", "trainer.max_epochs=2", *given), tmp_path / name)
        epochs = [message for message in caplog.messages if message.startswith("epoch")]
        assert len(epochs) == 2
        assert not any("val " in line or "chance" in line for line in epochs)
        caplog.clear()
        assert logged(runs[name], "val/loss") == logged(runs[name], "val/chance") == []
        assert len(logged(runs[name], "val/mrr")) == 2
        shown = str(section_body(runs[name] / "metrics.csv", 1))
        assert "validation loss" not in shown
        assert "No curves" not in shown
    assert len(logged(runs["logged"], "val/loss/logged")) == 2
    assert all(value > 0 for value in logged(runs["logged"], "val/loss/logged"))
    assert "val/loss" not in (runs["without"] / "metrics.csv").read_text()
    one, other = (weights(run / "checkpoints/best.ckpt") for run in runs.values())
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.parametrize("more", [(), (LOGGED_ONLY,)])
def test_a_loss_that_validation_windows_do_not_have_cannot_choose_the_best_checkpoint(
    more: tuple[str, ...], written: Path
) -> None:
    told = "no term of the loss with a weight above 0 can be computed on validation windows.*set best=mrr or best=last"
    with pytest.raises(ConfigError, match=told):
        small(written, IMU_NOISE, *UNVALIDATED, *more)


def test_the_last_epoch_cannot_stop_a_run_early(written: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be chosen by and stop early"):
        small(written, "best=last", "trainer.early_stopping=3")
