"""Which data a checkpoint may be measured on: of the kind it was trained on, from people that it has never seen."""

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
from revalexo_clip.data import LabelledWindows, WindowDataset
from revalexo_clip.reports.leakage import seen_text
from revalexo_clip.runs.checkpoint import Checkpoint, load_checkpoint

E = TypeVar("E", bound=Experiment)

HORIZONS = (0.0, 0.1, 0.2, 0.3, 0.5, 1.0)
"""How long after a window's end activities are asked for [s]: those of the RevalExo benchmark."""


_ADJUSTABLE = ("data", "batch_size", "micro_batch", "trainer")
"""Fields of an experiment that say what is evaluated and how; the others say what the checkpoint is."""


_MEASURED = ("mean", "std")
"""What a spec holds of the training data, and of no other."""


_WHAT_ELSE = "evaluate on others, --set data.test_subjects=NAME,..., or on them all the same, --allow-seen-subjects"


@dataclass(frozen=True)
class HeldOut:
    """A checkpoint, and the windows that it is to be measured on."""

    checkpoint: Checkpoint
    experiment: PretrainExperiment
    """The checkpoint's, with what the evaluation sets."""
    split: Split
    dataset: WindowDataset


def load_for_evaluation(
    path: Path,
    *,
    data_root: Path | None,
    overrides: Sequence[str],
    experiment_file: Path | None,
    allow_seen_subjects: bool,
) -> HeldOut:
    """Read a checkpoint and find its evaluation windows, of which no recording has been read yet.

    Raises `ConfigError` or `DataError` where it may not, or cannot, be measured on them.
    """
    if experiment_file is not None:
        import_experiment_file(experiment_file)
    checkpoint = load_checkpoint(path, experiment_file)
    root = [] if data_root is None else [f"data.root={data_root}"]
    described = checkpoint.description.experiment
    experiment = edited(described, [*_with_horizons(described), *root, *overrides])
    split, dataset = _dataset(checkpoint, experiment, allow_seen_subjects)
    return HeldOut(checkpoint, experiment, split, dataset)


def _with_horizons(experiment: PretrainExperiment) -> list[str]:
    """The override that asks for the horizons of the benchmark, where data have any."""
    has_horizons = "horizons" in type(experiment.data).model_fields
    return [f"data.horizons={','.join(map(str, HORIZONS))}"] if has_horizons else []


def edited(experiment: E, overrides: Sequence[str]) -> E:
    """A checkpoint's experiment with another root, other subjects or the like; never another model.

    Raises `ConfigError` where an override is wrong, or changes what a checkpoint is.
    """
    try:
        changed = experiment.kind().model_validate(apply_overrides(experiment.model_dump(mode="json"), overrides))
    except ValidationError as error:
        raise ConfigError(describe(error)) from error
    for field in type(experiment).model_fields:
        if field not in _ADJUSTABLE and getattr(changed, field) != getattr(experiment, field):
            raise ConfigError(
                f"--set {field}: a checkpoint's {field} is what it was trained with; an evaluation can set "
                f"{', '.join(_ADJUSTABLE)}"
            )
    return cast("E", changed)  # of the same kind


def _dataset(
    checkpoint: Checkpoint, experiment: PretrainExperiment, allow_seen_subjects: bool
) -> tuple[Split, WindowDataset]:
    """The test subjects' windows; where seen subjects are allowed and none is named, the validation subjects'.

    Raises `ConfigError` for subjects that the checkpoint was trained or selected on, and for data of another kind.
    """
    split: Split = "test"
    if not experiment.data.subjects("test"):
        if not allow_seen_subjects:
            selected = ", ".join(checkpoint.description.subjects.get("val", ()))
            raise ConfigError(
                f"the experiment names no test subjects, and {checkpoint.path} was selected on its validation subjects "
                f"({selected}): {_WHAT_ELSE}"
            )
        split = "val"
    dataset = experiment.data.build(split, experiment.seed)
    told = seen_text(seen_subjects(checkpoint, dataset))
    if told and not allow_seen_subjects:
        raise ConfigError(
            f"{checkpoint.path} was {told}, so figures on them would say nothing of new people: {_WHAT_ELSE}"
        )
    check_same_input(checkpoint, dataset)
    return split, dataset


def seen_subjects(checkpoint: Checkpoint, dataset: WindowDataset) -> JsonObject:
    """The object `seen` of `metrics.json`: subjects of a dataset by what a checkpoint has done with them."""
    return seen_among(checkpoint.description.subjects, dataset)


def seen_among(subjects: Mapping[Split, tuple[str, ...]], dataset: LabelledWindows) -> JsonObject:
    """The subjects of a dataset that are among these, `train` or `val`."""
    return {use: [one for one in seen if one in dataset.clip_subjects] for use, seen in subjects.items()}


def check_same_input(checkpoint: Checkpoint, dataset: WindowDataset) -> None:
    """Raise `DataError` where windows are not what the checkpoint's encoders take."""
    described = checkpoint.description
    check_same_imu(described.imu_spec, dataset.imu_spec, checkpoint.path)
    check_same_video(described.video_spec, dataset.video_spec, checkpoint.path)


def check_same_imu(trained: ImuSpec, given: ImuSpec, source: Path | None) -> None:
    """Raise `DataError` where IMU windows are not those that an encoder from `source` was trained on."""
    _check_same("IMU", vars(trained), vars(given), source)


def check_same_video(trained: VideoSpec, given: VideoSpec, source: Path | None) -> None:
    """Raise `DataError` where video windows are not those that an encoder from `source` was trained on."""
    _check_same("video", vars(trained), vars(given), source)


def _check_same(modality: str, trained: Mapping[str, object], given: Mapping[str, object], source: Path | None) -> None:
    for name, value in trained.items():
        if name not in _MEASURED and given[name] != value:
            raise DataError(
                f"these data are not what {source} was trained on: {modality} {name}: {_difference(value, given[name])}"
            )


def _difference(trained: object, given: object) -> str:
    """How two values of a field differ: lists by what only one of them has, or by the first place where they part."""
    if not isinstance(trained, tuple) or not isinstance(given, tuple):
        return f"{trained} then, {given} here"
    missing, new = (sorted(map(str, set(one) - set(other))) for one, other in ((trained, given), (given, trained)))
    if missing or new:
        told = (("missing here", missing), ("only here", new))
        return "; ".join(f"{', '.join(names)} {what}" for what, names in told if names)
    place = next((i for i, (one, other) in enumerate(zip(trained, given, strict=False)) if one != other), 0)
    return f"another order, number {place + 1} was {trained[place]} and is {given[place]} here"
