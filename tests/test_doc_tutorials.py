"""The tutorials run as shown: their files and commands in order, in an empty folder, with little data."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from support.pages import ROOT, Page
from support.simulated_layout import write_simulated, write_untrained
from support.small_process import rxclip, succeed

from revalexo_clip import load_classifier

TUTORIALS = ROOT / "docs" / "tutorials"
DATASET = Page(TUTORIALS / "own-encoder-and-dataset.md")
CLASSIFIER = Page(TUTORIALS / "first-classifier.md")

WINDOWS = """
import numpy as np
from my_folders import ConfigError, DataError, Folders, Path, TwoSpeeds
data = Folders(root=Path("data/mine"), train_subjects=("Subject01",), val_subjects=())
windows, again = data.build("train", 0), data.evaluating(("Subject01",)).build("test", 0)
for split in (windows, again):
    keys = [(epoch, index) for epoch in (0, 1) for index in range(0, len(split), 5)]
    samples = [split[key] for key in keys]
    assert [s.label_K.tolist() for s in samples] == [split.labels(e)[i].tolist() for e, i in keys]
    assert all((one.imu_LC == split[key].imu_LC).all() for one, key in zip(samples, keys))
    one = samples[-1]
    print(one.imu_LC.dtype, one.video_THWC.dtype, *one.imu_LC.shape, *one.video_THWC.shape)
assert windows[0, 3].start != windows[1, 3].start and again[0, 3].start == again[1, 3].start
assert windows[0, 3].time == windows[0, 3].start and windows[0, 3].clip == windows[0, 3].recording == 0
mean, std = windows.imu_statistics()
print(len(mean), len(std), len(windows.fingerprint()))
for error, wrong in (
    (DataError, lambda: data.evaluating(("Nobody",)).build("test", 0)),
    (ConfigError, lambda: TwoSpeeds(kernels=(3, 301)).build(windows.imu_spec, 8)),
):
    try:
        wrong()
    except error as raised:
        print(raised)
"""
"""Labels belong to samples, and a window depends on seed, epoch and index alone."""

WRONG = ["data/mine: no recordings of Nobody", "imu.kernels: a kernel of 301 is longer than a window of 120 samples"]


def python(*arguments: str, cwd: Path) -> str:
    """Run Python as a process of its own, and return what it printed."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ["PYTHONPATH"]])}
    finished = subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    return finished.stdout


def commands(page: Page) -> list[str]:
    return [line for line in page.lines() if line.startswith(("python ", "rxclip "))]


def run_in_order(lines: Sequence[str], cwd: Path, smaller: Mapping[str, str]) -> dict[str, str]:
    """Run commands, with parts replaced that make them small. Return what each printed."""
    printed, unused = {}, dict(smaller)
    for line in lines:
        small = line
        for old, new in smaller.items():
            if old in small:
                small = small.replace(old, new)
                unused.pop(old, None)
        program, *arguments = shlex.split(small)
        if program == "python":
            printed[line] = python(*arguments, cwd=cwd)
        else:
            finished = succeed(*arguments, cwd=cwd)
            printed[line] = finished.stdout + finished.stderr
    assert not unused, f"no command has {', '.join(unused)}"
    return printed


def of(printed: Mapping[str, str], part: str) -> str:
    """Return what the first command with this part printed."""
    return next(text for line, text in printed.items() if part in line)


@pytest.mark.long
def test_the_dataset_and_the_encoders_of_the_tutorial_work(tmp_path: Path) -> None:
    make, script, load = DATASET.blocks("python")
    (tmp_path / "make_folders.py").write_text(make, encoding="utf-8")
    own = tmp_path / "my_folders.py"
    own.write_text(script.replace("max_epochs=4", "max_epochs=1"), encoding="utf-8")
    short = "pretrain my_folders.py --set data.workers=0 --set data.stride=1 --set batch_size=24"
    smaller = {
        "--subjects 5": "--subjects 5 --clips 1",
        "pretrain my_folders.py": short,
        "evaluate ": "evaluate --set data.workers=0 ",
        "imu.type=ResNet1D": "imu.type=ResNet1D --dry-run",  # one step: other encoders only have to fit
        "imu.frozen=1": "imu.frozen=1 --dry-run",
    }
    printed = run_in_order(commands(DATASET), tmp_path, smaller)
    assert re.search(r"imu batch +24 x 120 x 42\b", of(printed, "--dry-run"))
    assert re.search(r"video batch +24 x 8 x 32 x 32 x 3\b", of(printed, "--dry-run"))
    assert re.search(r"of 3 clips, subjects Subject01", of(printed, "--dry-run"))
    assert "chance" in of(printed, "evaluate")
    assert "untrained" in of(printed, "evaluate")

    exported = next((tmp_path / "runs" / "my_folders").glob("*/export/imu"))
    newest = load.replace("runs/latest/export/imu", exported.relative_to(tmp_path).as_posix())
    assert python("-c", newest, cwd=tmp_path).strip() == "torch.Size([1, 256])"

    lines = python("-c", WINDOWS, cwd=tmp_path).splitlines()
    assert lines[0].startswith("torch.float32 torch.uint8 120 42 8 32 ")
    assert lines[1:] == ["torch.float32 torch.uint8 120 42 8 32 32 3", "42 42 64", *WRONG]

    refused = rxclip("pretrain", own.name, "--dry-run", "--set", "imu.kernels=4,31", cwd=tmp_path)
    assert refused.returncode == 2
    assert "imu: kernels must be odd" in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.long
def test_twenty_minutes_become_a_classifier(tmp_path: Path) -> None:
    """The commands that make the demo's encoder are tested with the demo; here, it has new weights."""
    demo = ("rxclip synthesize data/demo --subjects 12 --overlap 4", "rxclip pretrain experiments/demo.py")
    first, second, *lines = commands(CLASSIFIER)
    assert (first, second) == demo
    write_untrained(tmp_path / "runs" / "demo", write_simulated(tmp_path / "data" / "demo", (9,)))
    (script,) = CLASSIFIER.blocks("python")
    short = script.replace("max_epochs=20, early_stopping=10", "max_epochs=2")
    (tmp_path / "my_minutes.py").write_text(short, encoding="utf-8")
    simulate = "docs/examples/simulate_own_minutes.py"
    smaller = {
        simulate: f"{ROOT / simulate} --minutes 0.5",
        "scratch,frozen,full": "scratch,full",
        "LeaveOneSubjectOut": "LeaveOneSubjectOut --dry-run",  # folds have tests of their own
    }
    printed = run_in_order([line for line in lines if "folds_scratch" not in line], tmp_path, smaller)
    assert "no problems found" in of(printed, "check-data")
    assert re.search(r"test +\d+ windows of 1 clip, subjects Eva", of(printed, "my_minutes.py --dry-run"))
    compared = of(printed, "--compare")
    for words in ("Did pretraining help?", "scratch", "full", "1 test subject", "Weighted F1"):
        assert words in compared
    classifier = load_classifier(tmp_path / "classifier")
    assert classifier.subjects
    assert set(classifier.subjects["train"]) >= {"Anna", "Ben", "Carla"}
    table = (tmp_path / "new-predictions.csv").read_text(encoding="utf-8").splitlines()
    assert len(table) - 1 == 117
    assert np.isclose(float(table[1].split(",")[1]), 52)
    assert "<svg" in (tmp_path / "new-predictions.html").read_text(encoding="utf-8")


def test_every_tutorial_is_listed_with_its_time() -> None:
    index = Page(TUTORIALS / "index.md")
    rows = [line for line in index.text.splitlines() if line.startswith("| ")][2:]
    assert all(re.search(r"\d+ minutes", row.split("|")[3]) for row in rows)
    assert {path.name for path in TUTORIALS.glob("*.md")} - {"index.md"} <= set(index.links())
