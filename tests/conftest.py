"""What all tests share. Torch gets one thread: tests run beside others, and small tensors gain nothing from two."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import torch
from tiny_dataset import real_dataset, write_dataset

os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start
torch.set_num_threads(1)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tiny") / "dataset"
    write_dataset(root)
    return root


@pytest.fixture
def root(written: Path, tmp_path: Path) -> Path:
    """A copy of the tiny dataset that a test may damage."""
    return Path(shutil.copytree(written, tmp_path / "dataset"))


@pytest.fixture(scope="session")
def real() -> Path:
    return real_dataset()
