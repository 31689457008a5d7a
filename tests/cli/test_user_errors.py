"""Mistakes of users end with one message that says what is wrong, where, and what to do."""

from __future__ import annotations

import pickle
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.mistakes import CONFIG, IMU, SLOW, SMALL, WORK, Mistake, nan_in
from support.mistakes_in_experiments import IN_EXPERIMENTS
from support.mistakes_in_files import IN_FILES
from support.small_process import rxclip

from revalexo_clip.cli import app as cli
from revalexo_clip.core.errors import ConfigError, UserError
from revalexo_clip.runs.checkpoint import load_checkpoint


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str


MISTAKES = [*IN_EXPERIMENTS, *IN_FILES]


@pytest.fixture
def call(
    root: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[Sequence[str]], Outcome]:
    """Call the command line in a folder with `dataset`, a copy of the tiny one that may be damaged."""
    monkeypatch.chdir(root.parent)

    def in_this_process(arguments: Sequence[str]) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["rxclip", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        captured = capfd.readouterr()
        assert isinstance(ended.value.code, int)
        print(f"\n$ rxclip {' '.join(arguments)}\n{captured.err}")
        return Outcome(ended.value.code, captured.out, captured.err)

    return in_this_process


@pytest.mark.long
@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_a_mistake_ends_as_one_message(
    mistake: Mistake, root: Path, call: Callable[[Sequence[str]], Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in mistake.environment.items():
        monkeypatch.setenv(name, value)
    if mistake.damage is not None:
        mistake.damage(root)
    outcome = call(mistake.arguments)
    assert outcome.code == mistake.code, outcome.err
    assert "Traceback" not in outcome.out + outcome.err
    for text in mistake.says:
        assert text in outcome.err.replace("\n", " "), outcome.err
    assert outcome.out == ""
    if SLOW not in mistake.what:
        assert not (root.parent / "runs/latest").exists(), "a run was started"
    assert not (root.parent / "executed").exists()


def test_debug_shows_the_traceback(call: Callable[[Sequence[str]], Outcome], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["rxclip", "--debug", "show", "missing.py"])
    with pytest.raises(ConfigError, match="no such experiment file"):
        cli.main()
    assert call(["show", "missing.py"]).code == CONFIG


@pytest.mark.long
def test_a_process_of_its_own_says_the_same(root: Path) -> None:
    finished = rxclip("show", "missing.py", cwd=root.parent)
    assert finished.returncode == CONFIG
    assert finished.stdout == ""
    assert finished.stderr == "error: missing.py: no such experiment file\n"
    with_traceback = rxclip("--debug", "show", "missing.py", cwd=root.parent)
    assert with_traceback.returncode != 0
    assert "Traceback" in with_traceback.stderr
    nan_in(IMU)(root)
    finished = rxclip(*SMALL, cwd=root.parent)
    assert finished.returncode == WORK
    assert "Traceback" not in finished.stderr
    assert finished.stderr.splitlines()[-1].startswith("error: Subject01/0000, window at ")


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=200))
@example(content=b"")
@example(content=b"PK\x03\x04")
@example(content=pickle.dumps({"revalexo_clip": "{}"}))
def test_no_bytes_that_are_not_a_checkpoint_are_more_than_a_data_error(
    content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.ckpt"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"bytes\.ckpt"):
        load_checkpoint(path)
