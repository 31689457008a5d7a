"""Compare checkpoints on the same windows, as `rxclip evaluate` does with several checkpoints.

Each checkpoint is evaluated as if it were alone. Then the others are compared with the first. Checkpoints whose
evaluation windows differ are refused before anything is evaluated.
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
from revalexo_clip.data import LabelledWindows
from revalexo_clip.evaluation.folder import chosen_folder, results_folder
from revalexo_clip.evaluation.held_out import load_for_evaluation
from revalexo_clip.evaluation.protocol import Evaluation, check_tolerance, measure
from revalexo_clip.metrics.blocks import units_of
from revalexo_clip.metrics.bootstrap import TimeBootstrap
from revalexo_clip.metrics.evaluated import Floats
from revalexo_clip.metrics.galleries import ALL_GALLERIES
from revalexo_clip.metrics.paired_differences import COMPARED, Outcome, differences
from revalexo_clip.metrics.probe import PROBES
from revalexo_clip.reports.html.comparison.page import write_comparison
from revalexo_clip.runs.checkpoint import Checkpoint
from revalexo_clip.runs.folder import find_checkpoint, folder_of
from revalexo_clip.runs.resume import FREE
from revalexo_clip.runs.resume import differences as differing

_SUBJECTS = "name subjects that are unseen by all of them: --set data.test_subjects=NAME,..."
_CLIPS = "use the same for all of them: --set data.min_duration=... or --set data.on_bad_clip=..."
_ROOT = "use one dataset for all of them: --data ROOT"
_STRIDE = "use one stride for all of them: --set data.eval_stride=..."
_HORIZONS = "use the same for all of them: --set data.horizons=..."
_LENGTH = "they were trained on windows of these lengths, so they cannot be compared"

_LISTED = 5
"""Largest number of items that a message lists."""

LETTERS = ascii_uppercase
"""Short names of the checkpoints."""


@dataclass(frozen=True)
class Comparison:
    """Results of several checkpoints and their differences."""

    evaluations: tuple[Evaluation, ...]
    """Results of each checkpoint, in the order in which they were named."""
    metrics: JsonObject
    """Content of `comparison.json`."""
    path: Path
    """`comparison.json`."""

    @property
    def report(self) -> Path:
        """`report.html`, in the folder of `comparison.json`."""
        return self.path.with_name("report.html")


def compare(
    ckpts: Sequence[str | Path],
    *,
    data_root: str | Path | None = None,
    overrides: Sequence[str] = (),
    experiment_files: Sequence[str | Path] = (),
    allow_seen_subjects: bool = False,
    probe: bool = True,
    tolerance: float = 0.0,
    out: str | Path | None = None,
    progress: Progress = silent_progress,
) -> Comparison:
    """Evaluate several checkpoints or run folders on the same windows, and compare the others with the first.

    Writes the results of each checkpoint as `evaluate` does, and `comparison.json` and `report.html` to `out`. The
    default is `evaluation/comparison/` in the run folder of the first checkpoint if it is evaluated on its own test
    subjects, with the probe and without tolerance; for anything else it is a folder inside it, as for `evaluate`. The
    other arguments are those of `evaluate` and apply to all checkpoints.

    Raises `ConfigError`, before anything is evaluated, if the evaluation windows differ, and what `evaluate` raises.
    """
    check_tolerance(tolerance)
    folder = chosen_folder(out)
    files = [Path(file) for file in experiment_files]
    for file in files:
        import_experiment_file(file)
    paths = [find_checkpoint(Path(ckpt)) for ckpt in ckpts]
    names = _names(paths)
    loaded = [
        load_for_evaluation(
            path,
            data_root=None if data_root is None else Path(data_root),
            overrides=overrides,
            experiment_file=next(iter(files), None),
            allow_seen_subjects=allow_seen_subjects,
        )
        for path in paths
    ]
    for name, one in zip(names, loaded, strict=True):
        if one.experiment.video is None:
            raise ConfigError(
                f"{name} was pretrained on IMU alone, and comparisons are of retrieval; evaluate it alone, with a "
                "single --ckpt"
            )
    check_same_windows({name: one.dataset for name, one in zip(names, loaded, strict=True)})
    evaluations = tuple(
        measure(one, probe=probe, tolerance=tolerance, progress=_labelled(letter, progress))
        for letter, one in zip(LETTERS, loaded, strict=False)
    )
    first, *others = (one.checkpoint for one in loaded)
    with progress("comparing") as on_progress:
        metrics = comparison_metrics(names, [_changed(first, other) for other in others], evaluations, on_progress)
    if folder is None:
        folder = results_folder(paths[0], loaded[0].changed, probe=probe, tolerance=tolerance, inside="comparison")
    write_json(folder / "comparison.json", metrics)
    result = Comparison(evaluations, metrics, folder / "comparison.json")
    with progress("report"):
        write_comparison(result.report, metrics)
    return result


def check_same_windows(datasets: Mapping[str, LabelledWindows]) -> None:
    """Raise `ConfigError` if datasets, by the name of their checkpoint, do not have the same evaluation windows.

    The input of the encoders may differ: channels, frames, sizes. The recording, start, length and labels of each
    window must be the same.
    """
    (first, reference), *others = datasets.items()
    for name, dataset in others:
        found = _difference(first, reference, name, dataset)
        if found is not None:
            what, remedy = found
            raise ConfigError(f"{name} does not have the same evaluation windows as {first}: {what}; {remedy}")


def _difference(first: str, one: LabelledWindows, second: str, other: LabelledWindows) -> tuple[str, str] | None:
    """Return the first difference and its remedy."""
    for what, ones, others, remedy in (
        ("subjects", tuple(sorted(set(one.clip_subjects))), tuple(sorted(set(other.clip_subjects))), _SUBJECTS),
        ("clips", one.clip_names, other.clip_names, _CLIPS),
        ("activities", one.activities, other.activities, _ROOT),
        ("horizons [s]", one.horizons, other.horizons, _HORIZONS),
    ):
        if ones != others:
            return f"{what}: {_apart(first, ones, second, others)}", remedy
    if one.fingerprint() != other.fingerprint():
        return "the files of these clips, or their descriptions, are not the same", _ROOT
    if one.imu_spec.window != other.imu_spec.window:
        return f"its windows last {other.imu_spec.window:g} s, those of {first} {one.imu_spec.window:g} s", _LENGTH
    if not np.array_equal(_places(one), _places(other)):
        return f"its {len(other)} windows do not start where the {len(one)} of {first} do", _STRIDE
    assert (one.labels(0) == other.labels(0)).all()  # read from the same files at the same times
    return None


def _places(dataset: LabelledWindows) -> Floats:
    """Return clip, start in it [s], recording and time in it [s] of each window, [N, 4]."""
    clip_N, start_N = dataset.windows.clip_N, dataset.windows.start_N
    time_N = start_N + dataset.clip_offsets[clip_N]
    return np.stack([clip_N, start_N, dataset.clip_recordings[clip_N], time_N], axis=1)


def _apart(first: str, ones: tuple[object, ...], second: str, others: tuple[object, ...]) -> str:
    """Describe which items only one of two lists has, or that their order differs."""
    missing, new = [item for item in ones if item not in others], [item for item in others if item not in ones]
    if not missing and not new:
        return "in another order"
    found = ((missing, first), (new, second))
    return "; ".join(f"{_listed(items)} only for {name}" for items, name in found if items)


def _listed(items: list[object]) -> str:
    more = len(items) - _LISTED
    return ", ".join(map(str, islice(items, _LISTED))) + (f" and {more} more" if more > 0 else "")


def _names(paths: Sequence[Path]) -> list[str]:
    """Name each checkpoint `experiment/time` after its run, or with more of its path if that name is not unique.

    Raises `ConfigError` if there are fewer than two checkpoints, more than there are letters, or the same one twice.
    """
    if not 2 <= len(paths) <= len(LETTERS):
        raise ConfigError(f"{len(paths)} checkpoints: a comparison needs 2 to {len(LETTERS)}")
    resolved = [path.resolve() for path in paths]
    twice = next((path for path, count in Counter(resolved).items() if count > 1), None)
    if twice is not None:
        raise ConfigError(f"{twice} is named twice; name each checkpoint once")
    runs = ["/".join(folder_of(path).parts[-2:]) for path in resolved]
    files = [f"{run}/{path.stem}" for run, path in zip(runs, resolved, strict=True)]
    forms = (runs, files, [*map(str, resolved)])
    return [next(form[i] for form in forms if form.count(form[i]) == 1) for i in range(len(paths))]


def _labelled(letter: str, progress: Progress) -> Progress:
    """Put the letter of the checkpoint before each progress label."""

    def show(what: str) -> AbstractContextManager[OnProgress]:
        return progress(f"{letter}: {what}")

    return show


def comparison_metrics(
    names: Sequence[str],
    settings: Sequence[JsonObject],
    evaluations: Sequence[Evaluation],
    on_progress: OnProgress = no_progress,
) -> JsonObject:
    """Return the content of `comparison.json`: the windows, the results of each, and differences to the first.

    `settings` holds, for each checkpoint but the first, the settings that differ from those of the first.
    """
    reference, *others = evaluations
    windows = reference.findings.windows
    bootstrap = TimeBootstrap(units_of(windows))
    found: list[JsonValue] = []
    for name, changed, other in zip(names[1:], settings, others, strict=True):
        heading: JsonObject = {"name": name, "baseline": names[0], "settings": changed}
        found.append(heading | differences(_outcome(other), _outcome(reference), windows, bootstrap))
        on_progress(len(found), len(others))
    shared = ("windows", "clips", "split", "tolerance", "interval_unit", "interval_reason")
    return {
        **{key: reference.metrics[key] for key in shared},
        "horizons": list(windows.horizons),
        "checkpoints": [_figures(*each) for each in zip(LETTERS, names, evaluations, strict=False)],
        "differences": found,
    }


def _outcome(evaluation: Evaluation) -> Outcome:
    return Outcome(evaluation.findings.galleries, evaluation.predictions)


def _figures(letter: str, name: str, evaluation: Evaluation) -> JsonObject:
    """Return the results that are compared, under their names in `metrics.json`."""
    metrics = evaluation.metrics
    kept = ("checkpoint", "sha256", "epoch", "seen", *ALL_GALLERIES, "subjects", "activities", "probe_reason")
    probe = metrics["probe"]
    if isinstance(probe, dict):
        probe = {key: probe[key] for key in ("protocol", "trained_on", "tested_on", "never_trained")} | {
            kind: {name: of for name, of in found.items() if name in COMPARED}
            for kind in PROBES
            if isinstance(found := probe[kind], dict)
        }
    heading: JsonObject = {"letter": letter, "name": name, "experiment": evaluation.findings.name}
    return heading | {key: metrics[key] for key in kept} | {"probe": probe}


def _changed(first: Checkpoint, other: Checkpoint) -> JsonObject:
    """Return the settings that differ, by dotted path: the value of the first and that of the other."""
    before, now = (one.description.experiment.model_dump(mode="json") for one in (first, other))
    return {
        path: list(values) for path, values in differing(before, now).items() if path not in FREE and path != "name"
    }
