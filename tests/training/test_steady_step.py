"""In a steady training step, the host asks nothing of the device, and processes exchange little."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from support.small_finetuning import finetuning
from support.small_run import built_in_experiment, train
from torch.utils.data import DataLoader

from revalexo_clip.augment import Scale
from revalexo_clip.augment.erasing import RandomErasing
from revalexo_clip.config.base import Experiment
from revalexo_clip.config.loading import load_experiment
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import DataError
from revalexo_clip.core.types import Batch
from revalexo_clip.losses import InfoNCE, NearestNeighbours, SelfContrast, SigLIP, Sum, Term
from revalexo_clip.models.encoders import ResNet1D
from revalexo_clip.pretraining.build import build_setup
from revalexo_clip.pretraining.module import ContrastiveModule
from revalexo_clip.training.base_module import TrainingModule
from revalexo_clip.training.drawn_batches import TrainingBatch, TrainingSample
from revalexo_clip.training.step_functions import clip_gradient, trained_parameters

pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")

RECIPE = Path(__file__).parents[2] / "experiments" / "motion.py"
SMALL_RECIPE = (
    *("data.train_subjects=01,02", "data.val_subjects=08", "data.test_subjects=05", "data.channels=acc_*"),
    *("data.min_duration=3", "data.windows_per_clip=10", "data.workers=0", "batch_size=10", "batches.windows=5"),
    *("imu.width=8", "imu.pooled_width=12", "imu.shared=0", "video.width=8", "embed_dim=8", "tokens.count=6"),
    *("tokens.dim=4", "loss.terms.recording.loss.near=0.5", "loss.terms.recording.loss.far=0.7", "joint_augment=[]"),
    'imu_augment=[{"type": "Scale"}, {"type": "GaussianNoise"}]',
    *("trainer.accelerator=cpu", "trainer.max_epochs=2", "trainer.average=0.9", "trainer.gradient_clip=1"),
)
TRAINER = {"accelerator": "cpu", "max_epochs": 2}
ALL_TERMS = Sum(
    terms={
        "pooled": Term(InfoNCE(label_smoothing=0.1)),
        "sigmoid": Term(SigLIP()),
        "self": Term(SelfContrast()),
        "near": Term(NearestNeighbours(queue=4)),
    }
)


def motion(written: Path, *overrides: str) -> PretrainExperiment:
    return load_experiment(str(RECIPE), [f"data.root={written}", *SMALL_RECIPE, *overrides])


def frames(distinct: Path, **fields: object) -> PretrainExperiment:
    """X3D-XS with all terms and augmentations that need both."""
    given = {"imu_augment": (Scale(),), "video_augment": (RandomErasing(p=1),), "loss": ALL_TERMS}
    return built_in_experiment(distinct, trainer=TRAINER, **given, **fields)


Made = Callable[[Path, Path], Experiment]


def classifier(distinct: Path, **fields: object) -> Experiment:
    return longer(finetuning(distinct, None, imu=ResNet1D(width=8), trainer=TRAINER, **fields), 24)


def longer(experiment: Experiment, windows: int) -> Experiment:
    """Give epochs several steady steps, and no row of the log before the last."""
    data = experiment.data.model_copy(update={"windows_per_clip": windows})
    return experiment.model_copy(update={"data": data})


def of_two(experiment: Experiment) -> Experiment:
    return experiment.model_copy(update={"trainer": experiment.trainer.model_copy(update={"devices": 2})})


@pytest.mark.long
@pytest.mark.parametrize(
    ("make", "most"),
    [
        pytest.param(lambda written, _: motion(written), 3, id="motion"),
        pytest.param(lambda written, _: motion(written, "micro_batch=2"), 3, id="motion in parts"),
        pytest.param(lambda _, distinct: longer(frames(distinct), 10), 3, id="x3d_xs"),
        pytest.param(lambda _, distinct: classifier(distinct), 1, id="classifier"),
    ],
)
def test_processes_exchange_little_and_the_host_reads_nothing(
    make: Made, most: int, written: Path, distinct: Path, tmp_path: Path
) -> None:
    experiment = of_two(make(written, distinct))
    (tmp_path / "experiment.json").write_text(experiment.to_json())
    kind = "pretrain" if isinstance(experiment, PretrainExperiment) else "finetune"
    command = [sys.executable, "-m", "support.counted_steps", kind, "experiment.json", str(tmp_path)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    for rank in (0, 1):
        found = json.loads((tmp_path / f"{rank}.json").read_text())
        steps = len(found["waits"]) // 2
        assert steps >= 4
        for step in range(2 * steps):
            if step % steps not in {0, steps - 1}:  # the first and the last of an epoch are not steady
                assert found["waits"][step] == [], step
                assert 0 < len(found["collectives"][step]) <= most, found["collectives"][step]
        assert found["waits"][0], "the first step is checked"
        assert len(found["collectives"][steps - 1]) > 3, "that of validation"


@pytest.mark.long
@pytest.mark.parametrize(("name", "part"), [("motion", None), ("motion", 1), ("x3d_xs", None)])
def test_on_a_device_that_cannot_be_read_a_step_is_taken(
    name: str, part: int | None, written: Path, distinct: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Torch's device `meta` computes shapes only: it has no values to wait for. The code takes the way of a GPU."""
    made = motion(written) if name == "motion" else frames(distinct)
    module, data = _built(made.model_copy(update={"micro_batch": part}), monkeypatch)
    batches = iter(data)
    optimizer, _ = made.optim.build(module, 10)

    def step(device: str) -> None:
        batch = module.transfer_batch_to_device(next(batches), torch.device(device), 0)
        optimizer.zero_grad()
        pending = module.compute_gradients(batch)
        assert module.total_loss(pending.shares).device.type == device
        clip_gradient(optimizer, 1.0)
        module._weights_before.keep(trained_parameters(optimizer))
        optimizer.step()
        module.log_step(pending.shares)
        assert module._contrast is not None
        module._contrast.update()

    step("cpu")  # components check the first batch
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which does not know the device
    module.to("meta")
    optimizer.state.clear()
    module._weights_before = type(module._weights_before)()
    for modality in module.between.values():
        modality.reset()
    module._log = type(module._log)()
    step("meta")
    with pytest.raises(RuntimeError, match="meta"):
        float(next(module.parameters()).detach().sum())


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", ["motion", "x3d_xs"])
def test_no_operation_of_a_steady_step_waits_for_the_gpu(
    name: str, written: Path, distinct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = motion(written) if name == "motion" else frames(distinct)
    on_gpu = made.trainer.model_copy(update={"accelerator": "gpu", "devices": 1, "precision": "bf16-mixed"})
    begin, modes = TrainingModule.on_before_batch_transfer, list[str]()

    def watched(
        self: TrainingModule, batch: TrainingBatch | Batch | DataError, dataloader_idx: int
    ) -> TrainingBatch | Batch | DataError:
        done = self.trainer.fit_loop.epoch_loop.batch_progress.current.completed
        steady = self.trainer.training and done > 1 and not self.trainer.is_last_batch
        modes.append("error" if steady else "default")
        torch.cuda.set_sync_debug_mode(modes[-1])
        return begin(self, batch, dataloader_idx)

    monkeypatch.setattr(TrainingModule, "on_before_batch_transfer", watched)
    try:
        train(made.model_copy(update={"trainer": on_gpu}), tmp_path)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert "error" in modes


def _built(
    experiment: PretrainExperiment, monkeypatch: pytest.MonkeyPatch
) -> tuple[ContrastiveModule, DataLoader[TrainingSample | DataError]]:
    setup = build_setup(experiment)
    monkeypatch.setattr(ContrastiveModule, "global_step", 0)
    monkeypatch.setattr(ContrastiveModule, "backward_pass", lambda self, loss, last: torch.autograd.backward(loss))
    return setup.module, setup.data.train_dataloader()
