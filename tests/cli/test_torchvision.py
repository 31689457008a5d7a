"""A torchvision that is installed and cannot be imported."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from support.small_process import EXPERIMENT, rxclip

METADATA = "Metadata-Version: 2.1\nName: torchvision\nVersion: 0.20.0\n"
BROKEN = "raise RuntimeError('operator torchvision::nms does not exist')\n"


@pytest.mark.long
def test_a_broken_torchvision_is_named(tmp_path: Path) -> None:
    """Lightning imports it through torchmetrics, if its metadata says that it is installed."""
    package, metadata = tmp_path / "site" / "torchvision", tmp_path / "site" / "torchvision-0.20.0.dist-info"
    package.mkdir(parents=True)
    metadata.mkdir()
    (package / "__init__.py").write_text(BROKEN, encoding="utf-8")
    (metadata / "METADATA").write_text(METADATA, encoding="utf-8")
    path = os.pathsep.join([str(tmp_path / "site"), os.environ["PYTHONPATH"]])
    finished = rxclip("pretrain", EXPERIMENT, "--dry-run", cwd=tmp_path, PYTHONPATH=path)
    assert finished.returncode == 1
    assert finished.stderr == (
        "error: the installed torchvision cannot be imported: operator torchvision::nms does not exist. It probably "
        "does not fit the installed torch. Install one that does, or uninstall it: rxclip works without it\n"
    )
    shown = rxclip("show", EXPERIMENT, cwd=tmp_path, PYTHONPATH=path)  # needs no torchmetrics
    assert shown.returncode == 0, shown.stderr
