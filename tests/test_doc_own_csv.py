"""docs/own-csv.md: its files and commands run as shown, in order, with small CSV files."""

from __future__ import annotations

import csv
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from support.pages import ROOT, Page

from revalexo_clip import load_classifier

PAGE = Page(ROOT / "docs" / "own-csv.md")
NAMES = ("simulate_csv.py", "data/own/recordings.csv", "my_sensors.py")


def write_files(folder: Path, text: str = PAGE.text) -> None:
    """Write the files that the page says to save, each under its name."""
    blocks = re.findall(r"^```(?:python|csv)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == len(NAMES)
    for name, block in zip(NAMES, blocks, strict=True):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(block, encoding="utf-8")


def run(line: str, cwd: Path) -> str:
    """Run a command of the page, with the Python and the package of the test, and return what it printed."""
    program, *arguments = shlex.split(line)
    command = {"python": [sys.executable], "rxclip": [sys.executable, "-m", "revalexo_clip"]}[program]
    environment = {**os.environ, "COLUMNS": "120"}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), environment["PYTHONPATH"]])
    finished = subprocess.run(
        [*command, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    allowed = (0, 1) if "check-data" in line else (0,)  # 1: warnings, or errors, which are looked for in the output
    assert finished.returncode in allowed, f"{line}\n{finished.stdout}{finished.stderr}"
    return finished.stdout


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.long
def test_the_page_leads_from_csv_files_to_a_timeline(tmp_path: Path) -> None:
    write_files(tmp_path)
    lines = [line for line in PAGE.lines() if line.startswith(("python ", "rxclip "))]
    steps = ["simulate_csv.py", "check-data", "finetune", "finetune", "predict"]
    assert [line.split()[1] for line in lines] == steps
    printed = {}
    for line in lines:
        small = line.replace("simulate_csv.py 20", "simulate_csv.py 2")  # minutes
        small += " --set trainer.max_epochs=1" if "folds" in line else ""
        printed[line] = run(small, tmp_path)
    people = ("Anna", "Ben", "Carla", "David")
    checked, trained, folds, predicted = list(printed.values())[1:]
    assert "4 recordings" in checked
    assert re.search("no problems found| 0 errors", checked), checked
    assert "macro F1" in trained
    assert "always" in trained
    score = re.search(r"^ +0 s +\d+ +[\d.]+% +[\d.]+% +([\d.]+)%", trained, flags=re.MULTILINE)
    chance = re.search(r"^ +always \w+ +[\d.]+% +[\d.]+% +([\d.]+)%", trained, flags=re.MULTILINE)
    assert score
    assert chance
    assert float(score[1]) > float(chance[1])
    for person in people:
        assert re.search(rf"\b{person}\b.*\d%", folds), folds
    assert "note: read like the training files: columns ax, ay, az, gx, gy, gz; units acc=g, gyro=deg/s" in predicted
    rows = rows_of(tmp_path / "new-predictions.csv")
    files = [rows_of(tmp_path / "data" / "own" / f"{person}.csv") for person in people]
    assert {row["label"] for row in rows} <= {row["activity"] for file in files for row in file}
    assert float(rows[0]["window_end_s"]) == pytest.approx(2.0)
    assert float(rows[-1]["window_end_s"]) == pytest.approx(120.0, abs=0.5)
    assert "<svg" in (tmp_path / "new-predictions.html").read_text(encoding="utf-8")
    run("rxclip export-classifier --ckpt runs/my_sensors --out classifier", tmp_path)
    subjects = load_classifier(tmp_path / "classifier").subjects
    assert subjects is not None
    assert {name: set(of) for name, of in subjects.items()} == {"train": {"Anna", "Ben"}, "val": {"Carla"}}
