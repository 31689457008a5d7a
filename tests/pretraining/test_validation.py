from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import lightning.pytorch as pl
import pytest
import torch
from support.processes import in_processes
from support.small_training import small

from revalexo_clip.core.errors import DataError
from revalexo_clip.pretraining.build import build_setup
from revalexo_clip.pretraining.module import ContrastiveModule
from revalexo_clip.pretraining.validation import Gallery
from revalexo_clip.training.loaders import evaluation_loader

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")


def embed(root: Path, batch_size: int) -> tuple[ContrastiveModule, Gallery]:
    experiment = small(root)
    dataset = experiment.data.build("val", experiment.seed)
    module = build_setup(experiment).module
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.validate(module, dataloaders=evaluation_loader(dataset, batch_size, workers=0), verbose=False)
    assert module.gallery is not None
    return module, module.gallery


def test_the_gallery_holds_every_window_in_the_order_of_the_dataset(written: Path) -> None:
    module, gallery = embed(written, batch_size=3)
    dataset = small(written).data.build("val", seed=42)
    assert gallery.window_N.tolist() == list(range(10))
    for index in range(10):
        sample = dataset[0, index]
        assert (gallery.recording_N[index], gallery.time_N[index]) == (sample.recording, sample.time)
        with torch.no_grad():
            imu_1D, video_1D = module.model(sample.imu_LC[None], sample.video_THWC[None])
        torch.testing.assert_close(gallery.imu_ND[index], imu_1D[0], rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(gallery.video_ND[index], video_1D[0], rtol=1e-5, atol=1e-6)


def test_a_second_validation_starts_afresh(written: Path) -> None:
    module, gallery = embed(written, batch_size=10)
    dataset = small(written).data.build("val", seed=42)
    trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.validate(module, dataloaders=evaluation_loader(dataset, 10, workers=0), verbose=False)
    assert module.gallery is not None
    assert torch.equal(module.gallery.window_N, gallery.window_N)
    assert all(torch.equal(module.gallery.vectors[kind], x_ND) for kind, x_ND in gallery.vectors.items())


class Validated(NamedTuple):
    """The results of a validation by one process."""

    gallery: Gallery
    logged: dict[str, float]


@dataclass(frozen=True)
class Validate:
    """Validates by one of several processes that have different numbers of batches."""

    root: Path

    def __call__(self) -> Validated:
        experiment = small(self.root, "batch_size=2", "seed=7")
        module = build_setup(experiment).module
        trainer = pl.Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
        loader = evaluation_loader(experiment.data.build("val", 7), 2, workers=0)
        (logged,) = trainer.validate(module, dataloaders=loader, verbose=False)
        assert module.gallery is not None
        return Validated(module.gallery, dict(logged))


@pytest.mark.long
def test_processes_with_uneven_last_batches_validate_as_one(distinct: Path, tmp_path: Path) -> None:
    alone = Validate(distinct)()
    assert len(alone.gallery.window_N) == 5  # 3 and 2 windows: two batches, the last of one window, and one batch
    for found in in_processes(2, Validate(distinct), tmp_path):
        assert isinstance(found, Validated)
        assert found.gallery.window_N.tolist() == list(range(5))
        torch.testing.assert_close(found.gallery.imu_ND, alone.gallery.imu_ND, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.gallery.video_ND, alone.gallery.video_ND, rtol=1e-5, atol=1e-6)
        assert found.logged == pytest.approx(alone.logged, rel=1e-5)


def test_a_window_that_cannot_be_read_is_an_error(root: Path) -> None:
    (root / "imu/Subject08/0001.csv").write_text("acc_Pelvis_x\n")
    with pytest.raises(DataError, match=r"Subject08/0001\.csv"):
        embed(root, batch_size=4)
