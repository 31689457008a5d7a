"""What needs CUDA, and the benchmark of a GPU, which also runs on a CPU."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from support.pages import ROOT
from support.small_process import EXPERIMENT, succeed
from support.small_training import logged
from torch.nn.attention import SDPBackend, sdpa_kernel

from benchmarks.gpu.parity import encoders_section
from benchmarks.gpu.parity_cases import cases
from benchmarks.gpu.parity_losses import classification, contrastive, losses_section, registered
from benchmarks.gpu.profiled import watched_host
from benchmarks.gpu.runs import differences
from benchmarks.gpu.steps import largest
from benchmarks.gpu.wheels import PRESENT, lacking, required
from revalexo_clip.core.types import VideoSpec
from revalexo_clip.losses import ClassificationLoss, Loss
from revalexo_clip.models.encoders import MViT
from revalexo_clip.models.encoders.base import use_channels_last


@pytest.mark.gpu
def test_encoders_and_their_forms_compute_on_cuda_what_they_compute_in_float64() -> None:
    section = encoders_section(cases(quick=True), torch.device("cuda", 0))
    assert section.failures == []


@pytest.mark.gpu
def test_losses_compute_on_cuda_what_they_compute_in_float64() -> None:
    assert losses_section(torch.device("cuda", 0), quick=True).failures == []


@pytest.mark.gpu
def test_a_pretraining_in_bf16_on_cuda_stays_near_one_on_a_cpu(distinct: Path, tmp_path: Path) -> None:
    def losses(name: str, *settings: str) -> list[float]:
        (tmp_path / name).mkdir()
        chosen = (f"data.root={distinct}", "batch_size=20", "trainer.max_epochs=3", "trainer.devices=1", *settings)
        overrides = [word for setting in chosen for word in ("--set", setting)]
        succeed("pretrain", EXPERIMENT, *overrides, cwd=tmp_path / name)
        return logged(tmp_path / name / "runs" / "latest", "train/loss_step")

    on_cuda = losses("cuda", "trainer.accelerator=gpu", "trainer.precision=bf16-mixed")
    assert on_cuda == pytest.approx(losses("cpu", "trainer.accelerator=cpu"), rel=0.1)


@pytest.mark.gpu
@pytest.mark.parametrize("channels_last", [False, True])
def test_attention_of_mvit_takes_the_flash_form_in_bf16(channels_last: bool) -> None:
    encoder = MViT(weights=None).build(VideoSpec(frames=4, crop=64, short_side=64, window=2.0), 8)
    if channels_last:
        use_channels_last(encoder)
    encoder = encoder.cuda().train()
    with sdpa_kernel(SDPBackend.FLASH_ATTENTION), torch.autocast("cuda", torch.bfloat16):  # an error if it cannot
        loss = encoder(torch.randn(2, 3, 4, 64, 64, device="cuda")).float().square().sum()
    loss.backward()


def test_losses_are_those_of_float64_on_a_cpu() -> None:
    assert losses_section(torch.device("cpu"), quick=True).failures == []


def test_every_registered_loss_is_compared() -> None:
    compared = {type(loss).__name__ for _, loss in (*contrastive(), *classification())}
    assert compared == {name for base in (Loss, ClassificationLoss) for name, _ in registered(base)}


@pytest.mark.parametrize("limit", [0, 1, 2, 3, 7, 48, 100, 1000])
def test_the_largest_batch_is_found_to_an_eighth(limit: int) -> None:
    tried: list[int] = []

    def fits(batch: int) -> bool:
        tried.append(batch)
        return batch <= limit

    found = largest(fits, cap=512)
    expected = min(limit, 512)
    assert found <= expected <= found + max(found // 8, 1)
    assert len(tried) <= 2 * math.log2(512) + 2


def test_differences_of_losses_are_relative() -> None:
    expected: Sequence[float] = [2.0, 4.0]
    assert differences([2.0, 5.0], expected) == pytest.approx([0.0, 0.25])


def test_waits_are_counted_by_the_line_that_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[object] = []
    monkeypatch.setattr(torch.cuda, "set_sync_debug_mode", modes.append)
    waits: Counter[str] = Counter()
    with watched_host(waits, torch.device("cuda")):
        for message in ("does not yet detect all synchronizing operations", *["called a synchronizing operation"] * 2):
            warnings.warn(message, stacklevel=1)
    assert modes == ["warn", "default"]
    ((place, count),) = waits.items()
    assert count == 2
    assert place.startswith("tests/test_gpu.py:")
    assert "warnings.warn(message" in place


@pytest.mark.long
def test_the_wheels_are_all_that_the_machine_lacks() -> None:
    names = {package.partition("==")[0] for package in lacking()}
    assert {"pydantic", "pydantic-core", "pytorchvideo", "fvcore", "iopath", "av", "simplejpeg"} <= names
    assert not names & {"torch", "numpy", "lightning", "revalexo-clip"}
    assert required(["revalexo-clip"]) - {"revalexo-clip"} <= names | required(PRESENT)


@pytest.mark.long
def test_the_benchmark_runs_to_its_end_on_a_cpu(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--device", "cpu", "--quick"]
    files = ["--markdown", str(tmp_path / "gpu.md"), "--json", str(tmp_path / "gpu.json")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(
        [*command, *files], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    written = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    titles = [section["title"] for section in written["sections"]]
    assert len(titles) == 11
    assert all(f"## {title}" in (tmp_path / "gpu.md").read_text(encoding="utf-8") for title in titles)
    resumed = next(section for section in written["sections"] if "resumed" in section["title"])
    assert resumed["rows"][1][4:] == ["0.0e+00", "0.0e+00"], "on a CPU, a resumed run is equal to the uninterrupted one"
