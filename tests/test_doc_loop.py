"""The loop of docs/own-loop.md learns, and the tutorial's parts train, on recordings that the pages simulate."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import ROOT, Page
from support.small_process import rxclip, succeed

PAGE = Page(ROOT / "docs" / "own-loop.md")


@pytest.mark.long
def test_the_loop_of_the_page_learns(tmp_path: Path) -> None:
    (simulate,) = (line for line in PAGE.lines() if line.startswith("rxclip synthesize"))
    succeed(*simulate.split()[1:], "--clips", "3", cwd=tmp_path)
    (script,) = PAGE.blocks("python")
    (tmp_path / "loop.py").write_text(script, encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "loop.py"]
    said = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True).stdout
    rows = re.findall(r"^epoch (\d): loss ([\d.]+), R@1 ([\d.]+)%, chance ([\d.]+)%$", said, flags=re.MULTILINE)
    assert [int(epoch) for epoch, *_ in rows] == list(range(8))
    (first, *_, last) = rows
    assert float(last[1]) < 0.7 * float(first[1])
    assert float(last[2]) > 5 * float(last[3])


@pytest.mark.long
def test_the_parts_of_the_tutorial_train(tmp_path: Path) -> None:
    page = Page(ROOT / "docs" / "tutorials" / "own-parts.md")
    (simulate,) = (line for line in page.lines() if line.startswith("rxclip synthesize"))
    succeed(*simulate.split()[1:], "--clips", "2", cwd=tmp_path)
    (script,) = page.blocks("python")
    (tmp_path / "my_parts.py").write_text(script, encoding="utf-8")
    trained = (line.split()[1:] for line in page.lines() if line.startswith("rxclip pretrain my_parts.py"))
    dry, first, changed = trained
    short = ("--set", "trainer.max_epochs=1", "--set", "data.workers=0")
    succeed(*dry, cwd=tmp_path)
    assert "done   runs/my_parts/" in succeed(*first, *short, cwd=tmp_path).stderr
    assert "done   runs/my_parts/" in succeed(*changed, *short, cwd=tmp_path).stderr
    (error,) = (span for span in page.spans() if span.startswith("imu_augment.0.share: "))
    refused = rxclip("pretrain", "my_parts.py", "--set", "imu_augment.0.share=2", cwd=tmp_path)
    assert refused.returncode == 2
    assert error in refused.stderr
