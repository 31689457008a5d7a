"""What a user's component returns is checked at the first step, and the error names the component."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from support.small_finetuning import finetuning
from support.small_process import call
from support.small_run import built_in_experiment, train
from torch import Tensor, nn

from revalexo_clip import ImuSpec
from revalexo_clip.augment import ImuAugmentation
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import ConfigError, UserError
from revalexo_clip.finetuning.run import dry_run_finetuning
from revalexo_clip.losses import ClassificationLossModule, ClassifierOutput, LossModule, Overlap
from revalexo_clip.losses.base import Loss
from revalexo_clip.losses.classification import ClassificationLoss
from revalexo_clip.losses.terms import Sum, Term
from revalexo_clip.models.encoders import ImuEncoder
from revalexo_clip.pretraining.run import dry_run_pretraining
from revalexo_clip.runs.options import RunOptions

pytestmark = pytest.mark.usefixtures("only_built_in")

Change = Callable[[Tensor], object]


class Net(nn.Module):
    def __init__(self, channels: int, dim: int, change: Change) -> None:
        super().__init__()
        self.linear, self.change = nn.Linear(channels, dim), change

    def forward(self, imu_BLC: Tensor) -> object:
        return self.change(self.linear(imu_BLC.mean(dim=1)))


CHANGES: dict[str, Change] = {
    "itself": lambda x: x,
    "wide": lambda x: x.repeat(1, 2),
    "sequence": lambda x: x[:, None],
    "transposed": lambda x: x.T,
    "double": lambda x: x.double(),
    "whole": lambda x: x.long(),
    "nan": lambda x: x * float("nan"),
    "tuple": lambda x: (x, x),
    "scalar": lambda x: x.mean(),
    "each": lambda x: x.mean(dim=1),
    "column": lambda x: x.mean(dim=1, keepdim=True),
    "detached": lambda x: x.mean().detach(),
    "infinite": lambda x: x.mean() / 0,
    "number": lambda x: float(x.detach().mean()),
}


def experiment(root: Path, **fields: object) -> PretrainExperiment:
    return built_in_experiment(root, **fields)


def mean_encoder(change: str) -> ImuEncoder:
    class Mean(ImuEncoder):
        def build(self, spec: ImuSpec, embed_dim: int) -> nn.Module:
            return Net(len(spec.channels), embed_dim, CHANGES[change])

    return Mean()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("wide", r"must return floats \[B, F\] = \[4, 16\], not torch.float32 \[4, 32\]"),
        ("sequence", r"= \[4, 16\], not torch.float32 \[4, 1, 16\]"),
        ("transposed", r"= \[4, 16\], not torch.float32 \[16, 4\]"),
        ("double", r"= \[4, 16\] in float32, or in what autocast chooses, not torch.float64 \[4, 16\]"),
        ("whole", r"= \[4, 16\], not torch.int64"),
        ("tuple", r"= \[4, 16\], not tuple"),
        ("nan", "returned features that are not finite, for every window of the first step"),
    ],
)
def test_features_of_a_wrong_kind_are_those_of_a_named_encoder(distinct: Path, change: str, says: str) -> None:
    with pytest.raises(UserError, match=f"^imu: Mean .*{says}"):
        dry_run_pretraining(experiment(distinct, imu=mean_encoder(change)), RunOptions())


class Squared(LossModule):
    """The mean square of the difference of both vectors, changed."""

    def __init__(self, change: Change) -> None:
        super().__init__()
        self.weight, self.change = nn.Parameter(torch.ones(())), change

    def forward(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None = None) -> Tensor:
        return self.change(self.weight * (imu_ND - video_ND) ** 2)  # type: ignore[return-value]

    @property
    def temperature(self) -> Tensor:
        return self.weight.detach()


def squared_loss(change: str) -> Loss:
    class Difference(Loss):
        def build(self) -> LossModule:
            return Squared(CHANGES[change])

    return Difference()


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("each", r"must return a scalar, a float \[\], not torch.float32 \[4\]"),
        ("column", r"must return a scalar, a float \[\], not torch.float32 \[4, 1\]"),
        ("number", r"must return a scalar, a float \[\], not float"),
        ("detached", "returned a loss without a gradient"),
        ("infinite", "returned a loss that is not finite, in the first step, for finite vectors"),
    ],
)
@pytest.mark.parametrize("micro_batch", [None, 2])
def test_a_loss_of_a_wrong_kind_is_that_of_a_named_loss(
    distinct: Path, change: str, says: str, micro_batch: int | None
) -> None:
    with pytest.raises(UserError, match=f"^loss: Difference {says}"):
        dry_run_pretraining(experiment(distinct, loss=squared_loss(change), micro_batch=micro_batch), RunOptions())


class Shares(Squared):
    """A loss that overrides the part of one process."""

    def share(self, imu_ND: Tensor, video_ND: Tensor, overlap: Overlap | None, rows: slice) -> Tensor:
        return self.weight * (imu_ND[rows] * video_ND[rows]).sum(dim=1)


def test_a_term_that_overrides_its_share_is_named(distinct: Path) -> None:
    class Overridden(Loss):
        def build(self) -> LossModule:
            return Shares(CHANGES["scalar"])

    both = Sum(terms={"first": Term(squared_loss("scalar")), "second": Term(Overridden())})
    with pytest.raises(
        UserError, match=r"^loss\.terms\.second: Shares must return a scalar, .* not torch.float32 \[4\]"
    ):
        dry_run_pretraining(experiment(distinct, loss=both), RunOptions())


@pytest.mark.long
def test_components_that_return_what_they_should_are_not_disturbed(distinct: Path, tmp_path: Path) -> None:
    fine = experiment(distinct, imu=mean_encoder("itself"), loss=squared_loss("scalar"), micro_batch=2)
    assert (train(fine, tmp_path) / "checkpoints" / "last.ckpt").is_file()


def test_the_loss_of_a_classifier_is_one_for_each_window(distinct: Path) -> None:
    class Plain(ClassificationLossModule):
        def forward(self, output: ClassifierOutput, label_BK: Tensor, teacher: ClassifierOutput | None) -> Tensor:
            return output.logits_BKA.square().mean()

    class PlainLoss(ClassificationLoss):
        def build(self, features: int, teacher_features: int | None) -> ClassificationLossModule:
            return Plain()

    new = {"embed_dim": 16, "modality": "imu", "loss": PlainLoss()}
    with pytest.raises(UserError, match=r"^loss: PlainLoss must return one float for each window, \[B\] = \[8\], not"):
        dry_run_finetuning(finetuning(distinct, None, imu=mean_encoder("itself"), **new), RunOptions())


def augmentation(draw: npt.NDArray[np.generic], change: Change) -> ImuAugmentation:
    class Jitter(ImuAugmentation):
        def sample(self, rng: np.random.Generator, spec: ImuSpec) -> npt.NDArray[np.float32]:
            return draw  # type: ignore[return-value]

        def apply(self, imu_BLC: Tensor, drawn: Tensor) -> Tensor:
            return change(imu_BLC * drawn[:, None])  # type: ignore[return-value]

    return Jitter()


ONES = np.ones(6, np.float32)


@pytest.mark.parametrize(
    ("draw", "change", "says"),
    [
        (np.ones(6), CHANGES["scalar"], r"Jitter.sample must return a float32 array, not a float64 array \[6\]"),
        (ONES, CHANGES["double"], r"Jitter.apply must return .* torch.float32 \[4, 120, 6\], not torch.float64 \[4"),
        (ONES, lambda x: x[:, 1:], r"Jitter.apply must return .* torch.float32 \[4, 120, 6\], not .* \[4, 119, 6\]"),
        (ONES, CHANGES["tuple"], r"Jitter.apply must return .* \[4, 120, 6\], not tuple"),
    ],
)
def test_draws_and_windows_of_a_wrong_kind_are_those_of_a_named_augmentation(
    distinct: Path, draw: npt.NDArray[np.generic], change: Change, says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        dry_run_pretraining(experiment(distinct, imu_augment=(augmentation(draw, change),)), RunOptions())


OWN = """
from pathlib import Path
from torch import nn
from revalexo_clip import *

class Broken(ImuEncoder):
    def build(self, spec, embed_dim):
        return BrokenNet(embed_dim)

class BrokenNet(nn.Module):
    def __init__(self, embed_dim):
        super().__init__()
        self.linear = nn.Linear(7, embed_dim)

    def forward(self, imu_BLC):
        return self.linear(imu_BLC.mean(dim=1))

class Own(PretrainExperiment):
    data: Dataset = RevalExo(
        root=Path({root!r}), train_subjects=("01", "02"), val_subjects=("08",), channels=("acc_*",),
        min_duration=3.0, frames=4, crop=32, short_side=36, workers=0,
    )
    imu: ImuEncoder = Broken()
    video: VideoEncoder = X3D(weights=None)
    embed_dim: int = 16
    batch_size: int = 4
    trainer: TrainerConfig = TrainerConfig(max_epochs=1, accelerator="cpu")
"""


@pytest.mark.long
def test_an_error_in_own_code_is_one_message_and_its_traceback_is_in_the_log(distinct: Path, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN.format(root=str(distinct)))
    dry, run = (call("pretrain", "own.py", *options, cwd=tmp_path) for options in (("--dry-run",), ()))
    for finished in (dry, run):
        assert finished.returncode == 1
        assert "Traceback" not in finished.stderr
        assert "own.py:16, in forward: RuntimeError: mat1 and mat2 shapes cannot be multiplied" in finished.stderr
    assert "For the traceback, see it with rxclip --debug" in dry.stderr
    (log,) = (tmp_path / "runs").glob("own/*/log.txt")
    assert f"For the traceback, it is in {log.relative_to(tmp_path)}" in run.stderr
    assert "Traceback (most recent call last)" in log.read_text()
    assert 'own.py", line 16, in forward' in log.read_text()


def test_an_error_of_this_package_stays_as_it_is_and_its_traceback_is_in_the_log(
    distinct: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("revalexo_clip.pretraining.module.ContrastiveModule.log_step", fail)
    with chdir(tmp_path), pytest.raises(ZeroDivisionError):
        train(experiment(distinct), tmp_path)
    (log,) = (tmp_path / "runs").glob("built_in/*/log.txt")
    assert "ZeroDivisionError" in log.read_text()
