from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
import torch.distributed as dist
from lightning.pytorch.accelerators import CPUAccelerator
from lightning.pytorch.strategies import SingleDeviceStrategy
from support.processes import in_processes
from support.small_process import EXPERIMENT, rxclip
from support.small_training import small
from support.tiny_dataset import steady, write_video

from revalexo_clip.core.errors import ConfigError, DataError, UserError
from revalexo_clip.core.files import WriteError
from revalexo_clip.data.batches import EpochSampler
from revalexo_clip.data.windows import frame_times
from revalexo_clip.runs.checkpoint import AtomicCheckpointIO
from revalexo_clip.training.distributed import connected, gather, raise_on_all_ranks, rank
from revalexo_clip.training.trainer import AgreeingTrainer

CPU = torch.device("cpu")


def ways_to_end() -> list[BaseException]:
    """How this process ends where one has an error, where both have one, and where the other one is gone."""
    raise_on_all_ranks(None, CPU)
    with pytest.raises((UserError, SystemExit)) as one_fails:
        raise_on_all_ranks(DataError("b.mp4 is empty") if rank() == 1 else None, CPU)
    with pytest.raises((UserError, SystemExit)) as both_fail:
        raise_on_all_ranks(ConfigError(f"this is process {rank()}"), CPU)
    with pytest.raises((UserError, SystemExit)) as full:
        save_to_a_full_disk()
    endings = [one_fails.value, both_fail.value, full.value]
    if rank() == 0:  # the other process returns, and ends
        with pytest.raises(UserError) as alone, connected():
            gather(torch.zeros(1))
        endings.append(alone.value)
    return endings


class Joined(SingleDeviceStrategy):
    """A strategy whose processes wait for each other, and of which the first one writes."""

    @property
    def is_global_zero(self) -> bool:
        return rank() == 0

    def barrier(self, name: str | None = None) -> None:
        dist.barrier()


def save_to_a_full_disk() -> None:
    strategy = Joined(CPU, accelerator=CPUAccelerator(), checkpoint_io=AtomicCheckpointIO())
    trainer = AgreeingTrainer(strategy=strategy, logger=False, enable_progress_bar=False, enable_model_summary=False)
    strategy.connect(pl.LightningModule())
    trainer.save_checkpoint(Path(__file__, "last.ckpt"))


@pytest.mark.long
def test_of_two_processes_the_first_raises_what_either_has_met_and_the_other_leaves_quietly(tmp_path: Path) -> None:
    first, second = in_processes(2, ways_to_end, tmp_path)
    assert isinstance(first, list)
    assert isinstance(second, list)
    assert [(type(ending), str(ending)) for ending in first] == [
        (DataError, "b.mp4 is empty"),
        (ConfigError, "this is process 0"),
        (WriteError, f"{__file__}/last.ckpt: cannot be written: File exists"),
        (UserError, "another training process ended; its message is above, or else it was killed"),
    ]
    assert [(type(ending), ending.code) for ending in second] == [(SystemExit, 0)] * 3


def test_a_process_alone_raises_its_own_error_and_keeps_tracebacks_of_defects() -> None:
    raise_on_all_ranks(None, CPU)
    error = DataError("b.mp4 is empty")
    with pytest.raises(DataError) as raised:
        raise_on_all_ranks(error, CPU)
    assert raised.value is error
    with pytest.raises(RuntimeError, match="connection reset by peer"), connected():
        raise RuntimeError("connection reset by peer")


def met_by_the_second_process(validating: bool, root: Path) -> tuple[str, float]:
    """A clip, and a time in it [s] that only one window shows, which the second of two processes loads."""
    dataset = small(root).data.build("val" if validating else "train", seed=42)
    second = range(1, 10, 2) if validating else [i for _, i in EpochSampler(40, 8, seed=42, rank=1, world=2)]
    shown = {
        index: (int(sample.clip), frame_times(float(sample.start), 2.0, 4))
        for index in range(len(dataset))
        for sample in [dataset[0, index]]
    }
    for index in second:
        clip, times = shown[index]
        others = [moments for other, (of, moments) in shown.items() if of == clip and other != index]
        for time_shown in times[1:-1]:
            middle = (np.floor(time_shown * 30 - 3) + 3.5) / 30
            if all(np.abs(moments - middle).min() > 0.03 for moments in others):
                return dataset.clip_names[clip], middle
    raise AssertionError("every moment is shown by several windows")


@pytest.mark.long
@pytest.mark.parametrize("validating", [False, True], ids=["training", "validating"])
def test_a_data_error_in_one_process_ends_both_with_one_message(validating: bool, root: Path) -> None:
    clip, middle = met_by_the_second_process(validating, root)
    write_video(
        root / f"videos/{clip}.mp4", [time for time in steady() if abs(time - middle) > 0.11], codec={"g": "30"}
    )
    begun = time.monotonic()
    finished = rxclip(
        *("pretrain", EXPERIMENT, "--devices", "2", "--set", "data.root=dataset", "--set", "data.workers=1"),
        cwd=root.parent,
    )
    assert time.monotonic() - begun < 200  # not when a timeout of torch is over
    assert finished.returncode == 1, finished.stderr
    assert "Traceback" not in finished.stderr
    messages = [line for line in finished.stderr.splitlines() if line.startswith(("error", "Subject", "["))]
    assert len(messages) == 1, finished.stderr
    assert messages[0].startswith(f"error: {clip}, window at ")
    assert f"{clip}.mp4: has no frame near " in messages[0]
    assert finished.stdout == ""


@pytest.mark.long
def test_a_window_that_one_of_two_processes_cannot_read_ends_both_one_step_later(root: Path, tmp_path: Path) -> None:
    clip, middle = met_by_the_second_process(validating=False, root=root)
    video = root / f"videos/{clip}.mp4"
    write_video(video, [time for time in steady() if abs(time - middle) > 0.11], codec={"g": "30"})
    experiment = small(root, "trainer.devices=2", "trainer.log_every=20", "trainer.checkpoint_minutes=0")
    (tmp_path / "experiment.json").write_text(experiment.to_json())
    command = ["-m", "support.counted_steps", "pretrain", "experiment.json", str(tmp_path), str(EXPERIMENT)]
    done = subprocess.run(
        [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 1
    raised = [line for line in done.stderr.splitlines() if "core.errors.DataError: " in line]
    assert raised
    assert all(f"DataError: {clip}, window at " in line for line in raised), raised
