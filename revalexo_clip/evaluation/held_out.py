"""Load a checkpoint with the windows that it may be evaluated on.

The windows must have the format that the checkpoint was trained on, and their subjects must not have been used in
training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar, cast

from pydantic import ValidationError

from revalexo_clip.config.base import Experiment
from revalexo_clip.config.loading import apply_overrides, import_experiment_file
from revalexo_clip.config.pretraining import PretrainExperiment
from revalexo_clip.core.component import JsonObject, describe
from revalexo_clip.core.errors import ConfigError, DataError
from revalexo_clip.core.types import ImuSpec, Split, VideoSpec
from revalexo_clip.data import LabelledWindows
from revalexo_clip.data.subjects import alike
from revalexo_clip.evaluation.folder import changed_data
from revalexo_clip.runs.checkpoint import Checkpoint, load_checkpoint

E = TypeVar("E", bound=Experiment)

HORIZONS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)
"""Prediction horizons of an evaluation, after the end of the window [s]: those of the RevalExo benchmark."""

_ADJUSTABLE = ("data", "batch_size", "micro_batch", "trainer")
"""Fields of an experiment that an evaluation may change. The others belong to the trained model."""

_MEASURED = ("mean", "std")
"""Fields of a spec that were computed from the training data, so that other data need not match them."""

_CHOOSE = "Choose others (--set data.test_subjects=NAME,...), or pass --allow-seen-subjects."


@dataclass(frozen=True)
class HeldOut:
    """A checkpoint and its evaluation windows."""

    checkpoint: Checkpoint
    experiment: PretrainExperiment
    """The checkpoint's experiment with the settings of the evaluation."""
    changed: JsonObject
    """Data settings that differ from the checkpoint's own, see `changed_data`."""
    split: Split
    """Split that the windows belong to: `test`, or `val` if there are no test subjects."""
    dataset: LabelledWindows
    """Evaluation windows; a `WindowDataset` unless the checkpoint is of IMU alone."""


def load_for_evaluation(
    path: Path,
    *,
    data_root: Path | None,
    overrides: Sequence[str],
    experiment_file: Path | None,
    allow_seen_subjects: bool,
) -> HeldOut:
    """Load a checkpoint and index its evaluation windows. No recording is read yet.

    Raises `ConfigError` if the subjects were used in training and that is not allowed, or if an override is wrong;
    `DataError` if a file cannot be read or the windows do not have the format of the training.
    """
    if experiment_file is not None:
        import_experiment_file(experiment_file)
    checkpoint = load_checkpoint(path, experiment_file)
    root = [] if data_root is None else [f"data.root={data_root}"]
    described = checkpoint.description.experiment
    horizons = _benchmark_horizons(described)
    experiment = edited(described, [*horizons, *root, *overrides])
    split, dataset = _dataset(checkpoint, experiment, allow_seen_subjects)
    changed = changed_data(checkpoint.description, edited(described, horizons), experiment)
    return HeldOut(checkpoint, experiment, changed, split, dataset)


def _benchmark_horizons(experiment: PretrainExperiment) -> list[str]:
    """Return the override that sets the benchmark's horizons; none if the dataset has no horizons."""
    has_horizons = "horizons" in type(experiment.data).model_fields
    return [f"data.horizons={','.join(map(str, HORIZONS))}"] if has_horizons else []


def edited(experiment: E, overrides: Sequence[str]) -> E:
    """Apply overrides to a checkpoint's experiment: another dataset root or other subjects, but not another model.

    Subjects that become test subjects leave the other splits; the checkpoint lists the subjects of its training.
    Raises `ConfigError` if an override is wrong or changes a field that belongs to the trained model.
    """
    try:
        edited_json = apply_overrides(experiment.model_dump(mode="json"), overrides)
        changed = experiment.kind().model_validate(_with_disjoint_splits(edited_json, overrides))
    except ValidationError as error:
        raise ConfigError(describe(error)) from error
    for field in type(experiment).model_fields:
        if field not in _ADJUSTABLE and getattr(changed, field) != getattr(experiment, field):
            raise ConfigError(
                f"--set {field}: an evaluation cannot change the {field} that the checkpoint was trained with; it can "
                f"set {', '.join(_ADJUSTABLE)}"
            )
    return cast("E", changed)  # of the same kind


def _with_disjoint_splits(edited_json: JsonObject, overrides: Sequence[str]) -> JsonObject:
    """Remove test subjects that overrides name from the splits that overrides do not name."""
    named = {text.partition("=")[0] for text in overrides}
    data = edited_json.get("data")
    tested = data.get("test_subjects") if isinstance(data, dict) else None
    if "data.test_subjects" not in named or not isinstance(data, dict) or not isinstance(tested, list):
        return edited_json
    kept: JsonObject = {
        split: [one for one in subjects if not any(alike(str(one), str(other)) for other in tested)]
        for split in ("train_subjects", "val_subjects")
        if f"data.{split}" not in named and isinstance(subjects := data.get(split), list)
    }
    return edited_json | {"data": data | kept}


def _dataset(
    checkpoint: Checkpoint, experiment: PretrainExperiment, allow_seen_subjects: bool
) -> tuple[Split, LabelledWindows]:
    """Index the windows of the test subjects; of the validation subjects if none are named and seen ones are allowed.

    Raises `ConfigError` if the subjects were used in training and that is not allowed, `DataError` if the windows do
    not have the format of the training.
    """
    split: Split = "test"
    if not experiment.data.subjects("test"):
        if not allow_seen_subjects:
            selected = ", ".join(checkpoint.description.subjects.get("val", ()))
            raise ConfigError(
                f"{checkpoint.path}: the experiment names no test subjects, and its validation subjects ({selected}) "
                f"were used for model selection. {_CHOOSE}"
            )
        split = "val"
    dataset = experiment.windows(split)
    used = describe_seen(seen_subjects(checkpoint, dataset))
    if used and not allow_seen_subjects:
        raise ConfigError(f"{checkpoint.path}: {used}, so the results would not measure generalisation. {_CHOOSE}")
    check_same_input(checkpoint, dataset)
    return split, dataset


def describe_seen(seen: JsonObject) -> str:
    """Return `Test subjects A, B were used in training`, or an empty text if all are unseen.

    `seen` is the object of that name in `metrics.json`.
    """
    uses = {"train": "in training", "val": "for model selection"}
    used = [
        f"{', '.join(map(str, names))} were used {purpose}"
        for use, purpose in uses.items()
        if isinstance(names := seen.get(use), list) and names
    ]
    return f"Test subjects {' and '.join(used)}" if used else ""


def seen_subjects(checkpoint: Checkpoint, dataset: LabelledWindows) -> JsonObject:
    """Return the subjects of a dataset that a checkpoint was trained on (`train`) or selected on (`val`)."""
    return seen_among(checkpoint.description.subjects, dataset)


def seen_among(subjects: Mapping[Split, tuple[str, ...]], dataset: LabelledWindows) -> JsonObject:
    """Return the subjects of a dataset that are among `subjects`: the object `seen` of `metrics.json`.

    Names are compared as in an experiment: an imported encoder may know Subject10 as 10.
    """
    names = dict.fromkeys(dataset.clip_subjects)
    return {
        use: list(dict.fromkeys(name for one in seen for name in names if alike(one, name)))
        for use, seen in subjects.items()
    }


def check_same_input(checkpoint: Checkpoint, dataset: LabelledWindows) -> None:
    """Raise `DataError` if windows do not have the format of the checkpoint's encoders."""
    described = checkpoint.description
    check_same_imu(described.imu_spec, dataset.imu_spec, checkpoint.path)
    if described.video_spec is not None:
        assert dataset.video_spec is not None
        check_same_video(described.video_spec, dataset.video_spec, checkpoint.path)


def check_same_imu(trained: ImuSpec, given: ImuSpec, source: Path | None) -> None:
    """Raise `DataError` if IMU windows do not have the format that the encoder from `source` was trained on."""
    _check_same("IMU", vars(trained), vars(given), source)


def check_same_video(trained: VideoSpec, given: VideoSpec, source: Path | None) -> None:
    """Raise `DataError` if video windows do not have the format that the encoder from `source` was trained on."""
    _check_same("video", vars(trained), vars(given), source)


def _check_same(modality: str, trained: Mapping[str, object], given: Mapping[str, object], source: Path | None) -> None:
    for name, value in trained.items():
        if name not in _MEASURED and given[name] != value:
            raise DataError(
                f"the data do not have the format that {source or 'the encoder'} was trained on: "
                f"{modality} {name}: {_difference(value, given[name])}"
            )


def _difference(trained: object, given: object) -> str:
    """Describe how two values differ: for lists, the items that only one has, or the first place that differs."""
    if not isinstance(trained, tuple) or not isinstance(given, tuple):
        return f"{trained} in training, {given} here"
    missing, new = (sorted(map(str, set(one) - set(other))) for one, other in ((trained, given), (given, trained)))
    if missing or new:
        found = (("missing here", missing), ("only here", new))
        return "; ".join(f"{', '.join(names)} {what}" for what, names in found if names)
    place = next((i for i, (one, other) in enumerate(zip(trained, given, strict=False)) if one != other), 0)
    return (
        f"another order; number {place + 1} was {trained[place]} in training and is {given[place]} here; list them "
        f"as in training: {', '.join(map(str, trained))}"
    )
