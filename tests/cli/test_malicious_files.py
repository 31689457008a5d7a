"""No command runs code from a file: each command that reads one gets a file with a command in it."""

from __future__ import annotations

import ast
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import typer.main
from support.mistakes import Runs
from support.small_finetuning import EXPERIMENT as FINETUNING
from support.small_process import EXPERIMENT, call

import revalexo_clip
from revalexo_clip.cli import app as cli
from revalexo_clip.export.folder import export_encoder

MARK = "executed"
"""File in the working directory that the malicious files make when they are unpickled."""


def zipped(path: Path) -> None:
    """Write what `torch.save` writes of a malicious object."""
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save({"state_dict": Runs()}, path)


def bare(path: Path) -> None:
    """Write the pickle alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps({"state_dict": Runs()}))


def objects(path: Path) -> None:
    """Write an .npz file whose array holds the object."""
    malicious = np.array([Runs()], dtype=object)
    np.savez(path, allow_pickle=True, data=malicious, channels=malicious, fs=np.array(60.0), offsets=malicious,
             label=malicious, subject=malicious, activities=malicious)  # fmt: skip


Write = Callable[[Path], None]
PRETRAIN = ("pretrain", str(EXPERIMENT), "--set", "data.root=dataset")
FINETUNE = ("finetune", str(FINETUNING), "--set", "data.root=dataset")

CASES: dict[str, list[tuple[tuple[str, ...], str, Write]]] = {
    "evaluate": [
        (("evaluate", "--ckpt", "x.ckpt"), "x.ckpt", zipped),
        (("evaluate", "--ckpt", "x.ckpt"), "x.ckpt", bare),
    ],
    "search": [(("search", "walking", "Subject01", "--ckpt", "x.ckpt"), "x.ckpt", zipped)],
    "export-encoder": [
        (("export-encoder", "--modality", "imu", "--ckpt", "x.ckpt"), "x.ckpt", zipped),
        (("export-encoder", "--modality", "imu", "--ckpt", "x"), "x/checkpoints/best.ckpt", bare),
    ],
    "import-encoder": [
        (("import-encoder", "x.pt"), "x.pt", zipped),
        (("import-encoder", "x.pt"), "x.pt", bare),
    ],
    "embed": [
        (("embed", "x.npz", "--encoder", "encoder"), "x.npz", objects),
        (("embed", "walk.csv", "--rate", "60", "--encoder", "encoder"), "encoder/model.safetensors", zipped),
    ],
    "export-classifier": [
        (("export-classifier", "--ckpt", "x.ckpt"), "x.ckpt", zipped),
        (("export-classifier", "--ckpt", "x"), "x/checkpoints/best.ckpt", bare),
    ],
    "predict": [
        (("predict", "walk.csv", "--rate", "60", "--classifier", "x.ckpt"), "x.ckpt", zipped),
        (("predict", "walk.csv", "--rate", "60", "--classifier", "x.ckpt"), "x.ckpt", bare),
    ],
    "check-sync": [(("check-sync", "dataset", "--ckpt", "x.ckpt"), "x.ckpt", zipped)],
    "pretrain": [
        ((*PRETRAIN, "--resume", "x"), "x/checkpoints/last.ckpt", zipped),
        ((*PRETRAIN, "--set", 'video={"type": "X3D", "weights": "x.pyth"}'), "x.pyth", zipped),
    ],
    "finetune": [
        ((*FINETUNE, "--set", "encoder=x.ckpt", "--set", "imu=none"), "x.ckpt", zipped),
        ((*FINETUNE, "--set", "encoder=encoder", "--set", "imu=none"), "encoder/model.safetensors", bare),
        ((*FINETUNE, "--resume", "x"), "x/checkpoints/last.ckpt", bare),
    ],
}
"""Commands with a malicious file, by the command's name: arguments, path of the file, what writes it."""

READ_NONE = {
    "part",  # a fold or variant of `finetune`, or a trial of `sweep`
    "sweep",  # its trials do
    "runs",
    "prune-runs",
    "show",
    "components",
    "synthesize",
    "pack",
    "check-data",
    "import-recording",
    "view",
}
"""Commands that read no checkpoints, weights or .npz files of others."""


def test_every_command_is_listed() -> None:
    commands = typer.main.get_command(cli.app).commands  # type: ignore[attr-defined]  # typer bundles click
    assert set(commands) == set(CASES) | READ_NONE


@pytest.fixture
def work(root: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a dataset and an exported encoder."""
    folder = root.parent
    monkeypatch.chdir(folder)
    export_encoder("imu", run, out="encoder")
    return folder


@pytest.mark.long
@pytest.mark.parametrize(
    ("arguments", "name", "write"),
    [pytest.param(*case, id=f"{name}-{place}") for name, cases in CASES.items() for place, case in enumerate(cases)],
)
def test_no_code_is_run(arguments: tuple[str, ...], name: str, write: Write, work: Path) -> None:
    write(work / name)
    finished = call(*arguments, cwd=work)
    assert not (work / MARK).exists()
    assert finished.returncode in (1, 2), finished.stdout + finished.stderr
    assert Path(name).name in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.parametrize("write", [zipped, bare, objects])
def test_the_files_are_malicious(write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "x.npz")
    if write is objects:
        np.load("x.npz", allow_pickle=True)["data"]
    elif write is zipped:
        torch.load("x.npz", weights_only=False)
    else:
        pickle.loads(Path("x.npz").read_bytes())
    assert (tmp_path / MARK).exists()


SOURCES = sorted(Path(revalexo_clip.__file__).parent.rglob("*.py"))
UNSAFE = {"pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load", "yaml.load", "yaml.unsafe_load",
          "torch.hub.load", "torch.jit.load", "shutil.unpack_archive", "eval", "exec", "os.system"}  # fmt: skip
REQUIRED = {"torch.load": ("weights_only", True), "np.load": ("allow_pickle", False),
            "npy.read_array": ("allow_pickle", False)}  # fmt: skip

OF_THIS_RUN = {"drawn_batches.py", "frozen_features.py"}
"""Files that unpickle what the same process or its parent has pickled, in memory."""


@pytest.mark.long
def test_no_line_of_the_package_unpickles() -> None:
    """Every reader of pickles is called in its safe form; also in code that no command above reaches."""
    found = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = ast.unparse(node.func)
            given = {word.arg: ast.unparse(word.value) for word in node.keywords}
            option, value = REQUIRED.get(name, ("", None))
            if name == "pickle.loads" and path.name in OF_THIS_RUN:
                continue
            if name in UNSAFE or name.endswith((".extractall", ".read_pickle")) or "trust_remote_code" in given:
                found.append(f"{path.name}:{node.lineno}: {name}")
            if option and given.get(option) != str(value):
                found.append(f"{path.name}:{node.lineno}: {name} without {option}={value}")
    assert found == []
