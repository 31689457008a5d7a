"""`rxclip evaluate` with several checkpoints: each as if it were alone, and then by how much they differ.

Whether several checkpoints are measured on the same windows; where they are not, what differs and what helps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from string import ascii_uppercase

import numpy as np
from pydantic import JsonValue

from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import write_json
from revalexo_clip.core.progress import OnProgress, Progress, no_progress, silent_progress
from revalexo_clip.data import WindowDataset
from revalexo_clip.evaluation.held_out import load_for_evaluation
from revalexo_clip.evaluation.protocol import Evaluation, measure
from revalexo_clip.metrics.bootstrap import ClipBootstrap
from revalexo_clip.metrics.evaluated import Floats
from revalexo_clip.metrics.galleries import ACTIVITY, SUBJECT, WHOLE
from revalexo_clip.metrics.paired_differences import COMPARED, Outcome, differences
from revalexo_clip.metrics.probe import PROBES
from revalexo_clip.reports.html.comparison.page import write_comparison
from revalexo_clip.runs.checkpoint import Checkpoint
from revalexo_clip.runs.folder import find_checkpoint, folder_of
from revalexo_clip.runs.resume import FREE
from revalexo_clip.runs.resume import differences as differing

_SUBJECTS = "name subjects that none of them has seen: --set data.test_subjects=NAME,... holds for all"


_CLIPS = "--set data.min_duration=... and --set data.on_bad_clip=... hold for all"


_ROOT = "--data ROOT names one dataset for all"


_STRIDE = "--set data.eval_stride=... holds for all"


_HORIZONS = "--set data.horizons=... holds for all"


_LENGTH = "that is what they were trained on, so they cannot be compared"


_NAMED = 5
"""Names of what only one of two has that are told."""


def check_same_windows(datasets: Mapping[str, WindowDataset]) -> None:
    """Raise `ConfigError` where datasets, by the name of their checkpoint, are not the same evaluation windows.

    What encoders take of a window may differ: channels, frames, sizes. Its recording, start, length and labels may not.
    """
    (first, reference), *others = datasets.items()
    for name, dataset in others:
        found = _difference(first, reference, name, dataset)
        if found is not None:
            what, remedy = found
            raise ConfigError(f"{name} would not be measured on the same windows as {first}: {what}; {remedy}")


def _difference(first: str, one: WindowDataset, second: str, other: WindowDataset) -> tuple[str, str] | None:
    """The first thing that differs, and what to do about it."""
    for what, ones, others, remedy in (
        ("subjects", tuple(sorted(set(one.clip_subjects))), tuple(sorted(set(other.clip_subjects))), _SUBJECTS),
        ("clips", one.clip_names, other.clip_names, _CLIPS),
        ("activities", one.activities, other.activities, _ROOT),
        ("horizons [s]", one.horizons, other.horizons, _HORIZONS),
    ):
        if ones != others:
            return f"{what}: {_apart(first, ones, second, others)}", remedy
    if one.fingerprint() != other.fingerprint():
        return "the files of these clips, or what is said of them, are not the same", _ROOT
    if one.imu_spec.window != other.imu_spec.window:
        return f"its windows last {other.imu_spec.window:g} s, those of {first} {one.imu_spec.window:g} s", _LENGTH
    if not np.array_equal(_places(one), _places(other)):
        return f"its {len(other)} windows do not start where the {len(one)} of {first} do", _STRIDE
    assert (one.labels(0) == other.labels(0)).all()  # they are read from the same files at the same moments
    return None


def _places(dataset: WindowDataset) -> Floats:
    """[N, 2] clip and start [s] of each window."""
    return np.stack([dataset.windows.clip_N, dataset.windows.start_N], axis=1)


def _apart(first: str, ones: tuple[object, ...], second: str, others: tuple[object, ...]) -> str:
    """What only one of two lists has; or that their order differs."""
    missing, new = [item for item in ones if item not in others], [item for item in others if item not in ones]
    if not missing and not new:
        return "in another order"
    told = ((missing, first), (new, second))
    return "; ".join(f"{_listed(items)} only for {name}" for items, name in told if items)


def _listed(items: list[object]) -> str:
    more = len(items) - _NAMED
    return ", ".join(map(str, islice(items, _NAMED))) + (f" and {more} more" if more > 0 else "")


LETTERS = ascii_uppercase
"""What checkpoints are called where there is little room."""


@dataclass(frozen=True)
class Comparison:
    """Checkpoints side by side."""

    evaluations: tuple[Evaluation, ...]
    """Of each, in the order in which they were named."""
    metrics: JsonObject
    """What `comparison.json` holds."""
    path: Path
    """`comparison.json`."""

    @property
    def report(self) -> Path:
        """`report.html`, beside `comparison.json`."""
        return self.path.with_name("report.html")


def compare(
    ckpts: Sequence[Path],
    *,
    data_root: Path | None = None,
    overrides: Sequence[str] = (),
    experiment_files: Sequence[Path] = (),
    allow_seen_subjects: bool = False,
    probe: bool = True,
    tolerance: float = 0.0,
    out: Path | None = None,
    progress: Progress = silent_progress,
) -> Comparison:
    """Evaluate several checkpoints, or run folders, and compare the others with the first, on the same windows.

    Everything but `out`, the folder for `comparison.json`, is as for `evaluate` and holds for all of them. Raises
    `ConfigError`, before anything is measured, where their evaluation windows are not the same ones; or `DataError`.
    """
    for file in experiment_files:
        import_experiment_file(file)
    paths = [find_checkpoint(ckpt) for ckpt in ckpts]
    names = _names(paths)
    admitted = [
        load_for_evaluation(
            path,
            data_root=data_root,
            overrides=overrides,
            experiment_file=next(iter(experiment_files), None),
            allow_seen_subjects=allow_seen_subjects,
        )
        for path in paths
    ]
    check_same_windows({name: one.dataset for name, one in zip(names, admitted, strict=True)})
    evaluations = tuple(
        measure(one, probe=probe, tolerance=tolerance, progress=_called(letter, progress))
        for letter, one in zip(LETTERS, admitted, strict=False)
    )
    first, *others = (one.checkpoint for one in admitted)
    with progress("comparing") as on_progress:
        metrics = comparison_metrics(names, [_changed(first, other) for other in others], evaluations, on_progress)
    path = (folder_of(paths[0]) / "evaluation" / "comparison" if out is None else out) / "comparison.json"
    write_json(path, metrics)
    result = Comparison(evaluations, metrics, path)
    write_comparison(result.report, metrics)
    return result


def _names(paths: Sequence[Path]) -> list[str]:
    """`experiment/time` of each checkpoint's run, with as much more of its path as tells it from the others.

    Raises `ConfigError` for fewer than two, for more than there are letters, and for one that is there twice.
    """
    if not 2 <= len(paths) <= len(LETTERS):
        raise ConfigError(f"{len(paths)} checkpoints: from 2 to {len(LETTERS)} can be compared")
    resolved = [path.resolve() for path in paths]
    twice = next((path for path, count in Counter(resolved).items() if count > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice} is named twice; a checkpoint is compared with others")
    runs = ["/".join(folder_of(path).parts[-2:]) for path in resolved]
    files = [f"{run}/{path.stem}" for run, path in zip(runs, resolved, strict=True)]
    forms = (runs, files, [*map(str, resolved)])
    return [next(form[i] for form in forms if form.count(form[i]) == 1) for i in range(len(paths))]


def _called(letter: str, progress: Progress) -> Progress:
    """Shows of which checkpoint it is the progress."""

    def show(what: str) -> AbstractContextManager[OnProgress]:
        return progress(f"{letter}: {what}")

    return show


def comparison_metrics(
    names: Sequence[str],
    settings: Sequence[JsonObject],
    evaluations: Sequence[Evaluation],
    on_progress: OnProgress = no_progress,
) -> JsonObject:
    """The content of `comparison.json`: what was measured on, the figures of each, and differences to the first.

    `settings` are for all but the first those that its experiment does not share with the first's.
    """
    reference, *others = evaluations
    windows = reference.findings.windows
    bootstrap = ClipBootstrap(windows.clip_subjects)
    found: list[JsonValue] = []
    for name, changed, other in zip(names[1:], settings, others, strict=True):
        heading: JsonObject = {"name": name, "baseline": names[0], "settings": changed}
        found.append(heading | differences(_outcome(other), _outcome(reference), windows, bootstrap))
        on_progress(len(found), len(others))
    of_all = ("windows", "clips", "split", "tolerance", "interval_reason")
    return {
        **{key: reference.metrics[key] for key in of_all},
        "horizons": list(windows.horizons),
        "checkpoints": [_figures(*each) for each in zip(LETTERS, names, evaluations, strict=False)],
        "differences": found,
    }


def _outcome(evaluation: Evaluation) -> Outcome:
    return Outcome(evaluation.findings.galleries, evaluation.predictions)


def _figures(letter: str, name: str, evaluation: Evaluation) -> JsonObject:
    """What is compared of a checkpoint's figures, under the names that they have in `metrics.json`."""
    metrics = evaluation.metrics
    kept = ("checkpoint", "sha256", "epoch", "seen", WHOLE, SUBJECT, ACTIVITY, "subjects", "activities", "probe_reason")
    probe = metrics["probe"]
    if isinstance(probe, dict):
        probe = {key: probe[key] for key in ("protocol", "trained_on", "tested_on")} | {
            kind: {name: of for name, of in found.items() if name in COMPARED}
            for kind in PROBES
            if isinstance(found := probe[kind], dict)
        }
    heading: JsonObject = {"letter": letter, "name": name, "experiment": evaluation.findings.name}
    return heading | {key: metrics[key] for key in kept} | {"probe": probe}


def _changed(first: Checkpoint, other: Checkpoint) -> JsonObject:
    """The settings of two experiments that differ, by dotted path: the first's value and the other's."""
    before, now = (one.description.experiment.model_dump(mode="json") for one in (first, other))
    return {
        path: list(values) for path, values in differing(before, now).items() if path not in FREE and path != "name"
    }
