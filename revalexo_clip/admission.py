"""Which data a checkpoint may be measured on: of the kind it was trained on, from people that it has never seen."""

from __future__ import annotations

from revalexo_clip.checkpoint import Checkpoint
from revalexo_clip.component import JsonObject
from revalexo_clip.data import WindowDataset
from revalexo_clip.errors import ConfigError, DataError
from revalexo_clip.experiment import PretrainExperiment
from revalexo_clip.types import Split

_MEASURED = ("mean", "std")
"""What a spec holds of the training data, and of no other."""
_WHAT_ELSE = "evaluate on others, --set data.test_subjects=NAME,..., or on them all the same, --allow-seen-subjects"


def evaluation_dataset(
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
    return {
        use: [subject for subject in seen if subject in dataset.clip_subjects]
        for use, seen in checkpoint.description.subjects.items()
    }


def seen_text(seen: JsonObject) -> str:
    """`trained on A, B and selected on C`; empty where all are new."""
    uses = {"train": "trained on", "val": "selected on"}
    told = [
        f"{verb} {', '.join(map(str, names))}"
        for use, verb in uses.items()
        if isinstance(names := seen.get(use), list) and names
    ]
    return " and ".join(told)


def check_same_input(checkpoint: Checkpoint, dataset: WindowDataset) -> None:
    """Raise `DataError` where windows are not what the checkpoint's encoders take."""
    described = checkpoint.description
    for modality, trained, given in (
        ("IMU", vars(described.imu_spec), vars(dataset.imu_spec)),
        ("video", vars(described.video_spec), vars(dataset.video_spec)),
    ):
        for name, value in trained.items():
            if name not in _MEASURED and given[name] != value:
                raise DataError(
                    f"these data are not what {checkpoint.path} was trained on: "
                    f"{modality} {name}: {_difference(value, given[name])}"
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
