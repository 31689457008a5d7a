"""Output to a pipe in an encoding that lacks characters: the command still exits with 0 and prints everything else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.small_process import EXPERIMENT
from support.sound_dataset import write_sound_dataset

from revalexo_clip.core.console import accept_any_encoding

ASCII_LOCALE = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
"""The C locale without Python's own switch to UTF-8."""
ENCODINGS = {
    "ascii": {"PYTHONIOENCODING": "ascii"},
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "C locale": ASCII_LOCALE,
}


def printed(*arguments: str | Path, cwd: Path, encoding: str, code: int = 0) -> str:
    """Run `rxclip` with its output in a pipe, and return what it printed to both streams."""
    finished = subprocess.run(
        [sys.executable, "-m", "revalexo_clip", *map(str, arguments)],
        env={**os.environ, "COLUMNS": "100", **ENCODINGS[encoding]},
        cwd=cwd,
        capture_output=True,
        check=False,
    )
    text = (finished.stdout + finished.stderr).decode("cp1252" if encoding == "cp1252" else "ascii")
    assert finished.returncode == code, text
    assert "Traceback" not in text
    return text


@pytest.mark.long
@pytest.mark.parametrize(("encoding", "root"), [("ascii", r"d\u00e2ta/\u6b65"), ("cp1252", r"dâta/\u6b65")])
def test_show_prints_an_experiment(encoding: str, root: str, tmp_path: Path) -> None:
    arguments = ("show", EXPERIMENT, "--set", "data.root=dâta/步")
    tree = printed(*arguments, cwd=tmp_path, encoding=encoding)
    assert f"root {root}\n" in tree
    shown = json.loads(printed(*arguments, "--json", cwd=tmp_path, encoding=encoding))
    assert shown["data"]["root"] == "dâta/步"


@pytest.mark.long
@pytest.mark.parametrize("encoding", ["C locale"])
def test_components_are_printed(encoding: str, tmp_path: Path) -> None:
    assert "DeepConvLSTM" in printed("components", cwd=tmp_path, encoding=encoding)


@pytest.mark.long
@pytest.mark.parametrize("encoding", ["cp1252"])
def test_check_data_prints_the_problems_it_found(encoding: str, tmp_path: Path) -> None:
    write_sound_dataset(tmp_path / "dâta")
    recording = tmp_path / "dâta/imu/Subject01/0000.csv"
    recording.write_text(recording.read_text(encoding="utf-8").replace("\n", "\nnän,", 1), encoding="utf-8")
    text = printed("check-data", "dâta", "--jobs", "1", cwd=tmp_path, encoding=encoding, code=1)
    folder = "dâta" if encoding == "cp1252" else "d\\u00e2ta"
    assert f"{folder}/imu/Subject01/0000.csv" in text
    assert f"{folder}: 6 clips" in text


@pytest.mark.long
@pytest.mark.parametrize("encoding", ["ascii"])
def test_the_retrieval_table_is_printed(encoding: str, run: Path, distinct: Path, tmp_path: Path) -> None:
    moved = Path(shutil.copytree(distinct, tmp_path / "步"))
    text = printed("evaluate", "--ckpt", run, "--data", moved, "--no-probe", cwd=tmp_path, encoding=encoding)
    assert "Retrieval" in text
    assert "metrics.json" in text


@pytest.mark.long
def test_an_error_about_a_file_that_cannot_be_spelled_is_still_one_message(tmp_path: Path) -> None:
    text = printed("show", "步.py", cwd=tmp_path, encoding="ascii", code=2)
    assert text == "error: \\u6b65.py: no such experiment file\n"


def test_only_characters_that_the_encoding_lacks_are_replaced() -> None:
    with pytest.MonkeyPatch.context() as patch:
        streams = {name: open(os.devnull, "w", encoding="ascii") for name in ("stdout", "stderr")}  # noqa: SIM115, PTH123
        for name, stream in streams.items():
            patch.setattr(sys, name, stream)
        accept_any_encoding()
    for stream in streams.values():
        assert stream.errors == "rxclip"
        stream.close()
    assert "0.5 ± 0.1 ä".encode("latin-1", "rxclip") == "0.5 ± 0.1 ä".encode("latin-1")
    assert "0.5 ± 0.1 → ä 🚶".encode("ascii", "rxclip") == rb"0.5 +- 0.1 -> \u00e4 \ud83d\udeb6"
    with pytest.raises(UnicodeDecodeError):
        b"\xff".decode("ascii", "rxclip")
