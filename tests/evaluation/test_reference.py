"""The supervised reference of an evaluation: its features, and the classifiers that are refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import h5py
import numpy as np
import pytest
import torch
from support.documented import undocumented
from support.small_finetuning import finetuning, train_classifier
from support.small_run import built_in_experiment, link_run, train

from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.errors import ConfigError
from revalexo_clip.evaluation.held_out import HeldOut, load_for_evaluation
from revalexo_clip.evaluation.protocol import Evaluation, evaluate
from revalexo_clip.evaluation.reference import SupervisedEncoder, load_reference
from revalexo_clip.runs.checkpoint import CLASSIFIER_KEY, load_checkpoint
from revalexo_clip.runs.classifier_checkpoint import load_classifier_checkpoint


@pytest.fixture(scope="module")
def reference(trained_run: Path, distinct: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with the encoder of `trained_run`, trained from scratch. Do not write to it."""
    experiment = finetuning(distinct, trained_run, from_scratch=True)
    return train_classifier(experiment, tmp_path_factory.mktemp("reference"))


def held_out(run: Path) -> HeldOut:
    """Return the checkpoint of a run with its evaluation windows."""
    path = run / "checkpoints" / "best.ckpt"
    return load_for_evaluation(path, data_root=None, overrides=(), experiment_file=None, allow_seen_subjects=False)


def changed(reference: Path, folder: Path, change: Callable[[Any], None]) -> Path:
    """Return a copy of the reference's checkpoint with changed metadata."""
    content = torch.load(reference / "checkpoints" / "best.ckpt", weights_only=True)
    described = json.loads(content[CLASSIFIER_KEY])
    change(described)
    content[CLASSIFIER_KEY] = json.dumps(described)
    path = folder / "changed.ckpt"
    torch.save(content, path)
    return path


@pytest.mark.long
def test_its_features_are_probed_beside_the_others(run: Path, reference: Path) -> None:
    result = evaluate(run, reference=reference)
    probe = cast("dict[str, Any]", result.metrics["probe"])
    for kind in ("linear", "knn"):
        assert "imu_supervised" in probe[kind]
    assert "imu_supervised" in probe["few_labels"]
    assert set(probe["gap_closed"]) == {"accuracy", "macro_f1", "weighted_f1", "interval", "reason"}
    described = cast("JsonObject", result.metrics["reference"])
    assert described["checkpoint"] == str(reference / "checkpoints" / "best.ckpt")
    own = {*cast("JsonObject", result.metrics["subjects"]), *cast("JsonObject", result.metrics["activities"])}
    assert undocumented(result.metrics, own) == []
    classifier = load_classifier_checkpoint(reference / "checkpoints" / "best.ckpt")
    dataset = load_checkpoint(run / "checkpoints" / "best.ckpt").description.experiment.data.build("test", 0)
    imu_BLC = torch.stack([dataset[0, index].imu_LC for index in range(len(dataset))])
    with torch.no_grad():
        expected_BF = classifier.build_model()(imu_BLC, torch.empty(10, 0, 0, 0, 3)).features_BF
        torch.testing.assert_close(SupervisedEncoder(classifier)(imu_BLC), expected_BF)
    assert isinstance(result, Evaluation)
    torch.testing.assert_close(result.findings.windows.features["imu_supervised"], expected_BF)
    with h5py.File(run / "evaluation" / "embeddings.h5") as file:
        assert np.asarray(file["probe/linear/imu_supervised"]).shape == (10, 6)


@pytest.mark.long
def test_of_a_single_subject_the_training_subjects_are_encoded_by_it_too(run: Path, reference: Path) -> None:
    found = evaluate(run, reference=reference, overrides=["data.test_subjects=05"]).metrics
    probe = cast("dict[str, Any]", found["probe"])
    assert probe["protocol"] == "train_subjects"
    assert "imu_supervised" in probe["linear"]


@pytest.mark.long
def test_an_encoder_that_keeps_time_has_a_reference_too(distinct: Path, tmp_path: Path) -> None:
    encoder = {"type": "ResNet1D", "width": 8}
    pretrained = train(built_in_experiment(distinct, imu=encoder, standardize=True), tmp_path)
    reference = train_classifier(finetuning(distinct, pretrained, from_scratch=True), tmp_path)
    result = evaluate(pretrained, reference=reference)
    assert isinstance(result, Evaluation)
    windows = result.findings.windows
    assert windows.features["imu_supervised"].shape == windows.features["imu"].shape


def of_experiment(field: str, value: object) -> Callable[[Any], None]:
    return lambda described: described["experiment"].__setitem__(field, value)


@pytest.mark.long
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda one: one.update(pretrained_on={"train": ["Subject01"]}), "was not trained from scratch: its training"),
        (lambda one: one.update(pretrained_on=None), "was not trained from scratch: its training began"),
        (of_experiment("from_scratch", False), r"was not trained from scratch, but from .*Train one with"),
        (of_experiment("freezing", {"epochs": "all"}), r"kept its encoder frozen \(freezing.epochs=all\)"),
        (of_experiment("label_fraction", 0.1), r"was trained on 10% of the labels; train it on all"),
        (lambda one: one["imu"].update(hidden=9), r"has another IMU encoder than .*hidden=9.*, not .*hidden=8"),
        (lambda one: one.update(embed_dim=32), r"has another embed_dim than .*: 32, not 16"),
        (
            lambda one: one["imu_spec"].update(rate=30.0),
            r"was trained on other IMU windows than .*: rate 30.0, not 60.0",
        ),
        (
            lambda one: one["subjects"].update(train=["Subject01", "Subject07"]),
            r"other subjects than .*: Subject07 only for the reference; Subject02 only for the pretraining",
        ),
        (
            lambda one: one["subjects"].update(val=["Subject05"]),
            r"Test subjects Subject05 were used for model selection",
        ),
    ],
)
def test_a_classifier_that_would_be_unfair_is_refused(
    change: Callable[[Any], None], says: str, run: Path, reference: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=f"--reference .*{says}"):
        evaluate(run, reference=changed(reference, tmp_path, change))
    assert not (run / "evaluation").exists()


def test_seen_subjects_of_the_reference_may_be_allowed(run: Path, reference: Path, tmp_path: Path) -> None:
    path = changed(reference, tmp_path, lambda described: described["subjects"].update(val=["Subject05"]))
    assert load_reference(path, held_out(run), allow_seen_subjects=True).path == path


def test_a_frozen_pretraining_has_the_same_encoder(run: Path, reference: Path, tmp_path: Path) -> None:
    path = changed(reference, tmp_path, lambda described: described["imu"].update(frozen="all"))
    assert load_reference(path, held_out(run)).path == path


@pytest.mark.long
def test_options_that_contradict_each_other_are_refused(run: Path, reference: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"--reference .*best.ckpt is not the checkpoint of an activity classifier"):
        evaluate(run, reference=run)
    with pytest.raises(ConfigError, match="--reference requires the probe; leave out --no-probe"):
        evaluate(run, reference=reference, probe=False)
    classifier = link_run(reference, tmp_path / "classifier")
    with pytest.raises(ConfigError, match=r"--robustness requires a pretraining checkpoint; .* is that of an activity"):
        evaluate(classifier, robustness=True)
