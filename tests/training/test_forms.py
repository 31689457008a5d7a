"""The options of the trainer that choose how things are computed reach torch, and compute the same."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import chdir
from pathlib import Path

import pytest
import torch
from support.interrupted_run import INTERRUPTED, Go, assert_same
from support.small_run import built_in_experiment, train
from support.small_training import logged, small, weights

from revalexo_clip.config.base import TrainerConfig
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.errors import ConfigError, Interrupted
from revalexo_clip.pretraining.build import build_setup
from revalexo_clip.pretraining.run import pretrain
from revalexo_clip.training.trainer import _check_cuda, build_trainer, check_fused

pytest_plugins = ("support.interrupted_run",)
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")


@pytest.fixture(autouse=True)
def _torch_as_it_was() -> Iterator[None]:
    products, convolutions, benchmark = (
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
    )
    yield
    torch.set_float32_matmul_precision(products)
    torch.backends.cudnn.allow_tf32, torch.backends.cudnn.benchmark = convolutions, benchmark


def experiment(root: Path, optim: dict[str, object] | None = None, **trainer: object) -> PretrainExperiment:
    fields = {"max_epochs": 2, "accelerator": "cpu"} | trainer
    return built_in_experiment(root, trainer=fields, optim={"type": "AdamW", "lr": 1e-3} | (optim or {}))


@pytest.fixture(scope="module")
def plain(distinct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run without any of the options."""
    return train(experiment(distinct), tmp_path_factory.mktemp("plain"))


@pytest.mark.parametrize("chosen", [False, True])
def test_precision_and_search_of_algorithms_reach_torch(chosen: bool) -> None:
    build_trainer(TrainerConfig(accelerator="cpu", tf32=chosen, cudnn_benchmark=chosen), [], loggers=[])
    assert torch.get_float32_matmul_precision() == ("high" if chosen else "highest")
    assert torch.backends.cuda.matmul.allow_tf32 is chosen
    assert torch.backends.cudnn.allow_tf32 is chosen
    assert torch.backends.cudnn.benchmark is chosen


@pytest.mark.long
def test_on_a_cpu_they_change_nothing(distinct: Path, plain: Path, tmp_path: Path) -> None:
    run = train(experiment(distinct, tf32=True, cudnn_benchmark=True), tmp_path)
    state, expected = (weights(each / "checkpoints/last.ckpt") for each in (run, plain))
    assert all(torch.equal(value, state[name]) for name, value in expected.items())


@pytest.mark.long
def test_maps_in_channels_last_train_as_others_do(distinct: Path, plain: Path, tmp_path: Path) -> None:
    chosen = experiment(distinct, channels_last=True)
    video = build_setup(chosen).model.video
    assert video is not None
    kernels = [weight for weight in video.parameters() if weight.dim() == 5 and weight.shape[1] > 1]
    assert kernels
    assert all(kernel.is_contiguous(memory_format=torch.channels_last_3d) for kernel in kernels)
    run = train(chosen, tmp_path)
    assert logged(run, "train/loss_step") == pytest.approx(logged(plain, "train/loss_step"), rel=1e-4)
    assert '"channels_last": true' in (run / "experiment.json").read_text()


@pytest.mark.long
def test_a_fused_optimizer_trains_as_others_do(distinct: Path, plain: Path, tmp_path: Path) -> None:
    chosen = experiment(distinct, {"fused": True})
    setup = build_setup(chosen)
    optimizer, _ = chosen.optim.build(setup.module, 4)
    assert all(group["fused"] for group in optimizer.param_groups)
    run = train(chosen, tmp_path)
    assert logged(run, "train/loss_step") == pytest.approx(logged(plain, "train/loss_step"), rel=1e-5)
    state, expected = (weights(each / "checkpoints/last.ckpt") for each in (run, plain))
    torch.testing.assert_close(state, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.long
def test_with_the_forms_that_keep_the_exact_resume_a_resumed_run_is_equal(
    go: Go, written: Path, tmp_path: Path
) -> None:
    settings = (
        *("trainer.channels_last=true", "trainer.tf32=true", "optim.fused=true"),
        *("video.type=X3D", "video.weights=none", "data.crop=32", "trainer.max_epochs=2"),
    )
    (tmp_path / "whole").mkdir()
    with chdir(tmp_path / "whole"):
        whole = tmp_path / "whole" / pretrain(small(written, *settings, file=INTERRUPTED), INTERRUPTED)
    with pytest.raises(Interrupted):
        go(*settings, signal_at=f"4:{signal.SIGTERM}")
    assert_same(go(*settings), whole)


def test_fp16_and_a_fused_optimizer_are_refused(distinct: Path) -> None:
    for precision in ("32", "bf16-mixed"):
        check_fused(experiment(distinct, {"fused": True}, precision=precision))
    check_fused(experiment(distinct, precision="16-mixed"))
    with pytest.raises(ConfigError, match=r"optim\.fused: .* cannot be combined with 16-mixed"):
        check_fused(experiment(distinct, {"fused": True}, precision="16-mixed"))


def test_tf32_is_refused_on_a_gpu_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Old")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 5))
    _check_cuda(TrainerConfig())
    with pytest.raises(ConfigError, match=r"trainer\.tf32: Old has no TF32"):
        _check_cuda(TrainerConfig(tf32=True))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (9, 0))
    _check_cuda(TrainerConfig(tf32=True))
