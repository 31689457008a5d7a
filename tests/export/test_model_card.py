"""The model card of an exported encoder."""

from __future__ import annotations

import pytest
import yaml
from huggingface_hub import ModelCard
from support.hub_server import data_of
from support.small_process import EXPERIMENT

from revalexo_clip.config.loading import import_experiment_file
from revalexo_clip.core.component import JsonObject
from revalexo_clip.core.types import ImuSpec, VideoSpec
from revalexo_clip.export import EncoderDescription, Origin
from revalexo_clip.export.model_card import model_card
from revalexo_clip.models.encoders import DeepConvLSTM, ImuEncoder, VideoEncoder
from revalexo_clip.models.encoders.x3d import X3D

SCORES: JsonObject = {"r_at_1": 0.25, "r_at_5": 0.5, "r_at_10": 0.75, "mrr": 0.4321, "median_rank": 1234.5}
METRICS: JsonObject = {
    "retrieval": {"imu_to_video": SCORES, "video_to_imu": SCORES, "chance": SCORES, "gallery_size": 4000},
    "subjects": {"Subject05": {}},
    "seen": {"train": [], "val": []},
    "split": "test",
}


def described(
    encoder: ImuEncoder | VideoEncoder | None = None,
    metrics: JsonObject | None = None,
    mean: tuple[float, float] | None = None,
) -> EncoderDescription:
    video = isinstance(encoder, VideoEncoder)
    spec = ImuSpec(
        ("acc_Pelvis_x", "gyro_Pelvis_x"), ("m/s^2", "rad/s"), rate=60.0, window=2.0, mean=mean, std=mean and (2.0, 0.5)
    )
    return EncoderDescription(
        modality="video" if video else "imu",
        encoder=encoder or DeepConvLSTM(),
        embed_dim=256,
        imu=None if video else spec,
        video=VideoSpec(frames=4, crop=182, short_side=200, window=2.0) if video else None,
        origin=Origin(
            experiment="x3d_xs",
            checkpoint="best.ckpt",
            epoch=1,
            step=700,
            subjects={"train": ("Subject01", "Subject02"), "val": ("Subject08",)},
            versions={"trained_with": "0.1.0"},
            metrics=metrics,
        ),
    )


def test_it_describes_input_and_output() -> None:
    card = model_card(described())
    assert "[B, 120, 2] float32: windows of 2 s at 60 Hz, in these units and this order." in card
    assert "| 0 | `acc_Pelvis_x` | m/s^2 |\n| 1 | `gyro_Pelvis_x` | rad/s |" in card
    assert "features [B, 256]" in card
    assert 'load_encoder("path/to/this/folder")\nfeatures = encoder({"acc_Pelvis_x": ..., ...})' in card


def test_it_names_the_training_subjects() -> None:
    card = model_card(described())
    assert "experiment `x3d_xs`" in card
    assert "for 1 epoch (700 steps) with revalexo_clip 0.1.0." in card
    assert "Trained on: Subject01, Subject02.\nModel selection on: Subject08.\n" in card
    assert "Do not use any of them as test subjects" in card


def test_a_video_encoder_takes_frames() -> None:
    card = model_card(described(X3D()))
    assert "\n# X3D, pretrained on first-person video\n" in card
    assert "[B, 4, 182, 182, 3] uint8 RGB: 4 frames spread evenly over 2 s" in card
    assert "resized to a short side of 200 and cropped at the centre" in card
    assert "features = encoder(frames)" in card


@pytest.mark.parametrize(("mean", "said"), [((0.0, 1.0), True), (None, False)])
def test_it_mentions_standardisation_if_there_is_some(mean: tuple[float, float] | None, said: bool) -> None:
    assert ("standardises them with the mean" in model_card(described(mean=mean))) is said


def test_it_has_the_results_of_the_evaluation() -> None:
    card = model_card(described(metrics=METRICS))
    assert "Among 4000 windows of Subject05 (test subject):" in card
    assert "generalisation" not in card
    assert "| IMU to video | 25.0% | 50.0% | 75.0% | 0.432 | 1234.5 |" in card


@pytest.mark.parametrize(
    ("subjects", "seen", "said", "warns"),
    [
        (
            ("Subject01", "Subject02", "Subject08", "Subject05"),
            {"train": ["Subject01", "Subject02"], "val": ["Subject08"]},
            "Subject01, Subject02 (training subjects) and Subject08 (validation subject) and Subject05 (test subject):",
            "**Subject01, Subject02, Subject08 were used in training or model selection, so these results do not",
        ),
        (
            ("Subject08",),
            {"train": [], "val": ["Subject08"]},
            "of Subject08 (validation subject):",
            "**Subject08 was used in training or",
        ),
        (("Subject05", "Subject09"), {"train": [], "val": []}, "of Subject05, Subject09 (test subjects):", ""),
    ],
)
def test_it_says_which_evaluated_subjects_were_used_in_training(
    subjects: tuple[str, ...], seen: JsonObject, said: str, warns: str
) -> None:
    of_subjects: JsonObject = {name: {} for name in subjects}
    card = model_card(described(metrics=METRICS | {"subjects": of_subjects, "seen": seen}))
    assert said in card
    assert warns in card
    assert ("generalisation" in card) is bool(warns)


def test_without_an_evaluation_it_has_no_results() -> None:
    card = model_card(described())
    assert "Not evaluated" in card
    assert "%" not in card


@pytest.mark.usefixtures("only_built_in")
def test_an_encoder_of_the_user_s_own_needs_its_file() -> None:
    tcn = import_experiment_file(EXPERIMENT).TCN()
    assert isinstance(tcn, ImuEncoder)
    assert 'experiment_file="the file that defines TCN")' in model_card(described(tcn))


def test_its_head_is_yaml_as_the_hub_reads_it() -> None:
    _, head, body = model_card(described()).split("---\n", 2)
    read = yaml.safe_load(head)
    assert read["library_name"] == "revalexo_clip"
    assert read["license"] == "other"  # for whoever publishes it to choose
    assert "imu" in read["tags"]
    assert body.startswith("\n# DeepConvLSTM, pretrained on IMU windows\n")


PROBE_SUMMARY: JsonObject = {
    "protocol": "leave_one_subject_out",
    "tested_on": ["Subject05", "Subject09"],
    "horizon": 0.5,
    "windows": 300,
    "macro_f1": 0.5,
    "weighted_f1": 0.625,
    "accuracy": 0.75,
    "interval": {"macro_f1": None, "weighted_f1": [0.5, 0.7], "accuracy": [0.7, 0.8]},
}


def test_the_hubs_own_tools_read_results_and_licence() -> None:
    encoder = described(metrics=METRICS | {"linear_probe": PROBE_SUMMARY})
    card = ModelCard(model_card(encoder))
    assert (data_of(card).library_name, data_of(card).pipeline_tag) == ("revalexo_clip", "feature-extraction")
    assert data_of(card).model_name == "x3d_xs, imu encoder"
    results = {
        result.metric_name: (result.metric_type, result.metric_value) for result in data_of(card).eval_results or ()
    }
    assert results["imu to video, mrr"] == ("mrr", 0.4321)
    assert results["macro F1 of a linear probe"] == ("f1", 0.5)
    assert len(results) == 7
    assert {result.dataset_name for result in data_of(card).eval_results or ()} == {"unknown, test subjects Subject05"}
    assert set(data_of(card).metrics or ()) == {"accuracy", "f1", "mrr", "recall@1", "recall@5", "recall@10"}
    assert "| weighted F1 | 0.625 (0.500 to 0.700) |" in card.text
    assert "300 windows of Subject05, Subject09, 0.5 s after the end of the window" in card.text


def test_results_on_training_subjects_are_not_in_the_header() -> None:
    card = ModelCard(model_card(described(metrics=METRICS | {"seen": {"train": ["Subject05"], "val": []}})))
    assert data_of(card).eval_results is None
    assert "R@1" in card.text


def test_the_licence_of_others_is_linked() -> None:
    encoder = described()
    others = encoder.origin.model_copy(update={"licence": "By Someone (https://example.org/terms): no commerce."})
    card = ModelCard(model_card(encoder.model_copy(update={"origin": others})))
    assert data_of(card).license == "other"
    assert data_of(card).license_name == "see-the-section-licence"
    assert data_of(card).license_link == "https://example.org/terms"


def test_intervals_are_beside_their_metrics() -> None:
    interval: JsonObject = {name: [0.2, 0.3] for name in SCORES}
    interval["median_rank"] = None
    with_intervals: JsonObject = SCORES | {"interval": interval}
    retrieval = METRICS["retrieval"]
    assert isinstance(retrieval, dict)
    card = model_card(described(metrics=METRICS | {"retrieval": retrieval | {"imu_to_video": with_intervals}}))
    assert "(test subject), with 95% intervals over clips:" in card
    assert "| IMU to video | 25.0% (20.0% to 30.0%) | " in card
    assert " | 0.432 (0.200 to 0.300) | 1234.5 |" in card
    assert "| video to IMU | 25.0% | 50.0% |" in card


def test_it_states_intended_use_and_limits() -> None:
    for card in (model_card(described()), model_card(described(X3D()))):
        for heading in ("Data and subjects", "Intended use", "Limits", "Licence", "How to load it"):
            assert f"\n## {heading}\n" in card
    assert "no frequencies above 30 Hz, and nothing before the window of 2 s" in model_card(described())


def test_a_frozen_encoder_is_not_said_to_be_pretrained_here() -> None:
    card = model_card(described(X3D(frozen="all")))
    assert "# X3D, frozen, for first-person video" in card
    assert "It was frozen: its weights are those that it had before, and only the projection behind it" in card
    assert "frozen" not in model_card(described(X3D()))
