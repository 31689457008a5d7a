"""What the best checkpoint is chosen by."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.small_run import train
from support.small_training import logged, small

from revalexo_clip.core.errors import ConfigError

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")


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


def test_mrr_is_the_mean_of_both_directions(written: Path, tmp_path: Path) -> None:
    run = train(small(written, "trainer.max_epochs=1"), tmp_path)
    both = [logged(run, f"val/{direction}/mrr")[0] for direction in ("imu_to_video", "video_to_imu")]
    assert logged(run, "val/mrr")[0] == pytest.approx(sum(both) / 2)


def test_the_last_epoch_cannot_stop_a_run_early(written: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be chosen by and stop early"):
        small(written, "best=last", "trainer.early_stopping=3")
