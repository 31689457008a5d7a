"""The training loop of docs/own-loop.md learns, as a process on the recordings that the page simulates."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import ROOT, Page
from support.small_process import succeed

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
