from __future__ import annotations

import logging
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from revalexo_clip.core.errors import ConfigError
from revalexo_clip.runs.environment import environment
from revalexo_clip.runs.folder import find_checkpoint, folder_of, forget_run_folder, new_run_folder


@pytest.fixture(autouse=True)
def _working_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    forget_run_folder()


def new(name: str = "small") -> Path:
    """Return the run folder that the next command would use."""
    forget_run_folder()
    return new_run_folder(name)


def checkpoint(folder: Path, name: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_a_run_has_a_folder_named_after_its_experiment_and_the_time() -> None:
    folder = new()
    assert re.fullmatch(r"runs/small/\d{8}-\d{6}", str(folder))
    assert (folder / "checkpoints").is_dir()


def test_runs_that_start_in_one_second_get_folders_of_their_own() -> None:
    folders = [new() for _ in range(4)]
    assert len(set(folders)) == 4
    assert any(re.fullmatch(r"\d{8}-\d{6}-\d", folder.name) for folder in folders)


def test_latest_points_to_the_newest_run_also_after_the_folder_of_runs_was_moved(tmp_path: Path) -> None:
    new()
    newest = new("other")
    assert Path("runs/latest").resolve() == newest.resolve()
    (tmp_path / "runs").rename(tmp_path / "moved")
    assert (tmp_path / "moved/latest").resolve() == tmp_path / "moved" / newest.relative_to("runs")


def test_latest_points_to_the_newest_run_also_on_windows_which_replaces_no_link_to_a_folder(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    replace = Path.replace

    def refused(source: Path, target: Path) -> Path:
        if target.is_dir():
            raise PermissionError(13, "Access is denied")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", refused)
    first, second = new(), new("other")
    assert first != second
    assert Path("runs/latest").resolve() == second.resolve()
    assert sorted(path.name for path in Path("runs").iterdir()) == ["latest", "other", "small"]


def test_processes_that_a_run_starts_share_its_folder() -> None:
    folder = new()
    assert new_run_folder("small") == folder
    forget_run_folder()
    assert new_run_folder("small") != folder


def test_a_checkpoint_is_named_by_file_by_run_or_is_that_of_the_newest_run() -> None:
    older, newest = new(), new()
    for run in (older, newest):
        checkpoint(run, "checkpoints/best.ckpt")
        checkpoint(run, "checkpoints/last.ckpt")
    assert find_checkpoint(older / "checkpoints/last.ckpt") == older / "checkpoints/last.ckpt"
    assert find_checkpoint(older) == older / "checkpoints/best.ckpt"
    assert find_checkpoint(older / "checkpoints") == older / "checkpoints/best.ckpt"
    assert find_checkpoint(None) == newest / "checkpoints/best.ckpt"
    assert find_checkpoint(Path("runs/latest")) == newest / "checkpoints/best.ckpt"


def test_a_run_without_a_best_checkpoint_gives_its_last() -> None:
    run = new()
    last = checkpoint(run, "checkpoints/last.ckpt")
    assert find_checkpoint(None) == last


def test_a_run_that_failed_before_its_first_checkpoint_is_passed_over_and_named(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    older = checkpoint(new("other"), "checkpoints/last.ckpt")
    newer = checkpoint(new("small"), "checkpoints/best.ckpt")
    failed, failed_last = new("other"), new("small")
    assert find_checkpoint(None) == newer
    assert caplog.messages == [f"no --ckpt: using {newer}; the newer run {failed_last} has no checkpoint"]
    newer.unlink()
    assert find_checkpoint(None) == older
    older.unlink()
    with pytest.raises(ConfigError, match=f"^{failed_last} has no checkpoint, and no older run in runs has one; a run"):
        find_checkpoint(None)
    for run in (failed, failed_last):
        shutil.rmtree(run)  # runs/latest points nowhere
    checkpoint(newer.parent, "last.ckpt")
    assert find_checkpoint(None) == newer.with_name("last.ckpt")


def test_the_newest_run_says_that_it_is_taken(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    taken = checkpoint(new(), "checkpoints/best.ckpt")
    assert find_checkpoint(None) == taken
    assert caplog.messages == [f"no --ckpt: using {taken}"]
    caplog.clear()
    assert find_checkpoint(taken.parent.parent) == taken
    assert not caplog.messages


def test_newer_runs_of_another_kind_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    pretrained = checkpoint(new("pretraining"), "checkpoints/best.ckpt")
    classifier = checkpoint(new("classifier"), "checkpoints/best.ckpt")
    folds = new("classifier")
    checkpoint(folds, "folds/01/checkpoints/best.ckpt")
    with pytest.raises(ConfigError, match=f"{folds}: this is a run with folds; pass one of them, such as {folds}/f"):
        find_checkpoint(None)
    assert find_checkpoint(None, suits=lambda path: path != classifier) == pretrained
    assert caplog.messages == [
        f"no --ckpt: using {pretrained}; the newer run {folds} has no checkpoint of the kind that is needed"
    ]


def test_a_folder_that_is_only_named_like_a_run_is_none() -> None:
    run = new()
    taken = checkpoint(run, "checkpoints/last.ckpt")
    checkpoint(run.with_name(f"{run.name[:15]}-backup"), "checkpoints/last.ckpt")
    assert find_checkpoint(None) == find_checkpoint(Path("runs/small")) == taken


def test_a_missing_run_is_an_error_that_names_the_searched_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"no run found in {tmp_path / 'runs'}")):
        find_checkpoint(None)
    with pytest.raises(ConfigError, match=r"a\.ckpt: no such checkpoint or run folder"):
        find_checkpoint(Path("a.ckpt"))
    run = new()
    with pytest.raises(ConfigError, match=f"{run}: this run has no checkpoint"):
        find_checkpoint(run)
    with pytest.raises(ConfigError, match=rf"{run} has no checkpoint; .* Pass --ckpt CKPT\|RUN"):
        find_checkpoint(None)
    run.joinpath("checkpoints").rmdir()
    run.rmdir()
    with pytest.raises(ConfigError, match="no run found"):
        find_checkpoint(None)


def test_what_is_made_from_a_checkpoint_goes_into_its_run_or_beside_it() -> None:
    assert folder_of(Path("runs/small/1/checkpoints/best.ckpt")) == Path("runs/small/1")
    assert folder_of(Path("models/best.ckpt")) == Path("models")


def test_the_environment_names_versions_devices_and_the_state_of_the_code(tmp_path: Path) -> None:
    found = environment()
    packages = found["packages"]
    assert isinstance(packages, dict)
    assert {"torch", "lightning", "revalexo-clip"} <= set(packages)
    assert {"command", "python", "platform", "cuda", "gpus", "cpus"} <= set(found)
    assert found["git"] is None
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b.c")
    for command in (("init", "--quiet"), ("commit", "--quiet", "--allow-empty", "-m", "begin")):
        subprocess.run([*git, *command], check=True, cwd=tmp_path)
    state = environment()["git"]
    assert isinstance(state, dict)
    assert re.fullmatch("[0-9a-f]{40}", str(state["commit"]))
    assert state["dirty"] is False
    (tmp_path / "new.py").touch()
    state = environment()["git"]
    assert isinstance(state, dict)
    assert state["dirty"] is True
