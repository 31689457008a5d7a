"""Memory of the loss of a very large batch, measured in a separate process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from revalexo_clip.losses.base import LARGE, row_blocks

LARGE_BATCH = """
import sys, torch
from revalexo_clip.core.platform import peak_memory
from revalexo_clip.losses import InfoNCE, Overlap, SigLIP

loss, count = {"InfoNCE": InfoNCE, "SigLIP": SigLIP}[sys.argv[1]]().build(), 16_384
imu, video = (torch.nn.functional.normalize(torch.randn(count, 512), dim=1).requires_grad_() for _ in range(2))
loss(imu, video, Overlap(torch.arange(count) // 10, torch.rand(count) * 10, 2.0)).backward()
assert imu.grad.isfinite().all() and video.grad.abs().sum() > 0
print(peak_memory())
"""


@pytest.mark.long
@pytest.mark.parametrize("objective", ["InfoNCE", "SigLIP"])
def test_the_loss_of_16384_pairs_takes_less_than_1_5_gib_including_torch(objective: str) -> None:
    command = [sys.executable, "-c", LARGE_BATCH, objective]
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    assert finished.returncode == 0, finished.stderr
    assert int(finished.stdout) < 1.5 * 2**30  # the similarities are 1 GiB, and so is their gradient


@pytest.mark.parametrize("count", [1, 2, 4096, 5793, 32_768, 100_000])
def test_blocks_cover_every_row_once_within_the_size_limit(count: int) -> None:
    blocks = row_blocks(count, None)
    assert [row for rows in blocks for row in range(rows.start, rows.stop)] == list(range(count))
    assert all((rows.stop - rows.start) * count <= LARGE for rows in blocks)
    assert [rows.stop - rows.start for rows in row_blocks(7, 3)] == [3, 3, 1]
