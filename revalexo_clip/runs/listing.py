"""The runs that there are: state, key figures and size of each."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase
from pathlib import Path

from pydantic import JsonValue

from revalexo_clip.core.component import JsonObject, nearest
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.reports.values import number_at
from revalexo_clip.runs.folder import RUNS, is_stamped
from revalexo_clip.runs.part_folder import EXPERIMENT
from revalexo_clip.runs.state import STATE, STATES, RunState, State, state_of

_GROUPS = {"folds": "folds", "variants": "variants", "trials": "sweep"}
"""Kinds of runs with parts, by the folder of the parts."""
KINDS = ("pretraining", "finetuning", *_GROUPS.values())


@dataclass(frozen=True)
class ListedRun:
    """A run folder."""

    path: Path
    experiment: str
    """Name of the folder that the run is in."""
    started: datetime
    """Local time."""
    kind: str
    """One of `KINDS`."""
    state: State
    error: str | None
    """Why it failed or was stopped."""
    figures: Mapping[str, float]
    """Key figures by name: the best of validation, and test results."""
    size: int
    """[bytes]"""

    def as_json(self) -> JsonObject:
        """Return the run as JSON."""
        return {
            "path": self.path.as_posix(),
            "experiment": self.experiment,
            "started": self.started.isoformat(),
            "kind": self.kind,
            "state": self.state,
            "error": self.error,
            "figures": dict(self.figures),
            "size": self.size,
        }


def list_runs(folder: Path | str | None = None) -> list[ListedRun]:
    """Return the runs in a folder of runs, by default `runs`, newest first; symbolic links are not followed.

    A run is a folder `<experiment>/<yyyymmdd-hhmmss>` with an `experiment.json`. Raises `ConfigError` if there is no
    such folder.
    """
    root = RUNS if folder is None else Path(folder)
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder of runs")
    found = [_listed(run) for experiment in _folders(root) for run in _folders(experiment) if is_run(run)]
    return sorted(found, key=lambda run: (run.started, run.path), reverse=True)


def is_run(path: Path) -> bool:
    """Return whether a path is a run folder, and neither it nor the folder that it is in is a symbolic link."""
    real = not (path.is_symlink() or path.parent.is_symlink())
    return real and is_stamped(path) and path.is_dir() and (path / EXPERIMENT).is_file()


def _folders(parent: Path) -> Iterator[Path]:
    return (path for path in sorted(parent.iterdir()) if path.is_dir() and not path.is_symlink())


def _listed(run: Path) -> ListedRun:
    state = state_with_parts(run)
    return ListedRun(
        path=run,
        experiment=run.parent.name,
        started=datetime.strptime(run.name[:15], "%Y%m%d-%H%M%S"),
        kind=_kind(run),
        state=state.state,
        error=state.error,
        figures=_figures(run),
        size=_size(run),
    )


def state_with_parts(run: Path) -> RunState:
    """Return the state of a run, which is running if one of its folds, variants or trials is."""
    own = state_of(run)
    parts = (state_of(path.parent) for inside in _GROUPS for path in run.glob(f"{inside}/*/{STATE}"))
    return own if own.state == "running" else next((one for one in parts if one.state == "running"), own)


def _kind(run: Path) -> str:
    for inside, kind in _GROUPS.items():
        if (run / inside).is_dir():
            return kind
    described = _read(run / EXPERIMENT)
    return "finetuning" if isinstance(described, dict) and "label_fraction" in described else "pretraining"


def _size(run: Path) -> int:
    """Return the size of all files; hard links of one file count once."""
    sizes: dict[tuple[int, int], int] = {}
    for parent, _, names in os.walk(run):
        for name in names:
            found = (Path(parent) / name).lstat()
            sizes[found.st_dev, found.st_ino] = found.st_size
    return sum(sizes.values())


_VALIDATION: Mapping[str, Callable[[list[float]], float]] = {
    "val/weighted_f1": max,
    "val/mrr": max,
    "val/selection": max,
    "val/loss": min,
}
"""Best value of a column of `metrics.csv`. The first that a run has is shown."""
_TEST: Mapping[str, tuple[str | int, ...]] = {
    "test/weighted_f1": ("horizons", 0, "all", "weighted_f1"),
    "test/imu_to_video/r_at_1": ("retrieval", "imu_to_video", "r_at_1"),
    "test/probe/macro_f1": ("probe", "linear", "imu", 0, "all", "macro_f1"),
}
"""Places in `evaluation/metrics.json`."""


def _figures(run: Path) -> dict[str, float]:
    figures = dict(_best_of(run / "metrics.csv"))
    tested = _read(run / "evaluation" / "metrics.json")
    figures |= {name: value for name, path in _TEST.items() if (value := number_at(tested, path)) is not None}
    pooled = number_at(_read(run / "summary.json"), ("pooled", "horizons", 0, "all", "weighted_f1"))
    swept = _read(run / "sweep.json")
    if pooled is not None:
        figures["test/weighted_f1"] = pooled
    if isinstance(swept, dict) and isinstance(best := swept.get("best"), int):
        mean = number_at(swept, ("settings", best - 1, "mean"))
        figures |= {} if mean is None else {str(swept.get("metric")): mean}
    return figures


def _best_of(path: Path) -> Iterator[tuple[str, float]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
    except (OSError, ValueError, csv.Error):
        return
    for name, best in _VALIDATION.items():
        values = [value for row in rows if (value := _finite(row.get(name))) is not None]
        if values:
            yield name, best(values)
            return


def _finite(text: str | None) -> float | None:
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _read(path: Path) -> JsonValue:
    try:
        found: JsonValue = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found


FILTERS: Mapping[str, Sequence[str] | None] = {"state": STATES, "kind": KINDS, "experiment": None}
"""What `--where` compares, and its possible values."""


def select_runs(runs: Sequence[ListedRun], where: Sequence[str] = (), name: str | None = None) -> list[ListedRun]:
    """Return the runs that fit all `KEY=VALUE` texts and whose experiment fits a pattern such as `demo*`.

    Several values of a key, `state=failed,killed`, are alternatives. Raises `ConfigError` if a key or value is unknown.
    """
    wanted = [_filter(text) for text in where]
    found = [run for run in runs if name is None or fnmatchcase(run.experiment, name)]
    return [run for run in found if all(getattr(run, key) in values for key, values in wanted)]


def _filter(text: str) -> tuple[str, list[str]]:
    key, equals, raw = text.partition("=")
    if not equals or not raw:
        raise ConfigError(f"--where {text}: write it as KEY=VALUE, e.g. --where state=failed")
    if key not in FILTERS:
        raise ConfigError(f"--where {key}: unknown key{nearest(key, FILTERS)}")
    values, known = raw.split(","), FILTERS[key]
    for value in values:
        if known is not None and value not in known:
            raise ConfigError(f"--where {key}={value}: there is no such {key}{nearest(value, known)}")
    return key, values


_SORTED: Mapping[str, Callable[[ListedRun], tuple[object, ...]]] = {
    "started": lambda run: (run.started,),
    "experiment": lambda run: (run.experiment, run.started),
    "state": lambda run: (run.state, run.started),
    "kind": lambda run: (run.kind, run.started),
    "size": lambda run: (run.size,),
}


def sort_runs(runs: Sequence[ListedRun], key: str, *, reverse: bool = False) -> list[ListedRun]:
    """Sort runs by `started`, `experiment`, `state`, `kind`, `size` or a figure; those without the figure come last.

    Raises `ConfigError` if no run has such a figure.
    """
    if key in _SORTED:
        return sorted(runs, key=_SORTED[key], reverse=reverse)
    figures = {name for run in runs for name in run.figures}
    if runs and key not in figures:
        raise ConfigError(f"--sort {key}: no run has this{nearest(key, [*_SORTED, *figures])}")
    having = [run for run in runs if key in run.figures]
    without = [run for run in runs if key not in run.figures]
    return sorted(having, key=lambda run: run.figures[key], reverse=reverse) + without
