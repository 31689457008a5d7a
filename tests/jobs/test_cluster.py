"""Processes that a scheduler starts, as SLURM does on two nodes, and processes of a run that are lost or stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from support.small_process import EXPERIMENT, succeed
from support.small_training import metrics, weights

INTERRUPTED = EXPERIMENT.with_name("interrupted_experiment.py")


def start(root: Path, folder: Path, *arguments: str, **environment: str) -> subprocess.Popen[str]:
    """`rxclip pretrain` in a folder, in a process group of its own."""
    folder.mkdir(exist_ok=True)
    command = (sys.executable, "-m", "revalexo_clip", "pretrain", str(INTERRUPTED), "--set", f"data.root={root}")
    return subprocess.Popen(
        [*command, *arguments],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Return its exit code and output. All processes that it started end with it, or a moment later."""
    _, printed = process.communicate(timeout=300)
    until = time.monotonic() + 20
    with suppress(ProcessLookupError):
        while time.monotonic() < until:
            os.killpg(process.pid, 0)
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        pytest.fail("it left processes behind")
    assert "Traceback" not in printed
    return process.returncode, printed


@pytest.fixture(scope="module")
def untouched(written: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An uninterrupted run in two processes."""
    folder = tmp_path_factory.mktemp("untouched")
    succeed("pretrain", INTERRUPTED, "--set", f"data.root={written}", "--devices", "2", cwd=folder)
    return folder / "runs/latest"


def assert_same(run: Path, untouched: Path) -> None:
    expected, found = (weights(folder / "checkpoints/last.ckpt") for folder in (untouched, run))
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert metrics(run) == metrics(untouched)


@pytest.mark.long
def test_a_process_that_is_killed_ends_the_run_with_a_message(written: Path, tmp_path: Path) -> None:
    begun = time.monotonic()
    code, printed = ended(start(written, tmp_path, "--devices", "2", SIGNAL_AT=f"3:{int(signal.SIGKILL)}:1"))
    assert code == 1, printed
    assert printed.count("error: another training process ended") == 1
    assert time.monotonic() - begun < 120


@pytest.mark.long
def test_a_first_process_that_is_killed_leaves_no_other_behind(written: Path, tmp_path: Path) -> None:
    code, printed = ended(start(written, tmp_path, "--devices", "2", SIGNAL_AT=f"3:{int(signal.SIGKILL)}:0"))
    assert code == -signal.SIGKILL
    assert "error" not in printed


@pytest.mark.long
@pytest.mark.parametrize(
    ("number", "process"),
    [(signal.SIGTERM, ":0"), (signal.SIGTERM, ":1"), (signal.SIGINT, "")],
    ids=["the first is asked to end", "the second is", "Ctrl-C reaches both"],
)
def test_processes_stop_at_one_step_and_go_on_as_if_they_had_not(
    written: Path, untouched: Path, tmp_path: Path, number: signal.Signals, process: str
) -> None:
    code, printed = ended(start(written, tmp_path, "--devices", "2", SIGNAL_AT=f"8:{int(number)}{process}"))
    assert code == 128 + number, printed
    assert printed.count("after step 8; saved as") == 1
    stopped = torch.load(tmp_path / "runs/latest/checkpoints/last.ckpt", weights_only=True)
    assert stopped["global_step"] == 8
    if process == ":1":  # all of them stop in the same way
        code, printed = ended(start(written, tmp_path, "--devices", "2", "--resume"))
        assert code == 0, printed
        assert_same(tmp_path / "runs/latest", untouched)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def srun(root: Path, folder: Path, **environment: str) -> list[tuple[int, str]]:
    """The processes that srun starts for a job on two nodes with one task each, with SLURM's environment."""
    port = str(free_port())
    tasks = [
        start(
            root,
            folder,
            *("--devices", "1", "--set", "trainer.num_nodes=2"),
            SLURM_JOB_ID="4711",
            SLURM_JOB_NAME="pretrain",
            SLURM_NTASKS="2",
            SLURM_NTASKS_PER_NODE="1",
            SLURM_NNODES="2",
            SLURM_NODELIST="127.0.0.1",
            SLURM_PROCID=str(task),
            SLURM_NODEID=str(task),
            SLURM_LOCALID="0",
            MASTER_PORT=port,
            **environment,
        )
        for task in range(2)
    ]
    return [ended(task) for task in tasks]


@pytest.mark.long
def test_a_job_on_two_nodes_is_requeued_before_its_time_is_over_and_resumes(
    written: Path, untouched: Path, tmp_path: Path
) -> None:
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.parent.mkdir()
    scontrol.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/calls\n')
    scontrol.chmod(0o755)
    path = f"{scontrol.parent}:{os.environ['PATH']}"
    first, second = srun(written, tmp_path, PATH=path, SIGNAL_AT=f"8:{int(signal.SIGUSR1)}")
    assert first[0] == 128 + signal.SIGUSR1, first[1]
    assert second == (0, "")
    assert (tmp_path / "calls").read_text() == "requeue 4711\n"
    first, second = srun(written, tmp_path, PATH=path, SLURM_RESTART_COUNT="1")
    assert first[0] == 0, first[1]
    assert second == (0, "")
    (run,) = (path for path in (tmp_path / "runs/small_interrupted").iterdir())
    assert_same(run, untouched)
