"""Pretraining with a sum of terms: what is logged, and resuming with a queue of earlier batches."""

from __future__ import annotations

import csv
import json
import signal
from pathlib import Path

import pytest
import torch
from support.interrupted_run import Go, assert_same
from support.small_process import succeed
from support.small_run import train
from support.small_training import DESCENT, logged, small, weights
from torch import Tensor

from revalexo_clip.core.errors import ConfigError, Interrupted

pytest_plugins = ("support.interrupted_run",)
pytestmark = pytest.mark.filterwarnings("ignore:::lightning", "ignore:This DataLoader will create")

WEIGHTS = {"near": 0.5, "wide": 1.0, "neighbours": 0.25, "distilled": 0.5}
QUEUE = 20
TERMS = (
    "loss.type=Sum",
    "loss.terms="
    + json.dumps(
        {
            "near": {"loss": {"type": "InfoNCE", "temperature": 0.2}, "weight": WEIGHTS["near"]},
            "wide": {"loss": {"type": "InfoNCE", "temperature": 0.9}},
            "neighbours": {"loss": {"type": "NearestNeighbours", "queue": QUEUE}, "weight": WEIGHTS["neighbours"]},
            "distilled": {"loss": {"type": "QueueDistillation", "queue": QUEUE}, "weight": WEIGHTS["distilled"]},
        }
    ),
)
"""Two objectives, one that starts in the fourth step of 8 windows, and one that starts in the second."""


@pytest.fixture(scope="module")
def trained(distinct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two epochs of 5 steps."""
    settings = ("data.windows_per_clip=20", "trainer.max_epochs=2", "optim.loss_lr_scale=10")
    return train(small(distinct, *TERMS, *settings), tmp_path_factory.mktemp("terms"))


def columns(run: Path) -> set[str]:
    with (run / "metrics.csv").open(newline="") as file:
        return set(next(csv.reader(file)))


@pytest.mark.long
def test_each_term_is_logged_by_its_name_and_the_loss_is_their_weighted_sum(trained: Path) -> None:
    for metric in ("loss", "chance"):
        total = logged(trained, "train/loss_epoch" if metric == "loss" else "train/chance")
        terms = {name: logged(trained, f"train/{metric}/{name}") for name in WEIGHTS}
        assert len(total) == 2
        for epoch, value in enumerate(total):
            expected = sum(WEIGHTS[name] * values[epoch] for name, values in terms.items())
            assert value == pytest.approx(expected, rel=1e-5)
    temperatures = {name: logged(trained, f"train/temperature/{name}") for name in WEIGHTS}
    assert temperatures["near"][0] == pytest.approx(0.2, rel=0.05), "after a step"
    assert temperatures["wide"][0] == pytest.approx(0.9, rel=0.05)
    rates = logged(trained, "train/lr")
    assert logged(trained, "train/lr/loss") == pytest.approx([10 * rate for rate in rates])
    assert "train/temperature" not in columns(trained)


def floats(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return a state with the vectors of the queue, which are saved as bits."""
    return {name: value.view(torch.float32) if "bits_QD" in name else value for name, value in state.items()}


def test_neighbours_start_when_the_queue_is_full(trained: Path) -> None:
    first, second = logged(trained, "train/loss/neighbours")
    assert 0 < first < 0.6 * second, "three of five steps had none"
    state = weights(trained / "checkpoints/last.ckpt")
    assert state["loss.losses.neighbours.pushed"] == 10 * 8
    queue_QD = floats(state)["loss.losses.neighbours.imu_bits_QD"]
    torch.testing.assert_close(queue_QD.norm(dim=1), torch.ones(QUEUE))
    temperature = logged(trained, "train/temperature/neighbours")
    assert len(set(temperature[:3])) == 1, "no gradient before"
    assert len(set(temperature[3:])) > 1


def test_validation_has_the_terms_that_its_windows_have_and_chance_beside_them(trained: Path) -> None:
    names = {name for name in columns(trained) if name.startswith(("val/loss", "val/chance"))}
    assert names == {f"val/{metric}{term}" for metric in ("loss", "chance") for term in ("", "/near", "/wide")}
    for metric in ("loss", "chance"):
        near, wide = (logged(trained, f"val/{metric}/{name}") for name in ("near", "wide"))
        expected = [0.5 * one + other for one, other in zip(near, wide, strict=True)]
        assert logged(trained, f"val/{metric}") == pytest.approx(expected, rel=1e-6)


@pytest.mark.long
def test_the_share_of_clipped_steps_is_logged(trained: Path, distinct: Path, tmp_path: Path) -> None:
    limit = sorted(logged(trained, "train/gradient_norm"))[4]
    run = train(small(distinct, *TERMS, f"trainer.gradient_clip={limit}", "data.windows_per_clip=20"), tmp_path)
    norms = logged(run, "train/gradient_norm")
    assert logged(run, "train/clipped") == pytest.approx([sum(norm > limit for norm in norms) / len(norms)])
    assert any(norm > limit for norm in norms)
    assert "train/clipped" not in columns(train(small(distinct, "trainer.gradient_clip=0"), tmp_path))


@pytest.mark.long
@pytest.mark.parametrize("at", [2, 9])
def test_a_resumed_run_has_the_queue_bit_for_bit(go: Go, at: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    settings = (*TERMS, "trainer.average=0.9")
    with pytest.raises(Interrupted):
        go(*settings, signal_at=f"{at}:{signal.SIGTERM}")
    resumed = go(*settings)
    untouched = go(*settings, resume=None)
    for name in ("neighbours", "distilled"):
        assert weights(untouched / "checkpoints/last.ckpt")[f"loss.losses.{name}.pushed"] > QUEUE
    assert_same(resumed, untouched)


@pytest.mark.long
def test_two_processes_train_and_log_the_terms_as_one(written: Path, tmp_path: Path) -> None:
    settings = (*TERMS, "data.windows_per_clip=40", "optim.lr=0.1", f"loss.terms.neighbours.loss.queue={QUEUE * 3}")
    overrides = (f"data.root={written}", "data.workers=0", *settings, "micro_batch=7")
    sets = [argument for override in overrides for argument in ("--set", override)]
    succeed("pretrain", DESCENT, "--devices", "2", *sets, cwd=tmp_path)
    (folder := tmp_path / "alone").mkdir()
    shared, alone = tmp_path / "runs/latest", train(small(written, *settings, file=DESCENT), folder)
    for metric in ("loss", "chance", "temperature"):
        for name in WEIGHTS:
            expected = logged(alone, f"train/{metric}/{name}")
            assert logged(shared, f"train/{metric}/{name}") == pytest.approx(expected, rel=1e-4)
    assert logged(alone, "train/loss/neighbours")[-1] > 1
    assert logged(shared, "val/loss") == pytest.approx(logged(alone, "val/loss"), rel=1e-4)
    for name, kept in weights(alone / "checkpoints/last.ckpt").items():
        value, found = kept, weights(shared / "checkpoints/last.ckpt")[name]
        if "bits_QD" in name:
            value, found = value.view(torch.float32), found.view(torch.float32)
        torch.testing.assert_close(found, value, rtol=1e-4, atol=1e-5, msg=name)


def test_tokens_that_the_model_does_not_give_are_refused_before_training(written: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"set tokens=\.\.\."):
        train(small(written, "loss.on=tokens"), tmp_path)
