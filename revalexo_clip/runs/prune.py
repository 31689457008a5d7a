"""Deleting runs: which ones are selected, and the deletion itself."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from revalexo_clip.core.component import nearest
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.runs.listing import ListedRun, is_run, state_with_parts

KEPT_STATES = ("running", "unknown")
"""Runs in these states are never deleted."""


@dataclass(frozen=True)
class Selection:
    """The runs that are to be deleted, and those that were selected and are kept."""

    deleted: tuple[ListedRun, ...]
    kept: tuple[tuple[ListedRun, str], ...]
    """With the reason."""


def select_for_deletion(
    runs: Sequence[ListedRun],
    *,
    failed: bool = False,
    older_than: float | None = None,
    all_but_best: int | None = None,
    by: str | None = None,
) -> Selection:
    """Select the runs that fit all criteria that are given.

    `failed`: failed or killed. `older_than`: started more than so many days ago. `all_but_best`: not among so many best
    runs of their experiment by the figure `by`, which they must have. Raises `ConfigError` if there is no criterion, or
    no run has the figure.
    """
    if not failed and older_than is None and all_but_best is None:
        raise ConfigError("name the runs to delete: --failed, --older-than DAYS, or --all-but-best N --by FIGURE")
    if (all_but_best is None) != (by is None):
        raise ConfigError("--all-but-best N and --by FIGURE belong together, e.g. --all-but-best 3 --by val/mrr")
    found = list(runs)
    if all_but_best is not None and by is not None:
        found = _all_but_best(found, all_but_best, by)
    if failed:
        found = [run for run in found if run.state in ("failed", "killed")]
    if older_than is not None:
        limit = datetime.now() - timedelta(days=older_than)
        found = [run for run in found if run.started < limit]
    kept = tuple((run, f"its state is {run.state}") for run in found if run.state in KEPT_STATES)
    return Selection(tuple(run for run in found if run.state not in KEPT_STATES), kept)


def _all_but_best(runs: Sequence[ListedRun], number: int, by: str) -> list[ListedRun]:
    figures = {name for run in runs for name in run.figures}
    if runs and by not in figures:
        raise ConfigError(f"--by {by}: no run has this figure{nearest(by, figures)}")
    sign = -1 if by.rpartition("/")[2] in ("loss", "median_rank") else 1
    worse: list[ListedRun] = []
    for experiment in dict.fromkeys(run.experiment for run in runs):
        own = [run for run in runs if run.experiment == experiment and by in run.figures]
        worse += sorted(own, key=lambda run: sign * run.figures[by], reverse=True)[number:]
    return [run for run in runs if run in worse]


def delete_run(path: Path) -> None:
    """Delete a run folder. Raises `ConfigError` if it is not one, or runs; `DataError` if it cannot be deleted.

    Nothing is deleted through a symbolic link: links in the folder are removed, and what they point to stays.
    """
    if not is_run(path):
        raise ConfigError(f"{path} is not a run folder, so it is not deleted")
    if (state := state_with_parts(path).state) in KEPT_STATES:
        raise ConfigError(f"{path}: its state is {state}, so it is not deleted")
    parent, latest = path.parent, path.parent.parent / "latest"
    points_here = latest.is_symlink() and latest.resolve() == path.resolve()
    try:
        shutil.rmtree(path)
        if points_here:
            latest.unlink()
        if not any(parent.iterdir()):
            parent.rmdir()
    except OSError as error:
        raise DataError(f"{error.filename or path}: cannot be deleted: {error.strerror or error}") from error
