"""The supervised reference of a pretrained encoder: the same IMU encoder, trained from scratch on all labels.

Its features are probed beside those of the pretrained and of the untrained encoder. They show how far an encoder of
this architecture can come on these recordings, and so which share of that way pretraining goes without a label.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from torch import Tensor, nn

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.core.files import sha256_of
from revalexo_clip.evaluation.held_out import HeldOut, describe_seen, seen_among
from revalexo_clip.runs.checkpoint import Checkpoint
from revalexo_clip.runs.classifier_checkpoint import (
    ClassifierCheckpoint,
    ClassifierMetadata,
    is_classifier,
    load_classifier_checkpoint,
)
from revalexo_clip.runs.folder import find_checkpoint

_HOW = "Train one with `rxclip finetune` and --set from_scratch=true, see docs/evaluation.md."
_SPEC_FIELDS = ("channels", "units", "rate", "window")
"""Fields of the IMU format that must be the same. Its standardisation may differ: each encoder has its own."""


class SupervisedEncoder(nn.Module):
    """IMU windows in the channels' units [B, L, C] to the features [B, F] of a classifier's IMU encoder."""

    def __init__(self, checkpoint: ClassifierCheckpoint) -> None:
        """Take the encoder and its standardisation from a classifier."""
        super().__init__()
        model = checkpoint.build_model()
        assert model.samples is not None
        self.samples = model.samples
        self.encoder = model.encoder("imu")

    def forward(self, imu_BLC: Tensor) -> Tensor:
        """Compute the features [B, F]."""
        features_BF: Tensor = self.encoder(self.samples(imu_BLC))
        return features_BF


def load_reference(
    run: str | Path, held_out: HeldOut, *, experiment_file: Path | None = None, allow_seen_subjects: bool = False
) -> ClassifierCheckpoint:
    """Load the supervised reference of an evaluation, from a run folder or a checkpoint.

    Raises `ConfigError`, which says what is wrong, if it is no activity classifier, was not trained from scratch on all
    labels, has another IMU encoder or input, was trained on other subjects than the pretrained encoder, or was trained
    or chosen on evaluated subjects and that is not allowed; `DataError` if it cannot be read.
    """
    path = find_checkpoint(Path(run))
    if not is_classifier(path):
        raise ConfigError(f"--reference {path} is not the checkpoint of an activity classifier. {_HOW}")
    reference = load_classifier_checkpoint(path, experiment_file)
    described = reference.description
    if problem := next(_problems(described, held_out.checkpoint), None):
        raise ConfigError(f"--reference {path} {problem}")
    used = describe_seen(seen_among(described.subjects, held_out.dataset))
    if used and not allow_seen_subjects:
        raise ConfigError(
            f"--reference {path}: {used}, so the results would not measure generalisation. Choose other test subjects "
            "(--set data.test_subjects=NAME,...), or pass --allow-seen-subjects."
        )
    return reference


def identity_of(reference: ClassifierCheckpoint) -> JsonObject:
    """Return the object `reference` of `metrics.json`."""
    return {"checkpoint": str(reference.path), "sha256": sha256_of(reference.path), "epoch": reference.epoch}


def _problems(described: ClassifierMetadata, pretrained: Checkpoint) -> Iterator[str]:
    """Yield why a classifier is no reference of a pretrained encoder."""
    experiment = described.experiment
    if described.pretrained_on is None or any(described.pretrained_on.values()):
        yield f"was not trained from scratch: its training began with a pretrained encoder, or had a teacher. {_HOW}"
    if experiment.encoder is not None and not experiment.from_scratch:
        yield f"was not trained from scratch, but from {experiment.encoder}. {_HOW}"
    if experiment.modality != "imu":
        yield f"classifies windows of modality {experiment.modality}; the reference sees IMU only (modality=imu)"
    if experiment.freezing.epochs == "all":
        yield "kept its encoder frozen (freezing.epochs=all), so labels taught it nothing"
    if experiment.label_fraction < 1:
        yield f"was trained on {100 * experiment.label_fraction:g}% of the labels; train it on all (label_fraction=1)"
    yield from _differences(described, pretrained)
    own, others = (set(one.subjects.get("train", ())) for one in (described, pretrained.description))
    if own != others:
        only = [
            f"{', '.join(sorted(names))} only for {who}"
            for names, who in ((own - others, "the reference"), (others - own, "the pretraining"))
            if names
        ]
        yield (
            f"was trained on other subjects than {pretrained.path}: {'; '.join(only)}. Both must have the same: "
            "--set data.train_subjects=..."
        )


def _differences(described: ClassifierMetadata, pretrained: Checkpoint) -> Iterator[str]:
    """Yield how its IMU encoder and its input differ from those of the pretrained one."""
    trained, spec = pretrained.description.experiment, pretrained.description.imu_spec
    if described.imu is None or described.imu_spec is None:
        yield "has no IMU encoder"
        return
    own, other = (one.model_copy(update={"frozen": 0}) for one in (described.imu, trained.imu))
    if own != other:
        yield f"has another IMU encoder than {pretrained.path}: {own!r}, not {other!r}"
    if described.embed_dim != trained.embed_dim:
        yield f"has another embed_dim than {pretrained.path}: {described.embed_dim}, not {trained.embed_dim}"
    for field in _SPEC_FIELDS:
        here, there = getattr(described.imu_spec, field), getattr(spec, field)
        if here != there:
            found = f"{field} {_listed(here)}, not {_listed(there)}"
            yield f"was trained on other IMU windows than {pretrained.path}: {found}"


def _listed(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
