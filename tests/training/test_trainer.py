from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import pytest
import torch
from support.small_process import EXPERIMENT, succeed
from support.small_run import built_in_experiment, embed, train, write_distinct_dataset
from support.small_training import logged, small
from torch import Tensor

from revalexo_clip.config.base import TrainerConfig
from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.losses import LossModule, Overlap
from revalexo_clip.losses.info_nce import InfoNCE, InfoNCELoss
from revalexo_clip.pretraining.run import dry_run_pretraining
from revalexo_clip.runs.checkpoint import load_checkpoint
from revalexo_clip.runs.options import RunOptions
from revalexo_clip.training.trainer import check_sync_batchnorm, resolved_precision

pytestmark = pytest.mark.filterwarnings("ignore:::lightning")


ANY, GPU, CPU = TrainerConfig(), TrainerConfig(accelerator="gpu"), TrainerConfig(accelerator="cpu")


@pytest.mark.parametrize(
    ("config", "cuda", "bf16", "expected"),
    [
        (ANY, True, True, "bf16-mixed"),
        (GPU, True, False, "16-mixed"),
        (ANY, False, False, "32-true"),
        (GPU, False, False, "32-true"),  # Apple's, or the error that there is none
        (CPU, True, True, "32-true"),
        (TrainerConfig(precision="32"), True, True, "32"),
        (TrainerConfig(precision="16-mixed"), True, True, "16-mixed"),
        (TrainerConfig(precision="bf16-mixed", accelerator="cpu"), False, False, "bf16-mixed"),
    ],
)
def test_auto_takes_what_the_device_has_and_what_is_named_stays(
    monkeypatch: pytest.MonkeyPatch, config: TrainerConfig, cuda: bool, bf16: bool, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
    assert resolved_precision(config) == expected


@pytest.mark.long
def test_bf16_trains_on_a_cpu_and_stays_near_32_bit(distinct: Path, tmp_path: Path) -> None:
    settings = ("trainer.max_epochs=6", "batch_size=20", "optim.lr=0.01")
    whole = logged(train(small(distinct, *settings), tmp_path), "train/loss_step")
    half = logged(train(small(distinct, "trainer.precision=bf16-mixed", *settings), tmp_path), "train/loss_step")
    assert half != whole
    assert half == pytest.approx(whole, rel=0.05)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.precision=16-mixed", r"trainer\.precision: 16-mixed needs a GPU"),
        ("trainer.sync_batchnorm=true", r"trainer\.sync_batchnorm: .* on GPUs only"),
    ],
)
def test_what_a_cpu_cannot_do_is_refused_before_anything_is_written(
    distinct: Path, tmp_path: Path, override: str, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        train(small(distinct, override), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_uneven_parts_of_synchronised_batch_norm_are_refused(written: Path) -> None:
    def check(processes: int, *overrides: str) -> None:
        check_sync_batchnorm(small(written, "batch_size=9", *overrides), processes)

    synchronised, parts = "trainer.sync_batchnorm=true", "micro_batch=4"
    check(2, synchronised)
    check(2, parts)
    check(3, synchronised, parts)
    with pytest.raises(
        ConfigError, match=r"trainer\.sync_batchnorm: .* 9 windows cannot be shared evenly by 2 devices"
    ):
        check(2, synchronised, parts)


TOGETHER = {
    "precision": "bf16-mixed",
    "gradient_clip": 0,
    "average": 0.9,
    "early_stopping": 2,
    "checkpoint_minutes": 0,
    "max_epochs": 2,
    "strategy": "ddp",
    "devices": 1,
    "num_nodes": 1,
    "accelerator": "cpu",
    "channels_last": True,
    "log_every": 2,
}
"""Options that can be combined; the rest has tests of its own: here, in `test_x3d.py`, in `test_compiling.py`, in
`test_forms.py` and in `test_trackers.py`."""


def test_every_option_of_the_trainer_is_tried() -> None:
    assert {*TOGETHER, "sync_batchnorm", "compile", "cudnn_benchmark", "tf32", "loggers"} == set(
        TrainerConfig.model_fields
    )


@pytest.fixture(scope="module")
def whole_sensors(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset like `distinct` whose sensors have all three axes."""
    root = tmp_path_factory.mktemp("whole") / "dataset"
    write_distinct_dataset(root, [f"{kind}_Pelvis_{axis}" for kind in ("acc", "gyro") for axis in "xyz"])
    return root


@pytest.mark.long
@pytest.mark.parametrize("micro_batch", [None, 1])
@pytest.mark.parametrize(
    ("imu", "video"),
    [
        ({"type": "DeepConvLSTM", "maps": 4, "hidden": 8}, {"type": "X3D", "weights": None}),
        ({"type": "SpectralAttention", "width": 8}, {"type": "MViT", "weights": None}),
        ({"type": "AnySensor", "width": 8}, {"type": "X3D", "weights": None, "gradient_checkpointing": True}),
    ],
    ids=["DeepConvLSTM, X3D", "SpectralAttention, MViT", "checkpointed"],
)
def test_every_encoder_trains_with_every_option(
    whole_sensors: Path, imu: dict[str, object], video: dict[str, object], micro_batch: int | None
) -> None:
    trainer = {name: value for name, value in TOGETHER.items() if name != "strategy"}
    fields = {"imu": imu, "video": video, "trainer": trainer, "micro_batch": micro_batch, "batch_size": 2}
    found = dry_run_pretraining(built_in_experiment(whole_sensors, **fields), RunOptions())
    assert 0 < found.loss < 10


class Watched(InfoNCE):
    """InfoNCE that records whether autocast is on in its two passes."""

    def build(self) -> LossModule:
        return WatchedLoss(self.temperature)


class WatchedLoss(InfoNCELoss):
    seen: ClassVar[set[tuple[str, bool]]] = set()

    def share(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None, rows: slice) -> Tensor:
        self.seen.add(("forward", torch.is_autocast_enabled("cpu")))
        if imu_ND.requires_grad:
            imu_ND.register_hook(lambda _: self.seen.add(("backward", torch.is_autocast_enabled("cpu"))))  # type: ignore[no-untyped-call]
        return super().share(imu_ND, video_ND, overlap, rows)


@pytest.mark.parametrize("micro_batch", ["none", "3"])
def test_the_loss_and_all_backward_passes_run_outside_autocast(distinct: Path, micro_batch: str) -> None:
    WatchedLoss.seen.clear()
    experiment = small(distinct, "trainer.precision=bf16-mixed", f"micro_batch={micro_batch}", "batch_size=6")
    dry_run_pretraining(experiment.model_copy(update={"loss": Watched()}), RunOptions())
    assert WatchedLoss.seen == {("forward", False), ("backward", False)}


@pytest.mark.long
@pytest.mark.parametrize("average", ["none", "0.5"])
def test_two_processes_validate_the_model_that_is_saved(distinct: Path, tmp_path: Path, average: str) -> None:
    settings = (
        *(f"data.root={distinct}", "data.val_subjects=05,08,09", "data.crop=32", "data.workers=1"),
        *("video.type=X3D", "video.weights=none", "batch_size=6", "optim.lr=0.01"),
        *("trainer.max_epochs=2", f"trainer.average={average}"),
    )
    overrides = [text for setting in settings for text in ("--set", setting)]
    succeed("pretrain", EXPERIMENT, "--devices", "2", *overrides, cwd=tmp_path)
    run = tmp_path / "runs" / "latest"
    import_experiment_file(EXPERIMENT)
    checkpoint = load_checkpoint(run / "checkpoints" / "best.ckpt")
    experiment = checkpoint.description.experiment
    dataset = experiment.data.build("val", experiment.seed)
    imu_ND, video_ND = map(torch.from_numpy, embed(checkpoint.path, dataset))
    samples = [dataset[0, index] for index in range(len(dataset))]
    recording_N = torch.tensor([int(sample.recording) for sample in samples])
    time_N = torch.tensor([float(sample.time) for sample in samples], dtype=torch.float64)
    loss = experiment.loss.build().double()
    loss.load_state_dict({"log_scale": checkpoint.state["loss.log_scale"]})
    order = torch.randperm(len(dataset), generator=torch.Generator().manual_seed(experiment.seed))
    batches = [rows for rows in torch.split(order, 6) if len(rows) == 6]
    losses = [loss(imu_ND[rows], video_ND[rows], Overlap(recording_N[rows], time_N[rows], 2.0)) for rows in batches]
    assert torch.stack(losses).mean().item() == pytest.approx(min(logged(run, "val/loss")), rel=1e-6)
