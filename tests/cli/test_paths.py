"""Every command in folders whose names have spaces, letters of other scripts, and characters with a meaning in URLs."""

from __future__ import annotations

import json
import re
import shutil
from html import unescape
from pathlib import Path
from urllib.parse import unquote

import pytest
import torch
from support.plain_deep_conv_lstm import PlainDeepConvLSTM
from support.small_process import EXPERIMENT, call, succeed

from revalexo_clip.data.revalexo.pack.folder import read_manifest

FOLDER = Path("a:b #1 50% (é) 步 'x' & [y]")
SUPPORT = EXPERIMENT.parent

pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore:::lightning")]


@pytest.fixture(scope="module")
def home(distinct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with such a name, with another in it that holds a dataset and experiment files."""
    home = tmp_path_factory.mktemp("home") / FOLDER
    shutil.copytree(distinct, home / FOLDER / "dataset", ignore=shutil.ignore_patterns("*.h5"))
    for name in ("small", "folds", "variants"):
        shutil.copy(SUPPORT / f"{name}_experiment.py", home / FOLDER / f"{name} #1.py")
    return home


def run(home: Path, *arguments: str | Path) -> str:
    finished = call(*arguments, cwd=home)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def broken_links(page: Path) -> list[str]:
    """Return the relative links of a page that lead to no file."""
    links = re.findall(r'(?:href|src)="([^"#:][^":]*)"', page.read_text(encoding="utf-8"))
    return [link for link in links if not (page.parent / unquote(unescape(link))).exists()]


def test_data_commands(home: Path) -> None:
    simulated = FOLDER / "simulated"
    run(home, "synthesize", simulated, "--subjects", "1", "--clips", "2")
    run(home, "check-data", simulated)
    for jobs in ("1", "2"):
        run(home, "pack", simulated, "--out", FOLDER / f"pack {jobs}", "--jobs", jobs)
    one, two = (read_manifest(home / FOLDER / f"pack {jobs}") for jobs in ("1", "2"))
    assert len(one) == len(two) == 4
    assert sorted(map(bytes, one.column["digest"])) == sorted(map(bytes, two.column["digest"]))


@pytest.mark.usefixtures("only_built_in")
def test_experiment_commands(home: Path) -> None:
    root = f"data.root={FOLDER / 'dataset'}"
    small = FOLDER / "small #1.py"
    data = ("--set", root, "--set", "data.test_subjects=05,09")
    assert json.loads(run(home, "show", f"{small}:Small", *data, "--json"))["data"]["root"] == str(FOLDER / "dataset")
    run(home, "components")
    run(home, "pretrain", small, *data, "--dry-run")
    run(home, "pretrain", f"{small}:Small", *data, "--set", "data.workers=1")
    moved = home / FOLDER / "run #1"
    shutil.copytree(home / "runs" / "latest", moved)
    file = ("--experiment", small)
    run(home, "evaluate", "--ckpt", moved.relative_to(home), *file, "--out", FOLDER / "results")
    both = ("--ckpt", moved, "--ckpt", home / "runs" / "latest")
    run(home, "evaluate", *both, "--data", home / FOLDER / "dataset", *file, "--no-probe")
    for modality, fmt in (("imu", "onnx"), ("video", "safetensors")):
        arguments = ("--modality", modality, "--format", fmt, "--out", FOLDER / modality)
        run(home, "export-encoder", "--ckpt", moved, *file, *arguments)
    torch.save(PlainDeepConvLSTM(channels=6, features=20, maps=5, hidden=12).state_dict(), home / FOLDER / "theirs.pt")
    run(home, "import-encoder", FOLDER / "theirs.pt", *file, "--set", root, "--subjects", "01")

    encoder = ("--set", f"encoder={FOLDER / 'theirs'}", "--set", root)
    variants = FOLDER / "variants #1.py"
    run(home, "finetune", variants, *encoder)
    run(home, "evaluate")
    settings = ("--set", root, "--set", "trainer.max_epochs=1")
    succeed("finetune", variants, *encoder, "--compare", "scratch,full", "--jobs", "2", cwd=home)
    two = ("--fold", "01", "--fold", "05", "--jobs", "2")
    succeed("finetune", f"{FOLDER / 'folds #1.py'}:LeavingOneOut", *settings, *two, cwd=home)
    assert {page: found for page in home.rglob("*.html") if (found := broken_links(page))} == {}
